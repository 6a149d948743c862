package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"os"
	"path/filepath"
	"sync"
	"time"

	"mendel/internal/lineage"
	"mendel/internal/measure/bundle"
	"mendel/internal/measure/executor"
	"mendel/internal/propose/session"
	"mendel/internal/research"
)

// A standIn is an executor whose trials are waits: it takes a bundle as the real one does, and
// leaves a result with a log in it.
type standIn struct {
	slots  int
	lasts  time.Duration
	metric string

	mu   sync.Mutex
	ends map[executor.JobID]time.Time
	jobs map[executor.JobID]string // their bundles
}

func newStandIn(slots int, lasts time.Duration, metric string) *standIn {
	return &standIn{slots: slots, lasts: lasts, metric: metric, ends: map[executor.JobID]time.Time{}, jobs: map[executor.JobID]string{}}
}

func (s *standIn) Name() string                                 { return "stand-in" }
func (s *standIn) Slots(context.Context) (int, error)           { return s.slots, nil }
func (s *standIn) Cancel(context.Context, executor.JobID) error { return nil }

func (s *standIn) Submit(_ context.Context, j executor.Job) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ends[j.ID], s.jobs[j.ID] = time.Now().Add(s.lasts), j.Bundle
	return nil
}

func (s *standIn) Wait(ctx context.Context, id executor.JobID) (executor.Exit, error) {
	s.mu.Lock()
	end, dir := s.ends[id], s.jobs[id]
	delete(s.ends, id)
	delete(s.jobs, id)
	s.mu.Unlock()
	timer := time.NewTimer(time.Until(end))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return executor.Exit{}, ctx.Err()
	}
	b, err := bundle.Open(dir)
	if err != nil {
		return executor.Exit{}, err
	}
	spec, err := b.Spec()
	if err != nil {
		return executor.Exit{}, err
	}
	if err := s.leaveResult(b, spec.Attempt); err != nil {
		return executor.Exit{}, err
	}
	return executor.Exit{Ended: true, Wall: s.lasts}, nil
}

func (s *standIn) leaveResult(b bundle.Bundle, a research.Attempt) error {
	log := bytes.Repeat([]byte("step 0000  loss 2.3456  lr 0.012345  tokens/s 123456\n"), 100)
	log = append(log, a.Token...) // no two are the same
	const name = "train-0.log"
	if err := os.MkdirAll(b.Logs(), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(b.Logs(), name), log, 0o644); err != nil {
		return err
	}
	hash := lineage.NewBlob(log).Hash
	score := scoreOf(a.Trial)
	wall := research.SecondsOf(s.lasts)
	return b.WriteResult(bundle.Result{
		Token: a.Token, EndedAt: time.Now(), Logs: map[research.Hash]string{hash: name},
		Measurement: research.Measurement{
			Outcome: research.Valid, Score: &score, Seeds: a.Seeds, Wall: wall,
			Metrics: map[string]research.MetricValue{s.metric: {Value: score, Source: research.FromEvaluator}},
			Phases: []research.PhaseRun{{
				Phase: "train", Wall: wall, Ended: "ok", Log: hash, LogBytes: int64(len(log)), Tail: string(log[len(log)-1000:]),
			}},
		},
	})
}

// scoreOf is noise with a slow improvement, so that some trials are kept.
func scoreOf(id research.TrialID) float64 {
	var seed [8]byte
	binary.LittleEndian.PutUint64(seed[:], uint64(id))
	sum := sha256.Sum256(seed[:])
	noise := float64(binary.LittleEndian.Uint32(sum[:4])) / (1 << 32)
	return 3 - float64(id)*1e-5 + noise*0.05
}

// bench is no bench: the script uses no checks.
type bench struct{}

func (bench) Enter(context.Context) (leave func(), err error) { return func() {}, nil }

func (bench) Check(context.Context, string, string) (session.CheckResult, error) {
	return session.CheckResult{OK: true}, nil
}

func (bench) Shell(context.Context, string, string) (session.CheckResult, error) {
	return session.CheckResult{OK: true}, nil
}
