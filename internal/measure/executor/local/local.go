// Package local runs jobs on this machine, as detached runner processes that outlive the
// supervisor. Start reading at [Executor.Submit].
//
// A job gets cores of its own, GPUs of its own and, when it is exclusive, the host to itself; see
// [Gate] for how others that work on the host take part in that. Which process measures a bundle is
// noted in the bundle, so that a restarted supervisor finds it. The package needs Linux's /proc.
package local

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"sync"

	"mendel/internal/measure/bundle"
	"mendel/internal/measure/executor"
	"mendel/internal/research"
)

// Options say what an executor may use.
type Options struct {
	Self     string // the mendel binary, run as "SELF runner BUNDLE"
	Parallel int    // jobs at the same time; see [Host.Fits]. 0 means 1
	// CPUs and GPUs may be handed out; nil means what [Detect] finds.
	CPUs []int
	GPUs []string
	// Gate is shared with everybody else who works on this host; nil makes one of its own.
	Gate *Gate
	// PrivateMounts starts runners in mount namespaces of their own. Set it where sandbox.Probe found that
	// these work; elsewhere every start fails.
	PrivateMounts bool
}

// An Executor runs jobs on this machine. It implements [executor.Executor] and [io.Closer].
type Executor struct {
	self          string
	privateMounts bool
	slots         *slots
	gate          *Gate

	ctx      context.Context // ends with Close
	close    context.CancelCauseFunc
	watchers sync.WaitGroup

	mu   sync.Mutex
	jobs map[executor.JobID]*job
}

var (
	errClosed    = errors.New("the executor was closed; its jobs go on")
	errCancelled = errors.New("cancelled")
)

// New makes an executor that knows of no jobs yet. Close it when done.
func New(o Options) (*Executor, error) {
	self, err := exec.LookPath(o.Self)
	if err == nil {
		self, err = filepath.Abs(self)
	}
	if err != nil {
		return nil, fmt.Errorf("local executor: the program that runs trials: %w", err)
	}
	host := Host{CPUs: o.CPUs, GPUs: o.GPUs}
	if o.CPUs == nil || o.GPUs == nil {
		found, err := Detect()
		if err != nil {
			return nil, fmt.Errorf("local executor: %w", err)
		}
		if o.CPUs == nil {
			host.CPUs = found.CPUs
		}
		if o.GPUs == nil {
			host.GPUs = found.GPUs
		}
	}
	gate := o.Gate
	if gate == nil {
		gate = new(Gate)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	return &Executor{
		self: self, privateMounts: o.PrivateMounts,
		slots: newSlots(max(1, o.Parallel), host, hardwareThreads(host.CPUs)), gate: gate,
		ctx: ctx, close: cancel, jobs: map[executor.JobID]*job{},
	}, nil
}

// Name implements [executor.Executor].
func (e *Executor) Name() string { return "local" }

// Slots implements [executor.Executor].
func (e *Executor) Slots(context.Context) (int, error) { return e.slots.parallel, nil }

// Close lets go of the jobs, which go on.
func (e *Executor) Close() error {
	e.mu.Lock() // no watcher starts after this
	e.close(errClosed)
	e.mu.Unlock()
	e.watchers.Wait()
	return nil
}

// Submit implements [executor.Executor].
func (e *Executor) Submit(ctx context.Context, submitted executor.Job) error {
	fail := func(err error) error { return fmt.Errorf("submit job %s: %w", submitted.ID, err) }
	// One bundle has one path, by which its processes are known.
	dir, err := filepath.Abs(submitted.Bundle)
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		return fail(err)
	}
	submitted.Bundle = dir
	for {
		turn, withdraw := context.WithCancelCause(ctx)
		j, mine := e.claim(submitted, withdraw)
		if mine {
			err := e.begin(turn, j)
			e.settle(j, err)
			withdraw(nil)
			if err != nil {
				return fail(err)
			}
			return nil
		}
		withdraw(nil)
		if j.Bundle != submitted.Bundle {
			return fail(fmt.Errorf("the id belongs to bundle %s, not to %s", j.Bundle, submitted.Bundle))
		}
		select {
		case <-j.settled:
		case <-ctx.Done():
			return fail(context.Cause(ctx))
		}
		if j.refused == nil {
			return nil
		}
	}
}

// claim finds the job's entry, or makes one for the caller to settle.
func (e *Executor) claim(submitted executor.Job, withdraw context.CancelCauseFunc) (j *job, mine bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if j, known := e.jobs[submitted.ID]; known {
		return j, false
	}
	j = newJob(submitted, withdraw)
	e.jobs[submitted.ID] = j
	return j, true
}

// settle publishes what became of a claimed job. One that was refused is forgotten.
func (e *Executor) settle(j *job, refused error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if j.refused = refused; refused != nil {
		delete(e.jobs, j.ID)
	}
	close(j.settled)
}

// begin takes over what was started for the job before, or starts it when its turn comes.
func (e *Executor) begin(ctx context.Context, j *job) error {
	b, err := bundle.Open(j.Bundle)
	if err != nil {
		return err
	}
	found, err := find(b)
	switch {
	case err != nil:
		return err
	case found != nil && found.Runner.alive():
		j.handle = *found
		return e.adopt(j, b)
	case found != nil:
		j.handle = *found
		j.over(j.past())
		return nil
	case b.HasResult():
		j.over(j.past())
		return nil
	}
	err = e.start(ctx, j, b)
	if errors.Is(err, errCancelled) {
		j.over(executor.Exit{Code: -1, Lost: "it was cancelled before it started"})
		return nil
	}
	return err
}

// adopt watches a runner that somebody else started, and counts it where it runs.
func (e *Executor) adopt(j *job, b bundle.Bundle) error {
	p, err := b.Placement()
	if err != nil {
		return err
	}
	leave := e.gate.hold(j.Resources.Exclusive)
	e.slots.hold(p)
	return e.watch(j, func() { e.slots.release(p); leave() })
}

// start waits until the host has room for the job, and starts its runner there.
func (e *Executor) start(ctx context.Context, j *job, b bundle.Bundle) (err error) {
	if err := e.slots.fit(j.Resources); err != nil {
		return err
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer context.AfterFunc(e.ctx, func() { stop(errClosed) })()
	defer stop(nil)

	// The gate first: a job that waits there must not hold a slot that others could use.
	leave, err := e.gate.enter(ctx, j.Resources.Exclusive)
	if err != nil {
		return err
	}
	p, err := e.slots.acquire(ctx, j.Resources)
	if err != nil {
		leave()
		return err
	}
	vacate := func() { e.slots.release(p); leave() }
	defer func() {
		if err != nil {
			vacate()
		}
	}()
	if err := b.WritePlacement(p); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if j.cmd, j.handle, err = e.launch(b); err != nil {
		return err
	}
	return e.watch(j, vacate)
}

// watch follows the job's runner to its end in a goroutine that ends with it, or with Close.
func (e *Executor) watch(j *job, vacate func()) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ctx.Err() != nil {
		return errClosed
	}
	e.watchers.Go(func() {
		if j.handle.Runner.await(e.ctx) != nil {
			return
		}
		j.exit = j.reap()
		close(j.ended)
		// A runner that left a result left nothing else. One that did not may have died in the middle.
		if !j.exit.Ended && j.tree().kill(e.ctx) != nil && e.ctx.Err() != nil {
			return
		}
		vacate()
		close(j.vacated)
	})
	return nil
}

// Wait implements [executor.Executor].
func (e *Executor) Wait(ctx context.Context, id executor.JobID) (executor.Exit, error) {
	j, err := e.await(ctx, id)
	if err == nil {
		err = e.until(ctx, j.ended)
	}
	if err != nil {
		return executor.Exit{}, fmt.Errorf("wait for job %s: %w", id, err)
	}
	return j.exit, nil
}

// Cancel implements [executor.Executor].
func (e *Executor) Cancel(ctx context.Context, id executor.JobID) error {
	fail := func(err error) error { return fmt.Errorf("cancel job %s: %w", id, err) }
	e.mu.Lock()
	if j, known := e.jobs[id]; known {
		j.withdraw(errCancelled)
	}
	e.mu.Unlock()
	j, err := e.await(ctx, id)
	if err != nil {
		return fail(err)
	}
	j.cancelled.Store(true)
	if err := j.tree().kill(ctx); err != nil {
		return fail(research.Hinted(err, "look at the processes whose environment holds "+mark(j.Bundle)))
	}
	if err := e.until(ctx, j.vacated); err != nil {
		return fail(err)
	}
	return nil
}

// await finds a job once its Submit has ended.
func (e *Executor) await(ctx context.Context, id executor.JobID) (*job, error) {
	e.mu.Lock()
	j, known := e.jobs[id]
	e.mu.Unlock()
	if !known {
		return nil, executor.ErrUnknownJob
	}
	select {
	case <-j.settled:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if j.refused != nil {
		return nil, fmt.Errorf("%w: %w", executor.ErrUnknownJob, j.refused)
	}
	return j, nil
}

// until waits for done. What is done already is told even when ctx or the executor has ended.
func (e *Executor) until(ctx context.Context, done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	default:
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-e.ctx.Done():
		return context.Cause(e.ctx)
	}
}
