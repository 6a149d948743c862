package prompt

import (
	"fmt"
	"slices"

	"mendel/internal/research"
)

// margins says where the incumbent stands against each bound, and how this role's edits
// moved that.
func margins(b research.Brief, h research.History) string {
	if b.Incumbent.Measurement == nil {
		return ""
	}
	known := known(b, h)
	var lines []string
	for _, m := range b.Incumbent.Measurement.Margins {
		line := "- " + Margin(m)
		if moves := slackMoves(m.Bound.Name, h.Own, known); len(moves) > 0 {
			slices.Sort(moves)
			least, most := moves[0], moves[len(moves)-1]
			switch edits := count(len(moves), "edit"); {
			case least == 0 && most == 0:
				line += fmt.Sprintf("; your last %s did not move it", edits)
			case len(moves) == 1:
				line += fmt.Sprintf("; your last edit moved it by %s", moved(least, m.Bound.Unit))
			default:
				line += fmt.Sprintf("; your last %s moved it by %s in the median (from %s to %s)", edits,
					moved(research.Median(moves), m.Bound.Unit), moved(least, m.Bound.Unit), moved(most, m.Bound.Unit))
			}
		}
		lines = append(lines, line)
	}
	if len(lines) == 0 {
		return ""
	}
	return section(marginsBudget, "# Margins of the incumbent\nA positive move is room gained, a negative one is room used.", lines, "")
}

// moved prints by how much a margin moved, with its sign.
func moved(by float64, unit string) string {
	sign := ""
	if by > 0 {
		sign = "+"
	}
	return sign + research.Amount(research.Significant(by, 4), unit)
}

// known indexes every trial of a brief.
func known(b research.Brief, h research.History) map[research.TrialID]research.Trial {
	index := map[research.TrialID]research.Trial{}
	for _, list := range [][]research.Trial{h.Own, h.Recent, h.Children, h.NearMisses, h.Leaderboard, h.Chain, {h.Baseline, b.Incumbent}} {
		for _, t := range list {
			index[t.ID] = t
		}
	}
	return index
}

// slackMoves lists by how much trials moved one margin against their parents, where both are
// known exactly.
func slackMoves(bound string, trials []research.Trial, known map[research.TrialID]research.Trial) []float64 {
	const enough = 10
	var moves []float64
	for _, t := range trials {
		parent, ok := known[t.Proposal.Parent]
		if !ok || hidden(t) || len(moves) == enough || parent.ID == t.ID {
			continue
		}
		before, okBefore := slack(parent, bound)
		after, okAfter := slack(t, bound)
		if okBefore && okAfter {
			moves = append(moves, after-before)
		}
	}
	return moves
}

func slack(t research.Trial, bound string) (float64, bool) {
	if t.Measurement == nil {
		return 0, false
	}
	for _, m := range t.Measurement.Margins {
		if m.Bound.Name == bound && !m.AtLeast {
			return m.Slack, true
		}
	}
	return 0, false
}
