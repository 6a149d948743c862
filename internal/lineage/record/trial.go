package record

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"mendel/internal/research"
)

// A builder makes trials of rows, in their order.
type builder struct {
	*parser
	trials    []research.TrialImported
	at        map[research.TrialID]int // where in trials
	incumbent *research.TrialImported
	exotic    map[string][]*row // statuses that are not ours
	zeros     []*row            // failures with a score of 0
	refs      map[string][]*row // columns that write trials otherwise than 014
	orphans   []*row            // rows of a table without parents
}

func (p *parser) trials(rows []trialRow) []research.TrialImported {
	b := builder{parser: p, at: map[research.TrialID]int{}, exotic: map[string][]*row{}, refs: map[string][]*row{}}
	for _, r := range rows {
		t := b.trial(r)
		b.at[t.Trial] = len(b.trials)
		b.trials = append(b.trials, t)
		score := t.Measurement.Score
		if t.Status.Ranks() && score != nil && (b.incumbent == nil || p.score.Direction.Better(*score, *b.incumbent.Measurement.Score)) {
			b.incumbent = &t
		}
	}
	b.summarize()
	return b.trials
}

func (b *builder) trial(r trialRow) research.TrialImported {
	t := research.TrialImported{Trial: r.id, Place: fmt.Sprintf("%s:%d", r.file, r.line)}
	t.Status, t.Measurement.Outcome = b.status(r)
	t.Measurement = b.measurement(r, t.Status, t.Measurement.Outcome)
	if text := r.get(timeColumn); !isNothing(text) {
		at, ok := parseTime(text)
		if t.At = at; !ok {
			b.notef(research.LeftOut, r.row, "timestamp %s is no time", quote(text))
		}
	}
	notes := strings.TrimSpace(r.cells[notesColumn])
	if commit := r.get(commitColumn); commit != "" {
		notes = strings.TrimSpace("commit " + commit + "\n" + notes)
	}
	t.Proposal = research.Proposal{
		Role: b.role(r), Proposer: proposer, Hypothesis: strings.TrimSpace(r.cells[textColumn]), Notes: notes, Expected: b.number(r, expectedColumn),
	}
	if r.id != research.Baseline {
		t.Proposal.Parent = b.parent(r)
		t.Proposal.Incumbent = b.against(r)
	}
	b.compare(r, &t)
	return t
}

// status keeps the record's word where it is none of ours.
func (b *builder) status(r trialRow) (research.Status, research.Outcome) {
	written := r.get(statusColumn)
	status, known := knownStatus(written)
	switch {
	case r.id == research.Baseline && (status == research.StatusKeep || status == research.StatusDiscard):
		return research.StatusBaseline, research.Valid
	case written == "":
		b.notef(research.LeftOut, r.row, "its status is lost")
		return research.Status(research.Unclassified), research.Unclassified
	case !known:
		b.exotic[written] = append(b.exotic[written], r.row)
		return research.Status(written), research.Unclassified
	case status == research.StatusKeep || status == research.StatusDiscard || status == research.StatusBaseline:
		return status, research.Valid
	}
	return status, research.Outcome(status)
}

func (b *builder) measurement(r trialRow, status research.Status, outcome research.Outcome) research.Measurement {
	m := research.Measurement{Outcome: outcome, Score: b.number(r, b.score.Metric)}
	if outcome != research.Valid {
		m.Reason = string(status)
		if m.Score != nil && *m.Score == 0 {
			b.zeros = append(b.zeros, r.row)
			m.Score = nil
		}
	}
	if wall := b.number(r, totalColumn); wall != nil && *wall >= 0 {
		m.Wall = research.Seconds(*wall)
	}
	reported := strings.Fields(r.get(reportedColumn))
	for _, c := range b.results.columns {
		if !isMetric(c) && c.name != b.score.Metric || m.Score == nil && c.name == b.score.Metric {
			continue
		}
		if value := b.number(r, c.name); value != nil {
			source := research.FromRecord
			if slices.Contains(reported, c.name) {
				source = research.FromRecipeLog
			}
			setMetric(&m, c.name, *value, source)
		}
	}
	for _, bound := range b.options.Bounds {
		if value, ok := m.Metrics[bound.Metric]; ok {
			m.Margins = append(m.Margins, research.MarginOf(bound, value.Value))
		}
	}
	return m
}

func setMetric(m *research.Measurement, name string, value float64, source research.Source) {
	if m.Metrics == nil {
		m.Metrics = map[string]research.MetricValue{}
	}
	m.Metrics[name] = research.MetricValue{Value: value, Unit: unitOf(name), Source: source}
}

// number is a cell's number; what is written there and is none is left out.
func (b *builder) number(r trialRow, name string) *float64 {
	text := r.get(name)
	if isNothing(text) {
		return nil
	}
	v, ok := number(text)
	if !ok {
		b.notef(research.LeftOut, r.row, "%s %s is no number", name, quote(text))
		return nil
	}
	return &v
}

func (b *builder) role(r trialRow) string {
	for _, column := range []string{roleColumn, domainColumn} {
		if role := r.get(column); role != "" {
			return role
		}
	}
	if r.id == research.Baseline {
		return "baseline"
	}
	if b.results.has(roleColumn) || b.results.has(domainColumn) {
		b.notef(research.LeftOut, r.row, "its role is lost")
		return "unknown"
	}
	return "generic"
}

// parent is the row's, else the one that tree.tsv gives it. Where the record has no parents at
// all, a trial goes on from the best kept one before it.
func (b *builder) parent(r trialRow) research.TrialID {
	if !b.results.has(parentColumn) {
		b.orphans = append(b.orphans, r.row)
		if b.incumbent != nil {
			return b.incumbent.Trial
		}
		return research.Baseline
	}
	written := r.get(parentColumn)
	if id, ok := b.earlier(r, written); ok {
		b.reference(r, parentColumn, id)
		return id
	}
	for _, link := range r.treeParents() {
		if id, ok := b.earlier(r, link); ok {
			b.notef(research.Recovered, r.row, "its parent %s is no trial before it; %s:%d says %s", quote(written), r.tree.file, r.tree.line, id)
			return id
		}
	}
	b.notef(research.Assumed, r.row, "its parent %s is no trial before it: it is shown under the baseline", quote(written))
	return research.Baseline
}

// treeParents are the parents that tree.tsv gives a trial, by name and by its path from the root.
func (r *row) treeParents() []string {
	if r.tree == nil {
		return nil
	}
	parents := []string{r.tree.get(parentColumn)}
	if links := strings.Split(r.tree.get(pathColumn), "/"); len(links) > 1 {
		parents = append(parents, links[len(links)-2])
	}
	return parents
}

// earlier reads the name of a trial that came before a row's. The baseline always did.
func (b *builder) earlier(r trialRow, written string) (research.TrialID, bool) {
	id, ok := parseID(written)
	_, known := b.at[id]
	return id, ok && (known || id == research.Baseline) && id < r.id
}

// reference remembers a row that writes a trial otherwise than 014.
func (b *builder) reference(r trialRow, column string, id research.TrialID) {
	if r.get(column) != id.String() {
		b.refs[column] = append(b.refs[column], r.row)
	}
}

// against is the incumbent that the record compares a trial with, else the best kept one before it.
func (b *builder) against(r trialRow) research.TrialID {
	if written := r.get(againstColumn); written != "" {
		if id, ok := b.earlier(r, written); ok {
			b.reference(r, againstColumn, id)
			return id
		}
		b.notef(research.Recovered, r.row, "%s %s is no trial before it: compared with the best before it", againstColumn, quote(written))
	}
	if b.incumbent != nil {
		return b.incumbent.Trial
	}
	return research.Baseline
}

// compare writes the verdict. The difference is computed, and the record's own must agree.
func (b *builder) compare(r trialRow, t *research.TrialImported) {
	v := research.Verdict{Rule: research.AsImported, Against: t.Proposal.Incumbent, Keep: t.Status == research.StatusKeep}
	if t.Trial == research.Baseline {
		v.Reason = "the recipe as the record found it"
		t.Verdict = v
		return
	}
	if i, ok := b.at[v.Against]; ok {
		v.Reference = b.trials[i].Measurement.Score
	}
	text := r.get(deltaColumn)
	delta, stated := number(text)
	stated = stated && !b.otherScore
	score := t.Measurement.Score
	if score == nil && stated && v.Reference != nil && t.Measurement.Outcome == research.Valid {
		value := *v.Reference + delta
		score = &value
		t.Measurement.Score = score
		setMetric(&t.Measurement, b.score.Metric, value, research.FromRecord)
		b.notef(research.Recovered, r.row, "its score is lost; %s and the score of %s give %s", deltaColumn, v.Against, research.Number(value))
	}
	v.Reason = "imported as " + string(t.Status)
	if score == nil && t.Measurement.Outcome == research.Valid {
		b.notef(research.LeftOut, r.row, "its score is lost")
	}
	if score != nil && v.Reference != nil {
		difference := *score - *v.Reference
		v.Difference = &difference
		if stated && math.Abs(difference-delta) > tolerance(text) {
			b.notef(research.Disagreement, r.row, "%s says %s, and its score and that of %s differ by %s, which is taken", deltaColumn, text, v.Against, research.Number(difference))
		}
		word := "worse"
		if b.score.Direction.Better(*score, *v.Reference) {
			word = "better"
		}
		if difference != 0 {
			v.Reason += fmt.Sprintf(": %s %s than %s (%s → %s)", research.Quantity(math.Abs(difference), b.score.Unit), word, v.Against,
				research.Number(*v.Reference), research.Number(*score))
		}
	}
	t.Verdict = v
}

// tolerance is what rounding three numbers to the printed digits can come to.
func tolerance(text string) float64 {
	_, decimals, _ := strings.Cut(text, ".")
	return 2 * math.Pow(10, -float64(len(decimals)))
}
