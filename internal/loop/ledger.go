package loop

import (
	"context"
	"fmt"

	"mendel/internal/control"
	"mendel/internal/propose/session"
	"mendel/internal/research"
)

// Reserve sets the worst case of a model call aside. While other calls are outstanding that may
// turn out cheaper than feared, it waits for them rather than refuse.
func (d *desk) Reserve(ctx context.Context, a research.ModelAsked) error {
	a.Session = d.session
	for {
		var refusal error
		var settled chan struct{}
		if err := d.loop.do(ctx, func() { settled, refusal = d.loop.reserve(d.member, a) }); err != nil {
			return err
		}
		if settled == nil {
			return refusal
		}
		select {
		case <-settled:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// reserve records the reservation, or refuses it; when a settlement may still make room it
// gives the channel that tells.
func (l *Loop) reserve(m *member, a research.ModelAsked) (chan struct{}, error) {
	if l.early {
		return nil, errEnded
	}
	if !l.mayStartSubmission() && !l.waits(m) {
		return nil, errNoTrial // it would be paid for in vain
	}
	spend, err := l.cfg.Store.Spend()
	if err != nil {
		l.fail(err)
		return nil, err
	}
	if short := l.overdrawn(spend, a.Worst); short != "" {
		if spend.Reserved != (research.Charge{}) {
			return l.settled, nil
		}
		m.broke = true
		return nil, fmt.Errorf("%w: %s", session.ErrNoBudget, short)
	}
	if !l.append(a) {
		return nil, l.failure
	}
	return nil, nil
}

// overdrawn says which budget a further charge could pass, or "".
func (l *Loop) overdrawn(spend research.Spend, more research.Charge) string {
	b := l.budgets
	switch {
	case b.USD > 0 && spend.Charge.USD+spend.Reserved.USD+more.USD > b.USD:
		return fmt.Sprintf("the budget of $%g is used: $%.4f are spent, and the next call may cost $%.4f", b.USD, spend.Charge.USD, more.USD)
	case b.Tokens > 0 && spend.Charge.Tokens+spend.Reserved.Tokens+more.Tokens > b.Tokens:
		return fmt.Sprintf("the budget of %d tokens is used: %d are spent, and the next call may need %d", b.Tokens, spend.Charge.Tokens, more.Tokens)
	}
	return ""
}

// Settle records what a model call cost. Money that turned out not to be needed lets agents that
// were short of it try again.
func (d *desk) Settle(ctx context.Context, a research.ModelAnswered) error {
	a.Session = d.session
	var ok bool
	err := d.loop.do(ctx, func() {
		ok = d.loop.append(a)
		d.loop.unpark()
		close(d.loop.settled)
		d.loop.settled = make(chan struct{})
	})
	if err == nil && !ok {
		err = errEnded
	}
	return err
}

// unpark lets agents that could not pay try again.
func (l *Loop) unpark() {
	for _, m := range l.team {
		if m.doing == control.Parked && m.broke {
			m.doing, m.broke, m.since = control.Idle, false, l.cfg.Now()
		}
	}
}

// settleLost charges the worst case for the calls that were under way when an earlier
// supervisor died: nobody will learn what they cost.
func (l *Loop) settleLost() error {
	open, err := l.cfg.Store.OpenCalls()
	if err != nil {
		return err
	}
	for _, a := range open {
		l.append(research.ModelAnswered{
			Session: a.Session, Call: a.Call, Charge: a.Worst, Priced: a.Worst.USD > 0, Estimated: true,
			Error: "the supervisor ended before the reply",
		})
	}
	return l.failure
}
