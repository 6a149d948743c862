package terminal

import (
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"mendel/internal/control"
	"mendel/internal/research"
)

// WriteStatus shows where a run stands.
func WriteStatus(w io.Writer, o Overview, now time.Time, s Style) {
	for _, line := range headLines(o, now, s) {
		fmt.Fprintln(w, line)
	}
	if o.Live != nil {
		fmt.Fprintln(w)
		for _, line := range liveLines(*o.Live, now, s) {
			fmt.Fprintln(w, line)
		}
	}
	if lines := ledgerLines(o, s); len(lines) > 0 {
		fmt.Fprintln(w)
		for _, line := range lines {
			fmt.Fprintln(w, line)
		}
	}
	if len(o.NearMisses) > 0 {
		fmt.Fprintf(w, "\nnear misses: they beat %s, and a limit or gate stopped them\n", o.Incumbent.ID)
		best, _ := o.Incumbent.Score()
		for _, t := range o.NearMisses {
			fmt.Fprintln(w, "  "+nearMissLine(t, best, o.Score, s))
		}
	}
	if len(o.Recent) > 0 {
		fmt.Fprintln(w, "\nlast verdicts")
		for _, t := range o.Recent {
			fmt.Fprintln(w, "  "+VerdictLine(t, o.Score, s))
		}
	}
	fmt.Fprintf(w, "\nlineage %s  head %s\n", o.Dir, o.Head)
}

// headLines are the lines that every view of a run begins with.
func headLines(o Overview, now time.Time, s Style) []string {
	state := "not running"
	if o.Ended != "" {
		state += ": " + Printable(o.Ended)
	}
	if o.Keep.Rule == research.AsImported {
		state = "imported: scores and verdicts are the record's"
	}
	if o.Live != nil {
		state = string(o.Live.State)
	}
	lines := []string{fmt.Sprintf("%s  %s  %s", s.Strong(o.Task.Title), s.Faint(o.Dir), state)}
	if o.Incumbent == nil {
		lines = append(lines, "  "+o.noIncumbent(s))
	} else {
		lines = append(lines, "  "+scoreLine(o, s))
		if m := o.Incumbent.Measurement; m != nil && len(m.Margins) > 0 {
			lines = append(lines, "  margins      "+research.MarginList(m.Margins))
		}
		if curve := Curve(o.Best, o.newest(), 48); curve != "" && len(o.Best) > 1 {
			lines = append(lines, fmt.Sprintf("  best so far  %s", s.Good(curve)))
		}
	}
	lines = append(lines, "  "+spendLine(o, now), "  "+statusLine(o.Statuses, s))
	if o.Unsafe || (o.Sandbox.Level != "isolated" && o.Sandbox.Level != "") {
		lines = append(lines, "  "+s.Bad("sandbox "+SandboxText(o.Sandbox))+": `mendel doctor` says how to get more")
	}
	return lines
}

// noIncumbent says why there is nothing to compare with.
func (o Overview) noIncumbent(s Style) string {
	if o.Baseline == nil || o.Baseline.Verdict == nil {
		return "the baseline is not measured yet"
	}
	return fmt.Sprintf("%s  %s", s.Status(o.Baseline.Status, 0), Printable(o.Baseline.Verdict.Reason))
}

func scoreLine(o Overview, s Style) string {
	best, _ := o.Incumbent.Score()
	var base float64 // an imported record may lack its baseline
	if o.Baseline != nil {
		base, _ = o.Baseline.Score()
	}
	text := fmt.Sprintf("%s %s  %s", o.Score.Metric, s.Strong(research.Quantity(best, o.Score.Unit)), "at "+o.Incumbent.ID.String())
	text += selfReported(o.Score)
	if o.Incumbent.ID == research.Baseline {
		return text + ", the baseline" + noiseText(o)
	}
	if o.Baseline != nil {
		text += fmt.Sprintf(", baseline %s", research.Number(base))
	}
	if base != 0 {
		text += fmt.Sprintf(" (%+.2f %%)", (best-base)/math.Abs(base)*100)
	}
	return text + standing(o) + noiseText(o)
}

// standing says how far the incumbent's gain can be believed; "" where the record of an imported run
// does not say.
func standing(o Overview) string {
	var text string
	switch o.Keep.Rule {
	case research.Strict:
		text = ", unconfirmed"
	case research.Confirmed:
		text = fmt.Sprintf(", confirmed at alpha %g", o.Keep.Alpha)
	}
	for _, c := range o.Certificates {
		if c.Incumbent != o.Incumbent.ID {
			continue
		}
		switch c.Decision {
		case research.CertifiedGain:
			return ", certified beyond " + research.Quantity(c.Margin, o.Score.Unit)
		default:
			text += fmt.Sprintf(", certificate %s", c.Decision)
		}
	}
	return text
}

// selfReported marks a score that nobody but the recipe vouches for.
func selfReported(s research.ScoreRule) string {
	if s.SelfReported {
		return " (self-reported)"
	}
	return ""
}

func noiseText(o Overview) string {
	if o.Noise == nil || o.Noise.N < 2 {
		return ""
	}
	return "; noise " + NoiseText(*o.Noise, o.Score.Unit)
}

// NoiseText says how much a score varies, and which differences that makes by chance.
func NoiseText(n research.Noise, unit string) string {
	text := fmt.Sprintf("sd %s (n=%d)", research.Quantity(research.Significant(n.SD, 4), unit), n.N)
	if floor, _ := n.Floor(); floor > 0 {
		text += ", floor " + research.Quantity(research.Significant(floor, 4), unit)
	}
	return text
}

func spendLine(o Overview, now time.Time) string {
	used := time.Duration(float64(o.Spend.Supervised) * float64(time.Second))
	if o.Live != nil {
		used = max(used, now.Sub(o.Live.Since))
	}
	text := fmt.Sprintf("%d trials", o.Trials)
	if o.Budgets.Trials > 0 {
		text = fmt.Sprintf("%d of %d trials", o.Trials, o.Budgets.Trials)
	}
	if o.Keep.Rule != research.AsImported {
		text += ", " + used.Round(time.Second).String()
	}
	if o.Budgets.Time > 0 {
		text += " of " + o.Budgets.Time.Std().String()
	}
	if models := modelSpendText(o); models != "" {
		text += ", " + models
	}
	if n := o.Spend.Replicates; n > 0 {
		text += fmt.Sprintf(", %d measurements to confirm trials (%.0f s)", n, float64(o.Spend.ReplicateWall))
	}
	if o.Spend.LostWall > 0 {
		text += fmt.Sprintf(", %.0f s lost with attempts that left no result", float64(o.Spend.LostWall))
	}
	return text
}

func statusLine(counts map[research.Status]int, s Style) string {
	var parts []string
	for _, status := range ordered(counts) {
		if status != research.StatusBaseline {
			parts = append(parts, fmt.Sprintf("%d %s", counts[status], s.Status(status, 0)))
		}
	}
	if len(parts) == 0 {
		return s.Faint("nothing judged yet")
	}
	return strings.Join(parts, "  ")
}

// liveLines show slots and agents.
func liveLines(l control.Live, now time.Time, s Style) []string {
	lines := []string{fmt.Sprintf("slots (%s, %d), %d waiting", l.Executor, l.Slots, l.Queued)}
	for i := range l.Slots {
		if i >= len(l.Running) {
			if i < 8 {
				lines = append(lines, s.Faint("  ·  free"))
			}
			continue
		}
		r := l.Running[i]
		phase := r.Phase
		if phase == "" {
			phase = "starting"
		}
		what := r.Trial.String()
		if r.Trial == research.Baseline {
			what = fmt.Sprintf("000 (measurement %d)", r.Replicate+1)
		}
		lines = append(lines, fmt.Sprintf("  %s  %s  %-9s %s, seed %d of %d  %s", s.Good("▶"), what, r.Role, phase,
			min(max(r.Seed, 0)+1, r.Seeds), r.Seeds, s.Faint(now.Sub(r.Since).Round(time.Second).String())))
	}
	lines = append(lines, "agents")
	for _, a := range l.Agents {
		doing := string(a.Doing)
		if a.Trial != nil {
			doing += " for " + a.Trial.String()
		}
		if !a.Until.IsZero() {
			doing += " until " + a.Until.Local().Format(time.TimeOnly)
		}
		mark := s.Faint("·")
		if a.Doing == control.Thinking || a.Doing == control.Waiting {
			mark = s.Good("•")
		}
		lines = append(lines, fmt.Sprintf("  %s  %-10s %-12s %s", mark, a.Name, s.Faint(a.Proposer), doing))
		if a.Problem != "" {
			lines = append(lines, "     "+s.Bad(clip(a.Problem, max(s.Width-5, 24))))
		}
	}
	return lines
}

// WriteSummary says what came of a run.
func WriteSummary(w io.Writer, o Overview, s Style) {
	if o.Incumbent == nil {
		fmt.Fprintln(w, "  "+o.noIncumbent(s))
		return
	}
	fmt.Fprintln(w, "  "+scoreLine(o, s))
	fmt.Fprintln(w, "  "+statusLine(o.Statuses, s))
	if o.Unsafe {
		fmt.Fprintln(w, "  "+s.Bad("allowed below the task's sandbox level")+": "+SandboxText(o.Sandbox))
	}
}
