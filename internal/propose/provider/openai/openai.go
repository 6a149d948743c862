// Package openai speaks OpenAI's chat-completions protocol, to OpenAI and to every server that
// speaks it too: vLLM, Ollama, llama.cpp, OpenRouter, and Gemini at its compatible endpoint.
//
// Servers differ in what they send, so whatever can be understood is accepted, and what they want
// handed back is kept as it came. Start reading at [Client.Ask].
package openai

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"mendel/internal/propose/provider/model"
	"mendel/internal/propose/provider/wire"
	"mendel/internal/research"
)

// Where the providers are, and the environment variables in which a key is looked for.
const (
	BaseURL         = "https://api.openai.com/v1"
	KeyEnv          = "OPENAI_API_KEY"
	GeminiBaseURL   = "https://generativelanguage.googleapis.com/v1beta/openai"
	GeminiKeyEnv    = "GEMINI_API_KEY"
	GeminiKeyEnvToo = "GOOGLE_API_KEY" // where GeminiKeyEnv is not set
)

// Options say which server is asked.
type Options struct {
	BaseURL string        // of the server; "" for the provider's own
	Key     string        // needed at the provider's own address only
	KeyEnv  string        // the environment variable that Key came from, for hints
	Idle    time.Duration // as in [wire.Options]
}

// A Client asks one server. It implements [model.Client].
type Client struct {
	wire  *wire.Client
	habit habit
}

// A habit is how a server departs from what most servers accept.
type habit struct {
	// completionTokens says that the cap on the output is called max_completion_tokens. OpenAI
	// refuses max_tokens for models that reason; other servers may not know the newer name and
	// would then leave the output unbounded.
	completionTokens bool
	cacheKey         bool // prompt_cache_key is understood
	namesNoEffort    bool // see [effort]
	quotaIsRate      bool // a quota that is used up is one per minute or day
}

// New makes a client of OpenAI, or of the server at o.BaseURL.
func New(o Options) (*Client, error) {
	h := habit{}
	if own(o.BaseURL, BaseURL) {
		h = habit{completionTokens: true, cacheKey: true, namesNoEffort: true}
	}
	return newClient(o, BaseURL, KeyEnv, h)
}

// NewGemini makes a client of Gemini.
func NewGemini(o Options) (*Client, error) {
	return newClient(o, GeminiBaseURL, GeminiKeyEnv, habit{completionTokens: own(o.BaseURL, GeminiBaseURL), quotaIsRate: true})
}

func own(given, provider string) bool {
	return given == "" || strings.TrimRight(given, "/") == provider
}

func newClient(o Options, provider, keyEnv string, h habit) (*Client, error) {
	o.KeyEnv = cmp.Or(o.KeyEnv, keyEnv)
	if o.Key == "" && own(o.BaseURL, provider) {
		return nil, research.Hinted(fmt.Errorf("there is no API key for %s", provider),
			fmt.Sprintf("set %s, or give base_url for a server that wants no key", o.KeyEnv))
	}
	header := http.Header{}
	if o.Key != "" {
		header.Set("Authorization", "Bearer "+o.Key)
	}
	w, err := wire.New(wire.Options{
		BaseURL: cmp.Or(o.BaseURL, provider), Key: o.Key, KeyEnv: o.KeyEnv, Idle: o.Idle, Header: header,
	})
	if err != nil {
		return nil, err
	}
	return &Client{wire: w, habit: h}, nil
}

// Close gives idle connections back.
func (c *Client) Close() { c.wire.Close() }

// Ask sends a request and reads the whole reply.
func (c *Client) Ask(ctx context.Context, r model.Request) (model.Reply, error) {
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

// Check refuses settings that the protocol does not have.
func Check(o research.ProposerOptions) error {
	switch {
	case o.WebSearch:
		return research.Hinted(errors.New("the chat-completions protocol has no web search"),
			"leave web_search out, or let an anthropic: proposer play this role")
	case o.Temperature != nil && (*o.Temperature < 0 || *o.Temperature > 2):
		return research.Hinted(fmt.Errorf("temperature %g is out of range", *o.Temperature), "the protocol takes 0 to 2")
	case o.Thinking > 0 && o.MaxOutput > 0 && o.Thinking >= o.MaxOutput:
		return research.Hinted(fmt.Errorf("a thinking budget of %d tokens leaves nothing of %d output tokens", o.Thinking, o.MaxOutput),
			"max_output counts thinking too: raise it above thinking")
	}
	return nil
}
