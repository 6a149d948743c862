package openai

import (
	"encoding/json"

	"mendel/internal/propose/provider/model"
)

// request is the body of a call. What is left out is left to the server.
type request struct {
	Model               string        `json:"model"`
	Messages            []any         `json:"messages"`
	Tools               []toolEntry   `json:"tools,omitempty"`
	Stream              bool          `json:"stream"`
	StreamOptions       streamOptions `json:"stream_options"`
	MaxTokens           int           `json:"max_tokens,omitempty"`
	MaxCompletionTokens int           `json:"max_completion_tokens,omitempty"`
	Temperature         *float64      `json:"temperature,omitempty"`
	ReasoningEffort     string        `json:"reasoning_effort,omitempty"`
}

type streamOptions struct {
	IncludeUsage bool `json:"include_usage"`
}

type toolEntry struct {
	Type     string   `json:"type"`
	Function function `json:"function"`
}

type function struct {
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	Parameters  json.RawMessage `json:"parameters"`
}

type textMessage struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

type toolMessage struct {
	Role    string `json:"role"`
	ID      string `json:"tool_call_id"`
	Content string `json:"content"`
}

func (h habit) request(r model.Request) (request, error) {
	body := request{
		Model: r.Model, Stream: true, StreamOptions: streamOptions{IncludeUsage: true},
		Temperature: r.Temperature, ReasoningEffort: effort(r.Thinking),
	}
	if h.completionTokens {
		body.MaxCompletionTokens = r.MaxOutput
	} else {
		body.MaxTokens = r.MaxOutput
	}
	for _, t := range r.Tools {
		body.Tools = append(body.Tools, toolEntry{Type: "function", Function: function{Name: t.Name, Description: t.Description, Parameters: t.Schema}})
	}
	// Servers cache the longest common beginning by themselves, so what is shared comes first. It
	// is one message, since some chat templates take only one from the system.
	if system := r.Shared + r.Role; system != "" {
		body.Messages = append(body.Messages, textMessage{"system", join(r.Shared, r.Role)})
	}
	for _, t := range r.Turns {
		switch {
		case t.Reply != nil:
			if !json.Valid(t.Reply.Raw) {
				return request{}, errForeign()
			}
			body.Messages = append(body.Messages, t.Reply.Raw)
		case t.Results != nil:
			for _, result := range t.Results {
				body.Messages = append(body.Messages, toolMessage{"tool", result.ID, resultText(result)})
			}
		default:
			body.Messages = append(body.Messages, textMessage{"user", t.User})
		}
	}
	return body, nil
}

func join(shared, role string) string {
	if shared == "" || role == "" {
		return shared + role
	}
	return shared + "\n\n" + role
}

// resultText marks what went wrong: the protocol has no field for it.
func resultText(r model.Result) string {
	if r.IsError {
		return "error: " + r.Text
	}
	return r.Text
}

// The protocols know no budget for thinking, only levels. The bounds lie between the budgets that
// Gemini documents for its levels: 1024, 8192 and 24576 tokens.
const (
	lowEffort    = 4 << 10  // tokens; up to here "low"
	mediumEffort = 16 << 10 // tokens; up to here "medium", beyond "high"
)

// effort is the level for a budget. Nothing is said where no thinking is asked for: the model
// does as it does by default, since not every model takes "none".
func effort(thinking int) string {
	switch {
	case thinking > mediumEffort:
		return "high"
	case thinking > lowEffort:
		return "medium"
	case thinking > 0:
		return "low"
	}
	return ""
}

// errForeign is the error for a conversation that was begun with another client.
func errForeign() error {
	return &model.Error{Class: model.BadRequest, Message: "a reply of another provider cannot be handed back"}
}
