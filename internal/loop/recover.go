package loop

import (
	"fmt"
	"os"
	"path/filepath"

	"mendel/internal/control"
	"mendel/internal/lineage"
	"mendel/internal/measure/bundle"
	"mendel/internal/research"
)

// recover takes up what an earlier supervisor left: sessions that died with it are closed,
// runners that outlived it are watched again, measurements that were lost are repeated, and
// what was queued is queued. On a new run it submits the baseline.
func (l *Loop) recover() error {
	open, err := l.cfg.Store.OpenSessions()
	if err != nil {
		return err
	}
	if err := l.settleLost(); err != nil {
		return err
	}
	for _, s := range open {
		lost := research.SessionClosed{Session: s.ID, Ending: "lost", Error: "the supervisor ended without closing it"}
		transcript := l.readTranscript(s.ID)
		if transcript != nil {
			lost.Transcript = transcript.Hash
		}
		l.append(lost, deref(transcript)...)
		l.dropTranscript(s.ID)
	}
	l.sweep()
	next, err := l.cfg.Store.NextTrial()
	if err != nil {
		return err
	}
	if next == research.Baseline {
		if err := l.submitBaseline(); err != nil {
			return err
		}
	}
	if err := l.checkBaseline(); err != nil {
		return err
	}
	measured, err := l.cfg.Store.Attempts(research.Baseline)
	if err != nil {
		return err
	}
	for _, a := range measured {
		l.longest = max(l.longest, a.Wall.Std())
	}
	pending, err := l.cfg.Store.Pending()
	if err != nil {
		return err
	}
	for _, p := range pending {
		if p.Trial.ID == research.Baseline {
			l.state = control.Measuring
		}
		replicates := l.replicates(p.Trial.ID, p.Attempts)
		if l.decided(p.Attempts, replicates) {
			l.judge(p.Trial.ID) // its supervisor died between measurement and verdict
			continue
		}
		newest := make(map[int]lineage.AttemptRow)
		for _, a := range p.Attempts {
			newest[a.Replicate] = a
		}
		for replicate := range replicates {
			l.takeUp(p.Trial, replicate, newest[replicate])
		}
	}
	return l.failure
}

// sweep removes bundles that were being built when an earlier supervisor died. Nothing knows of them.
func (l *Loop) sweep() {
	half, _ := filepath.Glob(filepath.Join(l.cfg.Dir, "bundles", ".building-*"))
	for _, dir := range half {
		if err := bundle.Remove(dir); err != nil {
			l.cfg.Log.Warn("sweep", "error", err)
		}
	}
}

// checkBaseline refuses to go on with a run whose baseline was judged and did not pass.
func (l *Loop) checkBaseline() error {
	baseline, ok, err := l.cfg.Store.Baseline()
	if err != nil || !ok || baseline.Verdict == nil || baseline.Status == research.StatusBaseline {
		return err
	}
	l.baselineFailed(baseline.Verdict.Reason)
	return l.failure
}

// takeUp continues one measurement from wherever its newest attempt stood.
func (l *Loop) takeUp(t research.Trial, replicate int, newest lineage.AttemptRow) {
	j := job{jobKey: jobKey{trial: t.ID, replicate: replicate}, queue: t.Proposal.Role}
	switch newest.State {
	case lineage.AttemptMeasured:
		return
	case lineage.AttemptOpen:
		if _, err := os.Stat(filepath.Join(l.cfg.Dir, newest.Bundle)); err == nil {
			l.watch(j, newest.Attempt, newest.Bundle, nil)
			return
		}
		if !l.append(research.AttemptLost{Attempt: newest.Attempt, Reason: neverBegun}) {
			return
		}
	}
	l.queue.Push(j)
}

// baselineRole stands in the place of a role: no specialist proposed the baseline.
const baselineRole = "baseline"

// submitBaseline makes trial 000 of the recipe as the run found it.
func (l *Loop) submitBaseline() error {
	tree, err := l.workspaceTree(l.reg.BaselineTree)
	if err != nil {
		return fmt.Errorf("baseline: %w", err)
	}
	l.append(research.Submitted{Trial: research.Baseline, Proposal: research.Proposal{
		Parent: research.Baseline, Role: baselineRole, Proposer: "recipe", Incumbent: research.Baseline,
		Hypothesis: "The starting recipe.", Tree: l.reg.BaselineTree, Tokens: l.tokens(tree, l.bytesAreTheScore()),
	}})
	return l.failure
}
