package tasks_test

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"mendel/internal/research"
)

// byHand is what tests/by_hand.py prints: see there.
type byHand struct {
	Asked   map[string][][]string `json:"asked"`
	Metrics map[string]float64    `json:"metrics"`
	Few     map[string][]string   `json:"few"`
	Many    map[string]int        `json:"many"`
	Shown   []string              `json:"shown"`
}

// askByHand makes questions of the bundle in tests/bundle, in out/whole, and has them scored.
func askByHand(t *testing.T, out string) byHand {
	t.Helper()
	if err := exec.CommandContext(t.Context(), "/usr/bin/python3", "-c", "import numpy, yaml").Run(); err != nil {
		t.Skip("this host has no python3 with NumPy and PyYAML")
	}
	command := exec.CommandContext(t.Context(), "/usr/bin/python3", "-B", filepath.Join("nanochat-d12", "tests", "by_hand.py"), out)
	command.Env = append(os.Environ(), "PYTHONPATH="+filepath.Join("..", "internal", "measure", "protocol", "python"))
	var complaint bytes.Buffer
	command.Stderr = &complaint
	printed, err := command.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, complaint.String())
	}
	lines := bytes.Split(bytes.TrimSpace(printed), []byte("\n"))
	var got byHand
	if err := json.Unmarshal(lines[len(lines)-1], &got); err != nil {
		t.Fatal(err)
	}
	return got
}

// handMetrics are the metrics of the bundle in tests/bundle for a model that knows the alphabet. Of
// letters it has 2 of 4 right at a chance of 1/4, of endings 2 of 3 at 1/2, of alphabet 2 of 3 at 0.
var handMetrics = map[string]float64{
	"core_multiple_choice": 1. / 3, "core_schema": 1. / 3, "core_language_modeling": 2. / 3, "core_metric": 4. / 9,
}

// TestCoreIsAskedAndCentred: the texts are those that upstream renders for the same bundle at the
// pinned commit, and the metrics are what they come to by hand.
func TestCoreIsAskedAndCentred(t *testing.T) {
	got := askByHand(t, t.TempDir())
	asked := map[string][][]string{
		"letters": {
			{"Q: four? nz\n\nQ: one? b\n\nQ: two? z", "Q: four? nz\n\nQ: one? b\n\nQ: two? b"},
			{"Q: three? no\n\nQ: four? nz\n\nQ: one? b", "Q: three? no\n\nQ: four? nz\n\nQ: one? z"},
			{"Q: three? no\n\nQ: one? b\n\nQ: four? nz", "Q: three? no\n\nQ: one? b\n\nQ: four? no"},
			{"Q: two? z\n\nQ: one? b\n\nQ: three? no", "Q: two? z\n\nQ: one? b\n\nQ: three? nz"},
		},
		"endings":  {{"zac", "zbc"}, {"zbc", "zac"}, {"xbd", "xcd"}},
		"alphabet": {{"xyz\n\nab", "xyz\n\nabcd"}, {"xyz\n\nab", "xyz\n\nabce"}, {"abce\n\nxy", "abce\n\nxyz"}},
	}
	if !reflect.DeepEqual(got.Asked, asked) {
		t.Errorf("asked %q\nwant  %q", got.Asked, asked)
	}
	for name, want := range handMetrics {
		if math.Abs(got.Metrics[name]-want) > 1e-12 {
			t.Errorf("%s is %v, want %v", name, got.Metrics[name], want)
		}
	}
}

// TestCoreIsDivided: no item stands in two parts, none is lost, small files leave enough examples, and
// no prompt shows the answer to a question.
func TestCoreIsDivided(t *testing.T) {
	got := askByHand(t, t.TempDir())
	if want := map[string]int{"practice": 40, "search": 480, "certify": 480}; !reflect.DeepEqual(got.Many, want) {
		t.Errorf("1000 lines are divided into %v, want %v", got.Many, want)
	}
	part := map[string]string{} // of a line
	for name, lines := range got.Few {
		for _, line := range lines {
			if before, ok := part[line]; ok && before != name {
				t.Errorf("%q stands in %s and in %s", line, before, name)
			}
			part[line] = name
		}
	}
	for _, line := range got.Shown {
		if part[line] != "practice" {
			t.Errorf("%q, of %s, is an example in the prompts of search", line, part[line])
		}
	}
	distinct := slices.Compact(slices.Sorted(slices.Values(got.Few["practice"])))
	if total := len(slices.Concat(got.Few["practice"], got.Few["search"], got.Few["certify"])); len(distinct) != 11 || total != 37 {
		t.Errorf("32 lines and five of them again: %d distinct for practice, want 11; %d in all, want 37", len(distinct), total)
	}
}

// TestNanochatLaunchesUpstream: the command and the cap are the published ones.
func TestNanochatLaunchesUpstream(t *testing.T) {
	pkg := load(t, "nanochat-d12")
	const want = "torchrun --standalone --nproc_per_node=8 -m scripts.base_train -- --depth=12 " +
		"--core-metric-every=999999 --core-metric-max-per-task=-1 --sample-every=-1 --save-every=-1"
	if got := strings.Join(pkg.Phases[0].Run, " "); got != want {
		t.Errorf("train runs %q, want %q", got, want)
	}
	if got := (pkg.Phases[0].Budget + pkg.Phases[0].Grace).Std(); got != 90*time.Minute {
		t.Errorf("train may take %s, want 90 minutes", got)
	}
	// Who answers sees neither the answers nor anything to go on training with.
	for _, d := range pkg.Data {
		if want := map[string]string{"base": "train", "tokenizer": "evaluate", "heldout": "evaluator", "certify": "certifier"}[d.Name]; !slices.Equal(d.VisibleTo, []string{want}) {
			t.Errorf("data %s is visible to %s, want %s alone", d.Name, d.VisibleTo, want)
		}
	}
}

// TestNanochatOutcomes lets a stand-in for torchrun print upstream's log and leave a checkpoint, and
// checks every way in which a trial can end. Times and sizes are scaled down.
func TestNanochatOutcomes(t *testing.T) {
	path, err := filepath.Abs(filepath.Join("testdata", "bin"))
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", path+string(os.PathListSeparator)+os.Getenv("PATH"))
	data := t.TempDir()
	askByHand(t, data)
	pkg := load(t, "nanochat-d12")
	pkg.Environment.Python.Packages, pkg.Environment.Programs = []string{"numpy", "torch"}, []string{"torchrun", "bash"}
	r := &pkg.Resources
	r.CPUs, r.GPUs, r.Memory, r.Disk, r.Processes = 1, 0, 2<<30, 64<<20, 64
	for i := range pkg.Data {
		pkg.Data[i].Path = filepath.Join(data, "whole")
	}
	const room = 300_000 // bytes of an artifact
	for i := range pkg.Bounds {
		if pkg.Bounds[i].Metric == "artifact_bytes" {
			most := float64(room)
			pkg.Bounds[i].Max = &most
		}
	}
	host, spec := prepare(t, pkg)
	spec.Attempt.Seeds = []int64{1}
	recipe := standIn(t, pkg.Dir)
	for _, c := range []upstreamEnding{
		{how: "well", outcome: research.Valid, scored: true},
		{how: "silent", outcome: research.Valid, scored: true},
		{how: "exception", outcome: research.Crash, reason: "RuntimeError: CUDA error: an illegal memory access"},
		{how: "killed", outcome: research.Crash, reason: "signal"},
		{how: "no checkpoint", outcome: research.Crash, reason: "no base_checkpoints/d12/model_*.pt was left"},
		{how: "not a number", outcome: research.Crash, reason: "a NaN or infinity in a reply"},
		{how: "dies under questions", outcome: research.Crash, reason: "the subject was gone"},
		{how: "too large", outcome: research.SizeBlocked, scored: true, reason: "artifact_bytes", missed: "artifact_bytes"},
		{how: "endless", outcome: research.TrainBudgetOverrun, reason: "train was killed", cut: "train", kill: true, missed: "train"},
		{how: "slow answers", outcome: research.EvalBudgetOverrun, reason: "evaluate was killed", cut: "evaluate", kill: true, missed: "evaluate"},
		{how: `"`, outcome: research.PreflightCrash, reason: "SyntaxError"},
	} {
		t.Run(c.how, func(t *testing.T) {
			if (c.how == "silent" || c.how == "dies under questions") && os.Getenv("MENDEL_E2E") == "" {
				t.Skip("set MENDEL_E2E: it starts PyTorch once more")
			}
			s := spec
			if c.cut != "" {
				s.Task = budgeted(spec.Task, c.cut, time.Second, c.kill)
			}
			m := attempt(t, host, s, edited(t, recipe, edits{`HOW = "well"`, `HOW = "` + c.how + `"`}), pkg.Evaluator.Dir)
			c.check(t, m)
			if m.Score != nil && math.Abs(*m.Score-handMetrics["core_metric"]) > 1e-12 {
				t.Errorf("scored %v, want %v", *m.Score, handMetrics["core_metric"])
			}
			if c.how == "well" {
				checkReports(t, m.Metrics)
			}
			if _, ok := m.Metrics["practice_core"]; c.how == "silent" && ok {
				t.Error("a CORE metric that was not printed has a value")
			}
		})
	}
}

// checkReports: the lines that upstream prints are found, and stored as what they are.
func checkReports(t *testing.T, metrics map[string]research.MetricValue) {
	t.Helper()
	for name, want := range map[string]float64{
		"practice_core": 0.1571, "val_bpb": 0.850014, "min_val_bpb": 0.850014, "training_min": 4.98, "peak_memory_mib": 31245.09,
	} {
		if got := metrics[name]; got.Value != want || got.Source != research.FromRecipeLog {
			t.Errorf("%s is %v by %s, want %v by %s", name, got.Value, got.Source, want, research.FromRecipeLog)
		}
	}
	if got := metrics["core_metric"].Source; got != research.FromEvaluator {
		t.Errorf("core_metric is established by %s", got)
	}
}

// standIn is a tree of the files that stand for upstream's, and of those that the package adds.
func standIn(t *testing.T, pkg string) map[string][]byte {
	t.Helper()
	tree := map[string][]byte{}
	for _, dir := range []string{filepath.Join(pkg, "tests", "standin"), filepath.Join(pkg, "recipe")} {
		err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(name, ".py") {
				return err
			}
			tree[name], err = os.ReadFile(filepath.Join(dir, name))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return tree
}
