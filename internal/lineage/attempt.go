package lineage

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"mendel/internal/research"
)

// An AttemptState says how far an attempt has come. Values are stored: add, never rename.
type AttemptState string

// The states of an attempt.
const (
	AttemptOpen       AttemptState = "open"
	AttemptSuperseded AttemptState = "superseded" // a newer attempt of the replicate was dispatched
	AttemptMeasured   AttemptState = "measured"
	AttemptLost       AttemptState = "lost"
)

// An AttemptRow is one attempt as the lineage knows it.
type AttemptRow struct {
	research.Attempt
	Executor     string           `json:"executor"`
	Bundle       string           `json:"bundle"`
	State        AttemptState     `json:"state"`
	DispatchedAt time.Time        `json:"dispatched_at"`
	EndedAt      time.Time        `json:"ended_at,omitzero"` // result accepted, superseded or recorded as lost
	Outcome      research.Outcome `json:"outcome,omitempty"`
	Score        *float64         `json:"score,omitempty"`
	Reason       string           `json:"reason,omitempty"`
	Wall         research.Seconds `json:"wall_s,omitempty"`
}

const attemptColumns = `trial, replicate, number, token, seeds, executor, bundle, state, dispatched_at, ended_at, outcome, score, reason, wall_s`

func scanAttempt(row scanner) (AttemptRow, error) {
	var a AttemptRow
	var seeds, dispatchedAt, endedAt string
	if err := row.Scan(&a.Trial, &a.Replicate, &a.Number, &a.Token, &seeds, &a.Executor, &a.Bundle, &a.State, &dispatchedAt, &endedAt,
		&a.Outcome, &a.Score, &a.Reason, &a.Wall); err != nil {
		return a, err
	}
	var dispatchedErr, endedErr error
	a.DispatchedAt, dispatchedErr = parseTime(dispatchedAt)
	a.EndedAt, endedErr = parseOptionalTime(endedAt)
	return a, errors.Join(dispatchedErr, endedErr, json.Unmarshal([]byte(seeds), &a.Seeds))
}

// Attempts lists all attempts of a trial, by replicate and number.
func (r *Reader) Attempts(id research.TrialID) ([]AttemptRow, error) {
	return read(r, func(s *session) ([]AttemptRow, error) { return attempts(s, id) })
}

func attempts(s *session, id research.TrialID) ([]AttemptRow, error) {
	return collect(s, scanAttempt, `SELECT `+attemptColumns+` FROM attempts WHERE trial = ? ORDER BY replicate, number`, int64(id))
}

// newestAttempt is the last attempt of a replicate; its number is 0 when there is none.
func newestAttempt(s *session, id research.TrialID, replicate int) (AttemptRow, error) {
	return optionalAttempt(collect(s, scanAttempt, `SELECT `+attemptColumns+` FROM attempts WHERE trial = ? AND replicate = ? ORDER BY number DESC LIMIT 1`,
		int64(id), replicate))
}

// sameAttempt is the recorded attempt with the trial, replicate and number of a; its number is 0
// when there is none.
func sameAttempt(s *session, a research.Attempt) (AttemptRow, error) {
	return optionalAttempt(collect(s, scanAttempt, `SELECT `+attemptColumns+` FROM attempts WHERE trial = ? AND replicate = ? AND number = ?`,
		int64(a.Trial), a.Replicate, a.Number))
}

func optionalAttempt(rows []AttemptRow, err error) (AttemptRow, error) {
	if err != nil || len(rows) == 0 {
		return AttemptRow{}, err
	}
	return rows[0], nil
}

// replicateName gives a replicate as samples of a verdict do: 007/0.
func replicateName(a research.Attempt) string { return fmt.Sprintf("%s/%d", a.Trial, a.Replicate) }

// attemptName gives an attempt with its replicate: 1 of 007/0.
func attemptName(a research.Attempt) string {
	return fmt.Sprintf("%d of %s", a.Number, replicateName(a))
}

// trialByKey finds the trial that a session submitted under a key; sql.ErrNoRows when there is none.
func trialByKey(s *session, session research.SessionID, key string) (id research.TrialID, err error) {
	err = s.row(`SELECT id FROM trials WHERE session = ? AND session > 0 AND key = ?`, []any{int64(session), key}, &id)
	return id, err
}

// isNone says whether a query had no row.
func isNone(err error) bool { return errors.Is(err, sql.ErrNoRows) }

// Measured counts the attempts whose result was accepted.
func Measured(attempts []AttemptRow) int {
	n := 0
	for _, a := range attempts {
		if a.State == AttemptMeasured {
			n++
		}
	}
	return n
}
