package openai

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"

	"mendel/internal/propose/provider/model"
	"mendel/internal/propose/provider/wire"
)

// maxResponse is the most bytes of a reply. Each token comes as an event of about 200 bytes, and
// what was said is repeated whole when its part, its item and the response end.
const maxResponse = 32 << 20

// responses speaks the Responses API. The provider stores nothing: each request holds the whole
// conversation, with the model's own items as they came, its thinking encrypted among them.
type responses struct {
	wire *wire.Client
	// unsummarized says that summaries of the thinking were refused.
	unsummarized atomic.Bool
}

// Ask sends a request and reads the whole reply.
func (c *responses) Ask(ctx context.Context, r model.Request) (model.Reply, error) {
	body, err := responsesRequestOf(r, !c.unsummarized.Load())
	if err != nil {
		return model.Reply{}, err
	}
	output := output{wire: c.wire}
	if err := c.wire.Stream(ctx, "/responses", body, func(e wire.Event) (bool, error) { return output.event(e.Data) }); err != nil {
		return model.Reply{}, c.explain(err, body.Reasoning)
	}
	return output.reply()
}

// explain corrects the class of errors that mean something else with this protocol. Summaries of
// the thinking are for verified organizations only; others do without them from the next try on.
func (c *responses) explain(err error, sent *reasoning) error {
	var e *model.Error
	if !errors.As(err, &e) {
		return err
	}
	words := strings.ToLower(e.Message)
	if e.Class == model.BadRequest && sent != nil && sent.Summary != "" &&
		(strings.Contains(words, "reasoning summaries") || strings.Contains(words, "reasoning.summary")) {
		c.unsummarized.Store(true)
		e.Class = model.Retry
		return e
	}
	return forOperator(e)
}
