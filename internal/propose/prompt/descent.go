package prompt

import (
	"fmt"
	"slices"
	"strings"

	"mendel/internal/research"
)

// chainShare is the part of the lineage section that the chain may use; the rest is for the
// incumbent's children.
const chainShare = lineageBudget * 5 / 8

// lineage shows how the incumbent came to be, and what was tried on it since.
func lineage(b research.Brief, h research.History) string {
	text := chain(b, h.Chain)
	free := lineageBudget - len(text)
	children := childLines(b, h, free)
	if len(children) == 0 {
		return text
	}
	if text != "" {
		text += "\n"
	}
	return text + section(free-1, fmt.Sprintf("# Tried on trial %s since, newest first", b.Incumbent.ID), children, ": list_trials parent="+b.Incumbent.ID.String())
}

// chain lists root to incumbent. When it does not fit, the root and the newest links stay.
func chain(b research.Brief, trials []research.Trial) string {
	if len(trials) <= 1 {
		return ""
	}
	lines := make([]string, len(trials))
	ranked := []int{len(trials) - 1, 0}
	for i, t := range trials {
		lines[i] = Line(t, b.Task.Score)
	}
	for i := len(trials) - 2; i > 0; i-- {
		ranked = append(ranked, i)
	}
	const heading = "# Lineage: from the baseline to the incumbent"
	taken := choose(chainShare-len(heading)-2*moreReserve, lines, ranked)
	var shown []string
	for n, i := range taken {
		if n > 0 && trials[i].Proposal.Parent != trials[taken[n-1]].ID {
			shown = append(shown, "  (older links left out)")
		}
		shown = append(shown, lines[i])
	}
	return section(chainShare, heading, shown, "")
}

// childLines picks the children of the incumbent that teach this role most.
func childLines(b research.Brief, h research.History, budget int) []string {
	near := map[research.TrialID]bool{}
	for _, t := range h.NearMisses {
		near[t.ID] = true
	}
	var children []research.Trial
	for _, t := range h.Children {
		if !hidden(t) && t.ID != b.Incumbent.ID {
			children = append(children, t)
		}
	}
	lines := make([]string, len(children))
	for i, t := range children {
		lines[i] = Line(t, b.Task.Score)
	}
	ranked := rankByTeaching(children, func(t research.Trial) int {
		value := 0
		if near[t.ID] {
			value += 4
		}
		if t.Proposal.Role == b.Agent.Role {
			value += 2
		}
		if t.Status == research.StatusDiscard || t.Status.Stopped() {
			value++
		}
		return value
	})
	const headingAndRest = 60 + moreReserve
	taken := choose(budget-headingAndRest, lines, ranked)
	shown := make([]string, 0, len(taken)+1)
	for _, i := range taken {
		shown = append(shown, lines[i])
	}
	if left := len(children) - len(taken); left > 0 {
		shown = append(shown, fmt.Sprintf("(%s left out: list_trials parent=%s)", count(left, "child trial"), b.Incumbent.ID))
	}
	return shown
}

// rankByTeaching orders trials by value, newest first among equals, and puts a trial whose
// idea was already told by a better one behind all distinct ones.
func rankByTeaching(trials []research.Trial, value func(research.Trial) int) []int {
	order := make([]int, len(trials))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return value(trials[b]) - value(trials[a]) })
	var distinct, echoes []int
	var told []map[string]bool
	for _, i := range order {
		words := wordSet(trials[i].Proposal.Hypothesis)
		if slices.ContainsFunc(told, func(other map[string]bool) bool { return overlap(words, other) > 0.6 }) {
			echoes = append(echoes, i)
			continue
		}
		told = append(told, words)
		distinct = append(distinct, i)
	}
	return append(distinct, echoes...)
}

func wordSet(text string) map[string]bool {
	set := map[string]bool{}
	for _, w := range strings.Fields(strings.ToLower(shorten(text, 200))) {
		set[strings.Trim(w, ".,;:()")] = true
	}
	return set
}

// overlap is the Jaccard index of two sets.
func overlap(a, b map[string]bool) float64 {
	both := 0
	for w := range a {
		if b[w] {
			both++
		}
	}
	if both == 0 {
		return 0
	}
	return float64(both) / float64(len(a)+len(b)-both)
}
