package lineage

import (
	"encoding/csv"
	"encoding/json"
	"io"
	"strconv"
	"time"

	"mendel/internal/research"
)

// ExportTree writes the trials in the shape of a published tree.tsv: parents before their
// children, siblings in the order of their ids, each with its depth and its path from the root.
func (r *Reader) ExportTree(w io.Writer) error {
	return r.Snapshot(func(r *Reader) error {
		reg, err := r.Registration()
		if err != nil {
			return err
		}
		t := treeTable{known: map[research.TrialID]bool{}, children: map[research.TrialID][]research.Trial{}, out: csv.NewWriter(w)}
		t.out.Comma = '\t'
		if err := r.Each(t.add); err != nil {
			return err
		}
		if err := t.out.Write([]string{"exp_id", "parent_exp", "depth", "path", "specialist", "status", reg.Score.Metric, "delta_vs_best", "hypothesis"}); err != nil {
			return err
		}
		if err := t.write(t.roots, 0, ""); err != nil {
			return err
		}
		t.out.Flush()
		return t.out.Error()
	})
}

// A treeTable holds the trials of a run by their parents.
type treeTable struct {
	known    map[research.TrialID]bool
	roots    []research.Trial // the baseline; in an imported record without one, its children
	children map[research.TrialID][]research.Trial
	out      *csv.Writer
}

func (t *treeTable) add(trial research.Trial) error {
	t.known[trial.ID] = true
	if parent := trial.Proposal.Parent; trial.ID != research.Baseline && t.known[parent] {
		t.children[parent] = append(t.children[parent], trial)
	} else {
		t.roots = append(t.roots, trial)
	}
	return nil
}

func (t *treeTable) write(trials []research.Trial, depth int, above string) error {
	for _, trial := range trials {
		parent, difference := "", ""
		if trial.ID != research.Baseline {
			parent = trial.Proposal.Parent.String()
		}
		var score *float64
		if trial.Measurement != nil {
			score = trial.Measurement.Score
		}
		if trial.Verdict != nil {
			difference = number(trial.Verdict.Difference)
		}
		path := above + trial.ID.String()
		if err := t.out.Write([]string{trial.ID.String(), parent, strconv.Itoa(depth), path, trial.Proposal.Role, string(trial.Status),
			number(score), difference, trial.Proposal.Hypothesis}); err != nil {
			return err
		}
		if err := t.write(t.children[trial.ID], depth+1, path+"/"); err != nil {
			return err
		}
	}
	return nil
}

// ExportBest writes the incumbent in the shape of a published best.json; null while there is none.
func (r *Reader) ExportBest(w io.Writer) error {
	return r.Snapshot(func(r *Reader) error {
		reg, err := r.Registration()
		if err != nil {
			return err
		}
		best, ok, err := r.Incumbent()
		if err != nil {
			return err
		}
		var fields map[string]any
		if ok {
			fields = map[string]any{
				"exp_id": best.ID.String(), "specialist": best.Proposal.Role, "domain": best.Proposal.Role, "hypothesis": best.Proposal.Hypothesis,
				"timestamp": best.EndedAt.Format(time.RFC3339),
			}
			if score, scored := best.Score(); scored {
				fields[reg.Score.Metric] = score
			}
			if best.Verdict != nil && best.Verdict.Difference != nil {
				fields["delta_vs_prev"] = number(best.Verdict.Difference)
			}
		}
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		return enc.Encode(fields)
	})
}
