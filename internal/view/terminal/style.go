package terminal

import (
	"image/color"
	"os"
	"strings"
	"unicode"

	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/x/term"

	"mendel/internal/research"
)

// A Style says how to print: whether colour is wanted and how wide the terminal is.
type Style struct {
	Colour bool
	Width  int
}

// StyleFor chooses for a stream: colour only on a terminal, and not where NO_COLOR is set.
func StyleFor(f *os.File) Style {
	s := Style{Width: 100}
	if !IsTerminal(f) {
		return s
	}
	if w, _, err := term.GetSize(f.Fd()); err == nil && w > 20 {
		s.Width = w
	}
	s.Colour = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return s
}

// IsTerminal says whether a person is looking at the stream.
func IsTerminal(f *os.File) bool { return term.IsTerminal(f.Fd()) }

// The colours are told apart by people with the common colour deficiencies, and every status
// is also a word.
var (
	blue   = lipgloss.Color("33")
	orange = lipgloss.Color("208")
	grey   = lipgloss.Color("245")
	red    = lipgloss.Color("167")
)

func (s Style) paint(c color.Color, bold bool, text string) string {
	if !s.Colour {
		return text
	}
	return lipgloss.NewStyle().Foreground(c).Bold(bold).Render(text)
}

// Strong marks what matters most.
func (s Style) Strong(text string) string {
	if !s.Colour {
		return text
	}
	return lipgloss.NewStyle().Bold(true).Render(text)
}

// Faint marks what can be skipped.
func (s Style) Faint(text string) string { return s.paint(grey, false, text) }

// Good marks an improvement.
func (s Style) Good(text string) string { return s.paint(blue, true, text) }

// Bad marks a failure.
func (s Style) Bad(text string) string { return s.paint(red, true, text) }

// Status prints a status padded to the longest one, in its colour.
func (s Style) Status(status research.Status, width int) string {
	word := string(status)
	if word == "" {
		word = "running"
	}
	if pad := width - len(word); pad > 0 {
		word += strings.Repeat(" ", pad)
	}
	switch {
	case status == research.StatusKeep || status == research.StatusBaseline:
		return s.paint(blue, true, word)
	case status.Stopped():
		return s.paint(orange, false, word)
	case status == research.StatusDiscard || status == "":
		return s.paint(grey, false, word)
	default:
		return s.paint(red, false, word)
	}
}

// Printable takes out what could command a terminal, or show text in another order than it has:
// recipes and models write much of what is shown. Line breaks and tabs stay.
func Printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && unicode.In(r, unicode.Cc, unicode.Bidi_Control, unicode.Zl, unicode.Zp) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
}

// clip shortens a line to a number of columns.
func clip(text string, columns int) string {
	text = Printable(strings.Join(strings.Fields(text), " "))
	runes := []rune(text)
	if len(runes) <= columns {
		return text
	}
	if columns <= 1 {
		return ""
	}
	return string(runes[:columns-1]) + "…"
}
