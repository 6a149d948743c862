package providertest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// Anthropic is the Messages API, version 2023-06-01, streaming.
var Anthropic = Protocol{
	path:  "/v1/messages",
	key:   func(h http.Header) string { return h.Get("X-Api-Key") },
	parse: parseAnthropic,
	refusal: func(status int, message string) string {
		kind := map[int]string{
			400: "invalid_request_error", 401: "authentication_error", 402: "billing_error", 403: "permission_error",
			404: "not_found_error", 413: "request_too_large", 429: "rate_limit_error", 529: "overloaded_error",
		}[status]
		if kind == "" {
			kind = "api_error"
		}
		text, _ := json.Marshal(map[string]any{"type": "error", "error": map[string]string{"type": kind, "message": message}, "request_id": "req_1"})
		return string(text)
	},
	frames: anthropicFrames,
}

// anthropicBody holds every field of a request that the documentation names for this version.
type anthropicBody struct {
	Model         string             `json:"model"`
	MaxTokens     int                `json:"max_tokens"`
	Messages      []anthropicMessage `json:"messages"`
	System        json.RawMessage    `json:"system"`
	Tools         []anthropicTool    `json:"tools"`
	ToolChoice    json.RawMessage    `json:"tool_choice"`
	Stream        bool               `json:"stream"`
	Thinking      *anthropicThinking `json:"thinking"`
	Temperature   *float64           `json:"temperature"`
	TopK          *int               `json:"top_k"`
	TopP          *float64           `json:"top_p"`
	Metadata      json.RawMessage    `json:"metadata"`
	StopSequences []string           `json:"stop_sequences"`
	ServiceTier   string             `json:"service_tier"`
	Container     json.RawMessage    `json:"container"`
	OutputConfig  json.RawMessage    `json:"output_config"`
	CacheControl  json.RawMessage    `json:"cache_control"`
	InferenceGeo  json.RawMessage    `json:"inference_geo"`
}

type anthropicThinking struct {
	Type         string `json:"type"`
	BudgetTokens int    `json:"budget_tokens"`
	Display      string `json:"display"`
}

type anthropicTool struct {
	Type         string          `json:"type"`
	Name         string          `json:"name"`
	Description  string          `json:"description"`
	InputSchema  json.RawMessage `json:"input_schema"`
	MaxUses      int             `json:"max_uses"`
	CacheControl json.RawMessage `json:"cache_control"`
}

type anthropicMessage struct {
	Role    string          `json:"role"`
	Content json.RawMessage `json:"content"`
}

// anthropicBlock is any block of a message; each type uses some of the fields.
type anthropicBlock struct {
	Type      string          `json:"type"`
	Text      string          `json:"text"`
	Thinking  string          `json:"thinking"`
	Signature string          `json:"signature"`
	Data      string          `json:"data"`
	ID        string          `json:"id"`
	Name      string          `json:"name"`
	Input     json.RawMessage `json:"input"`
	ToolUseID string          `json:"tool_use_id"`
	Content   json.RawMessage `json:"content"`
	IsError   bool            `json:"is_error"`
}

const maxBreakpoints = 4

var toolName = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,128}$`)

func parseAnthropic(h http.Header, body []byte) (Request, error) {
	if v := h.Get("Anthropic-Version"); v != "2023-06-01" {
		return Request{}, fmt.Errorf("anthropic-version: %q is not a valid version", v)
	}
	if kind := h.Get("Content-Type"); kind != "application/json" {
		return Request{}, fmt.Errorf("content-type %q is not application/json", kind)
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	var b anthropicBody
	if err := decoder.Decode(&b); err != nil {
		return Request{}, err
	}
	r := Request{Model: b.Model, System: systemText(b.System)}
	if err := errors.Join(b.checkTop(), b.checkTools(), b.checkThinking()); err != nil {
		return Request{}, err
	}
	for _, t := range b.Tools {
		r.Tools = append(r.Tools, t.Name)
	}
	return r, b.converse(&r)
}

func (b anthropicBody) checkTop() error {
	breakpoints, err := cacheControls(b.System, b.Messages, b.Tools)
	switch {
	case err != nil:
		return err
	case breakpoints > maxBreakpoints:
		return fmt.Errorf("a maximum of %d blocks with cache_control may be provided, found %d", maxBreakpoints, breakpoints)
	case b.Model == "":
		return errors.New("model: Field required")
	case b.MaxTokens < 1:
		return errors.New("max_tokens: Input should be greater than or equal to 1")
	case !b.Stream:
		return errors.New("this server streams only")
	case len(b.Messages) == 0:
		return errors.New("messages: at least one message is required")
	case b.Temperature != nil && (*b.Temperature < 0 || *b.Temperature > 1):
		return errors.New("temperature: range: 0..1")
	}
	return nil
}

func (b anthropicBody) checkTools() error {
	seen := map[string]bool{}
	for i, t := range b.Tools {
		var schema struct {
			Type string `json:"type"`
		}
		switch {
		case seen[t.Name]:
			return errors.New("tools: Tool names must be unique")
		case t.Type == "web_search_20250305":
			if t.Name != "web_search" || t.InputSchema != nil {
				return fmt.Errorf("tools.%d: a web search tool is named web_search and has no schema", i)
			}
		case t.Type != "" && t.Type != "custom":
			return fmt.Errorf("tools.%d: Input tag '%s' found using 'type' does not match any of the expected tags", i, t.Type)
		case !toolName.MatchString(t.Name):
			return fmt.Errorf("tools.%d.custom.name: String should match pattern '%s'", i, toolName)
		case json.Unmarshal(t.InputSchema, &schema) != nil || schema.Type != "object":
			return fmt.Errorf("tools.%d.custom.input_schema.type: Field required", i)
		case t.MaxUses != 0:
			return fmt.Errorf("tools.%d.custom.max_uses: Extra inputs are not permitted", i)
		}
		seen[t.Name] = true
	}
	return nil
}

func (b anthropicBody) checkThinking() error {
	t := b.Thinking
	if t == nil {
		return nil
	}
	switch {
	case t.Type != "enabled" && t.Type != "adaptive" && t.Type != "disabled":
		return fmt.Errorf("thinking: Input tag '%s' found using 'type' does not match any of the expected tags", t.Type)
	case t.Type == "enabled" && t.BudgetTokens < 1024:
		return errors.New("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
	case t.Type == "enabled" && t.BudgetTokens >= b.MaxTokens:
		return errors.New("`max_tokens` must be greater than `thinking.budget_tokens`")
	case t.Type != "enabled" && t.BudgetTokens != 0:
		return fmt.Errorf("thinking.%s.budget_tokens: Extra inputs are not permitted", t.Type)
	case t.Type != "disabled" && b.Temperature != nil && *b.Temperature != 1:
		return errors.New("`temperature` may only be set to 1 when thinking is enabled")
	}
	return nil
}

// converse checks the messages in their order, and reads out of them what a script needs.
func (b anthropicBody) converse(r *Request) error {
	var open []string // tool calls that wait for their results
	for i, m := range b.Messages {
		want := []string{"user", "assistant"}[i%2]
		if m.Role != want {
			return fmt.Errorf("messages.%d: roles must alternate, want %q", i, want)
		}
		blocks, err := blocksOf(m.Content)
		if err != nil {
			return fmt.Errorf("messages.%d.content: %w", i, err)
		}
		if m.Role == "assistant" {
			r.Replies++
			r.Told, r.Results = nil, nil
			if open, err = checkReply(blocks); err != nil {
				return fmt.Errorf("messages.%d.content: %w", i, err)
			}
			if len(open) > 0 && b.Thinking != nil && b.Thinking.Type == "enabled" && !isThinking(blocks[0].Type) {
				return fmt.Errorf("messages.%d.content.0.type: Expected `thinking` or `redacted_thinking`, but found `%s`", i, blocks[0].Type)
			}
			continue
		}
		if err := checkUser(blocks, open); err != nil {
			return fmt.Errorf("messages.%d: %w", i, err)
		}
		for _, block := range blocks {
			switch {
			case block.Type == "tool_result":
				r.Results = append(r.Results, Result{ID: block.ToolUseID, Text: resultText(block.Content), IsError: block.IsError})
			case r.Prompt == "":
				r.Prompt = block.Text
				r.Told = append(r.Told, block.Text)
			default:
				r.Told = append(r.Told, block.Text)
			}
		}
		open = nil
	}
	if len(open) > 0 {
		return errors.New("messages: `tool_use` ids were found without `tool_result` blocks immediately after: " + strings.Join(open, ", "))
	}
	return nil
}

// checkReply checks what the client hands back of the model, and lists its open calls.
func checkReply(blocks []anthropicBlock) (open []string, err error) {
	for i, b := range blocks {
		switch b.Type {
		case "text":
			if strings.TrimSpace(b.Text) == "" {
				return nil, errors.New("text content blocks must be non-empty")
			}
		case "thinking":
			if b.Signature != sign(b.Thinking) {
				return nil, fmt.Errorf("%d: Invalid `signature` in `thinking` block", i)
			}
		case "redacted_thinking":
			if b.Data == "" {
				return nil, fmt.Errorf("%d.redacted_thinking.data: Field required", i)
			}
		case "tool_use", "server_tool_use":
			var input map[string]any
			if json.Unmarshal(b.Input, &input) != nil || input == nil {
				return nil, fmt.Errorf("%d.%s.input: Input should be a valid dictionary", i, b.Type)
			}
			if b.ID == "" || b.Name == "" {
				return nil, fmt.Errorf("%d.%s: id and name are required", i, b.Type)
			}
			if b.Type == "tool_use" {
				open = append(open, b.ID)
			}
		case "web_search_tool_result":
			if b.ToolUseID == "" || b.Content == nil {
				return nil, fmt.Errorf("%d.web_search_tool_result: tool_use_id and content are required", i)
			}
		default:
			return nil, fmt.Errorf("%d: Input tag '%s' does not match any of the expected tags", i, b.Type)
		}
	}
	if last := blocks[len(blocks)-1].Type; isThinking(last) {
		return nil, fmt.Errorf("the final block in an assistant message cannot be `%s`", last)
	}
	return open, nil
}

// checkUser checks that each open call is answered once, before anything else is said.
func checkUser(blocks []anthropicBlock, open []string) error {
	open = slices.Clone(open)
	said := false
	for _, b := range blocks {
		switch b.Type {
		case "text":
			said = true
			if strings.TrimSpace(b.Text) == "" {
				return errors.New("text content blocks must be non-empty")
			}
		case "tool_result":
			i := slices.Index(open, b.ToolUseID)
			if i < 0 {
				return fmt.Errorf("unexpected `tool_use_id` found in `tool_result` blocks: %s", b.ToolUseID)
			}
			if said {
				return errors.New("`tool_result` blocks must come before text")
			}
			open = slices.Delete(open, i, i+1)
		default:
			return fmt.Errorf("a user message cannot hold a block of type %s", b.Type)
		}
	}
	if len(open) > 0 {
		return errors.New("`tool_use` ids were found without `tool_result` blocks immediately after: " + strings.Join(open, ", "))
	}
	return nil
}

func isThinking(kind string) bool { return kind == "thinking" || kind == "redacted_thinking" }

func blocksOf(content json.RawMessage) ([]anthropicBlock, error) {
	var text string
	if json.Unmarshal(content, &text) == nil {
		return []anthropicBlock{{Type: "text", Text: text}}, nil
	}
	var blocks []anthropicBlock
	if err := json.Unmarshal(content, &blocks); err != nil {
		return nil, err
	}
	if len(blocks) == 0 {
		return nil, errors.New("at least one block is required")
	}
	return blocks, nil
}

func resultText(content json.RawMessage) string {
	blocks, err := blocksOf(content)
	if err != nil {
		return ""
	}
	var text strings.Builder
	for _, b := range blocks {
		text.WriteString(b.Text)
	}
	return text.String()
}

func systemText(system json.RawMessage) string { return resultText(system) }

// cacheControls counts the breakpoints of a request, wherever they are.
func cacheControls(system json.RawMessage, messages []anthropicMessage, tools []anthropicTool) (int, error) {
	parts := []json.RawMessage{system}
	for _, m := range messages {
		parts = append(parts, m.Content)
	}
	n := 0
	check := func(control json.RawMessage) error {
		var c struct{ Type, TTL string }
		if json.Unmarshal(control, &c) != nil || c.Type != "ephemeral" || !slices.Contains([]string{"", "5m", "1h"}, c.TTL) {
			return fmt.Errorf("cache_control: %s is not valid", control)
		}
		n++
		return nil
	}
	for _, part := range parts {
		var blocks []struct {
			CacheControl json.RawMessage `json:"cache_control"`
		}
		_ = json.Unmarshal(part, &blocks) // a plain text has none
		for _, b := range blocks {
			if b.CacheControl != nil {
				if err := check(b.CacheControl); err != nil {
					return n, err
				}
			}
		}
	}
	for _, t := range tools {
		if t.CacheControl != nil {
			if err := check(t.CacheControl); err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

// sign stands for the provider's signature under what a model thought.
func sign(thinking string) string {
	sum := sha256.Sum256([]byte("signed:" + thinking))
	return hex.EncodeToString(sum[:])
}

func anthropicFrames(r Request, a Reply) []string {
	u := a.Usage
	if u == nil {
		written := len(a.Text) + len(a.Thinking)
		for _, c := range a.Calls {
			written += len(c.Name) + len(c.Args)
		}
		u = &Usage{Input: int64(len(r.Body) / 4), Output: int64(10 + written/4)}
	}
	usage := map[string]any{
		"input_tokens": u.Input, "cache_read_input_tokens": u.CacheRead, "cache_creation_input_tokens": u.CacheWrite, "output_tokens": 1,
	}
	message := map[string]any{
		"id": fmt.Sprintf("msg_%d", r.Number), "type": "message", "role": "assistant", "model": r.Model,
		"content": []any{}, "stop_reason": nil, "stop_sequence": nil,
	}
	end := map[string]any{"type": "message_delta", "delta": map[string]any{"stop_reason": a.stop(), "stop_sequence": nil}}
	if !a.NoUsage {
		message["usage"] = usage
		end["usage"] = map[string]any{"output_tokens": u.Output}
	}
	list := []string{frame("message_start", map[string]any{"type": "message_start", "message": message}), frame("ping", map[string]any{"type": "ping"})}
	index := 0
	block := func(start map[string]any, deltas ...map[string]any) {
		list = append(list, frame("content_block_start", map[string]any{"type": "content_block_start", "index": index, "content_block": start}))
		for _, d := range deltas {
			list = append(list, frame("content_block_delta", map[string]any{"type": "content_block_delta", "index": index, "delta": d}))
		}
		list = append(list, frame("content_block_stop", map[string]any{"type": "content_block_stop", "index": index}))
		index++
	}
	if thinks := bytes.Contains(r.Body, []byte(`"thinking":{"type":"enabled"`)); thinks && a.Thinking == "" {
		a.Thinking = "Let me see."
	}
	if a.Thinking != "" {
		block(map[string]any{"type": "thinking", "thinking": "", "signature": ""},
			append(deltas("thinking_delta", "thinking", a.Thinking), map[string]any{"type": "signature_delta", "signature": sign(a.Thinking)})...)
	}
	if a.Text != "" {
		block(map[string]any{"type": "text", "text": ""}, deltas("text_delta", "text", a.Text)...)
	}
	for i, c := range a.Calls {
		block(map[string]any{"type": "tool_use", "id": fmt.Sprintf("toolu_%d_%d", r.Number, i), "name": c.Name, "input": map[string]any{}},
			deltas("input_json_delta", "partial_json", c.Args)...)
	}
	return append(list, frame("message_delta", end), frame("message_stop", map[string]any{"type": "message_stop"}))
}

func deltas(kind, field, text string) []map[string]any {
	var list []map[string]any
	for _, piece := range pieces(text) {
		list = append(list, map[string]any{"type": kind, field: piece})
	}
	return list
}

func (a Reply) stop() string {
	switch {
	case a.Stop != "":
		return a.Stop
	case len(a.Calls) > 0:
		return "tool_use"
	default:
		return "end_turn"
	}
}
