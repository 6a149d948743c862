package loop

import (
	"fmt"
	"strings"
	"time"

	"mendel/internal/research"
)

// mayStartTrial says whether the run's time allows another trial: one that would probably end
// after the cap is not begun.
func (l *Loop) mayStartTrial() bool {
	hours := l.budgets.Time.Std()
	if hours == 0 {
		return true
	}
	used, ok := l.supervised()
	return ok && used+l.longest < hours
}

// mayStartSubmission says whether the trial budget has room.
func (l *Loop) mayStartSubmission() bool { return l.trialsLeft(0) }

// mayOpenSession says whether a trial would be left for one more session, and what confirming it takes
// at least: each open session that has not submitted holds one in reserve.
func (l *Loop) mayOpenSession() bool {
	reserved := 0
	for _, m := range l.team {
		if m.session != 0 && m.submits == 0 {
			reserved++
		}
	}
	return l.trialsLeft(reserved + l.toConfirm())
}

// trialsLeft says whether the trial budget has room beside what is set aside. A replicate of a
// confirmation counts as a trial, and the confirmation under way has all that it may need.
func (l *Loop) trialsLeft(reserved int) bool {
	if l.budgets.Trials == 0 {
		return true
	}
	spend, err := l.cfg.Store.Spend()
	if err != nil {
		l.fail(err)
		return false
	}
	return spend.OfTrials()+spend.ReservedReplicates+reserved < l.budgets.Trials
}

// toConfirm is the fewest measurements that could confirm one more trial.
func (l *Loop) toConfirm() int {
	if l.reg.Keep.Rule != research.Confirmed || l.budgets.Trials == 0 {
		return 0
	}
	ahead, err := l.cfg.Store.Ahead()
	if err != nil {
		l.fail(err)
		return 0
	}
	if ahead.Alpha != l.ahead.Alpha { // reckoning what it takes is not for every event
		l.ahead, l.least = ahead, 2*ahead.Least()
	}
	return l.least
}

// trialsUsed says how the trial budget was used up; "" while it is not, or a confirmation may give some back.
func (l *Loop) trialsUsed() string {
	if l.trialsLeft(l.toConfirm()) {
		return ""
	}
	spend, err := l.cfg.Store.Spend()
	if err != nil {
		l.fail(err)
		return ""
	}
	switch {
	case spend.ReservedReplicates > 0:
		return ""
	case spend.OfTrials() < l.budgets.Trials:
		return fmt.Sprintf("%d of %d trials are used, %d of them to confirm others, and the rest would not confirm one more",
			spend.OfTrials(), l.budgets.Trials, spend.Replicates)
	case spend.Replicates > 0:
		return fmt.Sprintf("all %d trials are used, %d of them to confirm others", l.budgets.Trials, spend.Replicates)
	}
	return fmt.Sprintf("all %d trials are used", l.budgets.Trials)
}

// checkBudgets stops new work when a budget is used up.
func (l *Loop) checkBudgets() {
	if l.reason != "" || l.failure != nil {
		return
	}
	b := l.budgets
	if used := l.trialsUsed(); used != "" {
		l.halt(used, false)
		return
	}
	if b.Time == 0 && b.NoImprovement == 0 {
		return
	}
	used, ok := l.supervised()
	if !ok {
		return
	}
	if b.Time > 0 && used+l.longest >= b.Time.Std() {
		l.halt(fmt.Sprintf("the time budget of %s is used", short(b.Time.Std())), true)
		return
	}
	if b.NoImprovement > 0 {
		since, err := l.cfg.Store.SinceKeep()
		if err != nil {
			l.fail(err)
			return
		}
		if _, judged := l.incumbent(); judged && since.Std()+l.sinceLastEvent() >= b.NoImprovement.Std() {
			l.halt(fmt.Sprintf("no improvement for %s", short(b.NoImprovement.Std())), true)
		}
	}
}

// supervised is how long supervisors have worked on this run, the present one included.
func (l *Loop) supervised() (time.Duration, bool) {
	spend, err := l.cfg.Store.Spend()
	if err != nil {
		l.fail(err)
		return 0, false
	}
	return spend.Supervised.Std() + l.sinceLastEvent(), true
}

// sinceLastEvent is what the lineage does not count yet.
func (l *Loop) sinceLastEvent() time.Duration {
	last, err := l.cfg.Store.LastEventAt()
	if err != nil {
		l.fail(err)
		return 0
	}
	return max(0, l.cfg.Now().Sub(last))
}

// bytesAreTheScore says whether a comment can change the score.
func (l *Loop) bytesAreTheScore() bool {
	return strings.Contains(l.cfg.Task.Metrics[l.reg.Score.Metric].Measure, "bytes(")
}

// incumbent is the best kept trial, once the baseline is judged.
func (l *Loop) incumbent() (research.Trial, bool) {
	t, ok, err := l.cfg.Store.Incumbent()
	if err != nil {
		l.fail(err)
		return t, false
	}
	return t, ok
}

func short(d time.Duration) string {
	if d < 10*time.Second {
		return d.Round(time.Millisecond).String()
	}
	s := d.Round(time.Second).String()
	s = strings.TrimSuffix(s, "0s")
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	if s == "" {
		return "0s"
	}
	return s
}
