package record

import (
	"fmt"
	"maps"
	"slices"

	"mendel/internal/research"
)

// summarize notes what holds of many rows, once.
func (b *builder) summarize() {
	file := b.results.file
	for _, word := range slices.Sorted(maps.Keys(b.exotic)) {
		rows := b.exotic[word]
		b.note(research.Assumed, file, rows[0].line, "", fmt.Sprintf("status %q is none of ours, so nobody is to blame for it: kept as it is, %d rows, %s", word, len(rows), lineNumbers(rows)))
	}
	if n := len(b.zeros); n > 0 {
		b.note(research.LeftOut, file, b.zeros[0].line, "", fmt.Sprintf("%s is 0 where nothing was measured: %d rows, %s", b.score.Metric, n, lineNumbers(b.zeros)))
	}
	for _, column := range slices.Sorted(maps.Keys(b.refs)) {
		b.otherwise(file, column, b.refs[column])
	}
	if n := len(b.orphans); n > 0 {
		b.note(research.Assumed, file, 0, "", "it names no parents: each trial is taken to go on from the best kept one before it")
	}
	var dropped []string
	for _, name := range []string{"job_name", "snapshot_path"} {
		if b.results.filled(name) {
			dropped = append(dropped, name)
		}
	}
	for _, c := range b.results.columns {
		if c.kind == kindAny && !slices.Contains(bookkeeping, c.name) && b.results.filled(c.name) {
			dropped = append(dropped, c.name)
		}
	}
	if len(dropped) > 0 {
		b.note(research.LeftOut, file, 1, "", "columns that a run has no place for: "+list(dropped))
	}
	b.checkBest()
}

// filled says whether some row has something in a column.
func (t *table) filled(name string) bool {
	return slices.ContainsFunc(t.rows, func(r *row) bool { return !isNothing(r.get(name)) })
}

// checkBest compares best.json with the best keep.
func (b *builder) checkBest() {
	id, ok := parseID(fmt.Sprint(b.best[idColumn]))
	if !ok || b.incumbent == nil {
		return
	}
	score, scored := b.best[b.score.Metric].(float64)
	switch best := b.incumbent; {
	case id != best.Trial:
		b.note(research.Disagreement, bestFile, 0, id.String(), fmt.Sprintf("it names %s, and by the tables %s is best; the tables are taken", id, best.Trial))
	case scored && score != *best.Measurement.Score:
		b.note(research.Disagreement, bestFile, 0, id.String(), fmt.Sprintf("it says %s, and the tables say %s, which is taken", research.Number(score), research.Number(*best.Measurement.Score)))
	}
}
