package providertest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
)

// Quirks are how servers of the chat-completions protocol depart from it in what they send.
type Quirks struct {
	NoIndex    bool   // tool calls come whole and without an index
	ZeroIndex  bool   // tool calls come whole and all with index 0
	NoID       bool   // the ids of tool calls are empty
	ObjectArgs bool   // arguments are an object, which Call.Args must be then
	StopAlways bool   // finish_reason is "stop" also where tool calls wait
	NoDone     bool   // the stream ends without [DONE]
	Message    bool   // one chunk with a message instead of deltas
	Reasoning  string // the field of the thinking; default reasoning_content
	// Signatures are put on tool calls, and asked for in each later request, as Gemini does. The
	// thinking is counted in the total alone.
	Signatures bool
}

// OpenAI is the chat-completions protocol, spoken by a server with these quirks.
func OpenAI(q Quirks) Protocol {
	o := &openAI{quirks: q}
	return Protocol{
		path:    "/v1/chat/completions",
		key:     func(h http.Header) string { return strings.TrimPrefix(h.Get("Authorization"), "Bearer ") },
		parse:   o.parse,
		refusal: openAIRefusal,
		frames:  o.frames,
	}
}

// Gemini is the protocol as Gemini's compatible endpoint speaks it.
func Gemini() Protocol {
	return OpenAI(Quirks{Signatures: true, StopAlways: true, NoIndex: true})
}

// Refusal as a reply's Stop sends its text as a refusal. The protocol has no finish_reason for it.
const Refusal = "refusal"

type openAI struct {
	quirks Quirks
	cache  promptCache
}

// A promptCache remembers the beginnings of conversations, as the provider's does.
type promptCache struct {
	mu    sync.Mutex
	known map[string]bool // by hash
}

// count takes the parts of a conversation, and says how many tokens they have, four bytes each,
// and how many of them an earlier one began with.
func (p *promptCache) count(parts []json.RawMessage) (all, cached int64) {
	beginning := sha256.New()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known == nil {
		p.known = map[string]bool{}
	}
	for _, part := range parts {
		_, _ = beginning.Write(part)
		all += 4 + int64(len(part)/4)
		key := hex.EncodeToString(beginning.Sum(nil))
		if p.known[key] {
			cached = all
		}
		p.known[key] = true
	}
	return all, cached
}

func openAIRefusal(status int, message string) string {
	kind, code := "invalid_request_error", any(nil)
	switch {
	case status == http.StatusUnauthorized:
		code = "invalid_api_key"
	case status == http.StatusTooManyRequests:
		kind, code = "requests", "rate_limit_exceeded"
	case status >= 500:
		kind = "server_error"
	}
	body, _ := json.Marshal(map[string]any{"error": map[string]any{"message": message, "type": kind, "param": nil, "code": code}})
	return string(body)
}

// frames are the chunks of a reply.
func (o *openAI) frames(r Request, a Reply) []string {
	// A comment, as OpenRouter sends to keep the connection open.
	list := []string{": processing\n\n"}
	send := func(key string, message map[string]any, finish any) {
		list = append(list, frame("", o.chunk(r, []any{map[string]any{"index": 0, key: message, "logprobs": nil, "finish_reason": finish}}, nil)))
	}
	if finish := o.finish(a); o.quirks.Message {
		send("message", map[string]any{"role": "assistant", "content": a.Text, "tool_calls": o.calls(r, a)}, finish)
	} else {
		for _, d := range o.deltas(r, a) {
			send("delta", d, nil)
		}
		send("delta", map[string]any{}, finish)
	}
	if wantsUsage(r) && !a.NoUsage {
		list = append(list, frame("", o.chunk(r, []any{}, o.usage(r, a))))
	}
	if !o.quirks.NoDone {
		list = append(list, "data: [DONE]\n\n")
	}
	return list
}

func (o *openAI) chunk(r Request, choices []any, usage map[string]any) map[string]any {
	return map[string]any{
		"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": r.Model, "choices": choices, "usage": usage,
	}
}

func (o *openAI) finish(a Reply) string {
	switch {
	case a.Stop != "" && a.Stop != Refusal:
		return a.Stop
	case len(a.Calls) > 0 && !o.quirks.StopAlways:
		return "tool_calls"
	}
	return "stop"
}

func (o *openAI) deltas(r Request, a Reply) []map[string]any {
	list := []map[string]any{{"role": "assistant", "content": "", "refusal": nil}}
	texts := func(field, text string) {
		for _, piece := range pieces(text) {
			list = append(list, map[string]any{field: piece})
		}
	}
	reasoning := o.quirks.Reasoning
	if reasoning == "" {
		reasoning = "reasoning_content"
	}
	texts(reasoning, a.Thinking)
	if a.Stop == Refusal {
		texts("refusal", a.Text)
	} else {
		texts("content", a.Text)
	}
	whole := o.quirks.NoIndex || o.quirks.ZeroIndex || o.quirks.ObjectArgs
	for i, call := range o.calls(r, a) {
		if whole {
			list = append(list, map[string]any{"tool_calls": []any{call}})
			continue
		}
		function := call["function"].(map[string]any)
		call["function"] = map[string]any{"name": function["name"], "arguments": ""}
		list = append(list, map[string]any{"tool_calls": []any{call}})
		for _, piece := range pieces(a.Calls[i].Args) {
			list = append(list, map[string]any{"tool_calls": []any{map[string]any{"index": i, "function": map[string]any{"arguments": piece}}}})
		}
	}
	return list
}

// calls are the tool calls of a reply, each one whole.
func (o *openAI) calls(r Request, a Reply) []map[string]any {
	var list []map[string]any
	for i, c := range a.Calls {
		call := map[string]any{"index": i, "id": fmt.Sprintf("call_srv%d_%d", r.Replies, i), "type": "function"}
		switch {
		case o.quirks.NoIndex:
			delete(call, "index")
		case o.quirks.ZeroIndex:
			call["index"] = 0
		}
		if o.quirks.NoID {
			call["id"] = ""
		}
		function := map[string]any{"name": c.Name, "arguments": c.Args}
		if o.quirks.ObjectArgs {
			function["arguments"] = json.RawMessage(c.Args)
		}
		call["function"] = function
		if o.quirks.Signatures && i == 0 {
			call["extra_content"] = map[string]any{"google": map[string]any{"thought_signature": signature(r.Replies)}}
		}
		list = append(list, call)
	}
	return list
}

// signature is the proof that a call is the server's own. It has to come back as it is.
func signature(turn int) string { return fmt.Sprintf("<sig+%d/&==>", turn) }

func wantsUsage(r Request) bool {
	var fields struct {
		StreamOptions struct {
			IncludeUsage bool `json:"include_usage"`
		} `json:"stream_options"`
	}
	return json.Unmarshal(r.Body, &fields) == nil && fields.StreamOptions.IncludeUsage
}

func (o *openAI) usage(r Request, a Reply) map[string]any {
	var fields struct {
		Messages []json.RawMessage `json:"messages"`
	}
	_ = json.Unmarshal(r.Body, &fields) // it was read before
	prompt, cached := o.cache.count(fields.Messages)
	write := int64(0)
	thinking := int64(len(a.Thinking) / 4)
	completion := 1 + thinking + int64(len(a.Text)/4)
	for _, c := range a.Calls {
		completion += 8 + int64(len(c.Args)/4)
	}
	if u := a.Usage; u != nil {
		prompt, cached, write, completion = u.Input+u.CacheRead+u.CacheWrite, u.CacheRead, u.CacheWrite, u.Output
	}
	total := prompt + completion
	details := map[string]any{"reasoning_tokens": thinking}
	if o.quirks.Signatures {
		completion, details = completion-thinking, nil
	}
	return map[string]any{
		"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": total,
		"prompt_tokens_details":     map[string]any{"cached_tokens": cached, "cache_write_tokens": write},
		"completion_tokens_details": details,
	}
}
