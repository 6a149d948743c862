// Package openai speaks OpenAI's two protocols: the Responses API to OpenAI itself, and chat
// completions to every server that speaks it too: vLLM, Ollama, llama.cpp, OpenRouter, and Gemini
// at its compatible endpoint.
//
// OpenAI's own models think and call tools at once through the Responses API alone, which few
// other servers have. Servers of chat completions differ in what they send, so whatever can be
// understood is accepted. What a server wants handed back is kept as it came. Start reading at
// [New], then responses.go and chat.go.
package openai

import (
	"cmp"
	"errors"
	"fmt"
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
	// Responses says that also the server at BaseURL speaks the Responses API.
	Responses bool
}

// A Client asks one server in the protocol that it speaks.
type Client struct {
	model.Client
	wire *wire.Client
}

// New makes a client of OpenAI, or of the server at o.BaseURL.
func New(o Options) (*Client, error) {
	speaksResponses := o.Responses || own(o.BaseURL, BaseURL)
	maxReply := int64(0)
	if speaksResponses {
		maxReply = maxResponse
	}
	w, err := connect(o, BaseURL, KeyEnv, maxReply)
	if err != nil {
		return nil, err
	}
	if speaksResponses {
		return &Client{&responses{wire: w}, w}, nil
	}
	return &Client{&chat{wire: w}, w}, nil
}

// NewGemini makes a client of Gemini.
func NewGemini(o Options) (*Client, error) {
	w, err := connect(o, GeminiBaseURL, GeminiKeyEnv, 0)
	if err != nil {
		return nil, err
	}
	return &Client{&chat{w, habit{completionTokens: own(o.BaseURL, GeminiBaseURL), quotaIsRate: true}}, w}, nil
}

func own(given, provider string) bool {
	return given == "" || strings.TrimRight(given, "/") == provider
}

// connect makes the connection; a maxReply of 0 is the usual one.
func connect(o Options, provider, keyEnv string, maxReply int64) (*wire.Client, error) {
	o.KeyEnv = cmp.Or(o.KeyEnv, keyEnv)
	if o.Key == "" && own(o.BaseURL, provider) {
		return nil, research.Hinted(fmt.Errorf("there is no API key for %s", provider),
			fmt.Sprintf("set %s, or give base_url for a server that wants no key", o.KeyEnv))
	}
	header := http.Header{}
	if o.Key != "" {
		header.Set("Authorization", "Bearer "+o.Key)
	}
	return wire.New(wire.Options{
		BaseURL: cmp.Or(o.BaseURL, provider), Key: o.Key, KeyEnv: o.KeyEnv, Idle: o.Idle, Header: header, MaxReply: maxReply,
	})
}

// Close gives idle connections back.
func (c *Client) Close() { c.wire.Close() }

// Check refuses settings that OpenAI, or a server at o.BaseURL, does not have.
func Check(o research.ProposerOptions) error {
	if own(o.BaseURL, BaseURL) {
		return check(o)
	}
	return checkChat(o)
}

// CheckGemini refuses settings that Gemini's compatible endpoint does not have.
func CheckGemini(o research.ProposerOptions) error { return checkChat(o) }

var errNoSearch = errors.New("the chat-completions protocol has no web search")

const noSearchHint = "leave web_search out, or let an anthropic: proposer, or an openai: one without base_url, play this role"

func checkChat(o research.ProposerOptions) error {
	if o.WebSearch {
		return research.Hinted(errNoSearch, noSearchHint)
	}
	return check(o)
}

func check(o research.ProposerOptions) error {
	switch {
	case o.Temperature != nil && (*o.Temperature < 0 || *o.Temperature > 2):
		return research.Hinted(fmt.Errorf("temperature %g is out of range", *o.Temperature), "the protocol takes 0 to 2")
	case o.Thinking > 0 && o.MaxOutput > 0 && o.Thinking >= o.MaxOutput:
		return research.Hinted(fmt.Errorf("a thinking budget of %d tokens leaves nothing of %d output tokens", o.Thinking, o.MaxOutput),
			"max_output counts thinking too: raise it above thinking")
	}
	return nil
}
