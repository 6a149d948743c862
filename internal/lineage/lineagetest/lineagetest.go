// Package lineagetest writes runs that never happened, for tests and benchmarks: facts of the size
// and variety of real ones, from a seed, without running a recipe.
//
// Start reading at [Author.Trial].
package lineagetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"mendel/internal/lineage"
	"mendel/internal/research"
)

// Roles are the roles of the made-up task.
var roles = []string{"arch", "opt", "data", "loss", "reg"}

// Roles lists the roles of the made-up task.
func Roles() []string { return roles }

// Registration is one of a made-up task: seconds to an accuracy gate, less is better.
func Registration(tree research.Hash) research.Registration {
	gate, budget, size := 0.98, 20.0, 64000.0
	reg := research.Registration{
		Run: "5f0c", Mendel: "test", VerdictVersion: research.VerdictVersion,
		Task:  research.TaskIdentity{Name: "made-up", Title: "A made-up task", Dir: "tasks/made-up", Hash: hash("task"), Evaluator: hash("evaluator")},
		Score: research.ScoreRule{Metric: "train_s", Unit: "s", Direction: research.Minimize},
		Bounds: []research.Bound{
			{Name: "train", Metric: "train_s", Unit: "s", Max: &budget, Outcome: research.TrainBudgetOverrun},
			{Name: "artifact", Metric: "artifact_bytes", Unit: "B", Max: &size, Outcome: research.SizeBlocked},
			{Name: "accuracy", Gate: true, Metric: "accuracy", Unit: "", Min: &gate, Outcome: research.Disqualified},
		},
		NoiseKind: research.Timing, Keep: research.KeepRule{Rule: research.Strict},
		Arm:     research.Arm{Agents: research.Specialists, Lineage: true},
		Budgets: research.Budgets{Trials: 100_000}, Replicates: 3, Seeds: 3, Seed: 1, Parallel: 2,
		Sandbox: research.SandboxNote{Level: "isolated"}, SandboxRequire: "isolated", BaselineTree: tree,
	}
	for _, role := range roles {
		reg.Agents = append(reg.Agents, agent(role))
	}
	return reg
}

// agent is the member of the team that plays a role: a model for the first one.
func agent(role string) research.Agent {
	a := research.Agent{Name: role, Role: role, Proposer: "mutate"}
	if role == roles[0] {
		a.Proposer = "openai:made-up"
	}
	return a
}

func hash(s string) research.Hash { return lineage.NewBlob([]byte(s)).Hash }

// A Write records one fact, like [lineage.Store.Append] without the context.
type Write func(fact research.Fact, blobs ...lineage.Blob) error

// Live writes each fact durably on its own.
func Live(s *lineage.Store) Write {
	return func(fact research.Fact, blobs ...lineage.Blob) error {
		_, err := s.Append(context.Background(), fact, blobs...)
		return err
	}
}

// An Author makes up the facts of one run.
type Author struct {
	rng       *rand.Rand
	recipe    []string // lines of train.py
	next      research.TrialID
	session   research.SessionID
	incumbent research.TrialID
	best      float64
	reader    *lineage.Reader // what verdicts are asked of
}

// Reopened goes on with a store that was closed and opened again.
func (a *Author) Reopened(s *lineage.Store) { a.reader = s.Reader }

// New makes the run file of dir with its registration.
func New(dir string, seed uint64) (*Author, *lineage.Store, error) {
	a := &Author{rng: rand.New(rand.NewPCG(seed, 2)), best: 12}
	for i := range 300 {
		a.recipe = append(a.recipe, fmt.Sprintf("layer_%03d = dense(%d, width=%d, scale=%.4f)  # %s", i, i, 32+a.rng.IntN(200), a.rng.Float64(), words(a.rng, 3)))
	}
	root, blobs, err := a.tree(a.recipe)
	if err != nil {
		return nil, nil, err
	}
	store, err := lineage.Create(dir, Registration(root), blobs...)
	if err != nil {
		return nil, nil, err
	}
	a.reader = store.Reader
	return a, store, nil
}

func (a *Author) tree(lines []string) (research.Hash, []lineage.Blob, error) {
	root, blobs, err := lineage.NewTree([]lineage.File{
		{Path: "train.py", Mode: 0o644, Data: []byte(strings.Join(lines, "\n") + "\n")},
		{Path: "lib/net.py", Mode: 0o644, Data: []byte("def dense(i, width, scale):\n    return i, width, scale\n")},
		{Path: "run.sh", Mode: 0o755, Data: []byte("#!/bin/sh\nexec python3 train.py\n")},
	})
	return root.Hash, blobs, err
}

// Baseline writes trial 000, measured three times, with its calibration and verdict.
func (a *Author) Baseline(write Write) error {
	if err := write(research.Supervised{PID: 1, Host: "host"}); err != nil {
		return err
	}
	root, _, err := a.tree(a.recipe)
	if err != nil {
		return err
	}
	if err := write(research.Submitted{Trial: 0, Proposal: research.Proposal{Role: "baseline", Hypothesis: "the recipe as it is", Tree: root, Tokens: hash("tokens 0")}}); err != nil {
		return err
	}
	for replicate := range 3 {
		attempt := a.Attempt(0, replicate, 1)
		if err := write(research.Dispatched{Attempt: attempt, Executor: "local", Bundle: "bundles/000"}); err != nil {
			return err
		}
		measured, blobs := a.Measured(attempt, research.Valid, 12+a.rng.Float64()/10)
		if err := write(measured, blobs...); err != nil {
			return err
		}
	}
	calibrated, err := a.reader.Calibration()
	if err != nil {
		return err
	}
	calibrated.Host = "host"
	if err := write(calibrated); err != nil {
		return err
	}
	a.next = 1
	judged, err := a.Judged(0)
	if err != nil {
		return err
	}
	return write(judged)
}

// Trial writes one whole trial: its session, submission, measurement and verdict.
func (a *Author) Trial(write Write) error {
	opened, blob := a.Opened()
	if err := write(opened, blob); err != nil {
		return err
	}
	called := research.ToolCalled{Session: a.session, Tool: "edit_file", Digest: hash("x"), Wall: 0.01, CPU: 0.005, Bytes: 120}
	if err := write(called); err != nil {
		return err
	}
	closed := research.SessionClosed{Session: a.session, Ending: "submitted"}
	var said []lineage.Blob
	if opened.Agent.Proposer != "mutate" {
		for call := 1; call <= 2; call++ {
			if err := a.Call(write, call); err != nil {
				return err
			}
		}
		said = []lineage.Blob{a.Transcript()}
		closed.Transcript = said[0].Hash
	}
	submitted, blobs, err := a.Submitted()
	if err != nil {
		return err
	}
	if err := write(submitted, blobs...); err != nil {
		return err
	}
	attempt := a.Attempt(submitted.Trial, 0, 1)
	if err := write(research.Dispatched{Attempt: attempt, Executor: "local", Bundle: "bundles/" + submitted.Trial.String()}); err != nil {
		return err
	}
	outcome, score := a.Ending()
	if outcome == research.Aborted {
		if err := write(research.AttemptLost{Attempt: attempt, Reason: "the machine went away", Wall: 3}); err != nil {
			return err
		}
	} else {
		measured, logs := a.Measured(attempt, outcome, score)
		if err := write(measured, logs...); err != nil {
			return err
		}
	}
	judged, err := a.Judged(submitted.Trial)
	if err != nil {
		return err
	}
	if err := write(judged); err != nil {
		return err
	}
	return write(closed, said...)
}

// Call writes one model call of the open session, asked and answered.
func (a *Author) Call(write Write, call int) error {
	if err := write(a.Asked(call)); err != nil {
		return err
	}
	return write(a.Answered(call))
}

// Asked sets aside the worst case of a model call of the open session.
func (a *Author) Asked(call int) research.ModelAsked {
	return research.ModelAsked{Session: a.session, Call: call, Model: "openai:made-up", Worst: research.Charge{Tokens: 40_000, USD: 0.35}}
}

// Answered settles that call.
func (a *Author) Answered(call int) research.ModelAnswered {
	u := research.Usage{Input: 900 + int64(a.session), CacheRead: 11_000, CacheWrite: 300, Output: 700 + int64(call), Thinking: 450}
	return research.ModelAnswered{
		Session: a.session, Call: call, Usage: u, Charge: research.Charge{Tokens: u.Tokens(), USD: 0.0123}, Priced: true, Wall: 8.5,
	}
}

// Transcript is what was said in the open session.
func (a *Author) Transcript() lineage.Blob {
	return lineage.NewBlob(fmt.Appendf(nil, `{"at":"2026-01-02T03:04:05Z","kind":"said","turn":1,"text":"Session %d: a wider layer."}
{"at":"2026-01-02T03:04:06Z","kind":"tool_call","turn":1,"name":"submit_trial","args":{"hypothesis":"wider"}}
`, a.session))
}

// Opened starts the next session, with its prompt.
func (a *Author) Opened() (research.SessionOpened, lineage.Blob) {
	a.session++
	role := roles[int(a.session)%len(roles)]
	prompt := lineage.NewBlob(fmt.Appendf(nil, "Session %d of %s. %s", a.session, role, words(a.rng, 200)))
	return research.SessionOpened{Session: a.session, Agent: agent(role), Base: a.incumbent, Prompt: prompt.Hash}, prompt
}

// Submitted proposes a change of one line in the open session.
func (a *Author) Submitted() (research.Submitted, []lineage.Blob, error) {
	lines := append([]string(nil), a.recipe...)
	at := a.rng.IntN(len(lines))
	lines[at] = fmt.Sprintf("layer_%03d = dense(%d, width=%d, scale=%.6f)", at, at, a.rng.IntN(400), a.rng.Float64())
	root, blobs, err := a.tree(lines)
	expected := -a.rng.Float64()
	proposer := agent(roles[int(a.session)%len(roles)])
	submitted := research.Submitted{Trial: a.next, Proposal: research.Proposal{
		Parent: a.incumbent, Role: proposer.Role, Proposer: proposer.Proposer, Session: a.session, Key: fmt.Sprintf("k%d", a.next),
		Hypothesis: fmt.Sprintf("Change line %d: %s", at, words(a.rng, 30)), Expected: &expected, Notes: words(a.rng, 20),
		Tree: root, Tokens: hash(fmt.Sprintf("tokens %d", a.next)), Incumbent: a.incumbent,
	}}
	a.next++
	return submitted, blobs, err
}

// Attempt is the given attempt of a trial.
func (a *Author) Attempt(id research.TrialID, replicate, number int) research.Attempt {
	return research.Attempt{
		Trial: id, Replicate: replicate, Number: number, Token: fmt.Sprintf("%016x", a.rng.Uint64()),
		Seeds: []int64{int64(a.rng.Int32()), int64(a.rng.Int32()), int64(a.rng.Int32())},
	}
}

// Ending draws how a trial ends, in about the shares of real runs.
func (a *Author) Ending() (research.Outcome, float64) {
	p := a.rng.Float64()
	switch {
	case p < 0.02:
		return research.Aborted, 0
	case p < 0.06:
		return research.Crash, 0
	case p < 0.09:
		return research.PreflightCrash, 0
	case p < 0.30:
		return research.Disqualified, a.best * (0.9 + 0.2*a.rng.Float64())
	case p < 0.36:
		return research.SizeBlocked, a.best * (0.95 + 0.2*a.rng.Float64())
	case p < 0.40:
		return research.TrainBudgetOverrun, 20 + a.rng.Float64()
	case p < 0.46: // a keep, each smaller than the one before
		return research.Valid, a.best * (1 - 0.02*a.rng.Float64())
	}
	return research.Valid, a.best * (1 + 0.3*a.rng.Float64())
}

// Measured makes up what a runner found, with its logs.
func (a *Author) Measured(attempt research.Attempt, outcome research.Outcome, score float64) (research.Measured, []lineage.Blob) {
	m := research.Measurement{
		Outcome: outcome, Seeds: attempt.Seeds, Sandbox: research.SandboxNote{Level: "isolated", Memory: "cgroup2", Processes: "cgroup2", Disk: "tmpfs"},
		Host: "host", Harness: 0.02, Wall: research.Seconds(30 + a.rng.Float64()),
	}
	if outcome != research.Valid {
		m.Reason = string(outcome) + ": " + words(a.rng, 6)
	}
	if outcome == research.Crash || outcome == research.PreflightCrash {
		m.Crash = &research.CrashExcerpt{Phase: "train", Exception: "ValueError: " + words(a.rng, 5), Frame: "train.py:41 in step", Code: "x = y @ z"}
	} else {
		accuracy, size := 0.975+0.01*a.rng.Float64(), 60000+8000*a.rng.Float64()
		if outcome == research.Valid {
			accuracy, size = 0.981, 61000
		}
		m.Score = &score
		m.Metrics = map[string]research.MetricValue{
			"train_s":        {Value: score, Seeds: []float64{score - 0.1, score, score + 0.1}, Unit: "s", Source: research.FromHarness},
			"accuracy":       {Value: accuracy, Seeds: []float64{accuracy, accuracy, accuracy}, Source: research.FromEvaluator},
			"artifact_bytes": {Value: size, Unit: "B", Source: research.FromHarness},
			"final_loss":     {Value: a.rng.Float64(), Source: research.FromRecipeLog},
		}
		values := []float64{score, size, accuracy}
		for i, bound := range Registration("").Bounds {
			m.Margins = append(m.Margins, research.MarginOf(bound, values[i]))
		}
	}
	var logs []lineage.Blob
	for seed := range 3 {
		log := lineage.NewBlob([]byte(trainLog(a.rng)))
		logs = append(logs, log)
		m.Phases = append(m.Phases,
			research.PhaseRun{Phase: "train", Seed: seed, Wall: 9, CPU: 9, MaxRSS: 80 << 20, Ended: "ok", Log: log.Hash, LogBytes: int64(len(log.Data)), Tail: string(log.Data[len(log.Data)-300:])},
			research.PhaseRun{Phase: "evaluate", Seed: seed, Wall: 0.5, CPU: 0.5, MaxRSS: 60 << 20, Ended: "ok", OperatorOnly: true})
	}
	return research.Measured{Attempt: attempt, Measurement: m}, logs
}

// Judged is the verdict that follows from what was measured.
func (a *Author) Judged(id research.TrialID) (research.Judged, error) {
	j, err := a.reader.Judgement(id)
	if err != nil {
		return research.Judged{}, err
	}
	verdict := research.Judge(j)
	status := research.StatusOf(id, j.Candidate.Outcome, verdict)
	if status.Ranks() {
		a.incumbent, a.best = id, *j.Candidate.Score
	}
	return research.Judged{Trial: id, Outcome: j.Candidate.Outcome, Verdict: verdict, Status: status}, nil
}

func trainLog(rng *rand.Rand) string {
	var b strings.Builder
	for step := range 40 {
		fmt.Fprintf(&b, "step %d loss %.5f\n", step, rng.Float64())
	}
	return b.String()
}

var vocabulary = strings.Fields(`wider narrower layer schedule warm decay momentum batch crop shift smooth label cosine constant freeze
	skip residual gate scale norm bias seed epoch faster slower memory cache fuse sparse dense width depth head`)

func words(rng *rand.Rand, n int) string {
	picked := make([]string, n)
	for i := range picked {
		picked[i] = vocabulary[rng.IntN(len(vocabulary))]
	}
	return strings.Join(picked, " ")
}

// Start writes the baseline like Baseline, in one transaction.
func (a *Author) Start(s *lineage.Store) error { return a.batch(s, a.Baseline) }

// Bulk writes n more trials in transactions of many.
func (a *Author) Bulk(s *lineage.Store, n int) error {
	const perTransaction = 500
	for ; n > 0; n -= perTransaction {
		err := a.batch(s, func(write Write) error {
			for range min(n, perTransaction) {
				if err := a.Trial(write); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// batch gives fn a way to write inside one transaction, a second of the run's time for each fact.
func (a *Author) batch(s *lineage.Store, fn func(Write) error) error {
	defer func(r *lineage.Reader) { a.reader = r }(a.reader)
	return s.Batch(context.Background(), func(b *lineage.Batch) error {
		a.reader = b.Reader
		head, err := b.Head()
		if err != nil {
			return err
		}
		seconds := time.Duration(head.Seq)
		return fn(func(f research.Fact, blobs ...lineage.Blob) error {
			seconds++
			_, err := b.Append(began.Add(seconds*time.Second), f, blobs...)
			return err
		})
	})
}

// began is when made-up runs begin.
var began = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
