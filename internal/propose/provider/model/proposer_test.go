package model_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"mendel/internal/propose/provider/anthropic"
	"mendel/internal/propose/provider/model"
	"mendel/internal/propose/provider/providertest"
	"mendel/internal/propose/session"
	"mendel/internal/propose/session/sessiontest"
	"mendel/internal/propose/workspace"
	"mendel/internal/research"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// cents is a price: $1 for a million tokens of input, $10 for a million of output.
type cents struct{}

func (cents) USD(u research.Usage) float64 {
	return (float64(u.Input+u.CacheRead+u.CacheWrite) + 10*float64(u.Output)) / 1e6
}

func (c cents) Worst(in, out int64) float64 {
	return c.USD(research.Usage{Input: in, Output: out})
}

// A game is one session of a model that follows a script, over a real connection.
type game struct {
	options model.Options
	caps    research.Caps
	idle    time.Duration
	budget  research.Charge
	ctx     context.Context
	desk    func(*sessiontest.Run) session.Desk // the run itself unless given
	await   time.Duration                       // longest wait for a verdict
	line    func(model.Client) model.Client     // what lies between the proposer and its client

	run        *sessiontest.Run
	session    *session.Session
	server     *providertest.Server
	transcript bytes.Buffer
	slept      []time.Duration
}

var role = research.Role{ID: "opt", Title: "Optimizer", MayEdit: []string{"train.py"}}

func (g *game) play(t *testing.T, script providertest.Script) error {
	t.Helper()
	g.run = &sessiontest.Run{
		Task: research.TaskCard{
			Name: "toy", Editable: []string{"train.py"},
			Score:  research.ScoreRule{Metric: "loss", Unit: "nats", Direction: research.Minimize},
			Keep:   research.KeepRule{Rule: research.Strict},
			Checks: []research.CheckCard{{Name: "syntax_check", About: "Compiles train.py."}},
		},
		Arm: research.Arm{Agents: research.Specialists, Lineage: true},
		Measure: func(tree workspace.Tree) research.Measurement {
			f, _ := tree.Get("train.py")
			var score float64
			fmt.Sscanf(string(f.Data), "score = %g", &score)
			return research.Measurement{Outcome: research.Valid, Score: &score}
		},
		Budget: g.budget,
	}
	g.run.Start(workspace.Tree{{Path: "train.py", Mode: 0o644, Data: []byte("score = 5\n")}})
	var err error
	if g.server, err = providertest.New(providertest.Options{Protocol: providertest.Anthropic, Play: script}); err != nil {
		t.Fatal(err)
	}
	defer g.server.Close()
	client, err := anthropic.New(anthropic.Options{BaseURL: g.server.URL, Key: providertest.Key, KeyEnv: "ANTHROPIC_API_KEY", Idle: g.idle})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	tree, err := g.run.Tree(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	w, err := workspace.New(t.TempDir(), tree)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	var desk session.Desk = g.run
	if g.desk != nil {
		desk = g.desk(g.run)
	}
	g.session = session.New(session.Options{
		Brief: g.run.Brief(role, 7, 1), Desk: desk, AwaitAtMost: g.await, Workspace: w, Now: time.Now, Caps: g.caps, Transcript: &g.transcript,
		MayEdit: func(path string) bool { return path == "train.py" },
	})
	o := g.options
	o.Client, o.Name, o.Price = client, "anthropic:claude-sonnet-4-5", cents{}
	if g.line != nil {
		o.Client = g.line(client)
	}
	if o.Sleep == nil {
		o.Sleep = func(ctx context.Context, d time.Duration) error {
			g.slept = append(g.slept, d)
			return ctx.Err()
		}
	}
	o.Random = func() float64 { return 0.5 }
	if g.ctx == nil {
		g.ctx = t.Context()
	}
	err = model.New(o).Propose(g.ctx, g.session)
	if err != nil {
		hides(t, err.Error())
		hides(t, research.Hint(err))
		var failure *session.Failure
		if errors.As(err, &failure) {
			hides(t, failure.Hint)
		}
	}
	hides(t, g.transcript.String())
	asked, settled := g.run.ModelCalls()
	if len(asked) != len(settled) {
		t.Errorf("%d calls were granted, %d settled", len(asked), len(settled))
	}
	for i, a := range settled {
		hides(t, a.Error)
		if a.Charge.Tokens > asked[i].Worst.Tokens || a.Charge.USD > asked[i].Worst.USD {
			t.Errorf("call %d costs %+v, more than the %+v that were set aside", a.Call, a.Charge, asked[i].Worst)
		}
	}
	return err
}

// hides wants no part of the key in a text.
func hides(t *testing.T, text string) {
	t.Helper()
	for i := range len(providertest.Key) - 8 {
		if part := providertest.Key[i : i+8]; strings.Contains(text, part) {
			t.Fatalf("a text shows %q of the key: %.300s", part, text)
		}
	}
}

// ends wants a failure of this class.
func ends(t *testing.T, err error, class session.Class, words ...string) *session.Failure {
	t.Helper()
	var failure *session.Failure
	if !errors.As(err, &failure) || failure.Class != class {
		t.Fatalf("it ends with %v, want a failure of class %s", err, class)
	}
	for _, word := range words {
		if !strings.Contains(failure.Error(), word) {
			t.Errorf("the failure %q does not say %q", failure, word)
		}
	}
	return failure
}

func (g *game) told(t *testing.T, words ...string) {
	t.Helper()
	for _, word := range words {
		if !strings.Contains(g.transcript.String(), word) {
			t.Errorf("the transcript does not say %q:\n%s", word, g.transcript.String())
		}
	}
}

func (g *game) accepted(t *testing.T) {
	t.Helper()
	if refused := g.server.Refused(); len(refused) > 0 {
		t.Errorf("the server refused: %s", strings.Join(refused, "; "))
	}
}

func (g *game) trials(t *testing.T, want int) {
	t.Helper()
	if got := len(g.run.All()) - 1; got != want {
		t.Errorf("%d trials were submitted, want %d", got, want)
	}
}

func edit(from, to string) providertest.Call {
	return call("edit_file", map[string]any{"path": "train.py", "old": "score = " + from, "new": "score = " + to})
}

func submit(hypothesis string) providertest.Call {
	return call("submit_trial", map[string]any{"hypothesis": hypothesis, "expected_delta": -1})
}

func call(name string, args map[string]any) providertest.Call {
	raw, err := json.Marshal(args)
	if err != nil {
		panic(err)
	}
	return providertest.Call{Name: name, Args: string(raw)}
}

func calls(c ...providertest.Call) providertest.Reply { return providertest.Reply{Calls: c} }

// steps answers with one reply after another, by how much the model has said before.
func steps(replies ...providertest.Reply) providertest.Script {
	return func(r providertest.Request) providertest.Reply {
		if r.Replies >= len(replies) {
			return providertest.Reply{Text: "I end the session."}
		}
		return replies[r.Replies]
	}
}

// first answers the first requests with these, and then as a well-behaved model.
func first(ugly ...providertest.Reply) providertest.Script {
	var mu sync.Mutex
	good := steps(calls(edit("5", "4")), calls(submit("lower is better")))
	return func(r providertest.Request) providertest.Reply {
		mu.Lock()
		defer mu.Unlock()
		if len(ugly) > 0 {
			next := ugly[0]
			ugly = ugly[1:]
			return next
		}
		return good(r)
	}
}

func repeated(n int, r providertest.Reply) []providertest.Reply {
	list := make([]providertest.Reply, n)
	for i := range list {
		list[i] = r
	}
	return list
}

func TestEditCheckRepairSubmit(t *testing.T) {
	g := game{options: model.Options{ProposerOptions: research.ProposerOptions{Thinking: 2000, WebSearch: true}}}
	var verdict string
	err := g.play(t, steps(
		providertest.Reply{Thinking: "Look first.", Text: "I look.", Calls: []providertest.Call{call("read_file", map[string]any{"path": "train.py"}), call("list_trials", nil)}},
		calls(edit("6", "4")), // does not match
		calls(edit("5", "4"), call("syntax_check", nil)),
		calls(submit("lower is better")),
		providertest.Reply{Text: "Done."},
	))
	if err != nil {
		t.Fatal(err)
	}
	g.accepted(t)
	g.trials(t, 1)
	requests := g.server.Requests()
	if len(requests) != 5 {
		t.Fatalf("%d requests, want 5", len(requests))
	}
	for _, name := range requests[0].Tools {
		if name == "await_trial" {
			t.Error("await_trial is offered")
		}
	}
	if body := string(requests[0].Body); strings.Contains(body, "await_trial") {
		t.Error("the first request speaks of await_trial")
	}
	if r := requests[2].Results; len(r) != 1 || !r[0].IsError {
		t.Errorf("an edit that does not match is answered %+v", r)
	}
	if r := requests[4].Results; len(r) == 1 {
		verdict = r[0].Text
	}
	if !strings.Contains(verdict, "Submitted as trial 001.\nTrial 001: keep") || strings.Contains(verdict, "await_trial") {
		t.Errorf("submit_trial answers %q", verdict)
	}
	g.told(t, "Look first.", "I look.", `"kind":"thought"`, `"name":"await_trial"`, `"usd":`)
	_, settled := g.run.ModelCalls()
	for i, a := range settled {
		r := requests[i]
		u := a.Usage
		if u.Input != int64(len(r.Body)/4) || a.Estimated || !a.Priced || a.Charge.USD != (cents{}).USD(u) || a.Charge.Tokens != u.Tokens() {
			t.Errorf("call %d of %d bytes is settled as %+v", i+1, len(r.Body), a)
		}
	}
}

func TestOrderOfThePrompt(t *testing.T) {
	g := game{}
	if err := g.play(t, steps(calls(call("list_files", nil)), calls(edit("5", "4"), submit("h")))); err != nil {
		t.Fatal(err)
	}
	g.accepted(t)
	requests := g.server.Requests()
	breakpoint := []byte(`,"cache_control":{"type":"ephemeral"}`)
	for i := 1; i < len(requests); i++ {
		before, now := bytes.ReplaceAll(requests[i-1].Body, breakpoint, nil), bytes.ReplaceAll(requests[i].Body, breakpoint, nil)
		if before = bytes.TrimSuffix(before, []byte("]}")); !bytes.HasPrefix(now, before) {
			t.Errorf("request %d does not begin with the one before, so nothing is cached:\n%s\n%s", i+1, before, now)
		}
	}
}

func TestTransientFailures(t *testing.T) {
	const idle = 50 * time.Millisecond
	for name, c := range map[string]struct {
		ugly    []providertest.Reply
		calls   int // settled
		charged int // of them as estimated
		slept   []time.Duration
		told    string
	}{
		"429 with Retry-After":     {[]providertest.Reply{{Status: 429, Header: map[string]string{"Retry-After": "7"}, Message: "slow down"}}, 3, 0, []time.Duration{7500 * time.Millisecond}, "slow down"},
		"retry-after-ms":           {[]providertest.Reply{{Status: 429, Header: map[string]string{"Retry-After-Ms": "1500"}}}, 3, 0, []time.Duration{2 * time.Second}, "429"},
		"529":                      {[]providertest.Reply{{Status: 529, Message: "Overloaded"}}, 3, 0, []time.Duration{time.Second / 2}, "Overloaded"},
		"500 storm that passes":    {repeated(5, providertest.Reply{Status: 500}), 3, 0, []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second}, "try 6 of 6"},
		"stream cut in the middle": {[]providertest.Reply{{Text: "half a tho", CutAfter: 3}}, 4, 1, []time.Duration{time.Second / 2}, "cut off"},
		"overloaded in the stream": {[]providertest.Reply{{Frames: []string{"event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":3,\"output_tokens\":1}}}\n\n",
			"event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n"}}}, 4, 1, []time.Duration{time.Second / 2}, "Overloaded"},
		"garbage in the stream":     {[]providertest.Reply{{Frames: []string{"event: message_start\ndata: {\"type\":\n\n"}}}, 4, 1, []time.Duration{time.Second / 2}, "cannot be read"},
		"silence before the reply":  {[]providertest.Reply{{NeverBegin: true}}, 3, 0, []time.Duration{time.Second / 2}, "nothing was received for 50ms"},
		"silence in the middle":     {[]providertest.Reply{{Text: "hm", SilentAfter: 2}}, 4, 1, []time.Duration{time.Second / 2}, "nothing was received for 50ms"},
		"error body with the key":   {[]providertest.Reply{{Status: 500, Body: "upstream said: bad key " + providertest.Key}}, 3, 0, []time.Duration{time.Second / 2}, "[key]"},
		"a reply without its usage": {[]providertest.Reply{{NoUsage: true, Calls: []providertest.Call{edit("5", "4")}}}, 3, 1, nil, "submit"},
	} {
		t.Run(name, func(t *testing.T) {
			g := game{}
			if strings.Contains(c.told, "nothing was received") {
				g.idle = idle
			}
			if err := g.play(t, first(c.ugly...)); err != nil {
				t.Fatal(err)
			}
			g.accepted(t)
			g.trials(t, 1)
			g.told(t, c.told)
			if fmt.Sprint(g.slept) != fmt.Sprint(c.slept) {
				t.Errorf("it waits %v, want %v", g.slept, c.slept)
			}
			asked, settled := g.run.ModelCalls()
			charged, retries := 0, 0
			for i, a := range settled {
				retries += a.Retries
				if a.Estimated {
					charged++
					if a.Charge != asked[i].Worst || a.Charge.Tokens == 0 || a.Charge.USD == 0 {
						t.Errorf("a call of unknown cost is charged %+v, want %+v", a.Charge, asked[i].Worst)
					}
				}
			}
			if len(settled) != c.calls || charged != c.charged {
				t.Errorf("%d calls are settled, %d of them estimated; want %d and %d", len(settled), charged, c.calls, c.charged)
			}
			if want := len(c.slept) * (1 - min(c.charged, 1)); retries != want {
				t.Errorf("%d retries are recorded, want %d", retries, want)
			}
		})
	}
}

func TestLastingFailures(t *testing.T) {
	for name, c := range map[string]struct {
		reply providertest.Reply
		class session.Class
		words []string
		hint  string
		tries int
		until bool
	}{
		"500 storm":                  {providertest.Reply{Status: 500, Message: "boom"}, session.Unavailable, []string{"after 6 tries", "boom"}, "", 6, false},
		"a long rate limit":          {providertest.Reply{Status: 429, Header: map[string]string{"Retry-After": "3600"}}, session.Unavailable, nil, "", 1, true},
		"401 that echoes the key":    {providertest.Reply{Status: 401, Message: "Incorrect API key provided: " + providertest.Key[:9] + "****" + providertest.Key[25:]}, session.Misconfigured, []string{"[key]"}, "ANTHROPIC_API_KEY", 1, false},
		"no credit":                  {providertest.Reply{Status: 400, Message: "Your credit balance is too low to access the Anthropic API."}, session.Misconfigured, nil, "credit", 1, false},
		"unknown model":              {providertest.Reply{Status: 404, Message: "model: claude-sonnet-4-5"}, session.Misconfigured, nil, "model's name", 1, false},
		"a first request refused":    {providertest.Reply{Status: 400, Message: "max_tokens: too many"}, session.Misconfigured, []string{"max_tokens"}, "max_output", 1, false},
		"a redirect":                 {providertest.Reply{Status: 307, Header: map[string]string{"Location": "http://127.0.0.1:1/elsewhere"}}, session.Misconfigured, []string{"redirects to http://127.0.0.1:1"}, "base URL", 1, false},
		"refusal":                    {providertest.Reply{Stop: "refusal"}, session.Misbehaved, []string{"refused"}, "", 1, false},
		"a page in place of a reply": {providertest.Reply{Status: 200, Body: "<html>login</html>"}, session.Misconfigured, []string{"<html>login"}, "right address", 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			g := game{}
			err := g.play(t, func(providertest.Request) providertest.Reply { return c.reply })
			failure := ends(t, err, c.class, c.words...)
			if !strings.Contains(failure.Hint, c.hint) || failure.Until.IsZero() == c.until {
				t.Errorf("the hint is %q, until %s", failure.Hint, failure.Until)
			}
			if n := len(g.server.Requests()); n != c.tries {
				t.Errorf("%d requests were made, want %d", n, c.tries)
			}
			_, settled := g.run.ModelCalls()
			if len(settled) != 1 || settled[0].Retries != c.tries-1 {
				t.Fatalf("settled %+v", settled)
			}
			if a := settled[0]; c.class != session.Misbehaved && (a.Charge != research.Charge{} || a.Estimated || a.Error == "") {
				t.Errorf("a call that was never answered is settled as %+v", a)
			}
		})
	}
}

// A moved is a client whose server is gone after some calls.
type moved struct {
	model.Client
	calls int
	gone  model.Client
	tried int
}

func (m *moved) Ask(ctx context.Context, r model.Request) (model.Reply, error) {
	if m.calls--; m.calls >= 0 {
		return m.Client.Ask(ctx, r)
	}
	m.tried++
	return m.gone.Ask(ctx, r)
}

func TestNoServer(t *testing.T) {
	const nowhere = "http://127.0.0.1:1"
	gone, err := anthropic.New(anthropic.Options{BaseURL: nowhere, Key: providertest.Key})
	if err != nil {
		t.Fatal(err)
	}
	defer gone.Close()
	for name, c := range map[string]struct {
		answered providertest.Reply
		calls    int
		class    session.Class
		tries    int
	}{
		"from the beginning":   {calls: 0, class: session.Misconfigured, tries: 2},
		"after a reply":        {answered: calls(call("list_trials", nil)), calls: 1, class: session.Unavailable, tries: 6},
		"after another error":  {answered: providertest.Reply{Status: 500}, calls: 1, class: session.Unavailable, tries: 5},
		"after a broken reply": {answered: providertest.Reply{Text: "words and words", CutAfter: 3}, calls: 1, class: session.Unavailable, tries: 5},
	} {
		t.Run(name, func(t *testing.T) {
			line := &moved{calls: c.calls, gone: gone}
			g := game{line: func(client model.Client) model.Client { line.Client = client; return line }}
			err := g.play(t, func(providertest.Request) providertest.Reply { return c.answered })
			failure := ends(t, err, c.class, "refused")
			if !strings.Contains(failure.Hint, nowhere) || line.tried != c.tries {
				t.Errorf("%d tries, hint %q", line.tried, failure.Hint)
			}
		})
	}
}

func TestClumsyModels(t *testing.T) {
	good := []providertest.Reply{calls(edit("5", "4")), calls(submit("lower is better"))}
	after := func(replies ...providertest.Reply) []providertest.Reply { return append(replies, good...) }
	for name, c := range map[string]struct {
		replies []providertest.Reply
		trials  int
		told    []string
	}{
		"arguments that are not JSON": {after(calls(providertest.Call{Name: "edit_file", Args: `{"path": "train.py", "old": `})), 1, []string{"not a JSON object"}},
		"arguments of another form":   {after(calls(providertest.Call{Name: "edit_file", Args: `["train.py"]`})), 1, []string{"not a JSON object"}},
		"a call cut short":            {after(providertest.Reply{Stop: "max_tokens", Calls: []providertest.Call{{Name: "edit_file", Args: `{"path": "tra`}}}), 1, []string{"cut off at 16000 tokens, in the midst"}},
		"a call cut at its beginning": {after(providertest.Reply{Stop: "max_tokens", Calls: []providertest.Call{{Name: "submit_trial"}}}), 1, []string{"cut off at 16000 tokens, in the midst"}},
		"a whole call, then cut":      {append(after(), providertest.Reply{Stop: "max_tokens", Text: "And fur"}), 1, nil},
		"only talk, cut short":        {after(providertest.Reply{Stop: "max_tokens", Text: "I think that"}), 1, []string{"cut off at 16000 tokens, before any tool call"}},
		"an unknown tool":             {after(calls(call("rm_rf", nil))), 1, []string{"There is no tool rm_rf"}},
		"an empty reply":              {[]providertest.Reply{}, 0, nil},
		"a nudge that helps":          {after(providertest.Reply{Text: "I would lower it."}), 1, []string{"Nothing happens without a tool call"}},
		"300 KB of text": {after(providertest.Reply{
			Text: strings.Repeat("blah blah ", 30_000), Calls: []providertest.Call{call("list_files", nil)}, Usage: &providertest.Usage{Input: 3000, Output: 16_000},
		}), 1, nil},
		"300 KB of arguments": {after(providertest.Reply{
			Calls: []providertest.Call{call("edit_file", map[string]any{"path": "train.py", "old": strings.Repeat("x", 300_000), "new": "y"})}, Usage: &providertest.Usage{Input: 3000, Output: 16_000},
		}), 1, nil},
		"two submits in one turn":  {[]providertest.Reply{calls(edit("5", "4"), submit("a"), edit("4", "3"), submit("b"))}, 2, nil},
		"a paused turn":            {after(providertest.Reply{Text: "Searching.", Stop: "pause_turn"}), 1, nil},
		"a refusal after a submit": {append(after(), providertest.Reply{Stop: "refusal"}), 1, nil},
	} {
		t.Run(name, func(t *testing.T) {
			g := game{}
			if err := g.play(t, steps(c.replies...)); err != nil {
				t.Fatal(err)
			}
			g.accepted(t)
			g.trials(t, c.trials)
			g.told(t, c.told...)
		})
	}
}

func TestSilentModelsEnd(t *testing.T) {
	for name, reply := range map[string]providertest.Reply{"empty": {}, "talk": {Text: "Let me think about it."}} {
		t.Run(name, func(t *testing.T) {
			g := game{}
			if err := g.play(t, func(providertest.Request) providertest.Reply { return reply }); err != nil {
				t.Fatal(err)
			}
			g.accepted(t)
			if n := len(g.server.Requests()); n != 3 {
				t.Errorf("it is asked %d times, want 3: two nudges", n)
			}
		})
	}
}

func TestEndlessLoops(t *testing.T) {
	for name, c := range map[string]struct {
		reply providertest.Reply
		turns int
	}{
		"a call that works":         {calls(call("list_files", nil)), 5},
		"a call that cannot work":   {calls(call("read_file", map[string]any{"path": "../x"})), 3},
		"two calls that cannot":     {calls(call("nothing", nil), call("nowhere", nil)), 3},
		"many the same in one turn": {calls(call("list_files", nil), call("list_files", nil), call("list_files", nil), call("list_files", nil), call("list_files", nil)), 1},
	} {
		t.Run(name, func(t *testing.T) {
			g := game{}
			ends(t, g.play(t, func(providertest.Request) providertest.Reply { return c.reply }), session.Misbehaved, "endless loop")
			if n := len(g.server.Requests()); n != c.turns {
				t.Errorf("it ends after %d turns, want %d", n, c.turns)
			}
		})
	}
}

func TestConversationTooLong(t *testing.T) {
	g := game{}
	err := g.play(t, func(r providertest.Request) providertest.Reply {
		if r.Replies < 2 {
			return calls(call("list_files", nil))
		}
		return providertest.Reply{Status: 400, Message: "prompt is too long: 210000 tokens > 200000 maximum"}
	})
	ends(t, err, session.Misbehaved, "too long")
}

func TestCapsEndASession(t *testing.T) {
	busy := func(r providertest.Request) providertest.Reply {
		return calls(call("list_trials", map[string]any{"text": fmt.Sprint(r.Replies)}))
	}
	t.Run("turns", func(t *testing.T) {
		g := game{caps: research.Caps{Turns: 4}}
		if err := g.play(t, busy); !errors.Is(err, session.ErrCapped) {
			t.Fatalf("it ends with %v", err)
		}
		g.accepted(t)
		r := g.server.Requests()
		if len(r) != 4 || len(r[1].Told) != 0 || len(r[2].Told) != 1 || !strings.Contains(r[3].Told[0], "last reply") {
			t.Errorf("%d requests; the last is told %q", len(r), r[len(r)-1].Told)
		}
		g.told(t, "two replies left")
	})
	t.Run("tokens", func(t *testing.T) {
		g := game{caps: research.Caps{Tokens: 30_000}}
		if err := g.play(t, busy); !errors.Is(err, session.ErrCapped) {
			t.Fatalf("it ends with %v", err)
		}
		var used int64
		_, settled := g.run.ModelCalls()
		for _, a := range settled {
			used += a.Charge.Tokens
		}
		if len(settled) == 0 || used > 30_000 {
			t.Errorf("%d calls used %d tokens", len(settled), used)
		}
	})
	for name, c := range map[string]struct {
		caps       research.Caps
		word, hint string
	}{
		"no token for a first call":  {research.Caps{Tokens: 1_000}, "1000 tokens", "session: {tokens: …}"},
		"no dollar for a first call": {research.Caps{USD: 0.01}, "$0.01", "--session-usd"},
	} {
		t.Run(name, func(t *testing.T) {
			g := game{caps: c.caps}
			failure := ends(t, g.play(t, busy), session.Misconfigured, "first call", c.word)
			if !strings.Contains(failure.Hint, c.hint) || len(g.server.Requests()) != 0 {
				t.Errorf("%d requests, hint %q", len(g.server.Requests()), failure.Hint)
			}
		})
	}
	t.Run("tool calls", func(t *testing.T) {
		g := game{caps: research.Caps{Calls: 3}}
		if err := g.play(t, busy); !errors.Is(err, session.ErrSpent) {
			t.Fatalf("it ends with %v", err)
		}
	})
	t.Run("the run's budget", func(t *testing.T) {
		g := game{budget: research.Charge{USD: 0.01}}
		if err := g.play(t, busy); !errors.Is(err, session.ErrNoBudget) {
			t.Fatalf("it ends with %v", err)
		}
		if n := len(g.server.Requests()); n != 0 {
			t.Errorf("%d requests were made without a budget", n)
		}
	})
	t.Run("time", func(t *testing.T) {
		g := game{caps: research.Caps{Time: research.Duration(100 * time.Millisecond)}}
		err := g.play(t, func(providertest.Request) providertest.Reply { return providertest.Reply{NeverBegin: true} })
		if !errors.Is(err, session.ErrCapped) {
			t.Fatalf("it ends with %v", err)
		}
		if _, settled := g.run.ModelCalls(); len(settled) != 1 || !settled[0].Estimated {
			t.Errorf("the call that was cut off is settled as %+v", settled)
		}
	})
}

func TestAStopEndsASession(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	g := game{ctx: ctx}
	err := g.play(t, func(providertest.Request) providertest.Reply {
		cancel()
		return providertest.Reply{NeverBegin: true}
	})
	if !errors.Is(err, context.Canceled) || errors.Is(err, session.ErrCapped) {
		t.Errorf("it ends with %v", err)
	}
}

func TestAStopDuringARetry(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	g := game{ctx: ctx, options: model.Options{Sleep: func(ctx context.Context, _ time.Duration) error {
		cancel()
		return ctx.Err()
	}}}
	err := g.play(t, func(providertest.Request) providertest.Reply { return providertest.Reply{Status: 500} })
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("it ends with %v", err)
	}
	if _, settled := g.run.ModelCalls(); len(settled) != 1 || (settled[0].Charge != research.Charge{}) {
		t.Errorf("a call that was never answered is settled as %+v", settled)
	}
}

// patient has a verdict when it is asked for the second time.
type patient struct {
	*sessiontest.Run
	asked *int
}

func (p patient) Await(ctx context.Context, id research.TrialID) (research.Trial, error) {
	if *p.asked++; *p.asked == 1 {
		<-ctx.Done()
		return research.Trial{}, ctx.Err()
	}
	return p.Run.Await(ctx, id)
}

func TestSubmitWaitsForTheVerdict(t *testing.T) {
	asked := 0
	g := game{await: time.Millisecond, desk: func(r *sessiontest.Run) session.Desk { return patient{r, &asked} }}
	if err := g.play(t, steps(calls(edit("5", "4"), submit("h")), calls(submit("h")))); err != nil {
		t.Fatal(err)
	}
	g.accepted(t)
	requests := g.server.Requests()
	if r := requests[1].Results; len(r) != 2 || r[1].IsError || !strings.Contains(r[1].Text, "Trial 001: keep") || strings.Contains(r[1].Text, "await_trial") {
		t.Errorf("the model reads %+v", r)
	}
	if r := requests[2].Results; len(r) != 1 || !strings.Contains(r[0].Text, "submitted before as trial 001; nothing new is spent.\nTrial 001: keep") {
		t.Errorf("a repeated submit is answered %+v", r)
	}
	g.trials(t, 1)
}

func TestSessionsAtOnce(t *testing.T) {
	var games [8]game
	var all sync.WaitGroup
	for i := range games {
		all.Go(func() {
			g := &games[i]
			if err := g.play(t, steps(calls(call("list_files", nil)), calls(edit("5", "4"), submit("h")))); err != nil {
				t.Error(err)
				return
			}
			g.trials(t, 1)
		})
	}
	all.Wait()
}
