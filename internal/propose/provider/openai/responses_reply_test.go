package openai

import (
	"bytes"
	"encoding/json"
	"testing"

	"mendel/internal/propose/provider/wire"
)

func outputOf(t testing.TB, events ...string) output {
	t.Helper()
	client, err := wire.New(wire.Options{BaseURL: "http://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	o := output{wire: client}
	for _, e := range events {
		if done, err := o.event([]byte(e)); done || err != nil {
			break
		}
	}
	return o
}

// Items are handed back as they came, in their order, whatever a later version puts into them.
func TestItemsAreKept(t *testing.T) {
	thought := `{"type":"reasoning","id":"rs","summary":[],"encrypted_content":"whole","later":{"a":[1.0]}}`
	search := `{"type":"web_search_call","id":"ws","status":"completed","action":{"type":"search","query":"adam"}}`
	said := `{"type":"message","id":"msg","role":"assistant","phase":"commentary","status":"completed","content":[{"type":"output_text","text":"It says so.","annotations":[{"type":"url_citation"}]}]}`
	call := `{"type":"function_call","id":"fc","call_id":"c","name":"f","arguments":"{ \"a\" : 1 }","later":7}`
	whole := "[" + thought + "," + search + "," + said + "," + call + "]"
	done := func(index, item string) string {
		return `{"type":"response.output_item.done","output_index":` + index + `,"item":` + item + `}`
	}
	for name, events := range map[string][]string{
		"as documented":       {done("0", thought), done("1", search), done("2", said), done("3", call), `{"type":"response.completed","response":{"output":[{"type":"reasoning"},{},{},{}]}}`},
		"out of order":        {done("2", said), done("0", thought), done("3", call), done("1", search), `{"type":"response.completed","response":{"output":[]}}`},
		"in the last event":   {`{"type":"response.completed","response":{"output":` + whole + `}}`},
		"beside what is new":  {`{"type":"keepalive"}`, done("0", thought), `{"type":"response.later","item":7.5}`, done("1", search), done("2", said), done("3", call), `{"type":"response.completed"}`},
		"missing in the flow": {done("0", thought), done("3", call), `{"type":"response.completed","response":{"output":` + whole + `}}`},
	} {
		o := outputOf(t, events...)
		reply, err := o.reply()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if string(reply.Raw) != whole {
			t.Errorf("%s: handed back is %s", name, reply.Raw)
		}
		if reply.Text != "It says so." || len(reply.Calls) != 1 || string(reply.Calls[0].Args) != `{ "a" : 1 }` {
			t.Errorf("%s: reply %+v", name, reply)
		}
	}
}

// What was cut off before it said anything would be refused.
func TestUnfinishedItemsAreDropped(t *testing.T) {
	o := outputOf(t,
		`{"type":"response.output_item.done","output_index":0,"item":{"type":"reasoning","id":"rs","summary":[{"type":"summary_text","text":"Hm."}]}}`,
		`{"type":"response.output_item.done","output_index":1,"item":{"type":"message","id":"msg","role":"assistant","status":"incomplete","content":[]}}`,
		`{"type":"response.incomplete","response":{"incomplete_details":{"reason":"max_output_tokens"}}}`)
	reply, err := o.reply()
	if err != nil || string(reply.Raw) != "[]" || reply.Thinking != "Hm." {
		t.Errorf("%+v, %s, %v", reply, reply.Raw, err)
	}
}

// Whatever a server sends, what came of it can be handed back to a server that checks it.
func FuzzResponseEvents(f *testing.F) {
	for _, seed := range []string{
		`{"type":"response.output_item.done","output_index":1,"item":{"type":"function_call","call_id":"c","name":"é","arguments":"{"}}` + "\n" +
			`{"type":"response.output_item.done","item":{"type":"reasoning","summary":[{"text":"a"}]}}` + "\n" +
			`{"type":"response.incomplete","response":{"incomplete_details":{"reason":"max_output_tokens"},"usage":{"input_tokens":1,"input_tokens_details":{"cached_tokens":9}}}}`,
		`{"type":"response.completed","response":{"output":[{"type":"message","content":[{"type":"refusal","refusal":"no"}]},null]}}`,
		`{"type":"response.failed","response":{"error":null}}`,
		`{"type":"error"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var events []string
		for line := range bytes.Lines(data) {
			events = append(events, string(line))
		}
		o := outputOf(t, events...)
		reply, err := o.reply()
		if err != nil {
			return
		}
		if u := reply.Usage; u != nil && min(u.Input, u.CacheRead, u.CacheWrite, u.Output, u.Thinking) < 0 {
			t.Errorf("usage %+v", *u)
		}
		var items []known
		if err := json.Unmarshal(reply.Raw, &items); err != nil || items == nil {
			t.Fatalf("%v: %s", err, reply.Raw)
		}
		calls := 0
		for i, k := range items {
			switch k.Type {
			case "reasoning":
				if i == len(items)-1 {
					t.Errorf("thinking at the end: %s", reply.Raw)
				}
			case "function_call":
				var arguments map[string]any
				if err := json.Unmarshal([]byte(k.Arguments), &arguments); err != nil || arguments == nil || k.Name == "" || len(k.Name) > 64 {
					t.Errorf("call %+v", k)
				}
				calls++
			}
		}
		if calls != len(reply.Calls) {
			t.Errorf("%d calls, %d are handed back", len(reply.Calls), calls)
		}
	})
}
