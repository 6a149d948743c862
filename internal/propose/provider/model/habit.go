package model

import (
	"fmt"
	"strings"
)

// When a model that repeats itself is stopped: long before its caps, which would be paid for.
const (
	maxSameCalls = 5 // the same call in a row, also a working one
	maxSameTurns = 3 // the same calls in a row, none of which works
)

// A habit watches for a model that goes round in circles.
type habit struct {
	call, turn           string
	sameCalls, sameTurns int
}

// repeats takes a call, and says whether it was made too often.
func (h *habit) repeats(c Call) bool {
	if key := keyOf(c); key != h.call || h.sameCalls == 0 {
		h.call, h.sameCalls = key, 0
	}
	h.sameCalls++
	return h.sameCalls >= maxSameCalls
}

// stuck takes a turn, and says whether it failed in the same way too often.
func (h *habit) stuck(calls []Call, results []Result) bool {
	for _, r := range results {
		if !r.IsError {
			h.sameTurns = 0
			return false
		}
	}
	var keys strings.Builder
	for _, c := range calls {
		keys.WriteString(keyOf(c))
	}
	if key := keys.String(); key != h.turn || h.sameTurns == 0 {
		h.turn, h.sameTurns = key, 0
	}
	h.sameTurns++
	return h.sameTurns >= maxSameTurns
}

func keyOf(c Call) string { return fmt.Sprintf("%q%q", c.Name, c.Args) }
