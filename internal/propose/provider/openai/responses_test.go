package openai_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"mendel/internal/propose/provider/model"
	"mendel/internal/propose/provider/openai"
	"mendel/internal/propose/provider/providertest"
	"mendel/internal/research"
)

func TestConversationThroughResponses(t *testing.T) {
	for name, c := range map[string]struct {
		change   func(*model.Request)
		thinking string // that is shown
	}{
		"thinking":          {func(r *model.Request) { r.Thinking = 5000 }, "Let me see, ünïcode."},
		"thinking unshown":  {func(*model.Request) {}, ""},
		"no reasoning":      {func(r *model.Request) { r.Model = "gpt-4.1" }, ""},
		"searching the web": {func(r *model.Request) { r.WebSearch = true }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s, client := pair(t, providertest.Responses(), openai.Options{Responses: true}, func(r providertest.Request) providertest.Reply {
				if r.Replies < 2 {
					return providertest.Reply{Thinking: "Let me see, ünïcode.", Text: "Look: ", Calls: []providertest.Call{
						{Name: "read_file", Args: `{"path":"a <b> & c.py"}`}, {Name: "list_files", Args: `{}`},
					}}
				}
				return providertest.Reply{Text: "Done: " + r.Results[0].Text + r.Results[1].Text}
			})
			r := request(model.Turn{User: "Begin."})
			c.change(&r)
			for range 2 {
				reply, err := client.Ask(t.Context(), r)
				if err != nil {
					t.Fatal(err)
				}
				if reply.Stop != model.WantTools || len(reply.Calls) != 2 || reply.Text != "Look: " || reply.Thinking != c.thinking {
					t.Fatalf("reply %+v", reply)
				}
				if first := reply.Calls[0]; first.Name != "read_file" || string(first.Args) != `{"path":"a <b> & c.py"}` {
					t.Errorf("first call: %s %s", first.Name, first.Args)
				}
				var results []model.Result
				for i, call := range reply.Calls {
					results = append(results, model.Result{ID: call.ID, Text: "result", IsError: i == 1})
				}
				r.Turns = append(r.Turns, model.Turn{Reply: &reply}, model.Turn{Results: results})
			}
			r.Turns = append(r.Turns, model.Turn{User: "Hurry."})
			reply, err := client.Ask(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			if reply.Stop != model.Finished || reply.Text != "Done: resulterror: result" {
				t.Errorf("%s: %q", reply.Stop, reply.Text)
			}
			if reply.Usage == nil || reply.Usage.CacheRead == 0 {
				t.Errorf("nothing was read from the cache: %+v", reply.Usage)
			}
			accepted(t, s)
			last := s.Requests()[2]
			if last.System != "You improve recipes.\n\nYou own the optimizer." || last.Prompt != "Begin." || last.Told[0] != "Hurry." {
				t.Errorf("system %q, prompt %q, told %q", last.System, last.Prompt, last.Told)
			}
		})
	}
}

func TestUsageOfResponses(t *testing.T) {
	s, c := pair(t, providertest.Responses(), openai.Options{Responses: true}, func(r providertest.Request) providertest.Reply {
		return providertest.Reply{Text: "x", Thinking: "12345678", Usage: &providertest.Usage{Input: 100, CacheRead: 50, CacheWrite: 25, Output: 7}, NoUsage: r.Number == 2}
	})
	reply, err := c.Ask(t.Context(), request(model.Turn{User: "Hello."}))
	if err != nil {
		t.Fatal(err)
	}
	if want := (research.Usage{Input: 100, CacheRead: 50, CacheWrite: 25, Output: 7, Thinking: 2}); reply.Usage == nil || *reply.Usage != want {
		t.Errorf("usage %+v, want %+v", reply.Usage, want)
	}
	if reply, err = c.Ask(t.Context(), request(model.Turn{User: "Hello."})); err != nil || reply.Usage != nil {
		t.Errorf("usage %+v of a server that says nothing, %v", reply.Usage, err)
	}
	accepted(t, s)
}

func TestEndingsOfResponses(t *testing.T) {
	for name, c := range map[string]struct {
		reply providertest.Reply
		stop  model.Stop
		text  string
		args  string // of the last call
	}{
		"finished":        {providertest.Reply{Text: "Fine."}, model.Finished, "Fine.", ""},
		"empty":           {providertest.Reply{}, model.Finished, "", ""},
		"thought alone":   {providertest.Reply{Thinking: "Hm."}, model.Finished, "", ""},
		"cut short":       {providertest.Reply{Text: "Fi", Stop: "max_output_tokens"}, model.CutShort, "Fi", ""},
		"cut in thinking": {providertest.Reply{Thinking: "Hm", Stop: "max_output_tokens"}, model.CutShort, "", ""},
		"a torn call":     {providertest.Reply{Thinking: "Hm.", Calls: []providertest.Call{{Name: "read_file", Args: `{"path": "a`}}, Stop: "max_output_tokens"}, model.CutShort, "", `{"path": "a`},
		"torn at once":    {providertest.Reply{Calls: []providertest.Call{{Name: "list_files"}}, Stop: "max_output_tokens"}, model.CutShort, "", ``},
		"a broken one":    {providertest.Reply{Calls: []providertest.Call{{Name: "read_file", Args: `path=a`}}}, model.WantTools, "", `path=a`},
		"no arguments":    {providertest.Reply{Calls: []providertest.Call{{Name: "list_files"}}}, model.WantTools, "", `{}`},
		"unknown name":    {providertest.Reply{Calls: []providertest.Call{{Name: "a tool.that is not", Args: `[1]`}}}, model.WantTools, "", `[1]`},
		"filtered":        {providertest.Reply{Text: "I", Stop: "content_filter"}, model.Refused, "I", ""},
		"refused":         {providertest.Reply{Text: "I will not.", Stop: providertest.Refusal}, model.Refused, "I will not.", ""},
		"300 KB":          {providertest.Reply{Text: strings.Repeat("ä", 150_000)}, model.Finished, strings.Repeat("ä", 150_000), ""},
		"3 MB":            {providertest.Reply{Text: strings.Repeat("a", 3_000_000)}, model.Finished, strings.Repeat("a", 3_000_000), ""}, // four times over the wire
	} {
		t.Run(name, func(t *testing.T) {
			s, client := pair(t, providertest.Responses(), openai.Options{Responses: true}, always(c.reply))
			r := request(model.Turn{User: "Hello."})
			reply, err := client.Ask(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			if reply.Stop != c.stop || reply.Text != c.text {
				t.Errorf("%s %.100q, want %s %.100q", reply.Stop, reply.Text, c.stop, c.text)
			}
			if len(reply.Calls) != len(c.reply.Calls) || len(reply.Calls) > 0 && string(reply.Calls[0].Args) != c.args {
				t.Errorf("calls %+v, want the arguments %s", reply.Calls, c.args)
			}
			// Whatever the model wrote, the conversation can go on.
			next := model.Turn{User: "Go on."}
			if len(reply.Calls) > 0 {
				next = model.Turn{Results: []model.Result{{ID: reply.Calls[0].ID, Text: "no", IsError: true}}}
			}
			r.Turns = append(r.Turns, model.Turn{Reply: &reply}, next)
			if _, err := client.Ask(t.Context(), r); err != nil {
				t.Errorf("the reply cannot be handed back: %v", err)
			}
			accepted(t, s)
		})
	}
}

// failed is the end of a response in which the provider failed.
func failed(code, message string) providertest.Reply {
	return providertest.Reply{Frames: []string{
		"event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"status\":\"in_progress\",\"error\":null}}\n\n",
		fmt.Sprintf("event: response.failed\ndata: {\"type\":\"response.failed\",\"response\":{\"status\":\"failed\",\"error\":{\"code\":%q,\"message\":%q}}}\n\n", code, message),
	}}
}

func TestFailuresOfResponses(t *testing.T) {
	for name, c := range map[string]struct {
		reply providertest.Reply
		class model.Class
		began bool
		hint  string
	}{
		"429":          {providertest.Reply{Status: 429, Header: map[string]string{"Retry-After": "7"}}, model.Wait, false, ""},
		"no credit":    {providertest.Reply{Status: 429, Body: `{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","code":"insufficient_quota"}}`}, model.Misconfigured, false, "credit"},
		"529":          {providertest.Reply{Status: 529}, model.Wait, false, ""},
		"500":          {providertest.Reply{Status: 500}, model.Retry, false, ""},
		"404":          {providertest.Reply{Status: 404, Message: "The requested model 'x' does not exist"}, model.Misconfigured, false, "model's name"},
		"too long":     {providertest.Reply{Status: 400, Message: "Your input exceeds the context window of this model."}, model.BadRequest, false, ""},
		"effort":       {providertest.Reply{Status: 400, Message: "Unsupported value: 'reasoning.effort' does not support 'low' with this model."}, model.Misconfigured, false, "thinking to 0"},
		"search":       {providertest.Reply{Status: 400, Message: "Hosted tool 'web_search' is not supported with this model."}, model.Misconfigured, false, "web_search"},
		"unverified":   {providertest.Reply{Status: 400, Message: "Your organization must be verified to stream this model."}, model.Misconfigured, false, "verify"},
		"cut":          {providertest.Reply{Text: "a long text that is cut", CutAfter: 6}, model.Retry, true, ""},
		"silent":       {providertest.Reply{Text: "a long text", SilentAfter: 6}, model.Retry, true, ""},
		"never begins": {providertest.Reply{NeverBegin: true}, model.Retry, false, ""},
		"garbage":      {providertest.Reply{Frames: []string{"data: {\"type\": [\n\n"}}, model.Retry, true, ""},
		"wrong types":  {providertest.Reply{Frames: []string{"data: {\"type\": \"response.completed\", \"response\": 7}\n\n"}}, model.Retry, true, ""},
		"no item":      {providertest.Reply{Frames: []string{"data: {\"type\": \"response.output_item.done\"}\n\n", "data: {\"type\": \"response.completed\"}\n\n"}}, model.Retry, true, ""},
		"failed":       {failed("server_error", "The server had an error."), model.Retry, true, ""},
		"limited":      {failed("rate_limit_exceeded", "Rate limit reached."), model.Wait, true, ""},
		"out of room":  {failed("context_length_exceeded", "Your input exceeds the context window."), model.BadRequest, true, ""},
		"not allowed":  {failed("invalid_prompt", "Limited access to this content."), model.BadRequest, true, ""},
		"error":        {providertest.Reply{Frames: []string{"event: error\ndata: {\"type\":\"error\",\"code\":\"server_is_overloaded\",\"message\":\"Overloaded.\",\"param\":null}\n\n"}}, model.Wait, true, ""},
		"nested error": {providertest.Reply{Frames: []string{"event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"insufficient_quota\",\"code\":\"insufficient_quota\",\"message\":\"No.\"}}\n\n"}}, model.Misconfigured, true, "credit"},
	} {
		t.Run(name, func(t *testing.T) {
			_, client := pair(t, providertest.Responses(), openai.Options{Responses: true, Idle: 200 * time.Millisecond}, always(c.reply))
			_, err := client.Ask(t.Context(), request(model.Turn{User: "Hello."}))
			var e *model.Error
			if !errors.As(err, &e) {
				t.Fatalf("%v is no error of a model", err)
			}
			if e.Class != c.class || e.Began != c.began || !strings.Contains(e.Hint, c.hint) {
				t.Errorf("%s, began %v, hint %q: %v", e.Class, e.Began, e.Hint, e)
			}
		})
	}
}

// An organization that may not have summaries of the thinking goes on without them.
func TestSummariesRefused(t *testing.T) {
	s, c := pair(t, providertest.Responses(), openai.Options{Responses: true}, func(r providertest.Request) providertest.Reply {
		var sent struct {
			Reasoning struct{ Effort, Summary string }
		}
		if err := json.Unmarshal(r.Body, &sent); err != nil || sent.Reasoning.Effort != "low" {
			t.Errorf("%v: %s", err, r.Body)
		}
		if sent.Reasoning.Summary != "" {
			return providertest.Reply{Status: 400, Message: "Your organization must be verified to generate reasoning summaries."}
		}
		return providertest.Reply{Thinking: "Hm.", Text: "Fine."}
	})
	r := request(model.Turn{User: "Hello."})
	r.Thinking = 500
	_, err := c.Ask(t.Context(), r)
	var e *model.Error
	if !errors.As(err, &e) || e.Class != model.Retry || e.Began {
		t.Fatalf("%v", err)
	}
	for range 2 {
		if reply, err := c.Ask(t.Context(), r); err != nil || reply.Text != "Fine." {
			t.Fatalf("%q, %v", reply.Text, err)
		}
	}
	if n := len(s.Requests()); n != 3 {
		t.Errorf("%d requests", n)
	}
}

func TestWrongKeyIsNotShownByResponses(t *testing.T) {
	const key = "sk-proj-Zt5Rw8NqLm3VbXc7Yk2Hd9"
	_, c := pair(t, providertest.Responses(), openai.Options{Key: key, KeyEnv: "MY_KEY", Responses: true}, always(providertest.Reply{}))
	_, err := c.Ask(t.Context(), request(model.Turn{User: "Hello."}))
	var e *model.Error
	if !errors.As(err, &e) || e.Class != model.Misconfigured || !strings.Contains(e.Hint, "MY_KEY") {
		t.Fatalf("%v", err)
	}
	if strings.Contains(e.Error()+e.Hint, key[8:16]) {
		t.Errorf("the key is in %q", e)
	}
}

// A conversation that was begun through the other protocol is not understood.
func TestRepliesOfTheOtherProtocol(t *testing.T) {
	_, c := pair(t, providertest.Responses(), openai.Options{Responses: true}, always(providertest.Reply{Text: "Fine."}))
	_, err := c.Ask(t.Context(), request(model.Turn{User: "Hello."}, model.Turn{Reply: &model.Reply{Raw: []byte(`{"role":"assistant"}`)}}, model.Turn{User: "Go on."}))
	var e *model.Error
	if !errors.As(err, &e) || e.Class != model.BadRequest {
		t.Errorf("%v", err)
	}
}
