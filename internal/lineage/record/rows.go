package record

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"mendel/internal/research"
)

// A trialRow is a row with the id of its trial.
type trialRow struct {
	*row
	id research.TrialID
}

// rows gives one row for each trial, in the order of their ids, mended from tree.tsv and
// best.json, and with the rows that only those have.
func (p *parser) rows() []trialRow {
	rows := p.numbered(p.results)
	var inTree []trialRow
	if p.tree != nil {
		inTree = p.numbered(p.tree)
		p.widen()
	}
	byID := map[research.TrialID]*row{}
	for _, r := range inTree {
		if byID[r.id] == nil {
			byID[r.id] = r.row
		}
	}
	rows = p.unique(rows, byID)
	seen := map[research.TrialID]bool{}
	for _, r := range rows {
		seen[r.id] = true
		if tree := byID[r.id]; tree != nil {
			p.mend(r.row, tree)
		}
	}
	for _, r := range p.unique(inTree, nil) {
		if !seen[r.id] {
			seen[r.id] = true
			p.notef(research.Recovered, r.row, "%s has no row for it: taken from here, without time, expectation and notes", p.results.file)
			rows = append(rows, r)
		}
	}
	rows = p.mendBest(rows, seen)
	slices.SortStableFunc(rows, func(a, b trialRow) int { return cmp.Compare(a.id, b.id) })
	p.missing(rows)
	return rows
}

// widen gives the results the columns that only tree.tsv has.
func (p *parser) widen() {
	for _, c := range p.tree.columns {
		if c.name != pathColumn && c.name != depthColumn && !p.results.has(c.name) {
			p.results.columns = append(p.results.columns, c)
			p.note(research.Recovered, p.tree.file, 1, "", p.results.file+" has no column "+c.name+": it is taken from here")
		}
	}
}

// numbered gives the rows their ids. A table of commits numbers them in its order.
func (p *parser) numbered(t *table) []trialRow {
	var rows []trialRow
	if !t.has(idColumn) {
		for i, r := range t.rows {
			rows = append(rows, trialRow{r, research.TrialID(i)})
		}
		if len(rows) > 0 {
			p.note(research.Assumed, t.file, 0, "", "its rows have no numbers: they are counted from the first one, which is the baseline, 000")
		}
		return rows
	}
	var odd []*row
	for _, r := range t.rows {
		id, ok := parseID(r.get(idColumn))
		if !ok {
			p.notef(research.LeftOut, r, "the row does not say which trial it is")
			continue
		}
		if written := r.get(idColumn); written != id.String() {
			odd = append(odd, r)
			r.name = id.String()
		}
		rows = append(rows, trialRow{r, id})
	}
	p.otherwise(t.file, idColumn, odd)
	return rows
}

// otherwise notes the rows that write a trial's number otherwise than 014.
func (p *parser) otherwise(file, column string, odd []*row) {
	if len(odd) == 0 {
		return
	}
	first := odd[0]
	p.note(research.Recovered, file, first.line, "", fmt.Sprintf("%s writes trials otherwise than 014 (here %q), read by their numbers: %d rows, %s",
		column, first.get(column), len(odd), lineNumbers(odd)))
}

// unique leaves one row for each trial: of several the one that tree.tsv agrees with, else the
// first that is not damaged, else the first.
func (p *parser) unique(rows []trialRow, tree map[research.TrialID]*row) []trialRow {
	chosen := map[research.TrialID]*row{}
	rank := func(r trialRow) int {
		n := 0
		if t := tree[r.id]; t != nil && t.get(statusColumn) == r.get(statusColumn) && t.get(textColumn) == r.get(textColumn) {
			n += 2
		}
		if !r.damaged {
			n++
		}
		return n
	}
	best := map[research.TrialID]int{}
	for _, r := range rows {
		if n := rank(r); chosen[r.id] == nil || n > best[r.id] {
			chosen[r.id], best[r.id] = r.row, n
		}
	}
	var kept []trialRow
	for _, r := range rows {
		if chosen[r.id] == r.row {
			kept = append(kept, r)
			continue
		}
		p.notef(research.LeftOut, r.row, "the same trial stands in line %d too, which is taken", chosen[r.id].line)
	}
	return kept
}

// mend fills in what a damaged row lost from its row in tree.tsv, and notes where two whole rows
// contradict each other. In a damaged row tree.tsv goes first, otherwise the row itself.
func (p *parser) mend(r, tree *row) {
	r.tree = tree
	var filled []string
	for _, c := range p.tree.columns {
		if !p.results.has(c.name) || !tree.has(c.name) {
			continue
		}
		mine, theirs := r.get(c.name), tree.get(c.name)
		switch {
		case !r.has(c.name) && !r.damaged: // a column that only tree.tsv has
			r.cells[c.name] = theirs
		case sameCell(c, mine, theirs) && r.has(c.name):
		case r.damaged && (!isNothing(theirs) || !r.has(c.name)):
			r.cells[c.name] = theirs
			filled = append(filled, c.name)
		case c.kind == kindText:
			p.notef(research.Disagreement, r, "%s reads otherwise in %s:%d; this row's is taken", c.name, tree.file, tree.line)
		default:
			p.notef(research.Disagreement, r, "%s is %q, and %q in %s:%d; this row's is taken", c.name, mine, theirs, tree.file, tree.line)
		}
	}
	if len(filled) > 0 {
		p.notef(research.Recovered, r, "from %s:%d: %s", tree.file, tree.line, list(filled))
	}
}

func sameCell(c column, a, b string) bool {
	if a == b || isNothing(a) && isNothing(b) {
		return true
	}
	if c.kind == kindTrial || c.kind == kindID {
		x, okX := parseID(a)
		y, okY := parseID(b)
		return okX && okY && x == y
	}
	x, okX := number(a)
	y, okY := number(b)
	return c.kind == kindNumber && okX && okY && x == y
}

// readBest reads best.json: one trial's fields.
func (p *parser) readBest(f File) map[string]any {
	var best map[string]any
	if err := json.Unmarshal(f.Data, &best); err != nil {
		p.note(research.LeftOut, f.Name, 0, "", "it is no JSON object: "+err.Error())
		return nil
	}
	for name, value := range best {
		if known, ok := otherNames[name]; ok && best[known] == nil {
			best[known] = value
		}
	}
	return best
}

// mendBest fills in what the best trial's row lost from best.json.
func (p *parser) mendBest(rows []trialRow, seen map[research.TrialID]bool) []trialRow {
	id, ok := parseID(fmt.Sprint(p.best[idColumn]))
	if !ok || !p.results.has(idColumn) {
		return rows
	}
	if !seen[id] {
		r := &row{file: bestFile, name: id.String(), damaged: true, cells: map[string]string{idColumn: id.String(), statusColumn: string(research.StatusKeep)}}
		p.notef(research.Recovered, r, "no table has a row for the best trial: taken from here, as a keep")
		rows = append(rows, trialRow{r, id})
	}
	at := slices.IndexFunc(rows, func(r trialRow) bool { return r.id == id })
	r := rows[at].row
	if !r.damaged {
		return rows
	}
	var filled []string
	for _, c := range p.results.columns {
		value, ok := p.best[c.name]
		if text := strings.TrimSpace(fmt.Sprint(value)); ok && value != nil && isNothing(r.get(c.name)) {
			r.cells[c.name] = text
			filled = append(filled, c.name)
		}
	}
	if len(filled) > 0 {
		p.notef(research.Recovered, r, "from %s: %s", bestFile, list(filled))
	}
	return rows
}

// missing notes the numbers that no file has a row for.
func (p *parser) missing(rows []trialRow) {
	next := research.Baseline
	for _, r := range rows {
		if n := r.id - next; n == 1 {
			p.note(research.LeftOut, p.results.file, 0, next.String(), "there is no row for this trial")
		} else if n > 1 {
			p.note(research.LeftOut, p.results.file, 0, next.String(), fmt.Sprintf("there is no row for this trial and those up to %s", r.id-1))
		}
		next = r.id + 1
	}
}

func list(names []string) string {
	if len(names) == 0 {
		return "nothing"
	}
	return strings.Join(names, ", ")
}

// quote shows the beginning of a text on one line.
func quote(text string) string {
	const longest = 60
	if r := []rune(text); len(r) > longest {
		text = string(r[:longest]) + "…"
	}
	return fmt.Sprintf("%q", text)
}

// lineNumbers lists lines as ranges: lines 3-17, 19.
func lineNumbers(rows []*row) string {
	var parts []string
	for i := 0; i < len(rows); {
		j := i
		for j+1 < len(rows) && rows[j+1].line == rows[j].line+1 {
			j++
		}
		if j > i {
			parts = append(parts, fmt.Sprintf("%d-%d", rows[i].line, rows[j].line))
		} else {
			parts = append(parts, fmt.Sprint(rows[i].line))
		}
		i = j + 1
	}
	if len(parts) == 1 && !strings.Contains(parts[0], "-") {
		return "line " + parts[0]
	}
	return "lines " + strings.Join(parts, ", ")
}
