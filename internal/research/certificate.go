package research

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
)

// A Certification is one attempt at a certificate: baseline and incumbent are measured again, in pairs,
// on data that the search never saw, and held against the margin that event 1 fixed. All of it is fixed
// before its first pair is measured. docs/certificates.md explains it.
type Certification struct {
	Number    int     `json:"number"` // the how-manieth attempt of the run, from 1
	Incumbent TrialID `json:"incumbent"`
	Margin    float64 `json:"margin"` // gain over the baseline that must be exceeded, in the score's unit
	Alpha     float64 `json:"alpha"`  // of this attempt
	Pairs     int     `json:"pairs"`
	// Entropy is the hash of the event before: nobody who chose the incumbent could know the seeds.
	Entropy Hash `json:"entropy"`
}

// CertificationOf is the n-th attempt of a run. The registered alpha is halved with every attempt, so that
// all of them together stay below it. Without noise one pair tells all.
func CertificationOf(plan CertificatePlan, kind NoiseKind, n int, incumbent TrialID, entropy Hash) Certification {
	c := Certification{Number: n, Incumbent: incumbent, Margin: plan.Margin, Pairs: plan.N, Entropy: entropy}
	c.Alpha = math.Ldexp(plan.Alpha, -n)
	if kind == None {
		c.Pairs = 1
	}
	return c
}

// Half gives what a replicate, from 1, measures: the seeds of its pair, and whether it is the incumbent's
// half. The seeds toss which goes first.
func (c Certification) Half(replicate, n int) (seeds []int64, ofIncumbent bool) {
	pair := (replicate + 1) / 2
	seeds = make([]int64, max(n, 1))
	for i := range seeds {
		sum := sha256.Sum256(fmt.Appendf(nil, "certify/%s/%d/%d", c.Entropy, pair, i))
		seeds[i] = int64(binary.LittleEndian.Uint32(sum[:4]) >> 1)
	}
	return seeds, (replicate%2 == 1) == (seeds[0]&1 == 1)
}

// Certifying begins an attempt at a certificate.
type Certifying struct{ Certification }

// Recertifying says that a measurement for a certificate was handed to an executor. It is recorded before
// the executor hears of it.
type Recertifying struct {
	Certificate int     `json:"certificate"`
	Replicate   int     `json:"replicate"` // from 1
	Number      int     `json:"attempt"`   // at this replicate, from 1
	Token       string  `json:"token"`
	Of          TrialID `json:"of"` // the baseline or the incumbent
	Seeds       []int64 `json:"seeds"`
}

// Recertified accepts the result of such a measurement, or says why there is none.
type Recertified struct {
	Certificate int          `json:"certificate"`
	Replicate   int          `json:"replicate"`
	Token       string       `json:"token"`
	Measurement *Measurement `json:"measurement,omitempty"`
	Lost        string       `json:"lost,omitempty"`
	Wall        Seconds      `json:"wall_s"`
}

// Certified ends an attempt with what follows from its measurements.
type Certified struct{ Certificate }

// Kind is [KindCertifying].
func (Certifying) Kind() FactKind { return KindCertifying }

// Kind is [KindRecertifying].
func (Recertifying) Kind() FactKind { return KindRecertifying }

// Kind is [KindRecertified].
func (Recertified) Kind() FactKind { return KindRecertified }

// Kind is [KindCertified].
func (Certified) Kind() FactKind { return KindCertified }

// A Decision is what an attempt at a certificate came to. Values are stored.
type Decision string

// The decisions.
const (
	CertifiedGain Decision = "certified"    // the interval lies beyond the margin, and every gate and limit holds
	Refuted       Decision = "refuted"      // the interval lies below the margin
	Inconclusive  Decision = "inconclusive" // neither
)

// A Certificate is the outcome of a certification.
type Certificate struct {
	Certification
	Decision Decision `json:"decision"`
	Reason   string   `json:"reason"` // one sentence
	Measured int      `json:"measured_pairs"`
	// Gain is the mean gain of the incumbent over the baseline, in the score's unit; more is better,
	// whatever the direction of the score. Low and High bound it with the given confidence; they are nil
	// where there is no interval.
	Gain       *float64 `json:"gain,omitempty"`
	Low        *float64 `json:"low,omitempty"`
	High       *float64 `json:"high,omitempty"`
	Confidence float64  `json:"confidence,omitempty"`
	Baseline   *float64 `json:"baseline_score,omitempty"`  // means over the pairs
	Score      *float64 `json:"incumbent_score,omitempty"` // of the certify data
	Margins    []Margin `json:"margins,omitempty"`         // of the incumbent, over its replicates
}

// CertificateEnded says whether nothing more has to be measured: all pairs are in, or a replicate of
// either left nothing that could be averaged.
func CertificateEnded(c Certification, baseline, incumbent []Measurement) bool {
	return len(baseline) == c.Pairs && len(incumbent) == c.Pairs || broken(baseline) != nil || broken(incumbent) != nil
}

// broken is the first measurement that cannot be pooled; nil when all can.
func broken(ms []Measurement) *Measurement {
	for i := range ms {
		if !ms[i].whole(len(ms[0].Margins)) {
			return &ms[i]
		}
	}
	return nil
}

// Certify decides on a certificate. It is pure: the same measurements give the same decision.
func Certify(c Certification, rule ScoreRule, kind NoiseKind, baseline, incumbent []Measurement) Certificate {
	d := Certificate{Certification: c, Decision: Inconclusive}
	gains := gainsOf(rule.Direction, incumbent, baseline)
	d.Measured = len(gains)
	for _, side := range []struct {
		name string
		ms   []Measurement
	}{{"the baseline", baseline}, {"the incumbent " + c.Incumbent.String(), incumbent}} {
		if m := broken(side.ms); m != nil {
			d.Reason = fmt.Sprintf("%s could not be measured: %s: %s", side.name, m.Outcome, m.Reason)
			return d
		}
	}
	if len(gains) < c.Pairs {
		d.Reason = fmt.Sprintf("%d of %d pairs are measured", len(gains), c.Pairs)
		return d
	}
	pooled := Repool(incumbent)
	d.Margins = pooled.Margins
	s := pairedOf(gains)
	d.Gain, d.Baseline, d.Score = ptr(significant(s.mean)), ptr(significant(meanScore(baseline))), ptr(significant(*pooled.Score))
	switch {
	case kind == None:
		d.Low, d.High, d.Confidence = d.Gain, d.Gain, 1
	case len(gains) < 2:
		d.Reason = "one pair of measurements has no interval"
		return d
	case s.sd == 0 || kind == Seeded && allEqual(incumbent):
		d.Reason = "fresh seeds change nothing about the score, so that measuring again is no evidence"
		return d
	default:
		half := studentBound(c.Alpha, float64(len(gains)-1)) * s.error()
		d.Low, d.High, d.Confidence = ptr(significant(s.mean-half)), ptr(significant(s.mean+half)), significant(1-2*c.Alpha)
	}
	d.decide(rule.Unit, pooled)
	return d
}

// decide holds the interval against the margin.
func (d *Certificate) decide(unit string, pooled Measurement) {
	margin := Quantity(d.Margin, unit)
	interval := fmt.Sprintf("the gain over the baseline is %s", Quantity(*d.Gain, unit))
	if d.Confidence < 1 {
		interval += fmt.Sprintf(" (%.4g %% interval %s to %s)", 100*d.Confidence, Number(*d.Low), Quantity(*d.High, unit))
	}
	switch {
	case *d.High < d.Margin:
		d.Decision, d.Reason = Refuted, interval+", below the margin of "+margin
	case *d.Low <= d.Margin:
		d.Reason = interval + ", on neither side of the margin of " + margin
	case pooled.Outcome != Valid:
		d.Reason = interval + ", beyond the margin of " + margin + ", but " + pooled.Reason
	default:
		d.Decision, d.Reason = CertifiedGain, interval+", beyond the margin of "+margin
	}
}

// gainsOf are the paired differences that were measured, better first being positive.
func gainsOf(direction Direction, ms, others []Measurement) []float64 {
	gains := make([]float64, 0, len(ms))
	for i := range min(len(ms), len(others)) {
		if ms[i].Score == nil || others[i].Score == nil {
			break
		}
		gain := *ms[i].Score - *others[i].Score
		if direction == Minimize {
			gain = -gain
		}
		gains = append(gains, gain)
	}
	return gains
}

// Certifiable says why a run cannot be certified; nil when it can.
func (r Registration) Certifiable() error {
	if err := r.Remeasurable(); err != nil {
		return err
	}
	switch {
	case r.Score.SelfReported:
		return Hinted(fmt.Errorf("the score %s is self-reported: nobody but the recipe vouches for it", r.Score.Metric),
			"a task whose evaluator establishes the score can be certified")
	case r.Certificate == nil:
		return Hinted(fmt.Errorf("the run registered no plan for a certificate: margin, pairs and alpha must be fixed before the search"),
			"add `certificate: {margin: …, n: …, alpha: 0.05}` to task.yaml before the next run (docs/certificates.md)")
	}
	return nil
}
