package outlet_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"mendel/internal/propose/outlet"
	"mendel/internal/propose/tool"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// toolset stands in for a session.
type toolset struct {
	call func(ctx context.Context, name string, args json.RawMessage) (tool.Answer, error)
}

func (toolset) Tools() []tool.Definition {
	return []tool.Definition{{Name: "echo", Description: "says it again", Schema: json.RawMessage(`{"type":"object"}`)}}
}

func (s toolset) Call(ctx context.Context, name string, args json.RawMessage) (tool.Answer, error) {
	return s.call(ctx, name, args)
}

func open(t *testing.T, dir string, s outlet.Toolset) (*outlet.Server, *outlet.Client) {
	t.Helper()
	path := filepath.Join(dir, "session.sock")
	server, err := outlet.Serve(path, s)
	if err != nil {
		t.Fatal(err)
	}
	client, err := outlet.Dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return server, client
}

func TestAnAnswerArrivesAsItWasGiven(t *testing.T) {
	long := filepath.Join(t.TempDir(), strings.Repeat("long/", 40))
	if err := os.MkdirAll(long, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, dir := range map[string]string{"short path": shortDir(t), "long path": long} {
		t.Run(name, func(t *testing.T) {
			server, client := open(t, dir, toolset{func(_ context.Context, name string, args json.RawMessage) (tool.Answer, error) {
				return tool.Answer{Text: name + " " + string(args), Data: map[string]int{"n": 3}, IsError: true}, nil
			}})
			if got := client.Tools(); len(got) != 1 || got[0].Name != "echo" || string(got[0].Schema) != `{"type":"object"}` {
				t.Errorf("tools are %+v", got)
			}
			a, err := client.Call(t.Context(), "echo", json.RawMessage(`{"a":"ü"}`))
			if err != nil || a.Text != `echo {"a":"ü"}` || !a.IsError || string(a.Data.(json.RawMessage)) != `{"n":3}` {
				t.Errorf("answer is %+v, %v", a, err)
			}
			info, err := os.Stat(filepath.Join(dir, "session.sock"))
			if err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("the socket is open to others: %v, %v", info, err)
			}
			if err := server.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestACallAfterTheEndSaysSo(t *testing.T) {
	begun := make(chan struct{})
	server, client := open(t, shortDir(t), toolset{func(ctx context.Context, name string, _ json.RawMessage) (tool.Answer, error) {
		if name == "broken" {
			return tool.Answer{}, errors.New("journal: disk full")
		}
		close(begun)
		<-ctx.Done()
		return tool.Answer{}, ctx.Err()
	}})
	if _, err := client.Call(t.Context(), "broken", nil); err == nil || err.Error() != "journal: disk full" {
		t.Errorf("a session's failure arrives as %v", err)
	}
	waiting := make(chan error)
	go func() {
		_, err := client.Call(t.Context(), "wait", nil)
		waiting <- err
	}()
	<-begun
	if err := server.Close(); err != nil {
		t.Error(err)
	}
	if err := <-waiting; !errors.Is(err, outlet.ErrEnded) {
		t.Errorf("a call that was running got %v", err)
	}
	if _, err := client.Call(t.Context(), "wait", nil); !errors.Is(err, outlet.ErrEnded) {
		t.Errorf("a later call got %v", err)
	}
}

func TestArgumentsThatAreNotJSONAreAnswered(t *testing.T) {
	server, client := open(t, shortDir(t), toolset{})
	defer server.Close()
	if a, err := client.Call(t.Context(), "echo", json.RawMessage(`{"a"`)); err != nil || !a.IsError {
		t.Errorf("got %+v, %v", a, err)
	}
}

// shortDir is a directory whose sockets fit an address.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "out")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
