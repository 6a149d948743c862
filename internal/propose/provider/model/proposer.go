package model

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"mendel/internal/propose/prompt"
	"mendel/internal/propose/session"
	"mendel/internal/research"
)

// Options are what a proposer is made of.
type Options struct {
	Client Client
	Name   string // "anthropic:claude-…": what the record calls the proposer
	Model  string // what the provider calls it; by default what follows the colon of Name
	research.ProposerOptions
	Price Pricer // nil where the price is not known
	Now   func() time.Time
	// Sleep waits, or returns ctx's error; by default in real time.
	Sleep func(ctx context.Context, d time.Duration) error
	// Random is uniform in [0, 1); it spreads retries.
	Random func() float64
}

// defaultOutput is what a call may write besides thinking.
const defaultOutput = 16_000

// maxNudges is how often in a row a model that only talks is reminded of its tools.
const maxNudges = 2

// A Proposer plays sessions with a language model. It implements [session.Proposer], for
// several sessions at once.
type Proposer struct {
	options  Options
	answered atomic.Bool // somebody answers at the address
}

// New makes a proposer.
func New(o Options) *Proposer {
	if o.Model == "" {
		_, o.Model, _ = strings.Cut(o.Name, ":")
	}
	o.MaxOutput = cmp.Or(o.MaxOutput, defaultOutput+o.Thinking)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Sleep == nil {
		o.Sleep = sleep
	}
	if o.Random == nil {
		o.Random = rand.Float64
	}
	return &Proposer{options: o}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Propose plays one session. The error is a [*session.Failure], wraps [session.ErrCapped] or
// [session.ErrNoBudget], is ctx's, or hands on one of the session.
func (p *Proposer) Propose(ctx context.Context, s *session.Session) error {
	text := prompt.Render(s.Brief())
	e := &episode{
		options: p.options, session: s, answered: &p.answered,
		request: Request{
			Model: p.options.Model, Shared: text.SharedText(), Role: text.RoleText(), Tools: offered(s.Tools()),
			Turns:     []Turn{{User: text.UserText()}},
			MaxOutput: p.options.MaxOutput, Thinking: p.options.Thinking, Temperature: p.options.Temperature,
			WebSearch: p.options.WebSearch,
		},
	}
	for {
		e.warn()
		reply, err := e.ask(ctx)
		if err != nil {
			return err
		}
		if done, err := e.act(ctx, reply); done || err != nil {
			return err
		}
	}
}

// An episode is one session of one model: the conversation so far.
type episode struct {
	options Options
	session *session.Session
	request Request
	// answered is the proposer's.
	answered *atomic.Bool

	turn  int   // model calls that were granted
	known known // of the conversation's length
	mute  int   // replies in a row without a tool call
	habit habit
}

// act does what a reply asks for.
func (e *episode) act(ctx context.Context, r Reply) (done bool, err error) {
	submitted := e.session.Submitted() > 0
	if r.Stop == Refused {
		if submitted {
			return true, nil
		}
		return true, misbehaved("the model refused to go on")
	}
	if r.Text != "" || r.Thinking != "" || len(r.Calls) > 0 || r.Stop == Paused {
		e.request.Turns = append(e.request.Turns, Turn{Reply: &r})
	}
	if len(r.Calls) > 0 {
		e.mute = 0
		return false, e.call(ctx, r)
	}
	if r.Stop == Paused {
		return false, nil
	}
	e.mute++
	if r.Stop == Finished && submitted || e.mute > maxNudges {
		return true, nil
	}
	if r.Stop == CutShort {
		e.tell(fmt.Sprintf("Your reply was cut off at %d tokens, before any tool call. Say and think less at a time, and use the tools.", e.request.MaxOutput))
	} else {
		e.tell("Nothing happens without a tool call. Use the tools: edit and check, then submit_trial; or reply in one line that you end the session.")
	}
	return false, nil
}

// call runs the calls of a reply in their order and answers each.
func (e *episode) call(ctx context.Context, r Reply) error {
	results := make([]Result, 0, len(r.Calls))
	for i, c := range r.Calls {
		torn := r.Stop == CutShort && i == len(r.Calls)-1 && !isObject(c.Args)
		answer, err := e.answer(ctx, c, torn)
		if err != nil {
			return err
		}
		results = append(results, Result{ID: c.ID, Text: answer.Text, IsError: answer.IsError})
		if e.habit.repeats(c) {
			return misbehaved("endless loop: the model made the same call %d times in a row", maxSameCalls)
		}
	}
	e.request.Turns = append(e.request.Turns, Turn{Results: results})
	if e.habit.stuck(r.Calls, results) {
		return misbehaved("endless loop: the model repeated calls that cannot work in %d turns", maxSameTurns)
	}
	return nil
}

// warn tells the model that its turns come to an end, while it can still submit.
func (e *episode) warn() {
	left := e.session.Caps().Turns - e.turn
	if e.turn == 0 || left < 1 || left > 2 {
		return
	}
	rest := "This is your last reply in this session."
	if left == 2 {
		rest = "You have two replies left in this session, this one included."
	}
	if e.session.Submitted() == 0 {
		rest += " What is not submitted is lost: submit your workspace now if it is worth a trial."
	}
	e.tell(rest)
}

// tell adds a text of ours to the conversation. What the user said last may not have been
// answered: an empty reply leaves nothing behind.
func (e *episode) tell(text string) {
	e.session.Note(session.Entry{Kind: session.Told, Turn: e.turn, Text: text})
	if last := &e.request.Turns[len(e.request.Turns)-1]; last.User != "" {
		last.User += "\n\n" + text
		return
	}
	e.request.Turns = append(e.request.Turns, Turn{User: text})
}

func misbehaved(format string, args ...any) error {
	return &session.Failure{Class: session.Misbehaved, Err: fmt.Errorf(format, args...)}
}

// capped turns the end of the session's own time into its ending.
func capped(ctx, bounded context.Context, err error) error {
	if cause := context.Cause(bounded); err != nil && ctx.Err() == nil && errors.Is(cause, session.ErrCapped) {
		return cause
	}
	return err
}
