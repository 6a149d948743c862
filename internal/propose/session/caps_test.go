package session_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"mendel/internal/propose/session"
	"mendel/internal/propose/session/sessiontest"
	"mendel/internal/propose/workspace"
	"mendel/internal/research"
)

func TestEveryCallIsJournaled(t *testing.T) {
	r := newRun(true)
	s := open(t, r)
	do(t, s, "syntax_check", nil)
	say(t, s, "no such\ntool "+strings.Repeat("x", 100), nil)
	refused(t, s, "read_file", map[string]any{"path": "../x"})
	calls := r.Calls()
	if len(calls) != 3 {
		t.Fatalf("%d calls are journaled, want 3", len(calls))
	}
	if c := calls[0]; c.Tool != "syntax_check" || c.Session != 7 || c.CPU != 0.001 || len(c.Digest) != 64 || c.Bytes == 0 || c.Error != "" {
		t.Errorf("the check is journaled as %+v", c)
	}
	if c := calls[1]; len(c.Tool) > 64 || strings.Contains(c.Tool, "\n") || c.Error == "" {
		t.Errorf("a strange name is journaled as %+v", c)
	}
	if c := calls[2]; !strings.Contains(c.Error, "climbs") || c.Digest == calls[0].Digest {
		t.Errorf("a misuse is journaled as %+v", c)
	}
}

func TestCallsAreCapped(t *testing.T) {
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
	s := session.New(session.Options{Brief: r.Brief(role, 1, 1), Desk: r, Workspace: w, MayEdit: mayEdit, Now: time.Now, Caps: research.Caps{Calls: 4}})
	for range 3 {
		do(t, s, "list_files", nil)
	}
	edit(t, s, "score = 5", "score = 4")
	refused(t, s, "list_files", nil, "No tool calls are left", "submit_trial")
	submit(t, s, "submitting is still possible")
	for range 2 {
		say(t, s, "list_files", nil)
	}
	if _, err := s.Call(t.Context(), "list_files", nil); !errors.Is(err, session.ErrSpent) {
		t.Errorf("a loop of calls goes on: %v", err)
	}
	if _, err := s.Call(t.Context(), "nothing", nil); !errors.Is(err, session.ErrSpent) {
		t.Errorf("a loop of unknown calls goes on: %v", err)
	}
}

// slowDesk never has a verdict before its time.
type slowDesk struct{ *sessiontest.Run }

func (slowDesk) Await(ctx context.Context, _ research.TrialID) (research.Trial, error) {
	<-ctx.Done()
	return research.Trial{}, ctx.Err()
}

func TestAwaitEndsInTheClientsTime(t *testing.T) {
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
	s := session.New(session.Options{Brief: r.Brief(role, 1, 1), Desk: slowDesk{r}, Workspace: w, MayEdit: mayEdit, Now: time.Now, AwaitAtMost: time.Millisecond})
	edit(t, s, "score = 5", "score = 4")
	id := submit(t, s, "h")
	for _, args := range []map[string]any{{"trial": id.String()}, {"trial": id.String(), "seconds": 3600}} {
		if answer := do(t, s, "await_trial", args); !strings.Contains(answer.Text, "still being measured. Call await_trial again") {
			t.Errorf("it answers %q", answer.Text)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Call(ctx, "await_trial", []byte(`{"trial":"1"}`)); !errors.Is(err, context.Canceled) {
		t.Errorf("a session that is stopped waits on: %v", err)
	}
	if calls := r.Calls(); calls[len(calls)-1].Error == "" {
		t.Error("the call that was cut off is not journaled")
	}
}
