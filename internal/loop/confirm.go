package loop

import (
	"mendel/internal/lineage"
	"mendel/internal/research"
)

// A confirmation takes its pairs one measurement at a time, and one confirmation is under way at a time:
// so the incumbent stays the same throughout, and the order in which alpha is spent is that of the
// events. Other trials are measured meanwhile where there are slots.

// confirm does what a trial needs before its verdict, of which measured results are in.
func (l *Loop) confirm(j research.Judgement, step research.Step, measured int) {
	switch step {
	case research.ToWait:
		l.contend = append(l.contend, j.Trial)
		return
	case research.ToConfirm:
		if !l.append(research.Confirming{Confirmation: *j.Offer}) {
			return
		}
	}
	trial, err := l.cfg.Store.Trial(j.Trial)
	if err != nil {
		l.fail(err)
		return
	}
	l.queue.PushFront(job{jobKey: jobKey{trial: j.Trial, replicate: measured}, queue: trial.Proposal.Role})
}

// nextContender turns to the trial that has waited longest. The incumbent may be another one now: then
// the trial has to look better than that one.
func (l *Loop) nextContender() {
	if len(l.contend) == 0 || l.failure != nil {
		return
	}
	next := l.contend[0]
	l.contend = l.contend[1:]
	l.judge(next)
	if spend, err := l.cfg.Store.Spend(); err != nil {
		l.fail(err)
	} else if spend.ReservedReplicates == 0 { // it needed no confirmation after all
		l.nextContender()
	}
}

// replicates is how many measurements of a trial were asked for so far.
func (l *Loop) replicates(id research.TrialID, attempts []lineage.AttemptRow) int {
	if id == research.Baseline {
		return l.baselineReplicates()
	}
	n := 1
	for _, a := range attempts {
		n = max(n, a.Replicate+1)
	}
	return n
}

// measuredTrial is the trial whose tree a replicate measures, and the repetition that its seeds are for.
// In a confirmation every second one measures the incumbent.
func (l *Loop) measuredTrial(t research.Trial, replicate int) (research.Trial, int, error) {
	if t.ID == research.Baseline || replicate == 0 {
		return t, replicate, nil
	}
	pair, ofIncumbent := research.PairOf(l.reg.Seed, t.ID, replicate)
	if !ofIncumbent {
		return t, pair, nil
	}
	incumbent, _, err := l.cfg.Store.Incumbent()
	return incumbent, pair, err
}
