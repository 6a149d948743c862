// Package command plays a session with an external coding agent: Claude Code, Codex, Gemini CLI,
// or any program that reads a prompt and speaks MCP.
//
// The agent gets the session's tools over a socket that serves nothing else, a home of its own
// that lives as long as the session, and its own credential. Keeping it inside that is the
// business of a [Box]. Start reading at [Proposer.Propose].
package command

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"

	"mendel/internal/propose/mcp"
	"mendel/internal/propose/outlet"
	"mendel/internal/propose/prompt"
	"mendel/internal/propose/session"
	"mendel/internal/research"
)

// Options are what an agent is made of.
type Options struct {
	Line string // the command line, split as a shell would; no shell runs it
	Self string // path of this program, which serves MCP inside the box: `SELF mcp --socket PATH`
	Box  Box
	Dir  string // where each session's directory is made; the system's temporary directory if empty

	Getenv func(string) string // of this process; nil means [os.Getenv]
	Home   string              // of the user, where agents keep credentials; empty means none are there
	// Pass names further environment variables that the agent gets. Their values are kept out
	// of every record, as keys are.
	Pass  []string
	Hosts []string     // that the agent may reach beside those of its provider
	Log   *slog.Logger // of what a user should know of a login; nil drops it
}

// A Proposer plays sessions with one agent. It implements [session.Proposer].
type Proposer struct {
	options Options
	argv    []string
	agent   agent
}

// New makes a proposer of a command line.
func New(o Options) (*Proposer, error) {
	argv, err := split(o.Line)
	if err != nil {
		return nil, err
	}
	if o.Getenv == nil {
		o.Getenv = os.Getenv
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Dir != "" {
		if o.Dir, err = filepath.Abs(o.Dir); err != nil {
			return nil, err
		}
	}
	return &Proposer{options: o, argv: argv, agent: agentOf(argv[0])}, nil
}

// CanCap reports whether the agent keeps to a number of dollars itself.
func (p *Proposer) CanCap() bool { return p.agent.caps }

// CanCapTokens reports whether the agent says as it goes how many tokens it has used, so that it
// can be ended in time.
func (p *Proposer) CanCapTokens() bool { return p.agent.counts }

// Confinement is how the agent is kept to its workspace and tools: "sandbox" or "none".
func (p *Proposer) Confinement() string { return p.options.Box.Confinement() }

// Propose runs the agent until it ends, its session is used up, or ctx ends. An agent that
// submits nothing is no error.
func (p *Proposer) Propose(ctx context.Context, s *session.Session) (err error) {
	program, err := p.find()
	if err != nil {
		return err
	}
	stay, err := p.settleIn(s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stay.leave()) }()

	worst := research.Charge{USD: s.Caps().USD, Tokens: s.Caps().Tokens}
	asked, err := s.Ask(ctx, "command:"+p.agent.name, worst)
	if err != nil {
		return err
	}
	meter := &meter{}
	run := &run{proposer: p, session: s, stay: stay, meter: meter, worst: worst}
	played := run.play(ctx, program)
	p.giveLoginBack(s, stay)
	settled := asked.Settle(ctx, meter.settlement(played))
	return errors.Join(played, settled)
}

// giveLoginBack keeps a login that the agent renewed. That it cannot be kept is for the user to
// know, and no fault of the session.
func (p *Proposer) giveLoginBack(s *session.Session, y *stay) {
	if y.secret.login == nil {
		return
	}
	if err := y.secret.login.giveBack(); err != nil {
		s.Note(session.Entry{Kind: session.Noted, Name: "login", Text: err.Error()})
		p.options.Log.Warn("agent: login not stored", "agent", p.agent.name, "file", "~/"+p.agent.file, "reason", err.Error())
	}
}

// find is the path of the agent's program.
func (p *Proposer) find() (string, error) {
	path, err := exec.LookPath(p.argv[0])
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err == nil {
		return path, nil
	}
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		err = errors.New("there is no such program")
	}
	return "", &session.Failure{
		Class: session.Misconfigured, Err: fmt.Errorf("agent %s: %w", p.argv[0], err),
		Hint: "install it, or name its path: --proposer 'command:/path/to/" + filepath.Base(p.argv[0]) + " …'",
	}
}

// A stay is what one session has on disk while its agent runs.
type stay struct {
	dir    string
	home   string
	socket string
	config string // of MCP
	prompt string // file
	outlet *outlet.Server
	guard  *guard
	secret *redactor
	keys   []string // NAME=value
}

// settleIn makes a fresh home and opens the session's socket.
func (p *Proposer) settleIn(s *session.Session) (_ *stay, err error) {
	dir, err := os.MkdirTemp(p.options.Dir, "mendel-agent-")
	if err != nil {
		return nil, fmt.Errorf("make the agent's home: %w", err)
	}
	y := &stay{
		dir: dir, home: filepath.Join(dir, "home"), socket: filepath.Join(dir, "session.sock"),
		config: filepath.Join(dir, "mcp.json"), prompt: filepath.Join(dir, "prompt.txt"), secret: &redactor{},
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, y.leave())
		}
	}()
	if err := os.MkdirAll(filepath.Join(y.home, "tmp"), 0o700); err != nil {
		return nil, fmt.Errorf("make the agent's home: %w", err)
	}
	if err := p.handKeys(y); err != nil {
		return nil, err
	}
	text := prompt.Render(s.Brief()).String() + "\n# How to act\n\n" + mcp.Instructions
	if err := os.WriteFile(y.prompt, []byte(text), 0o600); err != nil {
		return nil, fmt.Errorf("write the agent's prompt: %w", err)
	}
	server := mcpServer{Command: p.options.Self, Args: []string{"mcp", "--socket", y.socket}}
	if err := writeJSON(y.config, mcpConfig{Servers: map[string]mcpServer{serverName: server}}); err != nil {
		return nil, err
	}
	if p.agent.prepare != nil {
		if err := p.agent.prepare(y.home, server); err != nil {
			return nil, err
		}
	}
	y.guard = &guard{session: s, secret: y.secret, failed: make(chan struct{})}
	y.outlet, err = outlet.Serve(y.socket, y.guard)
	return y, err
}

// leave removes all of it.
func (y *stay) leave() error {
	var err error
	if y.outlet != nil {
		err = y.outlet.Close()
	}
	return errors.Join(err, os.RemoveAll(y.dir))
}
