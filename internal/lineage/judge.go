package lineage

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"mendel/internal/research"
)

// Judgement gathers what the verdict on a measured trial rests on. The store accepts no verdict
// but research.Judge's on exactly this, and [Verify] recomputes it the same way.
//
// A trial without any accepted result counts as aborted, for the reason of its last lost attempt.
func (r *Reader) Judgement(id research.TrialID) (research.Judgement, error) {
	reg, err := r.Registration()
	if err != nil {
		return research.Judgement{}, err
	}
	return read(r, func(s *session) (research.Judgement, error) {
		st, err := readState(s)
		if err != nil {
			return research.Judgement{}, err
		}
		var status string
		if err := s.row(`SELECT status FROM trials WHERE id = ?`, []any{int64(id)}, &status); isNone(err) {
			return research.Judgement{}, unknownTrial(id)
		} else if err != nil {
			return research.Judgement{}, err
		}
		if status != "" {
			return research.Judgement{}, unready("trial %s is judged already: %s", id, status)
		}
		return judgement(s, reg, st, id)
	})
}

// Calibration is what follows from the baseline's measurements; the store accepts no other.
func (r *Reader) Calibration() (research.Calibrated, error) {
	reg, err := r.Registration()
	if err != nil {
		return research.Calibrated{}, err
	}
	return read(r, func(s *session) (research.Calibrated, error) { return calibration(s, reg) })
}

// judgement is what a verdict on a pending trial would rest on now.
func judgement(s *session, reg research.Registration, st state, id research.TrialID) (research.Judgement, error) {
	j := research.Judgement{Rule: reg.Keep, Score: reg.Score, Trial: id, Noise: st.noise, NoiseKind: reg.NoiseKind}
	open, err := collect(s, scanAttempt, `SELECT `+attemptColumns+` FROM attempts WHERE trial = ? AND state = 'open'`, int64(id))
	if err != nil {
		return j, err
	}
	if len(open) > 0 {
		return j, unready("attempt %s is still open: record its result or its loss first", attemptName(open[0].Attempt))
	}
	results, err := measurements(s, id)
	if err != nil {
		return j, err
	}
	switch {
	case len(results) == 0:
		j.Candidate, err = abandoned(s, id)
	case id == research.Baseline:
		j.Candidate = research.Pool(results)
	default:
		j.Candidate = results[0]
	}
	if err != nil || id == research.Baseline {
		return j, err
	}
	if !st.incumbent.Valid {
		return j, unready("there is no incumbent to compare with: the baseline was not judged valid")
	}
	j.Incumbent = st.incumbent.V
	var reference float64
	if err := s.row(`SELECT score, replicates FROM trials WHERE id = ?`, []any{int64(j.Incumbent)}, &reference, &j.ReferenceN); err != nil {
		return j, fmt.Errorf("score of the incumbent %s: %w", j.Incumbent, err)
	}
	j.Reference = &reference
	if j.Incumbent != research.Baseline && j.ReferenceN > 1 {
		j.ReferenceN /= 2 // of its confirmation, whose other half measured the incumbent before it
	}
	if reg.Keep.Rule == research.Confirmed {
		j.Contest, j.Offer, err = contest(s, reg, st, id, results)
	}
	return j, err
}

// abandoned stands in for the measurement of a trial that never got one.
func abandoned(s *session, id research.TrialID) (research.Measurement, error) {
	m := research.Measurement{Outcome: research.Aborted, Reason: "no attempt was made"}
	err := s.row(`SELECT reason FROM attempts WHERE trial = ? ORDER BY replicate DESC, number DESC LIMIT 1`, []any{int64(id)}, &m.Reason)
	if isNone(err) {
		err = nil
	}
	return m, err
}

func calibration(s *session, reg research.Registration) (research.Calibrated, error) {
	results, err := measurements(s, research.Baseline)
	if err != nil {
		return research.Calibrated{}, err
	}
	var scores []float64
	for _, m := range results {
		if m.Score != nil {
			scores = append(scores, *m.Score)
		}
	}
	return research.Calibrate(reg.NoiseKind, reg.Calibration, scores), nil
}

// measurements are the accepted results of a trial, by replicate.
func measurements(s *session, id research.TrialID) ([]research.Measurement, error) {
	return collect(s, scanMeasurement, `SELECT e.payload FROM attempts a JOIN events e ON e.seq = a.measured_seq
		WHERE a.trial = ? AND a.state = 'measured' ORDER BY a.replicate`, int64(id))
}

func scanMeasurement(row scanner) (research.Measurement, error) {
	payload, err := scanOne[string](row)
	if err != nil {
		return research.Measurement{}, err
	}
	return decodeMeasurement(payload)
}

func decodeMeasurement(payload string) (research.Measurement, error) {
	var m research.Measured
	if err := json.Unmarshal([]byte(payload), &m); err != nil {
		return research.Measurement{}, fmt.Errorf("payload of measured: %w", err)
	}
	return m.Measurement, nil
}

// sameJSON compares values as they are stored: numbers to the last bit, nil and empty alike.
func sameJSON(a, b any) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

// difference names the first field in which two objects differ.
func difference(want, got any) string {
	w, g := fieldsOf(want), fieldsOf(got)
	for _, name := range slices.Sorted(maps.Keys(w)) {
		if !bytes.Equal(w[name], g[name]) {
			return fmt.Sprintf("%s follows as %s, not %s", name, w[name], orMissing(g[name]))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(g)) {
		if w[name] == nil {
			return fmt.Sprintf("%s does not follow, but is %s", name, g[name])
		}
	}
	return "its form is another"
}

func fieldsOf(v any) map[string]json.RawMessage {
	text, err := json.Marshal(v)
	if err != nil {
		return nil
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(text, &fields) != nil {
		return nil
	}
	return fields
}

func orMissing(text json.RawMessage) string {
	if text == nil {
		return "missing"
	}
	return string(text)
}

// An unreadyError says why a trial cannot be judged now.
type unreadyError struct{ problem string }

func (e *unreadyError) Error() string { return e.problem }

func unready(format string, args ...any) error {
	return &unreadyError{fmt.Sprintf(format, args...)}
}

// Measurements are a trial's accepted results, by replicate. Where there are several, the trial itself
// shows the pooled one.
func (r *Reader) Measurements(id research.TrialID) ([]research.Measurement, error) {
	return read(r, func(s *session) ([]research.Measurement, error) { return measurements(s, id) })
}
