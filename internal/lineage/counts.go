package lineage

import (
	"errors"
	"time"

	"mendel/internal/research"
)

// stateOf reads one value of the state.
func stateOf[T any](r *Reader, value func(state) T) (T, error) {
	return read(r, func(s *session) (T, error) {
		st, err := readState(s)
		return value(st), err
	})
}

// NextTrial is the id that the next submission must have.
func (r *Reader) NextTrial() (research.TrialID, error) {
	return stateOf(r, func(st state) research.TrialID { return st.trials })
}

// NextSession is the id that the next session must have.
func (r *Reader) NextSession() (research.SessionID, error) {
	return stateOf(r, func(st state) research.SessionID { return st.sessions + 1 })
}

// Count is the number of trials that were submitted, the baseline included.
func (r *Reader) Count() (int, error) {
	return stateOf(r, func(st state) int { return int(st.trials) })
}

// Budgets are those in force now.
func (r *Reader) Budgets() (research.Budgets, error) {
	return stateOf(r, func(st state) research.Budgets { return st.budgets })
}

// Noise is what calibration established; nil before.
func (r *Reader) Noise() (*research.Noise, error) {
	return stateOf(r, func(st state) *research.Noise { return st.noise })
}

// Spend is what the run has used up to its last event.
func (r *Reader) Spend() (research.Spend, error) {
	return read(r, func(s *session) (research.Spend, error) {
		st, err := readState(s)
		if err != nil {
			return research.Spend{}, err
		}
		spend := research.Spend{
			Trials: max(0, int(st.trials)-1), Sessions: int(st.sessions),
			TrialWall: st.trialWall, LostWall: st.lostWall, CheckCPU: st.checkCPU,
			Supervised: research.SecondsOf(st.supervised),
		}
		if err := readReplicates(s, &spend); err != nil {
			return spend, err
		}
		return spend, readModelSpend(s, &spend)
	})
}

// LastKeepAt is when the incumbent became it; the zero time while there is none.
func (r *Reader) LastKeepAt() (time.Time, error) {
	return stateOf(r, func(st state) time.Time { return st.keptAt })
}

// SinceKeep is the supervised time from the verdict that made the incumbent (or, while there is
// none, from the start) to the last event. Unlike the wall clock it stands still while nobody
// works on the run.
func (r *Reader) SinceKeep() (research.Seconds, error) {
	return stateOf(r, func(st state) research.Seconds { return research.SecondsOf(st.supervised - st.keptSupervised) })
}

// LastEventAt is the time of the last event.
func (r *Reader) LastEventAt() (time.Time, error) {
	return stateOf(r, func(st state) time.Time { return st.lastAt })
}

// Statuses counts the judged trials by status; of one role when role is not "".
func (r *Reader) Statuses(role string) (map[research.Status]int, error) {
	type tally struct {
		status research.Status
		n      int
	}
	tallies, err := read(r, func(s *session) ([]tally, error) {
		return collect(s, func(row scanner) (t tally, err error) {
			err = row.Scan(&t.status, &t.n)
			return t, err
		}, `SELECT status, n FROM tallies WHERE ?1 = '' OR role = ?1`, role)
	})
	counts := make(map[research.Status]int, len(tallies))
	for _, t := range tallies {
		counts[t.status] += t.n
	}
	return counts, err
}

const sessionQuery = `SELECT id, agent, role, proposer, prompt, opened_at, closed_at, ending, error, transcript, calls,
	turns, input, cache_read, cache_write, output, thinking, tokens, usd FROM sessions WHERE `

// A Session is one session with the hash of its transcript.
type Session struct {
	research.SessionRow
	Transcript research.Hash `json:"transcript,omitempty"`
}

// Session is one session.
func (r *Reader) Session(id research.SessionID) (Session, bool, error) {
	rows, err := r.sessions(`id = ?`, int64(id))
	if err != nil || len(rows) == 0 {
		return Session{}, false, err
	}
	return rows[0], true, nil
}

// Sessions lists the newest sessions, newest first; those before the given one when it is not 0.
func (r *Reader) Sessions(before research.SessionID, limit int) ([]Session, error) {
	return r.sessions(`id < CASE ?1 WHEN 0 THEN 9223372036854775807 ELSE ?1 END ORDER BY id DESC LIMIT ?2`, int64(before), limit)
}

// OpenSessions lists the sessions that are not closed, oldest first.
func (r *Reader) OpenSessions() ([]Session, error) {
	return r.sessions(`closed_at = '' ORDER BY id`)
}

func (r *Reader) sessions(condition string, args ...any) ([]Session, error) {
	return read(r, func(s *session) ([]Session, error) {
		rows, err := collect(s, scanSession, sessionQuery+condition, args...)
		if err != nil {
			return nil, err
		}
		for i := range rows {
			rows[i].Trials, err = collect(s, scanOne[research.TrialID], `SELECT id FROM trials WHERE session = ? AND session > 0 ORDER BY id`, int64(rows[i].ID))
			if err != nil {
				return nil, err
			}
		}
		return rows, nil
	})
}

func scanSession(row scanner) (v Session, err error) {
	var openedAt, closedAt string
	if err := row.Scan(&v.ID, &v.Agent, &v.Role, &v.Proposer, &v.Prompt, &openedAt, &closedAt, &v.Ending, &v.Error, &v.Transcript, &v.Calls,
		&v.Turns, &v.Usage.Input, &v.Usage.CacheRead, &v.Usage.CacheWrite, &v.Usage.Output, &v.Usage.Thinking, &v.Charge.Tokens, &v.Charge.USD); err != nil {
		return v, err
	}
	var openedErr, closedErr error
	v.OpenedAt, openedErr = parseTime(openedAt)
	v.ClosedAt, closedErr = parseOptionalTime(closedAt)
	return v, errors.Join(openedErr, closedErr)
}
