package command

import (
	"mendel/internal/propose/session"
	"mendel/internal/research"
)

// A meter holds what an agent says of itself.
type meter struct {
	usage     research.Usage            // so far
	replies   map[string]research.Usage // of those, by the reply's id
	final     bool                      // usage is complete
	priced    bool
	usd       float64
	ending    error  // that it names itself
	complaint string // its last error that it did not get over
}

// reply counts one reply of a model. A later word on the same reply replaces the earlier.
func (m *meter) reply(id string, u research.Usage) {
	if m.replies == nil {
		m.replies = map[string]research.Usage{}
	}
	m.replies[id] = u
	m.usage = research.Usage{}
	for _, u := range m.replies {
		m.usage = m.usage.Plus(u)
	}
}

// withNext counts the tokens with one more reply like the largest so far: a conversation grows.
func (m *meter) withNext() int64 {
	var largest int64
	for _, u := range m.replies {
		largest = max(largest, u.Tokens())
	}
	return m.usage.Tokens() + largest
}

// settlement is what the session cost. An agent that did not come to its final word is charged
// the worst case.
func (m *meter) settlement(err error) session.Settlement {
	return session.Settlement{Usage: m.usage, USD: m.usd, Priced: m.priced, Estimated: !m.final, Err: err}
}
