package session_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"mendel/internal/propose/session"
	"mendel/internal/propose/session/sessiontest"
	"mendel/internal/propose/workspace"
	"mendel/internal/research"
)

// A clock stands until it is moved.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// A busyDesk lets no program run until somebody opens its door.
type busyDesk struct {
	*sessiontest.Run
	waiting chan struct{} // receives when somebody waits
	door    chan struct{}
	inside  int
}

func (d *busyDesk) Enter(ctx context.Context) (func(), error) {
	d.waiting <- struct{}{}
	select {
	case <-d.door:
		d.inside++
		return func() { d.inside-- }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// TestWaitingForAnExclusiveTrialIsFree has a check wait for hours in a session of a minute.
func TestWaitingForAnExclusiveTrialIsFree(t *testing.T) {
	r := newRun(true)
	tree, err := r.Tree(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	w, err := workspace.New(t.TempDir(), tree)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	c := &clock{now: time.Unix(1e9, 0)}
	desk := &busyDesk{Run: r, waiting: make(chan struct{}), door: make(chan struct{})}
	r.OnCheck = func(string, string) session.CheckResult {
		if desk.inside != 1 {
			t.Error("a check runs without having been let in")
		}
		c.pass(20 * time.Second)
		return session.CheckResult{OK: true}
	}
	s := session.New(session.Options{
		Brief: r.Brief(role, 1, 1), Desk: desk, Workspace: w, MayEdit: mayEdit, Now: c.Now, Caps: research.Caps{Time: research.Duration(time.Minute)},
	})
	bounded, cancel := s.Bounded(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() {
		answer, err := s.Call(bounded, "syntax_check", []byte("{}"))
		if err == nil && answer.IsError {
			err = errors.New(answer.Text)
		}
		done <- err
	}()
	<-desk.waiting
	c.pass(3 * time.Hour)
	if left := s.TimeLeft(); left != time.Minute {
		t.Errorf("%s are left while a check waits, want a minute", left)
	}
	close(desk.door)
	if err := <-done; err != nil {
		t.Errorf("the check that waited failed: %v", err)
	}
	if left := s.TimeLeft(); left != 40*time.Second || desk.inside != 0 {
		t.Errorf("%s are left after a check of 20 s; %d are inside", left, desk.inside)
	}
	// A wait that is given up does not stop the clock for good.
	gone, give := context.WithCancel(t.Context())
	desk.door = make(chan struct{})
	go func() {
		<-desk.waiting
		give()
	}()
	if _, err := s.Call(gone, "syntax_check", []byte("{}")); !errors.Is(err, context.Canceled) {
		t.Errorf("a wait that was given up ends with %v", err)
	}
	c.pass(10 * time.Second)
	if left := s.TimeLeft(); left != 30*time.Second {
		t.Errorf("%s are left, want 30 s", left)
	}
}

// TestBoundedEndsWithTheSessionsTime moves the clock while a context is bounded by it.
func TestBoundedEndsWithTheSessionsTime(t *testing.T) {
	r := newRun(true)
	c := &clock{now: time.Unix(1e9, 0)}
	s := session.New(session.Options{
		Brief: r.Brief(role, 1, 1), Desk: r, Now: c.Now, Caps: research.Caps{Time: research.Duration(100 * time.Millisecond)},
	})
	bounded, cancel := s.Bounded(t.Context())
	defer cancel()
	select {
	case <-bounded.Done():
		t.Fatal("the clock stands, and the time is said to be used")
	case <-time.After(250 * time.Millisecond): // looks at the clock at least once
	}
	c.pass(time.Second)
	<-bounded.Done()
	if cause := context.Cause(bounded); !errors.Is(cause, session.ErrCapped) {
		t.Errorf("the cause is %v", cause)
	}
	stopped, stop := s.Bounded(t.Context())
	stop()
	if stopped.Err() == nil {
		t.Error("a context that is given back goes on")
	}
}
