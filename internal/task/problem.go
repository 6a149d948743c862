package task

import (
	"fmt"
	"slices"
	"strings"
)

// A Problem is one fault of a task package, told to the person who wrote it.
type Problem struct {
	File    string `json:"file"` // relative to the package
	Line    int    `json:"line,omitempty"`
	Col     int    `json:"col,omitempty"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
	Excerpt string `json:"excerpt,omitempty"` // the source line with a caret below it
}

// String is the problem in one line, as compilers write it.
func (p Problem) String() string {
	if p.Line == 0 {
		return fmt.Sprintf("%s: %s", p.File, p.Message)
	}
	return fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Col, p.Message)
}

// Text is the problem with its excerpt and hint, over several lines.
func (p Problem) Text() string {
	var b strings.Builder
	b.WriteString(p.String())
	if p.Excerpt != "" {
		b.WriteString("\n" + p.Excerpt)
	}
	if p.Hint != "" {
		b.WriteString("\n  hint: " + p.Hint)
	}
	return b.String()
}

// Problems are all the faults that were found, in the order of the file.
type Problems []Problem

// Error lists every problem with its excerpt and hint.
func (ps Problems) Error() string {
	texts := make([]string, len(ps))
	for i, p := range ps {
		texts[i] = p.Text()
	}
	return strings.Join(texts, "\n")
}

// sorted orders problems by file and place; those of task.yaml come first.
func (ps Problems) sorted() Problems {
	rank := func(p Problem) int {
		if p.File == fileName {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(ps, func(a, b Problem) int {
		if d := rank(a) - rank(b); d != 0 {
			return d
		}
		if d := strings.Compare(a.File, b.File); d != 0 {
			return d
		}
		if d := a.Line - b.Line; d != 0 {
			return d
		}
		return a.Col - b.Col
	})
	return slices.Compact(ps)
}

// excerpt shows one source line with a caret below a column, both counted from 1.
func excerpt(source []byte, line, col int) string {
	lines := strings.Split(string(source), "\n")
	if line < 1 || line > len(lines) {
		return ""
	}
	const widest = 110
	text := []rune(strings.TrimRight(lines[line-1], "\r"))
	start := 0
	if col > widest {
		start = min(col-widest/2, len(text))
	}
	text = text[start:min(len(text), start+widest)]
	caret := max(0, min(col-1-start, len(text)))
	gutter := fmt.Sprintf("%6d | ", line)
	pad := make([]rune, caret)
	for i := range pad {
		pad[i] = ' '
		if text[i] == '\t' {
			pad[i] = '\t'
		}
	}
	return gutter + string(text) + "\n" + strings.Repeat(" ", len(gutter)-2) + "| " + string(pad) + "^"
}

// nearest is the candidate that a misspelled word most likely meant, or "".
func nearest(word string, candidates []string) string {
	best, bestDistance := "", len(word)/3+2
	for _, c := range candidates {
		if d := editDistance(strings.ToLower(word), strings.ToLower(c)); d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best
}

// editDistance is Levenshtein's, with a swap of neighbours counted as one.
func editDistance(a, b string) int {
	previous2, previous, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range previous {
		previous[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(previous[j]+1, row[j-1]+1, previous[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], previous2[j-2]+1)
			}
		}
		previous2, previous, row = previous, row, previous2
	}
	return previous[len(b)]
}
