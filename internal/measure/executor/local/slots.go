package local

import (
	"context"
	"fmt"
	"slices"

	"mendel/internal/measure/bundle"
	"mendel/internal/measure/executor"
	"mendel/internal/research"
)

// slots hands out the host's cores and GPUs. At most parallel jobs hold some at a time. A GPU is
// never shared. A core is shared only when the jobs ask for more cores together than there are.
type slots struct {
	line     line
	parallel int
	host     Host
	siblings map[int][]int // the other hardware threads of each core

	running int
	load    map[int]int    // jobs pinned to each core
	busy    map[string]int // jobs on each GPU; more than 1 only when runners were found so
}

func newSlots(parallel int, host Host, siblings map[int][]int) *slots {
	return &slots{parallel: parallel, host: host, siblings: siblings, load: map[int]int{}, busy: map[string]int{}}
}

// fit refuses what waiting cannot help.
func (s *slots) fit(r executor.Resources) error {
	if want := cores(r); want > len(s.host.CPUs) {
		return research.Hinted(fmt.Errorf("%w: it asks for %d cores and %d may be used", executor.ErrUnfit, want, len(s.host.CPUs)),
			"lower resources.cpus in task.yaml, or start mendel with more cores (see `taskset -cp $$`)")
	}
	if r.GPUs > len(s.host.GPUs) {
		return research.Hinted(fmt.Errorf("%w: it asks for %d GPUs and %d may be used", executor.ErrUnfit, r.GPUs, len(s.host.GPUs)),
			"lower resources.gpus in task.yaml, or check CUDA_VISIBLE_DEVICES and /dev/nvidia*")
	}
	return nil
}

// acquire waits until the job may start and says where.
func (s *slots) acquire(ctx context.Context, r executor.Resources) (bundle.Placement, error) {
	var p bundle.Placement
	err := s.line.enter(ctx, func() bool {
		gpus := s.freeGPUs()
		if s.running >= s.parallel || len(gpus) < r.GPUs {
			return false
		}
		p = bundle.Placement{CPUs: s.quietest(cores(r)), GPUs: gpus[:r.GPUs]}
		s.count(p, 1)
		return true
	})
	return p, err
}

// hold counts a job that was found running, even beyond parallel.
func (s *slots) hold(p bundle.Placement) { s.line.change(func() { s.count(p, 1) }) }

func (s *slots) release(p bundle.Placement) { s.line.change(func() { s.count(p, -1) }) }

func (s *slots) count(p bundle.Placement, n int) {
	s.running += n
	for _, c := range p.CPUs {
		s.load[c] += n
	}
	for _, g := range p.GPUs {
		s.busy[g] += n
	}
}

func (s *slots) freeGPUs() []string {
	free := []string{}
	for _, g := range s.host.GPUs {
		if s.busy[g] == 0 {
			free = append(free, g)
		}
	}
	return free
}

// quietest picks the n cores with the fewest jobs, and among equals those whose other hardware
// threads have the fewest: two threads of one core slow each other down.
func (s *slots) quietest(n int) []int {
	picked := make([]int, 0, n)
	crowd := func(c int) (own, siblings int) {
		for _, other := range s.siblings[c] {
			siblings += s.load[other]
			if slices.Contains(picked, other) {
				siblings++
			}
		}
		return s.load[c], siblings
	}
	for len(picked) < n {
		best, bestOwn, bestSiblings := -1, 0, 0
		for _, c := range s.host.CPUs {
			if slices.Contains(picked, c) {
				continue
			}
			own, siblings := crowd(c)
			if best < 0 || own < bestOwn || own == bestOwn && siblings < bestSiblings {
				best, bestOwn, bestSiblings = c, own, siblings
			}
		}
		picked = append(picked, best)
	}
	slices.Sort(picked)
	return picked
}

func cores(r executor.Resources) int { return max(1, r.CPUs) }
