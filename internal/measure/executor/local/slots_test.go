package local

import (
	"context"
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"mendel/internal/measure/bundle"
	"mendel/internal/measure/executor"
)

// asked is a request that waits or was granted.
type asked struct {
	want    executor.Resources
	granted chan bundle.Placement
	end     context.CancelFunc
}

// Whatever comes and goes, in whatever order: no more jobs than slots, no GPU twice, no core
// twice while cores are left, and first come, first served.
func TestSlots(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		host := Host{CPUs: []int{0, 1, 2, 3}, GPUs: []string{"0", "1", "2"}[:rapid.IntRange(0, 3).Draw(t, "gpus")]}
		s := newSlots(rapid.IntRange(1, 5).Draw(t, "parallel"), host, nil)
		var queue []*asked
		var running []bundle.Placement

		collect := func() {
			for len(queue) > 0 {
				// The head is granted during the very call that made room, so that it is never too early to look.
				s.line.mu.Lock()
				waiting := len(s.line.waiting)
				s.line.mu.Unlock()
				if waiting == len(queue) {
					return
				}
				p := <-queue[0].granted // only the head can be in: anybody else would hang here
				if shared, must := overlap(p, running), len(p.CPUs)-idle(host, running); shared > max(0, must) {
					t.Fatalf("%+v shares %d cores beside %+v", p, shared, running)
				}
				running = append(running, p)
				queue[0].end()
				queue = queue[1:]
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"submit": func(t *rapid.T) {
				r := executor.Resources{CPUs: rapid.IntRange(0, 4).Draw(t, "cpus"), GPUs: rapid.IntRange(0, len(host.GPUs)).Draw(t, "gpus")}
				ctx, end := context.WithCancel(context.Background())
				a := &asked{r, make(chan bundle.Placement, 1), end}
				s.line.mu.Lock()
				before := len(s.line.waiting)
				s.line.mu.Unlock()
				go func() {
					if p, err := s.acquire(ctx, r); err == nil {
						a.granted <- p
					} else {
						close(a.granted)
					}
				}()
				queue = append(queue, a)
				for { // until it is in, or in the line
					s.line.mu.Lock()
					after := len(s.line.waiting)
					s.line.mu.Unlock()
					if after > before || len(a.granted) > 0 {
						break
					}
				}
				collect()
			},
			"end": func(t *rapid.T) {
				if len(running) == 0 {
					t.Skip("nothing runs")
				}
				i := rapid.IntRange(0, len(running)-1).Draw(t, "which")
				s.release(running[i])
				running = slices.Delete(running, i, i+1)
				collect()
			},
			"give up": func(t *rapid.T) {
				if len(queue) == 0 {
					t.Skip("nobody waits")
				}
				i := rapid.IntRange(0, len(queue)-1).Draw(t, "which")
				queue[i].end()
				if _, granted := <-queue[i].granted; granted {
					t.Fatal("granted after it had given up")
				}
				queue = slices.Delete(queue, i, i+1)
				collect()
			},
			"": func(t *rapid.T) {
				if len(running) > s.parallel {
					t.Fatalf("%d jobs on %d slots", len(running), s.parallel)
				}
				onGPU := map[string]int{}
				for _, p := range running {
					for _, g := range p.GPUs {
						onGPU[g]++
					}
				}
				for g, n := range onGPU {
					if n > 1 {
						t.Fatalf("GPU %s given to %d jobs", g, n)
					}
				}
				if len(running) < s.parallel && len(queue) > 0 && len(host.GPUs)-len(onGPU) >= queue[0].want.GPUs {
					t.Fatalf("%+v waits though it fits", queue[0].want)
				}
			},
		})
		for _, a := range queue {
			a.end()
			<-a.granted
		}
	})
}

// overlap counts the cores of p that running jobs hold too.
func overlap(p bundle.Placement, running []bundle.Placement) int {
	n := 0
	for _, c := range p.CPUs {
		if slices.ContainsFunc(running, func(other bundle.Placement) bool { return slices.Contains(other.CPUs, c) }) {
			n++
		}
	}
	return n
}

// idle counts the cores that no running job holds.
func idle(host Host, running []bundle.Placement) int {
	return len(host.CPUs) - overlap(bundle.Placement{CPUs: host.CPUs}, running)
}

func TestQuietestCores(t *testing.T) {
	s := newSlots(8, Host{CPUs: []int{0, 1, 2, 3}}, map[int][]int{0: {1}, 1: {0}, 2: {3}, 3: {2}})
	take := func(n int) []int {
		p, err := s.acquire(t.Context(), executor.Resources{CPUs: n})
		if err != nil {
			t.Fatal(err)
		}
		return p.CPUs
	}
	for i, c := range []struct {
		n    int
		want []int
		why  string
	}{
		{2, []int{0, 2}, "one hardware thread of each core first"},
		{1, []int{1}, "an idle thread beside a busy one is better than a busy one"},
		{1, []int{3}, "the last idle one"},
		{3, []int{0, 1, 2}, "all are equally busy: share"},
		{1, []int{3}, "the least busy one"},
	} {
		if got := take(c.n); !slices.Equal(got, c.want) {
			t.Errorf("step %d: cores %v, want %v: %s", i, got, c.want, c.why)
		}
	}
}

func TestFits(t *testing.T) {
	host := Host{CPUs: []int{4, 5, 6, 7, 8}, GPUs: []string{"0", "1"}}
	for _, c := range []struct {
		r    executor.Resources
		want int
	}{
		{executor.Resources{}, 5},
		{executor.Resources{CPUs: 2}, 2},
		{executor.Resources{CPUs: 1, GPUs: 1}, 2},
		{executor.Resources{CPUs: 1, GPUs: 2}, 1},
		{executor.Resources{CPUs: 1, Exclusive: true}, 1},
		{executor.Resources{CPUs: 6}, 0},
		{executor.Resources{GPUs: 3, Exclusive: true}, 0},
	} {
		if got := host.Fits(c.r); got != c.want {
			t.Errorf("%+v fits %d times, want %d", c.r, got, c.want)
		}
		refused := newSlots(1, host, nil).fit(c.r)
		if (refused == nil) != (c.want > 0) || refused != nil && !errors.Is(refused, executor.ErrUnfit) {
			t.Errorf("%+v: refused with %v", c.r, refused)
		}
	}
}
