package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"mendel/internal/lineage"
	"mendel/internal/measure/bundle"
	"mendel/internal/research"
)

// A liveRun is a supervisor in a process of its own, on a task whose trials take about a second.
type liveRun struct {
	t      *testing.T
	dir    string   // working directory; the run is in dir/run
	env    []string // of every command; nil means that of the tests
	cmd    *exec.Cmd
	output *bytes.Buffer
}

func newLiveRun(t *testing.T) *liveRun {
	t.Helper()
	t.Setenv("XDG_CACHE_HOME", sharedCache(t))
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	l := &liveRun{t: t, dir: t.TempDir()}
	l.mendel("task", "new", "slow")
	recipe := filepath.Join(l.dir, "slow/recipe/train.py")
	text, err := os.ReadFile(recipe)
	if err != nil {
		t.Fatal(err)
	}
	const mark = "    weights = train(read("
	slow := strings.Replace(string(text), mark, "    import time; time.sleep(0.6)\n"+mark, 1)
	if slow == string(text) {
		t.Fatal("the scaffold's recipe has changed: it cannot be slowed down here")
	}
	if err := os.WriteFile(recipe, []byte(slow), 0o644); err != nil {
		t.Fatal(err)
	}
	return l
}

// mendel runs a command to its end.
func (l *liveRun) mendel(args ...string) string {
	l.t.Helper()
	out, err := l.try(args...)
	if err != nil {
		l.t.Fatalf("mendel %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func (l *liveRun) try(args ...string) (string, error) {
	cmd := exec.Command("mendel", args...)
	cmd.Dir, cmd.Env = l.dir, l.env
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// start begins supervising.
func (l *liveRun) start(args ...string) {
	l.t.Helper()
	l.begin(append([]string{"run"}, args...)...)
}

// begin starts a command that goes on.
func (l *liveRun) begin(args ...string) {
	l.t.Helper()
	l.cmd = exec.Command("mendel", args...)
	l.output = &bytes.Buffer{}
	l.cmd.Dir, l.cmd.Env, l.cmd.Stdout, l.cmd.Stderr = l.dir, l.env, l.output, l.output
	if err := l.cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() {
		l.cmd.Process.Kill()
		l.cmd.Wait()
	})
}

// ended waits for the supervisor and gives its exit code.
func (l *liveRun) ended() int {
	l.t.Helper()
	err := l.cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		l.t.Fatal(err)
	}
	return l.cmd.ProcessState.ExitCode()
}

// training waits until a trial is being trained.
func (l *liveRun) training(id research.TrialID) (dir string) {
	l.t.Helper()
	l.until("training of "+id.String(), func() bool {
		r, err := lineage.OpenReader(filepath.Join(l.dir, "run"))
		if err != nil {
			return false // not there yet
		}
		defer r.Close()
		attempts, err := r.Attempts(id)
		for _, a := range attempts {
			dir = filepath.Join(l.dir, "run", a.Bundle)
			if p, progressErr := bundle.ReadProgress(dir); err == nil && progressErr == nil && p.Phase == "train" {
				return true
			}
		}
		return false
	})
	return dir
}

func (l *liveRun) until(what string, done func() bool) {
	l.t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			l.t.Fatalf("waited a minute for %s\n%s", what, l.output)
		}
	}
}

func (l *liveRun) read(look func(*lineage.Reader)) {
	l.t.Helper()
	r, err := lineage.OpenReader(filepath.Join(l.dir, "run"))
	if err != nil {
		l.t.Fatal(err)
	}
	defer r.Close()
	look(r)
}

// attempts describes a trial's attempts as "number state", oldest first.
func (l *liveRun) attempts(id research.TrialID) (list []string) {
	l.t.Helper()
	l.read(func(r *lineage.Reader) {
		attempts, err := r.Attempts(id)
		if err != nil {
			l.t.Fatal(err)
		}
		for _, a := range attempts {
			list = append(list, fmt.Sprintf("%d %s", a.Number, a.State))
		}
	})
	return list
}

// intact checks the run as it was left: the chain, and every id judged exactly once.
func (l *liveRun) intact(trials int) {
	l.t.Helper()
	l.mendel("verify", "run")
	l.read(func(r *lineage.Reader) {
		for id := range research.TrialID(trials + 1) {
			if trial, err := r.Trial(id); err != nil || trial.Status == "" || trial.Status == research.Status(research.Aborted) {
				l.t.Errorf("trial %s: status %q, %v", id, trial.Status, err)
			}
		}
		if n, err := r.Count(); err != nil || n != trials+1 {
			l.t.Errorf("%d trials with the baseline, want %d (%v)", n, trials+1, err)
		}
	})
}

func TestKilledSupervisor(t *testing.T) {
	t.Run("its runner finishes meanwhile", func(t *testing.T) {
		l := newLiveRun(t)
		l.start("slow", "--state", "run", "--trials", "3", "--parallel", "1")
		dir := l.training(1)
		l.cmd.Process.Kill()
		l.ended()
		b, err := bundle.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		l.until("the orphaned runner's result", b.HasResult)
		l.mendel("run", "--resume", "run")
		if got := l.attempts(1); len(got) != 1 || got[0] != "1 measured" {
			t.Errorf("attempts at 001: %v; what the runner had finished must be taken, not paid for again", got)
		}
		l.intact(3)
	})
	t.Run("its runner is still at work", func(t *testing.T) {
		l := newLiveRun(t)
		l.start("slow", "--state", "run", "--trials", "3", "--parallel", "1")
		l.training(1)
		l.cmd.Process.Kill()
		l.ended()
		l.mendel("run", "--resume", "run")
		if got := l.attempts(1); len(got) != 1 || got[0] != "1 measured" {
			t.Errorf("attempts at 001: %v; a running trial must be taken up again, not paid for twice", got)
		}
		l.intact(3)
	})
	t.Run("its runner dies with it", func(t *testing.T) {
		l := newLiveRun(t)
		l.start("slow", "--state", "run", "--trials", "3", "--parallel", "1")
		dir := l.training(1)
		l.cmd.Process.Kill()
		l.ended()
		b, err := bundle.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		r, err := b.Runner()
		if err != nil {
			t.Fatal(err)
		}
		syscall.Kill(r.PID, syscall.SIGKILL)
		l.mendel("run", "--resume", "run")
		if got := l.attempts(1); len(got) != 2 || got[0] != "1 lost" || got[1] != "2 measured" {
			t.Errorf("attempts at 001: %v; want the lost one shown, and one more", got)
		}
		l.intact(3)
	})
}

func TestStopping(t *testing.T) {
	ways := map[string]func(l *liveRun){
		"Ctrl-C":      func(l *liveRun) { l.cmd.Process.Signal(os.Interrupt) },
		"SIGHUP":      func(l *liveRun) { l.cmd.Process.Signal(syscall.SIGHUP) },
		"mendel stop": func(l *liveRun) { l.mendel("stop", "run") },
	}
	for name, stop := range ways {
		t.Run(name, func(t *testing.T) {
			l := newLiveRun(t)
			l.start("slow", "--state", "run", "--trials", "50", "--parallel", "1")
			l.training(1)
			stop(l)
			code := l.ended()
			if want := exitInterrupted; name != "mendel stop" && code != want {
				t.Errorf("exit code %d, want %d\n%s", code, want, l.output)
			}
			if got := l.attempts(1); len(got) != 1 || got[0] != "1 measured" {
				t.Errorf("attempts at 001: %v; the running trial must finish", got)
			}
			l.read(func(r *lineage.Reader) {
				if n, _ := r.Count(); n > 4 {
					t.Errorf("%d trials: new work began after it was told to stop", n)
				}
			})
			l.mendel("verify", "run")
			l.mendel("run", "--resume", "run", "--trials", "4")
			l.intact(4)
		})
	}
}

func TestSecondInterruptKills(t *testing.T) {
	l := newLiveRun(t)
	l.start("slow", "--state", "run", "--trials", "3", "--parallel", "1")
	dir := l.training(1)
	b, err := bundle.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	runner, err := b.Runner()
	if err != nil {
		t.Fatal(err)
	}
	l.cmd.Process.Signal(os.Interrupt)
	time.Sleep(50 * time.Millisecond)
	l.cmd.Process.Signal(os.Interrupt)
	if code := l.ended(); code != exitInterrupted {
		t.Errorf("exit code %d, want %d\n%s", code, exitInterrupted, l.output)
	}
	if err := syscall.Kill(runner.PID, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the runner of 001 lives on: %v", err)
	}
	l.mendel("run", "--resume", "run")
	if got := l.attempts(1); len(got) != 2 || got[0] != "1 lost" || got[1] != "2 measured" {
		t.Errorf("attempts at 001: %v", got)
	}
	l.intact(3)
}

func TestOneSupervisorOnly(t *testing.T) {
	l := newLiveRun(t)
	l.start("slow", "--state", "run", "--trials", "2", "--parallel", "1")
	l.training(0)
	out, err := l.try("run", "--resume", "run")
	host, _ := os.Hostname()
	if err == nil || !strings.Contains(out, fmt.Sprintf("process %d on %s", l.cmd.Process.Pid, host)) {
		t.Errorf("a second supervisor was told: %v %s", err, out)
	}
	l.mendel("status", "run")
	l.mendel("copy", "run", "live.db")
	l.mendel("verify", "live.db")
	if code := l.ended(); code != exitOK {
		t.Errorf("exit code %d\n%s", code, l.output)
	}
	l.intact(2)
}

func TestFullDisk(t *testing.T) {
	l := newLiveRun(t)
	small := filepath.Join(l.dir, "run")
	if err := os.Mkdir(small, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("mendel-test", small, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("needs the right to mount a small file system: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(small, syscall.MNT_DETACH) })
	l.start("slow", "--state", "run", "--trials", "40", "--parallel", "1")
	l.training(0)
	filler := filepath.Join(small, "filler")
	fill, err := os.Create(filler)
	if err != nil {
		t.Fatal(err)
	}
	for _, err = fill.Write(make([]byte, 1<<16)); err == nil; {
		_, err = fill.Write(make([]byte, 1<<12))
	}
	fill.Close()
	if code := l.ended(); code != exitFailed || !strings.Contains(l.output.String(), "hint:") {
		t.Errorf("exit code %d, want %d and a hint\n%s", code, exitFailed, l.output)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	l.mendel("verify", "run")
	l.mendel("run", "--resume", "run", "--trials", "1")
	l.intact(1)
}

// TestOrdinaryUser runs everything as someone who may not make cgroups and needs a user namespace
// for private mounts. When the tests run as root, that is uid 65534.
func TestOrdinaryUser(t *testing.T) {
	dir, err := os.MkdirTemp("", "mendel-user-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { bundle.Remove(dir) })
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "mendel")
	if err := errors.Join(os.Chmod(dir, 0o777), os.WriteFile(program, self, 0o755)); err != nil {
		t.Fatal(err)
	}
	as := func(args ...string) string {
		t.Helper()
		cmd := exec.Command(program, args...)
		cmd.Dir, cmd.Env = dir, []string{"HOME=" + dir, "PATH=/usr/bin:/bin", "OPENAI_API_KEY=none"}
		if os.Getuid() == 0 {
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("mendel %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	as("task", "new", "tide")
	// A host that isolates only weakly must still run, and say so.
	if out := as("run", "tide", "--trials", "2", "--state", "run", "--allow-unsandboxed"); strings.Contains(out, "warning: other processes") {
		t.Errorf("keys could not be taken out of the environment:\n%s", out)
	}
	var doctor struct {
		Level string `json:"level"`
	}
	if err := json.Unmarshal([]byte(as("doctor", "--json")), &doctor); err != nil {
		t.Fatal(err)
	}
	var shown research.Trial
	if err := json.Unmarshal([]byte(as("show", "001", "--json", "--state", "run")), &shown); err != nil {
		t.Fatal(err)
	}
	if got := shown.Measurement.Sandbox.Level; got != doctor.Level {
		t.Errorf("the trial ran at level %s, and doctor promises %s", got, doctor.Level)
	}
}
