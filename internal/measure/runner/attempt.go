package runner

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mendel/internal/measure/bundle"
	"mendel/internal/measure/environ"
	"mendel/internal/measure/sandbox"
	"mendel/internal/research"
)

// maxTails is how much of what the recipe printed specialists may see of one attempt, in bytes:
// too little to carry trained weights from one trial to the next.
const maxTails = 2048

// An attempt is a measurement in the making.
type attempt struct {
	bench
	bundle bundle.Bundle
	spec   *bundle.Spec
	opts   Options

	started time.Time
	busy    time.Duration // in which processes of recipe or evaluator ran
	runs    []research.PhaseRun
	printed [][]byte // beside runs: what may be shown of each, or nil
	logs    map[research.Hash]string
	walls   map[string]timed
	seeds   []*seedRecord
	once    *seedRecord // of the phases that run once
	cache   string      // directory of what the cache's phase left; empty before
	found   []finding
	made    int // directories in work/, for fresh names
}

func newAttempt(b bundle.Bundle, spec bundle.Spec, opts Options) *attempt {
	return &attempt{
		bench:  bench{plan: &spec.Task, tree: b.Tree(), evaluator: b.Evaluator(), work: b.Work(), host: opts.Host},
		bundle: b, spec: &spec, opts: opts, started: opts.Now(),
		logs: map[research.Hash]string{}, walls: map[string]timed{}, once: newSeedRecord(),
	}
}

// measure performs the attempt from its first check to its last seed.
func (a *attempt) measure(ctx context.Context) research.Measurement {
	began := time.Now()
	if err := a.perform(ctx); err != nil {
		a.found = append(a.found, finding{ours, research.Aborted, oneLine(err.Error(), 400), nil})
	}
	m := a.conclude()
	wall := time.Since(began)
	m.Wall, m.Harness = research.SecondsOf(wall), research.SecondsOf(max(0, wall-a.busy))
	return m
}

// perform returns an error where we failed. What the recipe did wrong is in a.found.
func (a *attempt) perform(ctx context.Context) error {
	if err := a.prepare(ctx); err != nil {
		return err
	}
	err := a.phases(ctx)
	if err != nil || ctx.Err() != nil {
		return err
	}
	return a.verify("after the trial")
}

// prepare makes sure that everything is what the spec says, before anything untrusted runs.
func (a *attempt) prepare(ctx context.Context) error {
	if a.host == nil {
		a.host = sandbox.Known(ctx, a.spec.CacheDir)
	}
	want, err := sandbox.ParseLevel(a.plan.Sandbox)
	if err != nil {
		return err
	}
	if !a.host.Level.AtLeast(want) && !a.spec.AllowUnsandboxed {
		return fmt.Errorf("the task asks for a sandbox of level %s, this host offers %s (`mendel doctor` says how to get more)", want, a.host.Level)
	}
	if err := a.verify("before the trial"); err != nil {
		return err
	}
	if a.placement, err = a.bundle.Placement(); err != nil {
		return err
	}
	if err := os.RemoveAll(a.work); err != nil { // of a runner that died
		return err
	}
	if err := os.Mkdir(a.work, 0o755); err != nil {
		return err
	}
	a.helpers = filepath.Join(a.work, "helpers")
	if err := writeHelpers(a.helpers); err != nil {
		return err
	}
	a.env, err = environ.Resolve(ctx, environmentRequest(a.spec), a.spec.CacheDir)
	return err
}

// verify compares tree, evaluator and helpers with what they were.
func (a *attempt) verify(when string) error {
	tree, err := bundle.HashTree(a.tree)
	if err != nil {
		return fmt.Errorf("%s: %w", when, err)
	}
	if tree != a.spec.TreeHash {
		return fmt.Errorf("%s the frozen tree is not what was submitted: hash %s, want %s", when, tree.Short(), a.spec.TreeHash.Short())
	}
	if a.helpers != "" && !helpersIntact(a.helpers) {
		return fmt.Errorf("%s the Python helpers are not ours any more", when)
	}
	if a.spec.EvaluatorHash == "" {
		return nil
	}
	evaluator, err := bundle.HashDir(a.evaluator)
	if err != nil {
		return fmt.Errorf("%s: %w", when, err)
	}
	if evaluator != a.spec.EvaluatorHash {
		return fmt.Errorf("%s the evaluator is not the registered one: hash %s, want %s", when, evaluator.Short(), a.spec.EvaluatorHash.Short())
	}
	return nil
}

// phases runs the free checks, then what runs once, then every seed, and stops at the first end
// after which the rest cannot matter.
func (a *attempt) phases(ctx context.Context) error {
	for _, c := range a.plan.Checks {
		if c.OnFail == "" {
			continue
		}
		if ok, err := a.preflightCheck(ctx, c); !ok || err != nil {
			return err
		}
	}
	for i := range a.plan.Phases {
		if p := &a.plan.Phases[i]; p.Once {
			if ok, err := a.phase(ctx, p, -1, a.once); !ok || err != nil {
				return err
			}
		}
	}
	for i := range a.spec.Attempt.Seeds {
		if ok, err := a.seed(ctx, i); !ok || err != nil {
			return err
		}
	}
	return nil
}

// seed runs the phases of one seed, in cold processes. ok is false when later seeds cannot matter.
func (a *attempt) seed(ctx context.Context, i int) (ok bool, err error) {
	s := newSeedRecord()
	for name, wall := range a.once.wall {
		s.wall[name], s.cpu[name], s.logs[name] = wall, a.once.cpu[name], a.once.logs[name]
	}
	a.seeds = append(a.seeds, s)
	for n := range a.plan.Phases {
		p := &a.plan.Phases[n]
		if p.Once {
			continue
		}
		if ok, err = a.phase(ctx, p, i, s); !ok || err != nil {
			return false, err
		}
	}
	return a.artifactComplete("the last phase", s), nil
}

// phase runs one phase. Whoever looks at what training left finds it complete.
func (a *attempt) phase(ctx context.Context, p *bundle.Phase, i int, s *seedRecord) (ok bool, err error) {
	switch {
	case p.Run != nil && !p.Trusted:
		return a.recipePhase(ctx, p, i, s)
	case !a.artifactComplete(p.Name, s):
		return false, nil
	case p.Trusted:
		return a.inspection(ctx, p, i, s)
	default:
		return a.evaluatorPhase(ctx, p, i, s)
	}
}

// fresh names a path in work/ that nothing has used before.
func (a *attempt) fresh(what string) string {
	a.made++
	return filepath.Join(a.work, fmt.Sprintf("%s-%d", what, a.made))
}

func (a *attempt) seedOf(i int) int64 {
	if len(a.spec.Attempt.Seeds) == 0 {
		return 0
	}
	return a.spec.Attempt.Seeds[max(i, 0)]
}

// enter tells whoever watches that a phase begins.
func (a *attempt) enter(phase string, seed int) {
	now := a.opts.Now()
	err := a.bundle.WriteProgress(bundle.Progress{
		Phase: phase, Seed: seed, Seeds: len(a.spec.Attempt.Seeds), StartedAt: a.started, PhaseStartedAt: now,
		Wall: research.SecondsOf(now.Sub(a.started)),
	})
	if err != nil {
		a.opts.Log.Warn("progress", "error", err)
	}
}

// record keeps one run of a phase. shown is what specialists may see of its output, or nil.
func (a *attempt) record(run research.PhaseRun, log *capture, notes string, shown bool) error {
	text, size := log.content()
	var visible []byte
	if shown {
		visible = text
	}
	if notes != "" {
		text = fmt.Appendf(text, "[mendel] %s\n", notes)
	}
	if len(text) > 0 {
		hash, name, err := storeLog(a.bundle.Logs(), text)
		if err != nil {
			return fmt.Errorf("store the log of %s: %w", run.Phase, err)
		}
		run.Log, run.LogBytes, a.logs[hash] = hash, size, name
	}
	a.runs, a.printed = append(a.runs, run), append(a.printed, visible)
	return nil
}

// conclude makes the measurement out of all that was found.
func (a *attempt) conclude() research.Measurement {
	code := a.codeBytes()
	seeds := a.seeds
	if len(seeds) == 0 { // stopped before the first: what was seen until then
		seeds = []*seedRecord{a.once}
	}
	m := research.Measurement{Seeds: a.spec.Attempt.Seeds, Metrics: aggregateMetrics(a.plan, seeds, len(a.spec.Attempt.Seeds), code)}
	m.Host, _ = os.Hostname()
	if a.host != nil {
		m.Sandbox = research.SandboxNote{
			Level: string(a.host.Level), Memory: string(a.host.Memory),
			Processes: string(a.host.Processes), Disk: string(a.host.Disk),
		}
	}
	margins, missed := judgeBounds(a.plan, m.Metrics, a.walls)
	m.Margins = margins
	found := append(slices.Clone(a.found), missed...)
	found = append(found, a.unmeasured(m.Metrics)...)
	first := decide(found)
	m.Outcome, m.Reason, m.Crash = first.outcome, first.reason, first.crash
	if v, ok := m.Metrics[a.plan.Score.Metric]; ok && m.Outcome != research.Aborted {
		m.Score = &v.Value
	}
	m.Phases = a.withTails(m.Crash)
	return m
}

// unmeasured finds metrics that score or bounds rest on and that nothing gave.
func (a *attempt) unmeasured(metrics map[string]research.MetricValue) []finding {
	var found []finding
	missing := func(name string) {
		if m, declared := a.plan.Metrics[name]; declared {
			if _, ok := metrics[name]; !ok {
				found = append(found, finding{failure, research.Crash, fmt.Sprintf("%s was not measured: %s gave no value", name, m.Source), nil})
			}
		}
	}
	missing(a.plan.Score.Metric)
	for _, b := range a.plan.Bounds {
		missing(b.Metric)
	}
	return found
}

// countedCode is the part of the code in the artifact's size.
func (a *attempt) countedCode() float64 {
	if !a.plan.Artifact.CountsCode {
		return 0
	}
	return a.codeBytes()
}

// codeBytes is the size of the files that agents may edit.
func (a *attempt) codeBytes() float64 {
	var total int64
	_ = filepath.WalkDir(a.tree, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil // the tree's hash was compared: what is missing is not there by right
		}
		rel, err := filepath.Rel(a.tree, path)
		if info, statErr := d.Info(); err == nil && statErr == nil && matchesAny(a.plan.Editable, filepath.ToSlash(rel)) {
			total += info.Size()
		}
		return nil
	})
	return float64(total)
}

// withTails gives the runs what specialists may see of them: together with the crash excerpt no
// more than maxTails bytes, the newest run first.
func (a *attempt) withTails(crash *research.CrashExcerpt) []research.PhaseRun {
	left := maxTails
	if crash != nil {
		left -= len(crash.Exception) + len(crash.Frame) + len(crash.Code)
	}
	runs := slices.Clone(a.runs)
	for i := len(runs) - 1; i >= 0; i-- {
		runs[i].Tail = tailOf(a.printed[i], left)
		left -= len(runs[i].Tail)
	}
	return runs
}

// cleanUp removes what was made on the way. What cannot be removed goes with the bundle.
func (a *attempt) cleanUp() {
	if err := bundle.Remove(a.work); err != nil {
		a.opts.Log.Warn("clean up", "error", strings.TrimSpace(err.Error()))
	}
}
