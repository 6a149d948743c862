package runner

import (
	"fmt"
	"strconv"
	"strings"

	"mendel/internal/measure/bundle"
	"mendel/internal/research"
)

// A cause says why a measurement is not valid. The order is the precedence: of several causes
// the lowest decides the outcome.
//
// A failure of ours comes first, since after it nothing else can be trusted; then whatever
// stopped the trial before training was paid for. An over-run stands before size, so that a recipe that
// was cut off is not judged by what it left; size stands before a crash, since an artifact that is
// too large may be why there is no metric; a gate can only be missed by a recipe that otherwise ran well.
type cause int

const (
	ours      cause = iota // the harness failed
	preflight              // a check or a phase that runs once, before any seed
	overrun                // a phase took too long
	limit                  // a metric is beyond a limit, sizes above all
	failure                // a phase failed, or a metric is missing
	gate                   // a quality gate was missed
)

// A finding is one thing that keeps a measurement from being valid.
type finding struct {
	cause   cause
	outcome research.Outcome
	reason  string
	crash   *research.CrashExcerpt
}

// decide picks the finding that the measurement is known by: the lowest cause, and of several
// the one that was found first. No findings mean a valid trial.
func decide(found []finding) finding {
	if len(found) == 0 {
		return finding{outcome: research.Valid}
	}
	first := found[0]
	for _, f := range found[1:] {
		if f.cause < first.cause {
			first = f
		}
	}
	return first
}

// A timed is how long a phase took, as far as judging needs it.
type timed struct {
	wall   float64 // seconds
	killed bool    // at its kill_after, so that it would have taken longer
}

// judgeBounds compares with every bound: margins for all that could be measured, and findings for
// those that do not hold. walls has the longest run of each phase.
func judgeBounds(plan *bundle.Plan, metrics map[string]research.MetricValue, walls map[string]timed) ([]research.Margin, []finding) {
	var margins []research.Margin
	var found []finding
	for _, b := range plan.Bounds {
		if p := timeBudget(plan, b); p != nil {
			run, ok := walls[p.Name]
			if !ok {
				continue
			}
			m := research.MarginOf(b, run.wall)
			m.AtLeast = run.killed
			margins = append(margins, m)
			if !m.Holds() {
				found = append(found, finding{overrun, b.Outcome, overrunReason(p, run), nil})
			}
			continue
		}
		value, ok := metrics[b.Metric]
		if !ok {
			continue
		}
		m := research.MarginOf(b, value.Value)
		margins = append(margins, m)
		if m.Holds() {
			continue
		}
		f := finding{limit, b.Outcome, missReason(m), nil}
		switch {
		case b.Gate:
			f.cause = gate
		case b.Outcome == research.TrainBudgetOverrun || b.Outcome == research.EvalBudgetOverrun:
			f.cause = overrun // a limit on a metric that is a time
		}
		found = append(found, f)
	}
	return margins, found
}

// timeBudget finds the phase or part whose budget a bound is, or nil.
func timeBudget(plan *bundle.Plan, b research.Bound) *bundle.Part {
	if b.Metric != "wall("+b.Name+")" {
		return nil
	}
	for _, p := range plan.Phases {
		if p.Name == b.Name {
			return &bundle.Part{Name: p.Name, Budget: p.Budget, Grace: p.Grace}
		}
		for i := range p.Parts {
			if p.Parts[i].Name == b.Name {
				return &p.Parts[i]
			}
		}
	}
	return nil
}

func overrunReason(p *bundle.Part, run timed) string {
	ran := "ran " + secondsText(run.wall)
	if run.killed {
		ran = "was killed after " + secondsText(run.wall)
	}
	grace := ""
	if p.Grace > 0 {
		grace = fmt.Sprintf(" (+%s grace)", secondsText(p.Grace.Std().Seconds()))
	}
	return fmt.Sprintf("%s %s, over its budget of %s%s", p.Name, ran, secondsText(p.Budget.Std().Seconds()), grace)
}

func missReason(m research.Margin) string {
	side, edge := "over", m.Bound.Max
	if m.Bound.Min != nil {
		side, edge = "short of", m.Bound.Min
	}
	return fmt.Sprintf("%s %s: %s %s %s", m.Bound.Name, research.Quantity(m.Value, m.Bound.Unit),
		research.Quantity(-m.Slack, m.Bound.Unit), side, research.Quantity(*edge, m.Bound.Unit))
}

// secondsText prints a duration as people compare it: to tenths from a second on, else to milliseconds.
func secondsText(s float64) string {
	digits := 1
	if s < 1 {
		digits = 3
	}
	text := strconv.FormatFloat(s, 'f', digits, 64)
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".") + " s"
}
