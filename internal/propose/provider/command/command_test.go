package command_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"mendel/internal/propose/provider/command"
	"mendel/internal/propose/session"
	"mendel/internal/propose/session/sessiontest"
	"mendel/internal/propose/workspace"
	"mendel/internal/research"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// plain starts agents as ordinary processes.
type plain struct{ spec command.Spec }

func (*plain) Confinement() string { return "none" }

func (b *plain) Start(ctx context.Context, s command.Spec) (command.Process, error) {
	b.spec = s
	cmd := exec.CommandContext(ctx, s.Argv[0], s.Argv[1:]...)
	cmd.Env, cmd.Dir = append(slices.Clone(s.Env), "PATH="+os.Getenv("PATH")), s.Workspace
	cmd.Stdin, cmd.Stdout, cmd.Stderr = s.Stdin, s.Stdout, s.Stderr
	return plainProcess{cmd}, cmd.Start()
}

type plainProcess struct{ cmd *exec.Cmd }

func (p plainProcess) Wait() command.Exit {
	err := p.cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return command.Exit{Err: err}
	}
	return command.Exit{Code: p.cmd.ProcessState.ExitCode()}
}

// A play is one session with an agent that is a shell script.
type play struct {
	run        sessiontest.Run
	box        plain
	options    command.Options
	caps       research.Caps
	transcript bytes.Buffer
	asked      []research.ModelAsked
	settled    []research.ModelAnswered
}

// with lets a script of this name play; arguments follow the name on the command line.
func (p *play) with(t *testing.T, name, arguments, script string) error {
	t.Helper()
	dir := t.TempDir()
	program := filepath.Join(dir, name)
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	tree := workspace.Tree{{Path: "train.py", Mode: 0o644, Data: []byte("x = 1\n")}}
	p.run.Task = research.TaskCard{Name: "toy", Score: research.ScoreRule{Direction: research.Minimize}, Keep: research.KeepRule{Rule: research.Strict}}
	p.run.Measure = func(workspace.Tree) research.Measurement {
		score := 1.0
		return research.Measurement{Outcome: research.Valid, Score: &score}
	}
	p.run.Start(tree)
	w, err := workspace.New(filepath.Join(dir, "work"), tree)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	s := session.New(session.Options{
		Brief: p.run.Brief(research.Role{ID: "arch"}, 1, 1), Desk: &p.run, Workspace: w, Caps: p.caps,
		MayEdit: func(string) bool { return true }, Now: time.Now, Transcript: &p.transcript,
	})
	p.options.Line, p.options.Self, p.options.Box, p.options.Dir = program+" "+arguments, "/opt/mendel", &p.box, dir
	if p.options.Getenv == nil {
		p.options.Getenv = func(string) string { return "" }
	}
	proposer, err := command.New(p.options)
	if err != nil {
		t.Fatal(err)
	}
	err = proposer.Propose(t.Context(), s)
	p.asked, p.settled = p.run.ModelCalls()
	return err
}

func TestEachAgentIsToldWhereItsToolsAre(t *testing.T) {
	for name, want := range map[string][]string{
		"claude": {"-p", "--max-budget-usd 0.8000", "--strict-mcp-config", "--allowedTools mcp__mendel__*", "--output-format stream-json", "--model opus"},
		"codex":  {"exec", "--json", "--sandbox read-only", `mcp_servers.mendel.command="/opt/mendel"`, `mcp_servers.mendel.args=["mcp","--socket","`, "--model opus"},
		"gemini": {"--output-format stream-json", "--model opus"},
		"other":  {"--model opus"},
	} {
		t.Run(name, func(t *testing.T) {
			p := &play{caps: research.Caps{USD: 1, Tokens: 5000}}
			script := `grep -q submit_trial || exit 9
test "$HOME" = "$(dirname "$MENDEL_SOCKET")/home" || exit 8
test -S "$MENDEL_SOCKET" -a -f "$MENDEL_PROMPT_FILE" || exit 7
grep -q '"command": "/opt/mendel"' "$MENDEL_MCP_CONFIG" || exit 6
if test ` + name + ` = gemini; then grep -q '"trust": true' "$HOME/.gemini/settings.json" || exit 5; fi
`
			if err := p.with(t, name, "--model opus", script); err != nil {
				t.Fatal(err)
			}
			line := strings.Join(p.box.spec.Argv[1:], " ")
			for _, w := range want {
				if !strings.Contains(line, w) {
					t.Errorf("%q lacks %q", line, w)
				}
			}
			if name == "claude" && strings.LastIndex(line, "--max-budget-usd 0.8000") < strings.Index(line, "--model opus") {
				t.Errorf("%q: the last budget is not ours", line)
			}
			if p.asked[0].Worst != (research.Charge{USD: 1, Tokens: 5000}) || p.asked[0].Model != "command:"+name {
				t.Errorf("set aside: %+v", p.asked[0])
			}
		})
	}
}

func TestAnAgentGetsItsOwnCredentialAlone(t *testing.T) {
	home := t.TempDir()
	for file, text := range map[string]string{
		".claude/.credentials.json": `{"claudeAiOauth":{"accessToken":"token-of-claude-0123456789"}}`,
		".claude/history.jsonl":     "what was said before",
		".codex/auth.json":          `{"OPENAI_API_KEY":"token-of-codex-0123456789"}`,
	} {
		path := filepath.Join(home, file)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	p := &play{options: command.Options{
		Home: home, Getenv: func(name string) string { return "value-of-" + name }, Pass: []string{"EXTRA"}, Hosts: []string{"extra.example.com"},
	}}
	if err := p.with(t, "claude", "", `env; find "$HOME" -type f; cat "$HOME/.claude/.credentials.json"`); err != nil {
		t.Fatal(err)
	}
	env := strings.Join(p.box.spec.Env, "\n")
	if !strings.Contains(env, "ANTHROPIC_API_KEY=value-of-ANTHROPIC_API_KEY") || strings.Contains(env, "OPENAI") {
		t.Errorf("the environment is\n%s", env)
	}
	if hosts := p.box.spec.Hosts; !slices.Contains(hosts, "extra.example.com") || !slices.Contains(hosts, "api.anthropic.com") {
		t.Errorf("it may reach %q", hosts)
	}
	said := p.transcript.String()
	for _, wanted := range []string{".claude/.credentials.json", "ANTHROPIC_API_KEY=[key removed]", "EXTRA=[key removed]", `accessToken\":\"[key removed]`} {
		if !strings.Contains(said, wanted) {
			t.Errorf("the agent does not say %q:\n%s", wanted, said)
		}
	}
	for _, unwanted := range []string{"value-of-", "token-of-", "history.jsonl", ".codex"} {
		if strings.Contains(said, unwanted) {
			t.Errorf("the agent says %q:\n%s", unwanted, said)
		}
	}
}

func TestWhatAnAgentReportsIsWhatItCosts(t *testing.T) {
	const claudeReply = `{"type":"assistant","message":{"id":"m1","usage":{"input_tokens":70,"output_tokens":9}}}`
	for name, x := range map[string]struct {
		agent, said string
		want        research.ModelAnswered
	}{
		"claude": {"claude", claudeReply + "\n" +
			`{"type":"result","subtype":"success","is_error":false,"total_cost_usd":0.25,"usage":{"input_tokens":3,"cache_creation_input_tokens":20,"cache_read_input_tokens":100,"output_tokens":7}}`,
			research.ModelAnswered{Usage: research.Usage{Input: 3, CacheRead: 100, CacheWrite: 20, Output: 7}, Charge: research.Charge{Tokens: 130, USD: 0.25}, Priced: true}},
		"claude without its last word": {"claude", claudeReply + "\n" + claudeReply,
			research.ModelAnswered{Usage: research.Usage{Input: 70, Output: 9}, Charge: research.Charge{Tokens: 500, USD: 1}, Estimated: true}},
		"codex": {"codex", `{"type":"turn.completed","usage":{"input_tokens":100,"cached_input_tokens":60,"output_tokens":5}}` + "\n" +
			`{"type":"turn.completed","usage":{"input_tokens":10,"cached_input_tokens":0,"output_tokens":1,"reasoning_output_tokens":1}}`,
			research.ModelAnswered{Usage: research.Usage{Input: 50, CacheRead: 60, Output: 6, Thinking: 1}, Charge: research.Charge{Tokens: 116}}},
		"gemini": {"gemini", `{"type":"result","status":"success","stats":{"total_tokens":30,"input_tokens":20,"output_tokens":6,"cached":15}}`,
			research.ModelAnswered{Usage: research.Usage{Input: 5, CacheRead: 15, Output: 10, Thinking: 4}, Charge: research.Charge{Tokens: 30}}},
		"silent": {"other", "hello", research.ModelAnswered{Charge: research.Charge{Tokens: 500, USD: 1}, Estimated: true}},
		"claude beyond what was set aside": {"claude",
			`{"type":"result","subtype":"success","is_error":false,"total_cost_usd":7,"usage":{"input_tokens":900,"output_tokens":7}}`,
			research.ModelAnswered{Usage: research.Usage{Input: 900, Output: 7}, Charge: research.Charge{Tokens: 907, USD: 7}, Priced: true}},
	} {
		t.Run(name, func(t *testing.T) {
			p := &play{caps: research.Caps{USD: 1, Tokens: 500}}
			if err := p.with(t, x.agent, "", "cat <<'END'\n"+x.said+"\nEND\n"); err != nil {
				t.Fatal(err)
			}
			got := p.settled[0]
			x.want.Session, x.want.Call, x.want.Wall = got.Session, got.Call, got.Wall
			if got != x.want {
				t.Errorf("settled\n%+v, not\n%+v", got, x.want)
			}
		})
	}
}

func TestAnAgentsEndIsUnderstood(t *testing.T) {
	for name, x := range map[string]struct {
		agent, script string
		class         session.Class // of a failure
		is            error
		text          string
	}{
		"it submits nothing":          {agent: "claude", script: "exit 0"},
		"not logged in":               {agent: "claude", script: `echo '{"type":"result","subtype":"success","is_error":true,"result":"Invalid API key · Please run /login","total_cost_usd":0}'; exit 1`, class: session.Misconfigured},
		"401":                         {agent: "codex", script: `echo '{"type":"turn.failed","error":{"message":"unexpected status 401 Unauthorized: no"}}'; exit 1`, class: session.Misconfigured},
		"gemini's own status":         {agent: "gemini", script: "exit 41", class: session.Misconfigured},
		"no credit":                   {agent: "claude", script: "echo 'Credit balance is too low' >&2; exit 1", class: session.Misconfigured},
		"overloaded":                  {agent: "claude", script: `echo '{"type":"result","is_error":true,"result":"API Error: 529 Overloaded"}'; exit 1`, class: session.Unavailable},
		"its own cap":                 {agent: "claude", script: `echo '{"type":"result","subtype":"error_max_budget_usd","is_error":true,"total_cost_usd":0.9}'; exit 1`, is: session.ErrCapped},
		"too many tokens":             {agent: "claude", script: `echo '{"type":"assistant","message":{"id":"a","usage":{"input_tokens":1001}}}'; exec sleep 100`, is: session.ErrCapped},
		"tokens for no further reply": {agent: "claude", script: `echo '{"type":"assistant","message":{"id":"a","usage":{"input_tokens":501}}}'; exec sleep 100`, is: session.ErrCapped},
		"a crash":                     {agent: "other", script: "echo one; echo 'segmentation fault' >&2; exit 3", text: "exit status 3: segmentation fault"},
		"a score is no status":        {agent: "other", script: "echo 'score 0.401 at step 429'; exit 1", text: "exit status 1: score 0.401"},
	} {
		t.Run(name, func(t *testing.T) {
			p := &play{caps: research.Caps{Tokens: 1000}}
			err := p.with(t, x.agent, "", x.script)
			var failure *session.Failure
			failed := errors.As(err, &failure)
			switch {
			case x.class != "":
				if !failed || failure.Class != x.class || x.class == session.Misconfigured && failure.Hint == "" {
					t.Errorf("it ended with %#v (%v)", failure, err)
				}
			case x.is != nil:
				if !errors.Is(err, x.is) {
					t.Errorf("it ended with %v", err)
				}
			case x.text != "":
				if failed || err == nil || !strings.Contains(err.Error(), x.text) {
					t.Errorf("it ended with %v", err)
				}
			case err != nil:
				t.Errorf("it ended with %v", err)
			}
			if len(p.settled) != 1 {
				t.Errorf("settled: %+v", p.settled)
			}
		})
	}
}

func TestAProgramThatIsNotThereIsTheOperatorsToMend(t *testing.T) {
	p, err := command.New(command.Options{Line: "no-such-agent -p", Box: &plain{}})
	if err != nil {
		t.Fatal(err)
	}
	var failure *session.Failure
	if err := p.Propose(t.Context(), nil); !errors.As(err, &failure) || failure.Class != session.Misconfigured || !strings.Contains(failure.Hint, "no-such-agent") {
		t.Errorf("it ended with %v", err)
	}
}

func TestOnlyClaudeReportsItsTokensInTime(t *testing.T) {
	for line, want := range map[string]bool{"claude": true, "codex": false, "gemini": false, "./agent.sh": false} {
		p, err := command.New(command.Options{Line: line, Box: &plain{}})
		if err != nil || p.CanCapTokens() != want {
			t.Errorf("%s: %v, %v", line, p.CanCapTokens(), err)
		}
	}
}

func TestOnlyClaudeKeepsToDollarsItself(t *testing.T) {
	for line, want := range map[string]bool{"claude": true, "/usr/bin/claude -p": true, "codex": false, "gemini": false, "./agent.sh": false} {
		p, err := command.New(command.Options{Line: line, Box: &plain{}})
		if err != nil || p.CanCap() != want {
			t.Errorf("%s: %v, %v", line, p.CanCap(), err)
		}
	}
}

func TestABudgetThatIsSpentStartsNoAgent(t *testing.T) {
	p := &play{caps: research.Caps{USD: 1}}
	p.run.Budget = research.Charge{USD: 0.5}
	if err := p.with(t, "claude", "", "exit 0"); !errors.Is(err, session.ErrNoBudget) {
		t.Errorf("it ended with %v", err)
	}
	if p.box.spec.Argv != nil {
		t.Error("the agent was started")
	}
}

func TestACommandLineIsSplitAsAShellWould(t *testing.T) {
	for line, want := range map[string][]string{
		`a b  c`:                {"b", "c"},
		`a 'b c' "d 'e"`:        {"b c", "d 'e"},
		`a "" b\ c`:             {"", "b c"},
		`a "say \"x\" \n" \"`:   {`say "x" \n`, `"`},
		`a $HOME *.py '$x' | ;`: {"$HOME", "*.py", "$x", "|", ";"},
	} {
		p := &play{}
		program, rest, _ := strings.Cut(line, " ")
		if err := p.with(t, program, rest, "exit 0"); err != nil {
			t.Fatal(err)
		}
		if got := p.box.spec.Argv[1:]; !slices.Equal(got, want) {
			t.Errorf("%s: %q, not %q", line, got, want)
		}
	}
	for _, line := range []string{"", "  ", "a 'b", `a "b`, `a \`, "''"} {
		if _, err := command.New(command.Options{Line: line, Box: &plain{}}); err == nil {
			t.Errorf("%q is accepted", line)
		}
	}
}

func TestTheTranscriptIsOneObjectALine(t *testing.T) {
	p := &play{}
	if err := p.with(t, "other", "", `printf 'a\r\n\nlast without an end \377'`); err != nil {
		t.Fatal(err)
	}
	var texts []string
	for line := range strings.Lines(p.transcript.String()) {
		var e session.Entry
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		texts = append(texts, e.Text)
	}
	if want := []string{"a", "last without an end \uFFFD"}; !slices.Equal(texts, want) {
		t.Errorf("it holds %q", texts)
	}
}
