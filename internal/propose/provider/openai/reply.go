package openai

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"strings"

	"mendel/internal/propose/provider/model"
)

// reply is the message that was read. turns, the length of the conversation, makes ids unique
// where a server gave none.
func (r *reading) reply(turns int) (model.Reply, error) {
	reply := model.Reply{
		Text: r.content.String(), Thinking: cmp.Or(r.reasoningContent.String(), r.reasoning.String()),
		Stop: r.stop(), Usage: r.usage,
	}
	if reply.Text == "" {
		reply.Text = r.refusal.String()
	}
	seen := map[string]bool{}
	for i, c := range r.calls {
		if c.id == "" || seen[c.id] {
			c.id = fmt.Sprintf("mendel_%d_%d", turns, i)
		}
		seen[c.id] = true
		reply.Calls = append(reply.Calls, model.Call{ID: c.id, Name: c.name, Args: json.RawMessage(cmp.Or(c.arguments.String(), "{}"))})
	}
	raw, err := json.Marshal(r.message())
	if err != nil {
		return model.Reply{}, r.wire.Garbled("a message", err)
	}
	reply.Raw = raw
	return reply, nil
}

// stop translates the finish reason. Several servers say "stop" also when calls wait.
func (r *reading) stop() model.Stop {
	switch {
	case r.refusal.Len() > 0, strings.HasPrefix(r.finish, "content_filter"):
		return model.Refused
	case r.finish == "length":
		return model.CutShort
	case len(r.calls) > 0:
		return model.WantTools
	}
	return model.Finished
}

// message is the assistant's message as the server wants it handed back.
func (r *reading) message() map[string]any {
	message := map[string]any{"role": "assistant", "content": r.content.String()}
	for name, value := range r.rest {
		message[name] = value
	}
	for name, text := range map[string]string{
		"refusal": r.refusal.String(), "reasoning_content": r.reasoningContent.String(), "reasoning": r.reasoning.String(),
	} {
		if text != "" {
			message[name] = text
		}
	}
	if len(r.calls) == 0 {
		return message
	}
	if r.content.Len() == 0 {
		message["content"] = nil
	}
	calls := make([]map[string]any, len(r.calls))
	for i, c := range r.calls {
		calls[i] = map[string]any{}
		for name, value := range maps.All(c.rest) { // thought signatures of Gemini, without which it refuses the next request
			calls[i][name] = value
		}
		calls[i]["id"], calls[i]["type"] = c.id, "function"
		calls[i]["function"] = map[string]string{"name": acceptedName(c.name), "arguments": acceptedArguments(c.arguments.String())}
	}
	message["tool_calls"] = calls
	return message
}

var notInNames = regexp.MustCompile(`[^a-zA-Z0-9_-]`)

// acceptedName is a name that servers take back, whatever the model made up.
func acceptedName(name string) string {
	name = notInNames.ReplaceAllString(name, "_")
	return cmp.Or(name[:min(len(name), 64)], "unnamed")
}

// acceptedArguments are arguments that servers take back: many of them parse what they are handed
// and fail on what the model itself got wrong.
func acceptedArguments(arguments string) string {
	var object map[string]json.RawMessage
	if json.Unmarshal([]byte(arguments), &object) == nil && object != nil {
		return arguments
	}
	if strings.TrimSpace(arguments) == "" {
		return "{}"
	}
	wrapped, _ := json.Marshal(map[string]string{"not_json": arguments})
	return string(wrapped)
}
