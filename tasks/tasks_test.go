// Package tasks_test holds the task packages of this directory to what they promise: they load
// without a warning, their held-out data stand nowhere in the training data, and each has room
// above its starting recipe. Start reading at TestPackages.
//
// The measurements take minutes and run only when MENDEL_E2E is set. What a host lacks (NumPy,
// PyTorch, a sandbox) skips the tests that need it.
package tasks_test

import (
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"mendel/internal/lineage"
	"mendel/internal/loop"
	"mendel/internal/measure/bundle"
	"mendel/internal/measure/runner"
	"mendel/internal/measure/sandbox"
	"mendel/internal/research"
	"mendel/internal/task"
)

// shipped are the packages, with the noise that their READMEs record: the standard deviation of
// one measurement of the starting recipe.
var shipped = []struct {
	name  string
	runs  int                                 // measurements of each recipe
	noise func(baseline float64) (sd float64) // at the score that this host gives the baseline
}{
	// Seconds scale with the host, and their noise with them: 0.27 of 2.55 s.
	{"airbench-cpu", 3, func(baseline float64) float64 { return baseline * 0.27 / 2.55 }},
	{"golf-cpu", 1, func(float64) float64 { return 0.035 }},
	{"nanochat-cpu", 1, func(float64) float64 { return 0.027 }},
	// The file determines the score. What stands for noise is the spread over the SEED in it.
	{"packing", 1, func(float64) float64 { return 0.034 }},
	{"appraisal", 1, func(float64) float64 { return 0.0009 }},
}

// TestMain lets the sandbox re-execute this program, as it does with mendel below level isolated.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == sandbox.Verb {
		if err := sandbox.Exec(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestPackages(t *testing.T) {
	for _, s := range shipped {
		t.Run(s.name, func(t *testing.T) {
			pkg := load(t, s.name)
			for _, w := range pkg.Warnings {
				t.Errorf("warning: %v", w)
			}
			turned := map[string]bool{}
			for _, k := range pkg.Knobs {
				turned[k.Role] = true
			}
			for _, r := range pkg.Roles {
				if !turned[r.ID] {
					t.Errorf("role %s has no knob: without a model, nothing can be proposed for it", r.ID)
				}
			}
		})
	}
}

// TestImprovedPassesChecks: the hand-made recipe is another program, and one that a specialist
// could have submitted.
func TestImprovedPassesChecks(t *testing.T) {
	for _, s := range shipped {
		t.Run(s.name, func(t *testing.T) {
			pkg := load(t, s.name)
			before, after := files(t, pkg.Recipe.Dir, pkg.Recipe.Editable), files(t, improved(pkg), pkg.Recipe.Editable)
			if task.TokenHash(pkg.Recipe.Language, before, false) == task.TokenHash(pkg.Recipe.Language, after, false) {
				t.Fatal("tests/improved is the starting recipe")
			}
			host, spec := prepare(t, pkg)
			for _, c := range pkg.Checks {
				r, err := runner.Check(t.Context(), host, spec, c.Name, improved(pkg), pkg.Evaluator.Dir)
				if err != nil {
					t.Fatal(err)
				}
				if !r.OK {
					t.Errorf("%s: %s\n%s", c.Name, r.Ending, r.Output)
				}
			}
		})
	}
}

// TestHeadroom: there is something to find that noise cannot fake.
func TestHeadroom(t *testing.T) {
	if os.Getenv("MENDEL_E2E") == "" {
		t.Skip("set MENDEL_E2E to measure the recipes: it takes minutes")
	}
	for _, s := range shipped {
		t.Run(s.name, func(t *testing.T) {
			pkg := load(t, s.name)
			host, spec := prepare(t, pkg)
			var before, after float64
			for i := range s.runs { // taken in turn, so that a busy minute hits both
				b := measure(t, host, spec, pkg, pkg.Recipe.Dir, i)
				a := measure(t, host, spec, pkg, improved(pkg), i)
				t.Logf("measurement %d: baseline %v, improved %v %s", i+1, b, a, pkg.Score.Unit)
				before, after = before+b/float64(s.runs), after+a/float64(s.runs)
			}
			gain := before - after
			if pkg.Score.Direction == research.Maximize {
				gain = -gain
			}
			if least := 5 * s.noise(before); gain <= least {
				t.Errorf("the improved recipe gains %.4g %s, and 5 sd of the baseline's noise are %.4g", gain, pkg.Score.Unit, least)
			}
		})
	}
}

func load(t *testing.T, name string) *task.Task {
	t.Helper()
	pkg, err := task.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	return pkg
}

func improved(pkg *task.Task) string { return filepath.Join(pkg.Dir, "tests", "improved") }

// files reads the editable files of a recipe; the packages name them without wildcards.
func files(t *testing.T, dir string, names []string) map[string][]byte {
	t.Helper()
	m := make(map[string][]byte, len(names))
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		m[name] = data
	}
	return m
}

// prepare finds out what this host offers, and skips the test where that is too little.
func prepare(t *testing.T, pkg *task.Task) (*sandbox.Host, bundle.Spec) {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: what is measured happens in other processes")
	}
	host := sandbox.Probe(t.Context())
	required, err := sandbox.ParseLevel(pkg.Sandbox)
	if err != nil {
		t.Fatal(err)
	}
	if !host.Level.AtLeast(required) {
		t.Skipf("this host isolates only to the level %s, and the task asks for %s", host.Level, required)
	}
	spec := loop.SpecOf(pkg)
	spec.Self, spec.CacheDir = host.Self, t.TempDir()
	if _, err := runner.Environment(t.Context(), spec); err != nil {
		t.Skipf("this host lacks what the task needs: %v", err)
	}
	return host, spec
}

// measure scores a recipe once, as a run would measure a baseline for the n-th time.
func measure(t *testing.T, host *sandbox.Host, spec bundle.Spec, pkg *task.Task, dir string, n int) float64 {
	t.Helper()
	spec.Attempt.Seeds = research.SeedsFor(0, research.Baseline, n, pkg.Seeds)
	m := attempt(t, host, spec, files(t, dir, pkg.Recipe.Editable), pkg.Evaluator.Dir)
	if m.Outcome != research.Valid || m.Score == nil {
		t.Fatalf("%s ended %s: %s", dir, m.Outcome, m.Reason)
	}
	return *m.Score
}

// attempt measures a recipe with the seeds of the spec.
func attempt(t *testing.T, host *sandbox.Host, spec bundle.Spec, recipe map[string][]byte, evaluator string) research.Measurement {
	t.Helper()
	var tree []bundle.File
	var frozen []lineage.File
	for path, data := range recipe {
		tree = append(tree, bundle.File{Path: path, Mode: 0o644, Data: data})
		frozen = append(frozen, lineage.File{Path: path, Mode: 0o644, Data: data})
	}
	root, _, err := lineage.NewTree(frozen)
	if err != nil {
		t.Fatal(err)
	}
	spec.Run, spec.TreeHash = "test", root.Hash
	spec.Attempt.Number, spec.Attempt.Token = 1, rand.Text()
	scratch, err := os.MkdirTemp("", "mendel-attempt-")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := bundle.Remove(scratch); err != nil {
			t.Error(err)
		}
	}()
	made, err := bundle.Create(filepath.Join(scratch, "bundle"), spec, tree, evaluator)
	if err != nil {
		t.Fatal(err)
	}
	if err := runner.Run(t.Context(), made.Dir, runner.Options{Host: host}); err != nil {
		t.Fatal(err)
	}
	result, err := made.Result()
	if err != nil {
		t.Fatal(err)
	}
	return result.Measurement
}

// TestCopiesAreTheSame: packages stand alone, so each has its own copy of what caps the code. A hole
// that is closed in one must be closed in all.
func TestCopiesAreTheSame(t *testing.T) {
	copies, err := filepath.Glob("*/evaluator/project_size.py")
	if err != nil || len(copies) < 2 {
		t.Fatalf("%d copies, %v", len(copies), err)
	}
	first, err := os.ReadFile(copies[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range copies[1:] {
		if text, err := os.ReadFile(name); err != nil || string(text) != string(first) {
			t.Errorf("%s is not %s (%v)", name, copies[0], err)
		}
	}
}
