// Package tool holds what a specialist can call: one file and one .md description each. A tool
// acts on the [Kit] of one session and on nothing else.
//
// A call that makes no sense is answered so that the caller can mend it; an error is only what
// ends a session. Which tools a session has, how often it may call them and who hears of it is
// the session's business. Start reading at [For].
package tool

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"mendel/internal/propose/workspace"
	"mendel/internal/research"
)

// A Definition is a tool as a model sees it.
type Definition struct {
	Name        string          `json:"name"`
	Description string          `json:"description"`
	Schema      json.RawMessage `json:"input_schema"` // JSON Schema of the arguments object
}

// An Answer is what a call returns.
type Answer struct {
	Text    string `json:"text"`           // for a model, at most MaxAnswer bytes
	Data    any    `json:"data,omitempty"` // the same as values, for a program; nil where the text is all
	IsError bool   `json:"is_error,omitempty"`
	// CPU is what the call used in the sandbox; it goes to the ledger.
	CPU time.Duration `json:"-"`
}

// A Tool is one function of a session.
type Tool struct {
	Definition
	call func(ctx context.Context, k Kit, args json.RawMessage) (Answer, error)
}

// Call runs the tool. A misuse is an answer; an error ends the session.
func (t Tool) Call(ctx context.Context, k Kit, args json.RawMessage) (Answer, error) {
	a, err := t.call(ctx, k, args)
	var misuse *research.MisuseError
	if errors.As(err, &misuse) {
		return Answer{Text: clip(misuse.Error(), "mend the call"), IsError: true, CPU: a.CPU}, nil
	}
	if err != nil {
		return a, fmt.Errorf("%s: %w", t.Name, err)
	}
	return a, nil
}

// A Kit is what the tools of one session act on.
type Kit struct {
	Brief     research.Brief
	Workspace *workspace.Workspace
	MayEdit   func(path string) bool
	Archive   Archive
	Runner    Runner
	Episode   Episode
}

// An Archive serves what was tried before. An id that does not exist is a
// [research.MisuseError].
type Archive interface {
	Trial(ctx context.Context, id research.TrialID) (research.Trial, error)
	Tree(ctx context.Context, id research.TrialID) (workspace.Tree, error)
	// Trials lists newest first.
	Trials(ctx context.Context, q Query) ([]research.Trial, error)
}

// A Query filters trials; the zero value of each field matches all.
type Query struct {
	Role   string
	Status research.Status
	Parent *research.TrialID
	Text   string            // in hypothesis or notes
	Before *research.TrialID // only smaller ids
	Limit  int
}

// A Runner runs programs over a tree in the sandbox. A program that fails is a result.
type Runner interface {
	// Check runs one of the task's checks.
	Check(ctx context.Context, name, treeDir string) (CheckResult, error)
	// Shell runs a command line that can read the tree and change nothing.
	Shell(ctx context.Context, treeDir, script string) (CheckResult, error)
}

// A CheckResult is how a program in the sandbox ended.
type CheckResult struct {
	OK     bool
	Output string // stdout and stderr together
	CPU    time.Duration
	Wall   time.Duration
}

// An Episode is the session itself, as far as tools move it.
type Episode interface {
	// Rebase makes the workspace a copy of tree, which is that of trial id.
	Rebase(id research.TrialID, tree workspace.Tree) error
	// Submit freezes the workspace as a proposal and says its id, and whether an earlier call
	// had submitted it already.
	Submit(ctx context.Context, s Submission) (id research.TrialID, repeated bool, err error)
	// Await waits for the verdict on a trial of this session, at most for the given time
	// (0: as long as it takes). done is false when that has passed.
	Await(ctx context.Context, id research.TrialID, atMost time.Duration) (t research.Trial, done bool, err error)
}

// A Submission is what a specialist says about its edit.
type Submission struct {
	Hypothesis string
	Expected   float64
	Parent     *research.TrialID
	Notes      string
	Key        string
}

// For lists the tools of a session of this brief: without lineage there are none that show
// history.
func For(b research.Brief) []Tool {
	tools := []Tool{readFile(), editFile(), listFiles(), searchFiles(), bash()}
	if b.Arm.Lineage {
		tools = append(tools, readTrial(), diffTrials(), listTrials())
	}
	tools = append(tools, rebaseTo(b.Arm.Lineage))
	if len(b.Task.Pinned)+len(b.Task.OnDemand) > 0 {
		tools = append(tools, readKnowledge())
	}
	tools = append(tools, submitTrial(), awaitTrial())
	for _, c := range b.Task.Checks {
		name := c.Name
		if slices.ContainsFunc(tools, func(t Tool) bool { return t.Name == name }) {
			name = "check_" + name
		}
		tools = append(tools, check(name, c))
	}
	return tools
}
