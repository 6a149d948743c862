package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mendel/internal/lineage"
	"mendel/internal/propose/provider/providertest"
	"mendel/internal/propose/session"
	"mendel/internal/research"
)

// apis are the protocols as users name them. Keys are found in the environment as the providers'
// documentation says; a server of one's own needs none.
var apis = []struct {
	name     string
	protocol func() providertest.Protocol
	proposer string
	path     string // that the base URL ends with
	env      string
}{
	{"anthropic", func() providertest.Protocol { return providertest.Anthropic }, "anthropic:claude-sonnet-4-5", "", "ANTHROPIC_API_KEY"},
	{"openai", func() providertest.Protocol { return providertest.OpenAI(providertest.Quirks{}) }, "openai:gpt-5", "/v1", "OPENAI_API_KEY"},
	{"gemini", providertest.Gemini, "gemini:gemini-2.5-pro", "/v1", "GEMINI_API_KEY"},
	{"a server of one's own", func() providertest.Protocol {
		return providertest.OpenAI(providertest.Quirks{NoIndex: true, NoID: true, NoDone: true})
	}, "openai:qwen3-coder", "/v1", ""},
}

func TestAModelPlaysARun(t *testing.T) {
	for _, api := range apis {
		t.Run(api.name, func(t *testing.T) {
			t.Parallel()
			server := serves(t, providertest.Options{Protocol: api.protocol(), Play: careful(rate()), Keyless: api.env == ""})
			var env []string
			if api.env != "" {
				env = []string{api.env + "=" + providertest.Key}
			}
			l := newStage(t, env...)
			l.prices(api.proposer)
			l.start("quick", "--state", "run", "--roles", "fit", "--trials", "2", "--prices", "prices.yaml",
				"--proposer", api.proposer, "--base-url", server.URL+api.path)
			if code := l.ended(); code != exitOK {
				t.Fatalf("exit code %d\n%s", code, l.output)
			}
			if refused := server.Refused(); len(refused) > 0 {
				t.Errorf("the provider refused: %s", strings.Join(refused, "; "))
			}
			l.intact(2)
			l.showsAModelsWork(t, api.proposer)
			l.keepsSecret(providertest.Key)
		})
	}
}

// prices writes prices.yaml: $1 for a million tokens of input, $10 for a million of output.
func (l *liveRun) prices(proposers ...string) {
	text := "models:\n"
	for _, p := range proposers {
		text += "  " + p + ": {input: 1, output: 10}\n"
	}
	l.write("prices.yaml", text)
}

// showsAModelsWork looks at a run of two careful sessions as a user does.
func (l *liveRun) showsAModelsWork(t *testing.T, proposer string) {
	t.Helper()
	sessions := l.sessions()
	if len(sessions) != 2 {
		t.Fatalf("%d sessions, want 2: %+v", len(sessions), sessions)
	}
	for _, s := range sessions {
		if s.Ending != "submitted" || s.Proposer != proposer || s.Turns < 5 || len(s.Trials) != 1 || s.Usage.Output == 0 {
			t.Errorf("session %+v", s)
		}
	}
	list := l.mendel("session", "list", "--state", "run")
	shown := l.mendel("session", "show", "1", "--state", "run")
	for text, words := range map[string][]string{
		list:                      {proposer, "submitted", "fit"},
		shown:                     {"I look around.", "SyntaxError", "submit_trial", "001", "The verdict is read"},
		l.mendel("status", "run"): {"tokens", "of the input came from the provider's cache", "$0.0"},
		l.mendel("session", "show", "2", "--prompt", "--state", "run"): {"001", "LEARNING_RATE"},
	} {
		for _, word := range words {
			if !strings.Contains(text, word) {
				t.Errorf("%q is not in\n%s", word, text)
			}
		}
	}
	said := map[session.EntryKind]int{}
	for line := range strings.Lines(l.mendel("session", "show", "1", "--json", "--state", "run")) {
		var e session.Entry
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("the transcript holds %q: %v", line, err)
		}
		said[e.Kind]++
	}
	if said[session.Thought] == 0 || said[session.Said] < 2 || said[session.ToolCall] < 7 || said[session.ToolCall] != said[session.ToolAnswer] {
		t.Errorf("the transcript holds %v", said)
	}
	l.read(func(r *lineage.Reader) {
		rows, err := r.Ledger()
		if err != nil || len(rows) != 1 || rows[0].Role != "fit" || rows[0].Model != proposer || rows[0].Sessions != 2 || rows[0].Calls < 10 {
			t.Errorf("the ledger is %+v, %v", rows, err)
		}
	})
	var status struct {
		Spend research.Spend `json:"spend"`
	}
	if err := json.Unmarshal([]byte(l.mendel("status", "run", "--json")), &status); err != nil || status.Spend.ModelCalls < 10 {
		t.Errorf("status --json counts %d model calls, %v", status.Spend.ModelCalls, err)
	}
	for format, word := range map[string]string{"tsv": "LEARNING_RATE", "jsonl": `"proposer":"`} {
		if text := l.mendel("export", "run", "--format", format); !strings.Contains(text, word) {
			t.Errorf("the %s export does not hold %s:\n%.2000s", format, word, text)
		}
	}
	l.mendel("export", "run", "--format", "git", "-o", filepath.Join(l.dir, "run.git"))
}

// TestAModelPlaysARealTask does the same on a shipped task, where trials train a network.
func TestAModelPlaysARealTask(t *testing.T) {
	if os.Getenv("MENDEL_E2E") == "" {
		t.Skip("set MENDEL_E2E to train networks: it takes minutes")
	}
	airbench, err := filepath.Abs("../../tasks/airbench-cpu")
	if err != nil {
		t.Fatal(err)
	}
	for _, api := range apis[:3] {
		t.Run(api.name, func(t *testing.T) {
			server := plays(t, api.protocol(), careful(rate()))
			l := newStage(t, api.env+"="+providertest.Key)
			out, err := l.try("run", airbench, "--state", "run", "--roles", "opt", "--trials", "2", "--proposer", api.proposer, "--base-url", server.URL+api.path)
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if refused := server.Refused(); len(refused) > 0 {
				t.Errorf("the provider refused: %s", strings.Join(refused, "; "))
			}
			l.intact(2)
			l.keepsSecret(providertest.Key)
		})
	}
}
