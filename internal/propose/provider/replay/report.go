package replay

import (
	"fmt"
	"io"
	"text/tabwriter"

	"mendel/internal/research"
)

// A Row compares a trial of the earlier run with its replay.
type Row struct {
	Old        research.TrialID
	Role       string
	OldStatus  research.Status
	OldScore   *float64
	New        *research.TrialID // nil where it was not submitted
	NewStatus  research.Status   // empty until judged
	NewScore   *float64
	Difference *float64 // new score minus old score
	Skipped    string   // why it was not submitted; empty where its turn has not come
}

// Report compares old with new, in the order of the earlier run. trial looks a trial of this run
// up.
func (p *Plan) Report(trial func(research.TrialID) (research.Trial, error)) ([]Row, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	rows := make([]Row, len(p.steps))
	for i, s := range p.steps {
		rows[i] = Row{Old: s.Old, Role: s.Role, OldStatus: s.OldStatus, OldScore: s.OldScore, Skipped: p.skipped[s.Old]}
		id, ok := p.news[s.Old]
		if !ok {
			continue
		}
		t, err := trial(id)
		if err != nil {
			return nil, fmt.Errorf("trial %s, the replay of %s: %w", id, s.Old, err)
		}
		rows[i].New, rows[i].NewStatus = &id, t.Status
		if score, ok := t.Score(); ok {
			rows[i].NewScore = &score
			if s.OldScore != nil {
				difference := score - *s.OldScore
				rows[i].Difference = &difference
			}
		}
	}
	return rows, nil
}

// WriteReport writes rows as a table for people, and how many verdicts agree.
func WriteReport(w io.Writer, rows []Row) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "old\tnew\trole\told status\tnew status\told score\tnew score\tdifference")
	judged, agree := 0, 0
	for _, r := range rows {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.Old, newID(r), r.Role, r.OldStatus, newStatus(r),
			number(r.OldScore), number(r.NewScore), signed(r.Difference))
		if r.NewStatus != "" {
			judged++
		}
		if r.NewStatus != "" && r.NewStatus == r.OldStatus {
			agree++
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(w, "%d of %d were measured again; %d of those have the same verdict\n", judged, len(rows), agree); err != nil {
		return err
	}
	for _, r := range rows {
		if r.Skipped == "" {
			continue
		}
		if _, err := fmt.Fprintf(w, "%s was not submitted: %s\n", r.Old, r.Skipped); err != nil {
			return err
		}
	}
	return nil
}

func newID(r Row) string {
	if r.New == nil {
		return "-"
	}
	return r.New.String()
}

func newStatus(r Row) string {
	switch {
	case r.NewStatus != "":
		return string(r.NewStatus)
	case r.New != nil:
		return "being measured"
	case r.Skipped != "":
		return "not submitted"
	}
	return "not yet"
}

func number(v *float64) string {
	if v == nil {
		return "-"
	}
	return research.Number(*v)
}

func signed(v *float64) string {
	if v == nil || *v <= 0 {
		return number(v)
	}
	return "+" + number(v)
}
