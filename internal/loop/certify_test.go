package loop

import (
	"context"
	"errors"
	"slices"
	"testing"

	"mendel/internal/measure/bundle"
	"mendel/internal/measure/executor"
	"mendel/internal/research"
)

// A certificate that was interrupted goes on where it stood, and loses a measurement twice at most.
func TestCertifyGoesOn(t *testing.T) {
	w := newConfirmedWorld(t, research.Budgets{Trials: 100}, 6)
	w.runUntilJudged(1)
	if tr := w.trial(1); tr.Status != research.StatusKeep {
		t.Fatalf("001 is %s: %s", tr.Status, tr.Verdict.Reason)
	}
	ctx, cancel := context.WithCancel(t.Context())
	measured := 0
	w.exec.measure = func(epochs int, a research.Attempt) (research.Measurement, string) {
		if measured++; measured == 3 {
			return research.Measurement{}, "the node died"
		}
		if measured == 5 {
			cancel()
		}
		return noisy(epochs, a), ""
	}
	if _, err := Certify(ctx, w.cfg, func(string) {}); !errors.Is(err, context.Canceled) {
		t.Fatalf("interrupted: %v", err)
	}
	certificate, err := Certify(t.Context(), w.cfg, func(string) {})
	if err != nil || certificate.Decision != research.CertifiedGain || certificate.Number != 1 {
		t.Fatalf("%+v, %v", certificate, err)
	}
	if want := 2*certificate.Pairs + 1; measured != want {
		t.Errorf("%d measurements for %d pairs and one that was lost", measured, certificate.Pairs)
	}
	w.verify()
}

// dying is an executor under which the certifier dies once, while a measurement goes on.
type dying struct {
	*pretend
	waits int
}

func (d *dying) Wait(ctx context.Context, id executor.JobID) (executor.Exit, error) {
	if d.waits++; d.waits == 2 {
		return executor.Exit{}, errors.New("kill -9")
	}
	return d.pretend.Wait(ctx, id)
}

func TestCertifyTakesUpWhatWasLeft(t *testing.T) {
	w := newConfirmedWorld(t, research.Budgets{Trials: 100}, 6)
	w.runUntilJudged(1)
	w.cfg.Executor = &dying{pretend: w.exec}
	if _, err := Certify(t.Context(), w.cfg, func(string) {}); err == nil {
		t.Fatal("the certifier did not die")
	}
	state, _, err := w.store.LastCertification()
	if err != nil || state.Open == "" || state.Next() != 2 {
		t.Fatalf("%+v, %v", state, err)
	}
	certificate, err := Certify(t.Context(), w.cfg, func(string) {})
	if err != nil || certificate.Decision != research.CertifiedGain {
		t.Fatalf("%+v, %v", certificate, err)
	}
	events, err := w.store.Events(t.Context(), 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		if m, ok := e.Fact.(research.Recertifying); ok && m.Number > 1 {
			t.Errorf("replicate %d was paid for twice", m.Replicate)
		}
	}
	w.verify()
}

func TestCertifyDataTakesThePlaceOfHeldOutData(t *testing.T) {
	data := certifyData([]bundle.Data{
		{Name: "train", VisibleTo: []string{"train"}},
		{Name: "heldout", VisibleTo: []string{bundle.ForEvaluator}},
		{Name: "certify", VisibleTo: []string{bundle.ForCertifier}},
		{Name: "words", VisibleTo: []string{bundle.ForEvaluator, bundle.ForCertifier}},
	})
	var seen []string
	for _, d := range data {
		if slices.Contains(d.VisibleTo, bundle.ForEvaluator) {
			seen = append(seen, d.Name)
		}
	}
	if !slices.Equal(seen, []string{"certify", "words"}) {
		t.Errorf("the evaluator sees %q", seen)
	}
}
