package terminal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"mendel/internal/research"
)

// An entry is what is shown of a line of a transcript, which package session writes.
type entry struct {
	Kind  string          `json:"kind"`
	Turn  int             `json:"turn"`
	Name  string          `json:"name"`
	Args  json.RawMessage `json:"args"`
	Text  string          `json:"text"`
	Error bool            `json:"error"`
	Usage *research.Usage `json:"usage"`
	USD   *float64        `json:"usd"`
}

// How much of a text is shown. What a model said is shown longer than what it read.
const (
	maxSaidLines, maxSaidBytes     = 60, 6000
	maxAnswerLines, maxAnswerBytes = 12, 1200
	maxArgument                    = 60
)

// WriteTranscript shows a transcript turn by turn: who says what, and what each turn used. Long
// texts are cut, with a marker; the stored transcript has them whole.
func WriteTranscript(w io.Writer, transcript []byte, s Style) {
	turn, total := 0, research.Usage{}
	var usd float64
	for line := range bytes.Lines(transcript) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			continue
		}
		var e entry
		if err := json.Unmarshal(line, &e); err != nil {
			e = entry{Kind: "noted", Text: "a line that cannot be read: " + string(line), Error: true}
		}
		if e.Turn > turn {
			if turn > 0 {
				fmt.Fprintln(w)
			}
			turn = e.Turn
			fmt.Fprintln(w, s.Strong(fmt.Sprintf("turn %d", turn)))
		}
		e.write(w, s)
		if e.Usage != nil {
			total = total.Plus(*e.Usage)
		}
		if e.USD != nil {
			usd += *e.USD
		}
	}
	if total != (research.Usage{}) {
		fmt.Fprintf(w, "\n%s  %s\n", s.Strong("total"), priced(usageText(total), usd))
	}
}

func priced(text string, usd float64) string {
	if usd > 0 {
		text += ", " + dollars(usd)
	}
	return text
}

func (e entry) write(w io.Writer, s Style) {
	switch e.Kind {
	case "said":
		e.block(w, "says", e.Text, maxSaidLines, maxSaidBytes, s)
	case "thought":
		e.block(w, "thinks", e.Text, maxSaidLines, maxSaidBytes, s)
	case "told":
		e.block(w, "is told", e.Text, maxAnswerLines, maxAnswerBytes, s)
	case "tool_call":
		e.block(w, "calls", strings.TrimSpace(e.Name+" "+arguments(e.Args)), maxAnswerLines, maxAnswerBytes, s)
	case "tool_answer":
		label := "gets"
		if e.Error {
			label = "fails"
		}
		e.block(w, label, e.Text, maxAnswerLines, maxAnswerBytes, s)
	case "output":
		e.block(w, e.Name, e.Text, maxAnswerLines, maxAnswerBytes, s)
	default:
		e.block(w, "mendel", e.note(), maxAnswerLines, maxAnswerBytes, s)
	}
}

// note is what Mendel noted, with what the turn used.
func (e entry) note() string {
	text := strings.TrimSpace(e.Name + " " + e.Text)
	if e.Usage == nil {
		return text
	}
	usd := 0.0
	if e.USD != nil {
		usd = *e.USD
	}
	return strings.TrimPrefix(text+"; "+priced(usageText(*e.Usage), usd), "; ")
}

const labelWidth = 8

// block prints a text beside its label, broken and indented. What cannot be shown whole ends with
// a marker.
func (e entry) block(w io.Writer, label, text string, maxLines, maxBytes int, s Style) {
	text = strings.TrimRight(Printable(text), "\n\t ")
	shown, left := shorten(text, maxLines, maxBytes)
	var lines []string
	for line := range strings.SplitSeq(shown, "\n") {
		lines = append(lines, wrap(strings.ReplaceAll(line, "\t", "    "), max(s.Width-labelWidth-4, 24))...)
	}
	label = fmt.Sprintf("%-*s", labelWidth, clip(label, labelWidth))
	style := func(line string) string { return line }
	switch {
	case e.Error:
		style = s.Bad
	case e.Kind != "said" && e.Kind != "tool_call":
		style = s.Faint
	}
	for i, line := range lines {
		if i > 0 {
			label = strings.Repeat(" ", labelWidth)
		}
		fmt.Fprintln(w, strings.TrimRight("  "+s.Faint(label)+"  "+style(line), " "))
	}
	if left != "" {
		fmt.Fprintf(w, "  %s  %s\n", strings.Repeat(" ", labelWidth), s.Faint("[… "+left+"; --json has all]"))
	}
}

// shorten cuts a text to so many lines and bytes, and says what is left.
func shorten(text string, maxLines, maxBytes int) (shown, left string) {
	cut := len(text)
	if cut > maxBytes {
		for cut = maxBytes; !utf8.RuneStart(text[cut]); cut-- {
		}
	}
	for i, lines := 0, 0; i < cut; i++ {
		if text[i] == '\n' {
			if lines++; lines == maxLines {
				cut = i
			}
		}
	}
	if cut == len(text) {
		return text, ""
	}
	return text[:cut], plural(utf8.RuneCountInString(text[cut:]), "more character")
}

// wrap breaks a line at spaces, or where there is none within the width, anywhere.
func wrap(line string, width int) []string {
	var lines []string
	runes := []rune(line)
	for len(runes) > width {
		at := width
		for i := width; i > width/2; i-- {
			if runes[i] == ' ' {
				at = i
				break
			}
		}
		lines = append(lines, string(runes[:at]))
		runes = runes[at:]
		if runes[0] == ' ' {
			runes = runes[1:]
		}
	}
	return append(lines, string(runes))
}

// arguments abbreviates the arguments of a call: name=value, in the order of their names.
func arguments(raw json.RawMessage) string {
	var named map[string]json.RawMessage
	if json.Unmarshal(raw, &named) != nil {
		return clip(string(raw), 2*maxArgument)
	}
	parts := make([]string, 0, len(named))
	for name, value := range named {
		text := string(value)
		var unquoted string
		if json.Unmarshal(value, &unquoted) == nil {
			if lines := strings.Count(strings.TrimRight(unquoted, "\n"), "\n") + 1; lines > 1 {
				first, _, _ := strings.Cut(unquoted, "\n")
				unquoted = fmt.Sprintf("%s… (%d lines)", clip(first, maxArgument), lines)
			}
			text = fmt.Sprintf("%q", clip(unquoted, maxArgument+20))
		}
		parts = append(parts, clip(name, maxArgument)+"="+clip(text, maxArgument+22))
	}
	slices.Sort(parts)
	return strings.Join(parts, " ")
}
