package loop

import (
	"context"
	"hash/fnv"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mendel/internal/lineage"
	"mendel/internal/propose/session"
	"mendel/internal/research"
)

// noisy is the score of a tree whose truth is 20 less its epochs, with a deviation of up to 0.1 that
// hangs on tree and seed.
func noisy(epochs int, a research.Attempt) research.Measurement {
	h := fnv.New64a()
	h.Write([]byte(strconv.Itoa(epochs) + "/" + strconv.FormatInt(a.Seeds[0], 10)))
	return scored(20 - float64(epochs) + float64(h.Sum64()%2001)/10_000 - 0.1)
}

// newConfirmedWorld is a run under the rule confirmed. Session n proposes the n-th of the given epochs.
func newConfirmedWorld(t *testing.T, budgets research.Budgets, epochs ...int) *world {
	w := newWorldOf(t, budgets, withLineage, map[string]session.Proposer{
		"fit": proposer(func(ctx context.Context, s *session.Session) error {
			_, _, err := try(ctx, s, epochs[int(s.Brief().Session-1)%len(epochs)])
			return err
		}),
	}, "test", func(reg *research.Registration) {
		reg.Keep = research.KeepRule{Rule: research.Confirmed, Alpha: 0.05, Pairs: 8}
		reg.Replicates = 4
		reg.Certificate = &research.CertificatePlan{Margin: 1, N: 5, Alpha: 0.05}
	})
	w.exec.measure = func(epochs int, a research.Attempt) (research.Measurement, string) { return noisy(epochs, a), "" }
	return w
}

// budget changes how many trials may be used.
func (w *world) budget(trials int) {
	w.t.Helper()
	if _, err := w.store.Append(w.t.Context(), research.BudgetChanged{Budgets: research.Budgets{Trials: trials}}); err != nil {
		w.t.Fatal(err)
	}
}

// runUntilJudged supervises until that many trials beside the baseline have a verdict.
func (w *world) runUntilJudged(n int) {
	w.t.Helper()
	l, err := New(w.cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	stop, cancel := context.WithCancel(w.t.Context())
	defer cancel()
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		defer cancel()
		for stop.Err() == nil {
			count, countErr := w.store.Count() // first: a trial that is submitted in between must not count as judged
			if pending, err := w.store.Pending(); err != nil || countErr != nil || count-len(pending) > n {
				return
			}
			time.Sleep(2 * time.Millisecond)
		}
	}()
	if _, err := l.Run(stop, w.t.Context()); err != nil {
		w.t.Error(err)
	}
	cancel()
	<-watched
}

func (w *world) verify() {
	w.t.Helper()
	if report, err := lineage.Verify(w.dir, lineage.Options{}); err != nil || len(report.Findings) > 0 {
		w.t.Errorf("the run does not verify: %v %v", report.Findings, err)
	}
}

func TestLuckIsNotKept(t *testing.T) {
	w := newConfirmedWorld(t, research.Budgets{Trials: 100}, 3, 6)
	var measured [7]atomic.Int64 // by epochs
	w.exec.measure = func(epochs int, a research.Attempt) (research.Measurement, string) {
		measured[epochs].Add(1)
		if a.Trial == 1 && a.Replicate == 0 {
			return scored(10), "" // 003 epochs are worse; this once they looked best
		}
		return noisy(epochs, a), ""
	}
	w.runUntilJudged(2)
	lucky, better := w.trial(1), w.trial(2)
	if lucky.Status != research.StatusDiscard || !strings.HasPrefix(lucky.Verdict.Reason, "unconfirmed: ") {
		t.Errorf("001 is %s: %s", lucky.Status, lucky.Verdict.Reason)
	}
	if better.Status != research.StatusKeep || !strings.HasPrefix(better.Verdict.Reason, "confirmed: ") {
		t.Errorf("002 is %s: %s", better.Status, better.Verdict.Reason)
	}
	pairs := int64(lucky.Verdict.Confirmation.Measured + better.Verdict.Confirmation.Measured)
	if got := measured[4].Load(); got != 4+pairs {
		t.Errorf("the incumbent's tree was measured %d times, want 4 as the baseline and %d in pairs", got, pairs)
	}
	spend, err := w.store.Spend()
	if err != nil || int64(spend.Replicates) != 2*pairs {
		t.Errorf("spend %+v, %v", spend, err)
	}
	w.verify()
}

func TestConfirmationSurvivesTheSupervisor(t *testing.T) {
	w := newConfirmedWorld(t, research.Budgets{Trials: 5}, 6)
	stop, cancel := context.WithCancel(t.Context())
	w.exec.measure = func(epochs int, a research.Attempt) (research.Measurement, string) {
		if a.Replicate == 3 && a.Trial == 1 {
			cancel()
		}
		return noisy(epochs, a), ""
	}
	w.budget(100)
	l, err := New(w.cfg)
	if err != nil {
		t.Fatal(err)
	}
	if ending, err := l.Run(stop, t.Context()); err != nil || !ending.Interrupted {
		t.Fatalf("%+v, %v", ending, err)
	}
	if tr := w.trial(1); tr.Status != "" {
		t.Fatalf("001 is judged already: %s", tr.Status)
	}
	w.budget(1) // no further proposal: only what is under way
	w.cfg.Resumed = true
	if _, err := w.run(); err != nil {
		t.Fatal(err)
	}
	if tr := w.trial(1); tr.Status != research.StatusKeep {
		t.Errorf("001 is %s: %s", tr.Status, tr.Verdict.Reason)
	}
	attempts, err := w.store.Attempts(1)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range attempts {
		if a.Number > 1 {
			t.Errorf("replicate %d was measured again", a.Replicate)
		}
	}
	w.verify()
}

// Two trials look better at the same time: the second one waits, and is then held against the first.
func TestContendersWait(t *testing.T) {
	both := make(chan struct{}, 2)
	player := func(epochs int) proposer {
		return func(ctx context.Context, s *session.Session) error {
			if s.Brief().Session > 2 {
				return nil
			}
			both <- struct{}{}
			for len(both) < 2 {
				if err := ctx.Err(); err != nil {
					return err
				}
			}
			_, _, err := try(ctx, s, epochs)
			return err
		}
	}
	w := newWorldOf(t, research.Budgets{Trials: 100}, research.Arm{Agents: research.Generic, N: 2, Lineage: true},
		map[string]session.Proposer{"a": player(8), "b": player(9)}, "test", func(reg *research.Registration) {
			reg.Keep = research.KeepRule{Rule: research.Confirmed, Alpha: 0.05, Pairs: 8}
			reg.Replicates = 4
		})
	w.exec.measure = func(epochs int, a research.Attempt) (research.Measurement, string) { return noisy(epochs, a), "" }
	w.runUntilJudged(2)
	first, second := w.trial(1), w.trial(2)
	if first.EndedAt.After(second.EndedAt) {
		first, second = second, first
	}
	if first.Status != research.StatusKeep || first.Verdict.Against != research.Baseline {
		t.Errorf("%s: %s: %s", first.ID, first.Status, first.Verdict.Reason)
	}
	if second.Verdict.Against != first.ID {
		t.Errorf("%s was held against %s, which was not the incumbent any more: %s", second.ID, second.Verdict.Against, second.Verdict.Reason)
	}
	w.verify()
}
