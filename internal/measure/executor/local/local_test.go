package local_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"mendel/internal/measure/bundle"
	"mendel/internal/measure/executor"
	"mendel/internal/measure/executor/executortest"
	"mendel/internal/measure/executor/local"
	"mendel/internal/research"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "supervise" {
		os.Exit(supervise(os.Args[2]))
	}
	executortest.Main(m)
}

func TestContract(t *testing.T) {
	executortest.Run(t, func(t *testing.T) executor.Executor { return start(t, local.Options{Parallel: 3}) })
}

// start makes an executor of the test binary on a host of 4 cores and no GPU, wherever the test runs.
func start(t *testing.T, o local.Options) *local.Executor {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	o.Self = self
	if o.CPUs == nil {
		o.CPUs = []int{0, 1, 2, 3}
	}
	if o.GPUs == nil {
		o.GPUs = []string{}
	}
	e, err := local.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func deadline(t *testing.T) context.Context {
	ctx, end := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(end)
	return ctx
}

func submit(t *testing.T, e *local.Executor, j executortest.Job) {
	t.Helper()
	if err := e.Submit(deadline(t), j.Job); err != nil {
		t.Fatal(err)
	}
}

func wait(t *testing.T, e *local.Executor, j executortest.Job) executor.Exit {
	t.Helper()
	exit, err := e.Wait(deadline(t), j.ID)
	if err != nil {
		t.Fatal(err)
	}
	return exit
}

// supervise is a supervisor that submits one job and then waits to be killed.
func supervise(dir string) int {
	e, err := local.New(local.Options{Self: "/proc/self/exe", CPUs: []int{0}, GPUs: []string{}})
	if err == nil {
		err = e.Submit(context.Background(), executor.Job{ID: executor.JobID(filepath.Base(dir)), Bundle: dir})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println("submitted")
	time.Sleep(time.Minute)
	return 1
}

// However a supervisor ends, its runner goes on, and the next supervisor takes its result.
func TestRunnerOutlivesItsSupervisor(t *testing.T) {
	for _, c := range []struct {
		signal syscall.Signal
		group  bool // as a terminal signals
	}{{syscall.SIGKILL, false}, {syscall.SIGINT, true}, {syscall.SIGHUP, true}, {syscall.SIGKILL, true}} {
		t.Run(fmt.Sprintf("%v,group=%v", c.signal, c.group), func(t *testing.T) {
			j := executortest.NewJob(t, t.TempDir(), "job", executortest.Plan{Held: true})
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			supervisor := exec.Command(self, "supervise", j.Bundle)
			supervisor.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			supervisor.Stderr = os.Stderr
			if err := supervisor.Start(); err != nil {
				t.Fatal(err)
			}
			j.Ready(t)
			waitForNote(t, j.Bundle)
			target := supervisor.Process.Pid
			if c.group {
				target = -target
			}
			if err := syscall.Kill(target, c.signal); err != nil {
				t.Fatal(err)
			}
			if supervisor.Wait() == nil {
				t.Fatal("the supervisor ended well")
			}
			e := start(t, local.Options{})
			submit(t, e, j)
			j.Release(t)
			if !wait(t, e, j).Ended || j.Starts(t) != 1 {
				t.Errorf("started %d times, result %v; want the one start to have gone on", j.Starts(t), j.HasResult())
			}
		})
	}
}

const note = "local.json" // where the executor notes which process measures a bundle

func waitForNote(t *testing.T, dir string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		if _, err := os.Stat(filepath.Join(dir, note)); err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatal("no note of the runner")
		}
	}
}

func TestRunnerIsDetached(t *testing.T) {
	t.Setenv("ANTHROPIC_API_KEY", "secret")
	t.Setenv("LC_TIME", "C")
	e := start(t, local.Options{})
	j := executortest.NewJob(t, t.TempDir(), "job", executortest.Plan{Held: true})
	submit(t, e, j)
	about := j.Ready(t)
	if about.Session != about.PID {
		t.Errorf("runner %d is in session %d, not in one of its own", about.PID, about.Session)
	}
	if about.Stdin != os.DevNull {
		t.Errorf("its input is %s", about.Stdin)
	}
	if i := slices.IndexFunc(about.Environment, func(v string) bool { return strings.Contains(v, "secret") }); i >= 0 {
		t.Errorf("it was given %s", about.Environment[i])
	}
	if !slices.Contains(about.Environment, "LC_TIME=C") {
		t.Errorf("its environment lacks LC_TIME: %q", about.Environment)
	}
	j.Release(t)
	wait(t, e, j)
}

func TestPrivateMounts(t *testing.T) {
	e := start(t, local.Options{PrivateMounts: true})
	j := executortest.NewJob(t, t.TempDir(), "job", executortest.Plan{Held: true, Daemon: executortest.Scrubs})
	if err := e.Submit(deadline(t), j.Job); errors.Is(err, os.ErrPermission) {
		t.Skipf("this host does not give out mount namespaces: %v", err)
	} else if err != nil {
		t.Fatal(err)
	}
	about := j.Ready(t)
	ours, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		t.Fatal(err)
	}
	its, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/mnt", about.PID))
	if err != nil {
		t.Fatal(err)
	}
	if its == ours {
		t.Error("the runner shares our mounts")
	}
	if err := e.Cancel(deadline(t), j.ID); err != nil {
		t.Fatal(err)
	}
	j.Gone(t)
}

// A supervisor that dies between starting a runner and noting it leaves a bundle without a note.
func TestRunnerWithoutNoteIsAdopted(t *testing.T) {
	first := start(t, local.Options{})
	j := executortest.NewJob(t, t.TempDir(), "job", executortest.Plan{Held: true})
	submit(t, first, j)
	j.Ready(t)
	first.Close()
	if err := os.Remove(filepath.Join(j.Bundle, note)); err != nil {
		t.Fatal(err)
	}
	second := start(t, local.Options{})
	submit(t, second, j)
	j.Release(t)
	if !wait(t, second, j).Ended || j.Starts(t) != 1 {
		t.Errorf("started %d times", j.Starts(t))
	}
}

// The number of a dead runner may belong to somebody else now.
func TestReusedNumber(t *testing.T) {
	bystander := exec.Command("sleep", "600")
	if err := bystander.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		bystander.Process.Kill()
		bystander.Wait()
	}()
	for name, change := range map[string]func(runner map[string]any){
		"other start time": func(r map[string]any) { r["start"] = 1 },
		"other boot": func(r map[string]any) {
			r["boot_id"] = "another"
			r["start"] = json.Number(startTicks(t, bystander.Process.Pid))
		},
	} {
		t.Run(name, func(t *testing.T) {
			j := executortest.NewJob(t, t.TempDir(), "job", executortest.Plan{})
			first := start(t, local.Options{})
			submit(t, first, j)
			wait(t, first, j)
			if err := os.Remove(filepath.Join(j.Bundle, "result.json")); err != nil {
				t.Fatal(err)
			}
			editNote(t, j.Bundle, func(runner map[string]any) {
				runner["pid"] = bystander.Process.Pid
				change(runner)
			})
			second := start(t, local.Options{})
			submit(t, second, j)
			if exit := wait(t, second, j); exit.Lost == "" {
				t.Errorf("exit %+v, want it lost", exit)
			}
			if err := second.Cancel(deadline(t), j.ID); err != nil {
				t.Fatal(err)
			}
			if err := bystander.Process.Signal(syscall.Signal(0)); err != nil {
				t.Fatalf("a process that has nothing to do with the job: %v", err)
			}
		})
	}
}

// startTicks is field 22 of /proc/PID/stat, of a program whose name has no space.
func startTicks(t *testing.T, pid int) string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(text))[21]
}

func TestRunnerOnAnotherHost(t *testing.T) {
	j := executortest.NewJob(t, t.TempDir(), "job", executortest.Plan{})
	first := start(t, local.Options{})
	submit(t, first, j)
	wait(t, first, j)
	editNote(t, j.Bundle, func(runner map[string]any) { runner["host"], runner["boot_id"] = "elsewhere", "another" })
	err := start(t, local.Options{}).Submit(deadline(t), j.Job)
	if err == nil || !strings.Contains(research.Hint(err), "elsewhere") {
		t.Errorf("error %v with hint %q; want one that names the host", err, research.Hint(err))
	}
}

func editNote(t *testing.T, dir string, change func(runner map[string]any)) {
	t.Helper()
	path := filepath.Join(dir, note)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var content map[string]any
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	if err := decoder.Decode(&content); err != nil {
		t.Fatal(err)
	}
	change(content["runner"].(map[string]any))
	if data, err = json.Marshal(content); err == nil {
		err = os.WriteFile(path, data, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Jobs that run together have cores and GPUs of their own, also after a restart.
func TestPlacement(t *testing.T) {
	o := local.Options{Parallel: 3, CPUs: []int{2, 3, 5, 7}, GPUs: []string{"GPU-a", "MIG-b", "6"}}
	dir := t.TempDir()
	first, second := start(t, o), start(t, o)
	var jobs []executortest.Job
	used := map[string]string{}
	for i, r := range []executor.Resources{{CPUs: 2, GPUs: 1}, {CPUs: 1, GPUs: 2}, {CPUs: 1}} {
		j := executortest.NewJob(t, dir, fmt.Sprint("job-", i), executortest.Plan{Held: true})
		j.Resources = r
		submit(t, first, j)
		j.Ready(t)
		if i == 1 { // from here on, another supervisor
			first.Close()
			first = second
			for _, earlier := range append(jobs, j) {
				submit(t, second, earlier)
			}
		}
		jobs = append(jobs, j)
		p := placement(t, j)
		if len(p.CPUs) != r.CPUs || len(p.GPUs) != r.GPUs {
			t.Errorf("%s asked for %+v and got %+v", j.ID, r, p)
		}
		for _, part := range strings.Fields(strings.Trim(fmt.Sprint(p.CPUs), "[]") + " " + strings.Join(p.GPUs, " ")) {
			if other, taken := used[part]; taken {
				t.Errorf("%s and %s were both given %s", other, j.ID, part)
			}
			used[part] = string(j.ID)
		}
	}
	for _, j := range jobs {
		j.Release(t)
		wait(t, second, j)
	}
}

func placement(t *testing.T, j executortest.Job) bundle.Placement {
	t.Helper()
	b, err := bundle.Open(j.Bundle)
	if err != nil {
		t.Fatal(err)
	}
	p, err := b.Placement()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Tools and exclusive jobs keep each other out through the gate that they share.
func TestGateKeepsToolsAndExclusiveJobsApart(t *testing.T) {
	var gate local.Gate
	e := start(t, local.Options{Gate: &gate})
	leave, err := gate.Shared(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	j := executortest.NewJob(t, t.TempDir(), "job", executortest.Plan{Held: true})
	j.Resources.Exclusive = true
	submitted := make(chan error, 1)
	go func() { submitted <- e.Submit(deadline(t), j.Job) }()
	time.Sleep(50 * time.Millisecond) // long enough to start it, if it were to be started
	if j.Starts(t) != 0 {
		t.Error("an exclusive job started beside a tool")
	}
	leave()
	if err := <-submitted; err != nil {
		t.Fatal(err)
	}
	j.Ready(t)
	brief, end := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer end()
	if _, err := gate.Shared(brief); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a tool beside an exclusive job: %v", err)
	}
	j.Release(t)
	wait(t, e, j)
	if leave, err = gate.Shared(deadline(t)); err != nil {
		t.Fatal(err)
	}
	leave()
}

// A job that waits for its turn is told when the executor is closed, and was not started.
func TestCloseEndsQueuedSubmit(t *testing.T) {
	var gate local.Gate
	leave, err := gate.Exclusive(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	defer leave()
	e := start(t, local.Options{Gate: &gate})
	j := executortest.NewJob(t, t.TempDir(), "job", executortest.Plan{})
	submitted := make(chan error, 1)
	go func() { submitted <- e.Submit(deadline(t), j.Job) }()
	e.Close()
	if err := <-submitted; err == nil || j.Starts(t) != 0 {
		t.Errorf("error %v, %d starts", err, j.Starts(t))
	}
}

func TestNoProgram(t *testing.T) {
	if _, err := local.New(local.Options{Self: filepath.Join(t.TempDir(), "mendel")}); err == nil {
		t.Error("an executor without a program to run")
	}
}
