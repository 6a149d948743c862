package session_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mendel/internal/propose/prompt"
	"mendel/internal/propose/session"
	"mendel/internal/propose/session/sessiontest"
	"mendel/internal/propose/tool"
	"mendel/internal/propose/workspace"
	"mendel/internal/research"
)

func number(v float64) *float64 { return &v }

// newRun is a run whose recipe says its own score, after "score = ", and its size, after "size = ".
func newRun(lineage bool) *sessiontest.Run {
	r := &sessiontest.Run{
		Task: research.TaskCard{
			Name: "toy", Editable: []string{"train.py"},
			Score:    research.ScoreRule{Metric: "loss", Unit: "nats", Direction: research.Minimize},
			Keep:     research.KeepRule{Rule: research.Strict},
			Checks:   []research.CheckCard{{Name: "syntax_check", About: "Compiles train.py."}},
			OnDemand: []research.Document{{Name: "LESSONS.md", Text: "Lesson one.\n"}},
		},
		Arm: research.Arm{Agents: research.Specialists, Lineage: lineage},
		Measure: func(tree workspace.Tree) research.Measurement {
			f, _ := tree.Get("train.py")
			var score, size float64
			fmt.Sscanf(string(f.Data), "score = %g\nsize = %g", &score, &size)
			m := research.Measurement{Outcome: research.Valid, Score: &score}
			bound := research.Bound{Name: "artifact_bytes", Metric: "artifact_bytes", Unit: "B", Max: number(100), Outcome: research.SizeBlocked}
			if m.Margins = []research.Margin{research.MarginOf(bound, size)}; size > 100 {
				m.Outcome, m.Reason = research.SizeBlocked, "artifact_bytes is over its limit"
			}
			return m
		},
	}
	r.Start(workspace.Tree{{Path: "data.txt", Mode: 0o644, Data: []byte("not editable\n")}, {Path: "train.py", Mode: 0o644, Data: []byte("score = 5\nsize = 50\n")}})
	return r
}

var role = research.Role{ID: "opt", Title: "Optimizer", MayEdit: []string{"train.py"}}

func mayEdit(path string) bool { return path == "train.py" }

func open(t *testing.T, r *sessiontest.Run) *session.Session {
	t.Helper()
	return r.Open(t, r.Brief(role, 7, 1), mayEdit)
}

// say calls a tool and wants an answer, of either kind.
func say(t *testing.T, s *session.Session, name string, args map[string]any) tool.Answer {
	t.Helper()
	raw, err := json.Marshal(args)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := s.Call(t.Context(), name, raw)
	if err != nil {
		t.Fatalf("%s %s: %v", name, raw, err)
	}
	if len(answer.Text) > tool.MaxAnswer {
		t.Fatalf("%s answers with %d bytes", name, len(answer.Text))
	}
	return answer
}

func do(t *testing.T, s *session.Session, name string, args map[string]any) tool.Answer {
	t.Helper()
	answer := say(t, s, name, args)
	if answer.IsError {
		t.Fatalf("%s %v: %s", name, args, answer.Text)
	}
	return answer
}

func refused(t *testing.T, s *session.Session, name string, args map[string]any, words ...string) {
	t.Helper()
	answer := say(t, s, name, args)
	if !answer.IsError {
		t.Fatalf("%s %v was done: %s", name, args, answer.Text)
	}
	for _, word := range words {
		if !strings.Contains(answer.Text, word) {
			t.Errorf("%s %v: the answer %q does not say %q", name, args, answer.Text, word)
		}
	}
}

func edit(t *testing.T, s *session.Session, old, new string) {
	t.Helper()
	do(t, s, "edit_file", map[string]any{"path": "train.py", "old": old, "new": new})
}

func submit(t *testing.T, s *session.Session, hypothesis string) research.TrialID {
	t.Helper()
	answer := do(t, s, "submit_trial", map[string]any{"hypothesis": hypothesis, "expected_delta": -1})
	return answer.Data.(tool.Submitted).Trial
}

func TestOneEpisode(t *testing.T) {
	r := newRun(true)
	s := open(t, r)
	if got := do(t, s, "read_file", map[string]any{"path": "train.py"}).Text; got != "score = 5\nsize = 50\n" {
		t.Errorf("read_file gives %q", got)
	}
	edit(t, s, "score = 5", "score = 4")
	do(t, s, "syntax_check", nil)
	if diff := do(t, s, "diff_trials", map[string]any{"from": "0"}).Text; !strings.Contains(diff, "-score = 5\n+score = 4") {
		t.Errorf("the diff against the workspace is %q", diff)
	}
	id := submit(t, s, "A lower score is better.")
	answer := do(t, s, "await_trial", map[string]any{"trial": id.String()})
	for _, want := range []string{"Trial 001: keep", "Score: 4 nats, -1 against 000 (-1 was expected)", "Verdict: 1 nats better than 000", "50 bytes under artifact_bytes"} {
		if !strings.Contains(answer.Text, want) {
			t.Errorf("await_trial does not say %q:\n%s", want, answer.Text)
		}
	}
	row := answer.Data.(tool.Row)
	if row.Status != research.StatusKeep || *row.Score != 4 || *row.Delta != -1 || row.NearMiss {
		t.Errorf("the row is %+v", row)
	}
	p := r.All()[1].Proposal
	if p.Parent != 0 || p.Hypothesis != "A lower score is better." || *p.Expected != -1 || p.Session != 7 || p.Key == "" {
		t.Errorf("the proposal is %+v", p)
	}
	if s.Submitted() != 1 {
		t.Errorf("%d submitted, want 1", s.Submitted())
	}
}

func TestNearMissNamesItsMarginAndIsRepaired(t *testing.T) {
	r := newRun(true)
	s := open(t, r)
	edit(t, s, "score = 5\nsize = 50", "score = 3\nsize = 120")
	answer := do(t, s, "await_trial", map[string]any{"trial": submit(t, s, "Larger is better.").String()})
	for _, want := range []string{"Trial 001: size_blocked", "Score: 3 nats, -2 against 000", "Near miss", "20 bytes over artifact_bytes (120 bytes, at most 100 bytes)"} {
		if !strings.Contains(answer.Text, want) {
			t.Errorf("await_trial does not say %q:\n%s", want, answer.Text)
		}
	}
	if row := answer.Data.(tool.Row); !row.NearMiss {
		t.Errorf("the row does not say that it is a near miss: %+v", row)
	}
	edit(t, s, "size = 120", "size = 95")
	repair := submit(t, s, "Give back 25 bytes.")
	if got := r.All()[repair]; got.Proposal.Parent != 1 || got.Status != research.StatusKeep {
		t.Errorf("the repair has parent %s and status %s; want 001 and keep", got.Proposal.Parent, got.Status)
	}
}

func TestWhatMayBeSubmitted(t *testing.T) {
	r := newRun(true)
	s := open(t, r)
	refused(t, s, "submit_trial", map[string]any{"hypothesis": "h", "expected_delta": 0}, "the same as trial 000", "Edit it first")
	refused(t, s, "submit_trial", map[string]any{"hypothesis": " ", "expected_delta": 0}, "hypothesis is empty")
	edit(t, s, "score = 5", "score = 6")
	refused(t, s, "submit_trial", map[string]any{"hypothesis": "h", "expected_delta": 0, "parent": "003"}, "built on trial 000, not on 003")
	refused(t, s, "submit_trial", map[string]any{"hypothesis": strings.Repeat("h", 2001), "expected_delta": 0}, "2001 bytes")
	refused(t, s, "await_trial", map[string]any{"trial": "1"}, "has submitted nothing yet")
	submit(t, s, "first")
	refused(t, s, "await_trial", map[string]any{"trial": "0"}, "not of this session", "It submitted 001")
	do(t, s, "rebase_to", map[string]any{"trial": "0"})
	edit(t, s, "score = 5", "score = 6")
	refused(t, s, "submit_trial", map[string]any{"hypothesis": "the same tree in other words", "expected_delta": 0}, "already tried as trial 001")
	edit(t, s, "score = 6", "score = 7")
	submit(t, s, "second")
	edit(t, s, "score = 7", "score = 8")
	submit(t, s, "third")
	edit(t, s, "score = 8", "score = 9")
	refused(t, s, "submit_trial", map[string]any{"hypothesis": "fourth", "expected_delta": 0}, "used its 3 submissions")
	if got := len(r.All()) - 1; got != 3 || s.Submitted() != 3 {
		t.Errorf("%d trials, want 3", got)
	}
}

func TestRepeatedSubmitIsHarmless(t *testing.T) {
	r := newRun(true)
	s := open(t, r)
	edit(t, s, "score = 5", "score = 4")
	for _, args := range []map[string]any{
		{"hypothesis": "h", "expected_delta": -1, "key": "k"},
		{"hypothesis": "in other words", "expected_delta": -2, "key": "k"},
	} {
		if got := do(t, s, "submit_trial", args).Data.(tool.Submitted); got.Trial != 1 {
			t.Errorf("%v gave trial %s, want 001", args, got.Trial)
		}
	}
	// Without a key, the same words about the same files are the same submission.
	edit(t, s, "score = 4", "score = 3")
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			if answer, err := s.Call(context.Background(), "submit_trial", []byte(`{"hypothesis":"h2","expected_delta":-1}`)); err != nil || answer.IsError {
				t.Errorf("%v %v", answer.Text, err)
			}
		})
	}
	wait.Wait()
	if got := len(r.All()) - 1; got != 2 {
		t.Errorf("%d trials, want 2", got)
	}
}

func TestForeignFiles(t *testing.T) {
	r := newRun(true)
	b := r.Brief(role, 7, 1)
	tree, err := r.Tree(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	w, err := workspace.New(dir, tree)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	s := session.New(session.Options{Brief: b, Desk: r, Workspace: w, MayEdit: mayEdit, Now: time.Now})
	refused(t, s, "edit_file", map[string]any{"path": "data.txt", "old": "not", "new": "now"}, "data.txt can be read but not edited by your role", "train.py")
	// An agent with hands of its own writes past the tools.
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("notes.md", "mine")
	if err := errors.Join(os.MkdirAll(filepath.Join(dir, ".venv/bin"), 0o755), os.Symlink("/usr/bin/python3", filepath.Join(dir, ".venv/bin/python")),
		syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o644)); err != nil {
		t.Fatal(err)
	}
	write("data.txt", "changed\n")
	write("train.py", "score = 4\nsize = 50\n")
	refused(t, s, "submit_trial", map[string]any{"hypothesis": "h", "expected_delta": -1}, "may not edit: data.txt")
	write("data.txt", "not editable\n")
	id := submit(t, s, "h")
	frozen, err := r.Tree(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if _, extra := frozen.Get("notes.md"); extra || len(frozen) != 2 {
		t.Errorf("the frozen tree is %v, want the recipe's two files", frozen)
	}
}

func TestHarnessAbortCostsTheSessionNothing(t *testing.T) {
	r := newRun(true)
	r.Measure = func(workspace.Tree) research.Measurement {
		return research.Measurement{Outcome: research.Valid, Score: number(4)}
	}
	s := open(t, r)
	edit(t, s, "score = 5", "score = 4")
	for n := research.TrialID(1); n <= 5; n++ {
		id := submit(t, s, "h")
		if id != n {
			t.Fatalf("submission %d is trial %s", n, id)
		}
		r.Amend(id, func(t *research.Trial) {
			t.Status, t.Measurement = research.Status(research.Aborted), &research.Measurement{Outcome: research.Aborted, Reason: "MARK: disk full"}
		})
		answer := do(t, s, "await_trial", map[string]any{"trial": id.String()})
		if !strings.Contains(answer.Text, "no evidence") || strings.Contains(answer.Text, "MARK") {
			t.Errorf("await_trial says %q", answer.Text)
		}
	}
	if got := r.All()[5].Proposal.Parent; got != 0 {
		t.Errorf("the repetition is built on %s, want 000", got)
	}
	if list := do(t, s, "list_trials", nil).Text; strings.Contains(list, "001") {
		t.Errorf("an aborted trial is listed: %s", list)
	}
	if text := do(t, s, "read_trial", map[string]any{"trial": "1"}).Text; strings.Contains(text, "MARK") {
		t.Errorf("an aborted trial is shown as evidence: %s", text)
	}
}

// TestWithoutLineageNothingLeaks plants marks in everything that history could show, calls
// every tool in every way, and looks for the marks.
func TestWithoutLineageNothingLeaks(t *testing.T) {
	r := newRun(true)
	first := open(t, r)
	edit(t, first, "score = 5\nsize = 50\n", "score = 4\nsize = 50\n# MARK-TREE\n")
	submit(t, first, "MARK-HYPOTHESIS-1")
	second := open(t, r)
	edit(t, second, "score = 4", "score = 4.5")
	submit(t, second, "MARK-HYPOTHESIS-2")
	r.Amend(1, func(t *research.Trial) { t.Status = research.StatusDiscard }) // the incumbent is the clean baseline again
	r.Amend(2, func(t *research.Trial) { t.Proposal.Notes, t.Proposal.Role = "MARK-NOTES", "MARK-ROLE" })

	r.Arm.Lineage = false
	b := r.Brief(role, 9, 1)
	s := r.Open(t, b, mayEdit)
	seen := prompt.Render(s.Brief()).String()
	for _, d := range s.Tools() {
		seen += d.Name + d.Description + string(d.Schema)
	}
	ask := func(name string, args map[string]any) {
		answer := say(t, s, name, args)
		data, err := json.Marshal(answer.Data)
		if err != nil {
			t.Fatal(err)
		}
		seen += answer.Text + string(data)
	}
	for _, id := range []string{"0", "1", "2", "002", "exp_001", "-1", "99", "MARK"[:0]} {
		for _, name := range []string{"read_trial", "rebase_to", "await_trial"} {
			ask(name, map[string]any{"trial": id})
		}
		ask("read_trial", map[string]any{"trial": id, "file": "train.py"})
		ask("diff_trials", map[string]any{"from": id})
		ask("diff_trials", map[string]any{"from": "0", "to": id})
		ask("list_trials", map[string]any{"parent": id})
	}
	ask("list_trials", nil)
	ask("list_files", nil)
	ask("search_files", map[string]any{"pattern": "M[A]RK|score"})
	ask("read_knowledge", nil)
	ask("bash", map[string]any{"command": "ls"})
	for _, path := range []string{"train.py", "../train.py", "../2/train.py", "/recipe/../../run.db"} {
		ask("read_file", map[string]any{"path": path})
	}
	// What was tried before is refused without saying by whom or when.
	do(t, s, "edit_file", map[string]any{"path": "train.py", "old": "score = 5\nsize = 50\n", "new": "score = 4\nsize = 50\n# M" + "ARK-TREE\n"})
	ask("submit_trial", map[string]any{"hypothesis": "h", "expected_delta": 0})
	ask("rebase_to", map[string]any{"trial": "0"})
	edit(t, s, "score = 5", "score = 4.25")
	ask("submit_trial", map[string]any{"hypothesis": "h", "expected_delta": 0})
	ask("await_trial", map[string]any{"trial": "3"})
	for _, leak := range []string{"MARK", "-HYPOTHESIS", "trial 001", "trial 002"} {
		if i := strings.Index(seen, leak); i >= 0 {
			t.Errorf("%q reached the session: …%s…", leak, seen[max(0, i-150):min(len(seen), i+80)])
		}
	}

	// A history tool is answered like a tool that never was.
	unknown := say(t, s, "no_such_tool", nil).Text
	for _, name := range []string{"read_trial", "diff_trials", "list_trials"} {
		if got := say(t, s, name, nil).Text; got != strings.Replace(unknown, "no_such_tool", name, 1) {
			t.Errorf("%s is answered %q, an unknown tool %q", name, got, unknown)
		}
		if slices.ContainsFunc(s.Tools(), func(d tool.Definition) bool { return d.Name == name }) {
			t.Errorf("%s is offered", name)
		}
	}
}

func TestWhatTheSubjectPrintedIsNeverShown(t *testing.T) {
	r := newRun(true)
	s := open(t, r)
	edit(t, s, "score = 5", "score = 6")
	id := submit(t, s, "h")
	r.Amend(id, func(x *research.Trial) {
		x.Status = research.Status(research.Crash)
		x.Measurement = &research.Measurement{
			Outcome: research.Crash,
			Crash:   &research.CrashExcerpt{Phase: "evaluate", Exception: "SECRET-1", Frame: "SECRET-2", Code: "SECRET-3"},
			Phases: []research.PhaseRun{
				{Phase: "train", Seed: 0, Tail: strings.Repeat("early\n", 300) + "last line of seed 0\n"},
				{Phase: "train", Seed: 1, Tail: strings.Repeat("weights\n", 250)},
				{Phase: "evaluate", OperatorOnly: true, Tail: "SECRET-4"},
			},
		}
	})
	for name, text := range map[string]string{
		"read_trial":  do(t, s, "read_trial", map[string]any{"trial": id.String()}).Text,
		"await_trial": do(t, s, "await_trial", map[string]any{"trial": id.String()}).Text,
		"list_trials": do(t, s, "list_trials", nil).Text,
	} {
		if strings.Contains(text, "SECRET") {
			t.Errorf("%s shows what the subject printed:\n%s", name, text)
		}
		if name == "list_trials" {
			continue
		}
		if !strings.Contains(text, "last line of seed 0") || !strings.Contains(text, "Crash in evaluate") {
			t.Errorf("%s does not show the end of training, or that it crashed:\n%s", name, text)
		}
		if printed := strings.Count(text, "early")*6 + strings.Count(text, "weights")*8; printed > 2048 {
			t.Errorf("%s shows %d bytes of what training printed, more than 2,048", name, printed)
		}
	}
}
