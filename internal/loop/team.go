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
	idle := make([]*member, 0, len(l.team))
	allGivenUp := true
	for _, m := range l.team {
		if m.doing == control.Idle {
			idle = append(idle, m)
		}
		if m.barren < givenUp {
			allGivenUp = false
		}
	}
	if allGivenUp {
		l.halt("no agent has anything more to propose", false)
		return
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
	tree, err := l.workspaceTree(brief.Incumbent.Proposal.Tree)
	if err != nil {
		l.fail(err)
		return
	}
	dir := filepath.Join(l.cfg.Dir, "workspaces", m.Name)
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
	s := session.New(session.Options{
		Brief: brief, Desk: &desk{loop: l, member: m, session: id}, Workspace: ws, Now: l.cfg.Now,
		MayEdit: func(path string) bool { return l.cfg.Task.MayEdit(m.role, path) },
	})
	l.work.Add(1)
	go func() {
		defer l.work.Done()
		err := errors.Join(m.proposer.Propose(l.sessions, s), ws.Close())
		l.do(context.Background(), func() { l.closeSession(m, s, err) })
	}()
}

func (l *Loop) closeSession(m *member, s *session.Session, err error) {
	ending := research.SessionClosed{Session: m.session, Ending: "submitted"}
	switch {
	case l.sessions.Err() != nil && (err == nil || errors.Is(err, context.Canceled) || errors.Is(err, errEnded)):
		ending.Ending = "stopped"
	case err != nil && !errors.Is(err, errNoBudget):
		ending.Ending, ending.Error = "error", err.Error()
	case s.Submitted() == 0:
		ending.Ending = "no_submit"
	}
	if l.failure == nil {
		l.append(ending)
	}
	now := l.cfg.Now()
	m.doing, m.session, m.trial, m.since = control.Idle, 0, nil, now
	if s.Submitted() > 0 {
		m.barren = 0
		return
	}
	m.barren++
	m.doing, m.until = control.BackingOff, now.Add(min(firstBackOff<<min(m.barren-1, 10), maxBackOff))
	if ending.Error != "" {
		l.cfg.Log.Warn("session failed", "agent", m.Name, "error", ending.Error)
	}
}
