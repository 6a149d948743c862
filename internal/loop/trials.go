package loop

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"mendel/internal/control"
	"mendel/internal/lineage"
	"mendel/internal/measure/bundle"
	"mendel/internal/measure/executor"
	"mendel/internal/research"
)

// maxAttempts is how often a measurement is tried when the failure is ours. After that the
// trial is shown as aborted, and charged: there are no free, hidden retries.
const maxAttempts = 2

// Attempts that are lost for these reasons are no failures of a measurement: they are repeated
// on a resume, however often.
const (
	killedByUser = "killed when the run was stopped"
	neverBegun   = "the supervisor died before its bundle was written"
)

// A runningJob is a measurement that occupies a slot.
type runningJob struct {
	job     job
	attempt research.Attempt
	bundle  string
	since   time.Time
	forget  context.CancelFunc // stops watching; the runner goes on

	submitted atomic.Bool // the executor has it
	withdrawn atomic.Bool // it was taken back before that
}

// withdraw takes back a job that the executor has not accepted yet, because an exclusive trial
// or another job is in its way.
func (r *runningJob) withdraw() {
	if !r.submitted.Load() {
		r.withdrawn.Store(true)
		r.forget()
	}
}

// A jobEnd is what a watcher brings back.
type jobEnd struct {
	result *bundle.Result
	lost   string // why there is no result
	logs   []lineage.Blob
	wall   time.Duration
	err    error // we stopped watching, or cannot tell how it ended
}

// dispatch gives waiting jobs to free slots.
func (l *Loop) dispatch() {
	for len(l.running) < l.slots && l.failure == nil {
		if !l.mayStartTrial() {
			return
		}
		j, ok := l.queue.Pop()
		if !ok {
			return
		}
		l.start(j)
	}
}

// start records an attempt, then hands it to the executor.
func (l *Loop) start(j job) {
	trial, err := l.cfg.Store.Trial(j.trial)
	if err != nil {
		l.fail(fmt.Errorf("trial %s: %w", j.trial, err))
		return
	}
	earlier, err := l.cfg.Store.Attempts(j.trial)
	if err != nil {
		l.fail(fmt.Errorf("trial %s: %w", j.trial, err))
		return
	}
	measured, repetition, err := l.measuredTrial(trial, j.replicate)
	if err != nil {
		l.fail(fmt.Errorf("trial %s: %w", j.trial, err))
		return
	}
	attempt := research.Attempt{
		Trial: j.trial, Replicate: j.replicate, Number: 1,
		Token: l.cfg.Token(), Seeds: research.SeedsFor(l.reg.Seed, j.trial, repetition, l.reg.Seeds),
	}
	for _, a := range earlier {
		if a.Replicate == j.replicate {
			attempt.Number = a.Number + 1
		}
	}
	// A recipe can see the name of its bundle's directory, so it says nothing: one that could tell a
	// re-measurement from the first would behave for it.
	name := filepath.Join("bundles", l.cfg.Token())
	dispatched := research.Dispatched{Attempt: attempt, Executor: l.cfg.Executor.Name(), Bundle: name}
	if measured.ID != j.trial {
		dispatched.Of = &measured.ID
	}
	if !l.append(dispatched) {
		return
	}
	l.watch(j, attempt, name, &measured)
}

// watch follows one attempt to its end in a goroutine of its own. With a trial it makes the
// bundle first; without, it takes up the one that an earlier supervisor made.
func (l *Loop) watch(j job, attempt research.Attempt, name string, fresh *research.Trial) {
	ctx, forget := context.WithCancel(context.Background())
	r := &runningJob{job: j, attempt: attempt, bundle: filepath.Join(l.cfg.Dir, name), since: l.cfg.Now(), forget: forget}
	l.running[j.jobKey] = r
	var spec *bundle.Spec
	var tree []bundle.File
	if fresh != nil {
		s := l.spec(attempt, fresh.Proposal.Tree)
		spec = &s
		var err error
		if tree, err = l.treeFiles(fresh.Proposal.Tree); err != nil {
			forget()
			l.fail(fmt.Errorf("trial %s: %w", j.trial, err))
			return
		}
	}
	l.work.Add(1)
	go func() {
		defer l.work.Done()
		defer forget()
		end := l.follow(ctx, r, spec, tree)
		accepted := false
		l.do(context.Background(), func() { accepted = l.finish(r, end) })
		if accepted {
			bundle.Remove(r.bundle)
		}
	}()
}

func (l *Loop) follow(ctx context.Context, r *runningJob, spec *bundle.Spec, tree []bundle.File) jobEnd {
	if spec != nil {
		if _, err := bundle.Create(r.bundle, *spec, tree, l.cfg.Task.Evaluator.Dir); err != nil {
			return jobEnd{lost: fmt.Sprintf("its bundle could not be written: %v", err)}
		}
	}
	id := executor.JobID(filepath.Base(r.bundle))
	if err := l.cfg.Executor.Submit(ctx, executor.Job{ID: id, Bundle: r.bundle, Resources: ResourcesOf(l.cfg.Task)}); err != nil {
		switch {
		case r.withdrawn.Load():
			return jobEnd{lost: killedByUser}
		case ctx.Err() != nil:
			return jobEnd{err: ctx.Err()}
		}
		end := jobEnd{lost: fmt.Sprintf("executor %s would not take it: %v", l.cfg.Executor.Name(), err)}
		if b, err := bundle.Open(r.bundle); err == nil { // a runner of before must not go on beside the next attempt
			end.lost = giveUp(b, end.lost)
		}
		return end
	}
	r.submitted.Store(true)
	exit, err := l.cfg.Executor.Wait(ctx, id)
	if err != nil {
		return jobEnd{err: err}
	}
	end := jobEnd{lost: exit.Lost, wall: exit.Wall}
	b, err := bundle.Open(r.bundle)
	if err != nil {
		end.lost = err.Error()
		return end
	}
	if !exit.Ended {
		if end.lost == "" {
			end.lost = fmt.Sprintf("its runner ended with code %d and left no result", exit.Code)
		}
		end.lost = giveUp(b, end.lost)
	}
	l.readResult(b, r.attempt, &end)
	return end
}

// giveUp takes the lease away: the runner may live on where the executor cannot see it, and a
// result that is not there yet must never appear.
func giveUp(b bundle.Bundle, why string) string {
	if err := b.Fence("given up"); err != nil {
		return why + "; " + err.Error()
	}
	return why
}

// readResult takes what a runner left, if it is this attempt's.
func (l *Loop) readResult(b bundle.Bundle, a research.Attempt, end *jobEnd) {
	result, err := b.Result()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if end.lost == "" {
			end.lost = "its result disappeared"
		}
		return
	case err != nil:
		end.lost = err.Error()
		return
	case result.Token != a.Token:
		end.lost = "its result carries another attempt's token"
		return
	}
	logs, err := logBlobs(b, result)
	if err != nil {
		end.lost = err.Error()
		return
	}
	end.result, end.logs, end.lost = &result, logs, ""
}

// finish takes an attempt's end into the lineage, and says whether its bundle may go.
func (l *Loop) finish(r *runningJob, end jobEnd) (accepted bool) {
	delete(l.running, r.job.jobKey)
	if end.err != nil && !errors.Is(end.err, context.Canceled) {
		l.fail(fmt.Errorf("watch trial %s: %w", r.job.trial, end.err))
	}
	if end.err != nil || l.failure != nil {
		return false // the runner goes on; a resume finds it by its bundle
	}
	lost := end.lost
	var measured research.Measurement
	if end.result != nil {
		measured = end.result.Measurement
		if measured.Outcome == research.Aborted {
			lost = measured.Reason
		}
	}
	if lost != "" {
		if l.killed && end.result == nil {
			lost = killedByUser
		}
		if !l.append(research.AttemptLost{Attempt: r.attempt, Reason: lost, Wall: research.SecondsOf(end.wall)}) {
			return false
		}
		l.cfg.Log.Warn("attempt lost", "trial", r.job.trial.String(), "attempt", r.attempt.Number, "reason", lost)
		attempts, err := l.cfg.Store.Attempts(r.job.trial)
		if err != nil {
			l.fail(err)
			return false
		}
		if failures(attempts, r.job.replicate) < maxAttempts {
			l.queue.PushFront(r.job)
		} else {
			l.judge(r.job.trial) // without a result it counts as aborted
		}
		return l.killed // what failed stays on the disk for the operator to look at
	}
	l.longest = max(l.longest, end.wall)
	if !l.append(research.Measured{Attempt: r.attempt, Measurement: measured}, end.logs...) {
		return false
	}
	l.judge(r.job.trial)
	return l.failure == nil
}

// judge takes a trial as far as its measurements go: to its verdict, or, where the keep rule asks for
// it, to the next measurement.
func (l *Loop) judge(id research.TrialID) {
	attempts, err := l.cfg.Store.Attempts(id)
	if err != nil {
		l.fail(err)
		return
	}
	if !l.decided(attempts, l.replicates(id, attempts)) {
		l.measureOn(id, attempts)
		return
	}
	l.queue.Drop(id) // what one failed replicate has settled
	if id == research.Baseline {
		if measured := lineage.Measured(attempts); measured > 0 && measured < l.baselineReplicates() && allValid(attempts) {
			l.fail(research.Hinted(fmt.Errorf("only %d of %d measurements of the baseline could be made", measured, l.baselineReplicates()),
				"`"+l.mendel("log 000")+"` shows what failed; start a new run once that is mended"))
			return
		}
		if !l.calibrate() {
			return
		}
	}
	judgement, err := l.cfg.Store.Judgement(id)
	if err != nil {
		l.fail(fmt.Errorf("judge %s: %w", id, err))
		return
	}
	if step := research.Next(judgement); step != research.ToJudge {
		l.confirm(judgement, step, lineage.Measured(attempts))
		return
	}
	verdict, outcome := research.Judge(judgement), judgement.Outcome()
	if !l.append(research.Judged{Trial: id, Outcome: outcome, Verdict: verdict, Status: research.StatusOf(id, outcome, verdict)}) {
		return
	}
	trial, err := l.cfg.Store.Trial(id)
	if err != nil {
		l.fail(err)
		return
	}
	for _, waiter := range l.awaiting[id] {
		waiter <- trial
	}
	delete(l.awaiting, id)
	if id == research.Baseline {
		l.state = control.Searching
		if outcome != research.Valid && l.reg.Remeasures == nil {
			l.baselineFailed(verdict.Reason)
		}
	}
	if judgement.Contest != nil {
		l.nextContender()
	}
}

// decided says whether a trial's attempts settle what was asked for: nothing is open, and either every
// replicate is in, or one cannot be had, or one of the baseline's shows that it is not valid, which
// leaves nothing to search for.
func (l *Loop) decided(attempts []lineage.AttemptRow, replicates int) bool {
	measured, failed := 0, false
	for _, a := range attempts {
		failed = failed || failures(attempts, a.Replicate) >= maxAttempts
		switch a.State {
		case lineage.AttemptOpen:
			return false
		case lineage.AttemptMeasured:
			measured++
			failed = failed || a.Trial == research.Baseline && a.Outcome != research.Valid && l.reg.Remeasures == nil
		}
	}
	return failed || measured >= replicates
}

// failures counts the attempts of a replicate that were lost through no one's wish.
func failures(attempts []lineage.AttemptRow, replicate int) int {
	n := 0
	for _, a := range attempts {
		if a.Replicate == replicate && a.State == lineage.AttemptLost && a.Reason != killedByUser && a.Reason != neverBegun {
			n++
		}
	}
	return n
}

// allValid says whether no accepted result shows a fault of the tree.
func allValid(attempts []lineage.AttemptRow) bool {
	return !slices.ContainsFunc(attempts, func(a lineage.AttemptRow) bool {
		return a.State == lineage.AttemptMeasured && a.Outcome != research.Valid
	})
}

// baselineFailed ends a run whose starting recipe does not pass: there is nothing to improve on.
func (l *Loop) baselineFailed(reason string) {
	l.append(research.Stopped{Reason: reason})
	l.fail(research.Hinted(fmt.Errorf("%s", reason),
		"`"+l.mendel("log 000")+"` shows what it printed; a recipe must pass its own task before anything can be compared with it"))
}

func (l *Loop) killJobs() {
	l.killed = true
	for _, r := range l.running {
		l.work.Add(1)
		go func() {
			defer l.work.Done()
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			if err := l.cfg.Executor.Cancel(ctx, executor.JobID(filepath.Base(r.bundle))); err != nil {
				l.cfg.Log.Warn("cancel", "trial", r.job.trial.String(), "error", err)
			}
		}()
	}
}
