package loop

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"mendel/internal/control"
	"mendel/internal/propose/prompt"
	"mendel/internal/propose/session"
	"mendel/internal/research"
)

// External names the proposer of agents whose sessions other processes open and play, through
// the control socket: `mendel session open ROLE`.
const External = "external"

const (
	// abandonedAfter closes a session that nobody has called for so long.
	abandonedAfter = 30 * time.Minute
	// mostOutside bounds the sessions that are open from outside at a time.
	mostOutside = 256
)

// An outsider holds a session open for another process. It is the session's proposer.
type outsider struct {
	ready   chan struct{} // closed when session is set
	closed  chan struct{} // by the other process: calls are cut off
	close   sync.Once
	leaving chan struct{} // by the loop: calls may end
	leave   sync.Once
	calls   chan struct{} // a token for a call that begins or ends

	session *session.Session
	opened  control.Opened
	context context.Context // ends with the session
	end     context.CancelFunc

	mu      sync.Mutex
	over    bool  // no call may begin
	busy    int   // calls under way
	failed  error // of a call: the session can answer no more
	calling sync.WaitGroup
}

func newOutsider() *outsider {
	return &outsider{
		ready: make(chan struct{}), closed: make(chan struct{}), leaving: make(chan struct{}), calls: make(chan struct{}, 1),
	}
}

// Confinement is none: nothing keeps a process of the user's to its workspace.
func (o *outsider) Confinement() string { return "none" }

var (
	errAbandoned = fmt.Errorf("%w: nobody called a tool for %s", session.ErrCapped, abandonedAfter)
)

// Propose waits until the other process closes the session, forgets it, or time is up.
func (o *outsider) Propose(ctx context.Context, s *session.Session) error {
	o.session = s
	o.context, o.end = context.WithCancel(ctx)
	close(o.ready)
	err := o.wait(ctx, s)
	o.mu.Lock()
	o.over = true
	o.mu.Unlock()
	if !errors.Is(err, errLeaving) {
		o.end()
	}
	o.calling.Wait()
	o.end()
	if errors.Is(err, errLeaving) {
		return nil
	}
	return err
}

// begin lets a call begin; done must be called at its end.
func (o *outsider) begin() (done func(), err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.over {
		return nil, errSessionOver
	}
	o.calling.Add(1)
	o.busy++
	o.touch()
	return func() {
		o.mu.Lock()
		o.busy--
		o.mu.Unlock()
		o.touch()
		o.calling.Done()
	}, nil
}

// state says whether a call is under way, and the error that ended the session.
func (o *outsider) state() (busy bool, failed error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.busy > 0, o.failed
}

// fail ends the session with the error of a call.
func (o *outsider) fail(err error) {
	o.mu.Lock()
	o.failed = errors.Join(o.failed, err)
	o.mu.Unlock()
	o.touch()
}

func (o *outsider) wait(ctx context.Context, s *session.Session) error {
	idle := time.NewTimer(abandonedAfter)
	defer idle.Stop()
	bounded, cancel := s.Bounded(ctx)
	defer cancel()
	for {
		select {
		case <-o.closed:
			return nil
		case <-o.leaving:
			return errLeaving
		case <-bounded.Done():
			return context.Cause(bounded)
		case <-o.calls:
			if _, failed := o.state(); failed != nil {
				return failed
			}
			idle.Reset(abandonedAfter)
		case <-idle.C:
			if busy, _ := o.state(); !busy {
				return errAbandoned
			}
			idle.Reset(abandonedAfter)
		}
	}
}

// touch says that somebody is there.
func (o *outsider) touch() {
	select {
	case o.calls <- struct{}{}:
	default:
	}
}

var (
	errSessionOver = errors.New("the session is over")
	errLeaving     = errors.New("the run begins nothing new")
)

// lastWords is how long a session may still take when there is nothing left for it to do.
const lastWords = 20 * time.Second

// dismiss ends the sessions that could not submit any more and wait for no verdict: those from
// outside, once nothing new begins and they have heard their last verdict, and all when no trial is left. A model that is asked
// meanwhile may finish its reply, which is paid for, and an agent may say its last words.
func (l *Loop) dismiss() {
	none := !l.mayStartSubmission()
	for _, m := range l.team {
		if m.session == 0 || l.waits(m) {
			continue
		}
		o, now := l.outside[m.session], l.cfg.Now()
		unheard := m.trial != nil && !l.early // its verdict is there, and nobody has asked for it yet
		switch {
		case o != nil && !unheard:
			o.leave.Do(func() { close(o.leaving) })
		case o == nil && !none:
		case m.leaveBy.IsZero():
			m.leaveBy = now.Add(lastWords)
		case now.Before(m.leaveBy):
		case o != nil:
			o.leave.Do(func() { close(o.leaving) })
		default:
			m.cancel()
		}
	}
}

// pending says whether a trial waits for its verdict.
func (l *Loop) pending(id research.TrialID) bool {
	t, err := l.cfg.Store.Trial(id)
	if err != nil {
		l.fail(err)
		return false
	}
	return t.Status == ""
}

// OpenSession opens a session for another process, once the baseline is measured.
func (l *Loop) OpenSession(ctx context.Context, role string) (control.Opened, error) {
	o := newOutsider()
	for {
		var wait bool
		var err error
		if doErr := l.do(ctx, func() { wait, err = l.openOutside(role, o) }); doErr != nil {
			return control.Opened{}, doErr
		}
		if err != nil {
			return control.Opened{}, err
		}
		if !wait {
			break
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return control.Opened{}, ctx.Err()
		}
	}
	select {
	case <-o.ready:
		if ctx.Err() != nil { // nobody will hear of it
			o.close.Do(func() { close(o.closed) })
		}
		return o.opened, ctx.Err()
	case <-l.ended:
		return control.Opened{}, errEnded
	}
}

// openOutside says whether the caller has to wait for the baseline.
func (l *Loop) openOutside(role string, o *outsider) (wait bool, err error) {
	if l.reason != "" {
		return false, fmt.Errorf("the run begins no new session: %s", l.reason)
	}
	if _, ok := l.incumbent(); !ok {
		return true, l.failure
	}
	m, err := l.outsideMember(role)
	if err != nil {
		return false, err
	}
	if len(l.outside) >= mostOutside {
		return false, research.Hinted(fmt.Errorf("%d sessions are open", len(l.outside)), "close some: mendel session close ID")
	}
	if !l.mayOpenSession() {
		return false, research.Hinted(errors.New("the trials that are left are reserved for the sessions that are open"), "close one, or raise the budget on --resume")
	}
	m.proposer = o
	l.open(m)
	if m.session == 0 {
		return false, cmp.Or(l.failure, errEnded)
	}
	l.outside[m.session] = o
	return false, nil
}

// outsideMember finds an agent that is free, or makes a twin of one that is not.
func (l *Loop) outsideMember(role string) (*member, error) {
	var model *member
	var names []string
	for _, m := range l.team {
		if m.Proposer != External {
			continue
		}
		if !slices.Contains(names, m.Role) {
			names = append(names, m.Role)
		}
		if m.Name != role && m.Role != role && (m.model == nil || m.model.Name != role) {
			continue
		}
		if m.session == 0 {
			return m, nil
		}
		if model == nil && m.model == nil {
			model = m
		}
	}
	switch {
	case len(names) == 0:
		return nil, research.Hinted(errors.New("no agent of this run is played from outside"), "start a run with --proposer external")
	case model == nil:
		return nil, research.Hinted(fmt.Errorf("no agent %q is played from outside", role), "there are "+strings.Join(names, ", "))
	}
	twin := &member{Agent: model.Agent, role: model.role, doing: control.ByHand, since: l.cfg.Now()}
	for n := 2; ; n++ {
		twin.Name = fmt.Sprintf("%s-%d", model.Name, n)
		if !slices.ContainsFunc(l.team, func(m *member) bool { return m.Name == twin.Name || m.Role == twin.Name }) {
			break
		}
	}
	twin.model = model
	l.team = append(l.team, twin)
	return twin, nil
}

// describe fills in what the other process has to know. It runs before the session is ready.
func (l *Loop) describe(o *outsider, m *member, s *session.Session) {
	tools, err := json.Marshal(s.Tools())
	if err != nil {
		l.fail(err)
		return
	}
	b := s.Brief()
	o.opened = control.Opened{
		Session: b.Session, Agent: m.Agent, Workspace: filepath.Join(l.cfg.Dir, "workspaces", m.Name),
		Base: b.Incumbent.ID, Prompt: prompt.Render(b).String(), Tools: tools,
		Lineage: b.Arm.Lineage, Confinement: o.Confinement(),
	}
}

// outsiderOf finds an open session.
func (l *Loop) outsiderOf(ctx context.Context, id research.SessionID) (*outsider, error) {
	var o *outsider
	if err := l.do(ctx, func() { o = l.outside[id] }); err != nil {
		return nil, err
	}
	if o == nil {
		return nil, research.Hinted(fmt.Errorf("session %d is not open", id), "`mendel session list` shows what became of it; `mendel session open ROLE` opens another")
	}
	<-o.ready
	return o, nil
}

// Session describes an open session.
func (l *Loop) Session(ctx context.Context, id research.SessionID) (control.Opened, error) {
	o, err := l.outsiderOf(ctx, id)
	if err != nil {
		return control.Opened{}, err
	}
	return o.opened, nil
}

// CallTool calls a tool of a session that another process plays.
func (l *Loop) CallTool(ctx context.Context, id research.SessionID, name string, args json.RawMessage) (json.RawMessage, error) {
	o, err := l.outsiderOf(ctx, id)
	if err != nil {
		return nil, err
	}
	done, err := o.begin()
	if err != nil {
		return nil, err
	}
	defer done()
	call, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(o.context, cancel)()
	if len(args) == 0 {
		args = json.RawMessage("{}")
	}
	answer, err := o.session.Call(call, name, args)
	switch {
	case err != nil && o.context.Err() != nil:
		return nil, errSessionOver
	case err != nil && ctx.Err() != nil: // whoever called hung up
		return nil, err
	case err != nil:
		o.fail(err)
		return nil, err
	}
	return json.Marshal(answer)
}

// CloseSession ends a session; what it submitted is measured all the same.
func (l *Loop) CloseSession(ctx context.Context, id research.SessionID) (control.Closed, error) {
	o, err := l.outsiderOf(ctx, id)
	if err != nil {
		return control.Closed{}, err
	}
	o.close.Do(func() { close(o.closed) })
	closed := control.Closed{Session: id, Trials: []research.TrialID{}}
	for { // until it is recorded
		row, found, err := l.cfg.Store.Session(id)
		if err != nil {
			return closed, err
		}
		if found && !row.ClosedAt.IsZero() {
			closed.Trials = append(closed.Trials, row.Trials...)
			return closed, nil
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return closed, ctx.Err()
		case <-l.ended:
			return closed, errEnded
		}
	}
}
