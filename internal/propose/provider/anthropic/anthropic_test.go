package anthropic_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"mendel/internal/propose/provider/anthropic"
	"mendel/internal/propose/provider/model"
	"mendel/internal/propose/provider/providertest"
	"mendel/internal/propose/tool"
	"mendel/internal/research"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ask sends requests to a server that plays this script.
func ask(t *testing.T, play providertest.Script) (*providertest.Server, func(model.Request) (model.Reply, error)) {
	t.Helper()
	server, err := providertest.New(providertest.Options{Protocol: providertest.Anthropic, Play: play})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	// Other tools' settings have the address with the version.
	client, err := anthropic.New(anthropic.Options{BaseURL: server.URL + "/v1/", Key: providertest.Key})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return server, func(r model.Request) (model.Reply, error) { return client.Ask(t.Context(), r) }
}

func request(turns ...model.Turn) model.Request {
	return model.Request{
		Model: "claude-sonnet-4-5", Shared: "shared", Role: "role", MaxOutput: 4000, Turns: append([]model.Turn{{User: "begin"}}, turns...),
		Tools: []tool.Definition{
			{Name: "zeta", Description: "z", Schema: json.RawMessage(`{"type":"object"}`)},
			{Name: "alpha", Description: "a", Schema: json.RawMessage(`{"type":"object"}`)},
		},
	}
}

// sent is the body of the last request that the server took.
func sent(t *testing.T, s *providertest.Server) map[string]any {
	t.Helper()
	if refused := s.Refused(); len(refused) > 0 {
		t.Fatalf("the server refuses: %s", refused)
	}
	list := s.Requests()
	var body map[string]any
	if err := json.Unmarshal(list[len(list)-1].Body, &body); err != nil {
		t.Fatal(err)
	}
	return body
}

func events(data ...string) []string {
	list := make([]string, len(data))
	for i, d := range data {
		var head struct{ Type string }
		if json.Unmarshal([]byte(d), &head) != nil {
			panic(d)
		}
		list[i] = "event: " + head.Type + "\ndata: " + d + "\n\n"
	}
	return list
}

func TestBreakpoints(t *testing.T) {
	server, do := ask(t, func(providertest.Request) providertest.Reply {
		return providertest.Reply{Calls: []providertest.Call{{Name: "alpha", Args: "{}"}, {Name: "zeta", Args: "{}"}}}
	})
	first, err := do(request())
	if err != nil {
		t.Fatal(err)
	}
	r := request(model.Turn{Reply: &first}, model.Turn{Results: []model.Result{{ID: first.Calls[0].ID, Text: "1"}, {ID: first.Calls[1].ID, Text: "2", IsError: true}}})
	r.WebSearch = true
	if _, err := do(r); err != nil {
		t.Fatal(err)
	}
	got := marked(sent(t, server), "")
	want := []string{"messages.2.content.1", "system.0", "system.1", "tools.2"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("cache breakpoints are at %v, want %v", got, want)
	}
	if names := server.Requests()[1].Tools; !reflect.DeepEqual(names, []string{"web_search", "alpha", "zeta"}) {
		t.Errorf("tools are sent as %v", names)
	}
}

// marked lists where cache_control stands.
func marked(v any, at string) []string {
	var list []string
	switch v := v.(type) {
	case map[string]any:
		if v["cache_control"] != nil {
			list = append(list, strings.TrimPrefix(at, "."))
		}
		for _, key := range []string{"content", "messages", "system", "tools"} {
			if v[key] == nil {
				continue
			}
			list = append(list, marked(v[key], at+"."+key)...)
		}
	case []any:
		for i, e := range v {
			list = append(list, marked(e, fmt.Sprintf("%s.%d", at, i))...)
		}
	}
	return list
}

func TestThinking(t *testing.T) {
	warm := 0.7
	for _, c := range []struct {
		model       string
		thinking    int
		temperature *float64
		want        string
	}{
		{"claude-sonnet-4-5", 0, &warm, `{"temperature":0.7}`},
		{"claude-sonnet-4-5", 2000, &warm, `{"thinking":{"budget_tokens":2000,"type":"enabled"}}`},
		{"claude-opus-4-1-20250805", 100, nil, `{"thinking":{"budget_tokens":1024,"type":"enabled"}}`},
		{"claude-sonnet-4-5", 9000, nil, `{"thinking":{"budget_tokens":3999,"type":"enabled"}}`},
		{"claude-opus-5-5", 2000, nil, `{"thinking":{"display":"summarized","type":"adaptive"}}`},
		{"claude-opus-5-5", 0, nil, `{}`},
	} {
		server, do := ask(t, func(providertest.Request) providertest.Reply { return providertest.Reply{Thinking: "hm", Text: "x"} })
		r := request()
		r.Model, r.Thinking, r.Temperature = c.model, c.thinking, c.temperature
		reply, err := do(r)
		if err != nil {
			t.Errorf("%+v: %v", c, err)
			continue
		}
		if reply.Thinking != "hm" || reply.Text != "x" {
			t.Errorf("%+v: the reply is %+v", c, reply)
		}
		got := map[string]any{}
		for _, field := range []string{"thinking", "temperature"} {
			if v := sent(t, server)[field]; v != nil {
				got[field] = v
			}
		}
		if text, _ := json.Marshal(got); string(text) != c.want {
			t.Errorf("%+v sends %s", c, text)
		}
	}
}

// Everything that the provider sent has to come back to it as it was, whatever it is.
func TestBlocksAreHandedBackAsTheyCame(t *testing.T) {
	opaque := events(
		`{"type":"message_start","message":{"usage":{"input_tokens":10,"cache_read_input_tokens":200,"cache_creation_input_tokens":30,"output_tokens":1}}}`,
		`{"type":"content_block_start","index":0,"content_block":{"type":"redacted_thinking","data":"Zm9v<&>"}}`,
		`{"type":"content_block_stop","index":0}`,
		`{"type":"content_block_start","index":1,"content_block":{"type":"server_tool_use","id":"srvtoolu_1","name":"web_search","input":{},"caller":{"type":"direct"}}}`,
		`{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":""}}`,
		`{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"query\": \"sgd"}}`,
		`{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":" warmup\"}"}}`,
		`{"type":"content_block_stop","index":1}`,
		`{"type":"content_block_start","index":2,"content_block":{"type":"web_search_tool_result","tool_use_id":"srvtoolu_1","content":[{"type":"web_search_result","url":"https://x","title":"X","encrypted_content":"abc=","page_age":null}]}}`,
		`{"type":"content_block_stop","index":2}`,
		`{"type":"content_block_start","index":3,"content_block":{"type":"text","text":"","citations":[]}}`,
		`{"type":"content_block_delta","index":3,"delta":{"type":"citations_delta","citation":{"type":"web_search_result_location","url":"https://x","encrypted_index":"def="}}}`,
		`{"type":"content_block_delta","index":3,"delta":{"type":"text_delta","text":"Warm "}}`,
		`{"type":"content_block_delta","index":3,"delta":{"type":"text_delta","text":"up é<b>."}}`,
		`{"type":"some_later_event","index":3}`,
		`{"type":"content_block_stop","index":3}`,
		`{"type":"content_block_start","index":4,"content_block":{"type":"tool_use","id":"toolu_1","name":"alpha","input":{}}}`,
		`{"type":"content_block_stop","index":4}`,
		`{"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":40,"cache_read_input_tokens":null}}`,
		`{"type":"message_stop"}`,
	)
	server, do := ask(t, func(r providertest.Request) providertest.Reply {
		if r.Replies == 0 {
			return providertest.Reply{Frames: opaque}
		}
		return providertest.Reply{Text: "x"}
	})
	reply, err := do(request())
	if err != nil {
		t.Fatal(err)
	}
	if want := (research.Usage{Input: 10, CacheRead: 200, CacheWrite: 30, Output: 40}); reply.Usage == nil || *reply.Usage != want {
		t.Errorf("usage is %+v, want %+v", reply.Usage, want)
	}
	if reply.Text != "Warm up é<b>." || len(reply.Calls) != 1 || string(reply.Calls[0].Args) != "{}" || reply.Stop != model.WantTools {
		t.Errorf("the reply is %+v", reply)
	}
	if _, err := do(request(model.Turn{Reply: &reply}, model.Turn{Results: []model.Result{{ID: "toolu_1", Text: "ok"}}})); err != nil {
		t.Fatal(err)
	}
	var want any
	if err := json.Unmarshal([]byte(`[
		{"type":"redacted_thinking","data":"Zm9v<&>"},
		{"type":"server_tool_use","id":"srvtoolu_1","name":"web_search","input":{"query":"sgd warmup"},"caller":{"type":"direct"}},
		{"type":"web_search_tool_result","tool_use_id":"srvtoolu_1","content":[{"type":"web_search_result","url":"https://x","title":"X","encrypted_content":"abc=","page_age":null}]},
		{"type":"text","text":"Warm up é<b>.","citations":[{"type":"web_search_result_location","url":"https://x","encrypted_index":"def="}]},
		{"type":"tool_use","id":"toolu_1","name":"alpha","input":{}}]`), &want); err != nil {
		t.Fatal(err)
	}
	if got := sent(t, server)["messages"].([]any)[1].(map[string]any)["content"]; !reflect.DeepEqual(got, want) {
		t.Errorf("the reply goes back as\n%v\nwant\n%v", got, want)
	}
}

func TestUnfinishedRepliesCanBeHandedBack(t *testing.T) {
	start := `{"type":"message_start","message":{"usage":{"input_tokens":1,"output_tokens":1}}}`
	end := func(stop string) []string {
		return []string{`{"type":"message_delta","delta":{"stop_reason":"` + stop + `"},"usage":{"output_tokens":2}}`, `{"type":"message_stop"}`}
	}
	text := []string{`{"type":"content_block_start","index":0,"content_block":{"type":"text","text":"So"}}`, `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" be it"}}`}
	for name, c := range map[string]struct {
		events []string
		stop   model.Stop
		back   string // what the model says in the next request, as types
	}{
		"thinking without a signature": {append([]string{start, `{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}`,
			`{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}}`}, end("max_tokens")...), model.CutShort, ""},
		"thinking alone":           {append([]string{start, `{"type":"content_block_start","index":0,"content_block":{"type":"redacted_thinking","data":"x"}}`}, end("max_tokens")...), model.CutShort, ""},
		"blank text":               {append([]string{start, `{"type":"content_block_start","index":0,"content_block":{"type":"text","text":" \n"}}`}, end("end_turn")...), model.Finished, ""},
		"nothing":                  {append([]string{start}, end("end_turn")...), model.Finished, ""},
		"text and thinking":        {append(append([]string{start}, text...), append([]string{`{"type":"content_block_start","index":1,"content_block":{"type":"redacted_thinking","data":"x"}}`}, end("max_tokens")...)...), model.CutShort, "text"},
		"a full window":            {append(append([]string{start}, text...), end("model_context_window_exceeded")...), model.CutShort, "text"},
		"a pause":                  {append(append([]string{start}, text...), end("pause_turn")...), model.Paused, "text"},
		"a refusal":                {append([]string{start}, end("refusal")...), model.Refused, ""},
		"a stop that is not known": {append(append([]string{start}, text...), end("some_later_reason")...), model.Finished, "text"},
	} {
		server, do := ask(t, func(r providertest.Request) providertest.Reply {
			if r.Number == 1 {
				return providertest.Reply{Frames: events(c.events...)}
			}
			return providertest.Reply{Text: "x"}
		})
		reply, err := do(request())
		if err != nil || reply.Stop != c.stop {
			t.Errorf("%s: %+v, %v", name, reply, err)
			continue
		}
		if _, err := do(request(model.Turn{Reply: &reply}, model.Turn{User: "go on"})); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		messages := sent(t, server)["messages"].([]any)
		back := ""
		if m := messages[min(1, len(messages)-1)].(map[string]any); m["role"] == "assistant" {
			for _, b := range m["content"].([]any) {
				back += b.(map[string]any)["type"].(string)
			}
		}
		if back != c.back {
			t.Errorf("%s: %q is handed back, want %q", name, back, c.back)
		}
	}
}

func TestATornCallIsNotAnEmptyOne(t *testing.T) {
	for stop, want := range map[string]string{"max_tokens": "", "tool_use": "{}"} {
		_, do := ask(t, func(providertest.Request) providertest.Reply {
			return providertest.Reply{Stop: stop, Calls: []providertest.Call{{Name: "alpha"}}}
		})
		reply, err := do(request())
		if err != nil || len(reply.Calls) != 1 || string(reply.Calls[0].Args) != want {
			t.Errorf("%s: %+v, %v; want arguments %q", stop, reply.Calls, err, want)
		}
	}
}

func TestStreamsThatMakeNoSense(t *testing.T) {
	for name, frames := range map[string][]string{
		"a delta of no block": events(`{"type":"content_block_delta","index":3,"delta":{"type":"text_delta","text":"x"}}`),
		"a negative index":    events(`{"type":"content_block_delta","index":-1,"delta":{"type":"text_delta","text":"x"}}`),
		"a gap":               events(`{"type":"content_block_start","index":2,"content_block":{"type":"text","text":""}}`),
		"a block of nothing":  events(`{"type":"content_block_start","index":0}`),
		"another type":        {"data: [1, 2]\n\n"},
	} {
		_, do := ask(t, func(providertest.Request) providertest.Reply { return providertest.Reply{Frames: frames} })
		_, err := do(request())
		var failed *model.Error
		if !errors.As(err, &failed) || failed.Class != model.Retry || !failed.Began {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSettingsThatTheProviderRefuses(t *testing.T) {
	warm, hot := 0.5, 1.5
	for _, c := range []struct {
		model string
		o     research.ProposerOptions
		ok    bool
	}{
		{"claude-sonnet-4-5", research.ProposerOptions{}, true},
		{"claude-sonnet-4-5", research.ProposerOptions{Thinking: 4000, MaxOutput: 8000}, true},
		{"claude-sonnet-4-5", research.ProposerOptions{Thinking: 4000}, true},
		{"claude-sonnet-4-5", research.ProposerOptions{Temperature: &warm}, true},
		{"claude-sonnet-4-5", research.ProposerOptions{Temperature: &hot}, false},
		{"claude-sonnet-4-5", research.ProposerOptions{Thinking: 500}, false},
		{"claude-sonnet-4-5", research.ProposerOptions{Thinking: 8000, MaxOutput: 8000}, false},
		{"claude-sonnet-4-5", research.ProposerOptions{Thinking: 2000, Temperature: &warm}, false},
		{"claude-opus-5-5", research.ProposerOptions{Temperature: &warm}, false},
	} {
		if err := anthropic.Check(c.model, c.o); (err == nil) != c.ok || (err != nil && research.Hint(err) == "") {
			t.Errorf("%s %+v: %v", c.model, c.o, err)
		}
	}
	if _, err := anthropic.New(anthropic.Options{}); !strings.Contains(research.Hint(err), "ANTHROPIC_API_KEY") {
		t.Errorf("no key: %v", err)
	}
}
