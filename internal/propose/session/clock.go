package session

import (
	"context"
	"fmt"
	"time"
)

// errTimeUsed is the cause of the end of a [Session.Bounded] context.
var errTimeUsed = fmt.Errorf("%w: its time is used", ErrCapped)

// shortestLook keeps a clock that stands shortly before its end from being read without pause.
const shortestLook = 50 * time.Millisecond

// TimeLeft is what the session's time cap leaves. Waiting for verdicts, for the run's budget and
// for the end of an exclusive trial does not count.
func (s *Session) TimeLeft() time.Duration {
	now := s.options.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.options.Caps.Time.Std() - s.used(now)
}

// Bounded makes a context that ends when the session's time is used, with a cause that wraps
// [ErrCapped]. A deadline would not do: what does not count puts the end off.
func (s *Session) Bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	bounded, end := context.WithCancelCause(ctx)
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		for left := s.TimeLeft(); left > 0; left = s.TimeLeft() {
			look := time.NewTimer(max(left, shortestLook))
			select {
			case <-look.C:
			case <-bounded.Done():
				look.Stop()
				return
			}
		}
		end(errTimeUsed)
	}()
	return bounded, func() { end(nil); <-gone }
}

// used is the time that counts. s.mu is held.
func (s *Session) used(now time.Time) time.Duration {
	waited := s.waited
	if s.waits > 0 {
		waited += now.Sub(s.waiting)
	}
	return now.Sub(s.opened) - waited
}

// pause stops the session's clock until unpause; several may overlap.
func (s *Session) pause() {
	now := s.options.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waits == 0 {
		s.waiting = now
	}
	s.waits++
}

func (s *Session) unpause() {
	now := s.options.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waits--; s.waits == 0 {
		s.waited += now.Sub(s.waiting)
	}
}
