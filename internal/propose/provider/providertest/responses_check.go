package providertest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// responsesBody holds every field of a request that OpenAI's reference names and that makes sense
// without storage.
type responsesBody struct {
	Model              string             `json:"model"`
	Instructions       string             `json:"instructions"`
	Input              []json.RawMessage  `json:"input"`
	Tools              []json.RawMessage  `json:"tools"`
	ToolChoice         json.RawMessage    `json:"tool_choice"`
	ParallelToolCalls  *bool              `json:"parallel_tool_calls"`
	MaxToolCalls       *int               `json:"max_tool_calls"`
	MaxOutputTokens    *int               `json:"max_output_tokens"`
	Include            []string           `json:"include"`
	Reasoning          *responsesThinking `json:"reasoning"`
	Temperature        *float64           `json:"temperature"`
	TopP               *float64           `json:"top_p"`
	TopLogprobs        *int               `json:"top_logprobs"`
	Text               json.RawMessage    `json:"text"`
	Metadata           map[string]string  `json:"metadata"`
	PromptCacheKey     string             `json:"prompt_cache_key"`
	PromptCacheOptions json.RawMessage    `json:"prompt_cache_options"`
	CacheRetention     string             `json:"prompt_cache_retention"`
	SafetyIdentifier   string             `json:"safety_identifier"`
	ServiceTier        string             `json:"service_tier"`
	Store              *bool              `json:"store"`
	Stream             bool               `json:"stream"`
	StreamOptions      json.RawMessage    `json:"stream_options"`
	Truncation         string             `json:"truncation"`
	User               string             `json:"user"`
}

type responsesThinking struct {
	Effort  string `json:"effort"`
	Summary string `json:"summary"`
}

const (
	encryptedReasoning = "reasoning.encrypted_content"
	minOutputTokens    = 16
)

var includable = []string{
	encryptedReasoning, "web_search_call.action.sources", "web_search_call.results", "file_search_call.results", "message.output_text.logprobs",
	"message.input_image.image_url", "computer_call_output.output.image_url", "code_interpreter_call.outputs",
}

func (b responsesBody) includes(what string) bool { return slices.Contains(b.Include, what) }

// reasoning says whether the real provider's model of this name would reason.
func reasoning(name string) bool { return !strings.HasPrefix(name, "gpt-4") }

// parseResponses reads a request, and says what in it the protocol does not allow.
func parseResponses(h http.Header, body []byte) (Request, error) {
	if kind := h.Get("Content-Type"); kind != "application/json" {
		return Request{}, fmt.Errorf("content type %q", kind)
	}
	var b responsesBody
	if err := strictly(body, &b); err != nil {
		return Request{}, err
	}
	request := Request{Model: b.Model, System: b.Instructions}
	if err := errors.Join(b.checkTop(), b.checkThinking()); err != nil {
		return Request{}, err
	}
	for i, raw := range b.Tools {
		name, err := checkResponsesTool(raw)
		if err != nil {
			return Request{}, fmt.Errorf("tools[%d]: %w", i, err)
		}
		if slices.Contains(request.Tools, name) {
			return Request{}, fmt.Errorf("tools[%d]: %s is there twice", i, name)
		}
		request.Tools = append(request.Tools, name)
	}
	c := conversation{request: &request}
	for i, raw := range b.Input {
		if err := c.take(raw); err != nil {
			return Request{}, fmt.Errorf("input[%d]: %w", i, err)
		}
	}
	return request, c.end()
}

func (b responsesBody) checkTop() error {
	switch {
	case b.Model == "":
		return errors.New("missing required parameter: 'model'")
	case len(b.Input) == 0:
		return errors.New("missing required parameter: 'input'")
	case !b.Stream:
		return errors.New("this server streams only")
	case b.Store == nil || *b.Store:
		return errors.New("this server stores nothing: 'store' has to be false")
	case b.MaxOutputTokens != nil && *b.MaxOutputTokens < minOutputTokens:
		return fmt.Errorf("invalid 'max_output_tokens': integer below minimum value. Expected a value >= %d", minOutputTokens)
	case b.MaxToolCalls != nil && *b.MaxToolCalls < 1:
		return errors.New("invalid 'max_tool_calls': integer below minimum value. Expected a value >= 1")
	}
	for _, what := range b.Include {
		if !slices.Contains(includable, what) {
			return fmt.Errorf("invalid value: '%s'. Supported values of 'include' are: %q", what, includable)
		}
	}
	return nil
}

func (b responsesBody) checkThinking() error {
	switch reasons := reasoning(b.Model); {
	case !reasons && b.includes(encryptedReasoning):
		return errors.New("encrypted content is not supported with this model")
	case !reasons && b.Reasoning != nil:
		return errors.New("unsupported parameter: 'reasoning.effort' is not supported with this model")
	case reasons && b.Temperature != nil:
		return errors.New("unsupported parameter: 'temperature' is not supported with this model")
	case b.Temperature != nil && (*b.Temperature < 0 || *b.Temperature > 2):
		return fmt.Errorf("temperature: %v", *b.Temperature)
	}
	if t := b.Reasoning; t != nil {
		if !slices.Contains([]string{"", "none", "minimal", "low", "medium", "high", "xhigh", "max"}, t.Effort) {
			return fmt.Errorf("reasoning.effort: %q", t.Effort)
		}
		if !slices.Contains([]string{"", "auto", "concise", "detailed"}, t.Summary) {
			return fmt.Errorf("reasoning.summary: %q", t.Summary)
		}
	}
	return nil
}

func checkResponsesTool(raw json.RawMessage) (string, error) {
	var t struct {
		Type        string         `json:"type"`
		Name        string         `json:"name"`
		Description string         `json:"description"`
		Parameters  map[string]any `json:"parameters"`
		Strict      *bool          `json:"strict"`
	}
	if bytes.Contains(raw, []byte(`"web_search"`)) {
		var search struct {
			Type        string          `json:"type"`
			Filters     json.RawMessage `json:"filters"`
			ContextSize string          `json:"search_context_size"`
			Location    json.RawMessage `json:"user_location"`
		}
		if strictly(raw, &search) == nil && search.Type == "web_search" {
			return search.Type, nil
		}
	}
	if err := strictly(raw, &t); err != nil {
		return "", err
	}
	switch {
	case t.Type != "function":
		return "", fmt.Errorf("type %q", t.Type)
	case !functionName.MatchString(t.Name):
		return "", fmt.Errorf("name %q", t.Name)
	case t.Parameters["type"] != "object":
		return "", fmt.Errorf("parameters of %s are not an object's schema", t.Name)
	case (t.Strict == nil || *t.Strict) && t.Parameters["additionalProperties"] != false:
		return "", fmt.Errorf("invalid schema for function '%s': 'additionalProperties' is required to be supplied and to be false", t.Name)
	}
	return t.Name, nil
}

// itemFields are the documented fields of what a conversation is made of.
var itemFields = map[string][]string{
	"message":              strings.Fields("type id role status content phase"),
	"reasoning":            strings.Fields("type id summary content encrypted_content status"),
	"function_call":        strings.Fields("type id call_id name arguments status"),
	"function_call_output": strings.Fields("type id call_id output status"),
	"web_search_call":      strings.Fields("type id status action"),
}

// A responseItem is any item of a conversation; each type uses some of the fields.
type responseItem struct {
	Type      string          `json:"type"`
	ID        string          `json:"id"`
	Role      string          `json:"role"`
	Content   json.RawMessage `json:"content"`
	Encrypted string          `json:"encrypted_content"`
	Summary   json.RawMessage `json:"summary"`
	CallID    string          `json:"call_id"`
	Name      string          `json:"name"`
	Arguments *string         `json:"arguments"`
	Output    *string         `json:"output"`
}

// A conversation holds items to their order: thinking stays before what came of it, and every
// call is answered, by its id, before anybody else speaks.
type conversation struct {
	request *Request
	calls   []string // all so far
	waiting []string // calls that are not answered
	thought string   // id of the thinking that was the last item
	reply   []string // ids of the thinking of this reply
	speaks  bool     // the last item is the model's
}

func (c *conversation) take(raw json.RawMessage) error {
	var item responseItem
	var fields map[string]json.RawMessage
	if err := errors.Join(json.Unmarshal(raw, &item), json.Unmarshal(raw, &fields)); err != nil {
		return err
	}
	if item.Type == "" && item.Role != "" {
		item.Type = "message"
	}
	allowed, ok := itemFields[item.Type]
	if !ok {
		return fmt.Errorf("invalid value: '%s' as the type of an item", item.Type)
	}
	for name := range fields {
		if !slices.Contains(allowed, name) {
			return fmt.Errorf("unknown parameter: '%s' of a %s", name, item.Type)
		}
	}
	if item.Type == "function_call_output" || item.Type == "message" && item.Role != "assistant" {
		return c.ours(item)
	}
	return c.theirs(item)
}

// theirs takes an item of the model.
func (c *conversation) theirs(item responseItem) error {
	if !c.speaks {
		if len(c.waiting) > 0 {
			return fmt.Errorf("no tool output found for function call %s", strings.Join(c.waiting, ", "))
		}
		c.speaks, c.reply = true, nil
		c.request.Replies++
		c.request.Told, c.request.Results = nil, nil
	}
	if item.ID == "" {
		return fmt.Errorf("a %s of the model has lost its id", item.Type)
	}
	c.thought = ""
	switch item.Type {
	case "reasoning":
		if item.Encrypted == "" {
			return fmt.Errorf("item with id '%s' not found. Items are not persisted when `store` is set to false", item.ID)
		}
		if !decrypts(item.ID, item.Encrypted) || item.Summary == nil {
			return fmt.Errorf("the encrypted content of item %s could not be verified", item.ID)
		}
		c.thought, c.reply = item.ID, append(c.reply, item.ID)
	case "function_call":
		return c.call(item)
	case "message":
		var parts []struct {
			Type    string  `json:"type"`
			Text    *string `json:"text"`
			Refusal *string `json:"refusal"`
		}
		if json.Unmarshal(item.Content, &parts) != nil || len(parts) == 0 {
			return fmt.Errorf("content of message %s: %.100s", item.ID, item.Content)
		}
		for _, part := range parts {
			if (part.Type != "output_text" || part.Text == nil) && (part.Type != "refusal" || part.Refusal == nil) {
				return fmt.Errorf("content of message %s: a part of type %q", item.ID, part.Type)
			}
		}
	}
	return nil
}

func (c *conversation) call(item responseItem) error {
	if from, ok := strings.CutPrefix(item.ID, "fc_r"); ok {
		number, _, _ := strings.Cut(from, "_")
		if !slices.Contains(c.reply, "rs_"+number) {
			return fmt.Errorf("item '%s' of type 'function_call' was provided without its required 'reasoning' item: 'rs_%s'", item.ID, number)
		}
	}
	switch {
	case item.CallID == "" || slices.Contains(c.calls, item.CallID):
		return fmt.Errorf("call_id %q of a function_call", item.CallID)
	case !functionName.MatchString(item.Name):
		return fmt.Errorf("invalid 'name': %q", item.Name)
	case item.Arguments == nil || !json.Valid([]byte(*item.Arguments)):
		return fmt.Errorf("arguments of %s are not JSON", item.Name)
	}
	c.calls, c.waiting = append(c.calls, item.CallID), append(c.waiting, item.CallID)
	return nil
}

// ours takes an item of the user.
func (c *conversation) ours(item responseItem) error {
	if c.thought != "" {
		return fmt.Errorf("item '%s' of type 'reasoning' was provided without its required following item", c.thought)
	}
	c.speaks = false
	if item.Type == "function_call_output" {
		at := slices.Index(c.waiting, item.CallID)
		if at < 0 {
			return fmt.Errorf("no tool call found for function call output with call_id %s", item.CallID)
		}
		if item.Output == nil {
			return errors.New("missing required parameter: 'output'")
		}
		c.waiting = slices.Delete(c.waiting, at, at+1)
		c.request.Results = append(c.request.Results, Result{ID: item.CallID, Text: *item.Output, IsError: strings.HasPrefix(*item.Output, "error: ")})
		return nil
	}
	if len(c.waiting) > 0 {
		return fmt.Errorf("no tool output found for function call %s", strings.Join(c.waiting, ", "))
	}
	var text string
	if item.Role != "user" || json.Unmarshal(item.Content, &text) != nil || text == "" {
		return fmt.Errorf("a message of role %q: %.100s", item.Role, item.Content)
	}
	if c.request.Prompt == "" {
		c.request.Prompt = text
	}
	c.request.Told = append(c.request.Told, text)
	return nil
}

func (c *conversation) end() error {
	switch {
	case len(c.waiting) > 0:
		return fmt.Errorf("no tool output found for function call %s", strings.Join(c.waiting, ", "))
	case len(c.request.Told)+len(c.request.Results) == 0:
		return errors.New("nobody asks for a reply: the last item is the model's")
	}
	return nil
}
