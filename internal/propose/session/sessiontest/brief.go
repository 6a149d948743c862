package sessiontest

import (
	"context"
	"os"
	"slices"
	"testing"
	"time"

	"mendel/internal/propose/session"
	"mendel/internal/propose/workspace"
	"mendel/internal/research"
)

// Brief makes what a session of this role may know now.
func (r *Run) Brief(role research.Role, id research.SessionID, seed int64) research.Brief {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := research.Brief{
		Task: r.Task, Arm: r.Arm, Agent: research.Agent{Name: role.ID, Role: role.ID, Proposer: "test"}, Role: role,
		Session: id, Seed: seed, Incumbent: r.incumbent(), Now: time.Date(2026, 1, 1, 8, 0, 0, 0, time.UTC),
	}
	b.Spend.Trials = len(r.trials) - 1
	if !r.Arm.Lineage {
		score := *b.Incumbent.Measurement.Score
		b.Incumbent = research.Trial{ID: b.Incumbent.ID, Measurement: &research.Measurement{Score: &score}}
		return b
	}
	b.History = r.history(b.Incumbent, role.ID)
	return b
}

func (r *Run) history(incumbent research.Trial, role string) *research.History {
	h := &research.History{Baseline: r.trials[0], Noise: r.Noise}
	best := *incumbent.Measurement.Score
	for _, t := range slices.Backward(r.trials) {
		aborted := t.Status == research.Status(research.Aborted)
		if t.Status.Ranks() {
			h.Leaderboard = append(h.Leaderboard, t)
		}
		if t.Proposal.Parent == incumbent.ID && t.ID != research.Baseline && len(h.Children) < 16 {
			h.Children = append(h.Children, t)
		}
		if v, ok := t.Score(); ok && t.Status.Stopped() && r.Task.Score.Direction.Better(v, best) {
			h.NearMisses = append(h.NearMisses, t)
		}
		if !aborted && len(h.Recent) < 10 {
			h.Recent = append(h.Recent, t)
		}
		if !aborted && t.ID != research.Baseline && t.Proposal.Role == role && len(h.Own) < 60 {
			h.Own = append(h.Own, t)
		}
	}
	slices.SortStableFunc(h.NearMisses, func(a, b research.Trial) int {
		if r.Task.Score.Direction.Better(*a.Measurement.Score, *b.Measurement.Score) {
			return -1
		}
		return 1
	})
	h.NearMisses = h.NearMisses[:min(8, len(h.NearMisses))]
	for t := incumbent; ; t = r.trials[t.Proposal.Parent] {
		h.Chain = append(h.Chain, t)
		if t.ID == research.Baseline {
			break
		}
	}
	slices.Reverse(h.Chain)
	return h
}

// Open opens a session of this role over a workspace of its own, until the test ends.
func (r *Run) Open(t testing.TB, b research.Brief, mayEdit func(string) bool) *session.Session {
	t.Helper()
	s, w := r.open(t, t.TempDir(), b, mayEdit)
	t.Cleanup(func() { w.Close() })
	return s
}

// Play lets a proposer play one session, and cleans up after it: thousands may follow.
func (r *Run) Play(t testing.TB, p session.Proposer, b research.Brief, mayEdit func(string) bool) *session.Session {
	t.Helper()
	dir, err := os.MkdirTemp("", "session")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	s, w := r.open(t, dir, b, mayEdit)
	defer w.Close()
	if err := p.Propose(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	return s
}

func (r *Run) open(t testing.TB, dir string, b research.Brief, mayEdit func(string) bool) (*session.Session, *workspace.Workspace) {
	t.Helper()
	tree, err := r.Tree(t.Context(), b.Incumbent.ID)
	if err != nil {
		t.Fatal(err)
	}
	w, err := workspace.New(dir, tree)
	if err != nil {
		t.Fatal(err)
	}
	return session.New(session.Options{
		Brief: b, Desk: &signed{Run: r, role: b.Role.ID}, Workspace: w, MayEdit: mayEdit, Now: time.Now,
	}), w
}

// signed fills in what the supervisor adds to a proposal.
type signed struct {
	*Run
	role string
}

// Submit puts the role's name on a proposal.
func (d *signed) Submit(ctx context.Context, p research.Proposal, tree workspace.Tree) (research.TrialID, error) {
	p.Role, p.Proposer = d.role, "test"
	return d.Run.Submit(ctx, p, tree)
}
