// Package agentbox keeps an external coding agent to its workspace, its home, its session's
// socket and its provider.
//
// The sandbox is that of trials, at its strongest level; what the agent may see is listed here,
// and its only way out is a proxy that connects to the hosts of an allow-list. Where the machine
// has no such sandbox, an agent runs unconfined if that was allowed, and is not started otherwise.
// Start reading at [Box.Start].
package agentbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"

	"mendel/internal/measure/sandbox"
	"mendel/internal/propose/provider/command"
	"mendel/internal/research"
)

// The kinds of confinement. Values are stored.
const (
	Sandbox = "sandbox"
	None    = "none"
)

// Options are what a box is made of.
type Options struct {
	Host *sandbox.Host
	Self string // path of this program, which must call [Inside] when its first word is [Verb]
	// Unconfined lets agents run without a sandbox where the machine has none.
	Unconfined bool
	// Readable are further host paths that every agent sees under their own names.
	Readable []string
	// Hidden are host paths that no agent sees, wherever they lie: runs, tasks and their data.
	Hidden []string
	Log    *slog.Logger // of refused connections; nil drops it
	// Resolve looks a host up; nil means the system's resolver.
	Resolve func(ctx context.Context, host string) ([]net.IP, error)
	// Dial connects to an address that was resolved and allowed; nil means the network.
	Dial func(ctx context.Context, address string) (net.Conn, error)
}

// A Box starts agents. It implements [command.Box].
type Box struct{ options Options }

// New makes a box.
func New(o Options) *Box {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Resolve == nil {
		o.Resolve = func(ctx context.Context, host string) ([]net.IP, error) {
			return net.DefaultResolver.LookupIP(ctx, "ip", host)
		}
	}
	if o.Dial == nil {
		o.Dial = func(ctx context.Context, address string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", address)
		}
	}
	return &Box{o}
}

// Confinement is [Sandbox] or [None].
func (b *Box) Confinement() string {
	if b.options.Host.Level == sandbox.Isolated {
		return Sandbox
	}
	return None
}

// What an agent's processes may use together.
const (
	maxDisk      = 4 << 30
	maxOutput    = 256 << 20
	maxScratch   = 1 << 30
	maxProcesses = 1024
	maxMemory    = 8 << 30
)

// Start starts an agent. Ending ctx kills its whole process tree.
func (b *Box) Start(ctx context.Context, s command.Spec) (command.Process, error) {
	if b.Confinement() == Sandbox {
		return b.confined(ctx, s)
	}
	if !b.options.Unconfined {
		return nil, research.Hinted(errors.New("this machine has no sandbox for an agent: bubblewrap does not work here"),
			"`mendel doctor` says how to get it; or allow the agent to run unconfined, which each of its trials then shows")
	}
	env := append([]string{"PATH=" + os.Getenv("PATH")}, s.Env...)
	return b.start(ctx, b.options.Host.Limit(sandbox.None), sandbox.Command{
		// The sandbox's helper is this program too, and becomes it again.
		Argv: []string{"/proc/self/exe", Verb}, Limits: sandbox.Limits{Output: maxOutput},
	}, s, errand{Argv: s.Argv, Env: env, Dir: s.Workspace}, nil)
}

func (b *Box) confined(ctx context.Context, s command.Spec) (_ command.Process, err error) {
	dir, err := os.MkdirTemp("", "mendel-box-")
	if err != nil {
		return nil, fmt.Errorf("make the agent's box: %w", err)
	}
	var gate *proxy
	leave := func() error {
		var closed error
		if gate != nil {
			closed = gate.Close()
		}
		return errors.Join(closed, os.RemoveAll(dir))
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, leave())
		}
	}()
	mounts, path, err := b.see(s, dir)
	if err != nil {
		return nil, err
	}
	socket := filepath.Join(dir, "proxy.sock")
	if gate, err = b.openProxy(socket, s.Hosts); err != nil {
		return nil, err
	}
	mounts = append(mounts, same(socket))
	env := append([]string{"PATH=" + path}, s.Env...)
	return b.start(ctx, b.options.Host, sandbox.Command{
		Argv: []string{b.options.Self, Verb}, Mounts: mounts,
		Limits: sandbox.Limits{
			Disk: maxDisk, Output: maxOutput, Scratch: maxScratch, Processes: maxProcesses, Memory: maxMemory,
		},
	}, s, errand{Argv: s.Argv, Env: append(env, proxyEnvironment()...), Dir: s.Workspace, Proxy: socket}, leave)
}

// start runs [Inside] with its files; leave is called at its end.
func (b *Box) start(ctx context.Context, h *sandbox.Host, c sandbox.Command, s command.Spec, e errand, leave func() error) (command.Process, error) {
	told, err := e.file()
	if err != nil {
		return nil, err
	}
	defer told.Close()
	c.Files, c.Stdout, c.Stderr = []*os.File{s.Stdin, told}, s.Stdout, s.Stderr
	p, err := h.Start(ctx, c)
	if err != nil {
		return nil, err
	}
	return &process{p, leave}, nil
}

type process struct {
	sandboxed *sandbox.Process
	leave     func() error
}

// Wait returns once nothing of the agent's process tree is left.
func (p *process) Wait() command.Exit {
	e := p.sandboxed.Wait()
	exit := command.Exit{Code: e.Code, Err: e.Err}
	if e.Overflow != "" || e.OOM || e.Signal != "" {
		exit.Err = errors.Join(exit.Err, errors.New(e.String()))
	}
	if p.leave != nil {
		exit.Err = errors.Join(exit.Err, p.leave())
	}
	return exit
}

func same(path string) sandbox.Mount { return sandbox.Mount{Host: path, Guest: path} }

// below reports whether path is dir or lies below it.
func below(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}
