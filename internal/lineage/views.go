package lineage

import (
	"slices"
	"time"

	"mendel/internal/research"
)

// The lists below cost what they return, however long the history is: each follows one index.
// They name it, because SQLite, which knows nothing of how statuses are spread, would sort.
// Those that teach specialists leave out trials that are not judged and harness aborts, which
// are no evidence about an idea.
const (
	ranked  = `status IN ('baseline', 'keep')`
	stopped = `status IN ('disqualified', 'size_blocked', 'train_budget_overrun', 'eval_budget_overrun')`
	telling = `status NOT IN ('', 'harness_abort')`
	crashed = `status IN ('crash', 'preflight_crash')`
)

// Incumbent is the current best kept trial; false before the baseline was judged valid.
func (r *Reader) Incumbent() (research.Trial, bool, error) {
	trials, err := r.trials(`WHERE id = (SELECT incumbent FROM state)`)
	return first(trials), len(trials) > 0, err
}

// Baseline is trial 000; false before it was submitted.
func (r *Reader) Baseline() (research.Trial, bool, error) {
	trials, err := r.trials(`WHERE id = 0`)
	return first(trials), len(trials) > 0, err
}

// Leaderboard lists the ranking trials, best first.
func (r *Reader) Leaderboard(n int) ([]research.Trial, error) {
	return r.trials(`INDEXED BY trials_ranked WHERE `+ranked+` AND order_score IS NOT NULL ORDER BY order_score, id LIMIT ?`, n)
}

// NearMisses lists the trials that a limit or gate stopped although their score is better than
// the given one, best first.
func (r *Reader) NearMisses(score float64, n int) ([]research.Trial, error) {
	reg, err := r.Registration()
	if err != nil {
		return nil, err
	}
	if reg.Score.Direction == research.Maximize {
		score = -score
	}
	return r.trials(`INDEXED BY trials_stopped WHERE `+stopped+` AND order_score < ? ORDER BY order_score, id LIMIT ?`, score, n)
}

// Recent lists the newest telling trials of all roles, newest first.
func (r *Reader) Recent(n int) ([]research.Trial, error) {
	return r.trials(`INDEXED BY trials_telling WHERE `+telling+` ORDER BY id DESC LIMIT ?`, n)
}

// Own lists a role's newest telling trials, newest first.
func (r *Reader) Own(role string, n int) ([]research.Trial, error) {
	return r.trials(`INDEXED BY trials_telling_by_role WHERE role = ? AND `+telling+` ORDER BY id DESC LIMIT ?`, role, n)
}

// Children lists a trial's newest telling children, newest first.
func (r *Reader) Children(id research.TrialID, n int) ([]research.Trial, error) {
	return r.trials(`INDEXED BY trials_telling_by_parent WHERE parent = ? AND `+telling+` ORDER BY id DESC LIMIT ?`, int64(id), n)
}

// LastCrash is the newest crash of a role that left an excerpt among its last few crashes; nil
// when there is none.
func (r *Reader) LastCrash(role string) (*research.CrashOf, error) {
	const few = 5 // a crash without an excerpt is rare
	trials, err := r.trials(`INDEXED BY trials_crashed WHERE role = ? AND `+crashed+` ORDER BY id DESC LIMIT ?`, role, few)
	for _, t := range trials {
		if t.Measurement != nil && t.Measurement.Crash != nil {
			return &research.CrashOf{Trial: t.ID, Crash: *t.Measurement.Crash}, err
		}
	}
	return nil, err
}

// Chain leads from the baseline to a trial through its parents, baseline first. A longer one
// than limit keeps its root and its newest links; limit is at least 2.
func (r *Reader) Chain(id research.TrialID, limit int) ([]research.Trial, error) {
	limit = max(limit, 2)
	chain, err := read(r, func(s *session) ([]research.TrialID, error) {
		return collect(s, scanOne[research.TrialID], `WITH RECURSIVE chain (id, parent, depth) AS (
				SELECT id, parent, 1 FROM trials WHERE id = ?
				UNION ALL SELECT t.id, t.parent, depth + 1 FROM chain JOIN trials t ON t.id = chain.parent WHERE depth < ?)
			SELECT id FROM chain ORDER BY depth`, int64(id), limit)
	})
	if err != nil {
		return nil, err
	}
	if len(chain) == 0 {
		return nil, unknownTrial(id)
	}
	chain[len(chain)-1] = research.Baseline // every chain starts there; a cut one gives up a link for it
	slices.Reverse(chain)
	trials := make([]research.Trial, len(chain))
	for i, link := range chain {
		if trials[i], err = r.Trial(link); err != nil {
			return nil, err
		}
	}
	return trials, nil
}

// ByTokens lists the trials whose code without comments has the given hash, oldest first.
func (r *Reader) ByTokens(tokens research.Hash) ([]research.Trial, error) {
	return r.trials(`WHERE tokens = ? ORDER BY id`, string(tokens))
}

// ByKey finds the trial that a session submitted under a key.
func (r *Reader) ByKey(id research.SessionID, key string) (research.TrialID, bool, error) {
	type found struct {
		id research.TrialID
		ok bool
	}
	f, err := read(r, func(s *session) (found, error) {
		trial, err := trialByKey(s, id, key)
		if isNone(err) {
			return found{}, nil
		}
		return found{trial, err == nil}, err
	})
	return f.id, f.ok, err
}

// A Pending trial was submitted and is not judged.
type Pending struct {
	Trial    research.Trial `json:"trial"`
	Attempts []AttemptRow   `json:"attempts"`
}

// Pending lists every trial that is submitted and not judged, oldest first.
func (r *Reader) Pending() ([]Pending, error) {
	trials, err := r.trials(`WHERE status = '' ORDER BY id`)
	if err != nil {
		return nil, err
	}
	pending := make([]Pending, len(trials))
	for i, t := range trials {
		pending[i].Trial = t
		if pending[i].Attempts, err = r.Attempts(t.ID); err != nil {
			return nil, err
		}
	}
	return pending, nil
}

// A Point is one step of the best score so far.
type Point struct {
	Trial research.TrialID `json:"trial"`
	At    time.Time        `json:"at"`
	Score float64          `json:"score"`
}

// BestSoFar has one point for the baseline and one for each keep, in the order of the verdicts. The
// keeps of an imported run need not be better than those before; then they are left out.
func (r *Reader) BestSoFar() ([]Point, error) {
	reg, err := r.Registration()
	if err != nil {
		return nil, err
	}
	points, err := r.keeps()
	if reg.Imported == nil || err != nil {
		return points, err
	}
	var best []Point
	for _, p := range points {
		if len(best) == 0 || reg.Score.Direction.Better(p.Score, best[len(best)-1].Score) {
			best = append(best, p)
		}
	}
	return best, nil
}

func (r *Reader) keeps() ([]Point, error) {
	return read(r, func(s *session) ([]Point, error) {
		return collect(s, func(row scanner) (p Point, err error) {
			var at string
			if err := row.Scan(&p.Trial, &at, &p.Score); err != nil {
				return p, err
			}
			p.At, err = parseOptionalTime(at)
			return p, err
		}, `SELECT id, ended_at, score FROM trials INDEXED BY trials_improving WHERE `+ranked+` AND score IS NOT NULL ORDER BY judged_seq`)
	})
}

// first is the first trial of a list, or the zero Trial.
func first(trials []research.Trial) (t research.Trial) {
	if len(trials) > 0 {
		t = trials[0]
	}
	return t
}
