package runner_test

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mendel/internal/measure/bundle"
	"mendel/internal/measure/runner"
	"mendel/internal/measure/sandbox"
	"mendel/internal/research"
)

func TestValidTrial(t *testing.T) {
	tr := newTrial()
	tr.seeds = []int64{7, 8, 9}
	m, b := tr.run(t)
	if m.Outcome != research.Valid || m.Score == nil || *m.Score != 0 {
		t.Fatalf("outcome %s (%s), score %v; want valid, 0", m.Outcome, m.Reason, m.Score)
	}
	var phases []string
	for _, p := range m.Phases {
		phases = append(phases, p.Phase)
		if p.Ended != "ok" || p.Wall <= 0 || p.CPU <= 0 || p.MaxRSS <= 0 {
			t.Errorf("%+v", p)
		}
	}
	if got := strings.Join(phases, " "); got != "preflight train evaluate train evaluate train evaluate" {
		t.Errorf("phases %s", got)
	}
	if len(m.Margins) != 4 {
		t.Errorf("margins %+v, want one for each bound", m.Margins)
	}
	for name, want := range map[string]float64{"accuracy": 1, "artifact_bytes": 3, "code_bytes": float64(len(goodRecipe)), "loss": 0.125} {
		if got := m.Metrics[name]; got.Value != want || len(got.Seeds) != 3 {
			t.Errorf("%s = %+v, want %v over 3 seeds", name, got, want)
		}
	}
	if _, ok := m.Metrics["extra"]; ok {
		t.Error("a metric that the task does not declare was taken")
	}
	if !strings.Contains(logOf(t, b, m, "evaluate"), "extra") {
		t.Error("the operator does not learn of a value that was left out")
	}
	if got := phaseRun(m, "train").Tail; got != "loss 0.25\nloss 0.125" {
		t.Errorf("tail of train %q", got)
	}
	if m.Harness <= 0 || m.Harness >= m.Wall || m.Sandbox.Level != string(probed().Level) {
		t.Errorf("harness %v of %v, sandbox %+v", m.Harness, m.Wall, m.Sandbox)
	}
	if p, err := bundle.ReadProgress(b.Dir); err != nil || p.Phase != "evaluate" || p.Seed != 2 || p.Seeds != 3 {
		t.Errorf("progress %+v, %v", p, err)
	}
	if _, err := os.Stat(b.Work()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("work/ was left behind: %v", err)
	}
}

// TestOutcomes fixes who is blamed for what, and in which words.
func TestOutcomes(t *testing.T) {
	// train replaces what the recipe does in train.
	train := func(code string) func(*trial) {
		return func(tr *trial) {
			tr.recipe["train.py"] = "import os, sys\nif os.environ['MENDEL_PHASE'] == 'train':\n    " + code + "\n" + goodRecipe
		}
	}
	evaluator := func(old, replacement string) func(*trial) {
		return func(tr *trial) { tr.evaluator["score.py"] = strings.Replace(goodEvaluator, old, replacement, 1) }
	}
	for _, tt := range []struct {
		name    string
		change  func(tr *trial)
		outcome research.Outcome
		reason  string // a part of it
		scored  bool
		phases  int // how many ran; 0: not looked at
	}{
		{"exception in train", train("def step(): raise ValueError('no\\nway')\n    step()"), research.Crash, "train: exit status 1: ValueError: no", false, 2},
		{"no artifact", train("sys.exit(0)"), research.Crash, "no model.txt was left in MENDEL_OUT", false, 2},
		{"artifact is a directory", train("os.mkdir(os.environ['MENDEL_OUT'] + '/model.txt'); sys.exit(0)"), research.Crash, "not a regular file", false, 2},
		{"artifact is a pipe", train("os.mkfifo(os.environ['MENDEL_OUT'] + '/model.txt'); sys.exit(0)"), research.Crash, "not a regular file", false, 2},
		{"artifact with a hole larger than its disk", train("open(os.environ['MENDEL_OUT'] + '/model.txt', 'w').truncate(1 << 40); sys.exit(0)"), research.Crash, "", false, 2},
		{"artifact with a name that is not text", func(tr *trial) {
			train(`open(os.environb[b'MENDEL_OUT'] + b'/\xff.txt', 'w')`)(tr)
			tr.plan.Artifact.Files = []string{"*.txt"}
		}, research.Crash, "whose name is not UTF-8", false, 2},
		{"a directory left that cannot be entered", train("d = os.environ['MENDEL_OUT'] + '/d'; os.mkdir(d); open(d + '/f', 'w'); os.chmod(d, 0)"), research.Valid, "", true, 3},
		{"artifact too large, still scored", func(tr *trial) {
			tr.recipe["train.py"] = strings.Replace(goodRecipe, `f.write("0.5")`, `f.write("0.5" + "0" * 100)`, 1)
		}, research.SizeBlocked, "artifact_bytes 103 B: 3 B over 100 B", true, 3},
		{"gate missed, still scored", func(tr *trial) {
			tr.recipe["train.py"] = strings.Replace(goodRecipe, `f.write("0.5")`, `f.write("0.4999")`, 1)
		}, research.Disqualified, "accuracy", true, 3},
		{"too slow but finished, still scored", func(tr *trial) {
			train("import time; time.sleep(0.3)")(tr)
			tr.budget("train", 100*time.Millisecond, 20*time.Second)
		}, research.TrainBudgetOverrun, "over its budget of 0.1 s", true, 3},
		{"killed in train", func(tr *trial) {
			train("import time; time.sleep(60)")(tr)
			tr.budget("train", 100*time.Millisecond, 300*time.Millisecond)
			tr.seeds = []int64{1, 2, 3}
		}, research.TrainBudgetOverrun, "train was killed after 0.3", false, 2},
		{"killed in evaluate", func(tr *trial) {
			tr.recipe["train.py"] = strings.Replace(goodRecipe, "(v,) =", "import time; time.sleep(60); (v,) =", 1)
			tr.budget("evaluate", 100*time.Millisecond, 300*time.Millisecond)
		}, research.EvalBudgetOverrun, "evaluate was killed after 0.3", false, 3},
		{"preflight fails", func(tr *trial) {
			tr.recipe["train.py"] = strings.Replace(goodRecipe, `print("smoke")`, `undefined`, 1)
		}, research.PreflightCrash, "preflight: exit status 1: NameError", false, 1},
		{"preflight runs into its time-out", func(tr *trial) {
			tr.recipe["train.py"] = strings.Replace(goodRecipe, `print("smoke")`, `import time; time.sleep(60)`, 1)
			tr.phase("preflight").KillAfter = research.Duration(300 * time.Millisecond)
		}, research.PreflightCrash, "preflight: killed at its time-out of 0.3", false, 1},
		{"check fails before anything runs", func(tr *trial) {
			tr.recipe["train.py"] = "def f(:\n"
			tr.plan.Checks = []bundle.Check{
				{Name: "tool_only", Run: []string{"python3", "-c", "1/0"}},
				{Name: "syntax_check", Run: []string{"python3", "-c", "compile(open('train.py').read(), 'train.py', 'exec')"}, OnFail: research.PreflightCrash},
			}
		}, research.PreflightCrash, "syntax_check: exit status 1: SyntaxError", false, 1},
		{"check gives its own outcome", func(tr *trial) {
			tr.plan.Checks = []bundle.Check{{Name: "size", Run: []string{"python3", "{evaluator}/size.py"}, Trusted: true, OnFail: research.SizeBlocked}}
			tr.evaluator["size.py"] = "import os, sys\nassert os.path.exists(os.environ['MENDEL_RECIPE'] + '/train.py')\nsys.exit('projected 9 B over')\n"
		}, research.SizeBlocked, "size: exit status 1: projected 9 B over", false, 1},
		{"a second seed fails", func(tr *trial) {
			train("os.environ['MENDEL_SEED'] == '8' and sys.exit(3)")(tr)
			tr.seeds = []int64{7, 8, 9}
		}, research.Crash, "train: exit status 3", false, 4},
		{"subject dies before its first word", func(tr *trial) {
			tr.recipe["train.py"] = strings.Replace(goodRecipe, "import mendel_subject", "sys.exit(1)", 1)
		}, research.Crash, "evaluate: the subject was gone", false, 3},
		{"subject answers the wrong shape", func(tr *trial) {
			tr.recipe["train.py"] = strings.Replace(goodRecipe, "shape)]", "(2,))]", 1)
		}, research.Crash, "evaluate: the subject was gone", false, 3},
		{"evaluator dies before the subject's first word", evaluator("s = ", "1/0; s = "), research.Aborted, "evaluator", false, 3},
		{"evaluator dies after it", evaluator("s.close()", "1/0"), research.Crash, "the evaluator failed in the middle", false, 3},
		{"evaluator dies after bye", evaluator("(got,)", "1/0; (got,)"), research.Crash, "the evaluator failed on what the subject answered", false, 3},
		{"evaluator writes no result", evaluator("mendel_evaluator.result", "dict"), research.Crash, "wrote no result", false, 3},
		{"evaluator writes no number", evaluator("mendel_evaluator.result(", `open(os.environ["MENDEL_RESULT"], "w").write('{"error": null}');dict(`), research.Crash, "not a JSON object of numbers", false, 3},
		{"evaluator leaves the score out", evaluator(`"error"`, `"eror"`), research.Crash, "error was not measured", false, 3},
		{"no such program", func(tr *trial) { tr.phase("train").Run = []string{"no-such-program"} }, research.Crash, "train: ", false, 2},
		{"no such package", func(tr *trial) { tr.plan.Environment.Python.Packages = []string{"no_such_package"} }, research.Aborted, "no_such_package", false, 0},
		{"the tree is another", func(tr *trial) { tr.adjustSpec = func(s *bundle.Spec) { s.TreeHash = "0" } }, research.Aborted, "not what was submitted", false, 0},
		{"the evaluator is another", func(tr *trial) { tr.adjustSpec = func(s *bundle.Spec) { s.EvaluatorHash = "0" } }, research.Aborted, "not the registered one", false, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tr := newTrial()
			tt.change(tr)
			m, b := tr.run(t)
			if m.Outcome != tt.outcome || !strings.Contains(m.Reason, tt.reason) {
				t.Errorf("%s: %s\nwant %s: …%s…", m.Outcome, m.Reason, tt.outcome, tt.reason)
				for _, p := range m.Phases {
					t.Logf("%s: %+v\n%s", p.Phase, p, logOf(t, b, m, p.Phase))
				}
			}
			if (m.Score != nil) != tt.scored {
				t.Errorf("score %v, want one: %t", m.Score, tt.scored)
			}
			if strings.Contains(m.Reason, "\n") {
				t.Errorf("the reason is not one line: %q", m.Reason)
			}
			if tt.phases > 0 && len(m.Phases) != tt.phases {
				t.Errorf("%d phases ran, want %d: %+v", len(m.Phases), tt.phases, m.Phases)
			}
			if m.Outcome == research.Crash && tt.phases == 2 && m.Crash == nil {
				t.Error("a crash without an excerpt")
			}
		})
	}
}

// TestLevelTooWeak: a task is not measured below the level that it asks for, unless told so.
func TestLevelTooWeak(t *testing.T) {
	for _, allow := range []bool{false, true} {
		tr := newTrial()
		tr.level, tr.plan.Sandbox = "limited", "isolated"
		tr.adjustSpec = func(s *bundle.Spec) { s.AllowUnsandboxed = allow }
		m, _ := tr.run(t)
		if want := map[bool]research.Outcome{false: research.Aborted, true: research.Valid}[allow]; m.Outcome != want {
			t.Errorf("allowed %t: %s (%s), want %s", allow, m.Outcome, m.Reason, want)
		}
	}
}

func TestSecondRunner(t *testing.T) {
	b := newTrial().bundle(t)
	release, err := b.Hold()
	if err != nil {
		t.Fatal(err)
	}
	if err := runner.Run(t.Context(), b.Dir, runner.Options{Host: probed()}); !errors.Is(err, bundle.ErrHeld) {
		t.Errorf("beside a live runner: %v, want ErrHeld", err)
	}
	if b.HasResult() {
		t.Error("it left a result")
	}
	release()
}

// TestFenced: a runner whose attempt was given up does not replace what the newer one found.
func TestFenced(t *testing.T) {
	tr := newTrial()
	b := tr.bundle(t)
	if err := b.Fence("token-2"); err != nil {
		t.Fatal(err)
	}
	if err := runner.Run(t.Context(), b.Dir, runner.Options{Host: probed()}); !errors.Is(err, bundle.ErrFenced) {
		t.Errorf("started after the fence: %v, want ErrFenced", err)
	}

	tr = newTrial()
	tr.recipe["train.py"] = "import time; time.sleep(0.5)\n" + goodRecipe
	b = tr.bundle(t)
	fenced := make(chan error, 1)
	go func() {
		for {
			if p, err := bundle.ReadProgress(b.Dir); err == nil && p.Phase == "train" {
				fenced <- b.Fence("token-2")
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	err := runner.Run(t.Context(), b.Dir, runner.Options{Host: probed()})
	if fenceErr := <-fenced; fenceErr != nil {
		t.Fatal(fenceErr)
	}
	if !errors.Is(err, bundle.ErrFenced) || b.HasResult() {
		t.Errorf("fenced while it ran: %v, result there: %t", err, b.HasResult())
	}
}

// TestFinishedIsLeftAlone: a repeated start pays nothing twice.
func TestFinishedIsLeftAlone(t *testing.T) {
	_, b := newTrial().run(t)
	before, err := b.Result()
	if err != nil {
		t.Fatal(err)
	}
	if err := runner.Run(t.Context(), b.Dir, runner.Options{Host: probed()}); err != nil {
		t.Fatal(err)
	}
	if after, err := b.Result(); err != nil || !after.EndedAt.Equal(before.EndedAt) {
		t.Errorf("measured again: %v, %v", after.EndedAt, err)
	}
}

// TestCancelled: a runner that is told to stop leaves nothing running, and no evidence.
func TestCancelled(t *testing.T) {
	tr := newTrial()
	mark := "cancel-me-" + filepath.Base(t.TempDir())
	tr.recipe["train.py"] = "import time, sys\ntime.sleep(60 if 'train' in __import__('os').environ['MENDEL_PHASE'] else 0)\n" + goodRecipe
	tr.phase("train").Run = []string{"python3", "train.py", mark}
	b := tr.bundle(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- runner.Run(ctx, b.Dir, runner.Options{Host: probed()}) }()
	await(t, "train", b)
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if b.HasResult() || running(mark) {
		t.Errorf("result there: %t, still running: %t", b.HasResult(), running(mark))
	}
}

// TestKilledRunner: kill -9 of a runner leaves no half result and no processes, and its bundle can be told from a live one's.
func TestKilledRunner(t *testing.T) {
	tr := newTrial()
	mark := "orphan-" + filepath.Base(t.TempDir())
	tr.recipe["train.py"] = "import time\ntime.sleep(60 if 'train' in __import__('os').environ['MENDEL_PHASE'] else 0)\n" + goodRecipe
	tr.phase("train").Run = []string{"python3", "train.py", mark}
	b := tr.bundle(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, runnerVerb, b.Dir, string(probed().Level))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, "train", b)
	if held, err := b.Held(); !held || err != nil {
		t.Errorf("a live runner's bundle: held = %t, %v", held, err)
	}
	if r, err := b.Runner(); err != nil || r.PID != cmd.Process.Pid || r.Start == 0 {
		t.Errorf("runner.json: %+v, %v; want pid %d", r, err, cmd.Process.Pid)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	for range 200 {
		if !running(mark) {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if running(mark) {
		t.Error("the recipe outlived its runner")
	}
	if held, err := b.Held(); held || err != nil {
		t.Errorf("a dead runner's bundle: held = %t, %v", held, err)
	}
	if b.HasResult() {
		t.Error("a result after kill -9")
	}
}

// TestFullDisk: a disk that fills up under us is our failure, said clearly, and never a half result.
func TestFullDisk(t *testing.T) {
	if !probed().PrivateMounts {
		t.Skip("this host grants no private mounts")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	run := func(free string) (string, error) {
		tr := newTrial()
		tr.recipe["train.py"] = "print('x' * 1_000_000)\n" + goodRecipe
		cmd := exec.Command(self, smallDiskVerb, tr.bundle(t).Dir, free)
		sandbox.PrivateMounts(cmd)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	out, err := run("300000")
	var r bundle.Result
	if json.Unmarshal([]byte(out), &r) != nil || err != nil || r.Measurement.Outcome != research.Aborted || !strings.Contains(r.Measurement.Reason, "no space left") {
		t.Errorf("with room for the result: %v\n%s", err, out)
	}
	if out, err := run("0"); err == nil || !strings.Contains(out, "no space left") {
		t.Errorf("without any room: %v\n%s", err, out)
	}
}

// TestNumPy: with NumPy both helpers speak arrays, of several types, with values beside them.
func TestNumPy(t *testing.T) {
	tr := newTrial()
	tr.plan.Environment.Python.Packages = []string{"numpy"}
	tr.phase("train").Run = []string{"python3", "train.py"}
	tr.recipe["train.py"] = `
import os, sys
import numpy as np
if "--serve" in sys.argv:
    import mendel_subject
    state = {"sum": np.zeros(4)}
    def step(tokens, scale=1):
        state["sum"] = state["sum"] + tokens * scale
        tokens[:] = 0  # arrays are the function's own
        return np.tile(state["sum"][:, None], (1, 3)), np.array(7)
    def describe():
        return {"name": "adder"}
    mendel_subject.serve(step=step, describe=describe)
elif "--smoke" not in sys.argv:
    open(os.environ["MENDEL_OUT"] + "/model.txt", "w").write("x")
`
	tr.evaluator["score.py"] = `
import numpy as np
from mendel_evaluator import connect, result
s = connect()
for t in range(200):
    logits, seven = s.call("step", np.arange(4, dtype=np.uint8), expect=[("f4", (4, 3)), ("i8", ())], deadline=5, scale=2)
nothing, meta = s.call("describe", expect=[], expect_meta=True)
s.close()
assert logits.dtype == np.float32 and logits.shape == (4, 3) and int(seven) == 7 and meta == {"name": "adder"}
result({"error": float(abs(logits[3, 2] - 200 * 3 * 2)), "accuracy": 1.0})
`
	m, b := tr.run(t)
	if m.Outcome == research.Aborted && strings.Contains(m.Reason, "numpy") {
		t.Skip("this Python has no NumPy")
	}
	if m.Outcome != research.Valid || *m.Score != 0 {
		t.Errorf("%s: %s\n%s", m.Outcome, m.Reason, logOf(t, b, m, "evaluate"))
	}
}

// await returns when a phase has begun and its process runs.
func await(t *testing.T, phase string, b bundle.Bundle) {
	t.Helper()
	for range 2000 {
		if p, err := bundle.ReadProgress(b.Dir); err == nil && p.Phase == phase {
			time.Sleep(100 * time.Millisecond)
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("phase %s never began", phase)
}

// running says whether a process with the word on its command line lives.
func running(word string) bool {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil && strings.Contains(string(b), word) {
			return true
		}
	}
	return false
}

// TestTools covers what specialists may run for free.
func TestTools(t *testing.T) {
	tr := newTrial()
	tr.plan.Environment.Programs = []string{"bash", "cat", "head"}
	tr.plan.Checks = []bundle.Check{
		{Name: "good", Run: []string{"python3", "-c", "print('fine')"}},
		{Name: "bad", Run: []string{"python3", "-c", "print('broken'); exit(3)"}},
	}
	b := tr.bundle(t)
	spec, err := b.Spec()
	if err != nil {
		t.Fatal(err)
	}
	if r, err := runner.Check(t.Context(), probed(), spec, "good", b.Tree(), b.Evaluator()); err != nil || !r.OK || r.Output != "fine\n" || r.CPU <= 0 {
		t.Errorf("good: %+v, %v", r, err)
	}
	if r, err := runner.Check(t.Context(), probed(), spec, "bad", b.Tree(), b.Evaluator()); err != nil || r.OK || r.ExitCode != 3 || r.Ending != "exit status 3" {
		t.Errorf("bad: %+v, %v", r, err)
	}
	var misuse *research.MisuseError
	if _, err := runner.Check(t.Context(), probed(), spec, "none", b.Tree(), b.Evaluator()); !errors.As(err, &misuse) {
		t.Errorf("unknown check: %v, want a misuse", err)
	}
	r, err := runner.Shell(t.Context(), probed(), spec, b.Tree(), "head -c 10 train.py; echo; echo x > train.py; echo $MENDEL_DATA; cat /data/*/* /evaluator/*")
	if err != nil || r.OK || strings.Contains(r.Output, "2 4 6") || strings.Contains(r.Output, "import mendel_evaluator") || !strings.Contains(r.Output, "import os") {
		t.Errorf("shell: %+v, %v", r, err)
	}
	if r, err := runner.Shell(t.Context(), probed(), spec, b.Tree(), "while :; do echo 0123456789; done"); err != nil || r.OK ||
		len(r.Output) > 16<<10 || !strings.Contains(r.Output, "left out: narrow it") {
		t.Errorf("chatty shell: %d bytes, ok %t, %s, %v", len(r.Output), r.OK, r.Ending, err)
	}
	spec.Task.Environment.Programs = nil
	if _, err := runner.Shell(t.Context(), probed(), spec, b.Tree(), "ls"); !errors.As(err, &misuse) {
		t.Errorf("no bash: %v, want a misuse", err)
	}
	left, err := bundle.HashTree(b.Tree())
	if err != nil || left != spec.TreeHash {
		t.Errorf("a tool changed the tree: %v", err)
	}
}
