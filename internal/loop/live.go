package loop

import (
	"cmp"
	"context"
	"slices"

	"mendel/internal/control"
	"mendel/internal/measure/bundle"
)

// Live describes what the run is doing now. With Stop and the methods of outside.go it implements [control.Supervisor].
func (l *Loop) Live(ctx context.Context) (control.Live, error) {
	var live control.Live
	var dirs []string
	err := l.do(ctx, func() {
		live = control.Live{
			Run: l.reg.Run, PID: l.cfg.PID, Host: l.cfg.Host, State: l.state, Since: l.since,
			Executor: l.cfg.Executor.Name(), Slots: l.slots, Queued: l.queue.Len(),
		}
		for _, m := range l.team {
			a := control.Agent{Agent: m.Agent, Doing: m.doing, Session: m.session, Trial: m.trial, Since: m.since, Problem: m.problem}
			if m.doing == control.BackingOff {
				a.Until = m.until
			}
			live.Agents = append(live.Agents, a)
		}
		for key, r := range l.running {
			live.Running = append(live.Running, control.Running{
				Trial: key.trial, Replicate: key.replicate, Role: r.job.queue, Seeds: len(r.attempt.Seeds), Since: r.since,
			})
			dirs = append(dirs, r.bundle)
		}
	})
	for i, dir := range dirs {
		if p, err := bundle.ReadProgress(dir); err == nil {
			live.Running[i].Phase, live.Running[i].Seed = p.Phase, p.Seed
		}
	}
	slices.SortFunc(live.Running, func(a, b control.Running) int {
		return cmp.Or(cmp.Compare(a.Trial, b.Trial), cmp.Compare(a.Replicate, b.Replicate))
	})
	return live, err
}

// Stop begins no new work; runners finish.
func (l *Loop) Stop(ctx context.Context, by string) error {
	return l.do(ctx, func() { l.halt("stopped by "+by, true) })
}
