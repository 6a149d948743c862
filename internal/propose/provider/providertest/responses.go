package providertest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// Responses is OpenAI's Responses API, streaming, of a provider that stores nothing.
func Responses() Protocol {
	p := &responses{}
	return Protocol{
		path:    "/v1/responses",
		key:     func(h http.Header) string { return strings.TrimPrefix(h.Get("Authorization"), "Bearer ") },
		parse:   parseResponses,
		refusal: openAIRefusal,
		frames:  p.frames,
	}
}

type responses struct{ cache promptCache }

// A responseStream writes the events of a reply.
type responseStream struct {
	list   []string
	output []map[string]any // items that are complete
}

func (s *responseStream) send(kind string, fields map[string]any) {
	event := map[string]any{"type": kind, "sequence_number": len(s.list)}
	for name, value := range fields {
		event[name] = value
	}
	s.list = append(s.list, frame(kind, event))
}

// item sends an item: begun as an earlier state of it, the pieces that it grows by, and whole.
func (s *responseStream) item(begun, whole map[string]any, pieces func(place map[string]any)) {
	index := len(s.output)
	s.send("response.output_item.added", map[string]any{"output_index": index, "item": begun})
	pieces(map[string]any{"output_index": index, "item_id": whole["id"]})
	s.send("response.output_item.done", map[string]any{"output_index": index, "item": whole})
	s.output = append(s.output, whole)
}

// frames are the events of a reply.
func (p *responses) frames(r Request, a Reply) []string {
	var asked responsesBody
	_ = json.Unmarshal(r.Body, &asked) // it was read before
	s := &responseStream{}
	begun := map[string]any{"response": responseObject(r, "in_progress", nil, nil, nil)}
	s.send("response.created", begun)
	s.send("response.in_progress", begun)
	s.send("keepalive", nil)
	cut := a.Stop != "" && a.Stop != Refusal
	prefix := fmt.Sprintf("fc_%d", r.Number)
	if a.Thinking != "" && reasoning(asked.Model) {
		s.reasoning(r, a, asked)
		prefix = fmt.Sprintf("fc_r%d", r.Number)
	}
	if a.Text != "" {
		s.message(r, a, cut && len(a.Calls) == 0)
	}
	for i, c := range a.Calls {
		s.call(prefix, r.Number, i, c, cut && i == len(a.Calls)-1)
	}
	var usage any
	if !a.NoUsage {
		usage = p.usage(asked, a)
	}
	if cut {
		reason := map[string]any{"reason": a.Stop}
		s.send("response.incomplete", map[string]any{"response": responseObject(r, "incomplete", reason, s.output, usage)})
	} else {
		s.send("response.completed", map[string]any{"response": responseObject(r, "completed", nil, s.output, usage)})
	}
	return s.list
}

func responseObject(r Request, status string, incomplete any, output []map[string]any, usage any) map[string]any {
	if output == nil {
		output = []map[string]any{}
	}
	return map[string]any{
		"id": fmt.Sprintf("resp_%d", r.Number), "object": "response", "created_at": 1, "model": r.Model, "status": status,
		"error": nil, "incomplete_details": incomplete, "output": output, "usage": usage, "store": false,
	}
}

func (s *responseStream) reasoning(r Request, a Reply, asked responsesBody) {
	id := fmt.Sprintf("rs_%d", r.Number)
	whole := map[string]any{"id": id, "type": "reasoning", "summary": []any{}, "encrypted_content": nil}
	if asked.includes(encryptedReasoning) {
		whole["encrypted_content"] = encrypt(id, a.Thinking)
	}
	summarized := asked.Reasoning != nil && asked.Reasoning.Summary != ""
	if summarized {
		whole["summary"] = []any{map[string]any{"type": "summary_text", "text": a.Thinking}}
	}
	begun := map[string]any{"id": id, "type": "reasoning", "summary": []any{}, "encrypted_content": "incomplete"}
	s.item(begun, whole, func(place map[string]any) {
		if !summarized {
			return
		}
		place["summary_index"] = 0
		for _, piece := range pieces(a.Thinking) {
			s.send("response.reasoning_summary_text.delta", with(place, "delta", piece))
		}
		s.send("response.reasoning_summary_text.done", with(place, "text", a.Thinking))
	})
}

func (s *responseStream) message(r Request, a Reply, cut bool) {
	kind, field := "output_text", "text"
	if a.Stop == Refusal {
		kind, field = "refusal", "refusal"
	}
	part := map[string]any{"type": kind, field: a.Text}
	if kind == "output_text" {
		part["annotations"], part["logprobs"] = []any{}, []any{}
	}
	whole := map[string]any{
		"id": fmt.Sprintf("msg_%d", r.Number), "type": "message", "role": "assistant", "status": statusOf(cut), "content": []any{part},
	}
	s.item(with(with(whole, "content", []any{}), "status", "in_progress"), whole, func(place map[string]any) {
		place["content_index"] = 0
		s.send("response.content_part.added", with(place, "part", with(part, field, "")))
		for _, piece := range pieces(a.Text) {
			s.send("response."+kind+".delta", with(place, "delta", piece))
		}
		s.send("response."+kind+".done", with(place, field, a.Text))
		s.send("response.content_part.done", with(place, "part", part))
	})
}

func (s *responseStream) call(prefix string, reply, i int, c Call, cut bool) {
	whole := map[string]any{
		"id": fmt.Sprintf("%s_%d", prefix, i), "type": "function_call", "status": statusOf(cut),
		"call_id": fmt.Sprintf("call_%d_%d", reply, i), "name": c.Name, "arguments": c.Args,
	}
	s.item(with(with(whole, "arguments", ""), "status", "in_progress"), whole, func(place map[string]any) {
		for _, piece := range pieces(c.Args) {
			s.send("response.function_call_arguments.delta", with(place, "delta", piece))
		}
		s.send("response.function_call_arguments.done", with(place, "arguments", c.Args))
	})
}

func statusOf(cut bool) string {
	if cut {
		return "incomplete"
	}
	return "completed"
}

// with is a copy of an object with one more field, or another value of it.
func with(object map[string]any, name string, value any) map[string]any {
	changed := map[string]any{name: value}
	for field, old := range object {
		if field != name {
			changed[field] = old
		}
	}
	return changed
}

// encrypt stands for the provider's encryption of what a model thought: it has to come back as
// it is, under its own id.
func encrypt(id, thinking string) string {
	hidden := hex.EncodeToString([]byte(thinking))
	sum := sha256.Sum256([]byte(id + hidden))
	return hidden + "." + hex.EncodeToString(sum[:])
}

func decrypts(id, content string) bool {
	hidden, _, _ := strings.Cut(content, ".")
	thinking, err := hex.DecodeString(hidden)
	return err == nil && content == encrypt(id, string(thinking))
}

// usage counts four bytes for a token, and as cached what an earlier request began with.
func (p *responses) usage(asked responsesBody, a Reply) map[string]any {
	tools, _ := json.Marshal(asked.Tools)
	instructions, _ := json.Marshal(asked.Instructions)
	input, cached := p.cache.count(append([]json.RawMessage{tools, instructions}, asked.Input...))
	write := int64(0)
	thinking := int64(len(a.Thinking) / 4)
	output := 1 + thinking + int64(len(a.Text)/4)
	for _, c := range a.Calls {
		output += 8 + int64(len(c.Args)/4)
	}
	if u := a.Usage; u != nil {
		input, cached, write, output = u.Input+u.CacheRead+u.CacheWrite, u.CacheRead, u.CacheWrite, u.Output
	}
	return map[string]any{
		"input_tokens": input, "output_tokens": output, "total_tokens": input + output,
		"input_tokens_details":  map[string]any{"cached_tokens": cached, "cache_write_tokens": write},
		"output_tokens_details": map[string]any{"reasoning_tokens": thinking},
	}
}
