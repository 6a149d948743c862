// Package mcp serves a session's tools in the Model Context Protocol, over a pair of streams,
// so that any coding agent can play the session.
//
// It adds nothing to what the tools do; it only keeps each wait for a verdict below the time
// after which clients give up, and reports progress meanwhile. Start reading at [Serve].
package mcp

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"mendel/internal/propose/tool"
)

// Instructions tell an agent how to work with the tools.
//
//go:embed instructions.md
var Instructions string

// AwaitAtMost bounds each wait for a verdict unless told otherwise: common clients give a tool 60 seconds.
const AwaitAtMost = 50 * time.Second

// A Toolset is what is served. A session is one.
type Toolset interface {
	Tools() []tool.Definition
	// Call runs a tool. What the caller did wrong is an answer; an error says that the session
	// can answer no more.
	Call(ctx context.Context, name string, args json.RawMessage) (tool.Answer, error)
}

// Options are how a session is served; the zero value of each field means its default.
type Options struct {
	Version       string        // of this program
	AwaitAtMost   time.Duration // at least a second; default [AwaitAtMost]
	ProgressEvery time.Duration // default 5 s
}

// Serve answers one client until it hangs up or ctx ends.
func Serve(ctx context.Context, t Toolset, in io.ReadCloser, out io.WriteCloser, o Options) error {
	if o.AwaitAtMost == 0 {
		o.AwaitAtMost = AwaitAtMost
	}
	if o.ProgressEvery == 0 {
		o.ProgressEvery = 5 * time.Second
	}
	server := mcp.NewServer(&mcp.Implementation{Name: "mendel", Version: o.Version}, &mcp.ServerOptions{
		Instructions: strings.TrimSpace(Instructions),
		Capabilities: &mcp.ServerCapabilities{Tools: &mcp.ToolCapabilities{}},
		PageSize:     1000, // some clients never ask for a second page
	})
	s := served{toolset: t, options: o}
	for _, d := range t.Tools() {
		server.AddTool(&mcp.Tool{
			Name: d.Name, Description: d.Description, InputSchema: d.Schema, Annotations: annotations(d.Name),
		}, s.call)
	}
	err := server.Run(ctx, &mcp.IOTransport{Reader: in, Writer: out})
	if ctx.Err() != nil || errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// annotations tell clients which tools change something: some ask a person before those.
func annotations(name string) *mcp.ToolAnnotations {
	no := false
	changes := slices.Contains([]string{"edit_file", "rebase_to", "submit_trial"}, name)
	return &mcp.ToolAnnotations{ReadOnlyHint: !changes, DestructiveHint: &no, OpenWorldHint: &no}
}

type served struct {
	toolset Toolset
	options Options
}

func (s served) call(ctx context.Context, r *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	args := r.Params.Arguments
	if r.Params.Name == "await_trial" {
		args = boundWait(args, s.options.AwaitAtMost)
		defer s.reportProgress(ctx, r)()
	}
	a, err := s.toolset.Call(ctx, r.Params.Name, args)
	if err != nil {
		a = tool.Answer{Text: err.Error(), IsError: true}
	}
	result := &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: a.Text}}, IsError: a.IsError}
	if data, err := json.Marshal(a.Data); err == nil && bytes.HasPrefix(data, []byte("{")) {
		result.StructuredContent = json.RawMessage(data)
	}
	return result, nil
}

// boundWait shortens the wait of an await_trial. Arguments that make no sense are left for the
// tool to answer.
func boundWait(args json.RawMessage, most time.Duration) json.RawMessage {
	given := map[string]any{}
	if len(args) > 0 && (json.Unmarshal(args, &given) != nil || given == nil) {
		return args
	}
	limit := most.Seconds()
	switch seconds := given["seconds"].(type) {
	case nil:
	case float64:
		if seconds != 0 && seconds <= limit {
			return args
		}
	default:
		return args
	}
	given["seconds"] = int(limit)
	bounded, err := json.Marshal(given)
	if err != nil {
		return args
	}
	return bounded
}

// reportProgress keeps a client that asked for it informed while a call waits, until stop is called.
func (s served) reportProgress(ctx context.Context, r *mcp.CallToolRequest) (stop func()) {
	token := r.Params.GetProgressToken()
	if token == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(s.options.ProgressEvery)
		defer tick.Stop()
		for n := 1; ; n++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			// Progress is a courtesy: a client that cannot take it still gets its answer.
			_ = r.Session.NotifyProgress(ctx, &mcp.ProgressNotificationParams{
				ProgressToken: token, Progress: float64(n), Message: "the trial is being measured",
			})
		}
	}()
	return func() {
		cancel()
		<-done
	}
}
