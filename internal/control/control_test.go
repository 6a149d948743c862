package control

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mendel/internal/research"
)

type fake struct {
	stoppedBy string
}

func (f *fake) OpenSession(_ context.Context, role string) (Opened, error) {
	return Opened{Session: 3, Agent: research.Agent{Role: role}}, nil
}
func (f *fake) Session(_ context.Context, id research.SessionID) (Opened, error) {
	return Opened{Session: id}, nil
}
func (f *fake) CallTool(_ context.Context, id research.SessionID, name string, args json.RawMessage) (json.RawMessage, error) {
	return json.Marshal(map[string]any{"session": id, "name": name, "args": args})
}
func (f *fake) CloseSession(_ context.Context, id research.SessionID) (Closed, error) {
	if id != 3 {
		return Closed{}, errors.New("it is not open")
	}
	return Closed{Session: id, Trials: []research.TrialID{7}}, nil
}

func (f *fake) Live(context.Context) (Live, error) {
	return Live{Run: "r1", State: Searching, Slots: 2}, nil
}
func (f *fake) Stop(_ context.Context, by string) error {
	if by == "nobody" {
		return research.Hinted(errors.New("nobody may stop it"), "say who asks")
	}
	f.stoppedBy = by
	return nil
}

func TestAsk(t *testing.T) {
	for name, dir := range map[string]string{
		"short path":                     t.TempDir(),
		"longer than a socket's address": filepath.Join(t.TempDir(), strings.Repeat("long", 40)),
	} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if _, err := Dial(ctx, dir); !errors.Is(err, ErrNobody) {
				t.Fatalf("Dial before Serve: %v, want ErrNobody", err)
			}
			sup := &fake{}
			srv, err := Serve(dir, sup)
			if err != nil {
				t.Fatal(err)
			}
			if info, err := os.Stat(filepath.Join(dir, SocketName)); err != nil || info.Mode().Perm() != 0o600 {
				t.Fatalf("socket: %v, %v; want it to be its owner's alone", info, err)
			}
			c, err := Dial(ctx, dir)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			live, err := c.Live(ctx)
			if err != nil || live.Run != "r1" || live.State != Searching {
				t.Fatalf("Live: %+v, %v", live, err)
			}
			if err := c.Stop(ctx, "me"); err != nil || sup.stoppedBy != "me" {
				t.Fatalf("Stop: %v, stopped by %q", err, sup.stoppedBy)
			}
			if err := c.Stop(ctx, "nobody"); err == nil || research.Hint(err) != "say who asks" {
				t.Fatalf("a refusal lost its hint: %v", err)
			}
			if err := srv.Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := Dial(ctx, dir); !errors.Is(err, ErrNobody) {
				t.Fatalf("Dial after Close: %v, want ErrNobody", err)
			}
		})
	}
}

func TestServeReplacesALeftoverSocket(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, SocketName), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	srv, err := Serve(dir, &fake{})
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	c, err := Dial(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

func TestSessionsFromOutside(t *testing.T) {
	dir := t.TempDir()
	srv, err := Serve(dir, &fake{})
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	c, err := Dial(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if o, err := c.OpenSession(t.Context(), "arch"); err != nil || o.Session != 3 || o.Agent.Role != "arch" {
		t.Errorf("open: %+v, %v", o, err)
	}
	if o, err := c.Session(t.Context(), 4); err != nil || o.Session != 4 {
		t.Errorf("session: %+v, %v", o, err)
	}
	got, err := c.CallTool(t.Context(), 3, "read_file", json.RawMessage(`{"path":"a"}`))
	if want := `{"args":{"path":"a"},"name":"read_file","session":3}`; err != nil || string(got) != want {
		t.Errorf("call: %s, %v; want %s", got, err, want)
	}
	if closed, err := c.CloseSession(t.Context(), 3); err != nil || len(closed.Trials) != 1 || closed.Trials[0] != 7 {
		t.Errorf("close: %+v, %v", closed, err)
	}
	if _, err := c.CloseSession(t.Context(), 5); err == nil || !strings.Contains(err.Error(), "not open") {
		t.Errorf("close of another: %v", err)
	}
}
