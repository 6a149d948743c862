// Package executortest is the conformance suite of executors: it holds an implementation to every
// sentence of the contract in package executor. Start reading at [Run].
//
// Jobs are performed by a small stand-in for the runner, which the test binary itself becomes: the
// package under test calls [Main] from its TestMain and gives its executors the path of the test binary
// (os.Executable) as the program to run. Stand-ins and suite talk through files in the bundles
// alone, so that a stand-in may run wherever the executor puts it, as long as it sees them.
package executortest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"mendel/internal/measure/bundle"
	"mendel/internal/measure/executor"
	"mendel/internal/research"
)

// limit is how long any one call may take before the test gives up on it. It is long: hosts that
// run tests are busy.
const limit = time.Minute

// Run tests the executors that start makes. Each call of start is a supervisor that starts, perhaps
// after another one ended; each executor needs at least 2 slots. The suite closes an executor that
// is an io.Closer.
func Run(t *testing.T, start func(t *testing.T) executor.Executor) {
	for name, test := range map[string]func(*suite){
		"Endings":                    endings,
		"RepeatedSubmit":             repeatedSubmit,
		"ConcurrentSubmit":           concurrentSubmit,
		"SubmitAfterTheEnd":          submitAfterTheEnd,
		"OneIDTwoBundles":            oneIDTwoBundles,
		"NoBundle":                   noBundle,
		"Unfit":                      unfit,
		"UnknownJob":                 unknownJob,
		"ContextsDoNotEndJobs":       contextsDoNotEndJobs,
		"SeveralWaiters":             severalWaiters,
		"LeaseTaken":                 leaseTaken,
		"RestartWhileRunning":        restartWhileRunning,
		"RestartAfterResult":         restartAfterResult,
		"RestartAfterCrash":          restartAfterCrash,
		"CloseEndsWaiting":           closeEndsWaiting,
		"Cancel":                     cancel,
		"CancelAdopted":              cancelAdopted,
		"CancelAfterTheEnd":          cancelAfterTheEnd,
		"ConcurrentCancel":           concurrentCancel,
		"CancelBeforeItsTurn":        cancelBeforeItsTurn,
		"CrashLeavesNothing":         crashLeavesNothing,
		"NeverMoreThanSlots":         neverMoreThanSlots,
		"ExclusiveHoldsAfterRestart": exclusiveHoldsAfterRestart,
	} {
		t.Run(name, func(t *testing.T) {
			leaks := goleak.IgnoreCurrent()
			t.Cleanup(func() { goleak.VerifyNone(t, leaks) })
			ctx, end := context.WithTimeout(t.Context(), limit)
			t.Cleanup(end)
			test(&suite{T: t, ctx: ctx, start: start, dir: t.TempDir()})
		})
	}
}

// A suite is the stage of one test.
type suite struct {
	*testing.T
	ctx   context.Context // ends when the test has taken too long
	start func(t *testing.T) executor.Executor
	dir   string
	jobs  int
}

// A Job is a job whose stand-in the test can watch and direct.
type Job struct {
	executor.Job
	b bundle.Bundle
}

// supervisor starts an executor and closes it when the test ends.
func (s *suite) supervisor() executor.Executor {
	s.Helper()
	e := s.start(s.T)
	s.Cleanup(func() { s.leave(e) })
	slots, err := e.Slots(s.ctx)
	if err != nil {
		s.Fatal(err)
	}
	if slots < 2 {
		s.Fatalf("executor %s has %d slots; the suite needs 2", e.Name(), slots)
	}
	return e
}

// leave ends a supervisor as far as its jobs can tell.
func (s *suite) leave(e executor.Executor) {
	s.Helper()
	if c, ok := e.(io.Closer); ok {
		if err := c.Close(); err != nil {
			s.Errorf("close: %v", err)
		}
	}
}

// job makes a bundle in which the stand-in will follow plan. At the end of the test a stand-in
// that still runs is let go.
func (s *suite) job(plan Plan) Job {
	s.Helper()
	s.jobs++
	job := NewJob(s.T, s.dir, fmt.Sprintf("job-%d", s.jobs), plan)
	s.Cleanup(func() { job.Release(s.T) })
	return job
}

// NewJob makes a bundle in dir in which the stand-in will follow plan.
func NewJob(t *testing.T, dir, id string, plan Plan) Job {
	t.Helper()
	path := filepath.Join(dir, id)
	b, err := bundle.Create(path, bundle.Spec{Attempt: research.Attempt{Number: 1, Token: "token of " + id}}, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	writeJSON(t, filepath.Join(path, planFile), plan)
	return Job{executor.Job{ID: executor.JobID(id), Bundle: path, Resources: executor.Resources{CPUs: 1}}, b}
}

// Release lets a stand-in that is Held go on.
func (j Job) Release(t *testing.T) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(j.Bundle, goFile), nil, 0o644); err != nil {
		t.Error(err)
	}
}

// Ready waits until the stand-in runs, with all that its plan makes it start.
func (j Job) Ready(t *testing.T) About {
	t.Helper()
	var about About
	if !appears(filepath.Join(j.Bundle, readyFile)) {
		log, _ := os.ReadFile(j.b.RunnerLog())
		t.Fatalf("%s did not start; its log: %s", j.ID, log)
	}
	if err := readJSON(filepath.Join(j.Bundle, readyFile), &about); err != nil {
		t.Fatal(err)
	}
	return about
}

// Starts counts how often a runner was started for the job.
func (j Job) Starts(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(j.Bundle, startsFile))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	lines := 0
	for _, c := range text {
		if c == '\n' {
			lines++
		}
	}
	return lines
}

// HasResult reports whether the stand-in left its result.
func (j Job) HasResult() bool { return j.b.HasResult() }

// Gone fails the test if the stand-in or its daemon lives.
func (j Job) Gone(t *testing.T) {
	t.Helper()
	if held, err := j.b.Held(); err != nil || held {
		t.Errorf("%s: its runner lives on (%v)", j.ID, err)
	}
	if locked(filepath.Join(j.Bundle, daemonFile)) {
		t.Errorf("%s: a detached process of its lives on", j.ID)
	}
}

// Ended waits until the stand-in has ended, whoever watches it.
func (j Job) Ended(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(limit); ; time.Sleep(2 * time.Millisecond) {
		held, err := j.b.Held()
		if err != nil {
			t.Fatal(err)
		}
		if !held {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s did not end", j.ID)
		}
	}
}

func writeJSON(t *testing.T, path string, v any) {
	t.Helper()
	data, err := json.Marshal(v)
	if err == nil {
		err = os.WriteFile(path, data, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (s *suite) submit(e executor.Executor, j Job) {
	s.Helper()
	if err := e.Submit(s.ctx, j.Job); err != nil {
		s.Fatal(err)
	}
}

func (s *suite) wait(e executor.Executor, j Job) executor.Exit {
	s.Helper()
	exit, err := e.Wait(s.ctx, j.ID)
	if err != nil {
		s.Fatal(err)
	}
	if exit.Ended != (exit.Lost == "") {
		s.Errorf("%s: Ended is %v and Lost is %q; exactly one must say how it ended", j.ID, exit.Ended, exit.Lost)
	}
	return exit
}

func (s *suite) cancel(e executor.Executor, j Job) {
	s.Helper()
	if err := e.Cancel(s.ctx, j.ID); err != nil {
		s.Fatal(err)
	}
}

// startedOnce fails the test unless a runner was started for the job exactly once.
func (s *suite) startedOnce(j Job) {
	s.Helper()
	if n := j.Starts(s.T); n != 1 {
		s.Errorf("%s: %d runners were started, want 1", j.ID, n)
	}
}
