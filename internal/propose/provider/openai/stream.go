package openai

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"

	"mendel/internal/propose/provider/wire"
	"mendel/internal/research"
)

// chunk is one event of a reply.
type chunk struct {
	Choices []struct {
		Index   int             `json:"index"`
		Delta   json.RawMessage `json:"delta"`
		Message json.RawMessage `json:"message"` // instead of delta, from some servers
		Finish  string          `json:"finish_reason"`
	} `json:"choices"`
	Usage *usage          `json:"usage"`
	Error json.RawMessage `json:"error"`
}

// usage is the protocol's count. Cached tokens are part of the prompt's.
type usage struct {
	Prompt        int64 `json:"prompt_tokens"`
	Completion    int64 `json:"completion_tokens"`
	Total         int64 `json:"total_tokens"`
	PromptDetails struct {
		Cached     int64 `json:"cached_tokens"`
		CacheWrite int64 `json:"cache_write_tokens"`
	} `json:"prompt_tokens_details"`
	CompletionDetails struct {
		Reasoning int64 `json:"reasoning_tokens"`
	} `json:"completion_tokens_details"`
}

func (u usage) count() *research.Usage {
	prompt, completion := max(u.Prompt, 0), max(u.Completion, 0)
	read := min(max(u.PromptDetails.Cached, 0), prompt)
	write := min(max(u.PromptDetails.CacheWrite, 0), prompt-read)
	// Gemini counts thinking in the total alone.
	output := max(completion, u.Total-prompt)
	return &research.Usage{
		Input: prompt - read - write, CacheRead: read, CacheWrite: write, Output: output,
		Thinking: min(max(u.CompletionDetails.Reasoning, output-completion), output),
	}
}

// delta is what a chunk adds to the reply.
type delta struct {
	Content          string      `json:"content"`
	Refusal          string      `json:"refusal"`
	ReasoningContent string      `json:"reasoning_content"` // DeepSeek, llama.cpp, older vLLM
	Reasoning        string      `json:"reasoning"`         // OpenRouter, Ollama, vLLM
	Calls            []callDelta `json:"tool_calls"`
}

// reading puts a reply together.
type reading struct {
	wire                        *wire.Client
	content, refusal            strings.Builder
	reasoningContent, reasoning strings.Builder
	calls                       []*call
	rest                        map[string]json.RawMessage // fields of the message that are not ours to know
	finish                      string
	usage                       *research.Usage
}

var doneMark = []byte("[DONE]")

func (r *reading) event(data []byte) (done bool, err error) {
	if bytes.Equal(bytes.TrimSpace(data), doneMark) {
		return true, nil
	}
	var c chunk
	if err := json.Unmarshal(data, &c); err != nil {
		return false, r.wire.Garbled("a chunk", err)
	}
	if len(c.Error) > 0 && string(c.Error) != "null" {
		return false, r.wire.Failed(data)
	}
	if c.Usage != nil {
		r.usage = c.Usage.count()
	}
	for _, choice := range c.Choices {
		if choice.Index != 0 {
			continue // only one was asked for
		}
		r.finish = cmp.Or(choice.Finish, r.finish)
		part := choice.Delta
		if len(part) == 0 {
			part = choice.Message
		}
		if len(part) == 0 {
			continue
		}
		if err := r.add(part); err != nil {
			return false, r.wire.Garbled("a message", err)
		}
	}
	return false, nil
}

func (r *reading) add(part json.RawMessage) error {
	var d delta
	if err := json.Unmarshal(part, &d); err != nil {
		return err
	}
	r.content.WriteString(d.Content)
	r.refusal.WriteString(d.Refusal)
	r.reasoningContent.WriteString(d.ReasoningContent)
	r.reasoning.WriteString(d.Reasoning)
	for _, c := range d.Calls {
		r.callFor(c).add(c)
	}
	return r.keep(part)
}

// keep holds on to fields that a server may want back. Lists grow from chunk to chunk, as
// OpenRouter's reasoning_details do; of anything else the last counts.
func (r *reading) keep(part json.RawMessage) error {
	rest, err := without(part, "role", "content", "refusal", "reasoning_content", "reasoning", "tool_calls", "function_call")
	if err != nil {
		return err
	}
	for name, value := range rest {
		var before, more []json.RawMessage
		if json.Unmarshal(value, &more) == nil && json.Unmarshal(r.rest[name], &before) == nil {
			if value, err = json.Marshal(append(before, more...)); err != nil {
				return err
			}
		}
		if r.rest == nil {
			r.rest = map[string]json.RawMessage{}
		}
		r.rest[name] = value
	}
	return nil
}

// without is an object less some fields and less those that are null.
func without(object json.RawMessage, known ...string) (map[string]json.RawMessage, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(object, &fields); err != nil {
		return nil, err
	}
	maps.DeleteFunc(fields, func(name string, value json.RawMessage) bool {
		return slices.Contains(known, name) || string(value) == "null"
	})
	return fields, nil
}

// callDelta is what a chunk adds to a tool call.
type callDelta struct {
	index     *int
	id        string
	name      string
	arguments string
	rest      map[string]json.RawMessage
}

// UnmarshalJSON accepts arguments as text, which is the protocol, and as an object.
func (c *callDelta) UnmarshalJSON(data []byte) error {
	var fields struct {
		Index    *int   `json:"index"`
		ID       string `json:"id"`
		Function struct {
			Name      string          `json:"name"`
			Arguments json.RawMessage `json:"arguments"`
		} `json:"function"`
	}
	if err := json.Unmarshal(data, &fields); err != nil {
		return err
	}
	rest, err := without(data, "index", "id", "type", "function")
	if err != nil {
		return err
	}
	*c = callDelta{index: fields.Index, id: fields.ID, name: fields.Function.Name, rest: rest}
	switch arguments := fields.Function.Arguments; {
	case len(arguments) == 0 || string(arguments) == "null":
	case arguments[0] == '"':
		return json.Unmarshal(arguments, &c.arguments)
	case arguments[0] == '{':
		c.arguments = string(arguments)
	default:
		return errors.New("arguments of a tool call are neither text nor an object")
	}
	return nil
}

// call is a tool call so far.
type call struct {
	index     *int
	id        string
	name      string
	arguments strings.Builder
	rest      map[string]json.RawMessage
}

func (c *call) add(d callDelta) {
	c.id = cmp.Or(c.id, d.id)
	c.name = cmp.Or(c.name, d.name)
	c.arguments.WriteString(d.arguments)
	for name, value := range d.rest {
		if c.rest == nil {
			c.rest = map[string]json.RawMessage{}
		}
		c.rest[name] = value
	}
}

// callFor finds the call that a delta goes on with: by its index, or the last one where servers
// give no index. One that names another call begins it, as servers send whole calls without
// index, or all with index 0.
func (r *reading) callFor(d callDelta) *call {
	for _, c := range slices.Backward(r.calls) {
		if d.index != nil && (c.index == nil || *c.index != *d.index) {
			continue
		}
		if c.continuedBy(d) {
			return c
		}
		break
	}
	c := &call{index: d.index}
	r.calls = append(r.calls, c)
	return c
}

func (c *call) continuedBy(d callDelta) bool {
	if d.id != "" && c.id != "" {
		return d.id == c.id
	}
	if d.name == "" || c.name == "" {
		return true
	}
	// Some servers repeat the name with each piece; whole arguments that are followed by more are
	// those of another call.
	complete := json.Valid([]byte(c.arguments.String()))
	return d.name == c.name && (d.arguments == "" || !complete)
}
