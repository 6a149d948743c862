package terminal

import (
	"fmt"
	"io"
	"math"
	"sort"
	"strings"
	"time"

	"mendel/internal/research"
)

const statusWidth = len("train_budget_overrun")

// VerdictLine is one trial on one line: id, status, role, score, difference, hypothesis.
func VerdictLine(t research.Trial, score research.ScoreRule, s Style) string {
	value := "–"
	if v, ok := t.Score(); ok {
		value = research.Quantity(v, score.Unit)
	}
	head := fmt.Sprintf("%s  %s  %-9s %14s  %12s  ", s.Strong(t.ID.String()), s.Status(t.Status, statusWidth),
		clip(t.Proposal.Role, 9), value, difference(t, score))
	plain := 3 + 2 + statusWidth + 2 + 9 + 1 + 14 + 2 + 12 + 2
	text := proposed(t)
	if t.Verdict != nil && t.Status != research.StatusKeep && t.Status != research.StatusDiscard && t.Status != research.StatusBaseline {
		text = t.Verdict.Reason
	}
	if missed := research.MarginList(t.Missed()); missed != "" && t.Status.Stopped() {
		text = missed
		if t.NearMiss(score) {
			text += ", a near miss"
		}
	}
	return head + clip(text, max(s.Width-plain, 24))
}

// nearMissLine is a near miss on one line: how much better it is than the incumbent, and what it
// missed by, which is never cut.
func nearMissLine(t research.Trial, best float64, score research.ScoreRule, s Style) string {
	v, _ := t.Score()
	line := fmt.Sprintf("%s  %-9s %14s  %12s  ", s.Strong(t.ID.String()), clip(t.Proposal.Role, 9), research.Quantity(v, score.Unit), Signed(v-best, score.Unit))
	missed := research.MarginList(t.Missed())
	plain := 3 + 2 + 9 + 1 + 14 + 2 + 12 + 2 + len(missed) + 2
	return line + missed + "  " + s.Faint(clip(t.Proposal.Hypothesis, max(s.Width-plain, 24)))
}

// proposed is a trial's hypothesis, behind what measuring it again has come to.
func proposed(t research.Trial) string {
	if standing := t.Verdict.Standing(); standing != "" {
		return standing + ": " + t.Proposal.Hypothesis
	}
	return t.Proposal.Hypothesis
}

// difference shows how a score stands to the incumbent's, signed.
func difference(t research.Trial, score research.ScoreRule) string {
	if t.Verdict == nil || t.Verdict.Difference == nil {
		return ""
	}
	return Signed(*t.Verdict.Difference, score.Unit)
}

// Signed is a quantity with its sign, also where it is above zero.
func Signed(v float64, unit string) string {
	sign := "+"
	if v < 0 {
		sign = "−"
	}
	return sign + research.Quantity(math.Abs(v), unit)
}

// MarginText says how a trial stands to one bound, as a person would.
func MarginText(m research.Margin) string {
	bound := ""
	switch {
	case m.Bound.Max != nil:
		bound = "≤ " + research.Quantity(*m.Bound.Max, m.Bound.Unit)
	case m.Bound.Min != nil:
		bound = "≥ " + research.Quantity(*m.Bound.Min, m.Bound.Unit)
	}
	value := research.Quantity(m.Value, m.Bound.Unit)
	if m.AtLeast {
		return fmt.Sprintf("%s: killed at %s (%s), %s", m.Bound.Name, value, bound, m.By())
	}
	return fmt.Sprintf("%s: %s (%s), %s", m.Bound.Name, value, bound, m.By())
}

// WriteTrial explains one trial, the verdict's reason first.
func WriteTrial(w io.Writer, t research.Trial, o Overview, s Style) {
	fmt.Fprintf(w, "%s  %s  %s\n", s.Strong(t.ID.String()), s.Status(t.Status, 0), Printable(t.Proposal.Hypothesis))
	if t.Verdict != nil {
		fmt.Fprintf(w, "\n%s\n", s.Strong(Printable(sentence(t.Verdict.Reason))))
		writeVerdict(w, t, o)
	} else {
		fmt.Fprintln(w, "\nNot judged yet.")
	}
	if t.Measurement != nil {
		writeMeasurement(w, *t.Measurement, s)
	}
	fmt.Fprintf(w, "\nproposal\n")
	row(w, "parent", t.Proposal.Parent.String())
	row(w, "role", t.Proposal.Role)
	row(w, "proposer", t.Proposal.Proposer)
	if t.Proposal.Confinement != "" {
		row(w, "confinement", confinementText(t.Proposal.Confinement, s))
	}
	if t.Proposal.Expected != nil {
		row(w, "expected", Signed(*t.Proposal.Expected, o.Score.Unit))
	}
	if t.Proposal.Notes != "" {
		row(w, "notes", Printable(t.Proposal.Notes))
	}
	if t.Proposal.Tree == "" {
		row(w, "tree", "none: the trial was imported")
	} else {
		row(w, "tree", t.Proposal.Tree.Short())
	}
	if !t.SubmittedAt.IsZero() {
		row(w, "submitted", t.SubmittedAt.Local().Format(time.DateTime))
	}
}

// confinementText says how the agent that proposed a trial was kept to its tools.
func confinementText(c string, s Style) string {
	if c == "none" {
		return s.Bad(c) + ": the agent could reach more than its workspace and its tools"
	}
	return Printable(c)
}

func writeVerdict(w io.Writer, t research.Trial, o Overview) {
	v := t.Verdict
	if v.Reference != nil {
		row(w, "incumbent", fmt.Sprintf("%s at %s", v.Against, research.Quantity(*v.Reference, o.Score.Unit)))
	}
	if score, ok := t.Score(); ok {
		row(w, "score", research.Quantity(score, o.Score.Unit)+selfReported(o.Score))
	}
	if d := difference(t, o.Score); d != "" {
		row(w, "difference", d)
	}
	if o.Noise != nil && o.Noise.N >= 2 {
		row(w, "noise", NoiseText(*o.Noise, o.Score.Unit))
	}
	rule := string(v.Rule)
	if v.Rule == research.AsImported {
		rule += " (decided elsewhere; nothing of it was measured or judged here)"
	}
	if v.Rule == research.Strict {
		rule += " (any improvement; a gain is unconfirmed until certified)"
	}
	row(w, "rule", rule)
	writeConfirmation(w, v.Confirmation, o)
	if t.Measurement != nil {
		for i, m := range t.Measurement.Margins {
			label := ""
			if i == 0 {
				label = "margins"
			}
			row(w, label, MarginText(m))
		}
	}
}

func writeMeasurement(w io.Writer, m research.Measurement, s Style) {
	if m.Crash != nil {
		fmt.Fprintf(w, "\ncrash in %s\n  %s\n", m.Crash.Phase, s.Bad(Printable(m.Crash.Exception)))
		if m.Crash.Frame != "" {
			fmt.Fprintf(w, "  %s\n    %s\n", Printable(m.Crash.Frame), Printable(m.Crash.Code))
		}
	}
	fmt.Fprintf(w, "\nmeasurement\n")
	names := make([]string, 0, len(m.Metrics))
	for name := range m.Metrics {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		v := m.Metrics[name]
		text := research.Quantity(v.Value, v.Unit)
		if len(v.Seeds) > 1 {
			each := make([]string, len(v.Seeds))
			for i, x := range v.Seeds {
				each[i] = research.Number(x)
			}
			text += fmt.Sprintf("  (%s)", strings.Join(each, ", "))
		}
		source := string(v.Source)
		if v.Source == research.FromRecipeLog {
			source = "self-reported"
		}
		row(w, name, text+"  "+s.Faint(source))
	}
	for _, p := range m.Phases {
		seed := ""
		if p.Seed >= 0 {
			seed = fmt.Sprintf(" seed %d", p.Seed)
		}
		row(w, p.Phase+seed, fmt.Sprintf("%s, %.2f s wall, %.2f s CPU, %s", p.Ended, p.Wall, p.CPU, mebibytes(p.MaxRSS)))
	}
	if m.Sandbox.Level == "" {
		return
	}
	row(w, "sandbox", SandboxText(m.Sandbox))
	row(w, "harness", fmt.Sprintf("%.0f ms beside the recipe's and evaluator's own processes", float64(m.Harness)*1000))
}

// SandboxText says how a recipe was isolated.
func SandboxText(n research.SandboxNote) string {
	return fmt.Sprintf("%s (memory: %s, processes: %s, disk: %s)", n.Level, n.Memory, n.Processes, n.Disk)
}

func row(w io.Writer, name, value string) { fmt.Fprintf(w, "  %-14s %s\n", name, value) }

func sentence(s string) string {
	if s == "" {
		return s
	}
	r := []rune(s)
	return strings.ToUpper(string(r[0])) + string(r[1:]) + "."
}

func mebibytes(n int64) string { return fmt.Sprintf("%.0f MiB", float64(n)/(1<<20)) }
