package lineage

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"mendel/internal/research"
)

// Trial is one trial. What measurement and verdict of a trial point to is shared with other
// answers of the reader: it is to be read, not changed.
func (r *Reader) Trial(id research.TrialID) (research.Trial, error) {
	trials, err := r.trials(`WHERE id = ?`, int64(id))
	if err == nil && len(trials) == 0 {
		err = unknownTrial(id)
	}
	return first(trials), err
}

func unknownTrial(id research.TrialID) error { return fmt.Errorf("there is no trial %s", id) }

// A Filter chooses trials. Zero values choose everything.
type Filter struct {
	Role   string
	Status research.Status
	Parent *research.TrialID
	// Text is looked for in hypotheses, without regard to the case of ASCII letters. It is
	// the one condition that reads trials which it does not return.
	Text string
	// After lists trials with a greater id, oldest first. Without it the newest come first,
	// those before Before when that is set.
	After  *research.TrialID
	Before *research.TrialID
	Limit  int // 0 means 100
}

const defaultLimit = 100

// Trials lists the trials that a filter chooses.
func (r *Reader) Trials(f Filter) ([]research.Trial, error) {
	where, args := []string{`id >= 0`}, []any{}
	condition := func(text string, value any) {
		where, args = append(where, text), append(args, value)
	}
	order := ` ORDER BY id DESC`
	if f.Role != "" {
		condition(`role = ?`, f.Role)
	}
	if f.Status != "" {
		condition(`status = ?`, string(f.Status))
	}
	if f.Parent != nil {
		condition(`parent = ?`, int64(*f.Parent))
	}
	if f.Before != nil {
		condition(`id < ?`, int64(*f.Before))
	}
	if f.After != nil {
		condition(`id > ?`, int64(*f.After))
		order = ` ORDER BY id`
	}
	if f.Text != "" {
		condition(`hypothesis LIKE ? ESCAPE '\'`, "%"+strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(f.Text)+"%")
	}
	limit := f.Limit
	if limit <= 0 {
		limit = defaultLimit
	}
	return r.trials(`WHERE `+strings.Join(where, ` AND `)+order+` LIMIT ?`, append(args, limit)...)
}

// trialQuery reads trials that a clause after FROM chooses. Measurement and verdict come from the
// events that hold them.
const trialQuery = `SELECT t.id, t.parent, t.role, t.proposer, t.session, t.key, t.hypothesis, t.expected, t.notes, t.tree, t.tokens, t.incumbent, t.confinement,
	t.submitted_at, t.started_at, t.ended_at, t.status, t.replicates,
	t.measured_seq, (SELECT payload FROM events WHERE seq = t.measured_seq), t.judged_seq, (SELECT payload FROM events WHERE seq = t.judged_seq)
	FROM trials t `

// Each hands over all trials in the order of their ids, within the memory of a few.
func (r *Reader) Each(fn func(research.Trial) error) error {
	last := research.TrialID(-1)
	for {
		page, err := r.Trials(Filter{After: &last, Limit: defaultLimit})
		if err != nil {
			return err
		}
		for _, t := range page {
			if err := fn(t); err != nil {
				return err
			}
			last = t.ID
		}
		if len(page) < defaultLimit {
			return nil
		}
	}
}

// trials runs trialQuery with the clause.
func (r *Reader) trials(clause string, args ...any) ([]research.Trial, error) {
	return read(r, func(s *session) ([]research.Trial, error) {
		rows, err := collect(s, scanTrial, trialQuery+clause, args...)
		if err != nil {
			return nil, err
		}
		trials := make([]research.Trial, len(rows))
		for i, row := range rows {
			if trials[i], err = row.complete(s, r); err != nil {
				return nil, fmt.Errorf("trial %s: %w", row.trial.ID, err)
			}
		}
		return trials, nil
	})
}

// A trialRow is a trial whose measurement and verdict are still payloads.
type trialRow struct {
	trial                    research.Trial
	replicates               int
	measuredSeq, judgedSeq   sql.NullInt64
	measuredText, judgedText sql.NullString
}

func scanTrial(row scanner) (r trialRow, err error) {
	t := &r.trial
	var parent sql.NullInt64
	var submitted, started, ended string
	if err := row.Scan(&t.ID, &parent, &t.Proposal.Role, &t.Proposal.Proposer, &t.Proposal.Session, &t.Proposal.Key, &t.Proposal.Hypothesis,
		&t.Proposal.Expected, &t.Proposal.Notes, &t.Proposal.Tree, &t.Proposal.Tokens, &t.Proposal.Incumbent, &t.Proposal.Confinement,
		&submitted, &started, &ended, &t.Status, &r.replicates, &r.measuredSeq, &r.measuredText, &r.judgedSeq, &r.judgedText); err != nil {
		return r, err
	}
	t.Proposal.Parent = research.TrialID(parent.Int64)
	var submittedErr, startedErr, endedErr error
	t.SubmittedAt, submittedErr = parseOptionalTime(submitted) // an imported record may not say it
	t.StartedAt, startedErr = parseOptionalTime(started)
	t.EndedAt, endedErr = parseOptionalTime(ended)
	return r, errors.Join(submittedErr, startedErr, endedErr)
}

func (r trialRow) complete(s *session, reader *Reader) (research.Trial, error) {
	known := reader.decoded
	if r.measuredText.Valid {
		m, err := known.measurement(measurementKey{r.measuredSeq.Int64, r.replicates}, func() (research.Measurement, error) {
			if r.replicates == 1 {
				return decodeMeasurement(r.measuredText.String)
			}
			reg, err := reader.Registration()
			if err != nil {
				return research.Measurement{}, err
			}
			return estimate(s, reg, r.trial.ID)
		})
		if err != nil {
			return r.trial, err
		}
		r.trial.Measurement = &m
	}
	if r.judgedText.Valid {
		v, err := known.verdict(r.judgedSeq.Int64, func() (research.Verdict, error) {
			var f research.Judged
			err := json.Unmarshal([]byte(r.judgedText.String), &f)
			return f.Verdict, err
		})
		if err != nil {
			return r.trial, fmt.Errorf("payload of judged: %w", err)
		}
		r.trial.Verdict = &v
	}
	return r.trial, nil
}
