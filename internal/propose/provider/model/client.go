// Package model plays a session with a language model: prompt, tool calls, submission, within the
// session's caps. It knows no provider: a [Client] speaks the protocol. Start reading at
// [Proposer.Propose].
package model

import (
	"context"
	"encoding/json"

	"mendel/internal/propose/tool"
	"mendel/internal/research"
)

// A Client speaks one provider's protocol. It sends one request at a time, never retries, and
// keeps nothing of a conversation.
type Client interface {
	// Ask sends a request and reads the whole reply. The error is an [*Error], or ctx's.
	Ask(ctx context.Context, r Request) (Reply, error)
}

// A Request is one call of a model: the whole conversation so far.
type Request struct {
	Model       string
	Shared      string // first part of the system prompt, the same for all sessions of a run: cache up to its end
	Role        string // the rest of the system prompt
	Tools       []tool.Definition
	Turns       []Turn // begins with a User
	MaxOutput   int    // tokens, thinking included
	Thinking    int    // tokens; 0 for none
	Temperature *float64
	WebSearch   bool
}

// A Turn is one step of a conversation; exactly one of its fields is set. A User may follow
// Results, and a Reply one that was [Paused].
type Turn struct {
	User    string   // a text
	Reply   *Reply   // what the model said before, handed back as it came
	Results []Result // the answers to all calls of the reply before
}

// A Reply is what a model answered.
type Reply struct {
	Text     string
	Thinking string // as far as the provider shows it
	Calls    []Call
	Stop     Stop
	Usage    *research.Usage // nil where the provider did not say
	Raw      json.RawMessage // as the provider wants it handed back; its client alone reads it
}

// A Call is a tool that the model wants called.
type Call struct {
	ID   string
	Name string
	Args json.RawMessage // as the model wrote it, perhaps not JSON
}

// A Result answers a call.
type Result struct {
	ID      string
	Text    string
	IsError bool
}

// A Stop says why a reply ended.
type Stop string

// The ways in which a reply ends.
const (
	Finished  Stop = "finished"   // nothing more to say
	WantTools Stop = "want_tools" // calls wait for their results
	CutShort  Stop = "cut_short"  // at MaxOutput; the last call may be torn
	Refused   Stop = "refused"    // by the model, or by the provider's filter
	Paused    Stop = "paused"     // the provider wants the same conversation again to go on
)
