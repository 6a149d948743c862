package openai

import (
	"context"
	"errors"
	"io"

	"mendel/internal/propose/provider/model"
	"mendel/internal/propose/provider/wire"
)

// chat speaks the chat-completions protocol.
type chat struct {
	wire  *wire.Client
	habit habit
}

// A habit is how a server departs from what most servers accept.
type habit struct {
	// completionTokens says that the cap on the output is called max_completion_tokens. Other
	// servers may not know the newer name and would then leave the output unbounded.
	completionTokens bool
	quotaIsRate      bool // a quota that is used up is one per minute or day
}

// Ask sends a request and reads the whole reply.
func (c *chat) Ask(ctx context.Context, r model.Request) (model.Reply, error) {
	if r.WebSearch {
		return model.Reply{}, &model.Error{Class: model.Misconfigured, Message: errNoSearch.Error(), Hint: noSearchHint}
	}
	body, err := c.habit.request(r)
	if err != nil {
		return model.Reply{}, err
	}
	reading := reading{wire: c.wire}
	err = c.wire.Stream(ctx, "/chat/completions", body, func(e wire.Event) (bool, error) { return reading.event(e.Data) })
	switch {
	case err != nil && reading.finish != "" && errors.Is(err, io.ErrUnexpectedEOF):
		// Some servers end without [DONE]; the reply itself was complete.
	case err != nil:
		return model.Reply{}, c.habit.explain(err)
	}
	return reading.reply(len(r.Turns))
}
