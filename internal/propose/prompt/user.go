package prompt

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"mendel/internal/research"
)

// stand says where the run is.
func stand(b research.Brief) string {
	score, unit := "not known", b.Task.Score.Unit
	if v, ok := b.Incumbent.Score(); ok {
		score = research.Quantity(v, unit)
	}
	incumbent := fmt.Sprintf("Incumbent: trial %s, %s %s.", b.Incumbent.ID, shorten(b.Task.Score.Metric, 60), score)
	h := b.History
	if h == nil || !b.Arm.Lineage {
		return section(standBudget, "# Where we stand", []string{incumbent}, "")
	}
	var lines []string
	if b.Incumbent.ID != research.Baseline && !b.Incumbent.EndedAt.IsZero() && b.Now.After(b.Incumbent.EndedAt) {
		incumbent += fmt.Sprintf(" It has stood for %s.", span(b.Now.Sub(b.Incumbent.EndedAt)))
	}
	lines = append(lines, incumbent)
	if v, ok := h.Baseline.Score(); ok {
		line := fmt.Sprintf("Baseline: trial %s, %s.", h.Baseline.ID, research.Quantity(v, unit))
		if best, ok := b.Incumbent.Score(); ok && b.Incumbent.ID != research.Baseline {
			line += fmt.Sprintf(" The run has moved the score by %s so far.", signed(best-v))
		}
		lines = append(lines, line)
	}
	if floor, known := h.Noise.Floor(); known && h.Noise.N >= 2 {
		lines = append(lines, fmt.Sprintf("Noise: one measurement of one recipe varies with a standard deviation of %s (%d measurements of the baseline). A difference of up to %s, the noise floor, is no evidence.",
			research.Quantity(research.Significant(h.Noise.SD, 4), unit), h.Noise.N, research.Quantity(research.Significant(floor, 4), unit)))
	} else if known {
		lines = append(lines, "Noise: none. The same files give the same score, so every difference is one.")
	}
	return section(standBudget, "# Where we stand", append(lines, budgetLeft(b)), "")
}

func budgetLeft(b research.Brief) string {
	left := count(b.Spend.Trials, "trial") + " submitted"
	if n := b.Budgets.Trials; n > 0 {
		left = fmt.Sprintf("%s of %s submitted", research.Number(float64(b.Spend.Trials)), count(n, "trial"))
	}
	if n := b.Spend.Replicates; n > 0 {
		left += fmt.Sprintf("; %s more went into measuring trials again", research.Number(float64(n)))
	}
	if t := b.Budgets.Time.Std(); t > 0 {
		used := float64(b.Spend.Supervised)
		left += fmt.Sprintf("; %.1f of %.1f hours used", used/3600, t.Hours())
	}
	return "Budget: " + left + "."
}

// leaderboard lists the ranking trials.
func leaderboard(b research.Brief, h research.History) string {
	lines := trialLines(h.Leaderboard, b.Task.Score)
	if len(lines) <= 1 {
		return ""
	}
	heading := "# Leaderboard: kept trials, best first"
	var unshown []string
	for _, t := range h.Leaderboard {
		if d := difference(t); t.Status == research.StatusKeep && d != nil && t.Verdict.Rule == research.Strict && h.Noise.Inside(*d) {
			unshown = append(unshown, t.ID.String())
		}
	}
	if len(unshown) > 0 {
		heading += "\nKept by less than the noise floor, so that it is not shown that they help: " + strings.Join(unshown, ", ") + "."
	}
	return section(leaderboardBudget, heading, lines, ": list_trials status=keep")
}

func trialLines(trials []research.Trial, score research.ScoreRule) []string {
	var lines []string
	for _, t := range trials {
		if !hidden(t) {
			lines = append(lines, line(t, score, briefly))
		}
	}
	return lines
}

// nearMisses lists what a bound stopped although its score was better than the incumbent's.
func nearMisses(b research.Brief, h research.History) string {
	best, known := b.Incumbent.Score()
	var lines []string
	for _, t := range h.NearMisses {
		if hidden(t) {
			continue
		}
		var stops []string
		for _, m := range t.Missed() {
			stops = append(stops, Margin(m))
		}
		line := fmt.Sprintf("- %s %s %s", t.ID, statusWord(t.Status), t.Proposal.Role)
		if v, ok := t.Score(); ok && known {
			line += fmt.Sprintf(": %s, %s better than the incumbent", research.Quantity(v, b.Task.Score.Unit), research.Number(math.Abs(v-best)))
		}
		if len(stops) > 0 {
			line += "; stopped: " + shorten(strings.Join(stops, " and "), 400)
		}
		line += ". It was: " + shorten(t.Proposal.Hypothesis, 240)
		if n := repairs(t.ID, h); n > 0 {
			line += fmt.Sprintf(" (%s on it so far)", count(n, "repair"))
		}
		lines = append(lines, line)
	}
	if len(lines) == 0 {
		return ""
	}
	return section(nearMissBudget, "# Near misses worth repairing\nrebase_to one of these, keep what made it better, and give back just enough to hold the margin.", lines,
		": list_trials filters by status")
}

// repairs counts the known trials that were built on a near miss.
func repairs(id research.TrialID, h research.History) int {
	seen := map[research.TrialID]bool{}
	for _, list := range [][]research.Trial{h.Own, h.Recent} {
		for _, t := range list {
			if t.Proposal.Parent == id && t.ID != id && !hidden(t) {
				seen[t.ID] = true
			}
		}
	}
	return len(seen)
}

// recent lists what all roles did last.
func recent(b research.Brief, h research.History) string {
	const rows = 10
	var lines []string
	for _, t := range h.Recent {
		if hidden(t) || t.ID == research.Baseline || len(lines) == rows {
			continue
		}
		row := line(t, b.Task.Score, briefly)
		if t.Proposal.Notes != "" {
			row += " Note: " + shorten(t.Proposal.Notes, 120)
		}
		lines = append(lines, row)
	}
	if len(lines) == 0 {
		return ""
	}
	return section(recentBudget, "# Recent activity: all roles, newest first", lines, ": list_trials")
}

// banlist lists what this role tried in vain.
func banlist(b research.Brief, h research.History) string {
	useful := map[research.TrialID]bool{} // near misses, and what something that was kept is built on
	for _, t := range h.NearMisses {
		useful[t.ID] = true
	}
	for _, list := range [][]research.Trial{h.Chain, h.Leaderboard, h.Recent} {
		for _, t := range list {
			if t.Status.Ranks() {
				useful[t.Proposal.Parent] = true
			}
		}
	}
	var lines []string
	for _, t := range h.Own {
		if hidden(t) || useful[t.ID] || t.Status == "" || t.Status.Ranks() {
			continue
		}
		line := fmt.Sprintf("- %s %s", t.ID, t.Status)
		switch d := difference(t); {
		case t.Status != research.StatusDiscard && len(t.Missed()) > 0:
			line += ", " + Margin(t.Missed()[0])
		case t.Status != research.StatusDiscard:
			if c := Crash(t.Measurement); c != nil {
				line += ", " + shorten(c.Exception, 120)
			}
		case d != nil && h.Noise.Inside(*d):
			line += fmt.Sprintf(", %s, inside the noise", signed(*d))
		case d != nil:
			line += ", " + signed(*d)
		}
		lines = append(lines, line+": "+shorten(t.Proposal.Hypothesis, 200))
	}
	if len(lines) == 0 {
		return ""
	}
	return section(banlistBudget, "# Your banlist: what your role tried in vain, newest first\nDo not repeat one of these in other words. The same surface by another mechanism is welcome.", lines,
		": list_trials role="+shorten(b.Agent.Role, 40))
}

// saturation asks for something else when small steps no longer move the score.
func saturation(b research.Brief, h research.History) string {
	if !h.Saturated {
		return ""
	}
	noise := "the noise floor"
	if floor, known := h.Noise.Floor(); known && floor > 0 {
		noise += fmt.Sprintf(" (%s)", research.Quantity(research.Significant(floor, 4), b.Task.Score.Unit))
	}
	return section(saturationBudget, "# Saturation", []string{
		"Your role's last 5 judged trials all stayed within " + noise + " or were not valid. Another small step will teach nothing: propose something structurally different.",
	}, "")
}

// lastCrash shows where this role's last crash came from. The trial itself must be in the
// brief: it says whether what the recipe printed may be shown.
func lastCrash(h research.History) string {
	if h.LastCrash == nil {
		return ""
	}
	at := slices.IndexFunc(h.Own, func(t research.Trial) bool { return t.ID == h.LastCrash.Trial })
	if at < 0 || hidden(h.Own[at]) {
		return ""
	}
	c := Crash(h.Own[at].Measurement)
	if c == nil {
		return ""
	}
	lines := []string{fmt.Sprintf("Trial %s, phase %s: %s", h.LastCrash.Trial, shorten(c.Phase, 40), shorten(c.Exception, 400))}
	if c.Frame != "" {
		lines = append(lines, "at "+shorten(c.Frame, 160))
	}
	if c.Code != "" {
		lines = append(lines, "    "+shorten(c.Code, 200))
	}
	return section(crashBudget, "# Your role's last crash", lines, "")
}

// yourSession says what the workspace holds and what to do now.
func yourSession(b research.Brief) string {
	where := "Your workspace"
	if b.Workspace != "" {
		where += " at " + shorten(b.Workspace, 300)
	}
	holds := fmt.Sprintf("%s holds a copy of trial %s, the incumbent.", where, b.Incumbent.ID)
	if b.Arm.Lineage {
		holds += " Where the record shows a better start, rebase_to it."
	}
	if b.Workspace != "" {
		holds += " Work with this directory and the tools alone: the rest of the run's directory, other workspaces and the task's data are no part of the session."
	}
	lines := []string{
		holds,
		"Find the change within your role that you expect to improve the score most, edit, check, submit it with submit_trial, and read its verdict.",
		fmt.Sprintf("One submit is a complete session. A second one is right only if the row that comes back names a concrete next edit. At most %s.", count(max(b.MaxSubmit, 1), "submit")),
	}
	return section(taskBudget, "# Your session", lines, "")
}
