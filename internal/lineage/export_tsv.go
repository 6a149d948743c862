package lineage

import (
	"encoding/csv"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"mendel/internal/research"
)

// ExportTSV writes one row for each trial in the shape of the results.tsv that auto-research runs
// are published in: fixed columns, the score's metric and its difference to the incumbent, then
// every other metric by name. The time is that of the verdict, of a pending trial that of its submission.
// Fields with tabs, quotes or line breaks are quoted, quotes doubled. The column margins has the slack of
// every limit and gate, negative beyond it; near_miss says by how much one stopped a score that beat the
// incumbent. The column self_reported names the metrics of the row that the recipe itself printed.
func (r *Reader) ExportTSV(w io.Writer) error {
	return r.Snapshot(func(r *Reader) error {
		reg, err := r.Registration()
		if err != nil {
			return err
		}
		table := tsvTable{score: reg.Score}
		if err := r.Each(table.measure); err != nil {
			return err
		}
		out := csv.NewWriter(w)
		out.Comma = '\t'
		if err := out.Write(table.header()); err != nil {
			return err
		}
		if err := r.Each(func(t research.Trial) error { return out.Write(table.row(t)) }); err != nil {
			return err
		}
		out.Flush()
		return out.Error()
	})
}

// A tsvTable knows which columns the trials of a run need.
type tsvTable struct {
	score   research.ScoreRule
	metrics []string // beside the score
	spread  []string // those that some trial has for several seeds
}

func (c *tsvTable) measure(t research.Trial) error {
	if t.Measurement == nil {
		return nil
	}
	for name, m := range t.Measurement.Metrics {
		if name != c.score.Metric && name != seedsColumn {
			insert(&c.metrics, name)
		}
		if len(m.Seeds) > 1 {
			insert(&c.spread, name)
		}
	}
	return nil
}

// insert adds a name to a sorted list, once.
func insert(names *[]string, name string) {
	if i, found := slices.BinarySearch(*names, name); !found {
		*names = slices.Insert(*names, i, name)
	}
}

func (c *tsvTable) header() []string {
	columns := []string{"exp_id", "timestamp", "specialist", "parent_exp", "baseline_exp", "domain", "hypothesis", "expected_delta", "status", c.score.Metric, "delta_vs_best"}
	columns = append(columns, c.metrics...)
	for _, name := range c.spread {
		columns = append(columns, name+"_std")
	}
	return append(columns, seedsColumn, "total_s", "margins", "near_miss", "self_reported", "job_name", "snapshot_path", "notes")
}

func (c *tsvTable) row(t research.Trial) []string {
	p := t.Proposal
	parent, incumbent, session := "", "", ""
	if t.ID != research.Baseline {
		parent, incumbent = p.Parent.String(), p.Incumbent.String()
	}
	recorded, tree := t.EndedAt, ""
	if recorded.IsZero() {
		recorded = t.SubmittedAt
	}
	if p.Tree != "" {
		tree = "tree:" + string(p.Tree)
	}
	if p.Session != 0 {
		session = "session-" + strconv.Itoa(int(p.Session))
	}
	row := []string{t.ID.String(), timestamp(recorded), p.Role, parent, incumbent, p.Role, p.Hypothesis, number(p.Expected), string(t.Status)}
	m := research.Measurement{}
	if t.Measurement != nil {
		m = *t.Measurement
	}
	row = append(row, number(m.Score))
	if t.Verdict != nil && t.Verdict.Difference != nil {
		row = append(row, number(t.Verdict.Difference))
	} else {
		row = append(row, "")
	}
	var reported []string
	for _, name := range c.metrics {
		value, ok := m.Metrics[name]
		if !ok {
			row = append(row, "")
			continue
		}
		row = append(row, number(&value.Value))
	}
	for _, name := range slices.Sorted(maps.Keys(m.Metrics)) {
		if m.Metrics[name].Source == research.FromRecipeLog {
			reported = append(reported, name)
		}
	}
	for _, name := range c.spread {
		row = append(row, spreadOf(m.Metrics[name].Seeds))
	}
	seeds, wall := "", ""
	if t.Measurement != nil {
		seeds, wall = strconv.Itoa(len(m.Seeds)), strconv.FormatFloat(float64(m.Wall), 'f', 6, 64)
	}
	if p.Tree == "" { // an imported record may count its seeds without naming them, and may have no time
		seeds = ""
		if n, ok := m.Metrics[seedsColumn]; ok {
			seeds = number(&n.Value)
		}
		if m.Wall == 0 {
			wall = ""
		}
	}
	return append(row, seeds, wall, marginCell(m.Margins), c.nearMissCell(t), strings.Join(reported, " "), session, tree, p.Notes)
}

// marginCell is the slack of each bound, in the bound's unit: accuracy=-0.00044 artifact_bytes=10000.
func marginCell(margins []research.Margin) string {
	each := make([]string, len(margins))
	for i, m := range margins {
		each[i] = m.Bound.Name + "=" + number(&m.Slack)
	}
	return strings.Join(each, " ")
}

func (c *tsvTable) nearMissCell(t research.Trial) string {
	if !t.NearMiss(c.score) {
		return ""
	}
	return research.MarginList(t.Missed())
}

// seedsColumn says how many seeds a measurement has.
const seedsColumn = "n_seeds"

// timestamp is empty for a time that an imported record does not say.
func timestamp(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return at.Format(time.RFC3339)
}

// number prints the shortest text that reads back as the same number.
func number(v *float64) string {
	if v == nil {
		return ""
	}
	return strconv.FormatFloat(*v, 'f', -1, 64)
}

// spreadOf is the sample standard deviation over seeds.
func spreadOf(values []float64) string {
	if len(values) < 2 {
		return ""
	}
	var mean, squares float64
	for _, v := range values {
		mean += v / float64(len(values))
	}
	for _, v := range values {
		squares += float64((v - mean) * (v - mean))
	}
	sd := math.Sqrt(squares / float64(len(values)-1))
	return number(&sd)
}
