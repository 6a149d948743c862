package loop

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"mendel/internal/control"
	"mendel/internal/lineage"
	"mendel/internal/propose/prompt"
	"mendel/internal/propose/session"
	"mendel/internal/propose/workspace"
	"mendel/internal/research"
	"mendel/internal/task"
)

const (
	firstBackOff = 2 * time.Second
	maxBackOff   = 5 * time.Minute
	// givenUp is how many sessions in a row without a trial say that an agent has nothing to
	// propose. When that is true of all, the run ends.
	givenUp = 6
)

// A member is one agent of the team and what it is doing.
type member struct {
	research.Agent
	role     research.Role
	proposer session.Proposer
	doing    control.Activity
	session  research.SessionID
	trial    *research.TrialID
	since    time.Time
	until    time.Time // of a back-off
	steady   bool      // its last session submitted: it may begin again at once
	barren   int       // sessions in a row that submitted nothing
	failures int       // sessions in a row that failed because a provider was unavailable
	problem  string    // why the last session failed
	hint     string    // what the operator can do about it, when parked
	broke    bool      // the run's dollars or tokens do not suffice for its next call
	submits  int       // of the session that is open
	leaveBy  time.Time // when that session is cut off, once there is nothing left for it to do
	model    *member   // of a twin that was made for a further session from outside

	// cancel ends the session that is open, when there is nothing left for it to do.
	cancel context.CancelFunc
}

// waits says whether the agent's session waits for a verdict.
func (l *Loop) waits(m *member) bool { return m.trial != nil && l.pending(*m.trial) }

func (m *member) confinement() string {
	if c, ok := m.proposer.(session.Confined); ok {
		return c.Confinement()
	}
	return ""
}

// roleOf finds the role that an agent plays; a generic agent owns the whole recipe.
func roleOf(t *task.Task, a research.Agent) research.Role {
	for _, r := range t.Roles {
		if r.ID == a.Role {
			return r
		}
	}
	return research.Role{
		ID: a.Role, Title: "Generalist", MayEdit: t.Recipe.Editable,
		Preamble: "You own the whole recipe: no part of it is another agent's. Choose the change that you expect to matter most.",
	}
}

func (l *Loop) anyoneAtWork() bool {
	for _, m := range l.team {
		if m.session != 0 {
			return true
		}
	}
	return false
}

// openSessions lets an agent begin: not before the baseline is judged, and only while fewer
// proposals wait than there are slots, so that nobody proposes against an old incumbent merely
// to stand in a queue. It opens one session at a time, so that those that run are served in
// between, and says whether it did.
func (l *Loop) openSessions() (opened bool) {
	now := l.cfg.Now()
	for _, m := range l.team {
		if m.doing == control.BackingOff && !now.Before(m.until) {
			m.doing, m.since = control.Idle, now
		}
	}
	idle := l.idle()
	if len(idle) == 0 && l.anyoneAtWork() { // as after most events: it is not worth a query
		return false
	}
	if _, ok := l.incumbent(); !ok {
		return false
	}
	if l.queue.Len() >= l.slots || !l.mayOpenSession() || l.noneLeft() {
		return false
	}
	full := l.occupied() >= l.slots
	for _, m := range idle {
		if !m.steady && now.Sub(l.lastOpen) < l.cfg.Stagger {
			continue
		}
		if full && instant(m.proposer) {
			return false
		}
		if !m.steady {
			l.lastOpen = now
		}
		l.open(m)
		return true
	}
	return false
}

// idle lists the agents that could begin, the one that has waited longest first.
func (l *Loop) idle() []*member {
	idle := make([]*member, 0, len(l.team))
	for _, m := range l.team {
		if m.doing == control.Idle && !exhausted(m.proposer) {
			idle = append(idle, m)
		}
	}
	sort.SliceStable(idle, func(i, k int) bool { return idle[i].since.Before(idle[k].since) })
	return idle
}

// noneLeft ends the run when nobody will propose anything any more.
func (l *Loop) noneLeft() bool {
	if len(l.team) == 0 {
		l.halt("the baseline is measured", false)
		return true
	}
	var problem, hint, short string
	for _, m := range l.team {
		switch {
		case m.doing == control.Parked && m.broke:
			short = m.problem
		case m.doing == control.Parked:
			problem, hint = m.Name+": "+m.problem, m.hint
		case m.Proposer == External, m.session != 0, m.barren < givenUp && !exhausted(m.proposer):
			return false
		}
	}
	switch {
	case short != "":
		l.halt(strings.TrimPrefix(short, session.ErrNoBudget.Error()+": "), false)
		return true
	case problem == "":
		l.halt("no agent has anything more to propose", false)
		return true
	}
	l.halt("no agent can work", false)
	l.stuck = research.Hinted(fmt.Errorf("no agent can work: %s", problem), hint)
	return true
}

func exhausted(p session.Proposer) bool {
	f, ok := p.(session.Finite)
	return ok && f.Exhausted()
}

func instant(p session.Proposer) bool {
	i, ok := p.(session.Instant)
	return ok && i.Instant()
}

// occupied counts the slots that are taken or about to be: by trials that run or wait, and by
// sessions that have not submitted yet.
func (l *Loop) occupied() int {
	n := l.queue.Len() + len(l.running)
	for _, m := range l.team {
		if m.session != 0 && m.trial == nil {
			n++
		}
	}
	return n
}

// open starts a session for one agent: brief, workspace, prompt, then the proposer's own
// goroutine.
func (l *Loop) open(m *member) {
	id, err := l.cfg.Store.NextSession()
	if err != nil {
		l.fail(err)
		return
	}
	brief, err := l.Brief(m.Agent, id)
	if err != nil {
		l.fail(fmt.Errorf("brief of %s: %w", m.Name, err))
		return
	}
	dir := filepath.Join(l.cfg.Dir, "workspaces", m.Name)
	if m.confinement() != "" {
		brief.Workspace = dir
	}
	tree, err := l.workspaceTree(brief.Incumbent.Proposal.Tree)
	if err != nil {
		l.fail(err)
		return
	}
	if err := workspace.Remove(dir); err != nil {
		m.doing, m.problem, m.hint = control.Parked, fmt.Sprintf("its workspace cannot be made anew: %v", err), "remove "+dir
		l.cfg.Log.Error("agent parked", "agent", m.Name, "error", m.problem)
		return
	}
	ws, err := workspace.New(dir, tree)
	if err != nil {
		l.fail(fmt.Errorf("workspace of %s: %w", m.Name, err))
		return
	}
	text := lineage.NewBlob([]byte(prompt.Render(brief).String()))
	if !l.append(research.SessionOpened{Session: id, Agent: m.Agent, Base: brief.Incumbent.ID, Prompt: text.Hash}, text) {
		return
	}
	now := l.cfg.Now()
	m.doing, m.session, m.trial, m.since = control.Thinking, id, nil, now
	spool, err := l.openTranscript(id)
	if err != nil {
		l.fail(err)
		return
	}
	s := session.New(session.Options{
		Brief: brief, Desk: &desk{loop: l, member: m, session: id}, Workspace: ws, Now: l.cfg.Now,
		MayEdit: func(path string) bool { return l.cfg.Task.MayEdit(m.role, path) },
		Caps:    l.reg.Caps, Transcript: spool,
	})
	m.submits, m.leaveBy = 0, time.Time{}
	var play context.Context
	play, m.cancel = context.WithCancel(l.sessions)
	proposer := m.proposer
	if o, ok := proposer.(*outsider); ok {
		l.describe(o, m, s)
	}
	l.work.Add(1)
	go func() {
		defer l.work.Done()
		err := errors.Join(proposer.Propose(play, s), ws.Close())
		spool.Close()
		transcript := l.readTranscript(id)
		l.do(context.Background(), func() { l.closeSession(m, s, transcript, err) })
	}()
}

// closeSession records how a session ended, and decides when its agent may begin again.
func (l *Loop) closeSession(m *member, s *session.Session, transcript *lineage.Blob, err error) {
	m.cancel()
	ending := l.ending(m.session, s.Submitted() > 0, err)
	if transcript != nil {
		ending.Transcript = transcript.Hash
	}
	if l.failure == nil {
		l.append(ending, deref(transcript)...)
	}
	l.dropTranscript(m.session)
	delete(l.outside, m.session)
	now := l.cfg.Now()
	m.doing, m.session, m.trial, m.since, m.problem = control.Idle, 0, nil, now, ending.Error
	if m.Proposer == External {
		m.doing = control.ByHand
	}
	m.steady = s.Submitted() > 0
	var failure *session.Failure
	if errors.As(err, &failure) && failure.Class == session.Misconfigured {
		m.doing, m.hint = control.Parked, failure.Hint
		l.cfg.Log.Error("agent parked", "agent", m.Name, "error", ending.Error, "hint", failure.Hint)
		return
	}
	if s.Submitted() > 0 {
		m.barren, m.failures = 0, 0
		return
	}
	if m.Proposer == External || errors.Is(err, session.ErrNoBudget) {
		if m.broke {
			m.doing, m.hint = control.Parked, "raise --usd or --tokens on --resume"
		}
		return
	}
	m.doing = control.BackingOff
	if failure != nil && failure.Class == session.Unavailable {
		// An outage says nothing about whether the agent has ideas left.
		m.failures++
		m.until = now.Add(backOff(m.failures))
		if failure.Until.After(m.until) {
			m.until = failure.Until
		}
	} else {
		m.barren++
		m.until = now.Add(backOff(m.barren))
	}
	if ending.Error != "" {
		l.cfg.Log.Warn("session failed", "agent", m.Name, "session", ending.Session, "ending", ending.Ending, "error", ending.Error)
	}
}

func backOff(times int) time.Duration { return min(firstBackOff<<min(times-1, 10), maxBackOff) }

// ending names how a session ended. What it submitted counts, whatever happened afterwards.
func (l *Loop) ending(id research.SessionID, submitted bool, err error) research.SessionClosed {
	closed := research.SessionClosed{Session: id, Ending: "no_submit"}
	var failure *session.Failure
	errors.As(err, &failure)
	switch {
	case l.sessions.Err() != nil && (err == nil || errors.Is(err, context.Canceled) || errors.Is(err, errEnded)):
		closed.Ending = "stopped"
		return closed
	case l.reason != "" && errors.Is(err, context.Canceled): // dismissed
		closed.Ending, err = "stopped", nil
	case err == nil:
	case errors.Is(err, session.ErrCapped), errors.Is(err, session.ErrNoBudget):
		closed.Ending = "capped"
	case failure != nil && failure.Class == session.Misbehaved:
		closed.Ending = "misbehaved"
	default:
		closed.Ending = "error"
	}
	if err != nil {
		closed.Error = err.Error()
	}
	if submitted && closed.Ending != "error" {
		closed.Ending = "submitted"
	}
	return closed
}
