// Package outlet serves the tools of one session, and nothing else, over a unix socket, so that
// an agent in another process can play the session.
//
// It speaks HTTP with JSON bodies: GET /v1/tools lists the tools, POST /v1/call runs one. It
// knows no agent and no confinement. Start reading at [Serve] and [Dial].
package outlet

import (
	"context"
	"encoding/json"
	"errors"

	"mendel/internal/propose/tool"
)

// A Toolset is what an outlet offers. A session is one; so is the [Client] at the other end.
type Toolset interface {
	Tools() []tool.Definition
	// Call runs a tool. What the caller did wrong is an answer; an error says that the session
	// can answer no more.
	Call(ctx context.Context, name string, args json.RawMessage) (tool.Answer, error)
}

// ErrEnded is what a client gets once nobody answers for the session any more.
var ErrEnded = errors.New("this session has ended: its tools answer no more")

const (
	toolsPath = "/v1/tools"
	callPath  = "/v1/call"
	// maxCall bounds a request: the arguments of one tool.
	maxCall = 4 << 20
	// maxReply bounds what a client reads: the answer of one tool, or the list of all.
	maxReply = 16 << 20
)

// A call is the body of a request for a tool.
type call struct {
	Name string          `json:"name"`
	Args json.RawMessage `json:"args,omitempty"`
}

// A reply is a tool's answer on the wire.
type reply struct {
	Text    string          `json:"text"`
	Data    json.RawMessage `json:"data,omitempty"`
	IsError bool            `json:"is_error,omitempty"`
}

// A refusal is the body of every status but 200.
type refusal struct {
	Error string `json:"error"`
}
