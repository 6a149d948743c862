package lineage

import (
	"database/sql"

	"mendel/internal/research"
)

// imported takes a whole trial of an imported run. Measurement, status and verdict are what the
// record says; what follows from them and from earlier trials must fit: ids that grow, a parent
// and an incumbent from before, and the difference to that incumbent's score.
func (p *projector) imported(e research.Event, f research.TrialImported) error {
	st, err := readState(p.s)
	if err != nil {
		return err
	}
	st.tick(e)
	t, m, v := f.Proposal, f.Measurement, f.Verdict
	switch {
	case f.Trial < st.trials:
		return misfit(f, "trial %s comes after %s", f.Trial, st.trials-1)
	case t.Tree != "" || t.Session != 0:
		return misfit(f, "an imported trial has neither tree nor session")
	case f.Status == "" || !outcomeKnown(m.Outcome) && m.Outcome != research.Unclassified:
		return misfit(f, "trial %s has no status, or an outcome %q that is none", f.Trial, m.Outcome)
	case v.Keep != (f.Status == research.StatusKeep) || v.Rule != research.AsImported:
		return misfit(f, "the verdict on trial %s does not go with its status %q", f.Trial, f.Status)
	case m.Wall < 0:
		return misfit(f, "a negative duration")
	}
	var parent any
	if f.Trial != research.Baseline {
		if t.Parent < 0 || t.Parent >= f.Trial || v.Against < 0 || v.Against >= f.Trial {
			return misfit(f, "parent %d or incumbent %d of trial %s is not from before it", t.Parent, v.Against, f.Trial)
		}
		parent = int64(t.Parent)
	}
	if err := p.comparison(f); err != nil {
		return err
	}
	better, err := p.improves(st, f)
	if err != nil {
		return err
	}
	if better {
		st.incumbent, st.keptAt = sql.Null[research.TrialID]{V: f.Trial, Valid: true}, f.At
	}
	st.trials, st.trialWall = f.Trial+1, st.trialWall+m.Wall
	at := optionalTime(f.At)
	if err := p.s.exec(`INSERT INTO trials (id, parent, role, proposer, session, key, hypothesis, expected, notes, tree, tokens, incumbent, confinement,
			submitted_at, started_at, ended_at, replicates, status, score, order_score, measured_seq, judged_seq)
		VALUES (?, ?, ?, ?, 0, '', ?, ?, ?, '', '', ?, '', ?, '', ?, 1, ?, ?, ?, ?, ?)`,
		int64(f.Trial), parent, t.Role, t.Proposer, t.Hypothesis, nullable(t.Expected), t.Notes, int64(v.Against),
		at, at, string(f.Status), nullable(m.Score), p.orderScore(m.Score), e.Seq, e.Seq); err != nil {
		return err
	}
	if err := p.s.exec(`INSERT INTO tallies (role, status, n) VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET n = n + 1`, t.Role, string(f.Status)); err != nil {
		return err
	}
	return st.update(p.s)
}

// comparison recomputes what the verdict says of two scores.
func (p *projector) comparison(f research.TrialImported) error {
	v := f.Verdict
	if v.Reference == nil {
		if v.Difference != nil {
			return misfit(f, "trial %s has a difference to nothing", f.Trial)
		}
		return nil
	}
	reference, err := p.score(v.Against)
	switch {
	case err != nil:
		return err
	case reference == nil || *reference != *v.Reference:
		return misfit(f, "the score of %s is not the %v that trial %s was compared with", v.Against, *v.Reference, f.Trial)
	case f.Measurement.Score == nil && v.Difference != nil,
		f.Measurement.Score != nil && (v.Difference == nil || *v.Difference != *f.Measurement.Score-*reference):
		return misfit(f, "the difference of trial %s to %s does not follow from their scores", f.Trial, v.Against)
	}
	return nil
}

// improves says whether a trial takes the incumbent's place. An imported keep need not be better
// than all before it.
func (p *projector) improves(st state, f research.TrialImported) (bool, error) {
	score := f.Measurement.Score
	if !f.Status.Ranks() || score == nil {
		return false, nil
	}
	if !st.incumbent.Valid {
		return true, nil
	}
	best, err := p.score(st.incumbent.V)
	return err == nil && best != nil && p.reg.Score.Direction.Better(*score, *best), err
}

// score is a trial's stored score, nil where it has none.
func (p *projector) score(id research.TrialID) (*float64, error) {
	var score sql.Null[float64]
	err := p.s.row(`SELECT score FROM trials WHERE id = ?`, []any{int64(id)}, &score)
	if isNone(err) || err == nil && !score.Valid {
		return nil, nil
	}
	return &score.V, err
}
