package executortest

import (
	"context"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

func isCancelled(err error) bool { return errors.Is(err, context.Canceled) }

// neverMoreThanSlots throws many jobs at an executor at once, some of them exclusive, some cancelled,
// and replays the diary that they kept.
func neverMoreThanSlots(s *suite) {
	e := s.supervisor()
	slots, err := e.Slots(s.ctx)
	if err != nil {
		s.Fatal(err)
	}
	seed := rand.Uint64()
	s.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	n := 8 * slots
	if testing.Short() {
		n = 3 * slots
	}
	diary := filepath.Join(s.dir, "diary")
	exclusive := map[string]bool{}
	var all sync.WaitGroup
	for i := range n {
		endings := []Ending{WithResult, WithResult, WithoutResult, KillsItself}
		j := s.job(Plan{Diary: diary, Busy: time.Duration(random.IntN(20)) * time.Millisecond, Ending: endings[random.IntN(len(endings))]})
		j.Resources.Exclusive = random.IntN(4) == 0
		exclusive[j.Bundle] = j.Resources.Exclusive
		twice := i%3 == 0
		all.Go(func() {
			if twice {
				all.Go(func() {
					if err := e.Submit(s.ctx, j.Job); err != nil {
						s.Error(err)
					}
				})
			}
			if err := e.Submit(s.ctx, j.Job); err != nil {
				s.Error(err)
				return
			}
			if _, err := e.Wait(s.ctx, j.ID); err != nil {
				s.Error(err)
			}
		})
	}
	all.Wait()
	entries := readDiary(s.T, diary)
	if len(entries) != 2*n {
		s.Errorf("%d jobs started or ended %d times, want %d", n, len(entries), 2*n)
	}
	checkOccupancy(s.T, entries, slots, exclusive)
}

// exclusiveHoldsAfterRestart: a restarted supervisor keeps the promise that an earlier one made.
func exclusiveHoldsAfterRestart(s *suite) {
	diary := filepath.Join(s.dir, "diary")
	first := s.supervisor()
	alone := s.job(Plan{Held: true, Diary: diary})
	alone.Resources.Exclusive = true
	s.submit(first, alone)
	alone.Ready(s.T)
	s.leave(first)

	second := s.supervisor()
	s.submit(second, alone)
	other := s.job(Plan{Diary: diary})
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := second.Submit(s.ctx, other.Job); err != nil {
			s.Error(err)
			return
		}
		if _, err := second.Wait(s.ctx, other.ID); err != nil {
			s.Error(err)
		}
	}()
	select {
	case <-done:
		s.Error("another job ran beside an exclusive one")
	case <-time.After(100 * time.Millisecond): // long enough to start it, if it were to be started
	}
	alone.Release(s.T)
	s.wait(second, alone)
	<-done
	checkOccupancy(s.T, readDiary(s.T, diary), 2, map[string]bool{alone.Bundle: true})
}
