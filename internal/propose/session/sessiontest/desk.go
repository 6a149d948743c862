// Package sessiontest is a run in memory for tests of sessions and proposers: it measures by a
// function, judges by the real arithmetic, and makes briefs as a lineage would.
package sessiontest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"mendel/internal/propose/session"
	"mendel/internal/propose/tool"
	"mendel/internal/propose/workspace"
	"mendel/internal/research"
)

// Run is a search in memory. It implements [session.Desk].
type Run struct {
	Task    research.TaskCard
	Arm     research.Arm
	Noise   *research.Noise
	Measure func(tree workspace.Tree) research.Measurement
	// OnCheck answers checks and command lines; nil lets all succeed.
	OnCheck func(name, treeDir string) tool.CheckResult

	mu      sync.Mutex
	trials  []research.Trial
	trees   []workspace.Tree
	journal []research.ToolCalled
	Refused int // duplicates

	// Budget bounds the model calls; its zero fields bound nothing.
	Budget  research.Charge
	asked   []research.ModelAsked
	settled []research.ModelAnswered
	out     research.Charge // charged, or set aside
}

// Start measures the baseline.
func (r *Run) Start(tree workspace.Tree) {
	r.record(research.Proposal{}, tree)
}

func (r *Run) record(p research.Proposal, tree workspace.Tree) research.TrialID {
	id := research.TrialID(len(r.trials))
	m := r.Measure(tree)
	j := research.Judgement{Rule: r.Task.Keep, Score: r.Task.Score, Trial: id, Candidate: m, Noise: r.Noise}
	if id != research.Baseline {
		best := r.incumbent()
		j.Incumbent = best.ID
		j.Reference = best.Measurement.Score
		p.Incumbent = best.ID
	}
	p.Tree = hashOf(tree)
	v := research.Judge(j)
	at := time.Date(2026, 1, 1, 0, int(id), 0, 0, time.UTC)
	r.trials = append(r.trials, research.Trial{
		ID: id, Proposal: p, Measurement: &m, Verdict: &v, Status: research.StatusOf(id, m.Outcome, v),
		SubmittedAt: at, StartedAt: at, EndedAt: at.Add(time.Second),
	})
	r.trees = append(r.trees, slices.Clone(tree))
	return id
}

func hashOf(tree workspace.Tree) research.Hash {
	h := sha256.New()
	for _, f := range tree {
		fmt.Fprintf(h, "%q %d\n%s", f.Path, len(f.Data), f.Data)
	}
	return research.Hash(hex.EncodeToString(h.Sum(nil)))
}

func (r *Run) incumbent() research.Trial {
	best := r.trials[0]
	for _, t := range r.trials[1:] {
		if t.Status == research.StatusKeep {
			best = t
		}
	}
	return best
}

// Incumbent is the best kept trial.
func (r *Run) Incumbent() research.Trial {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.incumbent()
}

// All lists the trials in the order of their ids.
func (r *Run) All() []research.Trial {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.trials)
}

// Calls lists the journal.
func (r *Run) Calls() []research.ToolCalled {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.journal)
}

// Submit measures and judges at once.
func (r *Run) Submit(_ context.Context, p research.Proposal, tree workspace.Tree) (research.TrialID, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, t := range r.trials {
		if t.Proposal.Tree == hashOf(tree) && t.Status != research.Status(research.Aborted) {
			r.Refused++
			if !r.Arm.Lineage {
				return 0, research.Misuse("Propose something else.", "this recipe was already tried")
			}
			return 0, research.Misuse("Propose something else.", "this recipe was already tried as trial %s", t.ID)
		}
	}
	return r.record(p, tree), nil
}

// Await returns a judged trial.
func (r *Run) Await(ctx context.Context, id research.TrialID) (research.Trial, error) {
	return r.Trial(ctx, id)
}

// Trial serves one row.
func (r *Run) Trial(_ context.Context, id research.TrialID) (research.Trial, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if int(id) >= len(r.trials) {
		return research.Trial{}, research.Misuse("", "there is no trial %s", id)
	}
	return r.trials[id], nil
}

// Tree serves the files of a trial.
func (r *Run) Tree(_ context.Context, id research.TrialID) (workspace.Tree, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if int(id) >= len(r.trees) {
		return nil, research.Misuse("", "there is no trial %s", id)
	}
	return r.trees[id], nil
}

// Trials serves a filtered list, newest first.
func (r *Run) Trials(_ context.Context, q session.Query) ([]research.Trial, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []research.Trial
	for _, t := range slices.Backward(r.trials) {
		switch {
		case q.Role != "" && t.Proposal.Role != q.Role, q.Status != "" && t.Status != q.Status,
			q.Parent != nil && t.Proposal.Parent != *q.Parent, q.Before != nil && t.ID >= *q.Before,
			q.Text != "" && !strings.Contains(t.Proposal.Hypothesis+t.Proposal.Notes, q.Text):
		case len(list) < q.Limit:
			list = append(list, t)
		}
	}
	return list, nil
}

// Enter lets everybody in at once.
func (r *Run) Enter(context.Context) (leave func(), err error) { return func() {}, nil }

// Check answers a check.
func (r *Run) Check(_ context.Context, name, treeDir string) (session.CheckResult, error) {
	if r.OnCheck == nil {
		return session.CheckResult{OK: true, CPU: time.Millisecond}, nil
	}
	return r.OnCheck(name, treeDir), nil
}

// Shell answers a command line.
func (r *Run) Shell(ctx context.Context, treeDir, script string) (session.CheckResult, error) {
	return r.Check(ctx, script, treeDir)
}

// Journal keeps a call.
func (r *Run) Journal(_ context.Context, c research.ToolCalled) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.journal = append(r.journal, c)
	return nil
}

// Amend changes what is recorded of a trial, for states that measuring does not reach.
func (r *Run) Amend(id research.TrialID, change func(*research.Trial)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.trials[id])
}

// Reserve sets a charge aside, within the budget.
func (r *Run) Reserve(_ context.Context, a research.ModelAsked) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if b := r.Budget; b.Tokens > 0 && r.out.Tokens+a.Worst.Tokens > b.Tokens || b.USD > 0 && r.out.USD+a.Worst.USD > b.USD {
		return fmt.Errorf("%w: the next call may pass it", session.ErrNoBudget)
	}
	r.out.Tokens += a.Worst.Tokens
	r.out.USD += a.Worst.USD
	r.asked = append(r.asked, a)
	return nil
}

// Settle records a call's cost.
func (r *Run) Settle(_ context.Context, a research.ModelAnswered) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, asked := range r.asked {
		if asked.Session == a.Session && asked.Call == a.Call {
			r.out.Tokens += a.Charge.Tokens - asked.Worst.Tokens
			r.out.USD += a.Charge.USD - asked.Worst.USD
			r.settled = append(r.settled, a)
			return nil
		}
	}
	return fmt.Errorf("call %d of session %d was never asked", a.Call, a.Session)
}

// ModelCalls lists what was asked and what was settled.
func (r *Run) ModelCalls() ([]research.ModelAsked, []research.ModelAnswered) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.asked), slices.Clone(r.settled)
}
