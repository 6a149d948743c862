package main

import (
	"os"
	"slices"
	"strings"
	"testing"

	"mendel/internal/propose/provider/command"
	"mendel/internal/research"
)

// TestARunsCapBindsAgents: what a session may cost is set aside before its agent starts, so a cap
// of the run needs one of the session, and an agent that keeps to it.
func TestARunsCapBindsAgents(t *testing.T) {
	for name, x := range map[string]struct {
		line    string
		budgets research.Budgets
		caps    research.Caps
		fault   string // "" where it is accepted
		hint    string
	}{
		"no cap":                       {line: "codex exec"},
		"trials alone":                 {line: "./agent", budgets: research.Budgets{Trials: 3}},
		"dollars without a session's":  {line: "claude -p", budgets: research.Budgets{USD: 5}, fault: "does not bind", hint: "--session-usd"},
		"dollars with a session's":     {line: "claude -p", budgets: research.Budgets{USD: 5}, caps: research.Caps{USD: 1}},
		"a session above the run":      {line: "claude -p", budgets: research.Budgets{USD: 5}, caps: research.Caps{USD: 6}, fault: "$6 of one session are more than the $5", hint: "--session-usd"},
		"dollars that it cannot keep":  {line: "codex exec", budgets: research.Budgets{USD: 5}, caps: research.Caps{USD: 1}, fault: "cannot keep to a number of dollars", hint: "claude"},
		"tokens without a session's":   {line: "claude -p", budgets: research.Budgets{Tokens: 5000}, fault: "does not bind", hint: "session: {tokens:"},
		"tokens with a session's":      {line: "claude -p", budgets: research.Budgets{Tokens: 5000}, caps: research.Caps{Tokens: 500}},
		"more tokens than the run has": {line: "claude -p", budgets: research.Budgets{Tokens: 5000}, caps: research.Caps{Tokens: 6000}, fault: "6000 tokens of one session", hint: "session: {tokens:"},
		"tokens that it does not tell": {line: "gemini", budgets: research.Budgets{Tokens: 5000}, caps: research.Caps{Tokens: 500}, fault: "only at its end", hint: "claude"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := command.New(command.Options{Line: x.line})
			if err != nil {
				t.Fatal(err)
			}
			err = hiring{budgets: x.budgets, caps: x.caps}.affordable(p)
			if (err != nil) != (x.fault != "") || err != nil && (!strings.Contains(err.Error(), x.fault) || !strings.Contains(research.Hint(err), x.hint)) {
				t.Errorf("%v (%s)", err, research.Hint(err))
			}
		})
	}
}

// TestEveryKeyIsTaken: those of models, of agents, and those that a configuration names.
func TestEveryKeyIsTaken(t *testing.T) {
	names := []string{
		"ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY", "GOOGLE_API_KEY",
		"CLAUDE_CODE_OAUTH_TOKEN", "CODEX_API_KEY", "OWN_KEY", "FOR_AGENT",
	}
	for _, name := range append(slices.Clone(names), "OTHER") {
		t.Setenv(name, "value of "+name)
	}
	taken := takeKeys([]research.Agent{
		{Name: "a", Proposer: "openai:x", Options: &research.ProposerOptions{KeyEnv: "OWN_KEY"}},
		{Name: "b", Proposer: "command:agent", Options: &research.ProposerOptions{PassEnv: []string{"FOR_AGENT"}}},
		{Name: "c", Proposer: "mutate"},
	})
	for _, name := range names {
		if os.Getenv(name) != "" || taken.getenv(name) != "value of "+name {
			t.Errorf("%s is %q in the environment, and taken as %q", name, os.Getenv(name), taken.getenv(name))
		}
	}
	if os.Getenv("OTHER") == "" || taken.getenv("OTHER") != "value of OTHER" {
		t.Error("what is no key is gone")
	}
}
