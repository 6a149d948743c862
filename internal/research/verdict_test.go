package research

import (
	"math"
	"strings"
	"testing"
)

func valid(score float64) Measurement { return Measurement{Outcome: Valid, Score: &score} }

func TestJudge(t *testing.T) {
	noise := &Noise{Kind: Timing, N: 3, Mean: 10, SD: 0.5}
	seconds := ScoreRule{Metric: "total_s", Unit: "s", Direction: Minimize}
	core := ScoreRule{Metric: "core", Direction: Maximize}
	nearMiss := valid(9)
	nearMiss.Outcome, nearMiss.Reason = Disqualified, "accuracy 0.97956: 0.00044 short of 0.98"
	tests := map[string]struct {
		score     ScoreRule
		trial     TrialID
		candidate Measurement
		incumbent float64
		keep      bool
		reason    []string // each must be in the reason
	}{
		"lower is better":          {seconds, 4, valid(9), 10, true, []string{"1 s better than 003", "10 → 9", "2.0 sd"}},
		"higher is worse":          {seconds, 4, valid(11), 10, false, []string{"1 s worse than 003"}},
		"equal is not better":      {seconds, 4, valid(10), 10, false, []string{"exactly as good as 003"}},
		"higher is better":         {core, 4, valid(0.2), 0.1, true, []string{"0.1 better"}},
		"a gate stops a near miss": {seconds, 4, nearMiss, 10, false, []string{"0.00044 short", "beats 003 by 1 s"}},
		"our failure is no evidence": {seconds, 4, Measurement{Outcome: Aborted, Reason: "disk full"}, 10, false,
			[]string{"says nothing about the idea", "disk full"}},
		"the baseline is kept by nobody": {seconds, 0, valid(9), 10, false, []string{"as the run found it"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			v := Judge(Judgement{
				Rule: KeepRule{Rule: Strict}, Score: test.score, Trial: test.trial, Candidate: test.candidate,
				Incumbent: 3, Reference: &test.incumbent, Noise: noise,
			})
			if v.Keep != test.keep {
				t.Errorf("keep is %v, want %v (%s)", v.Keep, test.keep, v.Reason)
			}
			for _, want := range test.reason {
				if !strings.Contains(v.Reason, want) {
					t.Errorf("reason %q does not say %q", v.Reason, want)
				}
			}
		})
	}
}

func TestJudgeWithoutNoiseSaysNothingOfIt(t *testing.T) {
	reference := 10.0
	v := Judge(Judgement{Rule: KeepRule{Rule: Strict}, Score: ScoreRule{Direction: Minimize}, Trial: 1, Candidate: valid(9),
		Reference: &reference, Noise: &Noise{N: 1}})
	if v.Noise != nil || strings.Contains(v.Reason, "sd") {
		t.Errorf("one measurement has no spread, yet: %+v", v)
	}
}

func TestStatusOf(t *testing.T) {
	for _, test := range []struct {
		id      TrialID
		outcome Outcome
		keep    bool
		want    Status
	}{
		{0, Valid, false, StatusBaseline}, {1, Valid, true, StatusKeep}, {1, Valid, false, StatusDiscard},
		{0, Crash, false, Status(Crash)}, {1, EvalBudgetOverrun, false, Status(EvalBudgetOverrun)}, {1, Aborted, false, Status(Aborted)},
	} {
		if got := StatusOf(test.id, test.outcome, Verdict{Keep: test.keep}); got != test.want {
			t.Errorf("trial %s, %s, keep=%v: %s, want %s", test.id, test.outcome, test.keep, got, test.want)
		}
	}
}

func TestPool(t *testing.T) {
	gate := Bound{Name: "accuracy", Gate: true, Metric: "accuracy", Min: ptr(0.98)}
	one := func(score, accuracy float64) Measurement {
		m := valid(score)
		m.Metrics = map[string]MetricValue{"accuracy": {Value: accuracy, Seeds: []float64{accuracy}}}
		m.Margins = []Margin{MarginOf(gate, accuracy)}
		return m
	}
	pooled := Pool([]Measurement{one(1, 0.98), one(2, 0.99), one(6, 0.985)})
	if *pooled.Score != 3 || pooled.Replicates != 3 {
		t.Errorf("pooled score %v of %d replicates, want 3 of 3", *pooled.Score, pooled.Replicates)
	}
	if got := pooled.Margins[0].Slack; math.Abs(got-0.005) > 1e-12 {
		t.Errorf("pooled slack %v, want 0.005", got)
	}
	failed := Measurement{Outcome: Crash, Reason: "boom"}
	if got := Pool([]Measurement{one(1, 0.98), failed}); got.Outcome != Crash {
		t.Errorf("a replicate crashed and the pool is %s", got.Outcome)
	}
	if got := Pool(nil); got.Outcome != "" || got.Score != nil {
		t.Errorf("nothing pooled is %+v", got)
	}
}

func TestMarginOf(t *testing.T) {
	size := Bound{Metric: "artifact_bytes", Max: ptr(16_000_000.0)}
	if m := MarginOf(size, 16_002_056); m.Slack != -2056 || m.Holds() {
		t.Errorf("2,056 bytes over: %+v", m)
	}
	if m := MarginOf(size, 16_000_000); !m.Holds() {
		t.Error("exactly at the cap must hold")
	}
	accuracy := Bound{Metric: "accuracy", Min: ptr(0.96)}
	if m := MarginOf(accuracy, 0.95956); math.Abs(m.Slack+0.00044) > 1e-12 || m.Holds() {
		t.Errorf("0.00044 short: %+v", m)
	}
}
