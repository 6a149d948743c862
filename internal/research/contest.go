package research

import (
	"fmt"
	"math"
)

// A Step is what a measured trial needs next.
type Step int

// The steps of a trial. Under the rule [Strict] there is only the verdict.
const (
	ToJudge   Step = iota
	ToWait         // for the confirmation that is under way
	ToConfirm      // begin the confirmation on offer
	ToMeasure      // the confirmation's next replicate
)

// Next says how a trial goes on whose measurements so far are those of a judgement.
func Next(j Judgement) Step {
	switch {
	case j.Contest != nil:
		if j.contestEnded() {
			return ToJudge
		}
		return ToMeasure
	case !j.triggers():
		return ToJudge
	case j.Offer == nil:
		return ToWait
	case j.Offer.Underpowered():
		return ToJudge
	}
	return ToConfirm
}

// confirms says whether the rule asks for confirmations. Without noise one measurement tells all.
func (j Judgement) confirms() bool { return j.Rule.Rule == Confirmed && j.NoiseKind != None }

// triggers says whether a trial looks good enough to be measured again: valid, and better than the
// incumbent by more than chance often makes.
func (j Judgement) triggers() bool {
	m := j.Candidate
	if !j.confirms() || j.Trial == Baseline || m.Outcome != Valid || m.Score == nil || j.Reference == nil {
		return false
	}
	floor, _ := j.Noise.FloorAgainst(j.ReferenceN)
	return j.Score.Direction.Better(*m.Score, *j.Reference) && math.Abs(*m.Score-*j.Reference) > floor
}

// unconfirmed says why a trial that looks better was not measured again.
func (j Judgement) unconfirmed() string {
	switch {
	case !j.confirms():
		return ""
	case !j.triggers():
		floor, _ := j.Noise.FloorAgainst(j.ReferenceN)
		return fmt.Sprintf("; within the noise floor of %s, so it was not measured again", Quantity(floor, j.Score.Unit))
	case j.Offer == nil:
		return "; it waits to be measured again"
	}
	return fmt.Sprintf("; unconfirmed: the %d pairs of measurements that it could have are too few for the alpha of %.2g that is left for it",
		j.Offer.Pairs, j.Offer.Alpha)
}

// contestEnded says whether nothing more has to be measured.
func (j Judgement) contestEnded() bool {
	c := j.Contest
	if c.Broken != "" || c.unpooled() || c.incumbentFailure() != "" {
		return true
	}
	finding, end := c.weigh(j.Score.Direction, j.NoiseKind)
	if end != undecided {
		return true
	}
	for _, look := range finding.Looks {
		if look.Pairs == finding.Measured && len(c.Candidates) == finding.Measured {
			return Repool(c.Candidates).Outcome != Valid
		}
	}
	return false
}

// unpooled says whether a replicate of the trial broke off, so that there is nothing to take a mean over.
func (c Contest) unpooled() bool {
	for _, m := range c.Candidates {
		if !m.whole(len(c.Candidates[0].Margins)) {
			return true
		}
	}
	return false
}

// incumbentFailure says why the incumbent could not be measured again; "" when it could.
func (c Contest) incumbentFailure() string {
	for _, m := range c.Incumbents {
		if m.Score == nil {
			return fmt.Sprintf("%s (%s)", m.Outcome, m.Reason)
		}
	}
	return ""
}

// Outcome is how the trial's measurements ended, taken together.
func (j Judgement) Outcome() Outcome {
	switch {
	case j.Contest == nil || len(j.Contest.Candidates) == 0 && j.Contest.Broken == "":
		return j.Candidate.Outcome
	case j.Contest.Broken != "":
		return Aborted
	}
	return Repool(j.Contest.Candidates).Outcome
}

// Standing says what measuring a trial again has come to, in a few words; "" for a trial that was not.
func (v *Verdict) Standing() string {
	switch {
	case v == nil || v.Confirmation == nil:
		return ""
	case v.Keep:
		return fmt.Sprintf("confirmed by %d pairs", v.Confirmation.Measured)
	}
	return fmt.Sprintf("unconfirmed after %d pairs", v.Confirmation.Measured)
}

// contested is the verdict on a trial that was measured again.
func (j Judgement) contested(v Verdict) Verdict {
	c := j.Contest
	finding, end := c.weigh(j.Score.Direction, j.NoiseKind)
	v.Confirmation, v.Samples = finding, nil
	for i := range len(c.Candidates) + len(c.Incumbents) {
		v.Samples = append(v.Samples, fmt.Sprintf("%s/%d", j.Trial, i+1))
	}
	if finding.Measured > 0 {
		v.Reference = ptr(meanScore(c.Incumbents[:finding.Measured]))
		v.Difference = ptr(finding.Difference)
	}
	pooled := Repool(c.Candidates)
	over := fmt.Sprintf("over %d pairs of fresh measurements", finding.Measured)
	switch {
	case c.Broken != "":
		v.Reason = "it could not be measured again, which says nothing about the idea: " + c.Broken
	case len(c.Candidates) > 0 && pooled.Outcome != Valid:
		v.Reason = "measured again: " + pooled.Reason
	case c.incumbentFailure() != "":
		v.Reason = fmt.Sprintf("unconfirmed: the incumbent %s could not be measured again: %s", c.Incumbent, c.incumbentFailure())
	case end == won:
		v.Keep = true
		v.Reason = fmt.Sprintf("confirmed: %s better than %s %s (%.3g %% interval %s to %s)%s", Quantity(math.Abs(finding.Difference), j.Score.Unit),
			j.Incumbent, over, 100*finding.Confidence, Quantity(min(math.Abs(finding.Low), math.Abs(finding.High)), j.Score.Unit),
			Quantity(max(math.Abs(finding.Low), math.Abs(finding.High)), j.Score.Unit), inNoise(v))
	case end == identical:
		v.Reason = "unconfirmed: fresh seeds change nothing about its score, so measuring it again is no evidence; it must use MENDEL_SEED"
	case end == lost:
		v.Reason = fmt.Sprintf("unconfirmed: it looked %s, and is %s %s", j.against(*j.Candidate.Score-*j.Reference), j.against(finding.Difference), over)
	default:
		v.Reason = "it is still being measured again"
	}
	return v
}

// meanScore is over measurements that all have one.
func meanScore(ms []Measurement) float64 {
	mean := 0.0
	for _, m := range ms {
		mean += *m.Score / float64(len(ms))
	}
	return mean
}

// against puts a difference from the incumbent into words.
func (j Judgement) against(difference float64) string {
	word := "worse"
	if j.Score.Direction.Better(difference, 0) {
		word = "better"
	}
	return Quantity(math.Abs(difference), j.Score.Unit) + " " + word
}
