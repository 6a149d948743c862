package openai

import (
	"bytes"
	"encoding/json"
	"testing"

	"mendel/internal/propose/provider/wire"
)

// Whatever a server sends, what came of it can be handed back to a server that checks it.
func FuzzChunks(f *testing.F) {
	for _, seed := range []string{
		`{"choices":[{"delta":{"role":"assistant","content":"a"}}]}`,
		`{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"x","function":{"name":"f","arguments":"{\"a\":"}}]}}]}` + "\n" +
			`{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"1}"}}]},"finish_reason":"tool_calls"}]}`,
		`{"choices":[{"delta":{"tool_calls":[{"function":{"name":"f","arguments":{"a":1}},"extra_content":{"google":{}}},{"function":{"name":"g"}}]}}]}`,
		`{"choices":[{"delta":{"reasoning_details":[{"a":1}],"refusal":"no"}}],"usage":{"prompt_tokens":1,"total_tokens":0}}` + "\n" + "[DONE]",
		`{"choices":[{"message":{"tool_calls":[{"id":"x","function":{"name":"é","arguments":"null"}},{"id":"x","function":{"name":"f","arguments":"{}"}}]}}]}`,
		`{"error":{"message":"no"}}`,
	} {
		f.Add([]byte(seed))
	}
	client, err := wire.New(wire.Options{BaseURL: "http://127.0.0.1:1"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r := reading{wire: client}
		for line := range bytes.Lines(data) {
			if done, err := r.event(bytes.TrimSpace(line)); done || err != nil {
				break
			}
		}
		reply, err := r.reply(3)
		if err != nil {
			t.Fatal(err)
		}
		if u := reply.Usage; u != nil && min(u.Input, u.CacheRead, u.CacheWrite, u.Output, u.Thinking) < 0 {
			t.Errorf("usage %+v", *u)
		}
		var message struct {
			Role  string
			Calls []struct {
				ID       string
				Function struct{ Name, Arguments string }
			} `json:"tool_calls"`
		}
		if err := json.Unmarshal(reply.Raw, &message); err != nil || message.Role != "assistant" || len(message.Calls) != len(reply.Calls) {
			t.Fatalf("%v: %s", err, reply.Raw)
		}
		ids := map[string]bool{}
		for i, c := range message.Calls {
			var arguments map[string]any
			if err := json.Unmarshal([]byte(c.Function.Arguments), &arguments); err != nil || arguments == nil {
				t.Errorf("arguments %q", c.Function.Arguments)
			}
			if c.ID == "" || ids[c.ID] || c.ID != reply.Calls[i].ID || c.Function.Name == "" || len(c.Function.Name) > 64 {
				t.Errorf("call %+v, as %+v", c, reply.Calls[i])
			}
			ids[c.ID] = true
		}
	})
}
