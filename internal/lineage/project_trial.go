package lineage

import (
	"database/sql"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"time"

	"mendel/internal/research"
)

func (p *projector) submitted(st *state, at time.Time, f research.Submitted) error {
	t := f.Proposal
	if f.Trial != st.trials {
		return misfit(f, "trial %s does not follow: the next one is %s", f.Trial, st.trials)
	}
	var parent any = int64(t.Parent)
	switch {
	case t.Tree == "":
		return misfit(f, "trial %s has no tree", f.Trial)
	case f.Trial == research.Baseline:
		if t.Parent != 0 || t.Incumbent != 0 || t.Session != 0 {
			return misfit(f, "the baseline has neither parent, incumbent nor session")
		}
		if t.Tree != p.reg.BaselineTree {
			return misfit(f, "the baseline's tree %s is not the registered %s", t.Tree.Short(), p.reg.BaselineTree.Short())
		}
		parent = nil
	case t.Parent < 0 || t.Parent >= f.Trial:
		return misfit(f, "parent %d of trial %s does not exist", t.Parent, f.Trial)
	case t.Incumbent < 0 || t.Incumbent >= f.Trial:
		return misfit(f, "incumbent %d of trial %s does not exist", t.Incumbent, f.Trial)
	}
	if t.Session != 0 {
		if err := p.openSession(f, t.Session); err != nil {
			return err
		}
		if err := p.freshKey(f); err != nil {
			return err
		}
	}
	st.trials = f.Trial + 1
	return p.s.exec(`INSERT INTO trials (id, parent, role, proposer, session, key, hypothesis, expected, notes, tree, tokens, incumbent, confinement,
			submitted_at, started_at, ended_at, replicates, status)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '', '', 0, '')`,
		int64(f.Trial), parent, t.Role, t.Proposer, int64(t.Session), t.Key, t.Hypothesis, nullable(t.Expected), t.Notes, string(t.Tree),
		string(t.Tokens), int64(t.Incumbent), t.Confinement, formatTime(at))
}

func (p *projector) freshKey(f research.Submitted) error {
	if f.Proposal.Key == "" {
		return nil
	}
	id, err := trialByKey(p.s, f.Proposal.Session, f.Proposal.Key)
	if isNone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return misfit(f, "session %d has used the key %q for trial %s already", f.Proposal.Session, f.Proposal.Key, id)
}

// pendingTrial says whether a trial was submitted and not judged.
func (p *projector) pendingTrial(f research.Fact, id research.TrialID) (started bool, err error) {
	var startedAt, status string
	err = p.s.row(`SELECT started_at, status FROM trials WHERE id = ?`, []any{int64(id)}, &startedAt, &status)
	switch {
	case isNone(err):
		return false, misfit(f, "trial %s was never submitted", id)
	case err != nil:
		return false, err
	case status != "":
		return false, misfit(f, "trial %s is judged already: %s", id, status)
	}
	return startedAt != "", nil
}

func (p *projector) dispatched(at time.Time, f research.Dispatched) error {
	a := f.Attempt
	started, err := p.pendingTrial(f, a.Trial)
	if err != nil {
		return err
	}
	if err := p.asked(f); err != nil {
		return err
	}
	if a.Replicate < 0 || a.Token == "" {
		return misfit(f, "an attempt has a replicate from 0 and a token")
	}
	newest, err := newestAttempt(p.s, a.Trial, a.Replicate)
	if err != nil {
		return err
	}
	switch {
	case newest.State == AttemptMeasured:
		return misfit(f, "%s is measured already", replicateName(a))
	case a.Number != newest.Number+1:
		return misfit(f, "attempt %d of %s does not follow: the next one is %d", a.Number, replicateName(a), newest.Number+1)
	case a.Token == newest.Token:
		return misfit(f, "attempt %d of %s has the token of the one before", a.Number, replicateName(a))
	case newest.State == AttemptOpen:
		if err := p.endAttempt(a.Trial, a.Replicate, newest.Number, AttemptSuperseded, at); err != nil {
			return err
		}
	}
	seeds, err := json.Marshal(a.Seeds)
	if err != nil {
		return err
	}
	if err := p.s.exec(`INSERT INTO attempts (trial, replicate, number, token, seeds, executor, bundle, state, dispatched_at, ended_at, outcome, reason, wall_s)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, '', '', '', 0)`,
		int64(a.Trial), a.Replicate, a.Number, a.Token, string(seeds), f.Executor, f.Bundle, string(AttemptOpen), formatTime(at)); err != nil || started {
		return err
	}
	return p.s.exec(`UPDATE trials SET started_at = ? WHERE id = ?`, formatTime(at), int64(a.Trial))
}

func (p *projector) endAttempt(trial research.TrialID, replicate, number int, state AttemptState, at time.Time) error {
	return p.s.exec(`UPDATE attempts SET state = ?, ended_at = ? WHERE trial = ? AND replicate = ? AND number = ?`,
		string(state), formatTime(at), int64(trial), replicate, number)
}

func (p *projector) measured(st *state, e research.Event, f research.Measured) error {
	a, m := f.Attempt, f.Measurement
	if _, err := p.pendingTrial(f, a.Trial); err != nil {
		return err
	}
	newest, err := newestAttempt(p.s, a.Trial, a.Replicate)
	if err != nil {
		return err
	}
	if err := newest.accepts(f); err != nil {
		return err
	}
	others, err := measurements(p.s, a.Trial)
	if err != nil {
		return err
	}
	if err := acceptable(f, others); err != nil {
		return err
	}
	st.trialWall += m.Wall
	if err := p.s.exec(`UPDATE attempts SET state = ?, ended_at = ?, outcome = ?, score = ?, reason = ?, wall_s = ?, measured_seq = ?
		WHERE trial = ? AND replicate = ? AND number = ?`, string(AttemptMeasured), formatTime(e.At), string(m.Outcome), nullable(m.Score), m.Reason,
		float64(m.Wall), e.Seq, int64(a.Trial), a.Replicate, a.Number); err != nil {
		return err
	}
	if p.reg.Keep.Rule == research.Confirmed && a.Replicate > 0 {
		if err := p.replicated(a.Trial, m.Wall); err != nil {
			return err
		}
	}
	estimated, err := estimate(p.s, p.reg, a.Trial)
	if err != nil {
		return err
	}
	score := estimated.Score
	return p.s.exec(`UPDATE trials SET replicates = replicates + 1, score = ?, order_score = ?, measured_seq = coalesce(measured_seq, ?) WHERE id = ?`,
		nullable(score), p.orderScore(score), e.Seq, int64(a.Trial))
}

// accepts says whether a result belongs to the newest attempt of its replicate.
func (newest AttemptRow) accepts(f research.Measured) error {
	a := f.Attempt
	switch {
	case newest.Number == 0:
		return misfit(f, "%s was never dispatched", replicateName(a))
	case newest.State == AttemptMeasured:
		return misfit(f, "%s is measured already, by attempt %d", replicateName(a), newest.Number)
	case a.Token != newest.Token || a.Number != newest.Number:
		return &MisfitError{Kind: f.Kind(), Stale: true, Problem: "attempt " + attemptName(a) + " was superseded by attempt " + strconv.Itoa(newest.Number)}
	case newest.State == AttemptLost:
		return &MisfitError{Kind: f.Kind(), Stale: true, Problem: "attempt " + attemptName(a) + " was recorded as lost"}
	case !slices.Equal(a.Seeds, newest.Seeds):
		return misfit(f, "attempt %s was dispatched with other seeds", attemptName(a))
	}
	return nil
}

// acceptable says whether a measurement can be pooled and judged.
func acceptable(f research.Measured, others []research.Measurement) error {
	m := f.Measurement
	if !outcomeKnown(m.Outcome) {
		return misfit(f, "%q is not an outcome", m.Outcome)
	}
	if m.Wall < 0 || m.Harness < 0 {
		return misfit(f, "a negative duration")
	}
	if m.Outcome != research.Valid {
		return nil
	}
	if m.Score == nil {
		return misfit(f, "a valid measurement has a score")
	}
	for _, o := range others {
		if o.Outcome == research.Valid && len(o.Margins) != len(m.Margins) {
			return misfit(f, "%s has %d margins, another replicate %d", replicateName(f.Attempt), len(m.Margins), len(o.Margins))
		}
	}
	return nil
}

// outcomeKnown says whether this program knows an outcome.
func outcomeKnown(o research.Outcome) bool {
	switch o {
	case research.Valid, research.PreflightCrash, research.TrainBudgetOverrun, research.EvalBudgetOverrun, research.SizeBlocked,
		research.Crash, research.Disqualified, research.Aborted:
		return true
	}
	return false
}

// attemptLost also takes attempts that were superseded, so that what they cost is counted.
func (p *projector) attemptLost(st *state, at time.Time, f research.AttemptLost) error {
	a := f.Attempt
	row, err := sameAttempt(p.s, a)
	switch {
	case err != nil:
		return err
	case row.Number == 0:
		return misfit(f, "attempt %s was never dispatched", attemptName(a))
	case row.Token != a.Token:
		return misfit(f, "attempt %s has another token", attemptName(a))
	case row.State == AttemptMeasured || row.State == AttemptLost:
		return misfit(f, "attempt %s is %s already", attemptName(a), row.State)
	case f.Wall < 0:
		return misfit(f, "a negative duration")
	}
	st.lostWall += f.Wall
	if err := p.endAttempt(a.Trial, a.Replicate, a.Number, AttemptLost, at); err != nil {
		return err
	}
	return p.s.exec(`UPDATE attempts SET reason = ?, wall_s = ? WHERE trial = ? AND replicate = ? AND number = ?`,
		f.Reason, float64(f.Wall), int64(a.Trial), a.Replicate, a.Number)
}

func (p *projector) calibrated(st *state, f research.Calibrated) error {
	if st.noise != nil {
		return misfit(f, "the run is calibrated already")
	}
	want, err := calibration(p.s, p.reg)
	if err != nil {
		return err
	}
	want.Host = f.Host
	if !sameJSON(want.Noise, f.Noise) {
		return misfit(f, "the noise does not follow from the baseline's measurements: %s", difference(want.Noise, f.Noise))
	}
	if !sameJSON(want, f) {
		return misfit(f, "where the noise comes from does not follow from the baseline's measurements: %s", difference(want, f))
	}
	st.noise = &f.Noise
	return nil
}

func (p *projector) judged(st *state, e research.Event, f research.Judged) error {
	if _, err := p.pendingTrial(f, f.Trial); err != nil {
		return err
	}
	judgement, err := judgement(p.s, p.reg, *st, f.Trial)
	if err != nil {
		return unreadyMisfit(f, err)
	}
	verdict := research.Judge(judgement)
	outcome := judgement.Outcome()
	status := research.StatusOf(f.Trial, outcome, verdict)
	switch {
	case research.Next(judgement) != research.ToJudge:
		return misfit(f, "the keep rule asks for more measurements of trial %s before a verdict", f.Trial)
	case f.Outcome != outcome:
		return misfit(f, "trial %s was measured as %q, not %q", f.Trial, outcome, f.Outcome)
	case !sameJSON(verdict, f.Verdict):
		return misfit(f, "the verdict on trial %s does not follow from its measurements: %s", f.Trial, difference(verdict, f.Verdict))
	case f.Status != status:
		return misfit(f, "the status of trial %s follows as %q, not %q", f.Trial, status, f.Status)
	}
	if status.Ranks() {
		st.incumbent = sql.Null[research.TrialID]{V: f.Trial, Valid: true}
		st.keptAt, st.keptSupervised = e.At, st.supervised
	}
	if judgement.Contest != nil {
		if err := p.confirmed(f.Trial, verdict.Keep && status.Ranks()); err != nil {
			return err
		}
	}
	if err := p.s.exec(`UPDATE trials SET ended_at = ?, status = ?, judged_seq = ? WHERE id = ?`,
		formatTime(e.At), string(status), e.Seq, int64(f.Trial)); err != nil {
		return err
	}
	return p.s.exec(`INSERT INTO tallies (role, status, n) SELECT role, status, 1 FROM trials WHERE id = ? ON CONFLICT DO UPDATE SET n = n + 1`, int64(f.Trial))
}

// unreadyMisfit makes a misfit of the reason why a trial cannot be judged now.
func unreadyMisfit(f research.Fact, err error) error {
	if unready := (*unreadyError)(nil); errors.As(err, &unready) {
		return misfit(f, "%v", unready)
	}
	return err
}

// orderScore turns scores so that ascending order is best first.
func (p *projector) orderScore(score *float64) any {
	switch {
	case score == nil:
		return nil
	case p.reg.Score.Direction == research.Maximize:
		return -*score
	}
	return *score
}
