package tool

import (
	"fmt"
	"strings"

	"mendel/internal/research"
)

// MaxAnswer is the most bytes that one answer holds.
const MaxAnswer = 16 << 10

// markerReserve is kept free for the marker that says what was cut.
const markerReserve = 300

// clip keeps the beginning of a long text, whole lines where there are any, and ends it with a
// marker that says how to see the rest.
func clip(text, how string) string {
	if len(text) <= MaxAnswer {
		return text
	}
	kept := head(text, MaxAnswer-markerReserve)
	return fmt.Sprintf("%s\n[cut here: %s of %s bytes shown; %s]", strings.TrimSuffix(kept, "\n"),
		research.Number(float64(len(kept))), research.Number(float64(len(text))), how)
}

// clipMiddle keeps beginning and end, where errors tend to stand.
func clipMiddle(text, how string) string {
	if len(text) <= MaxAnswer {
		return text
	}
	const half = (MaxAnswer - markerReserve) / 2
	first, last := head(text, half), tail(text, half)
	return fmt.Sprintf("%s\n[%s bytes left out here; %s]\n%s", strings.TrimSuffix(first, "\n"),
		research.Number(float64(len(text)-len(first)-len(last))), how, last)
}

// head is at most max bytes from the beginning, ending with a line where that loses little.
func head(text string, max int) string {
	if len(text) <= max {
		return text
	}
	if cut := strings.LastIndexByte(text[:max], '\n'); cut > max/2 {
		return text[:cut+1]
	}
	return strings.ToValidUTF8(text[:max], "")
}

// tail is at most max bytes from the end.
func tail(text string, max int) string {
	if len(text) <= max {
		return text
	}
	text = text[len(text)-max:]
	if cut := strings.IndexByte(text, '\n'); cut >= 0 && cut < max/2 {
		return text[cut+1:]
	}
	return strings.ToValidUTF8(text, "")
}
