package local

import (
	"context"
	"sync"
)

// A line lets those who wait in by strict order of arrival, so that nobody starves: whoever needs
// much is not overtaken for ever by those who need little.
type line struct {
	mu      sync.Mutex // guards what the callers' functions touch, too
	waiting []*waiter
}

type waiter struct {
	try func() bool
	in  chan struct{} // closed once try has succeeded
}

// enter returns nil once try has returned true. try takes what it needs, or nothing and returns
// false; it is called with the lock held, after each change, when everybody who came earlier is in.
// When ctx ends first, enter returns its cause and try has taken nothing.
func (l *line) enter(ctx context.Context, try func() bool) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	w := &waiter{try, make(chan struct{})}
	l.change(func() { l.waiting = append(l.waiting, w) })
	select {
	case <-w.in:
		return nil
	case <-ctx.Done():
	}
	err := context.Cause(ctx)
	l.change(func() {
		select {
		case <-w.in: // let in between the two selects
			err = nil
		default:
			l.leave(w)
		}
	})
	return err
}

// change runs f with the lock held and then lets in whoever fits.
func (l *line) change(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
	for len(l.waiting) > 0 && l.waiting[0].try() {
		close(l.waiting[0].in)
		l.waiting = l.waiting[1:]
	}
}

func (l *line) leave(w *waiter) {
	for i, other := range l.waiting {
		if other == w {
			l.waiting = append(l.waiting[:i:i], l.waiting[i+1:]...)
			return
		}
	}
}
