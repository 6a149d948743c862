package loop

import (
	"testing"

	"mendel/internal/research"
)

func TestFairQueue(t *testing.T) {
	var q fairQueue
	push := func(role string, ids ...int) {
		for _, id := range ids {
			q.Push(job{jobKey: jobKey{trial: research.TrialID(id)}, queue: role})
		}
	}
	push("busy", 1, 2, 3, 4)
	push("quiet", 5)
	var order []int
	for range 2 {
		j, _ := q.Pop()
		order = append(order, int(j.trial))
	}
	if order[0] != 1 || order[1] != 5 {
		t.Errorf("served %v first; a role that waits goes before another's second trial", order)
	}
	push("late", 6)
	j, _ := q.Pop()
	if j.trial != 6 {
		t.Errorf("served %s; a role that was never served goes first", j.trial)
	}
	q.PushFront(job{jobKey: jobKey{trial: 1}, queue: "busy"})
	if j, _ := q.Pop(); j.trial != 1 {
		t.Errorf("served %s; a repeated measurement goes before its role's others", j.trial)
	}
	rest := 0
	for last := research.TrialID(0); ; rest++ {
		j, ok := q.Pop()
		if !ok {
			break
		}
		if j.trial <= last {
			t.Errorf("%s came after %s: a role's trials keep their order", j.trial, last)
		}
		last = j.trial
	}
	if rest != 3 || q.Len() != 0 {
		t.Errorf("%d left over, length %d; want 3 and 0", rest, q.Len())
	}
}
