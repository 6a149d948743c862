package mutate

import (
	"fmt"
	"regexp"
	"strings"

	"mendel/internal/research"
)

// A move is one knob that goes from one value to another.
type move struct {
	knob     research.Knob
	from, to string
}

// note writes moves into a proposal's notes, in the form that remember reads.
func note(moves []move) string {
	parts := make([]string, len(moves))
	for i, m := range moves {
		parts[i] = fmt.Sprintf("knob %s: %s -> %s", m.knob.Name, m.from, m.to)
	}
	return strings.Join(parts, "; ")
}

func notePattern() *regexp.Regexp { return regexp.MustCompile(`knob ([^:;]+): ([^;]*?) -> ([^;\n]*)`) }

// A lesson is what one trial says about one knob.
type lesson struct {
	trial    research.TrialID
	from, to string
	alone    bool // no other knob moved in this trial
	age      int  // trials of the role since
	judged   bool
	worked   bool     // kept, or better than its parent
	kept     bool     // became the incumbent
	gain     *float64 // how much better than its parent; negative is worse; nil where not measured
	status   research.Status
	slack    map[string]float64 // by how much it moved each margin against its parent
}

// memory is what the brief lets mutate know of its role's earlier moves.
type memory struct {
	lessons map[string][]lesson // by knob, newest first
	known   map[research.TrialID]research.Trial
	repairs map[research.TrialID]int // trials built on this one
	blank   bool                     // the brief shows no history
}

// remember reads the role's trials.
func remember(b research.Brief) memory {
	m := memory{lessons: map[string][]lesson{}, repairs: map[research.TrialID]int{}, blank: b.History == nil}
	if b.History == nil {
		return m
	}
	known := map[research.TrialID]research.Trial{b.Incumbent.ID: b.Incumbent, b.History.Baseline.ID: b.History.Baseline}
	h := b.History
	for _, list := range [][]research.Trial{h.Leaderboard, h.Chain, h.Children, h.NearMisses, h.Recent, h.Own} {
		for _, t := range list {
			known[t.ID] = t
		}
	}
	m.known = known
	for _, t := range known {
		if t.ID != research.Baseline {
			m.repairs[t.Proposal.Parent]++
		}
	}
	pattern := notePattern()
	for age, t := range h.Own {
		found := pattern.FindAllStringSubmatch(t.Proposal.Notes, -1)
		for _, f := range found {
			l := learn(t, known, b.Task.Score.Direction)
			l.from, l.to, l.alone, l.age = strings.TrimSpace(f[2]), strings.TrimSpace(f[3]), len(found) == 1, age
			m.lessons[f[1]] = append(m.lessons[f[1]], l)
		}
	}
	return m
}

// worn counts how often a near miss was worked on, and the near misses that it repairs with it.
func (m memory) worn(t research.Trial) int {
	n := m.repairs[t.ID]
	for range 8 {
		parent, ok := m.known[t.Proposal.Parent]
		if !ok || !parent.Status.Stopped() {
			break
		}
		n += m.repairs[parent.ID]
		t = parent
	}
	return n
}

// learn compares a trial with its parent, or with the incumbent of its time where the parent
// is not in the brief.
func learn(t research.Trial, known map[research.TrialID]research.Trial, better research.Direction) lesson {
	l := lesson{trial: t.ID, status: t.Status, judged: t.Status != "", kept: t.Status == research.StatusKeep}
	score, measured := t.Score()
	parent, ok := known[t.Proposal.Parent]
	if before, had := parent.Score(); ok && had && measured {
		l.gain = gainOf(score-before, better)
	} else if measured && t.Verdict != nil && t.Verdict.Difference != nil {
		l.gain = gainOf(*t.Verdict.Difference, better)
	}
	valid := t.Measurement != nil && t.Measurement.Outcome == research.Valid
	l.worked = l.kept || valid && t.Proposal.Parent != t.Proposal.Incumbent && l.gain != nil && *l.gain > 0
	if ok && t.Measurement != nil && parent.Measurement != nil {
		l.slack = map[string]float64{}
		for _, m := range t.Measurement.Margins {
			if before, found := slackOf(parent, m.Bound.Name); found && !m.AtLeast {
				l.slack[m.Bound.Name] = m.Slack - before
			}
		}
	}
	return l
}

func gainOf(difference float64, better research.Direction) *float64 {
	if better == research.Minimize {
		difference = -difference
	}
	return &difference
}

func slackOf(t research.Trial, bound string) (float64, bool) {
	if t.Measurement == nil {
		return 0, false
	}
	for _, m := range t.Measurement.Margins {
		if m.Bound.Name == bound && !m.AtLeast {
			return m.Slack, true
		}
	}
	return 0, false
}

// slope is what one unit of a knob's coordinate did on average, over the trials that moved it
// alone: to the score's goodness, or to a margin's slack.
func (m memory) slope(a axis, effect func(lesson) (float64, bool)) (float64, bool) {
	var up, across float64 // least squares through the origin
	for _, l := range m.lessons[a.knob.Name] {
		from, okFrom := a.parse(l.from)
		to, okTo := a.parse(l.to)
		change, known := effect(l)
		if !l.alone || !okFrom || !okTo || !known {
			continue
		}
		dx := to - from
		up += dx * change
		across += dx * dx
	}
	if across == 0 {
		return 0, false
	}
	return up / across, true
}
