package local

import (
	"context"
	"sync"
)

// A Gate keeps a host quiet for what is timed. Everything that works on the host — ordinary jobs,
// checks, a specialist's bash — holds the shared side; an exclusive job holds the other side, alone.
// Entry is by order of arrival: a waiting exclusive job holds up those who come after it, and
// nobody else.
//
// Hold the shared side for one command, never while waiting for a job: a job that needs the
// exclusive side would then wait for ever. The zero Gate is open.
type Gate struct {
	line   line
	shared int // holders of each side
	alone  int // more than 1 only when runners were taken over that were found running so
}

// Shared waits until no exclusive job runs, and keeps it so until release is called.
func (g *Gate) Shared(ctx context.Context) (release func(), err error) { return g.enter(ctx, false) }

// Exclusive waits until everybody else has left, and keeps everybody out until release is called.
func (g *Gate) Exclusive(ctx context.Context) (release func(), err error) { return g.enter(ctx, true) }

func (g *Gate) enter(ctx context.Context, exclusive bool) (func(), error) {
	err := g.line.enter(ctx, func() bool {
		if g.alone > 0 || exclusive && g.shared > 0 {
			return false
		}
		g.count(exclusive, 1)
		return true
	})
	if err != nil {
		return nil, err
	}
	return g.releaser(exclusive), nil
}

// hold takes a side for something that is running already.
func (g *Gate) hold(exclusive bool) (release func()) {
	g.line.change(func() { g.count(exclusive, 1) })
	return g.releaser(exclusive)
}

func (g *Gate) releaser(exclusive bool) func() {
	return sync.OnceFunc(func() { g.line.change(func() { g.count(exclusive, -1) }) })
}

func (g *Gate) count(exclusive bool, n int) {
	if exclusive {
		g.alone += n
	} else {
		g.shared += n
	}
}
