package prompt

import (
	"fmt"
	"slices"
	"strings"
)

// moreReserve is kept free for the line that says what was left out.
const moreReserve = 120

// section puts lines under a heading, whole lines only, until the budget is used. What does
// not fit is counted in a last line; hint says where to find it.
func section(budget int, heading string, lines []string, hint string) string {
	var b strings.Builder
	b.WriteString(heading + "\n")
	for i, line := range lines {
		last := i == len(lines)-1
		free := budget - b.Len() - len(line) - 1
		if free < 0 || !last && free < moreReserve {
			fmt.Fprintf(&b, "(%s left out%s)\n", count(len(lines)-i, "line"), hint)
			break
		}
		b.WriteString(line + "\n")
	}
	return b.String()
}

// choose takes items in the order of their rank while their lines fit, and returns the indices
// of those taken in the items' own order.
func choose(budget int, lines []string, ranked []int) []int {
	var taken []int
	for _, i := range ranked {
		if size := len(lines[i]) + 1; size <= budget {
			budget -= size
			taken = append(taken, i)
		}
	}
	slices.Sort(taken)
	return taken
}

// paragraphs splits text of others into its lines, each of which stays whole unless it is
// longer than any prompt should hold.
func paragraphs(text string) []string {
	text = strings.TrimSpace(strings.ToValidUTF8(strings.ReplaceAll(text, "\r\n", "\n"), "?"))
	if text == "" {
		return nil
	}
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimRight(line, " \t\r")
		if len(line) > 2000 {
			lines[i] = shorten(line, 2000)
		}
	}
	return lines
}
