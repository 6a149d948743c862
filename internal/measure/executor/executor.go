// Package executor is the contract between whoever decides that a trial shall be measured and
// whatever machine measures it: this one, a Slurm cluster, Kubernetes. Start reading at [Executor].
//
// An executor starts runners, watches them and ends them. It never looks into a measurement and
// knows nothing of proposals or verdicts. All that executor and runner share is the job's bundle,
// a directory that both can read and write; there is no connection between them.
//
// What an executor may take for granted of a runner, which it starts as "SELF runner BUNDLE":
//   - it leaves result.json in the bundle as its last act, complete or not at all, and only while
//     the lease in the bundle still names its token;
//   - once result.json is there, nothing that it started is running any more;
//   - it is the sub-reaper of what it starts, so that a process that detaches itself stays its descendant.
package executor

import (
	"context"
	"errors"
	"time"
)

// An Executor runs jobs. It is safe for concurrent use, and every implementation passes executortest.
//
// An executor is only a view of jobs that live elsewhere: dropping it, or ending the process that
// holds it, leaves every job running, and a new executor takes them over when Submit is repeated.
// One that keeps goroutines or connections is also an [io.Closer]; Close lets go of the jobs
// without touching them, and then Wait returns an error to those who still wait.
type Executor interface {
	// Name is what the lineage records as the place where attempts ran: "local", "slurm".
	Name() string

	// Slots is how many jobs may run at the same time. A caller that submits no more than that
	// does not block in Submit, unless jobs are exclusive or ask for more than a slot's share.
	Slots(ctx context.Context) (int, error)

	// Submit makes sure that the job runs, or ran. It is idempotent in job.ID: a restarted
	// supervisor repeats it for every attempt whose end it has not seen, to learn of it again.
	//
	// The runner is started once in the life of a bundle. Where it was started before, by whichever
	// executor, Submit takes over what it finds: a runner that lives is watched, a result that
	// is there is reported by Wait, and a runner that died without a result stays dead (Wait says
	// Lost), since starting it again would hide what the first start cost. The caller decides
	// whether a new attempt, with a bundle and a token of its own, is worth it.
	//
	// Submit returns when the job has been started or safely queued. Where the executor has no
	// queue of its own, Submit waits until the job has its processors and, for an exclusive job,
	// until nothing else runs. Ending ctx ends that wait and the job is not submitted; once Submit
	// has returned nil, ctx means nothing to the job any more. A job that could never run here is
	// refused with [ErrUnfit] and a hint, and the same ID with another bundle is an error.
	Submit(ctx context.Context, job Job) error

	// Wait reports how the job ended. A failed job is an Exit; an error means that its ending is
	// unknown, and it may be running still: [ErrUnknownJob], a closed executor, an unreachable
	// cluster, the end of ctx. Ending ctx leaves the job running. Any number of callers may wait,
	// also after the end, and all get the same Exit.
	//
	// A node may die, or become unreachable, with the runner on it alive and unaware. When the
	// executor cannot tell these apart within its patience, Wait says Lost. That is a statement about the
	// executor's knowledge: an orphaned runner, or one of two twins after a requeue, may write
	// its result later. The caller who gives up on an attempt therefore replaces the lease in its bundle
	// first, and then looks once more for a result.
	Wait(ctx context.Context, id JobID) (Exit, error)

	// Cancel returns once nothing of the job is left running, its detached descendants included,
	// and then Wait reports the job as lost, or as ended where its result was already there. A job that has
	// not started yet never will. An error means that something may be running still. A job that has ended is
	// no error; one that was never submitted is [ErrUnknownJob].
	Cancel(ctx context.Context, id JobID) error
}

// ErrUnknownJob is returned for an id that was not submitted to this executor value. After a
// restart Submit comes first: only it carries the bundle in which the job can be found.
var ErrUnknownJob = errors.New("job was not submitted to this executor")

// ErrUnfit is returned for a job that this executor could never run, however long it waited.
var ErrUnfit = errors.New("job can never run here")

// A JobID names a job uniquely within a run, for example "017-0-1" for an attempt.
type JobID string

// A Job is one attempt, ready to be measured.
type Job struct {
	ID JobID
	// Bundle is the absolute path of the job's directory. It exists before Submit, and lies where the
	// machine that will run the job sees it by the same path.
	Bundle    string
	Resources Resources
}

// Resources are what a job holds from its start to its end.
type Resources struct {
	CPUs   int   // cores; 0 means 1
	GPUs   int   // whole devices, or whole MIG instances
	Memory int64 // bytes; for executors that must reserve it. The runner enforces the limit.
	// Exclusive jobs run alone: on their host, no other job of this executor runs meanwhile.
	Exclusive bool
}

// An Exit says how a job ended.
type Exit struct {
	// Ended reports whether result.json is in the bundle. What the runner did after writing it
	// does not matter.
	Ended bool
	// Code is the runner's exit status, 128 + n when signal n ended it, or -1 when that is not known.
	Code int
	// Lost is one line that says why there will be no result; empty when Ended.
	Lost string
	// Wall is the time from the runner's start to its end, as well as it is known: what was
	// spent, also when nothing came of it.
	Wall time.Duration
}
