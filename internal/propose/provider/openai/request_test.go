package openai

import (
	"encoding/json"
	"testing"

	"mendel/internal/propose/provider/model"
)

func body(t *testing.T, c *Client, r model.Request) map[string]any {
	t.Helper()
	r.Turns = []model.Turn{{User: "Hello."}}
	request, err := c.habit.request(r)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(text, &fields); err != nil {
		t.Fatal(err)
	}
	return fields
}

func TestOptionsByServer(t *testing.T) {
	own, err := New(Options{Key: "sk-x"})
	if err != nil {
		t.Fatal(err)
	}
	gemini, err := NewGemini(Options{Key: "x"})
	if err != nil {
		t.Fatal(err)
	}
	other, err := New(Options{BaseURL: "http://localhost:8000/v1"})
	if err != nil {
		t.Fatal(err)
	}
	warm := 0.7
	for _, c := range []struct {
		name    string
		client  *Client
		request model.Request
		want    map[string]any // nil for a field that must not be there
	}{
		{"OpenAI", own, model.Request{Model: "gpt-5", Shared: "s", MaxOutput: 9}, map[string]any{
			"max_completion_tokens": 9.0, "max_tokens": nil, "reasoning_effort": nil, "temperature": nil, "prompt_cache_key": "mendel-043a718774c572bd"}},
		{"OpenAI's later models", own, model.Request{Model: "gpt-6-sol"}, map[string]any{"reasoning_effort": "none"}},
		{"GPT-5.4 of a date", own, model.Request{Model: "gpt-5.4-2026-03-05"}, map[string]any{"reasoning_effort": "none"}},
		{"GPT-5.1", own, model.Request{Model: "gpt-5.1"}, map[string]any{"reasoning_effort": nil}},
		{"a little thinking", own, model.Request{Model: "o3", Thinking: 4096}, map[string]any{"reasoning_effort": "low"}},
		{"more", own, model.Request{Model: "gpt-6-sol", Thinking: 16384}, map[string]any{"reasoning_effort": "medium"}},
		{"most", gemini, model.Request{Model: "gemini-3.8-flash", Thinking: 16385, MaxOutput: 9}, map[string]any{
			"reasoning_effort": "high", "max_completion_tokens": 9.0, "prompt_cache_key": nil}},
		{"another server", other, model.Request{Model: "gpt-6-sol", MaxOutput: 9, Temperature: &warm}, map[string]any{
			"max_tokens": 9.0, "max_completion_tokens": nil, "reasoning_effort": nil, "temperature": 0.7, "prompt_cache_key": nil}},
	} {
		fields := body(t, c.client, c.request)
		for name, want := range c.want {
			if fields[name] != want {
				t.Errorf("%s: %s is %v, want %v", c.name, name, fields[name], want)
			}
		}
	}
}
