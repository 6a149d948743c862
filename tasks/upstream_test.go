package tasks_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"mendel/internal/measure/bundle"
	"mendel/internal/research"
	"mendel/internal/task"
)

// fromStandIn is a package whose recipe comes from a checkout of a stand-in for its upstream: files of ours
// with the texts that the package's patches change, at a commit that is pinned in a copy of the package.
func fromStandIn(t *testing.T, name string) *task.Task {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed")
	}
	shipped := load(t, name)
	dir, up := filepath.Join(t.TempDir(), name), t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(name)); err != nil {
		t.Fatal(err)
	}
	yaml, err := os.ReadFile(filepath.Join(dir, "task.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	text := regexp.MustCompile(`,? *\bsha256: [0-9a-f]{64}`).ReplaceAllString(string(yaml), "")
	for _, f := range shipped.Upstream.Files {
		as := f.As
		if as == "" {
			as = f.Path
		}
		from, at := filepath.Join(name, "tests", "standin", as), filepath.Join(up, f.Path)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		command := exec.CommandContext(t.Context(), "cp", from, at)
		if f.Unwrap != "" { // and so what packs is the inverse of what unwraps
			command = exec.CommandContext(t.Context(), "/usr/bin/python3", "-B", filepath.Join(name, "evaluator", "pack.py"), "--write", from, at)
		}
		if out, err := command.CombinedOutput(); err != nil {
			t.Skipf("%v: %s", err, out)
		}
	}
	git := func(args ...string) string {
		out, err := exec.CommandContext(t.Context(), "git", append([]string{"-C", up, "-c", "user.name=n", "-c", "user.email=e@localhost"}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	git("init", "--quiet")
	git("add", ".")
	git("commit", "--quiet", "-m", "stand-in")
	text = strings.Replace(text, shipped.Upstream.Commit, git("rev-parse", "HEAD"), 1)
	if err := os.WriteFile(filepath.Join(dir, "task.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	// Knobs are of the true file's constants, of which the stand-in has a few.
	if err := os.WriteFile(filepath.Join(dir, "knobs.yaml"), []byte("[]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	pkg, err := task.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if pkg, err = pkg.WithRecipe(context.Background(), up); err != nil {
		t.Fatalf("%v (hint: %s)", err, research.Hint(err))
	}
	return pkg
}

// recipeOf is a package's starting recipe, with more files beside it.
func recipeOf(t *testing.T, pkg *task.Task, more ...string) map[string][]byte {
	t.Helper()
	taken, err := pkg.RecipeFiles()
	if err != nil {
		t.Fatal(err)
	}
	tree := map[string][]byte{}
	for _, f := range taken {
		tree[f.Path] = f.Data
	}
	for _, file := range more {
		if tree[filepath.Base(file)], err = os.ReadFile(file); err != nil {
			t.Fatal(err)
		}
	}
	return tree
}

// scaled gives a phase or part another budget, after which it is killed at once or never.
func scaled(plan bundle.Plan, name string, budget time.Duration, kill bool) bundle.Plan {
	plan = budgeted(plan, name, budget, kill)
	for i, p := range plan.Phases {
		parts := append([]bundle.Part(nil), p.Parts...)
		for j := range parts {
			if parts[j].Name == name {
				parts[j].Budget, parts[j].Grace = research.Duration(budget), 0
				if kill {
					parts[j].KillAfter = parts[j].Budget
				}
			}
		}
		plan.Phases[i].Parts = parts
	}
	return plan
}

// An upstreamEnding is one way in which a trial of a stand-in can end.
type upstreamEnding struct {
	how     string
	outcome research.Outcome
	reason  string // part of it
	scored  bool
	seeds   []int64 // 1 unless given
	cut     string  // a phase or part that gets a budget of a second,
	kill    bool    // and is killed when it is over
	missed  string  // the bound that does not hold,
	slack   float64 // by how much; not compared when 0
}

func (c upstreamEnding) check(t *testing.T, m research.Measurement) {
	t.Helper()
	if m.Outcome != c.outcome || !strings.Contains(m.Reason, c.reason) {
		t.Fatalf("ended %s (%s) instead of %s (%s)", m.Outcome, m.Reason, c.outcome, c.reason)
	}
	if c.scored != (m.Score != nil) {
		t.Errorf("scored %v", m.Score)
	}
	for _, margin := range m.Margins {
		if margin.Holds() == (margin.Bound.Name == c.missed) {
			t.Errorf("%s: %v with a slack of %v", margin.Bound.Name, margin.Value, margin.Slack)
		}
		if margin.Bound.Name == c.missed && c.slack != 0 && math.Abs(margin.Slack-c.slack) > 1e-9 {
			t.Errorf("%s: a slack of %v, want %v", margin.Bound.Name, margin.Slack, c.slack)
		}
	}
}

func TestParameterGolfOutcomes(t *testing.T) {
	path, err := filepath.Abs(filepath.Join("testdata", "bin"))
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", path+string(os.PathListSeparator)+os.Getenv("PATH"))
	pkg := fromStandIn(t, "parameter-golf")
	pkg.Environment.Python.Packages, pkg.Environment.Programs = nil, []string{"bash", "torchrun"}
	r := &pkg.Resources
	r.CPUs, r.GPUs, r.Memory, r.Disk, r.Processes = 1, 0, 1<<30, 512<<20, 64
	pkg.Data[0].Path = t.TempDir()
	host, spec := prepare(t, pkg)
	spec.Attempt.Seeds = []int64{42}
	recipe := recipeOf(t, pkg)
	for _, c := range []upstreamEnding{
		{how: "well", outcome: research.Valid, scored: true},
		{how: "exception", outcome: research.Crash, reason: "RuntimeError: CUDA error: an illegal memory access"},
		{how: "killed", outcome: research.Crash, reason: "signal"},
		{how: "not a number", outcome: research.Crash, reason: "val_bpb was not measured"},
		{how: "no score", outcome: research.Crash, reason: "val_bpb was not measured"},
		{how: "too large", outcome: research.SizeBlocked, reason: "submission_bytes", scored: true, missed: "submission_bytes"},
		// Packing leaves comments out, and what runs could read them.
		{how: `well" # ` + strings.Repeat("w", 80_000), outcome: research.SizeBlocked, reason: "source_bytes", scored: true, missed: "source_bytes"},
		{how: "too large at once", outcome: research.SizeBlocked, reason: "project: exit status 1", missed: "submission_bytes"},
		{how: "exception at once", outcome: research.PreflightCrash, reason: "preflight: exit status 1: RuntimeError"},
		{how: `"`, outcome: research.PreflightCrash, reason: "SyntaxError"},
		{how: "setup hangs", outcome: research.TrainBudgetOverrun, reason: "setup was killed", cut: "setup", kill: true, missed: "setup"},
		{how: "endless training", outcome: research.TrainBudgetOverrun, reason: "train was killed", cut: "train", kill: true, missed: "train"},
		{how: "endless evaluation", outcome: research.EvalBudgetOverrun, reason: "evaluate was killed", cut: "evaluate", kill: true, missed: "evaluate"},
		{how: "late", outcome: research.EvalBudgetOverrun, reason: "evaluate ran", scored: true, cut: "evaluate", missed: "evaluate"},
		// Printing the end early does not buy time: only the part that begins next ends another, and the sum stays bounded.
		{how: "says it is over before it begins", outcome: research.TrainBudgetOverrun, reason: "train was killed", cut: "train", kill: true, missed: "train"},
	} {
		t.Run(c.how[:min(len(c.how), 40)], func(t *testing.T) {
			t.Parallel()
			s := spec
			if c.cut != "" {
				s.Task = scaled(spec.Task, c.cut, time.Second, c.kill)
			}
			m := attempt(t, host, s, edited(t, recipe, edits{`HOW = "well"`, `HOW = "` + c.how + `"`}), pkg.Evaluator.Dir)
			c.check(t, m)
			if c.how == "well" {
				code := m.Metrics["code_bytes"].Value
				if *m.Score != 1.08079352 || m.Metrics["val_bpb"].Source != research.FromRecipeLog || m.Metrics["model_bytes"].Value != 15_975_300 ||
					m.Metrics["submission_bytes"].Value != 15_975_300+code || m.Metrics["submission_bytes"].Source != research.FromEvaluator {
					t.Errorf("%v %+v", *m.Score, m.Metrics)
				}
			}
		})
	}
}

func TestAirbench96Outcomes(t *testing.T) {
	pkg := fromStandIn(t, "airbench96")
	pkg.Environment.Python.Packages, pkg.Environment.Programs = []string{"numpy"}, []string{"bash"}
	r := &pkg.Resources
	r.CPUs, r.GPUs, r.Memory, r.Disk, r.Processes = 1, 0, 1<<30, 64<<20, 64
	data := t.TempDir()
	const make = `
import sys, numpy
labels = numpy.arange(50_000) % 10
images = numpy.zeros((50_000, 1, 1, 3), "u1")
images[:, 0, 0, 0] = labels
numpy.savez(sys.argv[1] + "/images.npz", images=images, labels=labels)
open(sys.argv[1] + "/train.pt", "w").write("{}")
`
	if out, err := exec.CommandContext(t.Context(), "/usr/bin/python3", "-c", make, data).CombinedOutput(); err != nil {
		t.Skipf("no python3 with NumPy: %s", out)
	}
	for i, d := range pkg.Data {
		pkg.Data[i].Path = filepath.Join(data, map[string]string{"train": "train.pt", "heldout": "images.npz"}[d.Name])
		if d.Name == "certify" {
			pkg.Data[i].Path = ""
		}
		// Each entry is a directory, as prepare_data.py makes it.
		if p := pkg.Data[i].Path; p != "" {
			at := filepath.Join(data, d.Name)
			if err := os.Mkdir(at, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(p, filepath.Join(at, filepath.Base(p))); err != nil {
				t.Fatal(err)
			}
			pkg.Data[i].Path = at
		}
	}
	if pkg.Seeds != 10 {
		t.Errorf("%d seeds; the published task has 10", pkg.Seeds)
	}
	host, spec := prepare(t, pkg)
	recipe := recipeOf(t, pkg, filepath.Join("airbench96", "tests", "standin", "torch.py"))
	for _, c := range []upstreamEnding{
		{how: "well", outcome: research.Valid, scored: true},
		{how: "a hair short", seeds: []int64{1, 2}, outcome: research.Disqualified, scored: true,
			reason: "accuracy 0.95999", missed: "accuracy", slack: -0.00001},
		{how: "nine of ten", seeds: []int64{9, 10}, outcome: research.Crash, reason: "RuntimeError: CUDA error"},
		{how: "too large", outcome: research.SizeBlocked, scored: true, reason: "artifact_bytes", missed: "artifact_bytes"},
		{how: "exception at once", outcome: research.PreflightCrash, reason: "warmup: exit status 1: RuntimeError"},
		{how: `"`, outcome: research.PreflightCrash, reason: "SyntaxError"},
		{how: "endless training", outcome: research.TrainBudgetOverrun, reason: "train was killed", cut: "train", kill: true, missed: "train"},
		{how: "slow answers", outcome: research.EvalBudgetOverrun, reason: "evaluate was killed", cut: "evaluate", kill: true, missed: "evaluate"},
	} {
		t.Run(c.how, func(t *testing.T) {
			s := spec
			if s.Attempt.Seeds = c.seeds; c.seeds == nil {
				s.Attempt.Seeds = []int64{2}
			}
			if c.cut != "" {
				s.Task = scaled(spec.Task, c.cut, 2*time.Second, c.kill)
			}
			m := attempt(t, host, s, edited(t, recipe, edits{`HOW = "well"`, `HOW = "` + c.how + `"`}), pkg.Evaluator.Dir)
			c.check(t, m)
			if c.how == "well" && (m.Metrics["accuracy"].Value != 0.96 || m.Metrics["accuracy"].Source != research.FromEvaluator) {
				t.Errorf("accuracy %+v", m.Metrics["accuracy"])
			}
		})
	}
}

// TestPublishedLogs reads the record's own logs as a trial's would be read.
func TestPublishedLogs(t *testing.T) {
	dir := filepath.Join("..", "..", "shared", "data", "upstream-logs", "parameter-golf")
	if _, err := os.Stat(dir); err != nil {
		t.Skip("the published logs are not beside this repository")
	}
	pkg := load(t, "parameter-golf")
	score := regexp.MustCompile(pkg.Metrics["val_bpb"].Pattern)
	for seed, want := range map[int]float64{42: 1.08079352, 314: 1.08103103, 999: 1.08118408} {
		log, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("train_seed%d.log", seed)))
		if err != nil {
			t.Fatal(err)
		}
		found := score.FindAllSubmatch(log, -1)
		if len(found) != 1 {
			t.Fatalf("seed %d: %d scores", seed, len(found))
		}
		if got, _ := strconv.ParseFloat(string(found[0][1]), 64); got != want {
			t.Errorf("seed %d: %v, want %v", seed, got, want)
		}
		for _, part := range pkg.Phases[2].Parts[1:] { // each begins at one line, and evaluation at one after training
			if regexp.MustCompile("(?m)"+part.From).FindIndex(log) == nil {
				t.Errorf("seed %d: no line begins %s", seed, part.Name)
			}
		}
	}
}

// TestPackCountsAsPublished: docstrings and comments are free, what runs is kept.
func TestPackCountsAsPublished(t *testing.T) {
	const ask = `
import json, sys
sys.path.insert(0, "parameter-golf/evaluator")
import pack
source = sys.stdin.read()
print(json.dumps([pack.stripped(source), len(pack.packed(source))]))
`
	source := "\"\"\"Free.\n\nOver lines.\"\"\"\nimport os  # free\n\n\nclass A:\n    \"\"\"Free.\"\"\"\ndef f(x):\n    \"é free\"; return \"# kept\"\nTEXT = \"\"\"\n# kept\n\n\"\"\"\n"
	command := exec.CommandContext(t.Context(), "/usr/bin/python3", "-B", "-c", ask)
	command.Stdin = strings.NewReader(source)
	out, err := command.Output()
	if err != nil {
		t.Skipf("no python3: %v", err)
	}
	var got [2]any
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	if want := "0\nimport os\nclass A:\n    0\ndef f(x):\n    0; return \"# kept\"\nTEXT = \"\"\"\n# kept\n\n\"\"\"\n"; got[0] != want {
		t.Errorf("stripped to\n%s\nwant\n%s", got[0], want)
	}
	if n := got[1].(float64); n > float64(len(source)) {
		t.Errorf("packed to %v bytes of %d", n, len(source))
	}
}

// TestUpstreamPackages are valid without their checkouts, and every role has a knob.
func TestUpstreamPackages(t *testing.T) {
	for _, name := range []string{"parameter-golf", "airbench96", "nanochat-d12"} {
		pkg := load(t, name)
		for _, w := range pkg.Warnings {
			if !pkg.Score.SelfReported { // which is worth a warning, and ADR 17 says why it stays
				t.Errorf("warning: %v", w)
			}
		}
		turned := map[string]bool{}
		for _, k := range pkg.Knobs {
			turned[k.Role] = true
		}
		for _, r := range pkg.Roles {
			if !turned[r.ID] {
				t.Errorf("%s: role %s has no knob", name, r.ID)
			}
		}
		if !pkg.NeedsRecipe() {
			t.Errorf("%s ships a recipe", name)
		}
	}
}
