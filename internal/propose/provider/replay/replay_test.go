package replay_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mendel/internal/propose/provider/replay"
	"mendel/internal/propose/session"
	"mendel/internal/propose/session/sessiontest"
	"mendel/internal/propose/workspace"
	"mendel/internal/research"
)

func number(v float64) *float64 { return &v }

// recipe is a tree whose train.py says its own score. Role opt owns train.py, role arch the rest.
func recipe(score float64, others ...string) workspace.Tree {
	tree := workspace.Tree{{Path: "train.py", Mode: 0o644, Data: fmt.Appendf(nil, "score = %g\n", score)}}
	for _, name := range others {
		tree = append(tree, workspace.File{Path: name, Mode: 0o644, Data: []byte(name + "\n")})
	}
	slices.SortFunc(tree, func(a, b workspace.File) int { return strings.Compare(a.Path, b.Path) })
	return tree
}

func newRun() *sessiontest.Run {
	r := &sessiontest.Run{
		Task: research.TaskCard{
			Name:  "toy",
			Score: research.ScoreRule{Metric: "loss", Direction: research.Minimize},
			Keep:  research.KeepRule{Rule: research.Strict},
		},
		Arm: research.Arm{Agents: research.Specialists, Lineage: true},
		Measure: func(tree workspace.Tree) research.Measurement {
			f, _ := tree.Get("train.py")
			var score float64
			fmt.Sscanf(string(f.Data), "score = %g", &score)
			return research.Measurement{Outcome: research.Valid, Score: &score}
		},
	}
	r.Start(recipe(5, "model/old.py"))
	return r
}

func step(old, parent research.TrialID, role string, tree workspace.Tree) replay.Step {
	return replay.Step{
		Old: old, Parent: parent, Role: role, Proposer: "openai:gpt", Hypothesis: fmt.Sprintf("idea %d", old), Notes: "a note",
		Expected: number(-0.5), Tree: tree, OldStatus: research.StatusKeep, OldScore: number(4),
	}
}

func mayEdit(role string) func(string) bool {
	return func(path string) bool { return (path == "train.py") == (role == "opt") }
}

func open(t *testing.T, r *sessiontest.Run, role string) *session.Session {
	return r.Open(t, r.Brief(research.Role{ID: role}, 1, 1), mayEdit(role))
}

// play lets agents of these roles work at the same time until nothing is left, and then once
// more: a session that has nothing to do must end.
func play(t *testing.T, r *sessiontest.Run, p *replay.Plan, roles ...string) {
	t.Helper()
	var agents sync.WaitGroup
	for _, role := range roles {
		agents.Go(func() {
			for more := true; more; {
				more = !p.Exhausted()
				s := open(t, r, role)
				if err := p.Proposer().Propose(t.Context(), s); err != nil {
					t.Error(err)
					return
				}
				more = more && s.Submitted() > 0
			}
		})
	}
	agents.Wait()
	if !p.Exhausted() {
		t.Error("steps are left")
	}
}

func describe(r *sessiontest.Run) (lines []string) {
	for _, t := range r.All()[1:] {
		p := t.Proposal
		lines = append(lines, fmt.Sprintf("%s on %s by %s: %s, %s", t.ID, p.Parent, p.Role, p.Key, p.Hypothesis))
	}
	return lines
}

func equal(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n%s\nwant:\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestOrderRolesAndParents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRun()
		// A trial that the earlier run did not have: the new ids differ from the old ones.
		r.Submit(t.Context(), research.Proposal{Role: "opt"}, recipe(4.9, "model/old.py"))
		steps := []replay.Step{
			step(1, 0, "opt", recipe(4, "model/old.py")),
			step(2, 1, "opt", recipe(3, "model/old.py")),
			step(3, 1, "arch", recipe(4, "model/new.py")), // removes one file, adds another
			step(5, 3, "opt", recipe(2, "model/new.py")),
			step(6, 0, "arch", recipe(5, "model/old.py/now_a_package.py")),
		}
		steps[2].Tree[0].Mode, steps[3].Tree[0].Mode = 0o755, 0o755
		play(t, r, replay.New(steps, []string{"arch", "opt"}, nil), "arch", "opt", "opt")
		equal(t, "trials", describe(r)[1:], []string{
			"002 on 000 by opt: replay-001, idea 1",
			"003 on 002 by opt: replay-002, idea 2",
			"004 on 002 by arch: replay-003, idea 3",
			"005 on 004 by opt: replay-005, idea 5",
			"006 on 000 by arch: replay-006, idea 6",
		})
		for i, s := range steps {
			id := research.TrialID(i + 2)
			tree, err := r.Tree(t.Context(), id)
			if err != nil || len(workspace.Changes(s.Tree, tree)) > 0 {
				t.Errorf("tree of %s: %v\n%s", id, err, workspace.Diff(s.Tree, tree))
			}
		}
		p := r.All()[2].Proposal
		if p.Notes != "replay of 001: a note" || p.Expected == nil || *p.Expected != -0.5 {
			t.Errorf("notes %q, expected %v", p.Notes, p.Expected)
		}
	})
}

func TestRefusedStepIsSkippedAndItsTwinStandsForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRun()
		p := replay.New([]replay.Step{
			step(1, 0, "opt", recipe(4, "model/old.py")),
			step(2, 0, "opt", recipe(4, "model/old.py")), // the same again: a duplicate here
			step(3, 2, "opt", recipe(3, "model/old.py")),
			step(4, 3, "arch", recipe(1, "model/new.py")), // edits what is not arch's
			step(5, 4, "opt", recipe(2, "model/old.py")),
		}, []string{"arch", "opt"}, nil)
		play(t, r, p, "arch", "opt")
		equal(t, "trials", describe(r), []string{
			"001 on 000 by opt: replay-001, idea 1",
			"002 on 001 by opt: replay-003, idea 3",
			"003 on 002 by opt: replay-005, idea 5",
		})
		if notes := r.All()[3].Proposal.Notes; notes != "replay of 005 (its parent 004 was not replayed; built on 002, the replay of 003): a note" {
			t.Errorf("notes: %q", notes)
		}
		if r.Refused != 1 {
			t.Errorf("%d duplicates were refused", r.Refused)
		}
	})
}

func TestReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRun()
		p := replay.New([]replay.Step{
			step(1, 0, "opt", recipe(4.5, "model/old.py")),
			step(2, 0, "opt", recipe(4.5, "model/old.py")),
			step(3, 1, "opt", recipe(4.75, "model/old.py")),
			step(4, 0, "reg", recipe(1)),
		}, []string{"opt"}, nil)
		trial := func(id research.TrialID) (research.Trial, error) { return r.Trial(t.Context(), id) }
		rows, err := p.Report(trial)
		if err != nil || rows[0].New != nil || rows[3].Skipped == "" {
			t.Errorf("before: %+v, %v", rows, err)
		}
		play(t, r, p, "opt")
		r.Amend(2, func(t *research.Trial) { t.Status, t.Measurement = research.Status(research.Crash), nil })
		if rows, err = p.Report(trial); err != nil {
			t.Fatal(err)
		}
		var text strings.Builder
		if err := replay.WriteReport(&text, rows); err != nil {
			t.Fatal(err)
		}
		want := `old  new  role  old status  new status     old score  new score  difference
001  001  opt   keep        keep           4          4.5        +0.5
002  -    opt   keep        not submitted  4          -          -
003  002  opt   keep        crash          4          -          -
004  -    reg   keep        not submitted  4          -          -
2 of 4 were measured again; 1 of those have the same verdict
002 was not submitted: this recipe was already tried as trial 001. Propose something else.
004 was not submitted: no agent of this run plays the role reg
`
		if text.String() != want {
			t.Errorf("report:\n%swant:\n%s", text.String(), want)
		}
		_, err = p.Report(func(research.TrialID) (research.Trial, error) { return research.Trial{}, os.ErrClosed })
		if !errors.Is(err, os.ErrClosed) {
			t.Errorf("a trial that cannot be read: %v", err)
		}
	})
}

func TestResumedReplayGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		steps := []replay.Step{
			step(1, 0, "opt", recipe(4, "model/old.py")),
			step(2, 1, "arch", recipe(4, "model/new.py")),
			step(3, 2, "opt", recipe(3, "model/new.py")),
		}
		r := newRun()
		first := replay.New(steps, []string{"opt", "arch"}, nil)
		for _, role := range []string{"opt", "arch"} {
			if err := first.Propose(t.Context(), open(t, r, role)); err != nil {
				t.Fatal(err)
			}
		}
		replayed := map[research.TrialID]research.TrialID{}
		for _, trial := range r.All() {
			if old, ok := replay.OldOf(trial.Proposal.Key); ok {
				replayed[old] = trial.ID
			}
		}
		if want := map[research.TrialID]research.TrialID{1: 1, 2: 2}; !maps.Equal(replayed, want) {
			t.Fatalf("found again: %v", replayed)
		}
		// What was running when the supervisor went down is judged later.
		judged := time.Now().Add(10 * time.Minute)
		desk := &slowDesk{Run: r, running: func(id research.TrialID) bool { return id == 2 && time.Now().Before(judged) }}
		p := replay.New(steps, []string{"opt", "arch"}, replayed)
		s := desk.open(t, "opt")
		if err := p.Propose(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		equal(t, "trials", describe(r)[2:], []string{"003 on 002 by opt: replay-003, idea 3"})
		if !p.Exhausted() {
			t.Error("steps are left")
		}
		if n := len(r.Calls()); n > 40 {
			t.Errorf("%d tool calls: waiting is too busy", n)
		}
	})
}

// slowDesk is a run whose trials take their time. It implements [session.Desk].
type slowDesk struct {
	*sessiontest.Run
	running func(research.TrialID) bool
	verdict chan struct{} // Await waits for it
	role    string        // of the session that it serves
}

func (d *slowDesk) Submit(ctx context.Context, p research.Proposal, tree workspace.Tree) (research.TrialID, error) {
	p.Role = d.role
	return d.Run.Submit(ctx, p, tree)
}

func (d *slowDesk) Trial(ctx context.Context, id research.TrialID) (research.Trial, error) {
	t, err := d.Run.Trial(ctx, id)
	if d.running(id) {
		t.Status, t.Measurement, t.Verdict = "", nil, nil
	}
	return t, err
}

func (d *slowDesk) Await(ctx context.Context, id research.TrialID) (research.Trial, error) {
	select {
	case <-d.verdict:
		return d.Run.Trial(ctx, id)
	case <-ctx.Done():
		return research.Trial{}, ctx.Err()
	}
}

func (d *slowDesk) open(t *testing.T, role string) *session.Session {
	brief := d.Brief(research.Role{ID: role}, 1, 1)
	tree, err := d.Tree(t.Context(), brief.Incumbent.ID)
	if err != nil {
		t.Fatal(err)
	}
	w, err := workspace.New(t.TempDir(), tree)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	if d.verdict == nil {
		d.verdict = make(chan struct{})
		close(d.verdict)
	}
	desk := *d
	desk.role = role
	return session.New(session.Options{Brief: brief, Desk: &desk, Workspace: w, MayEdit: mayEdit(role), Now: time.Now})
}

func TestChildWaitsForItsParentsVerdict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRun()
		verdict := make(chan struct{})
		judged := func() bool {
			select {
			case <-verdict:
				return true
			default:
				return false
			}
		}
		desk := &slowDesk{Run: r, verdict: verdict, running: func(id research.TrialID) bool { return id == 1 && !judged() }}
		p := replay.New([]replay.Step{
			step(1, 0, "opt", recipe(4, "model/old.py")),
			step(2, 1, "arch", recipe(4, "model/new.py")),
		}, []string{"opt", "arch"}, nil)
		begun := time.Now()
		var agents sync.WaitGroup
		for _, role := range []string{"opt", "arch"} {
			s := desk.open(t, role)
			agents.Go(func() {
				if err := p.Propose(t.Context(), s); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		if n := len(r.All()); n != 2 {
			t.Fatalf("%d trials while the parent is being measured", n)
		}
		close(verdict)
		agents.Wait()
		equal(t, "trials", describe(r), []string{"001 on 000 by opt: replay-001, idea 1", "002 on 001 by arch: replay-002, idea 2"})
		if waited := time.Since(begun); waited > 0 {
			t.Errorf("the verdict was noticed %s late", waited)
		}
	})
}

func TestCancelledSessionGivesItsStepBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRun()
		p := replay.New([]replay.Step{
			step(1, 0, "opt", recipe(4, "model/old.py")),
			step(2, 1, "arch", recipe(4, "model/new.py")),
		}, []string{"opt", "arch"}, nil)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		waiting := open(t, r, "arch")
		go func() { ended <- p.Propose(ctx, waiting) }()
		synctest.Wait()
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("a session that waits for its turn ended with %v", err)
		}
		// One that fails in the middle of its step: its workspace is gone.
		broken := open(t, r, "opt")
		if err := os.RemoveAll(broken.WorkspaceDir()); err != nil {
			t.Fatal(err)
		}
		if err := p.Propose(t.Context(), broken); err == nil {
			t.Error("a session without a workspace submitted")
		}
		play(t, r, p, "arch", "opt")
		if n := len(r.All()); n != 3 {
			t.Errorf("%d trials", n)
		}
	})
}

func TestKeys(t *testing.T) {
	for key, want := range map[string]research.TrialID{replay.KeyOf(7): 7, "replay-012": 12, "replay-1234#2": 1234} {
		if old, ok := replay.OldOf(key); !ok || old != want {
			t.Errorf("%s: %s, %t", key, old, ok)
		}
	}
	for _, key := range []string{"", "replay", "replay-", "replay-x", "content:7"} {
		if old, ok := replay.OldOf(key); ok {
			t.Errorf("%q was taken for the replay of %s", key, old)
		}
	}
}
