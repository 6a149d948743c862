// Package mutate proposes without any model: it moves the knobs that a task declares, and reads
// verdicts, margins and failures to choose the next move. It lets the loop run with no key, and
// is the control that a language model has to beat.
//
// It acts through the session's tools alone and remembers nothing itself: what it knows is what
// the brief shows of its role's trials, whose notes say which knob went from where to where. So
// it forgets in a no-lineage arm and survives a resume. The same brief gives the same proposal.
// Start reading at [Proposer.Propose], then choose in policy.go.
package mutate

import (
	"context"
	"math/rand/v2"

	"mendel/internal/propose/session"
	"mendel/internal/propose/tool"
	"mendel/internal/research"
)

// attempts bounds how often one session chooses again after a refusal or a failed check.
const attempts = 8

// Proposer is the mutate proposer. It implements [session.Proposer].
type Proposer struct{}

// Instant says that no time is lost by asking late; see [session.Instant].
func (Proposer) Instant() bool { return true }

// Propose submits one mutated recipe and waits for its verdict, or ends without a submission
// when no knob of the role can be moved.
func (Proposer) Propose(ctx context.Context, s *session.Session) error {
	b := s.Brief()
	const stream = 0x6d7574617465 // sets these draws apart from others of the same seed
	p := &episode{
		hands:  hands{ctx: ctx, session: s, base: b.Incumbent.ID},
		brief:  b,
		memory: remember(b),
		random: rand.New(rand.NewPCG(uint64(b.Seed), stream)),
		spent:  map[string]bool{},
	}
	for range attempts {
		id, submitted, err := p.attempt()
		if err != nil {
			return err
		}
		if submitted {
			_, _, err := call[tool.Row](p.hands, "await_trial", map[string]any{"trial": id.String()})
			return err
		}
		if p.stuck {
			return nil
		}
	}
	return nil
}

// An episode is one session's play.
type episode struct {
	hands
	brief  research.Brief
	memory memory
	random *rand.Rand
	spent  map[string]bool // moves that this session found refused
	stuck  bool            // nothing is left to choose from
}

// attempt chooses one proposal, edits, checks and submits it.
func (p *episode) attempt() (id research.TrialID, submitted bool, err error) {
	base := p.chooseBase()
	if err := p.rebase(base.ID); err != nil {
		return 0, false, err
	}
	values, err := p.read(p.knobs())
	if err != nil {
		return 0, false, err
	}
	plan, ok := p.choose(base, values)
	if !ok {
		p.stuck = base.ID == p.brief.Incumbent.ID
		p.spent[baseKey(base.ID)] = true
		return 0, false, nil
	}
	p.spent[plan.key()] = true
	for _, m := range plan.moves {
		if ok, err := p.edit(values[m.knob.Name], m.to); err != nil || !ok {
			return 0, false, err
		}
	}
	if ok, err := p.checked(); err != nil || !ok {
		return 0, false, err
	}
	answer, ok, err := call[tool.Submitted](p.hands, "submit_trial", map[string]any{
		"hypothesis": plan.hypothesis(p.brief), "expected_delta": plan.expected, "notes": note(plan.moves),
	})
	return answer.Trial, ok, err
}

// knobs are those of the agent's role; an agent without a role of its own moves them all.
func (p *episode) knobs() []research.Knob {
	if p.brief.Arm.Agents != research.Specialists {
		return p.brief.Task.Knobs
	}
	var own []research.Knob
	for _, k := range p.brief.Task.Knobs {
		if k.Role == p.brief.Agent.Role {
			own = append(own, k)
		}
	}
	return own
}
