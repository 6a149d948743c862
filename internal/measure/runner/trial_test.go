package runner_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mendel/internal/measure/bundle"
	"mendel/internal/measure/runner"
	"mendel/internal/measure/sandbox"
	"mendel/internal/research"
)

// A trial is a small task and a recipe for it, for tests. The subject's answer to the one
// question is compared with a held-out number.
type trial struct {
	recipe    map[string]string
	evaluator map[string]string
	plan      bundle.Plan
	seeds     []int64
	level     sandbox.Level
	fill      map[string]string // for @NAME@ in the recipe

	adjustSpec func(*bundle.Spec)
}

// goodRecipe answers what the evaluator below asks, from what it left in train.
const goodRecipe = `
import os, struct, sys
if "--serve" in sys.argv:
    import mendel_subject
    half = float(open(os.environ["MENDEL_ARTIFACT"] + "/model.txt").read())
    def predict(x):
        data, shape = x
        (v,) = struct.unpack("<d", data)
        return [(struct.pack("<d", v * half), shape)]
    mendel_subject.numpy = None
    mendel_subject.serve(predict=predict)
elif "--smoke" in sys.argv:
    print("smoke")
else:
    assert open(os.environ["MENDEL_DATA"] + "/train/numbers.txt").read() == "2 4 6"
    print("loss 0.25")
    print("loss 0.125")
    with open(os.environ["MENDEL_OUT"] + "/model.txt", "w") as f:
        f.write("0.5")
`

// goodEvaluator wants half of the held-out number, and scores by the distance.
const goodEvaluator = `
import os, struct
import mendel_evaluator
mendel_evaluator.numpy = None
answer = float(open(os.environ["MENDEL_DATA"] + "/heldout/answer.txt").read())
s = mendel_evaluator.connect()
(data, shape) = s.call("predict", ("f8", [1], struct.pack("<d", 2 * answer)), expect=[("f8", (1,))], deadline=5)
s.close()
(got,) = struct.unpack("<d", data)
mendel_evaluator.result({"error": abs(got - answer), "accuracy": 1 - abs(got - answer), "extra": 1})
`

// heldOut is the number that no recipe may see.
const heldOut = "1234.5"

func newTrial() *trial {
	ms := func(n int) research.Duration { return research.Duration(time.Duration(n) * time.Millisecond) }
	f := func(v float64) *float64 { return &v }
	return &trial{
		recipe:    map[string]string{"train.py": goodRecipe},
		evaluator: map[string]string{"score.py": goodEvaluator},
		seeds:     []int64{7},
		plan: bundle.Plan{
			Name: "halves", Language: "python", Editable: []string{"train.py"}, Sandbox: "none",
			Environment: bundle.Environment{Python: &bundle.Python{Threads: 1}},
			Phases: []bundle.Phase{
				{Name: "preflight", Run: []string{"python3", "train.py", "--smoke"}, Once: true, Timeout: ms(10_000), KillAfter: ms(10_000), OnFail: research.PreflightCrash},
				{Name: "train", Run: []string{"python3", "train.py"}, Budget: ms(20_000), Grace: ms(1_000), KillAfter: ms(21_000), OnOverrun: research.TrainBudgetOverrun, OnFail: research.Crash},
				{Name: "evaluate", Evaluator: []string{"python3", "{evaluator}/score.py"}, Subject: []string{"python3", "train.py", "--serve"},
					Budget: ms(20_000), KillAfter: ms(20_000), OnOverrun: research.EvalBudgetOverrun, OnFail: research.Crash},
			},
			Artifact: bundle.Artifact{Files: []string{"model.txt"}},
			Metrics: map[string]bundle.Metric{
				"error":          {Source: research.FromEvaluator},
				"accuracy":       {Source: research.FromEvaluator},
				"seconds":        {Source: research.FromHarness, Unit: "s", Measure: "wall(train) + wall(evaluate)"},
				"artifact_bytes": {Source: research.FromHarness, Unit: "B", Measure: "bytes(artifact)"},
				"code_bytes":     {Source: research.FromHarness, Unit: "B", Measure: "bytes(code)"},
				"loss":           {Source: research.FromRecipeLog, Pattern: `loss ([\d.]+)`, Phase: "train"},
			},
			Score: research.ScoreRule{Metric: "error", Direction: research.Minimize},
			Bounds: []research.Bound{
				{Name: "train", Metric: "wall(train)", Unit: "s", Max: f(21), Outcome: research.TrainBudgetOverrun},
				{Name: "evaluate", Metric: "wall(evaluate)", Unit: "s", Max: f(20), Outcome: research.EvalBudgetOverrun},
				{Name: "artifact_bytes", Metric: "artifact_bytes", Unit: "B", Max: f(100), Outcome: research.SizeBlocked},
				{Name: "accuracy", Gate: true, Metric: "accuracy", Min: f(0.9), Outcome: research.Disqualified},
			},
			Resources: bundle.Resources{CPUs: 1, Memory: 256 << 20, Disk: 16 << 20, Processes: 32, Output: 4 << 20},
		},
	}
}

// phase is one phase of the plan, to be changed.
func (tr *trial) phase(name string) *bundle.Phase {
	i := slices.IndexFunc(tr.plan.Phases, func(p bundle.Phase) bool { return p.Name == name })
	return &tr.plan.Phases[i]
}

// budget changes a phase's budget and its bound.
func (tr *trial) budget(name string, budget, killAfter time.Duration) {
	p := tr.phase(name)
	p.Budget, p.Grace, p.KillAfter = research.Duration(budget), 0, research.Duration(killAfter)
	for i, b := range tr.plan.Bounds {
		if b.Name == name {
			s := budget.Seconds()
			tr.plan.Bounds[i].Max = &s
		}
	}
}

// bundle writes the bundle of an attempt at the trial.
func (tr *trial) bundle(t *testing.T) bundle.Bundle {
	t.Helper()
	dir := openDir(t)
	write := func(dir string, files map[string]string) string {
		t.Helper()
		for _, name := range slices.Sorted(maps.Keys(files)) {
			path := filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(files[name]), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	tr.plan.Data = []bundle.Data{
		{Name: "train", Path: write(filepath.Join(dir, "data/train"), map[string]string{"numbers.txt": "2 4 6"}), VisibleTo: []string{"train"}},
		{Name: "heldout", Path: write(filepath.Join(dir, "data/heldout"), map[string]string{"answer.txt": heldOut}), VisibleTo: []string{bundle.ForEvaluator}},
	}
	evaluator := write(filepath.Join(dir, "evaluator"), tr.evaluator)
	at := filepath.Join(dir, "bundles", "001-0-1")
	filled := strings.NewReplacer("@HELDOUT@", filepath.Join(dir, "data/heldout"), "@EVALUATOR@", evaluator, "@BUNDLE@", at)
	files := []bundle.File{}
	for name, text := range tr.recipe {
		for word, value := range tr.fill {
			text = strings.ReplaceAll(text, "@"+word+"@", value)
		}
		tr.recipe[name] = filled.Replace(text)
		files = append(files, bundle.File{Path: name, Mode: 0o644, Data: []byte(tr.recipe[name])})
	}
	tree := write(filepath.Join(dir, "recipe"), tr.recipe)
	if tr.adjustSpec == nil {
		tr.adjustSpec = func(*bundle.Spec) {}
	}
	treeHash, err := bundle.HashTree(tree)
	if err != nil {
		t.Fatal(err)
	}
	evaluatorHash, err := bundle.HashDir(evaluator)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	spec := bundle.Spec{
		Run: "test", Attempt: research.Attempt{Trial: 1, Number: 1, Token: "token-1", Seeds: tr.seeds},
		TreeHash: treeHash, EvaluatorHash: evaluatorHash, Task: tr.plan, Self: self, CacheDir: cacheDir(t),
		Site: bundle.Site{Python: pythonForTests(t)},
	}
	tr.adjustSpec(&spec)
	b, err := bundle.Create(at, spec, files, evaluator)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { bundle.Remove(b.Dir) })
	return b
}

// run measures the trial in this process.
func (tr *trial) run(t *testing.T) (research.Measurement, bundle.Bundle) {
	t.Helper()
	b := tr.bundle(t)
	host := probed()
	if tr.level != "" {
		host = host.Limit(tr.level)
		if host.Level != tr.level {
			t.Skipf("this host offers at most %s", probed().Level)
		}
	}
	if err := runner.Run(t.Context(), b.Dir, runner.Options{Host: host}); err != nil {
		t.Fatal(err)
	}
	return resultOf(t, b), b
}

func resultOf(t *testing.T, b bundle.Bundle) research.Measurement {
	t.Helper()
	r, err := b.Result()
	if err != nil {
		t.Fatal(err)
	}
	if t.Failed() || testing.Verbose() {
		t.Cleanup(func() { t.Logf("%s: %s", r.Measurement.Outcome, r.Measurement.Reason) })
	}
	return r.Measurement
}

// log is all that was stored of what a phase printed.
func logOf(t *testing.T, b bundle.Bundle, m research.Measurement, phase string) string {
	t.Helper()
	r, err := b.Result()
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, p := range m.Phases {
		if p.Phase != phase || p.Log == "" {
			continue
		}
		text, err := os.ReadFile(filepath.Join(b.Logs(), r.Logs[p.Log]))
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	return all.String()
}

// probed is what this host offers, found out once.
var probed = sync.OnceValue(func() *sandbox.Host { return sandbox.Probe(context.Background()) })

// openDir is a temporary directory that other users can pass through, as bundles lie in.
func openDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		if os.Chmod(d, 0o755) != nil {
			break
		}
	}
	return dir
}

// cacheDir is shared by all tests, so that the environment is resolved once.
var cache = sync.OnceValues(func() (string, error) {
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("mendel-runner-test-%d", os.Getuid()))
	return dir, os.MkdirAll(dir, 0o755)
})

func cacheDir(t *testing.T) string {
	t.Helper()
	dir, err := cache()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// pythonForTests skips the test where there is no Python.
func pythonForTests(t *testing.T) string {
	t.Helper()
	for _, p := range []string{"/usr/bin/python3", "/usr/local/bin/python3"} {
		if _, err := os.Stat(p); err == nil {
			return p
		}
	}
	t.Skip("no python3 on this host")
	return ""
}
