package analysis

import (
	"math"

	"mendel/internal/research"
)

// Forecasts compare the deltas that proposers expected with those that were measured: score minus
// the score of the incumbent, of valid trials that came with an expectation. What is nil cannot be
// said of so few.
type Forecasts struct {
	N int `json:"n"`
	// SignAgreement is the share whose sign was right, of those that did not expect 0.
	SignAgreement *float64 `json:"sign_agreement,omitempty"`
	Expected      *float64 `json:"mean_expected,omitempty"`
	Measured      *float64 `json:"mean_measured,omitempty"`
	Median        *float64 `json:"median_measured,omitempty"` // one failed trial can outweigh all others in a mean
	// Bias is the mean of measured minus expected: where less is better, above 0 means too much was hoped for.
	Bias *float64 `json:"bias,omitempty"`
	MAE  *float64 `json:"mean_absolute_error,omitempty"`
	// Correlation is Pearson's, from 3 pairs on.
	Correlation *float64 `json:"correlation,omitempty"`
}

func forecastsOf(trials []research.Trial) Forecasts {
	var f Forecasts
	var expected, measured []float64
	right, signed := 0, 0
	for _, t := range trials {
		valid := t.Status == research.StatusKeep || t.Status == research.StatusDiscard
		if !valid || t.Proposal.Expected == nil || t.Verdict == nil || t.Verdict.Difference == nil {
			continue
		}
		x, y := *t.Proposal.Expected, *t.Verdict.Difference
		expected, measured = append(expected, x), append(measured, y)
		if x != 0 {
			signed++
			if x*y > 0 {
				right++
			}
		}
	}
	f.N = len(expected)
	if f.N == 0 {
		return f
	}
	if signed > 0 {
		f.SignAgreement = share(right, signed)
	}
	mx, my := mean(expected), mean(measured)
	bias, absolute := my-mx, 0.0
	var xx, yy, xy float64
	for i, x := range expected {
		y := measured[i]
		absolute += math.Abs(y-x) / float64(f.N)
		xx += float64((x - mx) * (x - mx))
		yy += float64((y - my) * (y - my))
		xy += float64((x - mx) * (y - my))
	}
	middle := research.Median(measured)
	f.Expected, f.Measured, f.Median, f.Bias, f.MAE = &mx, &my, &middle, &bias, &absolute
	if f.N >= 3 && xx > 0 && yy > 0 {
		r := xy / math.Sqrt(xx*yy)
		f.Correlation = &r
	}
	return f
}

func share(n, of int) *float64 {
	s := float64(n) / float64(of)
	return &s
}

func mean(values []float64) float64 {
	var sum float64
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}
