package loop

import (
	"slices"

	"mendel/internal/lineage"
	"mendel/internal/research"
)

// baselineReplicates is how often the baseline is measured: once where a stored calibration of this
// machine knows the noise, unless that one measurement shows that it does not hold any more.
func (l *Loop) baselineReplicates() int {
	if l.reg.Calibration == nil {
		return l.reg.Replicates
	}
	calibrated, err := l.cfg.Store.Calibration()
	if err != nil {
		l.fail(err)
	}
	if calibrated.Drift != nil && calibrated.From == "" {
		return l.reg.Replicates
	}
	return 1
}

// measureOn queues the baseline's further measurements, once the first has shown that the stored
// calibration does not hold.
func (l *Loop) measureOn(id research.TrialID, attempts []lineage.AttemptRow) {
	first := !slices.ContainsFunc(attempts, func(a lineage.AttemptRow) bool { return a.Replicate > 0 })
	if id != research.Baseline || l.reg.Calibration == nil || !first {
		return
	}
	for replicate := 1; replicate < l.baselineReplicates(); replicate++ {
		l.queue.Push(job{jobKey: jobKey{trial: id, replicate: replicate}, queue: baselineRole})
	}
}

// calibrate records the noise of the baseline's score, where it has one.
func (l *Loop) calibrate() bool {
	calibrated, err := l.cfg.Store.Calibration()
	if err != nil {
		l.fail(err)
		return false
	}
	calibrated.Host = l.cfg.Host
	return calibrated.Noise.N == 0 || l.append(calibrated)
}
