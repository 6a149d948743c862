// Package loop runs the closed loop: ask a specialist for one trial, have it measured, judge
// it, record it, repeat. Start reading at [Loop.Run].
//
// It decides what runs next and never how good a result is: only evaluator and harness write
// scores, and a pure function decides keep or discard. It is the only writer of a run. One
// goroutine owns all of its state; sessions and trials run in goroutines of their own, which
// return values to it.
package loop

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"mendel/internal/control"
	"mendel/internal/lineage"
	"mendel/internal/measure/bundle"
	"mendel/internal/measure/executor"
	"mendel/internal/propose/session"
	"mendel/internal/research"
	"mendel/internal/task"
)

// Config is what a run is made of. The registration, and with it everything that must not
// change, is already in the store.
type Config struct {
	Dir       string // the run's directory, absolute
	Shown     string // the same as the user names it
	Task      *task.Task
	Store     *lineage.Store
	Executor  executor.Executor
	Proposers map[string]session.Proposer // by Agent.Name
	Bench     Bench
	Site      bundle.Site
	Self      string // path of this program
	CacheDir  string
	PID       int
	Host      string
	Resumed   bool
	Stagger   time.Duration // between the openings of sessions of agents that are new, or whose last session submitted nothing
	Now       func() time.Time
	Token     func() string // fencing tokens; never twice the same
	Log       *slog.Logger  // for the operator
}

// Bench runs the free tools of sessions in the sandbox, while no exclusive trial is running.
type Bench interface {
	// Enter waits for that, and keeps it so until leave is called.
	Enter(ctx context.Context) (leave func(), err error)
	Check(ctx context.Context, name, treeDir string) (session.CheckResult, error)
	Shell(ctx context.Context, treeDir, script string) (session.CheckResult, error)
}

// An Ending says why a run stopped and where it stands.
type Ending struct {
	Reason      string
	Interrupted bool // work was left undone; the run can be resumed
	Trials      int  // used of the budget
}

// A Loop supervises one run.
type Loop struct {
	cfg   Config
	reg   research.Registration
	slots int

	inbox chan func()   // work for the goroutine that owns the state below
	ended chan struct{} // closed when nobody reads the inbox any more
	work  sync.WaitGroup

	state    control.State
	team     []*member
	queue    fairQueue
	contend  []research.TrialID // trials that wait to be confirmed, in the order in which they came
	ahead    research.Confirmation
	least    int // measurements that the confirmation ahead takes at least
	running  map[jobKey]*runningJob
	awaiting map[research.TrialID][]chan<- research.Trial
	outside  map[research.SessionID]*outsider
	settled  chan struct{} // closed and replaced at every settlement of a model call
	budgets  research.Budgets
	since    time.Time
	lastOpen time.Time // of a session that Stagger holds for
	opened   bool      // a session was opened just now: perhaps there is room for another
	reason   string    // why no new work is begun; empty while it is
	early    bool      // the reason leaves work undone
	killed   bool      // running trials were told to end
	failure  error
	stuck    error         // why nobody can propose, when that is the reason
	longest  time.Duration // of the trials that this supervisor has seen, and of the baseline's measurements

	stopSessions context.CancelFunc
	sessions     context.Context
}

// New prepares a loop over an opened store.
func New(cfg Config) (*Loop, error) {
	reg, err := cfg.Store.Registration()
	if err != nil {
		return nil, err
	}
	budgets, err := cfg.Store.Budgets()
	if err != nil {
		return nil, err
	}
	l := &Loop{
		cfg: cfg, reg: reg, budgets: budgets,
		inbox:    make(chan func()),
		ended:    make(chan struct{}),
		running:  make(map[jobKey]*runningJob),
		awaiting: make(map[research.TrialID][]chan<- research.Trial),
		outside:  make(map[research.SessionID]*outsider),
		settled:  make(chan struct{}),
		since:    cfg.Now(),
	}
	for _, a := range reg.Agents {
		m := &member{Agent: a, role: roleOf(cfg.Task, a), proposer: cfg.Proposers[a.Name], doing: control.Idle, since: l.since}
		if a.Proposer == External {
			m.doing = control.ByHand
		} else if m.proposer == nil {
			return nil, fmt.Errorf("agent %s: no proposer %q here", a.Name, a.Proposer)
		}
		l.team = append(l.team, m)
	}
	return l, nil
}

// Run supervises until a budget is used up, stop is cancelled or nothing is left to do. When
// stop is cancelled no new work begins and running trials finish; when kill is cancelled they
// are killed. Either way everything that was measured is in the lineage, and the run can be
// resumed.
func (l *Loop) Run(stop, kill context.Context) (Ending, error) {
	defer close(l.ended)
	l.sessions, l.stopSessions = context.WithCancel(context.WithoutCancel(stop))
	defer l.stopSessions()

	if err := l.begin(stop); err != nil {
		return Ending{}, err
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	always := make(chan struct{})
	close(always)
	for !l.settle() {
		var again <-chan struct{}
		if l.opened {
			again = always
		}
		select {
		case f := <-l.inbox:
			f()
		case <-again:
		case <-tick.C:
		case <-stop.Done():
			l.halt("interrupted", true)
			stop = context.Background()
		case <-kill.Done():
			l.halt("killed", true)
			l.killJobs()
			kill = context.Background()
		}
	}
	l.drain()
	return l.end()
}

// begin takes the run in hand: it writes who supervises, and takes up what an earlier
// supervisor left unfinished.
func (l *Loop) begin(ctx context.Context) error {
	slots, err := l.cfg.Executor.Slots(ctx)
	if err != nil {
		return fmt.Errorf("executor %s: %w", l.cfg.Executor.Name(), err)
	}
	l.slots = slots
	l.state = control.Searching
	if !l.append(research.Supervised{PID: l.cfg.PID, Host: l.cfg.Host, Resumed: l.cfg.Resumed}) {
		return l.failure
	}
	return l.recover()
}

// settle starts whatever can start, and says whether all is done.
func (l *Loop) settle() (done bool) {
	l.checkBudgets()
	if l.failure == nil && !l.early {
		l.dispatch()
	}
	l.opened = l.reason == "" && l.openSessions()
	if l.failure != nil {
		return true
	}
	if l.reason != "" {
		l.dismiss()
	}
	idle := len(l.running) == 0 && !l.anyoneAtWork()
	if l.reason != "" {
		return idle && (l.early || l.queue.Len() == 0)
	}
	return false
}

// halt begins no new work. When early, what is queued stays queued for a resume, and sessions
// are told to end; otherwise they may finish what they wait for.
func (l *Loop) halt(reason string, early bool) {
	if l.reason == "" || (early && !l.early) {
		l.reason, l.early = reason, early
	}
	l.state = control.Stopping
	if early {
		l.stopSessions()
		for _, r := range l.running {
			r.withdraw()
		}
	}
}

// fail records that the run cannot go on. Runners are left alone: a resume takes their results.
func (l *Loop) fail(err error) {
	if l.failure == nil {
		l.failure = err
		l.halt("failed", true)
	}
}

// drain waits for the goroutines that still hold something, answering them meanwhile.
func (l *Loop) drain() {
	l.stopSessions()
	for _, r := range l.running {
		r.forget()
	}
	gone := make(chan struct{})
	go func() { l.work.Wait(); close(gone) }()
	for {
		select {
		case f := <-l.inbox:
			f()
		case <-gone:
			return
		}
	}
}

func (l *Loop) end() (Ending, error) {
	if l.failure != nil {
		return Ending{}, l.failure
	}
	spend, err := l.cfg.Store.Spend()
	if err != nil {
		return Ending{}, err
	}
	if !l.append(research.Stopped{Reason: l.reason, Early: l.early}) {
		return Ending{}, l.failure
	}
	return Ending{Reason: l.reason, Interrupted: l.early, Trials: spend.OfTrials()}, l.stuck
}

// append writes a fact and the blobs that it names; a failure ends the run. Writing outlasts
// an interrupt: what it records has been paid for.
func (l *Loop) append(f research.Fact, blobs ...lineage.Blob) bool {
	if l.failure != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if _, err := l.cfg.Store.Append(ctx, f, blobs...); err != nil {
		l.fail(fmt.Errorf("record %s: %w", f.Kind(), err))
		return false
	}
	return true
}

// mendel is a command line about this run, for hints.
func (l *Loop) mendel(verb string) string {
	return fmt.Sprintf("mendel %s --state %s", verb, l.cfg.Shown)
}

// errEnded answers those who ask after the end.
var errEnded = errors.New("the supervisor has stopped")

// do runs f on the goroutine that owns the state.
func (l *Loop) do(ctx context.Context, f func()) error {
	done := make(chan struct{})
	select {
	case l.inbox <- func() { f(); close(done) }:
		<-done
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-l.ended:
		return errEnded
	}
}
