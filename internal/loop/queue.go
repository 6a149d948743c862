package loop

import (
	"slices"

	"mendel/internal/research"
)

// A jobKey names one measurement to be made.
type jobKey struct {
	trial     research.TrialID
	replicate int
}

// A job is a measurement that waits for a slot.
type job struct {
	jobKey
	queue string // whose turn it takes: the role, or one of several agents of a role
}

// A fairQueue hands out jobs so that no role starves another: the role that was served least
// recently goes first, and each role's own jobs keep their order. The zero value is ready.
type fairQueue struct {
	waiting map[string][]job
	served  map[string]int // the round in which the role was last served
	round   int
	n       int
}

// Len is how many jobs wait.
func (q *fairQueue) Len() int { return q.n }

// Push adds a job behind those of its role.
func (q *fairQueue) Push(j job) {
	if q.waiting == nil {
		q.waiting, q.served = make(map[string][]job), make(map[string]int)
	}
	q.waiting[j.queue] = append(q.waiting[j.queue], j)
	q.n++
}

// PushFront puts back a job that was already being served.
func (q *fairQueue) PushFront(j job) {
	q.Push(j)
	jobs := q.waiting[j.queue]
	copy(jobs[1:], jobs)
	jobs[0] = j
	q.served[j.queue] = 0
}

// Pop takes the next job.
func (q *fairQueue) Pop() (job, bool) {
	var next string
	found := false
	for role, jobs := range q.waiting {
		if len(jobs) == 0 {
			continue
		}
		if !found || q.before(role, next) {
			next, found = role, true
		}
	}
	if !found {
		return job{}, false
	}
	j := q.waiting[next][0]
	q.waiting[next] = q.waiting[next][1:]
	q.round++
	q.served[next] = q.round
	q.n--
	return j, true
}

// before orders roles by when they were served, then by the age of their oldest job.
func (q *fairQueue) before(a, b string) bool {
	if q.served[a] != q.served[b] {
		return q.served[a] < q.served[b]
	}
	return q.waiting[a][0].trial < q.waiting[b][0].trial
}

// Drop takes out all jobs of a trial.
func (q *fairQueue) Drop(id research.TrialID) {
	for queue, jobs := range q.waiting {
		kept := slices.DeleteFunc(jobs, func(j job) bool { return j.trial == id })
		q.n -= len(jobs) - len(kept)
		q.waiting[queue] = kept
	}
}
