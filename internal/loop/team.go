package loop

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
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
	barren   int       // sessions in a row that submitted nothing
	failures int       // sessions in a row that failed because a provider was unavailable
	problem  string    // why the last session failed
	hint     string    // what the operator can do about it, when parked
}

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

// openSessions lets agents begin, one at a time: not before the baseline is judged, and only
// while fewer proposals wait than there are slots, so that nobody proposes against an old
// incumbent merely to stand in a queue.
func (l *Loop) openSessions() {
	if _, ok := l.incumbent(); !ok {
		return
	}
	now := l.cfg.Now()
	for _, m := range l.team {
		if m.doing == control.BackingOff && !now.Before(m.until) {
			m.doing, m.since = control.Idle, now
		}
	}
	if l.queue.Len() >= l.slots || now.Sub(l.lastOpen) < l.cfg.Stagger || !l.mayOpenSession() {
		return
	}
	if l.noneLeft() {
		return
	}
	idle := make([]*member, 0, len(l.team))
	for _, m := range l.team {
		if m.doing == control.Idle && !exhausted(m.proposer) {
			idle = append(idle, m)
		}
	}
	if len(idle) == 0 {
		return
	}
	sort.SliceStable(idle, func(i, k int) bool { return idle[i].since.Before(idle[k].since) })
	if instant(idle[0].proposer) && l.occupied() >= l.slots {
		return
	}
	l.lastOpen = now
	l.open(idle[0])
}

// noneLeft ends the run when nobody will propose anything any more.
func (l *Loop) noneLeft() bool {
	parked := 0
	var problem, hint string
	for _, m := range l.team {
		switch {
		case m.doing == control.Parked:
			parked++
			problem, hint = m.Name+": "+m.problem, m.hint
		case m.Proposer == External, m.session != 0, m.barren < givenUp && !exhausted(m.proposer):
			return false
		}
	}
	if parked == 0 {
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
	if err := os.RemoveAll(dir); err != nil {
		l.fail(fmt.Errorf("workspace of %s: %w", m.Name, err))
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
	proposer := m.proposer
	if o, ok := proposer.(*outsider); ok {
		l.describe(o, m, s)
	}
	l.work.Add(1)
	go func() {
		defer l.work.Done()
		err := errors.Join(proposer.Propose(l.sessions, s), ws.Close())
		l.do(context.Background(), func() {
			spool.Close()
			l.closeSession(m, s, err)
		})
	}()
}

// closeSession records how a session ended, and decides when its agent may begin again.
func (l *Loop) closeSession(m *member, s *session.Session, err error) {
	ending := l.ending(m.session, s.Submitted() > 0, err)
	transcript := l.readTranscript(m.session)
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
