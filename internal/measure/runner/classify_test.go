package runner

import (
	"testing"
	"time"

	"mendel/internal/measure/bundle"
	"mendel/internal/research"
)

// TestPrecedence fixes which of several causes a trial is known by.
func TestPrecedence(t *testing.T) {
	all := []finding{
		{ours, research.Aborted, "ours", nil},
		{preflight, research.PreflightCrash, "preflight", nil},
		{overrun, research.TrainBudgetOverrun, "overrun", nil},
		{limit, research.SizeBlocked, "limit", nil},
		{failure, research.Crash, "failure", nil},
		{gate, research.Disqualified, "gate", nil},
	}
	for i := range all {
		for j := range all {
			if got := decide([]finding{all[j], all[i]}); got.reason != all[min(i, j)].reason {
				t.Errorf("%s and %s together: decided by %s", all[j].reason, all[i].reason, got.reason)
			}
		}
	}
	if got := decide(nil).outcome; got != research.Valid {
		t.Errorf("nothing found: %s, want valid", got)
	}
	first := finding{limit, research.SizeBlocked, "first", nil}
	if got := decide([]finding{first, all[3]}); got.reason != "first" {
		t.Errorf("of two equal causes %q was chosen, want the first", got.reason)
	}
}

func TestJudgeBounds(t *testing.T) {
	f := func(v float64) *float64 { return &v }
	plan := &bundle.Plan{
		Phases: []bundle.Phase{
			{Name: "train", Budget: research.Duration(20 * time.Second), Grace: research.Duration(time.Second)},
			{Name: "evaluate", Budget: research.Duration(1500 * time.Millisecond)},
		},
		Bounds: []research.Bound{
			{Name: "train", Metric: "wall(train)", Unit: "s", Max: f(21), Outcome: research.TrainBudgetOverrun},
			{Name: "evaluate", Metric: "wall(evaluate)", Unit: "s", Max: f(1.5), Outcome: research.EvalBudgetOverrun},
			{Name: "artifact_bytes", Metric: "artifact_bytes", Unit: "B", Max: f(64000), Outcome: research.SizeBlocked},
			{Name: "accuracy", Gate: true, Metric: "accuracy", Min: f(0.98), Outcome: research.Disqualified},
		},
	}
	for _, tt := range []struct {
		name        string
		walls       map[string]timed
		metrics     map[string]float64
		outcome     research.Outcome
		reason      string
		wantMargins int
	}{
		{"all hold, to the edge", map[string]timed{"train": {21, false}, "evaluate": {1, false}},
			map[string]float64{"artifact_bytes": 64000, "accuracy": 0.98}, research.Valid, "", 4},
		{"train too long, though it finished", map[string]timed{"train": {23.44, false}}, nil,
			research.TrainBudgetOverrun, "train ran 23.4 s, over its budget of 20 s (+1 s grace)", 1},
		{"train killed before the clock shows it", map[string]timed{"train": {20.9, true}}, nil,
			research.TrainBudgetOverrun, "train was killed after 20.9 s, over its budget of 20 s (+1 s grace)", 1},
		{"evaluate too slow", map[string]timed{"train": {1, false}, "evaluate": {2, false}}, nil,
			research.EvalBudgetOverrun, "evaluate ran 2 s, over its budget of 1.5 s", 2},
		{"too large", nil, map[string]float64{"artifact_bytes": 66056, "accuracy": 0.99},
			research.SizeBlocked, "artifact_bytes 66,056 B: 2,056 B over 64,000 B", 2},
		{"short of the gate", nil, map[string]float64{"artifact_bytes": 1, "accuracy": 0.97956},
			research.Disqualified, "accuracy 0.97956: 0.00044 short of 0.98", 2},
		{"too long, too large and short of the gate", map[string]timed{"train": {30, false}},
			map[string]float64{"artifact_bytes": 66056, "accuracy": 0.5},
			research.TrainBudgetOverrun, "train ran 30 s, over its budget of 20 s (+1 s grace)", 3},
		{"too large and short of the gate", nil, map[string]float64{"artifact_bytes": 66056, "accuracy": 0.5},
			research.SizeBlocked, "artifact_bytes 66,056 B: 2,056 B over 64,000 B", 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			metrics := map[string]research.MetricValue{}
			for name, v := range tt.metrics {
				metrics[name] = research.MetricValue{Value: v}
			}
			margins, found := judgeBounds(plan, metrics, tt.walls)
			got := decide(found)
			if got.outcome != tt.outcome || got.reason != tt.reason {
				t.Errorf("%s: %q\nwant %s: %q", got.outcome, got.reason, tt.outcome, tt.reason)
			}
			if len(margins) != tt.wantMargins {
				t.Errorf("%d margins, want %d: %+v", len(margins), tt.wantMargins, margins)
			}
			for _, m := range margins {
				if m.AtLeast != tt.walls[m.Bound.Name].killed {
					t.Errorf("margin of %s: at least = %t", m.Bound.Name, m.AtLeast)
				}
			}
		})
	}
}

func TestAggregate(t *testing.T) {
	plan := &bundle.Plan{Metrics: map[string]bundle.Metric{
		"mean":  {Source: research.FromEvaluator},
		"max":   {Source: research.FromEvaluator, Aggregate: "max"},
		"last":  {Source: research.FromEvaluator, Aggregate: "last"},
		"bytes": {Source: research.FromHarness, Measure: "bytes(artifact)"},
		"time":  {Source: research.FromHarness, Measure: "wall(train) + wall(evaluate)"},
		"code":  {Source: research.FromHarness, Measure: "bytes(code)"},
		"loss":  {Source: research.FromRecipeLog, Pattern: `loss=(\S+)`, Phase: "train", Take: "first"},
	}}
	record := func(v float64, finished bool) *seedRecord {
		s := newSeedRecord()
		s.wall["train"], s.artifact, s.collected = v, 100*v, true
		s.logs["train"] = []byte("loss=5 loss=nan")
		if finished {
			s.wall["evaluate"] = 1
			s.evaluator = map[string]float64{"mean": v, "max": v, "last": v}
		}
		return s
	}
	got := aggregateMetrics(plan, []*seedRecord{record(1, true), record(3, true), record(2, true)}, 3, 42)
	for name, want := range map[string]float64{"mean": 2, "max": 3, "last": 2, "bytes": 300, "time": 3, "code": 42, "loss": 5} {
		if got[name].Value != want {
			t.Errorf("%s = %v, want %v", name, got[name].Value, want)
		}
	}
	// A seed that did not get to its end: its means say nothing, but a size that is too large stays so.
	got = aggregateMetrics(plan, []*seedRecord{record(1, true), record(3, false)}, 3, 42)
	for _, name := range []string{"mean", "max", "last", "time"} {
		if v, ok := got[name]; ok {
			t.Errorf("%s = %v after two of three seeds, want none", name, v.Value)
		}
	}
	if got["bytes"].Value != 300 || got["code"].Value != 42 {
		t.Errorf("sizes after two of three seeds: %v, %v; want 300, 42", got["bytes"].Value, got["code"].Value)
	}
	plan.Metrics["loss"] = bundle.Metric{Source: research.FromRecipeLog, Pattern: `loss=(\S+)`, Phase: "train"}
	if v, ok := aggregateMetrics(plan, []*seedRecord{record(1, true)}, 1, 0)["loss"]; ok {
		t.Errorf("a reported NaN was taken as %v", v.Value)
	}
}
