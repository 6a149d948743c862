// Package runner measures one attempt of one trial: it performs the phases, questions the subject
// through the evaluator, and leaves result.json in the bundle. It is the same program under
// every executor. Start reading at [Run], then attempt.go.
//
// It knows nothing of who proposed the recipe or how it compares with others. The recipe is
// untrusted; every number comes from the runner's own clock, from file sizes, or from the task's
// evaluator, unless the task says that the recipe reports it about itself.
package runner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"mendel/internal/measure/bundle"
	"mendel/internal/measure/sandbox"
	"mendel/internal/research"
)

// Options are what a runner needs beside its bundle.
type Options struct {
	Host *sandbox.Host    // nil: what this host is known to offer
	Now  func() time.Time // for the times that people read; nil: time.Now
	Log  *slog.Logger     // for the operator; nil: nothing is said
}

// Run measures the attempt in a bundle and writes its result. It returns an error only when it
// could not even do that:
//   - [bundle.ErrHeld] when another runner is at work on the bundle: that one will write the result;
//   - [bundle.ErrFenced] when the attempt was given up meanwhile;
//   - ctx's error when it was cancelled: it kills the whole process tree and writes nothing, so
//     that whoever waits records the attempt as lost, not as evidence about the recipe.
//
// A bundle that already has a result is left as it is.
func Run(ctx context.Context, bundleDir string, opts Options) error {
	b, err := bundle.Open(bundleDir)
	if err != nil {
		return err
	}
	release, err := b.Hold()
	if err != nil {
		return fmt.Errorf("runner on %s: %w", b.Dir, err)
	}
	defer release()
	if b.HasResult() {
		return nil
	}
	spec, err := b.Spec()
	if err != nil {
		return err
	}
	if err := checkLease(b, spec.Attempt.Token); err != nil {
		return err
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if err := b.WriteRunner(self()); err != nil {
		return fmt.Errorf("runner on %s: %w", b.Dir, err)
	}
	a := newAttempt(b, spec, opts)
	m := a.measure(ctx)
	a.cleanUp()
	if ctx.Err() != nil {
		return fmt.Errorf("runner on %s: %w", b.Dir, context.Cause(ctx))
	}
	return a.leave(m)
}

func checkLease(b bundle.Bundle, token string) error {
	holder, err := b.Lease()
	if err == nil && holder != token {
		err = bundle.ErrFenced
	}
	if err != nil {
		return fmt.Errorf("runner on %s: %w", b.Dir, err)
	}
	return nil
}

// leave writes the result. On a full disk a result without logs may still fit; half a result never
// appears.
func (a *attempt) leave(m research.Measurement) error {
	r := bundle.Result{Token: a.spec.Attempt.Token, Measurement: m, Logs: a.logs, EndedAt: a.opts.Now()}
	err := a.bundle.WriteResult(r)
	if err == nil || !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) {
		return err
	}
	_ = os.RemoveAll(a.bundle.Logs())
	short := research.Measurement{
		Outcome: research.Aborted, Reason: "the disk that holds the bundle is full: " + oneLine(err.Error(), 200),
		Seeds: m.Seeds, Sandbox: m.Sandbox, Host: m.Host, Wall: m.Wall, Harness: m.Harness,
	}
	r.Measurement, r.Logs = short, nil
	return research.Hinted(a.bundle.WriteResult(r), "free some space where the run's directory lies, then resume")
}

// self says which process this is.
func self() bundle.Runner {
	r := bundle.Runner{PID: os.Getpid()}
	r.Host, _ = os.Hostname()
	// The name in parentheses may hold anything; the start time is the 20th field after it.
	stat, _ := os.ReadFile("/proc/self/stat")
	if fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:])); len(fields) > 19 {
		r.Start, _ = strconv.ParseUint(fields[19], 10, 64)
	}
	return r
}
