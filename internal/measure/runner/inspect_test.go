package runner_test

import (
	"strings"
	"testing"
	"time"

	"mendel/internal/measure/bundle"
	"mendel/internal/research"
)

// weigh is a task's own program that counts what training left, in its own way.
const weigh = `
import json, os
n = os.path.getsize(os.environ["MENDEL_ARTIFACT"] + "/model.txt") + len(open("/recipe/train.py").read().split("#")[0])
assert "MENDEL_DATA" not in os.environ
json.dump({"packed_bytes": n}, open(os.environ["MENDEL_RESULT"], "w"))
print(n, "bytes packed")
raise SystemExit(n > 5000)
`

// inspecting adds the program above to a trial, after preflight and after training.
func inspecting(tr *trial) *trial {
	tr.evaluator["weigh.py"] = weigh
	inspect := func(name string, once bool, outcome research.Outcome) bundle.Phase {
		return bundle.Phase{Name: name, Run: []string{"python3", "{evaluator}/weigh.py"}, Trusted: true, Once: once,
			Timeout: research.Duration(20 * time.Second), KillAfter: research.Duration(20 * time.Second), OnFail: outcome}
	}
	p := tr.plan.Phases
	tr.plan.Phases = []bundle.Phase{p[0], inspect("project", true, research.SizeBlocked), p[1], inspect("pack", false, research.Crash), p[2]}
	most := 5000.0
	tr.plan.Metrics["packed_bytes"] = bundle.Metric{Source: research.FromEvaluator, Unit: "B"}
	tr.plan.Bounds = append(tr.plan.Bounds, research.Bound{Name: "packed_bytes", Metric: "packed_bytes", Unit: "B", Max: &most, Outcome: research.SizeBlocked})
	tr.recipe["train.py"] = strings.Replace(goodRecipe, `print("smoke")`, `open(os.environ["MENDEL_OUT"] + "/model.txt", "w").write("1" * SIZE)`, 1)
	tr.fill = map[string]string{}
	return tr
}

func TestInspection(t *testing.T) {
	tr := inspecting(newTrial())
	tr.recipe["train.py"] = strings.ReplaceAll(tr.recipe["train.py"], "SIZE", "9") + "# a comment weighs nothing"
	m, _ := tr.run(t)
	code := len(tr.recipe["train.py"]) - len("# a comment weighs nothing")
	if v := m.Metrics["packed_bytes"]; m.Outcome != research.Valid || v.Value != float64(code+3) || v.Source != research.FromEvaluator {
		t.Errorf("%s (%s): packed_bytes %+v, want %d", m.Outcome, m.Reason, v, code+3)
	}
	if p := phaseRun(m, "pack"); !strings.Contains(p.Tail, "bytes packed") {
		t.Errorf("specialists do not see how it was counted: %+v", p)
	}
}

// What preflight leaves is weighed before anything is trained, and the margin is known.
func TestInspectionStopsBeforeTraining(t *testing.T) {
	tr := inspecting(newTrial())
	tr.recipe["train.py"] = strings.ReplaceAll(tr.recipe["train.py"], "SIZE", "6000")
	m, _ := tr.run(t)
	if m.Outcome != research.SizeBlocked || !strings.Contains(m.Reason, "bytes packed") {
		t.Errorf("%s: %s", m.Outcome, m.Reason)
	}
	if p := phaseRun(m, "train"); p.Phase != "" {
		t.Errorf("training ran: %+v", p)
	}
	margin := research.Margin{}
	for _, got := range m.Margins {
		if got.Bound.Name == "packed_bytes" {
			margin = got
		}
	}
	if margin.Slack >= 0 {
		t.Errorf("margins %+v", m.Margins)
	}
}

// A preflight that leaves nothing to weigh is stopped there.
func TestInspectionOfNothing(t *testing.T) {
	tr := inspecting(newTrial())
	tr.recipe["train.py"] = goodRecipe
	if m, _ := tr.run(t); m.Outcome != research.PreflightCrash || !strings.Contains(m.Reason, "no model.txt was left") {
		t.Errorf("%s: %s", m.Outcome, m.Reason)
	}
}

// A cache reaches the phases after it; nothing else that its phase wrote does.
func TestCache(t *testing.T) {
	tr := newTrial()
	tr.plan.Cache = &bundle.Cache{From: "preflight", Files: []string{"compiled/**"}}
	tr.seeds = []int64{1, 2}
	tr.recipe["train.py"] = strings.NewReplacer(
		`print("smoke")`, `out = os.environ["MENDEL_OUT"]; os.mkdir(out + "/compiled"); open(out + "/compiled/k.o", "w").write("k"); open(out + "/model.txt", "w").write("0.9"); assert "MENDEL_DATA" not in os.environ`,
		`print("loss 0.25")`, `assert open(os.environ["MENDEL_CACHE"] + "/compiled/k.o").read() == "k" and os.listdir(os.environ["MENDEL_CACHE"]) == ["compiled"] and not os.listdir(os.environ["MENDEL_OUT"])
    try: open(os.environ["MENDEL_CACHE"] + "/compiled/weights", "w"); raise SystemExit("the cache can be written")
    except OSError: pass`,
		`half = `, `assert "MENDEL_CACHE" not in os.environ; half = `,
	).Replace(goodRecipe)
	if m, _ := tr.run(t); m.Outcome != research.Valid || m.Metrics["artifact_bytes"].Value != 3 {
		t.Errorf("%s: %s; %+v", m.Outcome, m.Reason, m.Metrics["artifact_bytes"])
	}
}

// Where one process trains and evaluates, each part has its own budget and its own over-run.
func TestPartsOfATrial(t *testing.T) {
	const recipe = `
import os, time
print("compiled"); time.sleep(TRAIN)
print("stopping_early"); time.sleep(EVALUATE)
print("score 0.25")
open(os.environ["MENDEL_OUT"] + "/model.txt", "w").write("0.5")
`
	for name, c := range map[string]struct {
		train, evaluate string
		want            research.Outcome
		reason          string
		score           bool
	}{
		"valid":                 {train: "0", evaluate: "0", want: research.Valid, score: true},
		"train runs out":        {train: "60", evaluate: "0", want: research.TrainBudgetOverrun, reason: "train was killed after"},
		"evaluate runs out":     {train: "0", evaluate: "60", want: research.EvalBudgetOverrun, reason: "evaluate was killed after"},
		"crash":                 {train: "0", evaluate: "1/0", want: research.Crash, reason: "ZeroDivisionError"},
		"over, but not too far": {train: "0", evaluate: "1.2", want: research.EvalBudgetOverrun, reason: "evaluate ran", score: true},
	} {
		t.Run(name, func(t *testing.T) {
			tr := newTrial()
			seconds := func(s float64) research.Duration { return research.Duration(s * float64(time.Second)) }
			bound := func(name string, max float64, o research.Outcome) research.Bound {
				return research.Bound{Name: name, Metric: "wall(" + name + ")", Unit: "s", Max: &max, Outcome: o}
			}
			tr.recipe["train.py"] = strings.NewReplacer("TRAIN", c.train, "EVALUATE", c.evaluate).Replace(recipe)
			tr.plan.Phases = []bundle.Phase{{Name: "run", Run: []string{"python3", "train.py"}, KillAfter: seconds(120), OnFail: research.Crash, Parts: []bundle.Part{
				{Name: "setup", Budget: seconds(60), KillAfter: seconds(60), OnOverrun: research.TrainBudgetOverrun},
				{Name: "train", From: "^compiled$", Budget: seconds(5), KillAfter: seconds(5), OnOverrun: research.TrainBudgetOverrun},
				{Name: "evaluate", From: "^stopping_early$", Budget: seconds(1), KillAfter: seconds(8), OnOverrun: research.EvalBudgetOverrun},
			}}}
			tr.plan.Metrics = map[string]bundle.Metric{
				"bpb":     {Source: research.FromRecipeLog, Pattern: `score ([\d.]+)`, Phase: "run"},
				"train_s": {Source: research.FromRecipeLog, Unit: "s", Measure: "wall(train)"},
			}
			tr.plan.Score = research.ScoreRule{Metric: "bpb", Direction: research.Minimize, SelfReported: true}
			tr.plan.Bounds = []research.Bound{
				bound("setup", 60, research.TrainBudgetOverrun), bound("train", 5, research.TrainBudgetOverrun), bound("evaluate", 1, research.EvalBudgetOverrun),
			}
			m, b := tr.run(t)
			if m.Outcome != c.want || !strings.Contains(m.Reason, c.reason) || (m.Score != nil) != c.score {
				t.Errorf("%s: %s; score %v; log %q", m.Outcome, m.Reason, m.Score, logOf(t, b, m, "run"))
			}
			if v, ok := m.Metrics["train_s"]; c.want != research.TrainBudgetOverrun && (!ok || v.Source != research.FromRecipeLog) && c.want != research.Crash {
				t.Errorf("train_s %+v", m.Metrics)
			}
			if log := logOf(t, b, m, "run"); !strings.Contains(log, "[parts] setup ") {
				t.Errorf("the operator does not see the parts: %s", log)
			}
		})
	}
}
