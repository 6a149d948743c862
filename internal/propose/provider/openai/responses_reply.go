package openai

import (
	"cmp"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"mendel/internal/propose/provider/model"
	"mendel/internal/propose/provider/wire"
	"mendel/internal/research"
)

// output puts a reply together from the items that its stream completes. The pieces that items
// come in are passed over, since each item comes whole at its end, also one that is cut short.
type output struct {
	wire  *wire.Client
	items []item
	end   responseEvent
}

// An item is one part of a reply: a message, thinking, a call, or what a later version adds.
type item struct {
	index int
	raw   json.RawMessage
}

// responseEvent is any event of a stream; each type uses some of the fields.
type responseEvent struct {
	Type     string          `json:"type"`
	Index    int             `json:"output_index"`
	Item     json.RawMessage `json:"item"`
	Response struct {
		Output     []json.RawMessage `json:"output"`
		Error      json.RawMessage   `json:"error"`
		Incomplete struct {
			Reason string `json:"reason"`
		} `json:"incomplete_details"`
		Usage *responseUsage `json:"usage"`
	} `json:"response"`
}

// responseUsage is the protocol's count. Cached tokens are part of the input's, and thinking is
// part of the output's.
type responseUsage struct {
	Input        int64 `json:"input_tokens"`
	Output       int64 `json:"output_tokens"`
	InputDetails struct {
		Cached     int64 `json:"cached_tokens"`
		CacheWrite int64 `json:"cache_write_tokens"`
	} `json:"input_tokens_details"`
	OutputDetails struct {
		Reasoning int64 `json:"reasoning_tokens"`
	} `json:"output_tokens_details"`
}

func (u responseUsage) count() *research.Usage {
	input, output := max(u.Input, 0), max(u.Output, 0)
	read := min(max(u.InputDetails.Cached, 0), input)
	write := min(max(u.InputDetails.CacheWrite, 0), input-read)
	return &research.Usage{
		Input: input - read - write, CacheRead: read, CacheWrite: write, Output: output,
		Thinking: min(max(u.OutputDetails.Reasoning, 0), output),
	}
}

func (o *output) event(data []byte) (done bool, err error) {
	var e responseEvent
	if err := json.Unmarshal(data, &e); err != nil {
		return false, o.wire.Garbled("an event", err)
	}
	switch e.Type {
	case "response.output_item.done":
		o.items = append(o.items, item{e.Index, e.Item})
	case "response.completed", "response.incomplete":
		o.end = e
		return true, nil
	case "response.failed":
		return false, o.wire.Failed(e.Response.Error)
	case "error":
		return false, o.wire.Failed(data)
	}
	return false, nil // pieces of items, signs of life, and events of later versions
}

// whole lists the items of the reply in their order. The last event repeats them; it is asked
// only where one of them did not come before, as its encrypted thinking is not the one to keep.
func (o *output) whole() []json.RawMessage {
	if len(o.end.Response.Output) > len(o.items) {
		return o.end.Response.Output
	}
	slices.SortStableFunc(o.items, func(a, b item) int { return cmp.Compare(a.index, b.index) })
	list := make([]json.RawMessage, len(o.items))
	for i, item := range o.items {
		list[i] = item.raw
	}
	return list
}

// known is what is read of an item.
type known struct {
	Type      string `json:"type"`
	Status    string `json:"status"`
	CallID    string `json:"call_id"`
	Name      string `json:"name"`
	Arguments string `json:"arguments"`
	Content   []struct {
		Type    string `json:"type"`
		Text    string `json:"text"`
		Refusal string `json:"refusal"`
	} `json:"content"`
	Summary []struct {
		Text string `json:"text"`
	} `json:"summary"`
}

// reply makes the reply of the items.
func (o *output) reply() (model.Reply, error) {
	var (
		reply                    model.Reply
		text, refusal, summaries []string
		back                     []json.RawMessage
		lasting                  int // items up to the last that is no thinking
	)
	for _, raw := range o.whole() {
		var k known
		if err := json.Unmarshal(raw, &k); err != nil {
			return model.Reply{}, o.wire.Garbled("an item", err)
		}
		switch k.Type {
		case "":
			return model.Reply{}, o.wire.Garbled("an item", errors.New("it has no type"))
		case "message":
			if len(k.Content) == 0 {
				continue // cut off before its first word
			}
			for _, part := range k.Content {
				text, refusal = append(text, part.Text), append(refusal, part.Refusal)
			}
		case "reasoning":
			for _, part := range k.Summary {
				summaries = append(summaries, part.Text)
			}
		case "function_call":
			reply.Calls = append(reply.Calls, k.call())
			raw = k.accepted(raw)
		}
		back = append(back, raw)
		if k.Type != "reasoning" {
			lasting = len(back)
		}
	}
	reply.Text, reply.Thinking = cmp.Or(strings.Join(text, ""), strings.Join(refusal, "")), strings.Join(summaries, "\n\n")
	reply.Stop = o.stop(strings.Join(refusal, "") != "", len(reply.Calls) > 0)
	if u := o.end.Response.Usage; u != nil {
		reply.Usage = u.count()
	}
	// Thinking that nothing follows is refused. It happens when a reply is cut short.
	var err error
	if reply.Raw, err = json.Marshal(append([]json.RawMessage{}, back[:lasting]...)); err != nil {
		return model.Reply{}, o.wire.Garbled("an item", err)
	}
	return reply, nil
}

func (o *output) stop(refused, calls bool) model.Stop {
	switch {
	case refused, o.end.Response.Incomplete.Reason == "content_filter":
		return model.Refused
	case o.end.Type == "response.incomplete":
		return model.CutShort
	case calls:
		return model.WantTools
	}
	return model.Finished
}

// call is the call as the model wrote it. One that was torn before its first argument has none,
// in contrast to one that takes none.
func (k known) call() model.Call {
	c := model.Call{ID: k.CallID, Name: k.Name, Args: json.RawMessage(k.Arguments)}
	if k.Arguments == "" && k.Status != "incomplete" {
		c.Args = json.RawMessage("{}")
	}
	return c
}

// accepted is a call as it is handed back: as it came, unless the model got it so wrong that the
// provider would refuse it.
func (k known) accepted(raw json.RawMessage) json.RawMessage {
	name, arguments := acceptedName(k.Name), acceptedArguments(k.Arguments)
	if name == k.Name && arguments == k.Arguments {
		return raw
	}
	var fields map[string]any
	_ = json.Unmarshal(raw, &fields) // it was read before
	fields["name"], fields["arguments"] = name, arguments
	mended, _ := json.Marshal(fields)
	return mended
}
