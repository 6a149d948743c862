package loop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"mendel/internal/lineage"
	"mendel/internal/measure/bundle"
	"mendel/internal/measure/executor"
	"mendel/internal/propose/session"
	"mendel/internal/propose/tool"
	"mendel/internal/research"
	"mendel/internal/task"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pretend is an executor that measures a tree by a function, in this process.
type pretend struct {
	slots   int
	measure func(epochs int, a research.Attempt) (research.Measurement, string) // or why it is lost
	mu      sync.Mutex
	exits   map[executor.JobID]executor.Exit
}

func (p *pretend) Name() string                                 { return "pretend" }
func (p *pretend) Slots(context.Context) (int, error)           { return p.slots, nil }
func (p *pretend) Cancel(context.Context, executor.JobID) error { return nil }

var epochsIn = regexp.MustCompile(`(?m)^EPOCHS = (\d+)`)

func (p *pretend) Submit(_ context.Context, j executor.Job) error {
	b, err := bundle.Open(j.Bundle)
	if err != nil {
		return err
	}
	spec, err := b.Spec()
	if err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(b.Tree(), "train.py"))
	if err != nil {
		return err
	}
	epochs, _ := strconv.Atoi(epochsIn.FindStringSubmatch(string(text))[1])
	m, lost := p.measure(epochs, spec.Attempt)
	exit := executor.Exit{Lost: lost, Code: 1}
	if lost == "" {
		m.Seeds = spec.Attempt.Seeds
		if err := b.WriteResult(bundle.Result{Token: spec.Attempt.Token, Measurement: m}); err != nil {
			return err
		}
		exit = executor.Exit{Ended: true}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.exits[j.ID] = exit
	return nil
}

func (p *pretend) Wait(_ context.Context, id executor.JobID) (executor.Exit, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.exits[id], nil
}

// scored is a valid measurement.
func scored(score float64) research.Measurement {
	return research.Measurement{Outcome: research.Valid, Score: &score,
		Metrics: map[string]research.MetricValue{"rmse": {Value: score, Source: research.FromEvaluator}}}
}

// proposer is a proposer by a function.
type proposer func(ctx context.Context, s *session.Session) error

func (p proposer) Propose(ctx context.Context, s *session.Session) error { return p(ctx, s) }

// use calls a tool of a session as a model would.
func use(ctx context.Context, s *session.Session, name string, args map[string]any) (tool.Answer, error) {
	raw, err := json.Marshal(args)
	if err != nil {
		return tool.Answer{}, err
	}
	return s.Call(ctx, name, raw)
}

// try sets EPOCHS, submits and waits for the verdict.
func try(ctx context.Context, s *session.Session, epochs int) (submitted, verdict tool.Answer, err error) {
	if _, err = use(ctx, s, "edit_file", map[string]any{"path": "train.py", "old": "EPOCHS = 4\n", "new": fmt.Sprintf("EPOCHS = %d\n", epochs)}); err != nil {
		return
	}
	if submitted, err = use(ctx, s, "submit_trial", map[string]any{"hypothesis": "more passes", "expected_delta": -1}); err != nil || submitted.IsError {
		return
	}
	verdict, err = use(ctx, s, "await_trial", map[string]any{"trial": submitted.Data.(tool.Submitted).Trial.String()})
	return
}

// bench is no bench: these sessions use no checks.
type bench struct{}

func (bench) Enter(context.Context) (leave func(), err error) { return func() {}, nil }
func (bench) Check(context.Context, string, string) (session.CheckResult, error) {
	return session.CheckResult{OK: true}, nil
}
func (bench) Shell(context.Context, string, string) (session.CheckResult, error) {
	return session.CheckResult{OK: true}, nil
}

// A world is a run to be supervised by the loop under test.
type world struct {
	t     *testing.T
	dir   string
	task  *task.Task
	store *lineage.Store
	exec  *pretend
	cfg   Config
}

func newWorld(t *testing.T, budgets research.Budgets, arm research.Arm, players map[string]session.Proposer) *world {
	t.Helper()
	return newWorldOf(t, budgets, arm, players, "test")
}

func newWorldOf(t *testing.T, budgets research.Budgets, arm research.Arm, players map[string]session.Proposer, kind string, changes ...func(*research.Registration)) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir()}
	dir := filepath.Join(t.TempDir(), "tide")
	if _, err := task.New(dir); err != nil {
		t.Fatal(err)
	}
	var err error
	if w.task, err = task.Load(dir); err != nil {
		t.Fatal(err)
	}
	files, err := w.task.RecipeFiles()
	if err != nil {
		t.Fatal(err)
	}
	tree := make([]lineage.File, len(files))
	for i, f := range files {
		tree[i] = lineage.File{Path: f.Path, Mode: uint32(f.Mode), Data: f.Data}
	}
	root, blobs, err := lineage.NewTree(tree)
	if err != nil {
		t.Fatal(err)
	}
	var agents []research.Agent
	if arm.Agents == research.Generic {
		for _, name := range slices.Sorted(maps.Keys(players)) {
			agents = append(agents, research.Agent{Name: name, Role: "generic", Proposer: kind})
		}
	}
	for _, r := range w.task.Roles {
		if _, ok := players[r.ID]; ok {
			agents = append(agents, research.Agent{Name: r.ID, Role: r.ID, Proposer: kind})
		}
	}
	reg := research.Registration{
		Run: "test", VerdictVersion: research.VerdictVersion, Score: w.task.Score, Bounds: w.task.Bounds,
		NoiseKind: w.task.NoiseKind, Keep: w.task.Keep, Arm: arm, Agents: agents, Budgets: budgets,
		Replicates: 2, Seeds: 1, Seed: 1, BaselineTree: root.Hash,
	}
	for _, change := range changes {
		change(&reg)
	}
	w.store, err = lineage.Create(w.dir, reg, blobs...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.store.Close() })
	w.exec = &pretend{slots: 2, exits: map[executor.JobID]executor.Exit{}, measure: func(epochs int, _ research.Attempt) (research.Measurement, string) {
		return scored(100 / float64(epochs)), ""
	}}
	var tokens atomic.Int64
	w.cfg = Config{
		Dir: w.dir, Task: w.task, Store: w.store, Executor: w.exec, Proposers: players, Bench: bench{},
		PID: 1, Host: "here", Now: time.Now, Token: func() string { return fmt.Sprintf("token-%d", tokens.Add(1)) },
		Log: slog.New(slog.DiscardHandler),
	}
	return w
}

func (w *world) run() (Ending, error) {
	w.t.Helper()
	l, err := New(w.cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(w.t.Context(), 30*time.Second)
	defer cancel()
	return l.Run(ctx, w.t.Context())
}

func (w *world) trial(id research.TrialID) research.Trial {
	w.t.Helper()
	t, err := w.store.Trial(id)
	if err != nil {
		w.t.Fatal(err)
	}
	return t
}

var withLineage = research.Arm{Agents: research.Specialists, Lineage: true}

func TestBetterTrialsAreKept(t *testing.T) {
	var epochs atomic.Int64
	epochs.Store(4)
	w := newWorld(t, research.Budgets{Trials: 4}, withLineage, map[string]session.Proposer{
		"fit": proposer(func(ctx context.Context, s *session.Session) error {
			// Each session starts from the incumbent, so that the text to replace moves with it.
			now := epochs.Load()
			old, next := fmt.Sprintf("EPOCHS = %d\n", now), fmt.Sprintf("EPOCHS = %d\n", now*2)
			if _, err := use(ctx, s, "edit_file", map[string]any{"path": "train.py", "old": old, "new": next}); err != nil {
				return err
			}
			a, err := use(ctx, s, "submit_trial", map[string]any{"hypothesis": "twice the passes", "expected_delta": -1})
			if err != nil || a.IsError {
				return errors.Join(err, errors.New(a.Text))
			}
			epochs.Store(now * 2)
			_, err = use(ctx, s, "await_trial", map[string]any{"trial": a.Data.(tool.Submitted).Trial.String()})
			return err
		}),
	})
	ending, err := w.run()
	if err != nil || ending.Trials != 4 || ending.Interrupted {
		t.Fatalf("ending %+v, %v", ending, err)
	}
	for id := research.TrialID(1); id <= 4; id++ {
		if tr := w.trial(id); tr.Status != research.StatusKeep || tr.Proposal.Parent != id-1 {
			t.Errorf("trial %s: %s on %s, want a keep on the trial before", id, tr.Status, tr.Proposal.Parent)
		}
	}
	if report, err := lineage.Verify(w.dir, lineage.Options{}); err != nil || len(report.Findings) > 0 {
		t.Errorf("the run does not verify: %v %v", report.Findings, err)
	}
}

func TestDuplicatesAreRefusedFree(t *testing.T) {
	for name, arm := range map[string]research.Arm{
		"with lineage": withLineage, "without": {Agents: research.Specialists},
	} {
		t.Run(name, func(t *testing.T) {
			var refusal string
			w := newWorld(t, research.Budgets{Trials: 2}, arm, map[string]session.Proposer{
				"fit": proposer(func(ctx context.Context, s *session.Session) error {
					if s.Brief().Session == 1 {
						_, _, err := try(ctx, s, 2) // worse, so that the next session starts from the baseline too
						return err
					}
					if refusal == "" {
						a, _, err := try(ctx, s, 2)
						refusal = a.Text
						return err
					}
					_, _, err := try(ctx, s, 8)
					return err
				}),
			})
			if _, err := w.run(); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(refusal, "already tried") || strings.Contains(refusal, "001") != arm.Lineage {
				t.Errorf("the second submission of the same code was answered: %q", refusal)
			}
			if n, _ := w.store.Count(); n != 3 {
				t.Errorf("%d trials with the baseline, want 3: a refusal costs nothing", n)
			}
		})
	}
}

func TestOurFailuresAreTriedAgainOnce(t *testing.T) {
	w := newWorld(t, research.Budgets{Trials: 2}, withLineage, map[string]session.Proposer{
		"fit": proposer(func(ctx context.Context, s *session.Session) error {
			_, _, err := try(ctx, s, 4+int(s.Brief().Session))
			return err
		}),
	})
	w.exec.measure = func(epochs int, a research.Attempt) (research.Measurement, string) {
		switch {
		case a.Trial == 1 && a.Number == 1:
			return research.Measurement{}, "the node died"
		case a.Trial == 2:
			return research.Measurement{Outcome: research.Aborted, Reason: "the sandbox did not start"}, ""
		}
		return scored(float64(epochs)), ""
	}
	if _, err := w.run(); err != nil {
		t.Fatal(err)
	}
	if tr := w.trial(1); tr.Status != research.StatusDiscard {
		t.Errorf("001 is %s; a lost attempt must be repeated", tr.Status)
	}
	attempts, err := w.store.Attempts(2)
	if err != nil || len(attempts) != maxAttempts {
		t.Errorf("%d attempts at 002 (%v), want %d and no more", len(attempts), err, maxAttempts)
	}
	if tr := w.trial(2); tr.Status != research.Status(research.Aborted) || !strings.Contains(tr.Verdict.Reason, "did not start") {
		t.Errorf("002 is %s: %v", tr.Status, tr.Verdict)
	}
	if spend, _ := w.store.Spend(); spend.Trials != 2 {
		t.Errorf("%d trials are charged, want 2: no free, hidden retries", spend.Trials)
	}
}

func TestAFailingAgentDoesNotStopTheOthers(t *testing.T) {
	w := newWorld(t, research.Budgets{Trials: 3}, withLineage, map[string]session.Proposer{
		"features": proposer(func(context.Context, *session.Session) error { return errors.New("no connection") }),
		"fit": proposer(func(ctx context.Context, s *session.Session) error {
			_, _, err := try(ctx, s, 100-int(s.Brief().Session))
			if s.Brief().Session > 20 {
				return errors.New("too many sessions: the failing agent is not held back")
			}
			return err
		}),
	})
	w.exec.measure = func(epochs int, _ research.Attempt) (research.Measurement, string) {
		return scored(float64(epochs)), ""
	}
	ending, err := w.run()
	if err != nil || ending.Trials != 3 {
		t.Fatalf("ending %+v, %v", ending, err)
	}
	failed := 0
	sessions, err := w.store.Sessions(0, 100)
	for _, s := range sessions {
		if s.Ending == "error" && s.Error == "no connection" && s.Agent == "features" {
			failed++
		}
	}
	if err != nil || failed == 0 {
		t.Errorf("no failed session is on record (%v)", err)
	}
}

func TestStaggerHoldsNewAgentsOnly(t *testing.T) {
	began := make(chan string, 10)
	player := func(name string) session.Proposer {
		return proposer(func(ctx context.Context, s *session.Session) error {
			began <- name
			_, _, err := try(ctx, s, 100+int(s.Brief().Session))
			return err
		})
	}
	w := newWorld(t, research.Budgets{Trials: 3}, research.Arm{Agents: research.Generic, N: 2, Lineage: true},
		map[string]session.Proposer{"one": player("one"), "other": player("other")})
	w.cfg.Stagger = time.Hour
	w.exec.measure = func(epochs int, _ research.Attempt) (research.Measurement, string) {
		return scored(float64(epochs)), ""
	}
	ending, err := w.run()
	if err != nil || ending.Trials != 3 || ending.Interrupted {
		t.Fatalf("ending %+v, %v: an agent that submitted must not wait", ending, err)
	}
	close(began)
	first := <-began
	for name := range began {
		if name != first {
			t.Errorf("%s began within an hour of %s", name, first)
		}
	}
}

func TestABaselineThatFailsEndsTheRun(t *testing.T) {
	w := newWorld(t, research.Budgets{Trials: 3}, withLineage, map[string]session.Proposer{
		"fit": proposer(func(context.Context, *session.Session) error { t.Error("a session began"); return nil }),
	})
	w.exec.measure = func(int, research.Attempt) (research.Measurement, string) {
		return research.Measurement{Outcome: research.Crash, Reason: "train: ImportError"}, ""
	}
	_, err := w.run()
	if err == nil || !strings.Contains(err.Error(), "ImportError") || research.Hint(err) == "" {
		t.Errorf("the run ended with %v; want the reason and a hint", err)
	}
	w.cfg.Resumed = true
	if _, err := w.run(); err == nil || !strings.Contains(err.Error(), "ImportError") {
		t.Errorf("the resume ended with %v; want the same reason at once", err)
	}
}

func TestAnIncompleteBaselineEndsTheRun(t *testing.T) {
	w := newWorld(t, research.Budgets{Trials: 3}, withLineage, map[string]session.Proposer{
		"fit": proposer(func(context.Context, *session.Session) error { t.Error("a session began"); return nil }),
	})
	w.exec.slots = 1
	w.exec.measure = func(epochs int, a research.Attempt) (research.Measurement, string) {
		if a.Replicate == 1 {
			return research.Measurement{}, "the node died"
		}
		return scored(float64(epochs)), ""
	}
	if _, err := w.run(); err == nil || !strings.Contains(err.Error(), "1 of 2 measurements") {
		t.Errorf("the run ended with %v: noise must not be taken from fewer measurements than were registered", err)
	}
}

func TestTimeBudgets(t *testing.T) {
	for name, budgets := range map[string]research.Budgets{
		"time":           {Time: research.Duration(600 * time.Millisecond)},
		"no improvement": {NoImprovement: research.Duration(600 * time.Millisecond)},
	} {
		t.Run(name, func(t *testing.T) {
			var n atomic.Int64
			w := newWorld(t, budgets, withLineage, map[string]session.Proposer{
				"fit": proposer(func(ctx context.Context, s *session.Session) error {
					time.Sleep(20 * time.Millisecond)
					_, _, err := try(ctx, s, 100+int(n.Add(1)))
					return err
				}),
			})
			w.exec.measure = func(epochs int, _ research.Attempt) (research.Measurement, string) {
				return scored(float64(epochs)), ""
			}
			began := time.Now()
			ending, err := w.run()
			if err != nil || ending.Trials == 0 {
				t.Fatalf("ending %+v, %v", ending, err)
			}
			if took := time.Since(began); took < 500*time.Millisecond {
				t.Errorf("it ended after %v, before its budget", took)
			}
		})
	}
}

func TestResumeTakesUpWhatWasSubmitted(t *testing.T) {
	w := newWorld(t, research.Budgets{Trials: 1}, withLineage, map[string]session.Proposer{
		"fit": proposer(func(ctx context.Context, s *session.Session) error {
			_, _, err := try(ctx, s, 8)
			return err
		}),
	})
	// The supervisor dies between submission and dispatch: the executor stops it there.
	stop, cancel := context.WithCancel(t.Context())
	var l *Loop
	w.exec.measure = func(epochs int, a research.Attempt) (research.Measurement, string) {
		if a.Trial == 1 {
			cancel()
			for early := false; !early; time.Sleep(time.Millisecond) { // otherwise a second attempt may begin before the loop hears of it
				if l.do(t.Context(), func() { early = l.early }) != nil {
					break
				}
			}
			return research.Measurement{}, "the machine went down"
		}
		return scored(100 / float64(epochs)), ""
	}
	var err error
	if l, err = New(w.cfg); err != nil {
		t.Fatal(err)
	}
	ending, err := l.Run(stop, t.Context())
	if err != nil || !ending.Interrupted || w.trial(1).Status != "" {
		t.Fatalf("ending %+v, %v; trial 001 is %q, want it pending", ending, err, w.trial(1).Status)
	}
	w.exec.measure = func(epochs int, _ research.Attempt) (research.Measurement, string) {
		return scored(100 / float64(epochs)), ""
	}
	w.cfg.Resumed = true
	if _, err := w.run(); err != nil {
		t.Fatal(err)
	}
	if tr := w.trial(1); tr.Status != research.StatusKeep {
		t.Errorf("001 is %s after the resume, want a keep", tr.Status)
	}
}
