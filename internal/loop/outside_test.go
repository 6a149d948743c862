package loop

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"mendel/internal/control"
	"mendel/internal/propose/session"
	"mendel/internal/research"
)

// newOutsideWorld is a run whose agents are all played from outside.
func newOutsideWorld(t *testing.T, budgets research.Budgets) *world {
	return newWorldOf(t, budgets, research.Arm{Agents: research.Specialists, Lineage: true}, map[string]session.Proposer{"fit": nil, "features": nil}, External)
}

// start runs the loop beside the test; wait gives its ending.
func (w *world) start() (l *Loop, wait func() (Ending, error)) {
	w.t.Helper()
	l, err := New(w.cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	var ending Ending
	var runErr error
	done := make(chan struct{})
	go func() {
		ending, runErr = l.Run(w.t.Context(), w.t.Context())
		close(done)
	}()
	return l, func() (Ending, error) { <-done; return ending, runErr }
}

// ask calls a tool of a session from outside.
func ask(t *testing.T, l *Loop, id research.SessionID, name string, args map[string]any) (answer struct {
	Text    string
	Data    json.RawMessage
	IsError bool `json:"is_error"`
}) {
	t.Helper()
	raw, err := json.Marshal(args)
	if err != nil {
		t.Fatal(err)
	}
	result, err := l.CallTool(t.Context(), id, name, raw)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if err := json.Unmarshal(result, &answer); err != nil {
		t.Fatal(err)
	}
	return answer
}

func TestASessionIsPlayedFromOutside(t *testing.T) {
	w := newOutsideWorld(t, research.Budgets{Trials: 2})
	l, wait := w.start()
	opened, err := l.OpenSession(t.Context(), "fit")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(opened.Prompt, opened.Workspace) || opened.Base != 0 || len(opened.Tools) == 0 {
		t.Errorf("the session is %+v", opened)
	}
	twin, err := l.OpenSession(t.Context(), "fit")
	if err != nil || twin.Agent.Name != "fit-2" || twin.Workspace == opened.Workspace {
		t.Fatalf("a second session of the role: %+v, %v", twin.Agent, err)
	}
	if _, err := l.OpenSession(t.Context(), "features"); err == nil || !strings.Contains(err.Error(), "reserved") {
		t.Errorf("a session without a trial left for it opens: %v", err)
	}
	if _, err := l.OpenSession(t.Context(), "nobody"); err == nil || !strings.Contains(research.Hint(err), "features") {
		t.Errorf("an unknown role: %v (%s)", err, research.Hint(err))
	}
	// An edit of the file itself counts like one by edit_file.
	file := filepath.Join(opened.Workspace, "train.py")
	code, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(code), "EPOCHS = 4\n", "EPOCHS = 8\n", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	submitted := ask(t, l, opened.Session, "submit_trial", map[string]any{"hypothesis": "more passes", "expected_delta": -1})
	if submitted.IsError {
		t.Fatal(submitted.Text)
	}
	if a := ask(t, l, opened.Session, "await_trial", map[string]any{"trial": "1"}); !strings.Contains(a.Text, "Trial 001: keep") {
		t.Errorf("the verdict is %q", a.Text)
	}
	closed, err := l.CloseSession(t.Context(), opened.Session)
	if err != nil || len(closed.Trials) != 1 {
		t.Errorf("closed as %+v, %v", closed, err)
	}
	if _, err := l.CallTool(t.Context(), opened.Session, "list_files", nil); err == nil || !strings.Contains(err.Error(), "is not open") {
		t.Errorf("a closed session answers: %v", err)
	}
	ask(t, l, twin.Session, "edit_file", map[string]any{"path": "train.py", "old": "EPOCHS = 4\n", "new": "EPOCHS = 16\n"})
	ask(t, l, twin.Session, "submit_trial", map[string]any{"hypothesis": "still more", "expected_delta": -1})
	if _, err := l.CallTool(t.Context(), twin.Session, "await_trial", json.RawMessage(`{"trial":"2"}`)); err != nil {
		t.Errorf("the last verdict is lost: %v", err)
	}
	if ending, err := wait(); err != nil || ending.Trials != 2 {
		t.Fatalf("%+v, %v", ending, err)
	}
	if got := w.trial(2).Proposal; got.Confinement != "none" || got.Proposer != External {
		t.Errorf("the proposal is %+v", got)
	}
	if _, err := l.CallTool(t.Context(), twin.Session, "list_files", nil); !errors.Is(err, errEnded) {
		t.Errorf("after the end: %v", err)
	}
	data, err := w.store.Transcript(opened.Session)
	if err != nil || !strings.Contains(string(data), `"name":"await_trial"`) {
		t.Errorf("transcript: %q, %v", data, err)
	}
}

func TestManySessionsFromOutside(t *testing.T) {
	w := newOutsideWorld(t, research.Budgets{Trials: 12})
	l, wait := w.start()
	var group sync.WaitGroup
	for i := range 12 {
		group.Go(func() {
			opened, err := l.OpenSession(t.Context(), "fit")
			if err != nil {
				t.Error(err)
				return
			}
			for _, call := range []struct{ name, args string }{
				{"edit_file", `{"path":"train.py","old":"EPOCHS = 4\n","new":"EPOCHS = ` + strconv.Itoa(10+i) + `\n"}`},
				{"submit_trial", `{"hypothesis":"h","expected_delta":0}`},
			} {
				if _, err := l.CallTool(t.Context(), opened.Session, call.name, json.RawMessage(call.args)); err != nil {
					t.Errorf("%s: %v", call.name, err)
				}
			}
			if _, err := l.CloseSession(t.Context(), opened.Session); err != nil && !errors.Is(err, errEnded) {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if ending, err := wait(); err != nil || ending.Trials == 0 {
		t.Fatalf("%+v, %v", ending, err)
	}
	open, err := w.store.OpenSessions()
	if err != nil || len(open) != 0 {
		t.Errorf("%d sessions are left open, %v", len(open), err)
	}
}

func TestARunStopsWithSessionsOpen(t *testing.T) {
	w := newOutsideWorld(t, research.Budgets{})
	l, wait := w.start()
	opened, err := l.OpenSession(t.Context(), "fit")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Stop(t.Context(), "test"); err != nil {
		t.Fatal(err)
	}
	if ending, err := wait(); err != nil || !ending.Interrupted {
		t.Fatalf("%+v, %v", ending, err)
	}
	row, _, err := w.store.Session(opened.Session)
	if err != nil || row.Ending != "stopped" {
		t.Errorf("the session ended as %q, %v", row.Ending, err)
	}
}

// failing is a proposer that fails in a given way until it has done so often enough.
type failing struct {
	err  error
	left int
	then session.Proposer
}

func (f *failing) Propose(ctx context.Context, s *session.Session) error {
	if f.left == 0 {
		return f.then.Propose(ctx, s)
	}
	f.left--
	return f.err
}

func TestAMisconfiguredAgentIsParkedAndOthersGoOn(t *testing.T) {
	wrong := &session.Failure{Class: session.Misconfigured, Err: errors.New("HTTP 401: bad key"), Hint: "set the key"}
	w := newWorld(t, research.Budgets{Trials: 2}, research.Arm{Agents: research.Specialists, Lineage: true}, map[string]session.Proposer{
		"features": &failing{err: wrong, left: 100}, "fit": counting(),
	})
	ending, err := w.run()
	if err != nil || ending.Trials != 2 {
		t.Fatalf("%+v, %v", ending, err)
	}
	sessions, err := w.store.Sessions(0, 100)
	if err != nil {
		t.Fatal(err)
	}
	failed := 0
	for _, s := range sessions {
		if s.Agent == "features" {
			failed++
			if s.Ending != "error" || !strings.Contains(s.Error, "401") {
				t.Errorf("its session ended as %s: %s", s.Ending, s.Error)
			}
		}
	}
	if failed != 1 {
		t.Errorf("the parked agent had %d sessions, want 1", failed)
	}
}

func TestARunWithNobodyLeftSaysWhy(t *testing.T) {
	wrong := &session.Failure{Class: session.Misconfigured, Err: errors.New("HTTP 401: bad key"), Hint: "set the key"}
	w := newWorld(t, research.Budgets{Trials: 2}, research.Arm{Agents: research.Specialists, Lineage: true}, map[string]session.Proposer{
		"fit": &failing{err: wrong, left: 100},
	})
	_, err := w.run()
	if err == nil || !strings.Contains(err.Error(), "401") || research.Hint(err) != "set the key" {
		t.Fatalf("%v, hint %q", err, research.Hint(err))
	}
}

// spending asks for a model call before each of its trials, and settles it for less.
type spending struct {
	worst, real research.Charge
	then        session.Proposer
}

func (p spending) Propose(ctx context.Context, s *session.Session) error {
	call, err := s.Ask(ctx, "test:model", p.worst)
	if err != nil {
		return err
	}
	if err := call.Settle(ctx, session.Settlement{Usage: research.Usage{Input: p.real.Tokens}, USD: p.real.USD, Priced: true}); err != nil {
		return err
	}
	return p.then.Propose(ctx, s)
}

func TestTheDollarBudgetIsHard(t *testing.T) {
	model := spending{worst: research.Charge{Tokens: 1000, USD: 0.5}, real: research.Charge{Tokens: 100, USD: 0.125}}
	for name, budgets := range map[string]research.Budgets{"dollars": {USD: 1}, "tokens": {Tokens: 1500}} {
		t.Run(name, func(t *testing.T) {
			a, b := model, model
			a.then, b.then = counting(), counting()
			w := newWorld(t, budgets, research.Arm{Agents: research.Generic, N: 2, Lineage: true}, map[string]session.Proposer{"generic-1": a, "generic-2": b})
			ending, err := w.run()
			if err != nil || !strings.Contains(ending.Reason, "budget") {
				t.Fatalf("%+v, %v", ending, err)
			}
			spend, err := w.store.Spend()
			if err != nil {
				t.Fatal(err)
			}
			if budgets.USD > 0 && spend.Charge.USD > budgets.USD || budgets.Tokens > 0 && spend.Charge.Tokens > budgets.Tokens {
				t.Errorf("%+v is spent", spend.Charge)
			}
			if spend.Reserved != (research.Charge{}) {
				t.Errorf("%+v stays reserved", spend.Reserved)
			}
			if spend.ModelCalls < 4 || ending.Trials != spend.ModelCalls {
				t.Errorf("%d calls and %d trials; what was asked before the end should have been tried", spend.ModelCalls, ending.Trials)
			}
		})
	}
}

func TestACallThatDiedWithItsSupervisorIsCharged(t *testing.T) {
	w := newWorld(t, research.Budgets{Trials: 1}, research.Arm{Agents: research.Specialists, Lineage: true}, map[string]session.Proposer{"fit": counting()})
	for _, f := range []research.Fact{
		research.Supervised{PID: 1, Host: "here"},
		research.Submitted{Trial: 0, Proposal: research.Proposal{Role: "baseline", Proposer: "recipe", Tree: w.cfg.registration(t).BaselineTree, Tokens: "t"}},
		research.SessionOpened{Session: 1, Agent: research.Agent{Name: "fit", Role: "fit", Proposer: "test"}},
		research.ModelAsked{Session: 1, Call: 1, Model: "test:model", Worst: research.Charge{Tokens: 70, USD: 0.25}},
	} {
		if _, err := w.store.Append(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.run(); err != nil {
		t.Fatal(err)
	}
	spend, err := w.store.Spend()
	if err != nil || spend.Charge != (research.Charge{Tokens: 70, USD: 0.25}) || spend.Reserved != (research.Charge{}) {
		t.Errorf("%+v, %v", spend, err)
	}
}

func (c Config) registration(t *testing.T) research.Registration {
	reg, err := c.Store.Registration()
	if err != nil {
		t.Fatal(err)
	}
	return reg
}

// counting submits one new value of EPOCHS after another.
func counting() session.Proposer {
	return proposerFunc(func(ctx context.Context, s *session.Session) error {
		if _, err := use(ctx, s, "rebase_to", map[string]any{"trial": "0"}); err != nil {
			return err
		}
		_, _, err := try(ctx, s, 10+int(s.Brief().Session))
		return err
	})
}

type proposerFunc func(context.Context, *session.Session) error

func (f proposerFunc) Propose(ctx context.Context, s *session.Session) error { return f(ctx, s) }

var _ control.Supervisor = (*Loop)(nil)
