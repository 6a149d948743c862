package anthropic

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"mendel/internal/propose/provider/model"
	"mendel/internal/propose/provider/wire"
	"mendel/internal/research"
)

// A reader puts a reply together from the events of its stream.
type reader struct {
	wire   *wire.Client
	blocks []*block
	stop   string
	usage  usage
}

// A block is one part of a reply: text, thinking, a tool call, or what a later version of the
// API adds. Fields that are not known here are kept.
type block struct {
	fields map[string]json.RawMessage
	grown  map[string]*strings.Builder // fields that come in pieces
	input  strings.Builder             // of a tool call, as the model writes it
	cited  []json.RawMessage
}

// An event is any of a stream's; each type uses some of the fields.
type event struct {
	Type    string `json:"type"`
	Index   int    `json:"index"`
	Message struct {
		Usage usage `json:"usage"`
	} `json:"message"`
	ContentBlock map[string]json.RawMessage `json:"content_block"`
	Delta        delta                      `json:"delta"`
	Usage        usage                      `json:"usage"`
}

type delta struct {
	Type        string          `json:"type"`
	Text        string          `json:"text"`
	Thinking    string          `json:"thinking"`
	Signature   string          `json:"signature"`
	PartialJSON string          `json:"partial_json"`
	Citation    json.RawMessage `json:"citation"`
	StopReason  string          `json:"stop_reason"`
}

// usage counts tokens; what is nil was not said. Each report replaces the one before.
type usage struct {
	Input      *int64 `json:"input_tokens"`
	CacheRead  *int64 `json:"cache_read_input_tokens"`
	CacheWrite *int64 `json:"cache_creation_input_tokens"`
	Output     *int64 `json:"output_tokens"`
}

// take takes one event.
func (r *reader) take(e wire.Event) (done bool, err error) {
	var v event
	if err := json.Unmarshal(e.Data, &v); err != nil {
		return false, r.wire.Garbled("an event", err)
	}
	switch v.Type {
	case "message_start":
		r.usage.update(v.Message.Usage)
	case "content_block_start":
		if v.Index != len(r.blocks) || v.ContentBlock == nil {
			return false, r.wire.Garbled("a block", fmt.Errorf("block %d begins after %d blocks", v.Index, len(r.blocks)))
		}
		r.blocks = append(r.blocks, &block{fields: v.ContentBlock, grown: map[string]*strings.Builder{}})
	case "content_block_delta":
		if v.Index < 0 || v.Index >= len(r.blocks) {
			return false, r.wire.Garbled("a block", fmt.Errorf("block %d has not begun", v.Index))
		}
		r.blocks[v.Index].grow(v.Delta)
	case "message_delta":
		r.stop = v.Delta.StopReason
		r.usage.update(v.Usage)
	case "message_stop":
		return true, nil
	case "error":
		return false, r.wire.Failed(e.Data)
	}
	return false, nil // ends of blocks, pings, and events of later versions
}

func (u *usage) update(v usage) {
	for _, f := range []struct{ have, said **int64 }{
		{&u.Input, &v.Input}, {&u.CacheRead, &v.CacheRead}, {&u.CacheWrite, &v.CacheWrite}, {&u.Output, &v.Output},
	} {
		if *f.said != nil {
			*f.have = *f.said
		}
	}
}

func (b *block) grow(d delta) {
	piece := func(field, value string) {
		if b.grown[field] == nil {
			b.grown[field] = &strings.Builder{}
			b.grown[field].WriteString(b.text(field))
		}
		b.grown[field].WriteString(value)
	}
	switch d.Type {
	case "text_delta":
		piece("text", d.Text)
	case "thinking_delta":
		piece("thinking", d.Thinking)
	case "signature_delta":
		piece("signature", d.Signature)
	case "input_json_delta":
		b.input.WriteString(d.PartialJSON)
	case "citations_delta":
		b.cited = append(b.cited, d.Citation)
	}
}

// text is a field that is a string, as far as it has come.
func (b *block) text(field string) string {
	if grown := b.grown[field]; grown != nil {
		return grown.String()
	}
	var s string
	_ = json.Unmarshal(b.fields[field], &s)
	return s
}

// finish makes the reply of the events.
func (r *reader) finish() (model.Reply, error) {
	reply := model.Reply{Stop: stopOf(r.stop)}
	var raw []json.RawMessage
	for i, b := range r.blocks {
		switch b.text("type") {
		case "text":
			reply.Text = joined(reply.Text, b.text("text"))
		case "thinking":
			reply.Thinking = joined(reply.Thinking, b.text("thinking"))
		case "tool_use":
			c := model.Call{ID: b.text("id"), Name: b.text("name"), Args: b.arguments()}
			if reply.Stop == model.CutShort && i == len(r.blocks)-1 && b.input.Len() == 0 {
				c.Args = nil // torn before the first of them; the block began with an empty object
			}
			reply.Calls = append(reply.Calls, c)
		}
		if data := b.raw(); data != nil {
			raw = append(raw, data)
		}
	}
	var err error
	if reply.Raw, err = json.Marshal(acceptable(raw)); err != nil {
		return model.Reply{}, r.wire.Garbled("a block", err)
	}
	if u := r.usage; u.Input != nil && u.Output != nil {
		reply.Usage = &research.Usage{Input: *u.Input, CacheRead: value(u.CacheRead), CacheWrite: value(u.CacheWrite), Output: *u.Output}
	}
	return reply, nil
}

// arguments are those of a call: as they were streamed, or as the block began with them.
func (b *block) arguments() json.RawMessage {
	if b.input.Len() > 0 {
		return json.RawMessage(b.input.String())
	}
	return b.fields["input"]
}

// raw is the block as the provider wants it back; nil where it would refuse it: text that is
// empty, and thinking that was torn before it was signed.
func (b *block) raw() json.RawMessage {
	fields := b.fields
	for name, grown := range b.grown {
		fields[name], _ = json.Marshal(grown.String())
	}
	switch b.text("type") {
	case "text":
		if strings.TrimSpace(b.text("text")) == "" {
			return nil
		}
		if len(b.cited) > 0 {
			fields["citations"], _ = json.Marshal(b.cited)
		}
	case "thinking":
		if b.text("signature") == "" {
			return nil
		}
	case "tool_use", "server_tool_use":
		fields["input"] = object(b.arguments())
	}
	data, _ := json.Marshal(fields)
	return data
}

// object makes arguments fit for being handed back: the API takes objects alone. What is none
// goes back as a text inside one, so that the model sees what it wrote.
func object(args json.RawMessage) json.RawMessage {
	trimmed := bytes.TrimSpace(args)
	if len(trimmed) > 0 && trimmed[0] == '{' && json.Valid(trimmed) {
		return trimmed
	}
	if len(trimmed) == 0 {
		return json.RawMessage("{}")
	}
	wrapped, _ := json.Marshal(map[string]string{"INVALID_JSON": strings.ToValidUTF8(string(args), "\uFFFD")})
	return wrapped
}

// acceptable drops thinking at the end of a reply, which the API refuses there. It happens when a
// reply is cut short.
func acceptable(blocks []json.RawMessage) []json.RawMessage {
	for len(blocks) > 0 {
		var b struct{ Type string }
		_ = json.Unmarshal(blocks[len(blocks)-1], &b)
		if b.Type != "thinking" && b.Type != "redacted_thinking" {
			break
		}
		blocks = blocks[:len(blocks)-1]
	}
	return blocks
}

func stopOf(reason string) model.Stop {
	switch reason {
	case "tool_use":
		return model.WantTools
	case "max_tokens", "model_context_window_exceeded":
		return model.CutShort
	case "refusal":
		return model.Refused
	case "pause_turn":
		return model.Paused
	default: // end_turn and stop_sequence
		return model.Finished
	}
}

func joined(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "\n" + b
}

func value(n *int64) int64 {
	if n == nil {
		return 0
	}
	return *n
}
