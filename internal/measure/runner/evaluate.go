package runner

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"mendel/internal/measure/bundle"
	"mendel/internal/measure/protocol"
	"mendel/internal/measure/sandbox"
	"mendel/internal/research"
)

const (
	// evaluatorPatience is how long the trusted side may take for what the subject's clock does
	// not cover: to say hello, and to write its result after bye.
	evaluatorPatience = 2 * time.Minute
	// lastWords is how long the evaluator may take to end when the conversation broke off.
	lastWords = 5 * time.Second
	// farewell is how long a subject may live on after bye, or after it closed its pipes, when
	// nothing that it does counts any more.
	farewell = 250 * time.Millisecond
)

// A questioning is one evaluator phase in the making.
type questioning struct {
	a       *attempt
	phase   *bundle.Phase
	seed    int
	record  *seedRecord
	result  string // host directory
	evalLog capture
	subjLog capture

	evaluator, subject end
	report             protocol.Report
	wall               time.Duration // of the clock that counts
	killed             bool          // the subject, at the end of that clock's patience
}

// evaluatorPhase lets the evaluator question the subject. Neither output nor exact exit status of
// either reaches specialists: both have seen the questions.
func (a *attempt) evaluatorPhase(ctx context.Context, p *bundle.Phase, seed int, s *seedRecord) (ok bool, err error) {
	a.enter(p.Name, seed)
	// At weaker levels train could have written where it must not.
	if err := a.verify("before " + p.Name); err != nil {
		return false, err
	}
	q := &questioning{a: a, phase: p, seed: seed, record: s, result: a.fresh("result")}
	if err := os.Mkdir(q.result, 0o755); err != nil {
		return false, err
	}
	defer os.RemoveAll(q.result)
	err = q.play(ctx)
	if ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	if recordErr := q.keep(err); recordErr != nil {
		return false, recordErr
	}
	if err != nil {
		return false, fmt.Errorf("%s: %w", p.Name, err)
	}
	return q.judge()
}

// play runs the two processes to their ends. An error is a failure of ours, or of the evaluator
// before the subject had said anything.
func (q *questioning) play(ctx context.Context) error {
	ours, files, err := pipes()
	if err != nil {
		return err
	}
	defer ours.Close()
	evaluator, err := q.start(ctx, guest{
		argv: q.phase.Evaluator, trusted: true, reader: bundle.ForEvaluator, result: q.result, log: &q.evalLog, files: files,
	})
	if err != nil {
		return fmt.Errorf("start the evaluator: %w", err)
	}
	began, idle := time.Now(), time.Duration(0)
	match := protocol.NewMatch(ours, int(q.phase.MaxFrame))
	ended := make(chan struct{})
	go func() {
		q.evaluator.Exit = evaluator.Wait()
		close(ended)
		match.EvaluatorEnded()
	}()
	defer func() {
		evaluator.Kill()
		<-ended
		q.evaluator.wall = time.Since(began)
		q.a.busy += time.Since(began) - idle
	}()
	if err := match.AwaitEvaluator(evaluatorPatience); err != nil {
		select { // one that is just ending says more by its exit status than by our kill
		case <-ended:
		case <-time.After(lastWords):
		}
		evaluator.Kill()
		<-ended
		return fmt.Errorf("the evaluator did not say hello (%s): its log says more", q.evaluator.class())
	}
	idle, err = q.question(ctx, match)
	if err != nil {
		return err
	}
	// The evaluator writes its result, or ends because the conversation did.
	patience := evaluatorPatience
	if q.report.Ending != protocol.SaidBye {
		patience = lastWords
	}
	timer := time.AfterFunc(patience, evaluator.Kill)
	defer timer.Stop()
	<-ended
	if q.evaluator.Err != nil {
		return fmt.Errorf("the evaluator: %w", q.evaluator.Err)
	}
	if !q.report.Spoke && q.report.Ending == protocol.EvaluatorGone {
		return fmt.Errorf("the evaluator ended before the subject's first word (%s): its log says more", q.evaluator.class())
	}
	return nil
}

// question starts the subject and its clock, and lets the two talk. idle is the time in which
// only we worked.
func (q *questioning) question(ctx context.Context, match *protocol.Match) (idle time.Duration, err error) {
	ours, files, err := pipes()
	if err != nil {
		return 0, err
	}
	defer ours.Close()
	asked := time.Now()
	subject, err := q.start(ctx, guest{
		argv: q.phase.Subject, reader: q.phase.Name, artifact: q.record.artifactDir, log: &q.subjLog, files: files,
	})
	if err != nil {
		return 0, fmt.Errorf("start the subject: %w", err)
	}
	began := time.Now()
	idle = began.Sub(asked)
	var late atomic.Bool
	timer := time.AfterFunc(q.phase.KillAfter.Std(), func() {
		late.Store(true)
		subject.Kill()
	})
	q.report = match.Play(ours)
	q.wall = time.Since(began)
	timer.Stop()
	over := make(chan struct{})
	go func() {
		q.subject.Exit = subject.Wait()
		close(over)
	}()
	patience := farewell
	if q.report.Ending != protocol.SaidBye && q.report.Ending != protocol.SubjectGone {
		patience = 0
	}
	select {
	case <-over:
	case <-time.After(patience):
		subject.Kill()
		<-over
	}
	if q.report.Ending != protocol.SaidBye {
		q.wall = time.Since(began)
	}
	q.killed = late.Load() && q.report.Ending != protocol.SaidBye
	q.subject.killed, q.subject.wall = q.killed, q.wall
	if q.subject.Err != nil && !q.killed {
		return idle, fmt.Errorf("the subject: %w", q.subject.Err)
	}
	return idle, nil
}

// start starts one side, and closes our copies of its pipes.
func (q *questioning) start(ctx context.Context, g guest) (*sandbox.Process, error) {
	g.phase, g.env, g.seed, g.limits = q.phase.Name, q.phase.Env, q.a.seedOf(q.seed), q.a.limits()
	if g.trusted {
		g.artifact = q.record.artifactDir
	}
	defer func() {
		for _, f := range g.files {
			f.Close()
		}
	}()
	c, err := q.a.command(g)
	if err != nil {
		return nil, err
	}
	return q.a.host.Start(ctx, c)
}

// pipes makes the pipes to one side, and that side's ends of them.
func pipes() (ours protocol.Link, theirs []*os.File, err error) {
	ours, hears, says, err := protocol.NewLink()
	return ours, []*os.File{hears, says}, err
}

// keep records the run, with the logs of both sides in one, for the operator alone.
func (q *questioning) keep(failed error) error {
	p := q.phase
	if q.report.Ending == "" { // the subject was never asked
		q.subject.Code = -1
	}
	q.a.clock(p, q.record, end{Exit: q.subject.Exit, wall: q.wall, killed: q.killed})
	if q.report.Ending == protocol.SaidBye {
		q.record.wall[p.Name], q.record.cpu[p.Name] = q.wall.Seconds(), q.subject.CPU.Seconds()
	}
	run := runOf(p.Name, q.seed, q.subject)
	run.OperatorOnly = true
	if run.ExitCode > 0 && run.Signal == "" {
		run.ExitCode = 1 // the exact status could spell out what the subject has seen
	}
	switch q.report.Ending {
	case protocol.SaidBye:
		run.Ended = "ok" // whatever became of the subject then
		run.ExitCode, run.Signal = 0, ""
	case protocol.SubjectBroke, protocol.EvaluatorBroke:
		run.Ended = "protocol"
	case protocol.SubjectLate:
		run.Ended = "timeout"
	}
	var log capture
	evaluator, _ := q.evalLog.content()
	subject, _ := q.subjLog.content()
	fmt.Fprintf(&log, "[mendel] what the evaluator printed:\n%s\n[mendel] what the subject printed:\n%s\n", evaluator, subject)
	notes := []string{fmt.Sprintf("%s after %d answers; evaluator: %s; subject: %s", q.ending(), q.report.Calls, q.evaluator.Exit, q.subject.Exit)}
	for _, more := range []error{q.report.Err, failed} {
		if more != nil {
			notes = append(notes, more.Error())
		}
	}
	if _, unknown, err := readResult(q.result, q.a.plan); err == nil && len(unknown) > 0 {
		notes = append(notes, "values that task.yaml declares no evaluator metric for: "+strings.Join(unknown, ", "))
	}
	return q.a.record(run, &log, strings.Join(notes, "\n[mendel] "), false)
}

func (q *questioning) ending() string {
	if q.report.Ending == "" {
		return "no conversation"
	}
	return string(q.report.Ending)
}

// judge reads the metrics, or finds out who is to blame that there are none. After the subject's
// first word every other end is the recipe's crash: an evaluator that it could bring down would
// be a free second try.
func (q *questioning) judge() (ok bool, err error) {
	name := q.phase.Name
	if q.killed {
		if q.phase.Budget == 0 {
			q.find(failure, q.phase.OnFail, "killed at its time-out of "+secondsText(q.phase.KillAfter.Std().Seconds()))
		}
		return false, nil // else the budget's own bound says it
	}
	switch q.report.Ending {
	case protocol.SaidBye:
		if !q.evaluator.Failed() {
			known, _, err := readResult(q.result, q.a.plan)
			if err == nil {
				maps.Copy(q.record.evaluator, known)
				return true, nil
			}
			q.find(failure, q.phase.OnFail, "the evaluator ended without a result that can be used: "+err.Error())
			return false, nil
		}
		q.find(failure, q.phase.OnFail, "the evaluator failed on what the subject answered ("+q.evaluator.class()+")")
	case protocol.EvaluatorGone, protocol.EvaluatorBroke:
		q.find(failure, q.phase.OnFail, "the evaluator failed in the middle ("+q.evaluator.class()+")")
	case protocol.SubjectLate:
		outcome := q.phase.OnOverrun
		if outcome == "" {
			outcome = q.phase.OnFail
		}
		q.find(overrun, outcome, "a reply did not come within the evaluator's deadline")
	case protocol.SubjectBroke:
		q.find(failure, q.phase.OnFail, "the subject broke the protocol with "+breach(q.report.Err))
	case protocol.SubjectGone:
		ended := q.subject.class()
		if q.subject.plainExit() || !q.subject.Failed() {
			ended = "it ended by itself"
		}
		q.find(failure, q.phase.OnFail, "the subject was gone before its last answer: "+ended)
	default:
		return false, fmt.Errorf("%s: unknown ending %q", name, q.report.Ending)
	}
	return false, nil
}

// find takes a reason that is made of fixed words only.
func (q *questioning) find(why cause, outcome research.Outcome, reason string) {
	if outcome == "" {
		outcome = research.Crash
	}
	q.a.found = append(q.a.found, finding{why, outcome, q.phase.Name + ": " + reason,
		&research.CrashExcerpt{Phase: q.phase.Name, Exception: reason}})
}

// breach names what was wrong, without anything that the subject has chosen.
func breach(err error) string {
	var v *protocol.Violation
	if errors.As(err, &v) {
		return v.What
	}
	return "something that cannot be read"
}
