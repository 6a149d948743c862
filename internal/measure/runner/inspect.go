package runner

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"

	"mendel/internal/measure/bundle"
)

// inspected says whether the task looks at what a phase that runs once left. Otherwise nothing of it
// is even collected. It reaches no other phase in either case.
func (a *attempt) inspected() bool {
	return slices.ContainsFunc(a.plan.Phases, func(p bundle.Phase) bool { return p.Once && p.Trusted })
}

// inspection runs the task's own program over the frozen tree and what the phases before it left. It
// sees no data, so its output may be shown. When it fails the recipe is to blame: it works on
// files that the recipe made, and a failure of ours would be a free second try.
func (a *attempt) inspection(ctx context.Context, p *bundle.Phase, seed int, s *seedRecord) (ok bool, err error) {
	a.enter(p.Name, seed)
	if err := a.verify("before " + p.Name); err != nil {
		return false, err
	}
	result := a.fresh("result")
	if err := os.Mkdir(result, 0o755); err != nil {
		return false, err
	}
	defer os.RemoveAll(result)
	var log capture
	e, err := a.run(ctx, guest{
		argv: p.Run, phase: p.Name, env: p.Env, seed: a.seedOf(seed), trusted: true,
		artifact: s.artifactDir, result: result, log: &log, limits: a.limits(),
	}, p.KillAfter.Std())
	if err != nil {
		return false, fmt.Errorf("%s: %w", p.Name, err)
	}
	a.busy += e.wall
	a.clock(p, s, e)
	if err := a.record(runOf(p.Name, seed, e), &log, e.Note, true); err != nil {
		return false, err
	}
	why := failure
	if p.Once {
		why = preflight
	}
	if known, _, err := readResult(result, a.plan); err == nil {
		maps.Copy(s.evaluator, known) // also of one that failed: how far over a limit, say
	} else if !e.failed() {
		a.found = append(a.found, finding{why, p.OnFail, p.Name + ": " + err.Error(), nil})
		return false, nil
	}
	if e.failed() {
		text, _ := log.content()
		if !e.killed || p.Budget == 0 {
			a.fail(why, p.OnFail, p.Name, e, p.KillAfter.Std(), text)
		}
		return false, nil
	}
	return true, nil
}
