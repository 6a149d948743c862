package main

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mendel/internal/lineage"
	"mendel/internal/propose/provider/providertest"
	"mendel/internal/research"
)

const (
	sonnet = "anthropic:claude-sonnet-4-5"
	anKey  = "ANTHROPIC_API_KEY=" + providertest.Key
)

func TestBudgetsOfModels(t *testing.T) {
	for name, x := range map[string]struct {
		flags  []string
		ending string // of the run
		capped bool   // the sessions end, the run goes on
		usd    float64
		tokens int64
	}{
		"dollars of the run":     {[]string{"--usd", "0.2"}, "ended: the budget of $0.2 is used", false, 0.2, 0},
		"tokens of the run":      {[]string{"--tokens", "50000"}, "ended: the budget of 50000 tokens is used", false, 0, 50_000},
		"dollars of one session": {[]string{"--session-usd", "0.17"}, "", true, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := plays(t, providertest.Anthropic, careful(rate()))
			l := newStage(t, anKey)
			l.prices(sonnet)
			l.start(append([]string{"quick", "--state", "run", "--roles", "fit", "--prices", "prices.yaml", "--proposer", sonnet, "--base-url", server.URL}, x.flags...)...)
			if x.capped { // the run would go on for ever
				l.until("a capped session", l.sessionEnded("capped"))
				l.mendel("stop", "run")
			}
			if code := l.ended(); code != exitOK {
				t.Fatalf("exit code %d\n%s", code, l.output)
			}
			spend := l.spend()
			if x.usd > 0 && spend.Charge.USD > x.usd || x.tokens > 0 && spend.Charge.Tokens > x.tokens {
				t.Errorf("spent %+v, more than the budget", spend.Charge)
			}
			if spend.ModelCalls == 0 || spend.Reserved != (research.Charge{}) || spend.ModelCalls != len(server.Requests()) {
				t.Errorf("%d calls were made, spent %+v", len(server.Requests()), spend)
			}
			l.neverAbove(t, x.usd, x.tokens)
			if !x.capped && !strings.Contains(l.output.String(), x.ending) {
				t.Errorf("the run does not say %q:\n%s", x.ending, l.output)
			}
			for _, s := range l.sessions() {
				if x.capped && (s.Charge.USD > 0.17 || s.Ending != "capped" && s.Ending != "stopped" || s.Ending == "capped" && s.Turns == 0) {
					t.Errorf("session %+v", s)
				}
			}
			l.mendel("verify", "run")
		})
	}
}

// sessionEnded says whether a session of the run has ended so.
func (l *liveRun) sessionEnded(ending string) func() bool {
	return func() bool {
		r, err := lineage.OpenReader(filepath.Join(l.dir, "run"))
		if err != nil {
			return false // not there yet
		}
		defer r.Close()
		sessions, err := r.Sessions(0, 1000)
		return err == nil && slices.ContainsFunc(sessions, func(s lineage.Session) bool { return s.Ending == ending })
	}
}

// neverAbove adds up the ledger event by event: what is spent and set aside stays within the
// budgets at every moment.
func (l *liveRun) neverAbove(t *testing.T, usd float64, tokens int64) {
	t.Helper()
	l.read(func(r *lineage.Reader) {
		events, err := r.Events(t.Context(), 0, 10_000)
		if err != nil {
			t.Fatal(err)
		}
		type id struct {
			session research.SessionID
			call    int
		}
		open := map[id]research.Charge{}
		var sum research.Charge
		for _, e := range events {
			switch f := e.Fact.(type) {
			case research.ModelAsked:
				open[id{f.Session, f.Call}] = f.Worst
				sum.USD, sum.Tokens = sum.USD+f.Worst.USD, sum.Tokens+f.Worst.Tokens
			case research.ModelAnswered:
				worst := open[id{f.Session, f.Call}]
				sum.USD, sum.Tokens = sum.USD+f.Charge.USD-worst.USD, sum.Tokens+f.Charge.Tokens-worst.Tokens
			}
			if usd > 0 && sum.USD > usd+1e-9 || tokens > 0 && sum.Tokens > tokens {
				t.Fatalf("after event %d %+v is spent or set aside", e.Seq, sum)
			}
		}
	})
}

func TestUnknownPriceAndADollarCap(t *testing.T) {
	t.Parallel()
	server := plays(t, providertest.Anthropic, brisk(rate()))
	l := newStage(t, anKey)
	for _, flag := range []string{"--usd", "--session-usd"} {
		out, err := l.try("run", "quick", "--state", "run", flag, "1", "--proposer", sonnet, "--base-url", server.URL)
		if err == nil || !strings.Contains(out, "price is not known") || !strings.Contains(out, "--prices") || !strings.Contains(out, "hint:") {
			t.Errorf("%s with an unknown price: %v\n%s", flag, err, out)
		}
	}
	if n := len(server.Requests()); n != 0 {
		t.Errorf("%d calls were made", n)
	}
	if _, err := lineage.OpenReader(l.dir + "/run"); err == nil {
		t.Error("a run was registered all the same")
	}
}

func TestKilledDuringAModelCall(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{}, 100)
	script := brisk(rate())
	stuck := providertest.Reply{Text: strings.Repeat("let me think ", 20), SilentAfter: 4}
	killed := make(chan struct{})
	server := plays(t, providertest.Anthropic, func(r providertest.Request) providertest.Reply {
		select {
		case <-killed:
		default:
			if r.Replies == 2 { // the first session has submitted, and reads the verdict
				asked <- struct{}{}
				return stuck
			}
		}
		return script(r)
	})
	l := newStage(t, anKey)
	l.prices(sonnet)
	l.start("quick", "--state", "run", "--roles", "fit", "--trials", "3", "--usd", "5", "--prices", "prices.yaml", "--proposer", sonnet, "--base-url", server.URL)
	select {
	case <-asked:
	case <-time.After(time.Minute):
		t.Fatalf("the model was not asked\n%s", l.output)
	}
	before := l.spend()
	if before.Reserved.USD == 0 {
		t.Errorf("nothing is set aside for the call: %+v", before)
	}
	l.cmd.Process.Kill()
	l.ended()
	close(killed)
	l.mendel("run", "--resume", "run")
	l.intact(3)
	after := l.spend()
	if after.Reserved != (research.Charge{}) || after.Charge.USD < before.Charge.USD+before.Reserved.USD {
		t.Errorf("before %+v, after %+v: the call that was cut off must be charged", before, after)
	}
	first := l.sessions()[0]
	if first.Ending != "lost" && first.Ending != "submitted" || len(first.Trials) != 1 {
		t.Errorf("the killed session is %+v", first)
	}
	shown := l.mendel("session", "show", "1", "--state", "run")
	for _, word := range []string{"read_file", "LEARNING_RATE", "submit_trial"} {
		if !strings.Contains(shown, word) {
			t.Errorf("the transcript of the killed session does not say %q:\n%s", word, shown)
		}
	}
	l.read(func(r *lineage.Reader) {
		if open, err := r.OpenCalls(); err != nil || len(open) > 0 {
			t.Errorf("calls are open: %+v %v", open, err)
		}
	})
	l.keepsSecret(providertest.Key)
}
