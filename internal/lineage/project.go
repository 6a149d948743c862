package lineage

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"mendel/internal/research"
)

// A projector turns events into rows of the projections, and refuses an event that does not fit.
// Its result depends on the events alone, so that a replay gives the same rows.
type projector struct {
	s   *session
	reg research.Registration // event 1; what it fixes never changes
}

// apply adds one event, whose row is already in the events table. What it costs does not depend
// on how many events there are.
func (p *projector) apply(e research.Event) error {
	if registered, ok := e.Fact.(research.Registered); ok != (e.Seq == 1) {
		return misfit(e.Fact, "event %d: the registration is event 1 and no other", e.Seq)
	} else if ok {
		p.reg = registered.Registration
		return newState(registered.Registration, e.At).insert(p.s)
	}
	if imported, ok := e.Fact.(research.TrialImported); ok != (p.reg.Imported != nil) {
		return misfit(e.Fact, "an imported run has imported trials and nothing else, and no other run has any")
	} else if ok {
		return p.imported(e, imported)
	}
	st, err := readState(p.s)
	if err != nil {
		return err
	}
	st.tick(e)
	if err := p.project(&st, e); err != nil {
		return err
	}
	return st.update(p.s)
}

func (p *projector) project(st *state, e research.Event) error {
	switch f := e.Fact.(type) {
	case research.Supervised, research.Stopped:
		return nil // all that they change is the clock
	case research.BudgetChanged:
		st.budgets = f.Budgets
		return nil
	case research.SessionOpened:
		return p.sessionOpened(st, e.At, f)
	case research.ToolCalled:
		return p.toolCalled(st, f)
	case research.ModelAsked:
		return p.modelAsked(f)
	case research.ModelAnswered:
		return p.modelAnswered(f)
	case research.SessionClosed:
		return p.sessionClosed(e.At, f)
	case research.Submitted:
		return p.submitted(st, e.At, f)
	case research.Dispatched:
		return p.dispatched(e.At, f)
	case research.Measured:
		return p.measured(st, e, f)
	case research.AttemptLost:
		return p.attemptLost(st, e.At, f)
	case research.Calibrated:
		return p.calibrated(st, f)
	case research.Confirming:
		return p.confirming(*st, f)
	case research.Certifying:
		return p.certifying(*st, e, f)
	case research.Recertifying:
		return p.recertifying(f)
	case research.Recertified:
		return p.recertified(e, f)
	case research.Certified:
		return p.certified(e, f)
	case research.Judged:
		return p.judged(st, e, f)
	}
	return misfit(e.Fact, "nothing says how to project it")
}

func misfit(fact research.Fact, format string, args ...any) error {
	return &MisfitError{Kind: fact.Kind(), Problem: fmt.Sprintf(format, args...)}
}

// A state is the one row of what changes as a run goes on.
type state struct {
	trials    research.TrialID // submitted so far, the baseline counted: the next id
	sessions  research.SessionID
	incumbent sql.Null[research.TrialID]
	noise     *research.Noise
	budgets   research.Budgets

	lastAt         time.Time
	supervising    bool
	supervised     time.Duration
	keptAt         time.Time // zero before there is an incumbent
	keptSupervised time.Duration

	trialWall, lostWall, checkCPU research.Seconds
}

func newState(reg research.Registration, at time.Time) state {
	return state{budgets: reg.Budgets, lastAt: at}
}

// tick counts supervised time: from a supervised event to the last event before the next one,
// or to a stopped event. A clock that was set back counts as standing still.
func (st *state) tick(e research.Event) {
	_, starts := e.Fact.(research.Supervised)
	if st.supervising && !starts {
		st.supervised += max(0, e.At.Sub(st.lastAt))
	}
	_, stops := e.Fact.(research.Stopped)
	st.supervising = starts || st.supervising && !stops
	st.lastAt = e.At
}

const stateColumns = `trials, sessions, incumbent, noise, budgets, last_at, supervising, supervised_ns, kept_at, kept_supervised_ns, trial_s, lost_s, check_cpu_s`

func readState(s *session) (state, error) {
	var st state
	var noise sql.NullString
	var budgets, lastAt, keptAt string
	err := s.row(`SELECT `+stateColumns+` FROM state`, nil, &st.trials, &st.sessions, &st.incumbent, &noise, &budgets,
		&lastAt, &st.supervising, &st.supervised, &keptAt, &st.keptSupervised, &st.trialWall, &st.lostWall, &st.checkCPU)
	if err != nil {
		return state{}, fmt.Errorf("read state: %w", err)
	}
	if noise.Valid {
		st.noise = new(research.Noise)
		err = json.Unmarshal([]byte(noise.String), st.noise)
	}
	var lastErr, keptErr error
	st.lastAt, lastErr = parseOptionalTime(lastAt)
	st.keptAt, keptErr = parseOptionalTime(keptAt)
	if err := errors.Join(err, json.Unmarshal([]byte(budgets), &st.budgets), lastErr, keptErr); err != nil {
		return state{}, fmt.Errorf("read state: %w", err)
	}
	return st, nil
}

func (st state) insert(s *session) error {
	values, err := st.values()
	if err != nil {
		return err
	}
	return s.exec(`INSERT INTO state (`+stateColumns+`, id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1)`, values...)
}

func (st state) update(s *session) error {
	values, err := st.values()
	if err != nil {
		return err
	}
	return s.exec(`UPDATE state SET (`+stateColumns+`) = (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, values...)
}

func (st state) values() ([]any, error) {
	budgets, err := json.Marshal(st.budgets)
	if err != nil {
		return nil, err
	}
	var noise any
	if st.noise != nil {
		text, err := json.Marshal(st.noise)
		if err != nil {
			return nil, err
		}
		noise = string(text)
	}
	return []any{int64(st.trials), int64(st.sessions), st.incumbent, noise, string(budgets), formatTime(st.lastAt), st.supervising,
		int64(st.supervised), optionalTime(st.keptAt), int64(st.keptSupervised), float64(st.trialWall), float64(st.lostWall), float64(st.checkCPU)}, nil
}

// optionalTime stores the zero time as an empty text.
func optionalTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return formatTime(t)
}

func parseOptionalTime(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	return parseTime(s)
}

// nullable stores a missing number as NULL.
func nullable(v *float64) any {
	if v == nil {
		return nil
	}
	return *v
}
