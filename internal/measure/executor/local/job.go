package local

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"sync/atomic"
	"syscall"
	"time"

	"mendel/internal/measure/bundle"
	"mendel/internal/measure/executor"
)

// A job is one entry of the executor's table. Its channels are closed in their order.
type job struct {
	executor.Job

	withdraw  context.CancelCauseFunc // ends a Submit that still waits for its turn
	cancelled atomic.Bool             // somebody asked for its end

	settled chan struct{} // Submit has ended; from here on:
	refused error         //   why there is no job, or nil
	handle  handle        //   of the runner; zero when none was started
	cmd     *exec.Cmd     //   nil when the runner is not our child

	ended chan struct{} // the runner has ended; from here on:
	exit  executor.Exit

	vacated chan struct{} // nothing of it runs and its slot is free
}

func newJob(j executor.Job, withdraw context.CancelCauseFunc) *job {
	return &job{
		Job: j, withdraw: withdraw,
		settled: make(chan struct{}), ended: make(chan struct{}), vacated: make(chan struct{}),
	}
}

func (j *job) bundle() bundle.Bundle { return bundle.Bundle{Dir: j.Bundle} }

func (j *job) tree() tree { return tree{root: j.handle.Runner, mark: mark(j.Bundle)} }

// over ends a job that has no runner to wait for.
func (j *job) over(exit executor.Exit) {
	j.exit = exit
	close(j.ended)
	close(j.vacated)
}

// past is the exit of a runner that ended while nobody watched.
func (j *job) past() executor.Exit {
	b := j.bundle()
	exit := executor.Exit{Ended: b.HasResult(), Code: -1}
	if !exit.Ended {
		exit.Lost = fmt.Sprintf("its runner ended unwatched and left no result; see %s", b.RunnerLog())
	}
	if started := j.handle.StartedAt; !started.IsZero() {
		exit.Wall = max(0, lastSign(b).Sub(started))
	}
	return exit
}

// reap is the exit of a runner that has just ended.
func (j *job) reap() executor.Exit {
	b := j.bundle()
	exit := executor.Exit{Ended: b.HasResult(), Code: -1, Wall: time.Since(j.handle.StartedAt)}
	how := "ended"
	if j.cmd != nil {
		exit.Code, how = status(j.cmd.Wait())
	}
	switch {
	case exit.Ended:
	case j.cancelled.Load():
		exit.Lost = "it was cancelled"
	default:
		exit.Lost = fmt.Sprintf("its runner %s and left no result; see %s", how, b.RunnerLog())
	}
	return exit
}

// status tells how a child ended, as a number and in words.
func status(err error) (code int, how string) {
	exit := new(exec.ExitError)
	switch {
	case err == nil:
		return 0, "ended with status 0"
	case !errors.As(err, &exit):
		return -1, "ended"
	}
	if wait, ok := exit.Sys().(syscall.WaitStatus); ok && wait.Signaled() {
		return 128 + int(wait.Signal()), fmt.Sprintf("was ended by signal %d (%s)", int(wait.Signal()), wait.Signal())
	}
	return exit.ExitCode(), fmt.Sprintf("ended with status %d", exit.ExitCode())
}
