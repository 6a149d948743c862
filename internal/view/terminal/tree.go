package terminal

import (
	"fmt"
	"io"

	"mendel/internal/research"
)

// WriteTree draws who descends from whom. trials must be in the order of their ids; path holds
// the trials from the root to the incumbent.
func WriteTree(w io.Writer, trials []research.Trial, path map[research.TrialID]bool, score research.ScoreRule, s Style) {
	children := make(map[research.TrialID][]research.Trial)
	var root *research.Trial
	for i, t := range trials {
		if t.ID == research.Baseline {
			root = &trials[i]
			continue
		}
		children[t.Proposal.Parent] = append(children[t.Proposal.Parent], t)
	}
	if score.SelfReported {
		fmt.Fprintln(w, s.Bad("every score below is self-reported: the recipe printed it"))
	}
	if len(trials) > 0 && trials[0].Proposal.Tree == "" {
		fmt.Fprintln(w, "imported: scores and verdicts are the record's")
	}
	var draw func(t research.Trial, prefix, branch string)
	draw = func(t research.Trial, prefix, branch string) {
		mark := " "
		if path[t.ID] {
			mark = s.Good("*")
		}
		value := ""
		if v, ok := t.Score(); ok {
			value = research.Quantity(v, score.Unit)
		}
		if t.NearMiss(score) {
			value += "  near miss"
			if missed := t.Missed(); len(missed) > 0 { // an imported record may not say by how much
				value += ": " + research.MarginList(missed)
			}
		}
		line := fmt.Sprintf("%s%s %s %s  %s  %s  ", branch, mark, s.Strong(t.ID.String()), s.Status(t.Status, 0), t.Proposal.Role, value)
		fmt.Fprintln(w, s.Faint(prefix)+line+s.Faint(clip(proposed(t), max(s.Width-len(prefix)-50, 24))))
		kids := children[t.ID]
		next := prefix
		switch branch {
		case "├─":
			next += "│ "
		case "└─":
			next += "  "
		}
		for i, kid := range kids {
			edge := "├─"
			if i == len(kids)-1 {
				edge = "└─"
			}
			draw(kid, next, edge)
		}
	}
	if root != nil {
		draw(*root, "", "")
		return
	}
	for _, t := range children[research.Baseline] { // an imported record may lack its baseline
		draw(t, "", "")
	}
}
