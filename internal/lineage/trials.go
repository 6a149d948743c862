package lineage

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"

	"mendel/internal/research"
)

// Trial is one trial.
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

// trialQuery reads trials that a clause after FROM chooses. Measurement and verdict
// come from the events that hold them.
const trialQuery = `SELECT t.id, t.parent, t.role, t.proposer, t.session, t.key, t.hypothesis, t.expected, t.notes, t.tree, t.tokens, t.incumbent,
	t.submitted_at, t.started_at, t.ended_at, t.status, t.replicates,
	(SELECT payload FROM events WHERE seq = t.measured_seq), (SELECT payload FROM events WHERE seq = t.judged_seq)
	FROM trials t `

// trials runs trialQuery with the clause.
func (r *Reader) trials(clause string, args ...any) ([]research.Trial, error) {
	return read(r, func(s *session) ([]research.Trial, error) {
		rows, err := collect(s, scanTrial, trialQuery+clause, args...)
		if err != nil {
			return nil, err
		}
		trials := make([]research.Trial, len(rows))
		for i, row := range rows {
			if row.replicates > 1 {
				results, err := measurements(s, row.trial.ID)
				if err != nil {
					return nil, err
				}
				pooled := research.Pool(results)
				row.trial.Measurement = &pooled
			}
			trials[i] = row.trial
		}
		return trials, nil
	})
}

type trialRow struct {
	trial      research.Trial
	replicates int
}

func scanTrial(row scanner) (r trialRow, err error) {
	t := &r.trial
	var parent sql.NullInt64
	var submitted, started, ended string
	var measured, judged sql.NullString
	if err := row.Scan(&t.ID, &parent, &t.Proposal.Role, &t.Proposal.Proposer, &t.Proposal.Session, &t.Proposal.Key, &t.Proposal.Hypothesis,
		&t.Proposal.Expected, &t.Proposal.Notes, &t.Proposal.Tree, &t.Proposal.Tokens, &t.Proposal.Incumbent,
		&submitted, &started, &ended, &t.Status, &r.replicates, &measured, &judged); err != nil {
		return r, err
	}
	t.Proposal.Parent = research.TrialID(parent.Int64)
	if t.SubmittedAt, err = parseOptionalTime(submitted); err != nil {
		return r, err
	}
	if t.StartedAt, err = parseOptionalTime(started); err != nil {
		return r, err
	}
	if t.EndedAt, err = parseOptionalTime(ended); err != nil {
		return r, err
	}
	if measured.Valid && r.replicates == 1 {
		m, err := decodeMeasurement(measured.String)
		if err != nil {
			return r, err
		}
		t.Measurement = &m
	}
	if judged.Valid {
		var f research.Judged
		if err := json.Unmarshal([]byte(judged.String), &f); err != nil {
			return r, fmt.Errorf("payload of judged: %w", err)
		}
		t.Verdict = &f.Verdict
	}
	return r, nil
}
