package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"mendel/internal/control"
	"mendel/internal/propose/provider/providertest"
	"mendel/internal/research"
)

// outside starts a run that is played by other processes.
func (l *liveRun) outside(args ...string) {
	l.t.Helper()
	l.start(append([]string{"quick", "--state", "run", "--proposer", "external"}, args...)...)
	l.until("the control socket", func() bool {
		c, err := control.Dial(l.t.Context(), filepath.Join(l.dir, "run"))
		if err != nil {
			return false
		}
		c.Close()
		return true
	})
}

// connect starts `mendel mcp` and talks to it as any MCP client does.
func (l *liveRun) connect(args ...string) *sdk.ClientSession {
	l.t.Helper()
	cmd := exec.Command("mendel", append([]string{"mcp"}, args...)...)
	cmd.Dir, cmd.Env, cmd.Stderr = l.dir, l.env, os.Stderr
	if cmd.Env == nil {
		cmd.Env = os.Environ()
	}
	c, err := sdk.NewClient(&sdk.Implementation{Name: "test"}, nil).Connect(l.t.Context(), &sdk.CommandTransport{Command: cmd}, nil)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { c.Close() })
	return c
}

func ask(t *testing.T, c *sdk.ClientSession, name string, args map[string]any) (string, *sdk.CallToolResult) {
	t.Helper()
	if args == nil {
		args = map[string]any{}
	}
	r, err := c.CallTool(t.Context(), &sdk.CallToolParams{Name: name, Arguments: args})
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return r.Content[0].(*sdk.TextContent).Text, r
}

func TestAnMCPClientPlaysASession(t *testing.T) {
	t.Parallel()
	l := newStage(t)
	l.outside("--trials", "1")
	c := l.connect("fit", "--state", "run")
	if got := c.InitializeResult().Instructions; !strings.Contains(got, "submit_trial") {
		t.Errorf("instructions: %q", got)
	}
	list, err := c.ListTools(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, tool := range list.Tools {
		names = append(names, tool.Name)
	}
	for _, want := range []string{"read_file", "edit_file", "syntax_check", "bash", "list_trials", "submit_trial", "await_trial"} {
		if !slices.Contains(names, want) {
			t.Errorf("%s is not offered: %v", want, names)
		}
	}
	refused := func(name string, args map[string]any, word string) {
		t.Helper()
		if text, r := ask(t, c, name, args); !r.IsError || !strings.Contains(text, word) {
			t.Errorf("%s answers %q, error %v", name, text, r.IsError)
		}
	}
	granted := func(name string, args map[string]any, word string) *sdk.CallToolResult {
		t.Helper()
		text, r := ask(t, c, name, args)
		if r.IsError || !strings.Contains(text, word) {
			t.Errorf("%s answers %q, error %v", name, text, r.IsError)
		}
		return r
	}
	refused("edit_file", map[string]any{"path": "features.py", "old": "TIDES = 2", "new": "TIDES = 3"}, "features.py")
	granted("edit_file", map[string]any{"path": "train.py", "old": "EPOCHS = 4", "new": "EPOCHS = = 6"}, "train.py")
	if text, _ := ask(t, c, "syntax_check", nil); !strings.Contains(text, "SyntaxError") {
		t.Errorf("the check says %q", text)
	}
	granted("edit_file", map[string]any{"path": "train.py", "old": "EPOCHS = = 6", "new": "EPOCHS = 6"}, "train.py")
	granted("bash", map[string]any{"command": "grep -n EPOCHS train.py"}, "EPOCHS = 6")
	submission := map[string]any{"hypothesis": "more epochs fit better", "expected_delta": -1, "key": "mine"}
	first := granted("submit_trial", submission, "001")
	again := granted("submit_trial", submission, "001")
	for _, r := range []*sdk.CallToolResult{first, again} {
		if data, _ := json.Marshal(r.StructuredContent); string(data) != `{"trial":1}` {
			t.Errorf("submit_trial gives %s", data)
		}
	}
	granted("await_trial", map[string]any{"trial": "1"}, "Trial 001")
	if err := c.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if code := l.ended(); code != exitOK {
		t.Fatalf("exit code %d\n%s", code, l.output)
	}
	l.intact(1)
	s := l.sessions()
	if len(s) != 1 || s[0].Ending != "submitted" || s[0].Calls < 8 {
		t.Errorf("sessions: %+v", s)
	}
	if trial := l.trials()[0]; trial.Proposal.Confinement != "none" || trial.Proposal.Role != "fit" || trial.Proposal.Hypothesis != "more epochs fit better" {
		t.Errorf("the trial is %+v", trial.Proposal)
	}
	if shown := l.mendel("show", "001", "--state", "run"); !strings.Contains(shown, "confinement") {
		t.Errorf("`mendel show` does not speak of confinement:\n%s", shown)
	}
}

func TestSessionsByHandFromSeveralProcesses(t *testing.T) {
	t.Parallel()
	const players = 5
	l := newStage(t)
	l.outside("--trials", fmt.Sprint(players))
	var all sync.WaitGroup
	for i := range players {
		all.Go(func() {
			mendel := func(args ...string) string {
				out, err := l.try(append([]string{"session"}, append(args, "--state", "run")...)...)
				if err != nil {
					t.Errorf("mendel session %v: %v\n%s", args, err, out)
				}
				return out
			}
			role, path, from, to := "fit", "train.py", "EPOCHS = 4", fmt.Sprintf("EPOCHS = %d", 5+i)
			if i%2 == 1 {
				role, path, from, to = "features", "features.py", "numbers = [1.0]", fmt.Sprintf("numbers = [1.%d]", 1+i)
			}
			var opened struct {
				Session   research.SessionID `json:"session"`
				Workspace string             `json:"workspace"`
				Prompt    string             `json:"prompt"`
			}
			if err := json.Unmarshal([]byte(mendel("open", role, "--json")), &opened); err != nil || opened.Session == 0 {
				t.Errorf("open: %v, %+v", err, opened)
				return
			}
			id := fmt.Sprint(opened.Session)
			if !strings.Contains(opened.Prompt, "submit_trial") || !strings.Contains(mendel("tool", id), "--arg hypothesis") {
				t.Errorf("session %s lacks its prompt or the description of its tools", id)
			}
			mendel("tool", id, "read_file", "--arg", "path="+path)
			if out, err := l.try("session", "tool", id, "edit_file", "--arg", "path="+path, "--arg", "old=nothing", "--arg", "new=x", "--state", "run"); err == nil || !strings.Contains(out, "mendel:") {
				t.Errorf("an edit that does not match: %v %s", err, out)
			}
			if i == 0 { // a person edits the file directly
				text, err := os.ReadFile(filepath.Join(opened.Workspace, path))
				if err == nil {
					err = os.WriteFile(filepath.Join(opened.Workspace, path), []byte(strings.Replace(string(text), from, to, 1)), 0o644)
				}
				if err != nil {
					t.Error(err)
				}
			} else {
				mendel("tool", id, "edit_file", "--arg", "path="+path, "--arg", "old="+from, "--arg", "new="+to)
			}
			mendel("tool", id, "syntax_check")
			out := mendel("submit", id, "--hypothesis", "player "+fmt.Sprint(i), "--expected-delta", "-0.5", "--key", "k", "--wait")
			if !strings.Contains(out, "Trial ") {
				t.Errorf("the verdict is %q", out)
			}
			closed := mendel("close", id)
			if !strings.Contains(closed, "is closed; its trials: 00") {
				t.Errorf("close says %q", closed)
			}
		})
	}
	all.Wait()
	if code := l.ended(); code != exitOK {
		t.Fatalf("exit code %d\n%s", code, l.output)
	}
	l.intact(players)
	if got := len(l.sessions()); got != players {
		t.Errorf("%d sessions, want %d", got, players)
	}
	said := map[string]bool{}
	for _, trial := range l.trials() {
		said[trial.Proposal.Hypothesis] = true
	}
	if len(said) != players {
		t.Errorf("hypotheses: %v", said)
	}
}

func TestACodingAgentInItsBox(t *testing.T) {
	if _, err := exec.LookPath("bwrap"); err != nil {
		t.Skip("agents are boxed by bubblewrap, which is not here")
	}
	t.Parallel()
	agent, err := filepath.Abs("testdata/agent.py")
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := plays(t, providertest.Anthropic, brisk(rate()))
	l := newStage(t, "ANTHROPIC_API_KEY="+providertest.Key, "SECRET_KEY="+providertest.Key)
	text, err := os.ReadFile(agent)
	if err != nil {
		t.Fatal(err)
	}
	program := l.write("agent.py", string(text))
	run := filepath.Join(l.dir, "run")
	l.start("quick", "--state", "run", "--roles", "fit", "--trials", "2", "--proposer",
		fmt.Sprintf("command:%s '%s' %s", program, run, strings.TrimPrefix(elsewhere.URL, "http://")))
	if code := l.ended(); code != exitOK {
		t.Fatalf("exit code %d\n%s", code, l.output)
	}
	l.intact(2)
	for _, trial := range l.trials() {
		if trial.Proposal.Confinement != "sandbox" {
			t.Errorf("trial %s records confinement %q", trial.ID, trial.Proposal.Confinement)
		}
	}
	for _, s := range l.sessions() {
		shown := l.mendel("session", "show", fmt.Sprint(s.ID), "--state", "run")
		if s.Ending != "submitted" || strings.Count(shown, "REACHED") != 1 || !strings.Contains(shown, "REACHED: its workspace") || strings.Count(shown, "closed: ") != 10 {
			t.Errorf("session %d ended as %s %s:\n%s", s.ID, s.Ending, s.Error, shown)
		}
		for _, word := range []string{"features.py", "SyntaxError", "syntax_check", "await_trial: Trial 00"} {
			if !strings.Contains(shown, word) {
				t.Errorf("the transcript does not say %q:\n%s", word, shown)
			}
		}
	}
	if n := len(elsewhere.Requests()) + len(elsewhere.Refused()); n > 0 {
		t.Errorf("%d requests reached a server outside", n)
	}
	if log, err := os.ReadFile(filepath.Join(run, "supervisor.log")); strings.Count(string(log), "host=example.com:443") != 2 {
		t.Errorf("the log does not say what the agent wanted to reach: %v\n%s", err, log)
	}
	l.keepsSecret(providertest.Key)
}
