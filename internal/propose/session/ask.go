package session

import (
	"context"
	"fmt"
	"time"

	"mendel/internal/research"
)

// A ModelCall is one request to a model between its reservation and its settlement.
type ModelCall struct {
	session *Session
	asked   research.ModelAsked
	begun   time.Time
}

// Ask sets the worst case of one model call aside, before it is made: against the session's caps
// and the run's budgets. The error wraps [ErrCapped] or [ErrNoBudget] when that is too much; then
// the call must not be made. A call that was granted must be settled, also when it failed.
func (s *Session) Ask(ctx context.Context, model string, worst research.Charge) (*ModelCall, error) {
	s.asking.Lock() // calls are numbered without gaps
	defer s.asking.Unlock()
	now := s.options.Now()
	s.mu.Lock()
	err := s.capped(now, worst)
	if err == nil {
		s.turns++
		s.charged.Tokens += worst.Tokens
		s.charged.USD += worst.USD
	}
	asked := research.ModelAsked{Session: s.options.Brief.Session, Call: s.turns, Model: model, Worst: worst}
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	s.pause() // for others to settle
	err = s.options.Desk.Reserve(ctx, asked)
	s.unpause()
	if err != nil {
		s.takeBack(worst)
		return nil, err
	}
	return &ModelCall{session: s, asked: asked, begun: now}, nil
}

// capped says which cap of the session a further call would pass. s.mu is held.
func (s *Session) capped(now time.Time, worst research.Charge) error {
	c := s.options.Caps
	switch used := s.used(now); {
	case s.turns >= c.Turns:
		return fmt.Errorf("%w: %d model calls", ErrCapped, c.Turns)
	case used >= c.Time.Std():
		return fmt.Errorf("%w: %s", ErrCapped, c.Time.Std())
	case c.Tokens > 0 && s.charged.Tokens+worst.Tokens > c.Tokens:
		return fmt.Errorf("%w: %d of %d tokens are used, and the next call may need %d", ErrCapped, s.charged.Tokens, c.Tokens, worst.Tokens)
	case c.USD > 0 && s.charged.USD+worst.USD > c.USD:
		return fmt.Errorf("%w: $%.4f of $%g are used, and the next call may cost $%.4f", ErrCapped, s.charged.USD, c.USD, worst.USD)
	}
	return nil
}

// takeBack undoes a call that the run did not grant.
func (s *Session) takeBack(c research.Charge) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.turns--
	s.charged.Tokens -= c.Tokens
	s.charged.USD -= c.USD
}

// A Settlement is what a model call came to.
type Settlement struct {
	Usage     research.Usage
	USD       float64 // counts only when Priced
	Priced    bool
	Estimated bool // nobody knows the usage: the worst case is charged
	Retries   int
	Err       error
}

// Settle records what the call cost. It is recorded also when the session is being stopped.
func (c *ModelCall) Settle(ctx context.Context, x Settlement) error {
	s := c.session
	answered := research.ModelAnswered{
		Session: c.asked.Session, Call: c.asked.Call, Usage: x.Usage, Priced: x.Priced, Estimated: x.Estimated,
		Charge: research.Charge{Tokens: x.Usage.Tokens(), USD: x.USD},
		Wall:   research.SecondsOf(s.options.Now().Sub(c.begun)), Retries: x.Retries,
	}
	if x.Estimated {
		answered.Charge = c.asked.Worst
	}
	if x.Err != nil {
		answered.Error = firstLine(x.Err.Error())
	}
	s.mu.Lock()
	s.charged.Tokens += answered.Charge.Tokens - c.asked.Worst.Tokens
	s.charged.USD += answered.Charge.USD - c.asked.Worst.USD
	s.mu.Unlock()
	save, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := s.options.Desk.Settle(save, answered); err != nil {
		return fmt.Errorf("settle a model call: %w", err)
	}
	return nil
}
