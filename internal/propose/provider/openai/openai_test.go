package openai_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"mendel/internal/propose/provider/model"
	"mendel/internal/propose/provider/openai"
	"mendel/internal/propose/provider/providertest"
	"mendel/internal/propose/tool"
	"mendel/internal/research"
)

var _ model.Client = (*openai.Client)(nil)

// pair is a server that plays a script, and a client of it.
func pair(t *testing.T, p providertest.Protocol, o openai.Options, play providertest.Script) (*providertest.Server, *openai.Client) {
	t.Helper()
	s, err := providertest.New(providertest.Options{Protocol: p, Play: play})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	o.BaseURL = s.URL + "/v1"
	if o.Key == "" {
		o.Key = providertest.Key
	}
	c, err := openai.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return s, c
}

func always(r providertest.Reply) providertest.Script {
	return func(providertest.Request) providertest.Reply { return r }
}

func request(turns ...model.Turn) model.Request {
	return model.Request{
		Model: "test-model", Shared: "You improve recipes.", Role: "You own the optimizer.", MaxOutput: 1000, Turns: turns,
		Tools: []tool.Definition{
			{Name: "read_file", Description: "Reads <a> file.", Schema: json.RawMessage(`{"type":"object","properties":{"path":{"type":"string"}},"required":["path"]}`)},
			{Name: "list_files", Description: "Lists.", Schema: json.RawMessage(`{"type":"object"}`)},
		},
	}
}

func accepted(t *testing.T, s *providertest.Server) {
	t.Helper()
	if refused := s.Refused(); len(refused) > 0 {
		t.Errorf("the server refused: %q", refused)
	}
}

// Every way in which servers send two calls is understood, and what is handed back is accepted by
// a server that checks it.
func TestConversationWithEveryKindOfServer(t *testing.T) {
	for name, quirks := range map[string]providertest.Quirks{
		"as documented":         {},
		"no index":              {NoIndex: true},
		"no index, no id":       {NoIndex: true, NoID: true},
		"index 0 for all":       {ZeroIndex: true},
		"index 0, no id":        {ZeroIndex: true, NoID: true},
		"no id":                 {NoID: true},
		"arguments as object":   {ObjectArgs: true},
		"stop":                  {StopAlways: true},
		"no [DONE]":             {NoDone: true},
		"message":               {Message: true},
		"reasoning":             {Reasoning: "reasoning"},
		"like Gemini":           {Signatures: true, StopAlways: true, NoIndex: true},
		"signed, with an index": {Signatures: true},
	} {
		t.Run(name, func(t *testing.T) {
			s, c := pair(t, providertest.OpenAI(quirks), openai.Options{}, func(r providertest.Request) providertest.Reply {
				if r.Replies < 2 {
					return providertest.Reply{Thinking: "Let me see, ünïcode.", Calls: []providertest.Call{
						{Name: "read_file", Args: `{"path":"a <b> & c.py"}`}, {Name: "list_files", Args: `{}`},
					}}
				}
				return providertest.Reply{Text: "Done: " + r.Results[0].Text + r.Results[1].Text}
			})
			r := request(model.Turn{User: "Begin."})
			ids := map[string]bool{}
			for range 2 {
				reply, err := c.Ask(t.Context(), r)
				if err != nil {
					t.Fatal(err)
				}
				if reply.Stop != model.WantTools || len(reply.Calls) != 2 {
					t.Fatalf("%s, calls %+v", reply.Stop, reply.Calls)
				}
				if reply.Thinking != "Let me see, ünïcode." && !quirks.Message {
					t.Errorf("thinking is %q", reply.Thinking)
				}
				var args struct{ Path string }
				if err := json.Unmarshal(reply.Calls[0].Args, &args); err != nil || reply.Calls[0].Name != "read_file" || args.Path != "a <b> & c.py" {
					t.Errorf("first call: %s %s", reply.Calls[0].Name, reply.Calls[0].Args)
				}
				if reply.Calls[1].Name != "list_files" || string(reply.Calls[1].Args) != "{}" {
					t.Errorf("second call: %s %s", reply.Calls[1].Name, reply.Calls[1].Args)
				}
				var results []model.Result
				for i, call := range reply.Calls {
					if ids[call.ID] {
						t.Errorf("id %q is there twice", call.ID)
					}
					ids[call.ID] = true
					results = append(results, model.Result{ID: call.ID, Text: "result", IsError: i == 1})
				}
				r.Turns = append(r.Turns, model.Turn{Reply: &reply}, model.Turn{Results: results})
			}
			reply, err := c.Ask(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			if reply.Stop != model.Finished || reply.Text != "Done: resulterror: result" {
				t.Errorf("%s: %q", reply.Stop, reply.Text)
			}
			accepted(t, s)
			last := s.Requests()[2]
			if last.System != "You improve recipes.\n\nYou own the optimizer." || last.Prompt != "Begin." {
				t.Errorf("system %q, prompt %q", last.System, last.Prompt)
			}
		})
	}
}

func TestUsage(t *testing.T) {
	s, c := pair(t, providertest.OpenAI(providertest.Quirks{}), openai.Options{}, func(r providertest.Request) providertest.Reply {
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

	_, c = pair(t, providertest.Gemini(), openai.Options{}, always(providertest.Reply{Thinking: "12345678", Text: "1234"}))
	reply, err = c.Ask(t.Context(), request(model.Turn{User: "Hello."}))
	if err != nil {
		t.Fatal(err)
	}
	if reply.Usage.Output != 4 || reply.Usage.Thinking != 2 {
		t.Errorf("thinking is not part of the output: %+v", reply.Usage)
	}
}

func TestEndings(t *testing.T) {
	for name, c := range map[string]struct {
		reply providertest.Reply
		stop  model.Stop
		text  string
		args  string // of the last call
	}{
		"finished":     {providertest.Reply{Text: "Fine."}, model.Finished, "Fine.", ""},
		"empty":        {providertest.Reply{}, model.Finished, "", ""},
		"cut short":    {providertest.Reply{Text: "Fi", Stop: "length"}, model.CutShort, "Fi", ""},
		"a torn call":  {providertest.Reply{Calls: []providertest.Call{{Name: "read_file", Args: `{"path": "a`}}, Stop: "length"}, model.CutShort, "", `{"path": "a`},
		"a broken one": {providertest.Reply{Calls: []providertest.Call{{Name: "read_file", Args: `path=a`}}}, model.WantTools, "", `path=a`},
		"no arguments": {providertest.Reply{Calls: []providertest.Call{{Name: "list_files"}}}, model.WantTools, "", `{}`},
		"unknown name": {providertest.Reply{Calls: []providertest.Call{{Name: "a tool.that is not", Args: `[1]`}}}, model.WantTools, "", `[1]`},
		"filtered":     {providertest.Reply{Text: "I", Stop: "content_filter"}, model.Refused, "I", ""},
		"refused":      {providertest.Reply{Text: "I will not.", Stop: providertest.Refusal}, model.Refused, "I will not.", ""},
		"300 KB":       {providertest.Reply{Text: strings.Repeat("ä", 150_000)}, model.Finished, strings.Repeat("ä", 150_000), ""},
	} {
		t.Run(name, func(t *testing.T) {
			s, client := pair(t, providertest.OpenAI(providertest.Quirks{}), openai.Options{}, always(c.reply))
			r := request(model.Turn{User: "Hello."})
			reply, err := client.Ask(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			if reply.Stop != c.stop || reply.Text != c.text {
				t.Errorf("%s %.100q, want %s %.100q", reply.Stop, reply.Text, c.stop, c.text)
			}
			if c.args != "" && (len(reply.Calls) != 1 || string(reply.Calls[0].Args) != c.args) {
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

func TestFailures(t *testing.T) {
	for name, c := range map[string]struct {
		reply providertest.Reply
		class model.Class
		began bool
		hint  string
	}{
		"429":           {providertest.Reply{Status: 429, Header: map[string]string{"Retry-After": "7"}}, model.Wait, false, ""},
		"no credit":     {providertest.Reply{Status: 429, Body: `{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","code":"insufficient_quota"}}`}, model.Misconfigured, false, "credit"},
		"529":           {providertest.Reply{Status: 529}, model.Wait, false, ""},
		"500":           {providertest.Reply{Status: 500}, model.Retry, false, ""},
		"404":           {providertest.Reply{Status: 404, Message: "The model `test-model` does not exist"}, model.Misconfigured, false, "model's name"},
		"too long":      {providertest.Reply{Status: 400, Message: "This model's maximum context length is 8192 tokens."}, model.BadRequest, false, ""},
		"no thinking":   {providertest.Reply{Status: 400, Message: "Function tools with reasoning_effort are not supported for gpt-6-sol in /v1/chat/completions."}, model.Misconfigured, false, "thinking to 0"},
		"temperature":   {providertest.Reply{Status: 400, Message: "Unsupported value: 'temperature' does not support 0.2 with this model."}, model.Misconfigured, false, "temperature out"},
		"no tools":      {providertest.Reply{Status: 400, Message: "registry.ollama.ai/library/gemma does not support tools"}, model.Misconfigured, false, "call tools"},
		"vLLM flags":    {providertest.Reply{Status: 400, Message: `"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set`}, model.Misconfigured, false, "start vLLM"},
		"cut":           {providertest.Reply{Text: "a long text that is cut", CutAfter: 3}, model.Retry, true, ""},
		"silent":        {providertest.Reply{Text: "a long text", SilentAfter: 3}, model.Retry, true, ""},
		"never begins":  {providertest.Reply{NeverBegin: true}, model.Retry, false, ""},
		"garbage":       {providertest.Reply{Frames: []string{"data: {\"choices\": [\n\n"}}, model.Retry, true, ""},
		"wrong types":   {providertest.Reply{Frames: []string{"data: {\"choices\": [{\"delta\": {\"content\": 7}}]}\n\n"}}, model.Retry, true, ""},
		"error in it":   {providertest.Reply{Frames: []string{"data: {\"choices\": []}\n\n", "data: {\"error\": {\"code\": 429, \"message\": \"rate_limit of the upstream provider\"}}\n\n"}}, model.Wait, true, ""},
		"numbers alone": {providertest.Reply{Frames: []string{"data: {\"choices\": [{\"delta\": {\"tool_calls\": [{\"function\": {\"arguments\": 7}}]}}]}\n\n"}}, model.Retry, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, client := pair(t, providertest.OpenAI(providertest.Quirks{}), openai.Options{Idle: 200 * time.Millisecond}, always(c.reply))
			_, err := client.Ask(t.Context(), request(model.Turn{User: "Hello."}))
			var e *model.Error
			if !errors.As(err, &e) {
				t.Fatalf("%v is no error of a model", err)
			}
			if e.Class != c.class || e.Began != c.began || !strings.Contains(e.Hint, c.hint) {
				t.Errorf("%s, began %v, hint %q: %v", e.Class, e.Began, e.Hint, e)
			}
			if name == "429" && e.RetryAfter != 7*time.Second {
				t.Errorf("retry after %s", e.RetryAfter)
			}
		})
	}
}

func TestWrongKeyIsNotShown(t *testing.T) {
	const key = "sk-proj-Zt5Rw8NqLm3VbXc7Yk2Hd9"
	_, c := pair(t, providertest.OpenAI(providertest.Quirks{}), openai.Options{Key: key, KeyEnv: "MY_KEY"}, always(providertest.Reply{}))
	_, err := c.Ask(t.Context(), request(model.Turn{User: "Hello."}))
	var e *model.Error
	if !errors.As(err, &e) || e.Class != model.Misconfigured || !strings.Contains(e.Hint, "MY_KEY") {
		t.Fatalf("%v", err)
	}
	if strings.Contains(e.Error()+e.Hint, key[8:16]) {
		t.Errorf("the key is in %q", e)
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	_, c := pair(t, providertest.OpenAI(providertest.Quirks{}), openai.Options{}, func(providertest.Request) providertest.Reply {
		cancel()
		return providertest.Reply{NeverBegin: true}
	})
	if _, err := c.Ask(ctx, request(model.Turn{User: "Hello."})); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestGeminiQuotaIsWaitedFor(t *testing.T) {
	s, err := providertest.New(providertest.Options{Protocol: providertest.Gemini(), Play: always(providertest.Reply{
		Status: http.StatusTooManyRequests, Body: `[{"error":{"code":429,"message":"You exceeded your current quota, please check your plan and billing details.","status":"RESOURCE_EXHAUSTED"}}]`,
	})})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	c, err := openai.NewGemini(openai.Options{BaseURL: s.URL + "/v1", Key: providertest.Key})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, err = c.Ask(t.Context(), request(model.Turn{User: "Hello."}))
	var e *model.Error
	if !errors.As(err, &e) || e.Class != model.Wait {
		t.Errorf("%v", err)
	}
}

func TestSettings(t *testing.T) {
	hot, warm := 2.5, 0.7
	other := "http://127.0.0.1:11434/v1"
	for name, c := range map[string]struct {
		check func(research.ProposerOptions) error
		o     research.ProposerOptions
		ok    bool
	}{
		"OpenAI's own search":  {openai.Check, research.ProposerOptions{WebSearch: true}, true},
		"by its address":       {openai.Check, research.ProposerOptions{WebSearch: true, BaseURL: openai.BaseURL + "/"}, true},
		"another's search":     {openai.Check, research.ProposerOptions{WebSearch: true, BaseURL: other}, false},
		"Gemini's search":      {openai.CheckGemini, research.ProposerOptions{WebSearch: true}, false},
		"too hot":              {openai.Check, research.ProposerOptions{Temperature: &hot}, false},
		"too hot for Gemini":   {openai.CheckGemini, research.ProposerOptions{Temperature: &hot}, false},
		"all thinking":         {openai.Check, research.ProposerOptions{Thinking: 2000, MaxOutput: 2000}, false},
		"warm and thoughtful":  {openai.Check, research.ProposerOptions{Temperature: &warm, Thinking: 1000, MaxOutput: 2000}, true},
		"the same for another": {openai.Check, research.ProposerOptions{Temperature: &warm, Thinking: 1000, MaxOutput: 2000, BaseURL: other}, true},
		"the same for Gemini":  {openai.CheckGemini, research.ProposerOptions{Temperature: &warm, Thinking: 1000, MaxOutput: 2000}, true},
	} {
		if err := c.check(c.o); (err == nil) != c.ok || err != nil && research.Hint(err) == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, construct := range []func(openai.Options) (*openai.Client, error){openai.New, openai.NewGemini} {
		if _, err := construct(openai.Options{}); err == nil || !strings.Contains(research.Hint(err), "_API_KEY") {
			t.Errorf("no key: %v, hint %q", err, research.Hint(err))
		}
		if _, err := construct(openai.Options{BaseURL: other}); err != nil {
			t.Errorf("a server of one's own wants no key: %v", err)
		}
	}
}

// A search that chat completions cannot do is not left out in silence.
func TestNoSearchWithoutResponses(t *testing.T) {
	s, c := pair(t, providertest.OpenAI(providertest.Quirks{}), openai.Options{}, always(providertest.Reply{Text: "Fine."}))
	r := request(model.Turn{User: "Hello."})
	r.WebSearch = true
	_, err := c.Ask(t.Context(), r)
	var e *model.Error
	if !errors.As(err, &e) || e.Class != model.Misconfigured || e.Hint == "" || len(s.Requests()) > 0 {
		t.Errorf("%v, after %d requests", err, len(s.Requests()))
	}
}
