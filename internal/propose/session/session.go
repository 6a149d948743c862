// Package session is one specialist's episode: a brief, a workspace, the tools, and the caps
// on how often they may be used. It is all that a proposer gets, whatever kind it is.
//
// It knows nothing of how proposals are scored: it hands them to a [Desk] and brings back what
// the desk says. Start reading at [Session.Call].
package session

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"mendel/internal/propose/tool"
	"mendel/internal/propose/workspace"
	"mendel/internal/research"
)

// A Proposer plays one episode through a session.
type Proposer interface {
	// Propose acts through s until it has nothing more to do. Ending without a submission is
	// allowed. An error means that the proposer itself failed, or hands on one of s.Call.
	Propose(ctx context.Context, s *Session) error
}

// Instant is implemented by proposers that answer at once. They are asked only when a slot is
// free, so that they never propose against an incumbent that is about to be replaced.
type Instant interface {
	Proposer
	Instant() bool
}

// Confined is implemented by proposers that let a program of others, or a person, edit the
// workspace directly.
type Confined interface {
	Proposer
	// Confinement says how that program is kept to its workspace and tools: "sandbox" or "none".
	Confinement() string
}

// Finite is implemented by proposers that have a fixed amount to propose.
type Finite interface {
	Proposer
	Exhausted() bool
}

// A Desk is what a session may ask of the run. A refusal that the proposer can mend is a
// [research.MisuseError]; any other error ends the session.
type Desk interface {
	tool.Archive
	tool.Runner
	// Enter waits until no exclusive trial is being timed, and holds the next one up until leave
	// is called. Check and Shell are called in between.
	Enter(ctx context.Context) (leave func(), err error)
	// Submit freezes a proposal and gives it its id. It is idempotent in the proposal's key.
	// Role, proposer, session and hashes are the desk's to fill in.
	Submit(ctx context.Context, p research.Proposal, tree workspace.Tree) (research.TrialID, error)
	// Await blocks until a trial is judged or ctx ends.
	Await(ctx context.Context, id research.TrialID) (research.Trial, error)
	// Journal records a tool call that has ended.
	Journal(ctx context.Context, c research.ToolCalled) error
	// Reserve sets the worst case of a model call aside. It fails with an error that wraps
	// [ErrNoBudget] when the run's dollars or tokens do not suffice.
	Reserve(ctx context.Context, a research.ModelAsked) error
	// Settle records what a model call cost in the end.
	Settle(ctx context.Context, a research.ModelAnswered) error
}

// A Query is what a desk is asked for a list of trials.
type Query = tool.Query

// A CheckResult is what a desk answers to a check or a command line.
type CheckResult = tool.CheckResult

// Options are what a session is made of.
type Options struct {
	Brief     research.Brief
	Desk      Desk
	Workspace *workspace.Workspace // a copy of the incumbent's tree
	MayEdit   func(path string) bool
	Now       func() time.Time
	Caps      research.Caps // zero fields mean the defaults
	// AwaitAtMost bounds each wait for a verdict, for clients that time out; 0 means no bound.
	AwaitAtMost time.Duration
	// Transcript takes what is said and done, as one JSON object a line; nil drops it.
	Transcript io.Writer
}

// The caps of a session that was given none.
const (
	defaultCalls   = 200
	defaultSubmits = 3
	defaultTurns   = 80
	defaultTime    = time.Hour
)

// ErrSpent ends a session whose proposer goes on calling tools after it was told that it has
// no calls left.
var ErrSpent = fmt.Errorf("%w: all tool calls are used", ErrCapped)

// A Session is one episode. Its methods may be called from several goroutines.
type Session struct {
	options Options
	tools   []tool.Tool
	kit     tool.Kit

	submitting sync.Mutex // held over a whole submission or rebase

	mu        sync.Mutex
	calls     int
	base      research.TrialID
	byKey     map[string]research.TrialID // those that count
	submitted map[research.TrialID]submission
	refunded  map[string]int // by key: how often our harness failed to measure it
	turns     int            // model calls that were begun
	charged   research.Charge
	opened    time.Time
	waited    time.Duration // for others, in waits that are over
	waits     int           // under way
	waiting   time.Time     // since when there is one

	asking  sync.Mutex // held over a whole reservation
	writing sync.Mutex // the transcript
}

// New opens a session.
func New(o Options) *Session {
	o.Caps.Calls = cmp.Or(o.Caps.Calls, defaultCalls)
	o.Caps.Turns = cmp.Or(o.Caps.Turns, defaultTurns)
	o.Caps.Time = cmp.Or(o.Caps.Time, research.Duration(defaultTime))
	o.Caps.Submits = cmp.Or(o.Caps.Submits, o.Brief.MaxSubmit, defaultSubmits)
	o.Brief.MaxSubmit = o.Caps.Submits
	s := &Session{
		options: o, opened: o.Now(), tools: tool.For(o.Brief), base: o.Brief.Incumbent.ID,
		byKey: map[string]research.TrialID{}, submitted: map[research.TrialID]submission{}, refunded: map[string]int{},
	}
	s.kit = tool.Kit{Brief: o.Brief, Workspace: o.Workspace, MayEdit: o.MayEdit, Archive: o.Desk, Runner: bench{s}, Episode: episode{s}}
	return s
}

// Brief is all that the session may know.
func (s *Session) Brief() research.Brief { return s.options.Brief }

// Caps are those in force for this session.
func (s *Session) Caps() research.Caps { return s.options.Caps }

// WorkspaceDir is where the workspace lies, for a proposer that edits files itself. Whatever it
// does there, submit_trial takes only what the role may edit.
func (s *Session) WorkspaceDir() string { return s.options.Workspace.Dir() }

// Tools lists what can be called.
func (s *Session) Tools() []tool.Definition {
	list := make([]tool.Definition, len(s.tools))
	for i, t := range s.tools {
		list[i] = t.Definition
	}
	return list
}

// Submitted counts the trials that the session has submitted.
func (s *Session) Submitted() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.submitted)
}

// Call runs a tool and journals it. What the caller did wrong is an answer; an error ends the
// session.
func (s *Session) Call(ctx context.Context, name string, args json.RawMessage) (tool.Answer, error) {
	begun := s.options.Now()
	s.Note(Entry{Kind: ToolCall, Name: printable(name), Args: args})
	answer, callErr := s.dispatch(ctx, name, args)
	s.Note(toolAnswer(name, answer, callErr))
	note := research.ToolCalled{
		Session: s.options.Brief.Session, Tool: printable(name), Digest: digest(args),
		Wall: research.SecondsOf(s.options.Now().Sub(begun)), CPU: research.SecondsOf(answer.CPU), Bytes: len(answer.Text),
	}
	switch {
	case callErr != nil:
		note.Error = firstLine(callErr.Error())
	case answer.IsError:
		note.Error = firstLine(answer.Text)
	}
	// What the call used is used: it is recorded also when the session is being stopped.
	save, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := s.options.Desk.Journal(save, note); err != nil {
		return answer, errors.Join(callErr, fmt.Errorf("journal %s: %w", note.Tool, err))
	}
	return answer, callErr
}

func (s *Session) dispatch(ctx context.Context, name string, args json.RawMessage) (tool.Answer, error) {
	s.mu.Lock()
	s.calls++
	calls := s.calls
	s.mu.Unlock()
	for _, t := range s.tools {
		if t.Name != name {
			continue
		}
		switch spends := name == "submit_trial" || name == "await_trial"; {
		case calls > 2*s.options.Caps.Calls:
			return tool.Answer{}, ErrSpent
		case calls > s.options.Caps.Calls && !spends:
			return tool.Answer{IsError: true, Text: "No tool calls are left in this session. Submit your workspace with submit_trial, or end."}, nil
		}
		return t.Call(ctx, s.kit, args)
	}
	if calls > 2*s.options.Caps.Calls {
		return tool.Answer{}, ErrSpent
	}
	names := make([]string, len(s.tools))
	for i, t := range s.tools {
		names[i] = t.Name
	}
	return tool.Answer{IsError: true, Text: fmt.Sprintf("There is no tool %s. Tools are %s.", printable(name), strings.Join(names, ", "))}, nil
}

func digest(args []byte) research.Hash {
	sum := sha256.Sum256(args)
	return research.Hash(hex.EncodeToString(sum[:]))
}

// printable makes a name that a model wrote fit for a record.
func printable(name string) string {
	clean := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, strings.ToValidUTF8(name, "?"))
	if len(clean) > 64 {
		clean = strings.ToValidUTF8(clean[:64], "")
	}
	return clean
}

func firstLine(text string) string {
	text, _, _ = strings.Cut(text, "\n")
	if len(text) > 300 {
		text = strings.ToValidUTF8(text[:300], "") + "…"
	}
	return text
}
