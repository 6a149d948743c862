package command

import (
	"context"
	"encoding/json"
	"sync"

	"mendel/internal/propose/session"
	"mendel/internal/propose/tool"
)

// A guard stands between an agent and its session: it keeps the agent's key out of what the
// session records, and remembers what ended the session.
type guard struct {
	session *session.Session
	secret  *redactor

	once   sync.Once
	err    error
	failed chan struct{} // closed once err is set
}

// Tools lists what can be called.
func (g *guard) Tools() []tool.Definition { return g.session.Tools() }

// Call hands a call on, unless it would give the key away.
func (g *guard) Call(ctx context.Context, name string, args json.RawMessage) (tool.Answer, error) {
	if why := g.betrays(name, args); why != "" {
		g.session.Note(session.Entry{Kind: session.Noted, Name: name, Text: "refused: " + why})
		return tool.Answer{Text: why, IsError: true}, nil
	}
	a, err := g.session.Call(ctx, name, args)
	if err != nil && ctx.Err() == nil {
		g.once.Do(func() {
			g.err = err
			close(g.failed)
		})
	}
	return a, err
}

// betrays says how a call would store the key, or "".
func (g *guard) betrays(name string, args json.RawMessage) string {
	if g.secret.holdsInside(args) {
		return "The call holds your API key. Leave it out: whatever a tool is told is stored."
	}
	if name != "submit_trial" || len(g.secret.now()) == 0 {
		return ""
	}
	found, err := keyIn(g.session.WorkspaceDir(), g.secret)
	switch {
	case found:
		return "A file of the workspace holds your API key. Take it out: whatever is submitted is stored."
	case err != nil:
		return "The workspace holds too much to be searched for your API key. Remove what is no part of the recipe, then submit again."
	}
	return ""
}
