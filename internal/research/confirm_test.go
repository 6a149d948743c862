package research

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestAlphaSpent(t *testing.T) {
	const alpha = 0.05
	sum, last := 0.0, 0.0
	for n := 1; n <= 10_000; n++ {
		last = AlphaOf(alpha, n, last, false)
		sum += last
		looks := 0.0
		for _, look := range (Confirmation{Alpha: last, Pairs: 24}).Looks() {
			looks += look.Level
		}
		if n < 20 && math.Abs(looks/last-1) > 1e-8 {
			t.Errorf("the looks of confirmation %d spend %v of %v", n, looks, last)
		}
	}
	if sum > alpha || sum < 0.999*alpha {
		t.Errorf("10,000 confirmations that keep nothing spend %v of %v", sum, alpha)
	}
	if got, want := AlphaOf(alpha, 2, 0.025, true), 0.05/6+0.025; math.Abs(got-want) > 1e-15 {
		t.Errorf("after a keep %v, want %v", got, want)
	}
}

// The bounds are quantiles of Student's t from printed tables: 0.0125 at 11 and 0.025 at 23 degrees of freedom.
func TestLooks(t *testing.T) {
	looks := Confirmation{Alpha: 0.05, Pairs: 24}.Looks()
	if len(looks) != 4 || looks[0].Pairs != 3 || looks[1].Pairs != 6 || looks[2].Pairs != 12 || looks[3].Pairs != 24 {
		t.Fatalf("%+v", looks)
	}
	if math.Abs(looks[2].Bound-2.5931) > 1e-4 || math.Abs(looks[3].Bound-2.0687) > 1e-4 {
		t.Errorf("bounds %v and %v", looks[2].Bound, looks[3].Bound)
	}
	for pairs, want := range map[int]bool{1: true, 4: true, 8: false, 24: false} {
		if got := (Confirmation{Alpha: 0.025, Pairs: pairs}).Underpowered(); got != want {
			t.Errorf("%d pairs are underpowered: %v", pairs, got)
		}
	}
	if !(Confirmation{Alpha: 0.0005, Pairs: 8}).Underpowered() {
		t.Error("8 pairs reach 0.0005")
	}
	if n := (Confirmation{Alpha: 0.025, Pairs: 24}).Least(); n < 5 || n > 8 {
		t.Errorf("%d pairs suffice", n)
	}
}

func TestHalvesOfAPair(t *testing.T) {
	firsts := 0
	for replicate := 1; replicate < 4000; replicate += 2 {
		pair, first := PairOf(7, 3, replicate)
		other, second := PairOf(7, 3, replicate+1)
		if pair != other || first == second {
			t.Fatalf("replicates %d and %d are no pair", replicate, replicate+1)
		}
		if first {
			firsts++
		}
	}
	if firsts < 900 || firsts > 1100 {
		t.Errorf("the incumbent goes first in %d of 2000 pairs", firsts)
	}
}

// contested is a judgement on a trial whose pairs are all measured.
func contested(kind NoiseKind, candidates, incumbents []Measurement) Judgement {
	trigger, reference := 5.0, 10.0
	first := valid(trigger)
	return Judgement{
		Rule: KeepRule{Rule: Confirmed, Alpha: 0.05, Pairs: 24}, Score: ScoreRule{Unit: "s", Direction: Minimize}, Trial: 4, Candidate: first,
		Incumbent: 3, Reference: &reference, ReferenceN: 10, Noise: &Noise{Kind: kind, N: 10, SD: 0.1}, NoiseKind: kind,
		Contest: &Contest{Confirmation: Confirmation{Number: 1, Trial: 4, Incumbent: 3, Alpha: 0.025, Pairs: 24}, Candidates: candidates, Incumbents: incumbents},
	}
}

func TestContest(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	gate := Bound{Name: "accuracy", Gate: true, Metric: "accuracy", Min: ptr(0.98), Outcome: Disqualified}
	gated := func(n int, accuracies ...float64) []Measurement {
		ms := around(rng, n, 9, 0.1)
		for i := range ms {
			m := MarginOf(gate, accuracies[i%len(accuracies)])
			ms[i].Margins = []Margin{m}
			if !m.Holds() {
				ms[i].Outcome = Disqualified
			}
		}
		return ms
	}
	crashed := around(rng, 2, 9, 0.1)
	crashed[1] = Measurement{Outcome: Crash, Reason: "boom"}
	for name, test := range map[string]struct {
		kind                   NoiseKind
		candidates, incumbents []Measurement
		step                   Step
		outcome                Outcome
		keep                   bool
		reason                 string
	}{
		"a true gain":                {Timing, around(rng, 3, 9, 0.01), around(rng, 3, 10, 0.01), ToJudge, Valid, true, "confirmed: "},
		"no gain":                    {Timing, around(rng, 6, 10.2, 0.1), around(rng, 6, 10, 0.1), ToJudge, Valid, false, "unconfirmed: it looked 5 s better, and is "},
		"too early to give up":       {Timing, around(rng, 3, 10.2, 0.1), around(rng, 3, 10, 0.1), ToMeasure, Valid, false, ""},
		"in the midst of a pair":     {Timing, around(rng, 3, 9, 0.01), around(rng, 2, 10, 0.01), ToMeasure, Valid, false, ""},
		"a gate missed now and then": {Timing, gated(6, 0.979, 0.985), around(rng, 6, 10, 0.1), ToJudge, Valid, true, "confirmed: "},
		"a gate missed on average":   {Timing, gated(6, 0.979, 0.98), around(rng, 6, 10, 0.1), ToJudge, Disqualified, false, "accuracy 0.9795 on average"},
		"a crash":                    {Timing, crashed, around(rng, 1, 10, 0.1), ToJudge, Crash, false, "measured again: boom"},
		"an incumbent that crashes":  {Timing, around(rng, 1, 9, 0.1), []Measurement{{Outcome: Crash, Reason: "boom"}}, ToJudge, Valid, false, "the incumbent 003 could not be measured again"},
		"a seed that is ignored":     {Seeded, around(rng, 6, 9, 0), around(rng, 6, 10, 0.1), ToJudge, Valid, false, "must use MENDEL_SEED"},
		"three that are equal":       {Seeded, around(rng, 3, 9, 0), around(rng, 3, 10, 0.1), ToMeasure, Valid, false, ""},
	} {
		j := contested(test.kind, test.candidates, test.incumbents)
		if got := Next(j); got != test.step {
			t.Errorf("%s: step %d, want %d", name, got, test.step)
			continue
		}
		if test.step != ToJudge {
			continue
		}
		v := Judge(j)
		if v.Keep != test.keep || j.Outcome() != test.outcome || !strings.Contains(v.Reason, test.reason) {
			t.Errorf("%s: keep %v, %s, %q; want %v, %s and %q", name, v.Keep, j.Outcome(), v.Reason, test.keep, test.outcome, test.reason)
		}
		if test.outcome == Valid && v.Keep != (v.Confirmation.High < 0) {
			t.Errorf("%s: kept is %v with an interval from %v to %v", name, v.Keep, v.Confirmation.Low, v.Confirmation.High)
		}
	}
}

func TestWithoutNoiseNothingIsMeasuredAgain(t *testing.T) {
	reference := 10.0
	j := Judgement{Rule: KeepRule{Rule: Confirmed, Alpha: 0.05, Pairs: 24}, Score: ScoreRule{Direction: Maximize}, Trial: 1,
		Candidate: valid(10.000001), Reference: &reference, NoiseKind: None}
	if Next(j) != ToJudge || !Judge(j).Keep {
		t.Errorf("an exact gain: step %d, %+v", Next(j), Judge(j))
	}
}

func TestKeepRuleComplete(t *testing.T) {
	k, err := KeepRule{Rule: Confirmed}.Complete()
	if err != nil || k.Alpha != ConfirmedAlpha || k.Pairs != ConfirmedPairs {
		t.Errorf("%+v, %v", k, err)
	}
	for _, bad := range []KeepRule{{Rule: Confirmed, Alpha: 0.7}, {Rule: Confirmed, Alpha: -1}, {Rule: Confirmed, Pairs: 1}, {Rule: Confirmed, Alpha: 0.0001, Pairs: 6}} {
		if _, err := bad.Complete(); err == nil || Hint(err) == "" {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}
