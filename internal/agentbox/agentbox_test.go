package agentbox_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"mendel/internal/agentbox"
	"mendel/internal/measure/sandbox"
	"mendel/internal/propose/provider/command"
	"mendel/internal/propose/session"
	"mendel/internal/propose/session/sessiontest"
	"mendel/internal/propose/workspace"
	"mendel/internal/research"
)

var probed = sync.OnceValue(func() *sandbox.Host { return sandbox.Probe(context.Background()) })

// A stage is one session with its run directory, and what is written about it.
type stage struct {
	run        *sessiontest.Run
	session    *session.Session
	dir        string // of the run
	work       string // the workspace
	transcript *bytes.Buffer
	log        *bytes.Buffer
	options    agentbox.Options
	command    command.Options
	workspace  *workspace.Workspace
}

func newStage(t *testing.T, confined bool) *stage {
	t.Helper()
	host := probed()
	if confined && host.Level != sandbox.Isolated {
		t.Skip("bubblewrap does not work here")
	}
	if !confined {
		host = host.Limit(sandbox.None)
	}
	s := &stage{dir: t.TempDir(), transcript: &bytes.Buffer{}, log: &bytes.Buffer{}}
	s.run = &sessiontest.Run{
		Task: research.TaskCard{
			Name: "toy", Score: research.ScoreRule{Direction: research.Minimize}, Keep: research.KeepRule{Rule: research.Strict},
			Checks: []research.CheckCard{{Name: "syntax"}},
		},
		Arm: research.Arm{Agents: research.Specialists, Lineage: true},
		Measure: func(tree workspace.Tree) research.Measurement {
			f, _ := tree.Get("train.py")
			score := float64(len(f.Data))
			return research.Measurement{Outcome: research.Valid, Score: &score}
		},
	}
	tree := workspace.Tree{{Path: "train.py", Mode: 0o644, Data: []byte("width = 1000\n")}}
	s.run.Start(tree)
	s.work = filepath.Join(s.dir, "workspaces", "1")
	w, err := workspace.New(s.work, tree)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	s.workspace = w
	s.open(research.Caps{})
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s.options = agentbox.Options{Host: host, Self: self, Log: slog.New(slog.NewTextHandler(s.log, nil))}
	s.command = command.Options{Self: self, Dir: t.TempDir(), Getenv: func(string) string { return "" }}
	return s
}

// open opens the session anew, with these caps.
func (s *stage) open(caps research.Caps) {
	s.session = session.New(session.Options{
		Brief: s.run.Brief(research.Role{ID: "arch"}, 1, 1), Desk: s.run, Workspace: s.workspace, Caps: caps,
		MayEdit: func(string) bool { return true }, Now: time.Now, Transcript: s.transcript,
	})
}

// play lets an agent play the session.
func (s *stage) play(t *testing.T, ctx context.Context, line string) error {
	t.Helper()
	s.command.Line = line
	s.command.Box = agentbox.New(s.options)
	p, err := command.New(s.command)
	if err != nil {
		t.Fatal(err)
	}
	err = p.Propose(ctx, s.session)
	if left, _ := os.ReadDir(s.command.Dir); len(left) > 0 {
		t.Errorf("the agent's home is still there: %v", left)
	}
	asked, settled := s.run.ModelCalls()
	if len(asked) != len(settled) {
		t.Errorf("%d agents were paid for and %d settled", len(asked), len(settled))
	}
	return err
}

// said is what the agent printed, line by line.
func (s *stage) said(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for d := json.NewDecoder(bytes.NewReader(s.transcript.Bytes())); d.More(); {
		var e session.Entry
		if err := d.Decode(&e); err != nil {
			t.Fatal(err)
		}
		if e.Kind == session.Output {
			fmt.Fprintln(&b, e.Text)
		}
	}
	return b.String()
}

func (s *stage) agent(part string) string { return "'" + s.options.Self + "' agent " + part }

func TestAnAgentPlaysASessionOverMCP(t *testing.T) {
	for name, confined := range map[string]bool{"in the sandbox": true, "unconfined": false} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, confined)
			s.options.Unconfined = !confined
			if err := s.play(t, t.Context(), s.agent("improve")); err != nil {
				t.Fatalf("%v\n%s", err, s.transcript)
			}
			if best := s.run.Incumbent(); best.ID != 1 || *best.Measurement.Score != 11 {
				t.Errorf("the incumbent is %+v", best)
			}
			if said := s.said(t); !strings.Contains(said, "submit_trial Submitted as trial 001") {
				t.Errorf("the transcript holds %q", said)
			}
		})
	}
}

func TestWithoutASandboxAnAgentIsNotStartedUnlessAllowed(t *testing.T) {
	s := newStage(t, false)
	err := s.play(t, t.Context(), s.agent("improve"))
	var failure *session.Failure
	if !errors.As(err, &failure) || failure.Class != session.Misconfigured || failure.Hint == "" {
		t.Errorf("it ended with %v", err)
	}
	if got := agentbox.New(s.options).Confinement(); got != agentbox.None {
		t.Errorf("confinement is %q", got)
	}
}

func TestAnAgentSeesNothingButItsOwn(t *testing.T) {
	s := newStage(t, true)
	outside, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer outside.Close()
	control, err := net.Listen("unix", filepath.Join(s.dir, "control.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer control.Close()
	home := t.TempDir()
	t.Setenv("MENDEL_TEST_SECRET", "sesame-sesame")
	for path, text := range map[string]string{
		filepath.Join(s.dir, "run.db"):                        "history",
		filepath.Join(s.dir, "workspaces", "2", "train.py"):   "another's",
		filepath.Join(home, ".ssh", "id_ed25519"):             "private",
		filepath.Join(home, ".claude", "history.jsonl"):       "conversations",
		filepath.Join(s.dir, "readable", "task", "labels"):    "labels",
		filepath.Join(s.dir, "readable", "tool", "readme.md"): "welcome",
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s.options.Readable = []string{filepath.Join(s.dir, "readable")}
	s.options.Hidden = []string{filepath.Join(s.dir, "readable", "task"), filepath.Join(s.dir, "run.db")}
	s.command.Home = home
	forbidden := []string{
		"read=" + filepath.Join(s.dir, "run.db"), "read=" + filepath.Join(s.dir, "workspaces", "2", "train.py"),
		"read=" + filepath.Join(s.dir, "readable", "task", "labels"), "read=" + filepath.Join(s.dir, "readable", "task"),
		"read=" + filepath.Join(home, ".ssh", "id_ed25519"), "read=" + filepath.Join(home, ".claude"),
		"read=" + home, "read=/root", "read=/home", "read=/etc/shadow", "read=/etc/hostname", "read=/proc/1/environ",
		"write=/usr/agent", "write=" + filepath.Join(s.dir, "readable", "new"), "write=" + s.options.Self,
		"dial=unix," + control.Addr().String(), "dial=tcp," + outside.Addr().String(), "dial=tcp,1.1.1.1:443",
	}
	allowed := []string{
		"read=" + filepath.Join(s.work, "train.py"), "read=" + filepath.Join(s.dir, "readable", "tool", "readme.md"),
		"write=" + filepath.Join(s.work, "note.txt"), "write=/tmp/scratch", "dial=tcp,127.0.0.1:3128",
	}
	if err := s.play(t, t.Context(), s.agent("spy '"+strings.Join(append(forbidden, allowed...), "' '")+"'")); err != nil {
		t.Fatalf("%v\n%s", err, s.transcript)
	}
	said := s.said(t)
	for _, f := range forbidden {
		if !strings.Contains(said, f+` -> ""`) {
			t.Errorf("the agent got through: %s", lineWith(said, f))
		}
	}
	for _, a := range allowed {
		if strings.Contains(said, a+` -> ""`) || !strings.Contains(said, a) {
			t.Errorf("the agent was kept from its own: %s", lineWith(said, a))
		}
	}
	for _, secret := range []string{"sesame-sesame", "private", "conversations", "labels\"", "another's"} {
		if strings.Contains(said, secret) {
			t.Errorf("the agent knows %q", secret)
		}
	}
}

func lineWith(text, part string) string {
	for line := range strings.Lines(text) {
		if strings.Contains(line, part) {
			return strings.TrimSpace(line)
		}
	}
	return part + ": nothing was said of it"
}

func TestTheProxyConnectsToItsListAlone(t *testing.T) {
	provider, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer provider.Close()
	go func() {
		for {
			conn, err := provider.Accept()
			if err != nil {
				return
			}
			line := make([]byte, 64)
			n, _ := conn.Read(line)
			fmt.Fprintf(conn, "provider heard %s", line[:n])
			conn.Close()
		}
	}()
	for _, x := range []struct{ address, resolves, want string }{
		{"api.example.com:443", "93.184.216.34", "200 provider heard hello"},
		{"API.example.com.:443", "93.184.216.34", "200 provider heard hello"},
		{"evil.example.com:443", "93.184.216.34", "403 evil.example.com is not on the list of hosts"},
		{"api.example.com:80", "93.184.216.34", "403 port 80 is closed: only 443 is open"},
		{"93.184.216.34:443", "93.184.216.34", "403 addresses are refused: name the host"},
		{"[::1]:443", "::1", "403 addresses are refused: name the host"},
		{"api.example.com:443", "127.0.0.1", "403 api.example.com leads to 127.0.0.1, which is not a public address"},
		{"api.example.com:443", "10.1.2.3", "403 api.example.com leads to 10.1.2.3, which is not a public address"},
		{"api.example.com:443", "169.254.169.254", "403 api.example.com leads to 169.254.169.254, which is not a public address"},
		{"api.example.com:443", "::ffff:192.168.0.1", "403 api.example.com leads to 192.168.0.1, which is not a public address"},
		{"api.example.com:443", "64:ff9b::7f00:1", "403 api.example.com leads to 64:ff9b::7f00:1, which is not a public address"},
	} {
		t.Run(x.address+" at "+x.resolves, func(t *testing.T) {
			s := newStage(t, true)
			s.command.Hosts = []string{"api.example.com"}
			s.options.Resolve = func(context.Context, string) ([]net.IP, error) { return []net.IP{net.ParseIP(x.resolves)}, nil }
			s.options.Dial = func(ctx context.Context, address string) (net.Conn, error) {
				if address != x.resolves+":443" {
					return nil, fmt.Errorf("the proxy goes to %s", address)
				}
				return (&net.Dialer{}).DialContext(ctx, "tcp", provider.Addr().String())
			}
			if err := s.play(t, t.Context(), s.agent("tunnel "+x.address+" hello")); err != nil {
				t.Fatalf("%v\n%s", err, s.transcript)
			}
			if got := strings.TrimSpace(s.said(t)); got != x.want {
				t.Errorf("the agent hears %q, not %q", got, x.want)
			}
			if refused := strings.Contains(s.log.String(), "connection refused"); refused != strings.HasPrefix(x.want, "403") {
				t.Errorf("the log says %q", s.log)
			}
		})
	}
}

func TestAnAgentsKeyIsStoredNowhere(t *testing.T) {
	const key = "sk-test-0123456789abcdef"
	s := newStage(t, true)
	s.command.Pass = []string{"AGENT_KEY"}
	s.command.Getenv = func(name string) string { return map[string]string{"AGENT_KEY": key}[name] }
	if err := s.play(t, t.Context(), s.agent("leak")); err != nil {
		t.Fatalf("%v\n%s", err, s.transcript)
	}
	if strings.Contains(s.transcript.String(), key) {
		t.Errorf("the transcript holds the key:\n%s", s.transcript)
	}
	if said := s.said(t); !strings.Contains(said, "my key is [key removed]") || !strings.Contains(said, "again: [key removed]") {
		t.Errorf("the agent had no key to leak: %s", said)
	}
	if n := s.session.Submitted(); n != 0 {
		t.Error("a file with the key was submitted")
	}
}

func TestAnAgentThatDoesNotEndIsEnded(t *testing.T) {
	for name, confined := range map[string]bool{"in the sandbox": true, "unconfined": false} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, confined)
			s.options.Unconfined = !confined
			s.open(research.Caps{Time: research.Duration(300 * time.Millisecond)})
			marker := "mendel-daemon-" + filepath.Base(filepath.Dir(s.dir)) + name[:2]
			script := filepath.Join(t.TempDir(), "agent")
			// A daemon in a session of its own, deaf to polite signals, and an agent that waits.
			text := "#!/bin/sh\ntrap '' TERM HUP INT\necho up\nsetsid sh -c \"trap '' TERM HUP; sleep 1000; : " + marker + "\" >/dev/null 2>&1 &\nsleep 1000\n"
			if err := os.WriteFile(script, []byte(text), 0o755); err != nil {
				t.Fatal(err)
			}
			err := s.play(t, t.Context(), script)
			if !errors.Is(err, session.ErrCapped) {
				t.Errorf("it ended with %v", err)
			}
			if pids := processesWith(marker); len(pids) > 0 {
				t.Errorf("left running: %v", pids)
			}
		})
	}
}

func TestAStoppedRunEndsTheAgent(t *testing.T) {
	s := newStage(t, true)
	ctx, cancel := context.WithCancel(t.Context())
	s.command.Pass = []string{"X"}
	time.AfterFunc(200*time.Millisecond, cancel)
	if err := s.play(t, ctx, "/bin/sh -c 'sleep 1000'"); !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
}

func TestALotOfOutputIsCut(t *testing.T) {
	s := newStage(t, true)
	if err := s.play(t, t.Context(), `/bin/sh -c 'head -c 300000 /dev/zero | tr "\0" x; echo; echo done'`); err != nil {
		t.Fatal(err)
	}
	said := s.said(t)
	if len(said) > 80_000 || !strings.Contains(said, "[cut]\ndone") {
		t.Errorf("%d bytes are kept, which end with %q", len(said), said[max(0, len(said)-40):])
	}
}

// processesWith lists the processes whose command line holds a text.
func processesWith(text string) (pids []string) {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range files {
		if data, err := os.ReadFile(f); err == nil && bytes.Contains(data, []byte(text)) {
			pids = append(pids, filepath.Base(filepath.Dir(f)))
		}
	}
	return pids
}
