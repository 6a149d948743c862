package record

import (
	"regexp"
	"slices"
	"strings"

	"mendel/internal/research"
)

const (
	// What it costs that columns are missing: one gap is likelier than several, and one at the end likelier still.
	gapOpens, gapAtEnd, gapGoesOn = 4, 3, 1
	// joins is what it costs that a text has a tab inside.
	joins = 4
	// loses is what it costs that a cell is nobody's.
	loses = 8
	// maxCells bounds the work on a row that is no row at all.
	maxCells = 4096
)

// A move is one step of an alignment.
type move int

const (
	takes move = iota // the cell is the column's
	skips             // the column is missing
	glues             // the cell goes on with the text of the column before
	drops             // the cell is nobody's
)

// align lays the cells of a damaged row against the columns, at the least cost. Where several ways
// cost as little, a column is taken only if it gets the same text in the first and the last of them.
func (t *table) align(block string) map[string]string {
	cells, _ := literal(block)
	if len(cells) > maxCells {
		return map[string]string{}
	}
	g := newGrid(t.columns, cells)
	found := g.trace([]move{takes, glues, skips, drops})
	other := g.trace([]move{drops, skips, glues, takes})
	for name, text := range found {
		if o, ok := other[name]; !ok || o != text {
			delete(found, name)
		}
	}
	if !whole(found, t) {
		t.peel(found)
	}
	return found
}

func whole(found map[string]string, t *table) bool { return len(found) == len(t.columns) }

// A grid holds what the rest of an alignment costs from cell i and column j on, for each of
// whether column j-1 was skipped.
type grid struct {
	columns []column
	cells   []string
	own     [][]int // what it costs that cell i is column j's
	cost    [][][2]int
}

const impossible = 1 << 30

func newGrid(columns []column, cells []string) grid {
	g := grid{columns: columns, cells: cells, own: make([][]int, len(cells)), cost: make([][][2]int, len(cells)+1)}
	for i, cell := range cells {
		for _, c := range columns {
			g.own[i] = append(g.own[i], c.costs(cell))
		}
	}
	for i := len(cells); i >= 0; i-- {
		g.cost[i] = make([][2]int, len(columns)+1)
		for j := len(columns); j >= 0; j-- {
			for gap := range 2 {
				least := impossible
				if i == len(cells) && j == len(columns) {
					least = 0
				}
				for _, m := range []move{takes, skips, glues, drops} {
					least = min(least, g.through(m, i, j, gap))
				}
				g.cost[i][j][gap] = least
			}
		}
	}
	return g
}

// through is what the rest costs when it begins with a move.
func (g grid) through(m move, i, j, gap int) int {
	switch {
	case m == takes && i < len(g.cells) && j < len(g.columns):
		return g.own[i][j] + g.cost[i+1][j+1][0]
	case m == skips && j < len(g.columns):
		step := gapOpens
		switch {
		case gap == 1:
			step = gapGoesOn
		case i == len(g.cells):
			step = gapAtEnd
		}
		return step + g.cost[i][j+1][1]
	case m == glues && i > 0 && i < len(g.cells) && j > 0 && gap == 0 && g.columns[j-1].kind == kindText:
		return joins + g.cost[i+1][j][0]
	case m == drops && i < len(g.cells):
		return loses + g.cost[i+1][j][gap]
	}
	return impossible
}

// trace follows one of the cheapest alignments, moves in the order of preference. Cells that do
// not have the form of their column are not taken.
func (g grid) trace(preference []move) map[string]string {
	found := map[string]string{}
	i, j, gap := 0, 0, 0
	for i < len(g.cells) || j < len(g.columns) {
		m := preference[slices.IndexFunc(preference, func(m move) bool { return g.through(m, i, j, gap) == g.cost[i][j][gap] })]
		switch m {
		case takes:
			if g.columns[j].fits(g.cells[i]) < misfit {
				found[g.columns[j].name] = g.cells[i]
			}
			i, j, gap = i+1, j+1, 0
		case skips:
			j, gap = j+1, 1
		case glues:
			if name := g.columns[j-1].name; found[name] != "" {
				found[name] += "\t" + g.cells[i]
			}
			i++
		case drops:
			i++
		}
	}
	return found
}

// swallowed finds, at the end of a text that took in the columns after it with blanks for tabs,
// an expectation and a status.
var swallowed = regexp.MustCompile(`(?s)^(.*\S)"?\s+([-+\x{2212}]?\d[\d.eE+-]*)\s+(` + statusWords() + `)\b\s*(\S*)`)

func statusWords() string {
	var words []string
	for _, s := range research.Statuses() {
		words = append(words, string(s))
	}
	return strings.Join(words, "|")
}

// peel takes off what a hypothesis swallowed: expectation, status and, of a valid trial, the score
// that follows.
func (t *table) peel(found map[string]string) {
	m := swallowed.FindStringSubmatch(found[textColumn])
	if m == nil {
		return
	}
	found[textColumn] = strings.Trim(m[1], `" `)
	if t.has(expectedColumn) {
		found[expectedColumn] = m[2]
	}
	found[statusColumn] = m[3]
	status := research.Status(m[3])
	at := slices.IndexFunc(t.columns, func(c column) bool { return c.name == statusColumn })
	if _, ok := number(m[4]); ok && at+1 < len(t.columns) && (status.Ranks() || status == research.StatusDiscard) {
		found[t.columns[at+1].name] = m[4]
	}
}
