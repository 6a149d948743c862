// Package replay submits the trees of an earlier run again, in their order and by their roles, to
// have them measured afresh. Trees are submitted, not conversations: no model takes part.
//
// It is given the steps, and never opens a run itself. All agents of a run share one [Plan].
// Start reading at [New], then [Plan.Propose].
package replay

import (
	"context"
	"slices"
	"strings"
	"sync"

	"mendel/internal/propose/workspace"
	"mendel/internal/research"
)

// A Step is one submission of the earlier run, in that run's words and ids.
type Step struct {
	Old        research.TrialID
	Parent     research.TrialID
	Role       string
	Proposer   string
	Hypothesis string
	Notes      string
	Expected   *float64
	Tree       workspace.Tree
	OldStatus  research.Status
	OldScore   *float64
}

// keyPrefix begins the key of every replayed submission. Keys are stored.
const keyPrefix = "replay-"

// KeyOf is the key under which a trial of the earlier run is submitted again.
func KeyOf(old research.TrialID) string { return keyPrefix + old.String() }

// OldOf finds in a proposal's key which trial of the earlier run it repeats.
func OldOf(key string) (research.TrialID, bool) {
	name, ok := strings.CutPrefix(key, keyPrefix)
	if !ok {
		return 0, false
	}
	name, _, _ = strings.Cut(name, "#") // a session adds #2 to a key whose first trial did not count
	old, err := research.ParseTrialID(name)
	return old, err == nil
}

// A Plan is a replay under way. Its methods may be called from several goroutines.
type Plan struct {
	steps []Step

	mu      sync.Mutex
	next    int // steps before it are submitted or skipped
	claimed bool
	changed chan struct{} // closed, and replaced, on every change
	news    map[research.TrialID]research.TrialID
	skipped map[research.TrialID]string // why
}

// New plans a replay of steps, in their order, by a team of these roles. A step whose role is not
// in the team is skipped, because nobody could submit it. replayed maps the old ids of steps that
// this run has submitted already to their new ids: the replay goes on after them.
func New(steps []Step, roles []string, replayed map[research.TrialID]research.TrialID) *Plan {
	p := &Plan{
		steps: steps, changed: make(chan struct{}),
		news:    map[research.TrialID]research.TrialID{research.Baseline: research.Baseline},
		skipped: map[research.TrialID]string{},
	}
	for _, s := range steps {
		switch id, ok := replayed[s.Old]; {
		case ok:
			p.news[s.Old] = id
		case !slices.Contains(roles, s.Role):
			p.skipped[s.Old] = "no agent of this run plays the role " + s.Role
		}
	}
	p.pass()
	return p
}

// Exhausted says whether every step was submitted or skipped. Trials may still be running.
func (p *Plan) Exhausted() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.next == len(p.steps)
}

// claim waits until the next step of all is one of this role, and gives it to the caller, who
// must settle or release it. It is false when the role has no step left.
func (p *Plan) claim(ctx context.Context, role string) (Step, bool, error) {
	for {
		p.mu.Lock()
		left := p.steps[p.next:]
		if !slices.ContainsFunc(left, func(s Step) bool { return s.Role == role && p.open(s) }) {
			p.mu.Unlock()
			return Step{}, false, nil
		}
		if !p.claimed && left[0].Role == role {
			p.claimed = true
			p.mu.Unlock()
			return left[0], true, nil
		}
		changed := p.changed
		p.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return Step{}, false, ctx.Err()
		}
	}
}

// release gives a claimed step back: another session may take it.
func (p *Plan) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.claimed = false
	p.announce()
}

// submitted settles a claimed step.
func (p *Plan) submitted(s Step, id research.TrialID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.news[s.Old] = id
	p.settle()
}

// skip settles a claimed step that was refused. Where an earlier step has the same tree, its trial
// stands for this one as a parent.
func (p *Plan) skip(s Step, why string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.skipped[s.Old] = why
	p.settle()
}

func (p *Plan) settle() {
	p.claimed = false
	p.pass()
	p.announce()
}

// pass moves on to the next step that is open.
func (p *Plan) pass() {
	for p.next < len(p.steps) && !p.open(p.steps[p.next]) {
		p.next++
	}
}

func (p *Plan) open(s Step) bool {
	_, submitted := p.news[s.Old]
	_, skipped := p.skipped[s.Old]
	return !submitted && !skipped
}

// announce wakes whoever waits for a change.
func (p *Plan) announce() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// judged says that a verdict came in: someone may wait for it to build on that trial.
func (p *Plan) judged() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.announce()
}

// change is closed on the next change, for whoever looked and found that it must wait.
func (p *Plan) change() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.changed
}

// parentOf maps the parent of a step to this run. Where the parent itself was skipped, a trial
// with the same tree stands for it, or else its nearest ancestor that was submitted; why then
// says so.
func (p *Plan) parentOf(s Step) (id research.TrialID, why string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for old := s.Parent; ; {
		if id, ok := p.standsFor(old); ok {
			if old != s.Parent {
				why = "its parent " + s.Parent.String() + " was not replayed; built on " + id.String() + ", the replay of " + old.String()
			}
			return id, why
		}
		i := p.index(old)
		if i < 0 || p.steps[i].Parent >= old {
			return research.Baseline, "its parent " + s.Parent.String() + " was not replayed; built on the baseline"
		}
		old = p.steps[i].Parent
	}
}

// standsFor finds the new trial of an old one: its own replay, or that of the same tree.
func (p *Plan) standsFor(old research.TrialID) (research.TrialID, bool) {
	if id, ok := p.news[old]; ok {
		return id, true
	}
	i := p.index(old)
	if i < 0 {
		return 0, false
	}
	for _, other := range p.steps[:p.next] {
		if id, ok := p.news[other.Old]; ok && len(workspace.Changes(other.Tree, p.steps[i].Tree)) == 0 {
			return id, true
		}
	}
	return 0, false
}

func (p *Plan) index(old research.TrialID) int {
	return slices.IndexFunc(p.steps, func(s Step) bool { return s.Old == old })
}
