package runner

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"mendel/internal/measure/bundle"
	"mendel/internal/measure/sandbox"
	"mendel/internal/research"
)

// An end says how a command of ours ended.
type end struct {
	sandbox.Exit
	wall   time.Duration // from the moment when it was let go until nothing of its tree was left
	killed bool          // at its time limit, by us
}

// failed says whether the command did not reach its own good end.
func (e end) failed() bool { return e.killed || e.Exit.Failed() }

// word is the ending as a record keeps it.
func (e end) word() string {
	switch {
	case e.killed:
		return "timeout"
	case !e.Failed():
		return "ok"
	case e.OOM, e.Overflow == "memory":
		return "oom"
	case e.Overflow == "output", e.Overflow == "disk":
		return e.Overflow
	case e.Overflow != "", e.Signal != "":
		return "killed"
	default:
		return "exit"
	}
}

// class is the ending as people read it, with nothing in it that the process could choose freely
// but its exit status.
func (e end) class() string {
	switch e.word() {
	case "oom":
		return "out of memory"
	case "output":
		return "killed for printing without end"
	case "disk":
		return "killed for filling the disk"
	case "killed":
		if e.Overflow != "" {
			return "killed: over its " + e.Overflow + " limit"
		}
		return "ended by signal: " + e.Signal
	}
	return fmt.Sprintf("exit status %d", e.Code)
}

// plainExit says that the program ended itself.
func (e end) plainExit() bool { return e.word() == "exit" }

// run runs a command to its end, which comes after killAfter at the latest.
func (b *bench) run(ctx context.Context, g guest, killAfter time.Duration) (end, error) {
	c, err := b.command(g)
	if err != nil {
		return end{}, err
	}
	p, err := b.host.Start(ctx, c)
	if err != nil {
		return end{}, err
	}
	began := time.Now()
	var late atomic.Bool
	kill := func() {
		late.Store(true)
		p.Kill()
	}
	timer := time.AfterFunc(killAfter, kill)
	if g.watch != nil {
		g.watch.start(began, kill)
	}
	exit := p.Wait()
	wall := time.Since(began)
	timer.Stop()
	if g.watch != nil {
		g.watch.stop(began.Add(wall))
	}
	e := end{Exit: exit, wall: wall}
	e.killed = late.Load() && e.Failed()
	if ctx.Err() != nil {
		return e, context.Cause(ctx)
	}
	return e, exit.Err
}

// preflightCheck runs a check that can end a trial, before any phase.
func (a *attempt) preflightCheck(ctx context.Context, c bundle.Check) (ok bool, err error) {
	a.enter(c.Name, -1)
	var log capture
	e, err := a.run(ctx, a.checkGuest(c, a.seedOf(0), &log), timeoutOf(c))
	if err != nil {
		return false, fmt.Errorf("check %s: %w", c.Name, err)
	}
	a.busy += e.wall
	if err := a.record(runOf(c.Name, -1, e), &log, e.Note, true); err != nil {
		return false, err
	}
	if !e.failed() {
		return true, nil
	}
	text, _ := log.content()
	a.fail(preflight, c.OnFail, c.Name, e, timeoutOf(c), text)
	return false, nil
}

// recipePhase runs the recipe once. Only the files that the artifact names outlive it.
func (a *attempt) recipePhase(ctx context.Context, p *bundle.Phase, seed int, s *seedRecord) (ok bool, err error) {
	a.enter(p.Name, seed)
	scratch, err := a.host.NewScratch(a.fresh("out"), int64(a.plan.Resources.Disk))
	if err != nil {
		return false, err
	}
	defer func() {
		// The recipe can leave what is hard to remove. Nothing uses the name again, and it goes with the bundle.
		if closing := scratch.Close(); closing != nil {
			a.opts.Log.Warn("scratch", "phase", p.Name, "error", closing)
		}
	}()
	// Where recipes run as another user, that user must be able to look into the way there.
	if err := os.Chmod(scratch.Dir, 0o755); err != nil {
		return false, err
	}
	var log capture
	g := guest{
		argv: p.Run, phase: p.Name, env: p.Env, seed: a.seedOf(seed), reader: p.Name,
		out: scratch.Dir, artifact: s.artifactDir, cache: a.cache, log: &log, limits: a.limits(),
	}
	if g.watch, err = newStopwatch(p.Parts); err != nil {
		return false, err
	}
	e, err := a.run(ctx, g, p.KillAfter.Std())
	if err != nil {
		return false, fmt.Errorf("%s: %w", p.Name, err)
	}
	a.busy += e.wall
	a.clock(p, s, e)
	notes := e.Note
	if g.watch != nil {
		notes = strings.TrimPrefix(notes+"\n[mendel] "+g.watch.record(a, s, e), "\n[mendel] ")
	}
	if err := a.record(runOf(p.Name, seed, e), &log, notes, true); err != nil {
		return false, err
	}
	s.logs[p.Name], _ = log.content()
	if e.failed() {
		why := failure
		if p.Once {
			why = preflight
		}
		if !e.killed || p.Budget == 0 && p.Parts == nil { // else the budget's own bound says it
			a.fail(why, p.OnFail, p.Name, e, p.KillAfter.Std(), s.logs[p.Name])
		}
		return false, nil
	}
	if c := a.plan.Cache; c != nil && c.From == p.Name {
		if ok, err := a.keepCache(scratch.Dir, p); !ok || err != nil {
			return false, err
		}
	}
	if p.Once && !a.inspected() {
		return true, nil
	}
	return a.collectFrom(scratch.Dir, p, s)
}

// clock keeps the times of a phase that has ended.
func (a *attempt) clock(p *bundle.Phase, s *seedRecord, e end) {
	wall := e.wall.Seconds()
	a.longest(p.Name, timed{wall, e.killed})
	if !e.failed() {
		s.wall[p.Name], s.cpu[p.Name] = wall, e.CPU.Seconds()
	}
}

// longest keeps the longest run of a phase or part.
func (a *attempt) longest(name string, t timed) {
	if longest, ok := a.walls[name]; !ok || t.wall > longest.wall {
		a.walls[name] = t
	}
}

// collectFrom takes the artifact out of what a phase left.
func (a *attempt) collectFrom(out string, p *bundle.Phase, s *seedRecord) (ok bool, err error) {
	if len(a.plan.Artifact.Files) == 0 {
		s.artifact, s.collected = a.countedCode(), true
		return true, nil
	}
	if s.artifactDir == "" {
		s.artifactDir = a.fresh("artifact")
		if err := os.Mkdir(s.artifactDir, 0o755); err != nil {
			return false, err
		}
	}
	c, err := collect(out, s.artifactDir, a.plan.Artifact.Files, int64(a.plan.Resources.Disk))
	if err != nil {
		return false, fmt.Errorf("artifact of %s: %w", p.Name, err)
	}
	s.add(c)
	s.artifact, s.collected = s.artifactBytes()+a.countedCode(), true
	if c.refused != "" {
		reason := p.Name + " " + c.refused
		a.found = append(a.found, finding{failure, research.Crash, reason, &research.CrashExcerpt{Phase: p.Name, Exception: reason}})
		return false, nil
	}
	return true, nil
}

// keepCache takes what a phase prepared for the phases after it. A cache that is empty costs only time.
func (a *attempt) keepCache(out string, p *bundle.Phase) (ok bool, err error) {
	a.cache = a.fresh("cache")
	if err := os.Mkdir(a.cache, 0o755); err != nil {
		return false, err
	}
	c, err := collect(out, a.cache, a.plan.Cache.Files, int64(a.plan.Resources.Disk))
	if err != nil {
		return false, fmt.Errorf("cache of %s: %w", p.Name, err)
	}
	if c.refused != "" {
		reason := p.Name + " " + c.refused
		a.found = append(a.found, finding{preflight, p.OnFail, reason, &research.CrashExcerpt{Phase: p.Name, Exception: reason}})
		return false, nil
	}
	return true, nil
}

// artifactComplete finds out whether the phases left every file that the artifact names.
func (a *attempt) artifactComplete(before string, s *seedRecord) bool {
	for _, glob := range a.plan.Artifact.Files {
		if s.fits[glob] {
			continue
		}
		reason := fmt.Sprintf("no %s was left in MENDEL_OUT for %s", glob, before)
		f := finding{failure, research.Crash, reason, &research.CrashExcerpt{Phase: before, Exception: reason}}
		if s == a.once {
			f.cause, f.outcome = preflight, research.PreflightCrash
		}
		a.found = append(a.found, f)
		return false
	}
	return true
}

// fail finds that a command did not reach its good end.
func (a *attempt) fail(why cause, outcome research.Outcome, phase string, e end, timeout time.Duration, output []byte) {
	if outcome == "" {
		outcome = research.Crash
	}
	ended := e.class()
	if e.killed {
		ended = "killed at its time-out of " + secondsText(timeout.Seconds())
	}
	crash := excerptOf(phase, ended, e.plainExit(), string(output))
	reason := phase + ": " + crash.Exception
	if !strings.HasPrefix(crash.Exception, ended) {
		reason = phase + ": " + ended + ": " + crash.Exception
	}
	a.found = append(a.found, finding{why, outcome, oneLine(reason, 400), &crash})
}

// runOf is the record of a command's end.
func runOf(phase string, seed int, e end) research.PhaseRun {
	return research.PhaseRun{
		Phase: phase, Seed: seed, Wall: research.SecondsOf(e.wall), CPU: research.SecondsOf(e.CPU), MaxRSS: e.MaxRSS,
		ExitCode: e.Code, Signal: e.Signal, Ended: e.word(),
	}
}
