package lineage

import (
	"cmp"
	"database/sql"
	"fmt"
	"math"
	"strings"

	"mendel/internal/research"
)

// names notes the blobs that an event needs, and says which of them are missing.
func (v *verification) names(e research.Event) {
	place := fmt.Sprintf("event %d", e.Seq)
	need := func(hash research.Hash, size int64, what string) {
		if v.named[hash] && size < 0 {
			return
		}
		v.named[hash] = true
		var stored int64
		switch err := v.s.row(`SELECT size FROM blobs WHERE hash = ?`, []any{string(hash)}, &stored); {
		case isNone(err):
			v.find(place, -1, "%s, blob %s, is missing", what, hash.Short())
		case err != nil:
			v.find(place, -1, "%s, blob %s: %v", what, hash.Short(), err)
		case size >= 0 && stored != size:
			v.find(place, -1, "%s, blob %s, has %d bytes, and its tree says %d", what, hash.Short(), stored, size)
		}
	}
	for _, hash := range contents(e.Fact) {
		need(hash, -1, "a content that it names")
	}
	root := treeOf(e.Fact)
	if root == "" || v.named[root] {
		return
	}
	need(root, -1, "its tree")
	data, err := readBlob(v.s, root)
	if err != nil {
		return // said above, or with the blobs
	}
	files, err := parseManifest(data)
	if err != nil {
		v.find(place, -1, "its tree: %v", err)
	}
	for _, f := range files {
		need(f.Hash, f.Size, f.Path+" of its tree")
	}
}

// blobs checks the content of every blob, and that some event needs it.
func (v *verification) blobs() error {
	hashes, err := collect(v.s, scanOne[research.Hash], `SELECT hash FROM main.blobs ORDER BY hash`)
	if err != nil {
		return err
	}
	for _, hash := range hashes {
		if !v.named[hash] {
			// With UpTo, a later event may name it.
			if v.options.UpTo == 0 {
				v.find("blob "+hash.Short(), -1, "no event names it")
			}
			continue
		}
		data, err := readBlob(v.s, hash)
		if err != nil {
			v.find("blob "+hash.Short(), -1, "%s", strings.TrimPrefix(err.Error(), "blob "+hash.Short()+": "))
			continue
		}
		v.report.Blobs++
		v.report.Bytes += int64(len(data))
	}
	return nil
}

// projections compares the file's projections with the recomputed ones, value by value.
func (v *verification) projections() error {
	for _, p := range projected {
		if p.since > v.version {
			continue
		}
		if err := v.table(p.table, strings.Split(p.key, ", ")); err != nil {
			return err
		}
	}
	return nil
}

func (v *verification) table(table string, key []string) error {
	want, err := openCursor(v.s, "temp", table, []string{"*"}, key)
	if err != nil {
		return err
	}
	defer want.rows.Close()
	stored, err := openCursor(v.s, "main", table, want.columns, key)
	if err != nil {
		return err
	}
	defer stored.rows.Close()
	more := func(c *cursor) bool { return err == nil && c.next(&err) }
	inStored, inWant := more(stored), more(want)
	for inStored || inWant {
		order := 0
		switch {
		case !inStored:
			order = 1
		case !inWant:
			order = -1
		default:
			order = stored.compareKey(want)
		}
		switch {
		case order < 0:
			v.find(stored.place(table), -1, "no event made this row")
		case order > 0:
			v.find(want.place(table), -1, "the row is missing")
		default:
			v.row(table, stored, want)
		}
		if order <= 0 {
			inStored = more(stored)
		}
		if order >= 0 {
			inWant = more(want)
		}
	}
	return err
}

func (v *verification) row(table string, stored, want *cursor) {
	for i, column := range stored.columns {
		if !same(stored.values[i], want.values[i]) {
			v.find(stored.place(table)+", column "+column, -1, "%s is stored, and from the events follows %s", show(stored.values[i]), show(want.values[i]))
		}
	}
}

// A cursor walks the rows of a table in the order of its key.
type cursor struct {
	rows    *sql.Rows
	columns []string
	key     []int // which columns are the key
	values  []any
}

func openCursor(s *session, schema, table string, columns, key []string) (*cursor, error) {
	st, err := s.statement(fmt.Sprintf(`SELECT %s FROM %s.%s ORDER BY %s`, strings.Join(columns, ", "), schema, table, strings.Join(key, ", ")))
	if err != nil {
		return nil, err
	}
	rows, err := st.Query()
	if err != nil {
		return nil, err
	}
	c := &cursor{rows: rows}
	if c.columns, err = rows.Columns(); err != nil {
		return nil, err
	}
	for i, column := range c.columns {
		for _, k := range key {
			if column == k {
				c.key = append(c.key, i)
			}
		}
	}
	c.values = make([]any, len(c.columns))
	return c, nil
}

func (c *cursor) next(err *error) bool {
	if !c.rows.Next() {
		*err = c.rows.Err()
		return false
	}
	into := make([]any, len(c.values))
	for i := range into {
		c.values[i] = nil
		into[i] = &c.values[i]
	}
	*err = c.rows.Scan(into...)
	return *err == nil
}

func (c *cursor) place(table string) string {
	if table == "state" {
		return table
	}
	parts := make([]string, len(c.key))
	for i, k := range c.key {
		parts[i] = fmt.Sprint(c.values[k])
	}
	return table + " row " + strings.Join(parts, "/")
}

func (c *cursor) compareKey(other *cursor) int {
	for i, k := range c.key {
		order := 0
		switch a := c.values[k].(type) {
		case int64:
			b, _ := other.values[other.key[i]].(int64)
			order = cmp.Compare(a, b)
		case string:
			b, _ := other.values[other.key[i]].(string)
			order = cmp.Compare(a, b)
		}
		if order != 0 {
			return order
		}
	}
	return 0
}

// same compares stored values; numbers to the last bit.
func same(a, b any) bool {
	x, isFloat := a.(float64)
	y, bothFloat := b.(float64)
	if isFloat && bothFloat {
		return math.Float64bits(x) == math.Float64bits(y)
	}
	return a == b
}

// show gives a stored value for a message.
func show(v any) string {
	const longest = 80
	switch v := v.(type) {
	case nil:
		return "nothing"
	case string:
		if len(v) > longest {
			v = v[:longest] + "…"
		}
		return fmt.Sprintf("%q", v)
	}
	return fmt.Sprint(v)
}
