package openai

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"regexp"

	"mendel/internal/propose/provider/model"
)

// responsesRequest is the body of POST /v1/responses. What is left out is left to the provider.
type responsesRequest struct {
	Model           string     `json:"model"`
	Instructions    string     `json:"instructions,omitempty"`
	Input           []any      `json:"input"` // userItem, resultItem, or what the model said, as it came
	Tools           []any      `json:"tools,omitempty"`
	MaxToolCalls    int        `json:"max_tool_calls,omitempty"` // of the provider's own tools
	Include         []string   `json:"include,omitempty"`
	Reasoning       *reasoning `json:"reasoning,omitempty"`
	Temperature     *float64   `json:"temperature,omitempty"`
	MaxOutputTokens int        `json:"max_output_tokens,omitempty"`
	PromptCacheKey  string     `json:"prompt_cache_key"`
	Store           bool       `json:"store"`
	Stream          bool       `json:"stream"`
}

type reasoning struct {
	Effort  string `json:"effort"`
	Summary string `json:"summary,omitempty"`
}

type functionTool struct {
	Type        string          `json:"type"`
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	Parameters  json.RawMessage `json:"parameters"`
	// Strict is sent also when it is false: left out it is true, which wants every argument of a
	// tool to be required.
	Strict bool `json:"strict"`
}

type providerTool struct {
	Type string `json:"type"`
}

type userItem struct {
	Type    string `json:"type"`
	Role    string `json:"role"`
	Content string `json:"content"`
}

type resultItem struct {
	Type   string `json:"type"`
	CallID string `json:"call_id"`
	Output string `json:"output"`
}

func responsesRequestOf(r model.Request, summarized bool) (responsesRequest, error) {
	body := responsesRequest{
		Model: r.Model, Stream: true, MaxOutputTokens: r.MaxOutput, PromptCacheKey: cacheKey(r.Shared),
		// The provider caches the longest common beginning by itself, so what is shared comes first.
		Instructions: join(r.Shared, r.Role),
	}
	if reasons(r.Model) {
		body.Include = []string{"reasoning.encrypted_content"} // refused for other models
	} else {
		body.Temperature = r.Temperature // refused for models that reason
	}
	if level := effort(r.Thinking); level != "" {
		body.Reasoning = &reasoning{Effort: level}
		if summarized {
			body.Reasoning.Summary = "auto"
		}
	}
	if r.WebSearch {
		body.Tools, body.MaxToolCalls = append(body.Tools, providerTool{"web_search"}), model.MaxSearches
	}
	for _, t := range r.Tools {
		body.Tools = append(body.Tools, functionTool{Type: "function", Name: t.Name, Description: t.Description, Parameters: t.Schema})
	}
	for _, t := range r.Turns {
		switch {
		case t.Reply != nil:
			var items []json.RawMessage
			if json.Unmarshal(t.Reply.Raw, &items) != nil {
				return responsesRequest{}, errForeign()
			}
			for _, item := range items {
				body.Input = append(body.Input, item)
			}
		case t.Results != nil:
			for _, result := range t.Results {
				body.Input = append(body.Input, resultItem{"function_call_output", result.ID, resultText(result)})
			}
		default:
			body.Input = append(body.Input, userItem{"message", "user", t.User})
		}
	}
	return body, nil
}

// cacheKey keeps the sessions of a run, which share their beginning, on the machines that have it
// cached.
func cacheKey(shared string) string {
	sum := sha256.Sum256([]byte(shared))
	return "mendel-" + hex.EncodeToString(sum[:8])
}

// unreasoning are the models that do not reason, fine-tuned ones included. The list is complete:
// it names the past.
var unreasoning = regexp.MustCompile(`^(ft:)?(gpt-3|gpt-4|chatgpt-4|gpt-5-chat)`)

func reasons(name string) bool { return !unreasoning.MatchString(name) }
