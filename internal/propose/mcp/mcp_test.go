package mcp_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"mendel/internal/propose/mcp"
	"mendel/internal/propose/outlet"
	"mendel/internal/propose/session/sessiontest"
	"mendel/internal/propose/tool"
	"mendel/internal/propose/workspace"
	"mendel/internal/research"
)

// The test binary stands in for `mendel mcp`.
func TestMain(m *testing.M) {
	if socket := os.Getenv("TEST_MCP_SOCKET"); socket != "" {
		client, err := outlet.Dial(context.Background(), socket)
		if err == nil {
			err = mcp.Serve(context.Background(), client, os.Stdin, os.Stdout, mcp.Options{AwaitAtMost: 2 * time.Second, ProgressEvery: time.Millisecond})
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// connect drives a server in a process of its own with the SDK's client.
func connect(t *testing.T, s outlet.Toolset, o *sdk.ClientOptions) *sdk.ClientSession {
	t.Helper()
	path := filepath.Join(t.TempDir(), "session.sock")
	server, err := outlet.Serve(path, s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = []string{"TEST_MCP_SOCKET=" + path}
	cmd.Stderr = os.Stderr
	client, err := sdk.NewClient(&sdk.Implementation{Name: "test"}, o).Connect(t.Context(), &sdk.CommandTransport{Command: cmd}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

func call(t *testing.T, c *sdk.ClientSession, name string, args any) (string, *sdk.CallToolResult) {
	t.Helper()
	r, err := c.CallTool(t.Context(), &sdk.CallToolParams{Name: name, Arguments: args})
	if err != nil {
		t.Fatal(err)
	}
	return r.Content[0].(*sdk.TextContent).Text, r
}

func TestAClientPlaysASession(t *testing.T) {
	run := &sessiontest.Run{
		Task: research.TaskCard{Name: "toy", Score: research.ScoreRule{Direction: research.Minimize}, Keep: research.KeepRule{Rule: research.Strict}},
		Measure: func(tree workspace.Tree) research.Measurement {
			f, _ := tree.Get("train.py")
			score := float64(len(f.Data))
			return research.Measurement{Outcome: research.Valid, Score: &score}
		},
	}
	run.Start(workspace.Tree{{Path: "train.py", Mode: 0o644, Data: []byte("width = 1000\n")}})
	role := research.Role{ID: "arch"}
	session := run.Open(t, run.Brief(role, 1, 1), func(string) bool { return true })
	c := connect(t, session, nil)

	if got := c.InitializeResult().Instructions; !strings.Contains(got, "submit_trial") {
		t.Errorf("instructions are %q", got)
	}
	list, err := c.ListTools(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(list.Tools) != len(session.Tools()) {
		t.Errorf("%d tools of %d are offered", len(list.Tools), len(session.Tools()))
	}
	i := slices.IndexFunc(list.Tools, func(t *sdk.Tool) bool { return t.Name == "submit_trial" })
	schema, _ := json.Marshal(list.Tools[i].InputSchema)
	if !strings.Contains(string(schema), `"hypothesis"`) || list.Tools[i].Annotations.ReadOnlyHint {
		t.Errorf("submit_trial is offered as %s, %+v", schema, list.Tools[i].Annotations)
	}

	if text, r := call(t, c, "edit_file", map[string]any{"path": "train.py", "old": "x"}); !r.IsError {
		t.Errorf("a call that makes no sense is answered %q", text)
	}
	if text, r := call(t, c, "edit_file", map[string]any{"path": "train.py", "old": "1000", "new": "10"}); r.IsError {
		t.Fatal(text)
	}
	_, r := call(t, c, "submit_trial", map[string]any{"hypothesis": "narrower", "expected_delta": -2, "key": "a"})
	if data, _ := json.Marshal(r.StructuredContent); string(data) != `{"trial":1}` {
		t.Fatalf("submit_trial answers %s, %+v", data, r.Content[0])
	}
	if text, r := call(t, c, "await_trial", map[string]any{"trial": "1"}); r.IsError || !strings.Contains(text, "keep") {
		t.Errorf("the verdict is %q", text)
	}
	if n := session.Submitted(); n != 1 {
		t.Errorf("%d trials were submitted", n)
	}
}

// stub waits as a session does whose trial is never judged.
type stub struct{ seconds atomic.Int64 }

func (*stub) Tools() []tool.Definition {
	return []tool.Definition{{Name: "await_trial", Schema: json.RawMessage(`{"type":"object"}`)}}
}

func (s *stub) Call(ctx context.Context, _ string, args json.RawMessage) (tool.Answer, error) {
	var a struct{ Seconds int64 }
	_ = json.Unmarshal(args, &a)
	s.seconds.Store(a.Seconds)
	select {
	case <-ctx.Done():
		return tool.Answer{}, ctx.Err()
	case <-time.After(100 * time.Millisecond):
		return tool.Answer{Text: "Trial 001 is still being measured. Call await_trial again.", Data: []int{1}}, nil
	}
}

func TestAWaitStaysBelowTheClientsTimeOut(t *testing.T) {
	s := &stub{}
	progress := make(chan *sdk.ProgressNotificationParams, 1000)
	c := connect(t, s, &sdk.ClientOptions{ProgressNotificationHandler: func(_ context.Context, r *sdk.ProgressNotificationClientRequest) {
		progress <- r.Params
	}})
	for _, x := range []struct {
		asked string
		want  int64
	}{{`{}`, 2}, {`{"seconds":0}`, 2}, {`{"seconds":1}`, 1}, {`{"seconds":1000}`, 2}, {`{"seconds":-1}`, -1}} {
		if _, r := call(t, c, "await_trial", json.RawMessage(x.asked)); r.StructuredContent != nil {
			t.Errorf("a list arrives as structured content: %v", r.StructuredContent)
		}
		if got := s.seconds.Load(); got != x.want {
			t.Errorf("%s waits %d s, not %d", x.asked, got, x.want)
		}
	}
	if len(progress) > 0 {
		t.Error("progress is reported to a client that did not ask for it")
	}
	p := &sdk.CallToolParams{Name: "await_trial", Arguments: map[string]any{}}
	p.SetProgressToken("t")
	if _, err := c.CallTool(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if got := <-progress; got.ProgressToken != "t" || got.Progress < 1 {
		t.Errorf("progress is %+v", got)
	}
}

func TestAfterTheSessionsEndCallsSaySo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.sock")
	server, err := outlet.Serve(path, &stub{})
	if err != nil {
		t.Fatal(err)
	}
	client, err := outlet.Dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	server.Close()
	c := connect(t, client, nil)
	if text, r := call(t, c, "await_trial", map[string]any{}); !r.IsError || text != outlet.ErrEnded.Error() {
		t.Errorf("the answer is %q", text)
	}
}
