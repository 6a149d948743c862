package session

import (
	"errors"
	"time"
)

// ErrCapped ends a session that has used what one session may use: turns, tool calls, tokens,
// dollars or time. It is an ending, not a failure.
var ErrCapped = errors.New("the session's cap is reached")

// ErrNoBudget ends a session because the run has no trial, dollar or token left for it.
var ErrNoBudget = errors.New("the run's budget is used")

// A Failure says why a proposer could not go on, and so what the run does about it. What could
// be tried again has been tried again before.
type Failure struct {
	Class Class
	Err   error     // for the operator; never holds a key
	Hint  string    // what to do about it
	Until time.Time // Unavailable: not before this; zero where the provider did not say
}

// A Class is what a failure means for the run.
type Class string

// The classes of failure.
const (
	// Unavailable backs the agent off: the provider is overloaded, limits the rate or cannot be
	// reached.
	Unavailable Class = "unavailable"
	// Misconfigured parks the agent until the operator acts: a wrong key, model or address, or
	// an account without credit.
	Misconfigured Class = "misconfigured"
	// Misbehaved ends and counts the session: the model refused, looped or made no sense.
	Misbehaved Class = "misbehaved"
)

func (f *Failure) Error() string { return f.Err.Error() }
func (f *Failure) Unwrap() error { return f.Err }
