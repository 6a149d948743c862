package command

import (
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
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
	var why string
	switch {
	case g.secret.holds(args):
		why = "The call holds your API key. Leave it out: whatever a tool is told is stored."
	case name == "submit_trial" && g.keyInWorkspace():
		why = "A file of the workspace holds your API key. Take it out: whatever is submitted is stored."
	}
	if why != "" {
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

// keyInWorkspace looks for the key in the files that a submission would store.
func (g *guard) keyInWorkspace() bool {
	if len(g.secret.secrets) == 0 {
		return false
	}
	root, err := os.OpenRoot(g.session.WorkspaceDir())
	if err != nil {
		return false // the submission itself will say why
	}
	defer root.Close()
	found := false
	// What cannot be read here cannot be submitted.
	_ = fs.WalkDir(root.FS(), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil
		}
		if data, err := root.ReadFile(filepath.FromSlash(path)); err == nil && g.secret.holds(data) {
			found = true
			return fs.SkipAll
		}
		return nil
	})
	return found
}
