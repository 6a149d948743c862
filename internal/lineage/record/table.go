package record

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"mendel/internal/research"
)

// A table is one TSV file: its columns by name, and its rows as far as they can be told.
type table struct {
	file    string
	columns []column
	rows    []*row
}

// A row is one row, which may span several lines. A column that is missing from cells is lost.
type row struct {
	file    string
	line    int
	name    string // what the trial is called, for notes
	cells   map[string]string
	damaged bool
	tree    *row // the same trial in tree.tsv, where there is one
}

func (r *row) get(column string) string { return strings.TrimSpace(r.cells[column]) }

func (r *row) has(column string) bool {
	_, ok := r.cells[column]
	return ok
}

func (t *table) has(name string) bool {
	return slices.ContainsFunc(t.columns, func(c column) bool { return c.name == name })
}

// readTable reads rows that may be damaged. A row is taken, in this order:
//
//  1. as tab-separated values with quoted fields, when it then has every column and looks like a row;
//  2. as one line cut at every tab, when a quote that was never closed hid some of them;
//  3. as several lines cut at every tab, when line breaks stand inside a field;
//  4. by laying what is there against the columns: what fits only one of them is recovered.
func readTable(file string, data []byte, note noter) (*table, error) {
	text := clean(file, data, note)
	lines := strings.Split(text, "\n")
	header := slices.IndexFunc(lines, func(l string) bool { return strings.TrimSpace(l) != "" })
	if header < 0 {
		return nil, errors.New("it is empty")
	}
	t := &table{file: file}
	for _, name := range strings.Split(lines[header], "\t") {
		t.columns = append(t.columns, columnOf(strings.Trim(strings.TrimSpace(name), `"`)))
	}
	if err := t.check(); err != nil {
		return nil, research.Hinted(err, "its first line must name the columns, tabs between them: exp_id or commit, status, and the score's")
	}
	t.learn(lines[header+1:])
	if n := len(lines); lines[n-1] == "" {
		lines = lines[:n-1]
	}
	for i := header + 1; i < len(lines); {
		if strings.TrimSpace(lines[i]) == "" {
			i++
			continue
		}
		if !t.starts(lines[i]) {
			note(research.LeftOut, file, i+1, "", "this line begins no row: "+quote(lines[i]))
			i++
			continue
		}
		next := i + 1
		for next < len(lines) && !t.starts(lines[next]) {
			next++
		}
		i = t.take(lines[:next], i, note)
	}
	if n := len(t.rows); n > 0 && !strings.HasSuffix(text, "\n") && t.rows[n-1].damaged {
		note(research.LeftOut, file, t.rows[n-1].line, t.rows[n-1].name, "the file ends in the middle of this row")
	}
	return t, nil
}

// clean takes out what is no part of the text.
func clean(file string, data []byte, note noter) string {
	if rest, ok := bytes.CutPrefix(data, []byte("\xef\xbb\xbf")); ok {
		data = rest
		note(research.Recovered, file, 1, "", "a byte order mark was passed over")
	}
	if n := bytes.Count(data, []byte("\r\n")); n > 0 {
		data = bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))
		note(research.Recovered, file, 0, "", fmt.Sprintf("%d lines end with CR LF, read as LF", n))
	}
	if !utf8.Valid(data) || bytes.IndexByte(data, 0) >= 0 {
		data = bytes.ReplaceAll(bytes.ToValidUTF8(data, []byte("\uFFFD")), []byte{0}, []byte("\uFFFD"))
		note(research.Recovered, file, 0, "", "bytes that are no UTF-8 text were replaced by U+FFFD")
	}
	return string(data)
}

// check says whether the columns are those of a record, and that each has a name of its own.
func (t *table) check() error {
	seen := map[string]bool{}
	for i, c := range t.columns {
		if c.name == "" {
			return fmt.Errorf("column %d has no name", i+1)
		}
		if seen[c.name] {
			return fmt.Errorf("there are two columns %s", c.name)
		}
		seen[c.name] = true
	}
	if len(t.columns) < 3 || !seen[idColumn] && !seen[commitColumn] || !seen[statusColumn] {
		return errors.New("these are not the columns of a record")
	}
	return nil
}

// starts says whether a line can be the first of a row.
func (t *table) starts(line string) bool {
	cell, _, tabbed := strings.Cut(line, "\t")
	first := t.columns[0]
	named := first.kind == kindID || first.kind == kindCommit
	return tabbed && named && first.fits(strings.Trim(cell, `" `)) == 0 || strings.Count(line, "\t") == len(t.columns)-1
}

// take reads the row that starts at line i, where lines ends before the next start, and says where to go on.
func (t *table) take(lines []string, i int, note noter) int {
	next := len(lines)
	cells, used := quoted(lines[i:])
	if used > 0 && t.plausible(cells) {
		return t.add(i, cells, i+used, lines, note)
	}
	cells, unclosed := literal(lines[i])
	if t.plausible(cells) {
		r := t.add(i, cells, i+1, lines, note)
		if unclosed {
			t.damage(note, "a quote was never closed where its field ends: cut at the tabs")
		}
		return r
	}
	block := strings.TrimRight(strings.Join(lines[i:next], "\n"), "\n")
	if cells, _ := literal(block); next > i+1 && t.plausible(cells) {
		t.add(i, cells, next, lines, note)
		t.damage(note, fmt.Sprintf("a line break inside a field: lines %d to %d are one row", i+1, next))
		return next
	}
	found := t.align(block)
	r := &row{file: t.file, line: i + 1, cells: found, damaged: true}
	r.name = t.nameOf(r)
	t.rows = append(t.rows, r)
	note(research.Recovered, t.file, r.line, r.name, t.told(block, found))
	return next
}

// add takes a whole row; lines up to the next start that follow it belong to its last text.
func (t *table) add(i int, cells []string, end int, lines []string, note noter) int {
	r := &row{file: t.file, line: i + 1, cells: map[string]string{}}
	for j, c := range t.columns {
		r.cells[c.name] = cells[j]
	}
	r.name = t.nameOf(r)
	t.rows = append(t.rows, r)
	last := t.columns[len(t.columns)-1]
	for ; end < len(lines) && strings.TrimSpace(lines[end]) != "" && last.kind == kindText && !strings.Contains(lines[end], "\t"); end++ {
		r.cells[last.name] += "\n" + lines[end]
		note(research.Recovered, t.file, end+1, r.name, "a line break inside "+last.name+": this line belongs to the row above")
	}
	return end
}

// damage marks the last row.
func (t *table) damage(note noter, text string) {
	r := t.rows[len(t.rows)-1]
	r.damaged = true
	note(research.Recovered, t.file, r.line, r.name, text)
}

// told says what could be read of a damaged row, and what not.
func (t *table) told(block string, found map[string]string) string {
	var kept, lost []string
	for _, c := range t.columns {
		if _, ok := found[c.name]; ok {
			kept = append(kept, c.name)
		} else {
			lost = append(lost, c.name)
		}
	}
	text := fmt.Sprintf("%d of %d columns: the row itself still says %s", strings.Count(block, "\t")+1, len(t.columns), list(kept))
	if len(lost) > 0 {
		text += "; not " + list(lost)
	}
	return text
}

func (t *table) nameOf(r *row) string {
	if name := r.get(idColumn); name != "" {
		return name
	}
	return r.get(commitColumn)
}

// plausible says whether cells are a row of this table: as many as columns, and those whose form
// is strict have it. One number that is none may be a person's "about -0.5".
func (t *table) plausible(cells []string) bool {
	if len(cells) != len(t.columns) {
		return false
	}
	odd := 0
	for i, c := range t.columns {
		if c.fits(cells[i]) >= misfit {
			if c.kind != kindNumber {
				return false
			}
			odd++
		}
	}
	return odd <= 1
}

// quoted reads one row with quoted fields from the beginning of lines, and says how many lines it
// used; 0 where a quote is not closed before a tab or the end of a line.
func quoted(lines []string) (cells []string, used int) {
	rest := lines[0]
	used = 1
	for {
		body, isQuoted := strings.CutPrefix(rest, `"`)
		if !isQuoted {
			cell, after, more := strings.Cut(rest, "\t")
			cells = append(cells, cell)
			if !more {
				return cells, used
			}
			rest = after
			continue
		}
		var field strings.Builder
		for closed := false; !closed; {
			before, after, found := strings.Cut(body, `"`)
			field.WriteString(before)
			switch {
			case !found && used < len(lines):
				field.WriteByte('\n')
				body = lines[used]
				used++
			case !found:
				return nil, 0
			case strings.HasPrefix(after, `"`):
				field.WriteByte('"')
				body = after[1:]
			default:
				closed, rest = true, after
			}
		}
		cells = append(cells, field.String())
		if rest == "" {
			return cells, used
		}
		if rest[0] != '\t' {
			return nil, 0
		}
		rest = rest[1:]
	}
}

var wholeField = regexp.MustCompile(`(?s)^"((?:[^"]|"")*)"$`)

// literal cuts at every tab. Quotes around a whole cell are taken off; one that opens in a cell
// and closes in a later one is taken off at both ends, and reported.
func literal(line string) (cells []string, unclosed bool) {
	cells = strings.Split(line, "\t")
	open := false
	for i, cell := range cells {
		if m := wholeField.FindStringSubmatch(cell); m != nil && !open {
			cells[i] = strings.ReplaceAll(m[1], `""`, `"`)
			continue
		}
		odd := strings.Count(cell, `"`)%2 == 1
		switch {
		case !open && odd && strings.HasPrefix(cell, `"`):
			open, unclosed = true, true
			cells[i] = strings.ReplaceAll(cell[1:], `""`, `"`)
		case open && odd && strings.HasSuffix(cell, `"`):
			open = false
			cells[i] = strings.ReplaceAll(cell[:len(cell)-1], `""`, `"`)
		case open:
			cells[i] = strings.ReplaceAll(cell, `""`, `"`)
		}
	}
	return cells, unclosed
}
