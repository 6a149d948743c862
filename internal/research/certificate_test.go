package research

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// around makes valid measurements with scores near a mean.
func around(rng *rand.Rand, n int, mean, sd float64) []Measurement {
	ms := make([]Measurement, n)
	for i := range ms {
		ms[i] = valid(mean + sd*rng.NormFloat64())
	}
	return ms
}

func TestCertify(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	seconds := ScoreRule{Metric: "s", Unit: "s", Direction: Minimize}
	plan := CertificatePlan{Margin: 0.5, N: 10, Alpha: 0.05}
	gate := Bound{Name: "accuracy", Gate: true, Metric: "accuracy", Min: ptr(0.98), Outcome: Disqualified}
	missed := around(rng, 10, 8, 0.1)
	for i := range missed {
		missed[i].Margins = []Margin{MarginOf(gate, 0.97)}
	}
	crashed := around(rng, 3, 8, 0.1)
	crashed[2] = Measurement{Outcome: Crash, Reason: "boom"}
	for name, test := range map[string]struct {
		kind                NoiseKind
		n                   int
		baseline, incumbent []Measurement
		want                Decision
		reason              string
	}{
		"a true gain":             {Timing, 10, around(rng, 10, 10, 0.1), around(rng, 10, 8, 0.1), CertifiedGain, "beyond the margin of 0.5 s"},
		"an equal recipe":         {Timing, 10, around(rng, 10, 10, 0.1), around(rng, 10, 10, 0.1), Refuted, "below the margin"},
		"a gain below the margin": {Timing, 10, around(rng, 10, 10, 0.1), around(rng, 10, 9.8, 0.1), Refuted, "below the margin"},
		"too few pairs":           {Timing, 2, around(rng, 2, 10, 0.8), around(rng, 2, 8, 0.8), Inconclusive, "on neither side"},
		"one pair":                {Timing, 1, around(rng, 1, 10, 0.1), around(rng, 1, 8, 0.1), Inconclusive, "no interval"},
		"much noise":              {Timing, 10, around(rng, 10, 10, 5), around(rng, 10, 8, 5), Inconclusive, "on neither side"},
		"a missed gate":           {Timing, 10, around(rng, 10, 10, 0.1), missed, Inconclusive, "but accuracy 0.97"},
		"a crash":                 {Timing, 10, around(rng, 3, 10, 0.1), crashed, Inconclusive, "the incumbent 004 could not be measured: crash: boom"},
		"a seed that is ignored":  {Seeded, 10, around(rng, 10, 10, 0.1), around(rng, 10, 8, 0), Inconclusive, "fresh seeds change nothing"},
		"no noise, a gain":        {None, 1, around(rng, 1, 10, 0), around(rng, 1, 8, 0), CertifiedGain, "is 2 s, beyond"},
		"no noise, none":          {None, 1, around(rng, 1, 10, 0), around(rng, 1, 10, 0), Refuted, "is 0 s, below"},
	} {
		plan.N = test.n
		c := CertificationOf(plan, test.kind, 1, 4, "entropy")
		if !CertificateEnded(c, test.baseline, test.incumbent) {
			t.Errorf("%s: more is to be measured", name)
		}
		got := Certify(c, seconds, test.kind, test.baseline, test.incumbent)
		if got.Decision != test.want || !strings.Contains(got.Reason, test.reason) {
			t.Errorf("%s: %s: %q; want %s and %q", name, got.Decision, got.Reason, test.want, test.reason)
		}
	}
}

func TestCertificationOf(t *testing.T) {
	plan := CertificatePlan{Margin: 1, N: 8, Alpha: 0.05}
	spent := 0.0
	for n := 1; n < 40; n++ {
		spent += CertificationOf(plan, Timing, n, 3, "x").Alpha
	}
	if spent > plan.Alpha {
		t.Errorf("39 attempts spend %v of %v", spent, plan.Alpha)
	}
	one, other := CertificationOf(plan, Timing, 1, 3, "x"), CertificationOf(plan, Timing, 1, 3, "y")
	first, ofIncumbent := one.Half(1, 2)
	second, otherHalf := one.Half(2, 2)
	if first[0] != second[0] || ofIncumbent == otherHalf {
		t.Errorf("a pair has the seeds %v and %v, of the incumbent: %v and %v", first, second, ofIncumbent, otherHalf)
	}
	if foreign, _ := other.Half(1, 2); foreign[0] == first[0] {
		t.Error("the seeds do not hang on the chain")
	}
}
