package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mendel/internal/measure/bundle"
	"mendel/internal/propose/provider/providertest"
)

// An ugliness is a way for a provider or a model to misbehave, beside one that does well.
type ugliness struct {
	play    func() providertest.Script
	endings []string // one of which the ugly role's first session has; empty: as a good one's
	says    []string // in the record of the session
	trials  bool     // the ugly role submits in the end
	config  string   // of the run, beside the roles
	slow    bool     // waits as the provider asks: seconds
}

// first plays these replies, and then the script.
func first(then providertest.Script, ugly ...providertest.Reply) func() providertest.Script {
	return func() providertest.Script {
		var n atomic.Int64
		return func(r providertest.Request) providertest.Reply {
			if i := int(n.Add(1)); i <= len(ugly) {
				return ugly[i-1]
			}
			return then(r)
		}
	}
}

func always(r providertest.Reply) func() providertest.Script {
	return func() providertest.Script { return func(providertest.Request) providertest.Reply { return r } }
}

var echoed = "Incorrect API key provided: " + providertest.Key[:10] + "****" + providertest.Key[24:] + ", Authorization: Bearer " + providertest.Key

var uglinesses = map[string]ugliness{
	"401 that echoes the key": {
		play: always(providertest.Reply{Status: 401, Message: echoed}), endings: []string{"error"}, says: []string{"401", "[key]"},
	},
	"429 with Retry-After": {
		play:   first(brisk(offset()), providertest.Reply{Status: 429, Header: map[string]string{"Retry-After": "1"}, Message: "slow down " + providertest.Key}),
		trials: true, says: []string{"429", "try 2 of 6"},
	},
	"429 for an hour": {
		play:    always(providertest.Reply{Status: 429, Header: map[string]string{"Retry-After": "3600"}}),
		endings: []string{"error"}, says: []string{"429"},
	},
	"529": {
		play: first(brisk(offset()), providertest.Reply{Status: 529}), trials: true, says: []string{"529", "try 2 of 6"},
	},
	"500 storm": {
		play: always(providertest.Reply{Status: 500, Message: "boom " + providertest.Key}), slow: true,
		endings: []string{"error", "capped", "stopped"}, says: []string{"500", "try 2 of 6"},
	},
	"cut stream": {
		play: first(brisk(offset()), providertest.Reply{Text: strings.Repeat("well ", 100), CutAfter: 4}), trials: true, says: []string{"try 2 of 6"},
	},
	"silence": {
		play: always(providertest.Reply{NeverBegin: true}), config: "session: {minutes: 0.04}\n",
		endings: []string{"capped"}, says: []string{"its time is used"},
	},
	"silence in the midst": {
		play: always(providertest.Reply{Text: "Well, " + strings.Repeat("let me think. ", 20), SilentAfter: 4}), config: "session: {minutes: 0.04}\n",
		endings: []string{"capped"}, says: []string{"its time is used"},
	},
	"arguments that are no JSON": {
		play: steady(calls(providertest.Call{Name: "edit_file", Args: `{"path": "features.py", "old": `})), trials: true, says: []string{"not a JSON object"},
	},
	"unknown tool": {
		play: steady(calls(call("format_disk", nil))), trials: true, says: []string{"There is no tool format_disk"},
	},
	"two submits in one turn": {
		play: func() providertest.Script {
			return func(r providertest.Request) providertest.Reply {
				now, _ := offset().value(r)
				switch d := offset(); r.Replies {
				case 0:
					return calls(look(d.path))
				case 1:
					return calls(d.edit(now, "1.25"), d.submit("1.25"), d.edit("1.25", "1.5"), d.submit("1.5"))
				}
				return providertest.Reply{Text: "done"}
			}
		}, trials: true, says: []string{"1.25", "1.5"},
	},
	"endless tool loop": {
		play: always(calls(call("list_files", nil))), endings: []string{"misbehaved"}, says: []string{"endless loop"},
	},
	"refusal": {
		play: always(providertest.Reply{Text: "I cannot help with that.", Stop: "refusal"}), endings: []string{"misbehaved"}, says: []string{"refused"},
	},
	"empty reply": {
		play: always(providertest.Reply{}), endings: []string{"no_submit"}, says: []string{"Nothing happens without a tool call"},
	},
	"300 KB reply": {
		play: steady(providertest.Reply{
			Text: strings.Repeat("blah blah ", 30_000), Calls: []providertest.Call{call("list_files", nil)}, Usage: &providertest.Usage{Input: 3000, Output: 16_000},
		}), trials: true, says: []string{"blah blah"},
	},
}

// steady begins each session with a reply and goes on as brisk does.
func steady(begin providertest.Reply) func() providertest.Script {
	return func() providertest.Script {
		d := offset()
		then := brisk(d)
		return func(r providertest.Request) providertest.Reply {
			if r.Replies == 0 {
				return begin
			}
			r.Replies--
			return then(r)
		}
	}
}

func TestUglyProvidersBesideAGoodOne(t *testing.T) {
	const trials = 3
	for name, u := range uglinesses {
		t.Run(name, func(t *testing.T) {
			if u.slow && os.Getenv("MENDEL_E2E") == "" {
				t.Skip("set MENDEL_E2E: it waits as long as a provider asks")
			}
			t.Parallel()
			good := plays(t, providertest.OpenAI(providertest.Quirks{}), brisk(rate()))
			ugly := plays(t, providertest.Anthropic, u.play())
			l := newStage(t, "ANTHROPIC_API_KEY="+providertest.Key, "OPENAI_API_KEY="+providertest.Key)
			l.write("run.yaml", fmt.Sprintf(`roles:
  fit: {proposer: "openai:gpt-5", base_url: %s/v1}
  features: {proposer: "anthropic:claude-sonnet-4-5", base_url: %s}
%s`, good.URL, ugly.URL, u.config))
			l.start("quick", "--state", "run", "--trials", fmt.Sprint(trials), "--config", "run.yaml")
			if code := l.ended(); code != exitOK {
				t.Fatalf("exit code %d\n%s", code, l.output)
			}
			if refused := append(good.Refused(), ugly.Refused()...); len(refused) > 0 {
				t.Errorf("refused: %s", strings.Join(refused, "; "))
			}
			l.intact(trials)
			var byUgly, byGood int
			for _, trial := range l.trials() {
				if trial.Proposal.Role == "features" {
					byUgly++
				} else {
					byGood++
				}
			}
			if byGood == 0 || (byUgly > 0) != u.trials {
				t.Errorf("%d trials of the good role, %d of the ugly one\n%s", byGood, byUgly, l.output)
			}
			l.tellsOf(t, u)
			l.keepsSecret(providertest.Key)
		})
	}
}

// tellsOf wants the first session of the ugly role recorded as it was.
func (l *liveRun) tellsOf(t *testing.T, u ugliness) {
	t.Helper()
	for _, s := range l.sessions() {
		if s.Role != "features" {
			continue
		}
		endings := u.endings
		if u.trials {
			endings = []string{"submitted"}
		}
		if !slices.Contains(endings, s.Ending) {
			t.Errorf("its session ended as %q (%s), want one of %v", s.Ending, s.Error, endings)
		}
		shown := l.mendel("session", "show", fmt.Sprint(s.ID), "--state", "run")
		for _, word := range u.says {
			if !strings.Contains(shown, word) {
				t.Errorf("its record does not say %q:\n%s", word, shown)
			}
		}
		return
	}
	t.Error("the ugly role had no session")
}

func TestTheOnlyProviderIsMisconfigured(t *testing.T) {
	t.Parallel()
	var mended atomic.Bool
	good := brisk(rate())
	server := plays(t, providertest.Anthropic, func(r providertest.Request) providertest.Reply {
		if mended.Load() {
			return good(r)
		}
		return providertest.Reply{Status: 401, Message: echoed}
	})
	l := newStage(t, "ANTHROPIC_API_KEY="+providertest.Key)
	l.start("quick", "--state", "run", "--trials", "4", "--proposer", "anthropic:claude-sonnet-4-5", "--base-url", server.URL)
	if code := l.ended(); code != exitFailed {
		t.Errorf("exit code %d, want %d", code, exitFailed)
	}
	for _, word := range []string{"401", "hint:", "ANTHROPIC_API_KEY"} {
		if !strings.Contains(l.output.String(), word) {
			t.Errorf("the output does not say %q:\n%s", word, l.output)
		}
	}
	l.intact(0)
	l.keepsSecret(providertest.Key)

	mended.Store(true)
	l.mendel("run", "--resume", "run", "--trials", "1")
	l.intact(1)
}

// TestChildrenHaveNoKey looks at the processes that a supervisor starts.
func TestChildrenHaveNoKey(t *testing.T) {
	t.Parallel()
	server := plays(t, providertest.Anthropic, brisk(rate()))
	l := newStage(t, "ANTHROPIC_API_KEY="+providertest.Key, "MY_KEY="+providertest.Key, "OPENAI_API_KEY="+providertest.Key)
	l.rewrite("quick/recipe/train.py", "    weights = train(read(", "    import time; time.sleep(2)\n    weights = train(read(")
	l.write("run.yaml", "proposer: anthropic:claude-sonnet-4-5\nkey_env: MY_KEY\nbase_url: "+server.URL+"\n")
	l.start("quick", "--state", "run", "--roles", "fit", "--trials", "1", "--config", "run.yaml")
	b, err := bundle.Open(l.training(1))
	if err != nil {
		t.Fatal(err)
	}
	runner, err := b.Runner()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for deadline := time.Now().Add(20 * time.Second); len(seen) < 3 && time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		for _, pid := range append(descendants(t, runner.PID), runner.PID) {
			env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
			if err != nil || len(env) == 0 {
				continue // it has ended, or does not stand yet
			}
			seen[pid] = true
			if strings.Contains(string(env), providertest.Key[:12]) {
				t.Errorf("process %d has the key in its environment", pid)
			}
		}
	}
	if len(seen) < 2 {
		t.Errorf("only %d processes were looked at", len(seen))
	}
	if code := l.ended(); code != exitOK {
		t.Fatalf("exit code %d\n%s", code, l.output)
	}
	l.keepsSecret(providertest.Key)
}

// descendants are the processes below one.
func descendants(t *testing.T, pid int) (list []int) {
	t.Helper()
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, file := range tasks {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		for _, word := range strings.Fields(string(text)) {
			var child int
			if _, err := fmt.Sscan(word, &child); err == nil {
				list = append(append(list, child), descendants(t, child)...)
			}
		}
	}
	return list
}
