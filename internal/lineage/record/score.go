package record

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"mendel/internal/research"
)

// bookkeeping are the columns that are no metric, whatever numbers they hold.
var bookkeeping = []string{
	idColumn, commitColumn, timeColumn, roleColumn, domainColumn, parentColumn, againstColumn, textColumn, expectedColumn, statusColumn,
	deltaColumn, totalColumn, notesColumn, reportedColumn, depthColumn, pathColumn, "job_name", "snapshot_path", "margins", "near_miss",
}

func isMetric(c column) bool { return c.kind == kindNumber && !slices.Contains(bookkeeping, c.name) }

// findScore finds the column that is the score, and which scores are better.
func (p *parser) findScore(rows []trialRow) error {
	name, how, err := p.metric()
	if asked := strings.ToLower(p.options.Metric); asked != "" {
		if !p.results.has(asked) {
			return research.Hinted(fmt.Errorf("%s has no column %s", p.results.file, asked), "its numbers: "+list(p.metrics()))
		}
		p.otherScore = asked != name
		name, how, err = asked, "--metric", nil
	}
	if err != nil {
		return err
	}
	p.score = research.ScoreRule{Metric: name, Unit: unitOf(name)}
	p.origin.Metric = how
	direction, how, err := p.direction(rows)
	if err != nil {
		return err
	}
	p.score.Direction, p.origin.Direction = direction, how
	return nil
}

// metric names the record's score: the one number of best.json that is also a column, the column
// before delta_vs_best in tree.tsv, the first numeric column after status, or the first one after the commit.
func (p *parser) metric() (name, how string, err error) {
	var both []string
	for _, c := range p.results.columns {
		if _, isNumber := p.best[c.name].(float64); isNumber && isMetric(c) {
			both = append(both, c.name)
		}
	}
	if len(both) == 1 {
		return both[0], "the number in " + bestFile, nil
	}
	if p.tree != nil {
		if i := p.tree.index(deltaColumn); i > 0 && isMetric(p.tree.columns[i-1]) && p.results.has(p.tree.columns[i-1].name) {
			return p.tree.columns[i-1].name, "the column before " + deltaColumn + " in " + p.tree.file, nil
		}
	}
	after := statusColumn
	if !p.results.has(idColumn) {
		after = commitColumn
	}
	for _, c := range p.results.columns[p.results.index(after)+1:] {
		if isMetric(c) {
			return c.name, "the first number after " + after, nil
		}
	}
	return "", "", research.Hinted(fmt.Errorf("%s: which column is the score?", p.results.file), "--metric COLUMN, one of: "+list(p.metrics()))
}

func (p *parser) metrics() []string {
	var names []string
	for _, c := range p.results.columns {
		if isMetric(c) {
			names = append(names, c.name)
		}
	}
	return names
}

func (t *table) index(name string) int {
	return slices.IndexFunc(t.columns, func(c column) bool { return c.name == name })
}

// direction asks, in this order: the user; the keeps, which were improvements; best.json; the
// metric's name.
func (p *parser) direction(rows []trialRow) (research.Direction, string, error) {
	if d := p.options.Direction; d != "" {
		return d, "--direction", nil
	}
	down, up := p.votes(rows)
	if down != up {
		direction := research.Minimize
		if up > down {
			direction = research.Maximize
		}
		if down > 0 && up > 0 {
			p.note(research.Disagreement, p.results.file, 0, "", fmt.Sprintf("%s went down at %d keeps and up at %d: taken as %s", p.score.Metric, down, up, direction))
		}
		return direction, fmt.Sprintf("%d of %d keeps", max(down, up), down+up), nil
	}
	if delta, ok := number(fmt.Sprint(p.best["delta_vs_prev"])); ok && delta != 0 {
		if delta < 0 {
			return research.Minimize, "delta_vs_prev in " + bestFile, nil
		}
		return research.Maximize, "delta_vs_prev in " + bestFile, nil
	}
	for _, part := range strings.FieldsFunc(p.score.Metric, func(r rune) bool { return r == '_' || r == '-' || r == '/' || r == '.' }) {
		if d, ok := usualDirection[part]; ok {
			p.note(research.Assumed, p.results.file, 0, "", fmt.Sprintf("%s is to %s, as its name says: no keep shows it", p.score.Metric, d))
			return d, "its name", nil
		}
	}
	return "", "", research.Hinted(errors.New("is a lower or a higher "+p.score.Metric+" better? no keep shows it"), "--direction minimize, or --direction maximize")
}

var usualDirection = map[string]research.Direction{
	"bpb": research.Minimize, "loss": research.Minimize, "error": research.Minimize, "err": research.Minimize, "ppl": research.Minimize,
	"perplexity": research.Minimize, "s": research.Minimize, "ms": research.Minimize, "seconds": research.Minimize, "time": research.Minimize,
	"bytes": research.Minimize, "mse": research.Minimize, "rmse": research.Minimize,
	"acc": research.Maximize, "accuracy": research.Maximize, "core": research.Maximize, "score": research.Maximize, "reward": research.Maximize,
	"auc": research.Maximize, "f1": research.Maximize, "sum": research.Maximize,
}

// votes counts the keeps whose score is below, and above, the one that they were kept against.
func (p *parser) votes(rows []trialRow) (down, up int) {
	scores := map[research.TrialID]float64{}
	last, started := 0.0, false
	for i, r := range rows {
		score, ok := number(r.get(p.score.Metric))
		status, _ := knownStatus(r.get(statusColumn))
		if !ok || !status.Ranks() {
			continue
		}
		scores[r.id] = score
		difference := score - last
		if against, known := parseID(r.get(againstColumn)); known {
			if reference, ok := scores[against]; ok && against != r.id {
				difference = score - reference
			}
		}
		if status == research.StatusKeep && i > 0 && started {
			switch {
			case difference < 0:
				down++
			case difference > 0:
				up++
			}
		}
		last, started = score, true
	}
	return down, up
}

// unitOf reads the unit that many names end with.
func unitOf(metric string) string {
	for _, u := range []struct{ suffix, unit string }{{"_s", "s"}, {"seconds", "s"}, {"_ms", "ms"}, {"_bytes", "B"}, {"_gb", "GB"}, {"_mb", "MB"}} {
		if strings.HasSuffix(metric, u.suffix) {
			return u.unit
		}
	}
	return ""
}
