package model

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"mendel/internal/propose/session"
	"mendel/internal/research"
)

// How often and how patiently a failed call is made again.
const (
	maxTries = 6
	// maxKnocks is how often an address is tried that has never answered.
	maxKnocks = 2
	firstWait = time.Second
	maxWait   = time.Minute
	// maxPatience is the longest wait that a provider may ask for without ending the session.
	maxPatience = 5 * time.Minute
)

// ask makes one call of the model, with retries, inside the session's time.
func (e *episode) ask(ctx context.Context) (Reply, error) {
	bounded, cancel := e.session.Bounded(ctx)
	defer cancel()
	reply, err := e.tries(bounded)
	return reply, capped(ctx, bounded, err)
}

// tries asks until there is a reply, or until asking again makes no sense. A try that broke in
// the midst of its reply is paid for, so it is settled, and the next one is a call of its own.
func (e *episode) tries(ctx context.Context) (Reply, error) {
	var call *session.ModelCall
	retries := 0
	for try := 1; ; try++ {
		if call == nil {
			var err error
			worst := worstOf(e.request, e.known, e.options.Price)
			if call, err = e.session.Ask(ctx, e.options.Name, worst); err != nil {
				return Reply{}, e.neverFits(worst, err)
			}
			e.turn++
			retries = 0
		}
		reply, err := e.options.Client.Ask(ctx, e.request)
		if err == nil {
			e.answered.Store(true)
			return reply, e.settle(ctx, call, reply, retries)
		}
		var failed *Error
		if !errors.As(err, &failed) {
			// Cut off from our side: nobody knows how far the provider got.
			return Reply{}, errors.Join(err, e.charge(ctx, call, err, retries))
		}
		if failed.Began || failed.Status != 0 {
			e.answered.Store(true)
		}
		if failed.Began {
			if err := e.charge(ctx, call, failed, retries); err != nil {
				return Reply{}, err
			}
			call = nil
		}
		wait, failure := e.verdict(failed, try)
		if failure == nil {
			e.note(fmt.Sprintf("%s; try %d of %d follows in %s", failed, try+1, e.mostTries(failed), wait.Round(time.Millisecond)), true)
			retries++
			err = e.options.Sleep(ctx, wait)
		} else {
			e.note(failure.Error(), true)
			err = failure
		}
		if err != nil {
			return Reply{}, errors.Join(err, e.release(ctx, call, failed, retries))
		}
	}
}

// verdict says how long to wait before the next try, or why there is none.
func (e *episode) verdict(failed *Error, try int) (time.Duration, error) {
	failure := &session.Failure{Err: fmt.Errorf("%s: %w", e.options.Name, failed), Hint: failed.Hint}
	switch {
	case failed.Class == Misconfigured:
		failure.Class = session.Misconfigured
		return 0, failure
	case failed.Class == BadRequest && e.turn == 1:
		// The model has said nothing yet: it is our first request that is not accepted.
		failure.Class = session.Misconfigured
		failure.Hint = cmp.Or(failed.Hint, "the provider does not take the first request: check the model, and max_output, thinking and temperature of its options")
		return 0, failure
	case failed.Class == BadRequest:
		failure.Class = session.Misbehaved
		failure.Err = fmt.Errorf("%s: the conversation is not accepted any more, perhaps because it is too long: %w", e.options.Name, failed)
		return 0, failure
	}
	failure.Class = session.Unavailable
	wait := e.wait(failed, try)
	if failed.RetryAfter > 0 {
		failure.Until = e.options.Now().Add(failed.RetryAfter)
	}
	if try >= e.mostTries(failed) {
		failure.Err = fmt.Errorf("%s: after %d tries: %w", e.options.Name, try, failed)
		if e.misaddressed(failed) {
			failure.Class = session.Misconfigured
		}
		return 0, failure
	}
	if wait > maxPatience || wait >= e.session.TimeLeft() {
		return 0, failure
	}
	return wait, nil
}

// misaddressed says whether a failure is more likely the address's than an outage: nobody has
// ever answered there.
func (e *episode) misaddressed(failed *Error) bool {
	return failed.Class == Unreachable && !e.answered.Load()
}

func (e *episode) mostTries(failed *Error) int {
	if e.misaddressed(failed) {
		return maxKnocks
	}
	return maxTries
}

// neverFits turns a cap that is too small for any first call into what it is: a mistake of the
// operator's, not the ending of a session.
func (e *episode) neverFits(worst research.Charge, err error) error {
	caps := e.session.Caps()
	failure := &session.Failure{Class: session.Misconfigured}
	switch {
	case e.turn > 0 || !errors.Is(err, session.ErrCapped):
		return err
	case caps.USD > 0 && worst.USD > caps.USD:
		failure.Err = fmt.Errorf("%s: no session can begin: one may cost $%g, and its first call may cost $%.4f", e.options.Name, caps.USD, worst.USD)
		failure.Hint = fmt.Sprintf("start a new run with --session-usd well above %.4f, or with a smaller --max-output", worst.USD)
	case caps.Tokens > 0 && worst.Tokens > caps.Tokens:
		failure.Err = fmt.Errorf("%s: no session can begin: one may use %d tokens, and its first call may use %d", e.options.Name, caps.Tokens, worst.Tokens)
		failure.Hint = fmt.Sprintf("start a new run with far more than %d in `session: {tokens: …}` of the file for --config, or with a smaller --max-output", worst.Tokens)
	default:
		return err
	}
	return failure
}

// wait is what the provider asked for, or exponential with full jitter, so that the sessions of
// a run do not all come back at once.
func (e *episode) wait(failed *Error, try int) time.Duration {
	if failed.RetryAfter > 0 {
		return failed.RetryAfter + time.Duration(e.options.Random()*float64(firstWait))
	}
	return time.Duration(e.options.Random() * float64(min(firstWait<<(try-1), maxWait)))
}

// settle records a reply and what it cost.
func (e *episode) settle(ctx context.Context, call *session.ModelCall, r Reply, retries int) error {
	x := session.Settlement{Retries: retries, Estimated: r.Usage == nil, Priced: e.options.Price != nil}
	if r.Usage != nil {
		x.Usage = *r.Usage
		if x.Priced {
			x.USD = e.options.Price.USD(*r.Usage)
		}
		e.known = learn(e.request, r, *r.Usage)
	}
	if r.Thinking != "" {
		e.session.Note(session.Entry{Kind: session.Thought, Turn: e.turn, Text: r.Thinking})
	}
	if r.Text != "" {
		e.session.Note(session.Entry{Kind: session.Said, Turn: e.turn, Text: r.Text})
	}
	note := session.Entry{Kind: session.Noted, Turn: e.turn, Text: "reply: " + string(r.Stop), Usage: r.Usage}
	if x.Priced && !x.Estimated {
		note.USD = &x.USD
	}
	e.session.Note(note)
	return call.Settle(ctx, x)
}

// charge settles a call whose cost nobody knows.
func (e *episode) charge(ctx context.Context, call *session.ModelCall, cause error, retries int) error {
	return call.Settle(ctx, session.Settlement{Estimated: true, Priced: e.options.Price != nil, Retries: retries, Err: cause})
}

// release settles a call that was never answered, if there is one: it costs nothing.
func (e *episode) release(ctx context.Context, call *session.ModelCall, cause *Error, retries int) error {
	if call == nil {
		return nil
	}
	return call.Settle(ctx, session.Settlement{Usage: research.Usage{}, Priced: true, Retries: retries, Err: cause})
}

func (e *episode) note(text string, isError bool) {
	e.session.Note(session.Entry{Kind: session.Noted, Turn: e.turn, Text: text, Error: isError})
}
