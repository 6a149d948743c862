package model

import (
	"fmt"
	"time"
)

// An Error is a request that failed, with what to do about it.
type Error struct {
	Class      Class
	Status     int           // of HTTP; 0 where there was no response
	Message    string        // of the provider, without the key
	RetryAfter time.Duration // where the provider said it; 0 otherwise
	Hint       string        // for the operator
	Err        error         // the cause, where there is one
	// Began says that a reply had begun before it broke: it is charged.
	Began bool
}

// A Class is what can be done about an error.
type Class string

// The classes of error.
const (
	Retry         Class = "retry"         // the same request may work in a moment: 5xx, a cut stream, a lost connection
	Wait          Class = "wait"          // it will work later: rate limits, an overloaded provider
	Unreachable   Class = "unreachable"   // nobody to be trusted answers at the address: unknown host, refused connection, certificate
	Misconfigured Class = "misconfigured" // it will not work until the operator acts: key, model, address, credit
	BadRequest    Class = "bad_request"   // this conversation is not accepted: too long, or not understood
)

func (e *Error) Error() string {
	if e.Status != 0 {
		return fmt.Sprintf("HTTP %d: %s", e.Status, e.Message)
	}
	return e.Message
}

func (e *Error) Unwrap() error { return e.Err }
