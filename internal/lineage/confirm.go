package lineage

import (
	"database/sql"
	"slices"

	"mendel/internal/research"
)

// A confirmationRow is a confirmation as it was begun, and how it ended.
type confirmationRow struct {
	research.Confirmation
	kept sql.Null[bool] // not valid while it is under way
}

// lastConfirmation is the newest one; its number is 0 when there is none.
func lastConfirmation(s *session) (c confirmationRow, err error) {
	err = s.row(`SELECT number, trial, incumbent, alpha, pairs, kept FROM confirmations ORDER BY number DESC LIMIT 1`, nil,
		&c.Number, &c.Trial, &c.Incumbent, &c.Alpha, &c.Pairs, &c.kept)
	if isNone(err) {
		err = nil
	}
	return c, err
}

// open says whether a confirmation is under way.
func (c confirmationRow) open() bool { return c.Number > 0 && !c.kept.Valid }

// Ahead is the confirmation that would come next, as long as the one under way keeps nothing. Its trial
// is not known yet; its number is 0 where the run confirms nothing.
func (r *Reader) Ahead() (research.Confirmation, error) {
	reg, err := r.Registration()
	if err != nil || reg.Keep.Rule != research.Confirmed || reg.NoiseKind == research.None {
		return research.Confirmation{}, err
	}
	return read(r, func(s *session) (research.Confirmation, error) {
		last, err := lastConfirmation(s)
		next := research.Confirmation{Number: last.Number + 1, Pairs: reg.Keep.Pairs}
		next.Alpha = research.AlphaOf(reg.Keep.Alpha, next.Number, last.Alpha, last.kept.V)
		return next, err
	})
}

// contest is a pending trial's confirmation with what was measured of it, or the confirmation that could
// be begun for it, or neither while that of another trial is under way.
func contest(s *session, reg research.Registration, st state, id research.TrialID, results []research.Measurement) (*research.Contest, *research.Confirmation, error) {
	last, err := lastConfirmation(s)
	switch {
	case err != nil:
		return nil, nil, err
	case last.open() && last.Trial != id:
		return nil, nil, nil
	case !last.open():
		offer, err := nextConfirmation(s, reg, st, last, id)
		return nil, &offer, err
	}
	c := &research.Contest{Confirmation: last.Confirmation}
	c.Candidates, c.Incumbents = halves(reg, id, results)
	newest, err := newestAttempt(s, id, len(results))
	if newest.State == AttemptLost {
		c.Broken = newest.Reason
	}
	return c, nil, err
}

// nextConfirmation follows from the one before, and from what the trial budget still allows once each
// open session has its trial.
func nextConfirmation(s *session, reg research.Registration, st state, last confirmationRow, id research.TrialID) (research.Confirmation, error) {
	next := research.Confirmation{Number: last.Number + 1, Trial: id, Incumbent: st.incumbent.V, Pairs: reg.Keep.Pairs}
	next.Alpha = research.AlphaOf(reg.Keep.Alpha, next.Number, last.Alpha, last.kept.V)
	if st.budgets.Trials == 0 {
		return next, nil
	}
	var spend research.Spend
	if err := readReplicates(s, &spend); err != nil {
		return next, err
	}
	var reserved int
	if err := s.row(`SELECT count(*) FROM sessions WHERE closed_at = '' AND NOT EXISTS (SELECT 1 FROM trials WHERE session = sessions.id)`, nil, &reserved); err != nil {
		return next, err
	}
	left := st.budgets.Trials - (int(st.trials) - 1) - spend.Replicates - reserved
	next.Pairs = min(next.Pairs, max(left, 0)/2)
	return next, nil
}

// halves parts a trial's results: those that measured it again, and those that measured the incumbent in
// its stead. The first result, which made it look good, is in neither.
func halves(reg research.Registration, id research.TrialID, results []research.Measurement) (candidates, incumbents []research.Measurement) {
	for replicate, m := range results {
		if replicate == 0 {
			continue
		}
		if _, ofIncumbent := research.PairOf(reg.Seed, id, replicate); ofIncumbent {
			incumbents = append(incumbents, m)
		} else {
			candidates = append(candidates, m)
		}
	}
	return candidates, incumbents
}

// estimate is what is known of a measured trial's own values. Once it was measured again, the result
// that made it look good counts no more: it was chosen for that.
func estimate(s *session, reg research.Registration, id research.TrialID) (research.Measurement, error) {
	results, err := measurements(s, id)
	if err != nil || id == research.Baseline || reg.Keep.Rule != research.Confirmed {
		return research.Pool(results), err
	}
	if candidates, _ := halves(reg, id, results); len(candidates) > 0 {
		return research.Repool(candidates), nil
	}
	return results[0], nil
}

// readReplicates fills in what confirmations have cost.
func readReplicates(s *session, spend *research.Spend) error {
	if version, err := versionOf(s); err != nil || version < 3 {
		return err
	}
	return s.row(`SELECT coalesce(sum(measured), 0), coalesce(sum(wall_s), 0), coalesce(sum(2 * pairs - measured) FILTER (WHERE kept IS NULL), 0)
		FROM confirmations`, nil, &spend.Replicates, &spend.ReplicateWall, &spend.ReservedReplicates)
}

// confirming begins the confirmation that follows, and no other.
func (p *projector) confirming(st state, f research.Confirming) error {
	if _, err := p.pendingTrial(f, f.Trial); err != nil {
		return err
	}
	j, err := judgement(p.s, p.reg, st, f.Trial)
	if err != nil {
		return unreadyMisfit(f, err)
	}
	switch {
	case research.Next(j) != research.ToConfirm:
		return misfit(f, "trial %s is not to be confirmed now", f.Trial)
	case *j.Offer != f.Confirmation:
		return misfit(f, "the confirmation of trial %s follows otherwise: %s", f.Trial, difference(*j.Offer, f.Confirmation))
	}
	return p.s.exec(`INSERT INTO confirmations (number, trial, incumbent, alpha, pairs, measured, wall_s) VALUES (?, ?, ?, ?, ?, 0, 0)`,
		f.Number, int64(f.Trial), int64(f.Incumbent), f.Alpha, f.Pairs)
}

// asked says whether an attempt may measure what it is for. A replicate of a confirmation comes when its
// turn is, with the seeds of its pair, and measures the half that they toss.
func (p *projector) asked(f research.Dispatched) error {
	a := f.Attempt
	if p.reg.Keep.Rule != research.Confirmed || a.Trial == research.Baseline || a.Replicate <= 0 {
		if f.Of != nil {
			return misfit(f, "%s measures no other trial", replicateName(a))
		}
		return nil
	}
	last, err := lastConfirmation(p.s)
	if err != nil {
		return err
	}
	results, err := measurements(p.s, a.Trial)
	if err != nil {
		return err
	}
	pair, ofIncumbent := research.PairOf(p.reg.Seed, a.Trial, a.Replicate)
	switch {
	case !last.open() || last.Trial != a.Trial:
		return misfit(f, "no confirmation of trial %s is under way", a.Trial)
	case a.Replicate > len(results) || a.Replicate > 2*last.Pairs:
		return misfit(f, "%s is not its turn", replicateName(a))
	case ofIncumbent && (f.Of == nil || *f.Of != last.Incumbent), !ofIncumbent && f.Of != nil:
		return misfit(f, "%s measures the wrong half of its pair", replicateName(a))
	case !slices.Equal(a.Seeds, research.SeedsFor(p.reg.Seed, a.Trial, pair, p.reg.Seeds)):
		return misfit(f, "%s has other seeds than pair %d", replicateName(a), pair)
	}
	return nil
}

// replicated counts a result towards its confirmation.
func (p *projector) replicated(id research.TrialID, wall research.Seconds) error {
	return p.s.exec(`UPDATE confirmations SET measured = measured + 1, wall_s = wall_s + ? WHERE trial = ?`, float64(wall), int64(id))
}

// confirmed ends a confirmation.
func (p *projector) confirmed(id research.TrialID, kept bool) error {
	return p.s.exec(`UPDATE confirmations SET kept = ? WHERE trial = ?`, kept, int64(id))
}
