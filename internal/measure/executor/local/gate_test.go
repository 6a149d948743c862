package local

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

// enterLater enters in the background and says on the channel when it is in.
func enterLater(ctx context.Context, g *Gate, exclusive bool) <-chan func() {
	in := make(chan func(), 1)
	go func() {
		if leave, err := g.enter(ctx, exclusive); err == nil {
			in <- leave
		}
		close(in)
	}()
	synctest.Wait()
	return in
}

func entered(in <-chan func()) bool {
	synctest.Wait()
	return len(in) > 0
}

func TestGateIsFair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Gate
		first, second := enterLater(t.Context(), &g, false), enterLater(t.Context(), &g, false)
		alone := enterLater(t.Context(), &g, true)
		third := enterLater(t.Context(), &g, false)
		if !entered(first) || !entered(second) {
			t.Error("the shared side was not shared")
		}
		if entered(alone) || entered(third) {
			t.Error("the exclusive side beside the shared one, or somebody overtook it")
		}
		leaveFirst := <-first
		leaveFirst()
		leaveFirst() // a second release is nobody else's
		if entered(alone) {
			t.Error("the exclusive side was given while somebody shared")
		}
		(<-second)()
		if !entered(alone) || entered(third) {
			t.Error("the exclusive side was not given alone")
		}
		(<-alone)()
		if !entered(third) {
			t.Error("the gate stayed shut")
		}
		(<-third)()
	})
}

// Somebody who stops waiting for the exclusive side holds up nobody behind.
func TestGateGivingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Gate
		leave, err := g.Shared(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ctx, end := context.WithCancel(t.Context())
		alone := enterLater(ctx, &g, true)
		shared := enterLater(t.Context(), &g, false)
		end()
		if entered(alone) || !entered(shared) {
			t.Error("it holds up those behind it")
		}
		leave()
		(<-shared)()
		if _, err := g.Exclusive(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("an ended context entered an open gate: %v", err)
		}
		leave, err = g.Exclusive(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		leave()
	})
}
