package terminal

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"mendel/internal/lineage"
	"mendel/internal/lineage/lineagetest"
	"mendel/internal/research"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// withModels adds what a run of two models has spent.
func withModels(o Overview) Overview {
	o.Budgets.USD, o.Budgets.Tokens = 10, 5_000_000
	o.Ledger = []research.LedgerRow{
		{Role: "arch", Model: "anthropic:claude-sonnet-4-5", Sessions: 9, Calls: 111, Failed: 2, Charge: research.Charge{Tokens: 1_234_567, USD: 3.14159},
			Usage: research.Usage{Input: 120_000, CacheRead: 1_000_000, CacheWrite: 34_567, Output: 80_000, Thinking: 41_000}},
		{Role: "opt", Model: "openai:qwen3-coder", Sessions: 3, Calls: 12, Unpriced: 12, Charge: research.Charge{Tokens: 60_000},
			Usage: research.Usage{Input: 50_000, Output: 10_000}},
	}
	o.Spend.Usage = o.Ledger[0].Usage.Plus(o.Ledger[1].Usage)
	o.Spend.Charge = research.Charge{Tokens: 1_294_567, USD: 3.14159}
	o.Spend.Reserved = research.Charge{Tokens: 42_000, USD: 0.35}
	o.Spend.ModelCalls, o.Spend.Unpriced = 123, 12
	o.Live.Agents[1].Problem = "the key in OPENAI_API_KEY was refused (401)"
	return o
}

// aTranscript has an entry of each kind, as package session writes them.
func aTranscript(t *testing.T) []byte {
	t.Helper()
	var lines []string
	for _, e := range []map[string]any{
		{"at": noon, "kind": "thought", "turn": 1, "text": "The near miss at 060 was 0.00044 short. Perhaps a gentler schedule keeps the accuracy."},
		{"at": noon, "kind": "said", "turn": 1, "text": "I will look at the schedule first.\n\nThen I edit it."},
		{"at": noon, "kind": "noted", "turn": 1, "text": "reply: tool_use", "usage": research.Usage{Input: 1200, CacheRead: 11_000, CacheWrite: 300, Output: 700, Thinking: 450}, "usd": 0.0183},
		{"at": noon, "kind": "tool_call", "name": "read_file", "args": map[string]any{"path": "train.py", "lines": 40}},
		{"at": noon, "kind": "tool_answer", "name": "read_file", "text": strings.Repeat("\tlr = schedule(step)  # a line of the recipe\n", 40)},
		{"at": noon, "kind": "tool_call", "name": "edit_file", "args": map[string]any{"path": "train.py", "old": "a\nb\nc", "new": "a\nB\nc"}},
		{"at": noon, "kind": "tool_answer", "name": "edit_file", "text": "old does not match train.py. Read it again.", "error": true},
		{"at": noon, "kind": "noted", "turn": 2, "text": "overloaded (529): tried again after 2s"},
		{"at": noon, "kind": "noted", "turn": 2, "text": "reply: end", "usage": research.Usage{Input: 1500, CacheRead: 11_300, Output: 90}, "usd": 0.0071},
		{"at": noon, "kind": "told", "turn": 2, "text": "You have not submitted. Call submit_trial, or end."},
		{"at": noon, "kind": "output", "name": "stderr", "text": "agent: exit 0"},
	} {
		lines = append(lines, string(must(json.Marshal(e))))
	}
	return []byte(strings.Join(lines, "\n") + "\n{cut off")
}

func aSession() lineage.Session {
	return lineage.Session{SessionRow: research.SessionRow{
		ID: 12, Agent: "arch", Role: "arch", Proposer: "anthropic:claude-sonnet-4-5", OpenedAt: noon, ClosedAt: noon.Add(192 * time.Second),
		Ending: "capped", Error: "the session's cap is reached: 2 model calls", Calls: 2, Turns: 2, Trials: []research.TrialID{31, 32},
		Usage:  research.Usage{Input: 2700, CacheRead: 22_300, CacheWrite: 300, Output: 790, Thinking: 450},
		Charge: research.Charge{Tokens: 26_090, USD: 0.0254},
	}}
}

func TestGoldenSessions(t *testing.T) {
	plain := Style{Width: 100}
	stamp := strings.NewReplacer(noon.Local().Format(time.DateTime), "<when>             ")
	var shown, list bytes.Buffer
	WriteSession(&shown, aSession(), aTranscript(t), plain)
	golden(t, "session", strings.ReplaceAll(stamp.Replace(shown.String()), ">             ,", ">,"))
	open := lineage.Session{SessionRow: research.SessionRow{ID: 13, Agent: "opt", Role: "opt", Proposer: "mutate", OpenedAt: noon, Calls: 3}}
	WriteSessions(&list, []lineage.Session{open, aSession()}, plain)
	golden(t, "sessions", stamp.Replace(list.String()))
	for _, line := range strings.Split(shown.String(), "\n") {
		if n := utf8.RuneCountInString(line); n > plain.Width {
			t.Errorf("%d columns on a terminal of %d: %q", n, plain.Width, line)
		}
	}
}

func TestTranscriptsThatAreNotThere(t *testing.T) {
	var out bytes.Buffer
	closed, open := aSession(), aSession()
	open.ClosedAt, open.Ending = time.Time{}, ""
	WriteSession(&out, closed, nil, Style{})
	WriteSession(&out, open, nil, Style{})
	WriteSessions(&out, nil, Style{})
	for _, want := range []string{"left no transcript", "stored when the session ends", "no session was opened"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("nothing says %q:\n%s", want, out.String())
		}
	}
}

// TestLongTextsAreCut whatever their shape, and never inside a character.
func TestLongTextsAreCut(t *testing.T) {
	for name, text := range map[string]string{
		"one line": strings.Repeat("x", 300_000), "many lines": strings.Repeat("line\n", 100_000), "characters": strings.Repeat("ü", 5000),
	} {
		var out bytes.Buffer
		WriteTranscript(&out, must(json.Marshal(entry{Kind: "tool_answer", Text: text})), Style{Width: 80})
		if out.Len() > 2*maxAnswerBytes || !strings.Contains(out.String(), "more characters; --json has all]") || !utf8.Valid(out.Bytes()) {
			t.Errorf("%s: %d bytes are shown:\n%s", name, out.Len(), out.String())
		}
	}
}

func TestDollars(t *testing.T) {
	for v, want := range map[float64]string{
		0: "$0", 0.00001: "<$0.0001", 0.01234: "$0.0123", 0.99999: "$1.00", 1: "$1.00", 1.999: "$2.00", 12345.678: "$12,345.68",
	} {
		if got := dollars(v); got != want {
			t.Errorf("%v is shown as %s, want %s", v, got, want)
		}
	}
}

// TestFollowNamesEndings: a session that ended without a trial is shown with its reason.
func TestFollowNamesEndings(t *testing.T) {
	author, store, err := lineagetest.New(t.TempDir(), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	write := lineagetest.Live(store)
	if err := author.Start(store); err != nil {
		t.Fatal(err)
	}
	for _, c := range []research.SessionClosed{{Ending: "misbehaved", Error: "it refused\x1b[2J"}, {Ending: endingSubmitted}, {Ending: "no_submit"}} {
		opened, prompt := author.Opened()
		c.Session = opened.Session
		if err := write(opened, prompt); err != nil {
			t.Fatal(err)
		}
		if err := write(c); err != nil {
			t.Fatal(err)
		}
	}
	r := must(lineage.OpenReader(filepath.Dir(store.Path())))
	defer r.Close()
	done := make(chan struct{})
	close(done)
	var out bytes.Buffer
	if err := Follow(t.Context(), r, &out, 0, done, Style{Width: 100}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"session 1 (opt): misbehaved: it refused[2J\n", "session 3 (loss): no_submit\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("nothing says %q:\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "session 2") {
		t.Errorf("a session that submitted is told by its trial:\n%s", out.String())
	}
}

// FuzzTranscript: whatever a transcript holds, what is shown is text alone.
func FuzzTranscript(f *testing.F) {
	f.Add([]byte(`{"kind":"said","turn":1,"text":"\u001b[2J\u202e"}`), 80)
	f.Add([]byte(`{"kind":"tool_call","name":"x","args":{"a\u0007":"b\nc"}}`), 0)
	f.Add([]byte("\x9b2J\n{\"kind\":\"output\",\"name\":\"\\u2066\"}"), -5)
	f.Fuzz(func(t *testing.T, transcript []byte, width int) {
		var out bytes.Buffer
		WriteTranscript(&out, transcript, Style{Width: width})
		for _, r := range out.String() {
			if r != '\n' && unicode.In(r, unicode.Cc, unicode.Bidi_Control) {
				t.Fatalf("%U reaches the terminal: %q", r, out.String())
			}
		}
		if !utf8.Valid(out.Bytes()) {
			t.Fatalf("not UTF-8: %q", out.String())
		}
	})
}
