package research

import (
	"math"
	"strings"
)

// NearMiss says whether a bound alone kept a trial from beating the incumbent of its time.
func (t Trial) NearMiss(score ScoreRule) bool {
	v, ok := t.Score()
	return ok && t.Status.Stopped() && t.Verdict != nil && t.Verdict.Reference != nil && score.Direction.Better(v, *t.Verdict.Reference)
}

// Missed lists the bounds that a trial did not hold.
func (t Trial) Missed() []Margin {
	if t.Measurement == nil {
		return nil
	}
	var missed []Margin
	for _, m := range t.Measurement.Margins {
		if !m.Holds() {
			missed = append(missed, m)
		}
	}
	return missed
}

// By says how far a trial was from the bound: "2,056 bytes over", "0.00044 short", "3.1 s to spare".
func (m Margin) By() string {
	amount := Amount(math.Abs(m.Slack), m.Bound.Unit)
	switch {
	case m.AtLeast:
		return "at least " + amount + " over"
	case m.Slack >= 0 && m.Bound.Unit == "s": // no clock needs more digits
		return Amount(Significant(m.Slack, 4), "s") + " to spare"
	case m.Slack >= 0:
		return amount + " to spare"
	case m.Bound.Min != nil:
		return amount + " short"
	}
	return amount + " over"
}

// MarginList puts margins on one line: "accuracy 0.00044 short, artifact_bytes 2,056 bytes over".
func MarginList(margins []Margin) string {
	each := make([]string, len(margins))
	for i, m := range margins {
		each[i] = m.Bound.Name + " " + m.By()
	}
	return strings.Join(each, ", ")
}
