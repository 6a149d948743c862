package providertest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// documented are the fields of a request in OpenAI's reference that make sense here.
var documented = strings.Fields(`model messages tools tool_choice parallel_tool_calls stream stream_options max_tokens
	max_completion_tokens temperature top_p n stop seed user store metadata reasoning_effort prompt_cache_key
	prompt_cache_retention safety_identifier service_tier verbosity response_format frequency_penalty presence_penalty`)

// carried are fields of an assistant's message that servers send and want back.
var carried = strings.Fields("role content refusal name tool_calls reasoning reasoning_content reasoning_details extra_content")

var functionName = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,64}$`)

// parse reads a request, and says what in it the protocol does not allow.
func (o *openAI) parse(h http.Header, body []byte) (Request, error) {
	if kind := h.Get("Content-Type"); kind != "application/json" {
		return Request{}, fmt.Errorf("content type %q", kind)
	}
	var fields struct {
		Model    string            `json:"model"`
		Messages []json.RawMessage `json:"messages"`
		Tools    []json.RawMessage `json:"tools"`
		Stream   bool              `json:"stream"`
	}
	var options map[string]any
	if err := errors.Join(json.Unmarshal(body, &fields), json.Unmarshal(body, &options)); err != nil {
		return Request{}, err
	}
	for name := range options {
		if !slices.Contains(documented, name) {
			return Request{}, fmt.Errorf("unrecognized request argument supplied: %s", name)
		}
	}
	if err := checkOptions(options); err != nil {
		return Request{}, err
	}
	if fields.Model == "" || len(fields.Messages) == 0 || !fields.Stream {
		return Request{}, fmt.Errorf("model %q, %d messages, stream %v: all three are needed here", fields.Model, len(fields.Messages), fields.Stream)
	}
	request := Request{Model: fields.Model}
	for i, raw := range fields.Tools {
		name, err := checkTool(raw)
		if err != nil {
			return Request{}, fmt.Errorf("tools[%d]: %w", i, err)
		}
		if slices.Contains(request.Tools, name) {
			return Request{}, fmt.Errorf("tools[%d]: %s is there twice", i, name)
		}
		request.Tools = append(request.Tools, name)
	}
	return request, o.checkMessages(&request, fields.Messages)
}

func checkOptions(options map[string]any) error {
	_, old := options["max_tokens"]
	_, current := options["max_completion_tokens"]
	if old && current {
		return fmt.Errorf("setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported")
	}
	for _, name := range []string{"max_tokens", "max_completion_tokens"} {
		if v, given := options[name]; given {
			if n, ok := v.(float64); !ok || n < 1 || n != float64(int64(n)) {
				return fmt.Errorf("%s: %v is not a number of tokens", name, v)
			}
		}
	}
	if v, given := options["temperature"]; given {
		if n, ok := v.(float64); !ok || n < 0 || n > 2 {
			return fmt.Errorf("temperature: %v", v)
		}
	}
	if v, given := options["reasoning_effort"]; given && !slices.Contains([]any{"none", "minimal", "low", "medium", "high", "xhigh"}, v) {
		return fmt.Errorf("reasoning_effort: %v", v)
	}
	return nil
}

func checkTool(raw json.RawMessage) (string, error) {
	var t struct {
		Type     string `json:"type"`
		Function struct {
			Name        string         `json:"name"`
			Description string         `json:"description"`
			Parameters  map[string]any `json:"parameters"`
			Strict      *bool          `json:"strict"`
		} `json:"function"`
	}
	if err := strictly(raw, &t); err != nil {
		return "", err
	}
	switch {
	case t.Type != "function":
		return "", fmt.Errorf("type %q", t.Type)
	case !functionName.MatchString(t.Function.Name):
		return "", fmt.Errorf("function.name %q", t.Function.Name)
	case t.Function.Parameters["type"] != "object":
		return "", fmt.Errorf("parameters of %s are not an object's schema", t.Function.Name)
	}
	return t.Function.Name, nil
}

func strictly(raw json.RawMessage, into any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

type assistantCall struct {
	ID       string `json:"id"`
	Type     string `json:"type"`
	Function struct {
		Name      string `json:"name"`
		Arguments string `json:"arguments"`
	} `json:"function"`
	Extra struct {
		Google struct {
			Signature string `json:"thought_signature"`
		} `json:"google"`
	} `json:"extra_content"`
}

// checkMessages holds a conversation to its order: every tool call is answered, by its id, before
// anybody else speaks.
func (o *openAI) checkMessages(request *Request, list []json.RawMessage) error {
	var waiting []string
	for i, raw := range list {
		var m struct {
			Role    string          `json:"role"`
			Content *string         `json:"content"`
			Calls   []assistantCall `json:"tool_calls"`
			CallID  string          `json:"tool_call_id"`
		}
		if err := json.Unmarshal(raw, &m); err != nil {
			return fmt.Errorf("messages[%d]: %w", i, err)
		}
		if err := checkFields(m.Role, raw); err != nil {
			return fmt.Errorf("messages[%d]: %w", i, err)
		}
		if m.Role != "tool" && len(waiting) > 0 {
			return fmt.Errorf("messages[%d]: an assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'; missing: %s", i, strings.Join(waiting, ", "))
		}
		if m.Content == nil && len(m.Calls) == 0 {
			return fmt.Errorf("messages[%d]: content is missing", i)
		}
		text := ""
		if m.Content != nil {
			text = *m.Content
		}
		switch m.Role {
		case "system", "developer":
			if i != 0 {
				return fmt.Errorf("messages[%d]: the system speaks first or not at all", i)
			}
			request.System = text
		case "user":
			if request.Prompt == "" {
				request.Prompt = text
			}
			request.Told = append(request.Told, text)
		case "assistant":
			if err := o.checkCalls(request.Replies, m.Calls); err != nil {
				return fmt.Errorf("messages[%d]: %w", i, err)
			}
			for _, c := range m.Calls {
				waiting = append(waiting, c.ID)
			}
			request.Replies++
			request.Told, request.Results = nil, nil
		case "tool":
			at := slices.Index(waiting, m.CallID)
			if at < 0 {
				return fmt.Errorf("messages[%d]: tool_call_id %q answers no call", i, m.CallID)
			}
			waiting = slices.Delete(waiting, at, at+1)
			request.Results = append(request.Results, Result{ID: m.CallID, Text: text, IsError: strings.HasPrefix(text, "error: ")})
		}
	}
	if len(waiting) > 0 || len(request.Told)+len(request.Results) == 0 {
		return fmt.Errorf("nobody asks for a reply: the last message is %.200s", list[len(list)-1])
	}
	return nil
}

func checkFields(role string, raw json.RawMessage) error {
	allowed, ok := map[string][]string{
		"system": {"role", "content", "name"}, "developer": {"role", "content", "name"}, "user": {"role", "content", "name"},
		"assistant": carried, "tool": {"role", "content", "tool_call_id"},
	}[role]
	if !ok {
		return fmt.Errorf("role %q", role)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil {
		return err
	}
	for name := range fields {
		if !slices.Contains(allowed, name) {
			return fmt.Errorf("%s is not a field of a message of role %s", name, role)
		}
	}
	return nil
}

func (o *openAI) checkCalls(turn int, calls []assistantCall) error {
	seen := map[string]bool{}
	for i, c := range calls {
		var arguments map[string]any
		switch {
		case c.ID == "" || seen[c.ID]:
			return fmt.Errorf("tool_calls[%d]: id %q", i, c.ID)
		case c.Type != "function" || !functionName.MatchString(c.Function.Name):
			return fmt.Errorf("tool_calls[%d]: type %q, name %q", i, c.Type, c.Function.Name)
		case json.Unmarshal([]byte(c.Function.Arguments), &arguments) != nil || arguments == nil:
			// OpenAI takes any text; vLLM, llama.cpp and Gemini parse it.
			return fmt.Errorf("tool_calls[%d]: arguments are not an object: %.100s", i, c.Function.Arguments)
		case o.quirks.Signatures && i == 0 && c.Extra.Google.Signature != signature(turn):
			return fmt.Errorf("function call %s in the %d. content block is missing a thought_signature", c.Function.Name, turn)
		}
		seen[c.ID] = true
	}
	return nil
}
