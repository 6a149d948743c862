// Package anthropic speaks the Messages API: requests with cache breakpoints, extended thinking
// and the provider's own web search, and streamed replies whose blocks are kept as they came,
// because the provider checks the ones that it signed. Start reading at [Client.Ask].
package anthropic

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"mendel/internal/propose/provider/model"
	"mendel/internal/propose/provider/wire"
	"mendel/internal/research"
)

const (
	defaultBaseURL = "https://api.anthropic.com"
	// version names the form of requests and replies; the provider keeps each one as it is.
	version = "2023-06-01"
	// minThinking is the least budget that the API takes.
	minThinking = 1024
)

// Options say which server is asked, and with which key.
type Options struct {
	BaseURL string // default: the provider's own
	Key     string
	KeyEnv  string        // the environment variable that Key came from, for hints
	Idle    time.Duration // as in [wire.Options]
}

// A Client asks one server. It implements [model.Client].
type Client struct{ wire *wire.Client }

// New makes a client. The provider's own server needs a key; another may do without.
func New(o Options) (*Client, error) {
	if o.Key == "" && o.BaseURL == "" {
		return nil, research.Hinted(errors.New("there is no key for the Anthropic API"),
			"set "+cmp.Or(o.KeyEnv, "ANTHROPIC_API_KEY")+" in the environment of mendel")
	}
	header := http.Header{}
	header.Set("Anthropic-Version", version)
	if o.Key != "" {
		header.Set("X-Api-Key", o.Key)
	}
	w, err := wire.New(wire.Options{
		// Both forms are around in settings of other tools.
		BaseURL: strings.TrimSuffix(strings.TrimRight(cmp.Or(o.BaseURL, defaultBaseURL), "/"), "/v1"),
		Key:     o.Key, KeyEnv: o.KeyEnv, Idle: o.Idle, Header: header,
	})
	if err != nil {
		return nil, err
	}
	return &Client{w}, nil
}

// Close gives idle connections back.
func (c *Client) Close() { c.wire.Close() }

// Ask sends a request and reads the whole reply.
func (c *Client) Ask(ctx context.Context, r model.Request) (model.Reply, error) {
	reply := reader{wire: c.wire}
	if err := c.wire.Stream(ctx, "/v1/messages", requestOf(r), reply.take); err != nil {
		return model.Reply{}, err
	}
	return reply.finish()
}

// Check refuses settings that this provider would refuse at the first call.
func Check(name string, o research.ProposerOptions) error {
	switch {
	case o.Thinking > 0 && o.Thinking < minThinking:
		return research.Hinted(fmt.Errorf("a thinking budget of %d tokens is too small", o.Thinking),
			fmt.Sprintf("give at least %d, or 0 for no extended thinking", minThinking))
	case o.Thinking > 0 && o.MaxOutput > 0 && o.Thinking >= o.MaxOutput:
		return research.Hinted(fmt.Errorf("a thinking budget of %d tokens leaves nothing of %d output tokens", o.Thinking, o.MaxOutput),
			"max_output counts thinking too: raise it above thinking")
	case o.Thinking > 0 && o.Temperature != nil:
		return research.Hinted(errors.New("temperature cannot be set together with extended thinking"), "leave one of the two out")
	case o.Temperature != nil && !takesBudget(name):
		return research.Hinted(fmt.Errorf("%s takes no temperature", name), "leave temperature out")
	case o.Temperature != nil && (*o.Temperature < 0 || *o.Temperature > 1):
		return research.Hinted(fmt.Errorf("temperature %g is out of range", *o.Temperature), "Anthropic's models take 0 to 1")
	}
	return nil
}

// takesBudget says whether a model takes a thinking budget and a temperature. Later models decide
// themselves how long to think, and refuse both. The list is complete: it names the past.
func takesBudget(name string) bool {
	for _, family := range []string{
		"claude-3", "claude-opus-4-0", "claude-opus-4-1", "claude-opus-4-2025", "claude-opus-4-5", "claude-opus-4-6",
		"claude-sonnet-4-0", "claude-sonnet-4-2025", "claude-sonnet-4-5", "claude-sonnet-4-6", "claude-haiku-4-5",
	} {
		if strings.HasPrefix(name, family) {
			return true
		}
	}
	return !strings.HasPrefix(name, "claude-") // another server's model, which knows the older form
}
