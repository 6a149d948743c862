package loop

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"mendel/internal/lineage"
	"mendel/internal/research"
	"mendel/internal/task"
)

// How much of the lineage a brief carries. The caps keep its cost the same however long the
// history is; the prompt chooses further, by bytes.
const (
	leaderboardRows = 20
	chainRows       = 24
	childRows       = 16
	nearMissRows    = 8
	nearMissPool    = 24 // the best raw scores, of which those are shown that missed by least
	recentRows      = 10
	ownRows         = 40
	saturatedAfter  = 5
	maxSubmit       = 3
)

// Brief gathers what a session of this agent may know.
func (l *Loop) Brief(a research.Agent, id research.SessionID) (research.Brief, error) {
	return Brief(l.cfg.Store.Reader, l.cfg.Task, a, id, l.budgets)
}

// Brief gathers what a session of this agent would know, from any reader of the run: `mendel
// prompt` shows it without being the supervisor.
func Brief(r *lineage.Reader, t *task.Task, a research.Agent, id research.SessionID, budgets research.Budgets) (research.Brief, error) {
	reg, err := r.Registration()
	if err != nil {
		return research.Brief{}, err
	}
	incumbent, ok, err := r.Incumbent()
	if err != nil {
		return research.Brief{}, err
	}
	if !ok {
		return research.Brief{}, research.Hinted(fmt.Errorf("the baseline has not been measured yet"), "`mendel status` shows how far it is")
	}
	spend, err := r.Spend()
	if err != nil {
		return research.Brief{}, err
	}
	last, err := r.LastEventAt()
	if err != nil {
		return research.Brief{}, err
	}
	b := research.Brief{
		Task: t.Card(), Arm: reg.Arm, Agent: a, Role: roleOf(t, a), Roles: t.Roles, Session: id,
		Seed: sessionSeed(reg.Seed, id), MaxSubmit: maxSubmit,
		Incumbent: incumbent, Budgets: budgets, Spend: spend, Now: last,
	}
	if !reg.Arm.Lineage {
		b.Incumbent = scoreOnly(incumbent)
		return b, nil
	}
	h, err := history(r, incumbent, a.Role)
	b.History = h
	return b, err
}

func history(r *lineage.Reader, incumbent research.Trial, role string) (*research.History, error) {
	h := &research.History{}
	var err error
	list := func(into *[]research.Trial, get func() ([]research.Trial, error)) {
		if err == nil {
			*into, err = get()
		}
	}
	if h.Baseline, err = r.Trial(research.Baseline); err != nil {
		return nil, err
	}
	if h.Noise, err = r.Noise(); err != nil {
		return nil, err
	}
	list(&h.Leaderboard, func() ([]research.Trial, error) { return r.Leaderboard(leaderboardRows) })
	list(&h.Chain, func() ([]research.Trial, error) { return r.Chain(incumbent.ID, chainRows) })
	list(&h.Children, func() ([]research.Trial, error) { return r.Children(incumbent.ID, childRows) })
	list(&h.NearMisses, func() ([]research.Trial, error) { return nearMisses(r, incumbent) })
	list(&h.Recent, func() ([]research.Trial, error) { return r.Recent(recentRows) })
	list(&h.Own, func() ([]research.Trial, error) { return r.Own(role, ownRows) })
	if err != nil {
		return nil, err
	}
	h.Saturated = saturated(h.Own, h.Noise)
	h.LastCrash, err = r.LastCrash(role)
	return h, err
}

func nearMisses(r *lineage.Reader, incumbent research.Trial) ([]research.Trial, error) {
	score, ok := incumbent.Score()
	if !ok {
		return nil, nil
	}
	misses, err := r.NearMisses(score, nearMissPool)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(misses, func(a, b research.Trial) int { return cmp.Compare(missedBy(a), missedBy(b)) })
	return misses[:min(len(misses), nearMissRows)], nil
}

// missedBy is how far a trial was beyond its bounds, as a share of each. Killed trees come last:
// nobody knows how far they would have gone.
func missedBy(t research.Trial) float64 {
	if t.Measurement == nil {
		return math.Inf(1)
	}
	total := 0.0
	for _, m := range t.Measurement.Margins {
		switch limit := cmp.Or(valueOf(m.Bound.Max), valueOf(m.Bound.Min), 1); {
		case m.AtLeast:
			return math.Inf(1)
		case m.Slack < 0:
			total -= m.Slack / math.Abs(limit)
		}
	}
	return total
}

func valueOf(v *float64) float64 {
	if v == nil {
		return 0
	}
	return *v
}

// saturated says whether the role's last judged trials all stayed within the noise floor, or were
// not valid.
func saturated(own []research.Trial, noise *research.Noise) bool {
	floor, _ := noise.Floor()
	judged := 0
	for _, t := range own {
		if t.Verdict == nil {
			continue
		}
		if t.Status == research.StatusKeep {
			return false
		}
		moved := t.Verdict.Difference != nil && math.Abs(*t.Verdict.Difference) > floor
		if t.Status == research.StatusDiscard && moved {
			return false
		}
		if judged++; judged == saturatedAfter {
			return true
		}
	}
	return false
}

// scoreOnly is all that a no-lineage arm may know of the incumbent.
func scoreOnly(t research.Trial) research.Trial {
	only := research.Trial{ID: t.ID, Status: t.Status, Proposal: research.Proposal{Tree: t.Proposal.Tree}}
	if score, ok := t.Score(); ok {
		only.Measurement = &research.Measurement{Outcome: research.Valid, Score: &score}
	}
	return only
}

func sessionSeed(run int64, id research.SessionID) int64 {
	sum := sha256.Sum256(fmt.Appendf(nil, "session/%d/%d", run, id))
	return int64(binary.LittleEndian.Uint64(sum[:8]) >> 1)
}
