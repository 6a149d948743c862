package openai

import (
	"encoding/json"
	"reflect"
	"testing"

	"mendel/internal/propose/provider/model"
)

// body is what a client would send.
func body(t *testing.T, c *Client, r model.Request) map[string]any {
	t.Helper()
	r.Turns = []model.Turn{{User: "Hello."}}
	var sent any
	var err error
	switch speaks := c.Client.(type) {
	case *chat:
		sent, err = speaks.habit.request(r)
	case *responses:
		sent, err = responsesRequestOf(r, true)
	}
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(sent)
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
	named, err := New(Options{Key: "sk-x", BaseURL: BaseURL + "/"})
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
	encrypted := []any{"reasoning.encrypted_content"}
	thinks := func(level string) any { return map[string]any{"effort": level, "summary": "auto"} }
	for _, c := range []struct {
		name    string
		client  *Client
		request model.Request
		want    map[string]any // nil for a field that must not be there
	}{
		{"OpenAI", own, model.Request{Model: "gpt-5", Shared: "s", Role: "r", MaxOutput: 99}, map[string]any{
			"max_output_tokens": 99.0, "reasoning": nil, "temperature": nil, "prompt_cache_key": "mendel-043a718774c572bd",
			"instructions": "s\n\nr", "store": false, "include": encrypted, "tools": nil, "max_tool_calls": nil, "messages": nil}},
		{"OpenAI by its address", named, model.Request{Model: "gpt-6.1-sol"}, map[string]any{"store": false, "messages": nil}},
		{"a little thinking", own, model.Request{Model: "o3", Thinking: 4096}, map[string]any{"reasoning": thinks("low")}},
		{"more", own, model.Request{Model: "gpt-6-sol", Thinking: 16384}, map[string]any{"reasoning": thinks("medium")}},
		{"most", own, model.Request{Model: "gpt-6-sol", Thinking: 16385}, map[string]any{"reasoning": thinks("high")}},
		{"a temperature that would be refused", own, model.Request{Model: "gpt-6-sol", Temperature: &warm}, map[string]any{"temperature": nil}},
		{"a model that does not reason", own, model.Request{Model: "gpt-4.1-mini", Temperature: &warm}, map[string]any{"temperature": 0.7, "include": nil}},
		{"a fine-tuned one", own, model.Request{Model: "ft:gpt-4o-2024-08-06:x::1", Temperature: &warm}, map[string]any{"temperature": 0.7, "include": nil}},
		{"search", own, model.Request{Model: "gpt-6-sol", WebSearch: true}, map[string]any{
			"tools": []any{map[string]any{"type": "web_search"}}, "max_tool_calls": 3.0}},
		{"Gemini", gemini, model.Request{Model: "gemini-3.8-flash", Thinking: 16385, MaxOutput: 9}, map[string]any{
			"reasoning_effort": "high", "max_completion_tokens": 9.0, "max_tokens": nil, "prompt_cache_key": nil}},
		{"another server", other, model.Request{Model: "gpt-6-sol", MaxOutput: 9, Temperature: &warm}, map[string]any{
			"max_tokens": 9.0, "max_completion_tokens": nil, "reasoning_effort": nil, "temperature": 0.7, "prompt_cache_key": nil, "input": nil}},
	} {
		fields := body(t, c.client, c.request)
		for name, want := range c.want {
			if !reflect.DeepEqual(fields[name], want) {
				t.Errorf("%s: %s is %v, want %v", c.name, name, fields[name], want)
			}
		}
	}
}
