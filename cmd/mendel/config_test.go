package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"mendel/internal/research"
)

// toyTask has three roles; mutate can turn something in two of them.
func toyTask() *taskPackage {
	t := &taskPackage{Name: "toy"}
	for _, id := range []string{"arch", "opt", "reg"} {
		t.Roles = append(t.Roles, research.Role{ID: id})
	}
	t.Knobs = []research.Knob{{Name: "lr", Role: "opt"}, {Name: "dropout", Role: "reg"}}
	return t
}

// configured does what `mendel run` does with these arguments and, unless it is empty, this file.
func configured(t *testing.T, yaml string, args ...string) (runConfig, error) {
	t.Helper()
	if yaml != "" {
		file := filepath.Join(t.TempDir(), "run.yaml")
		if err := os.WriteFile(file, []byte(yaml), 0o644); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--config", file)
	}
	var f runFlags
	var c cobra.Command
	f.bind(&c)
	if err := c.ParseFlags(args); err != nil {
		t.Fatal(err)
	}
	typed, err := f.typed(c.Flags().Changed)
	if err != nil {
		return runConfig{}, err
	}
	return configure(toyTask(), f, typed)
}

// lines writes the agents one a line, as "name proposer options".
func lines(t *testing.T, agents []research.Agent) string {
	t.Helper()
	var b strings.Builder
	for _, a := range agents {
		fmt.Fprintf(&b, "%s %s", a.Name, a.Proposer)
		if a.Options != nil {
			text, err := json.Marshal(a.Options)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&b, " %s", text)
		}
		b.WriteString("\n")
	}
	return b.String()
}

const wholeFile = `# every field
proposer: anthropic:claude-x
temperature: 0.7
thinking: 4000
max_output: 8000
web_search: true
roles:
  opt: {proposer: "openai:gpt-x", temperature: 1, thinking: 0, max_output: 16000, base_url: http://localhost:8000/v1, key_env: LOCAL_KEY, web_search: false}
  reg: mutate
session: {turns: 60, calls: 150, submits: 2, minutes: 30, usd: 1.5, tokens: 400000}
budgets:
  trials: 100
  hours: 8
  no_improvement: 2
  usd: 20
  tokens: 5000000
prices: prices.yaml
`

func TestConfigurationFile(t *testing.T) {
	c, err := configured(t, wholeFile)
	if err != nil {
		t.Fatal(err)
	}
	want := `arch anthropic:claude-x {"temperature":0.7,"thinking":4000,"max_output":8000,"web_search":true}
opt openai:gpt-x {"base_url":"http://localhost:8000/v1","key_env":"LOCAL_KEY","temperature":1,"max_output":16000}
reg mutate
`
	if got := lines(t, c.agents); got != want {
		t.Errorf("agents:\n%swant:\n%s", got, want)
	}
	if want := (research.Caps{Turns: 60, Calls: 150, Submits: 2, Time: research.Duration(30 * time.Minute), USD: 1.5, Tokens: 400_000}); c.caps != want {
		t.Errorf("caps %+v", c.caps)
	}
	hours := func(n int) research.Duration { return research.Duration(time.Duration(n) * time.Hour) }
	if want := (research.Budgets{Trials: 100, Time: hours(8), NoImprovement: hours(2), USD: 20, Tokens: 5_000_000}); c.budgets != want {
		t.Errorf("budgets %+v", c.budgets)
	}
	if !filepath.IsAbs(c.prices) || filepath.Base(c.prices) != "prices.yaml" || strings.HasPrefix(c.prices, mustGetwd(t)) {
		t.Errorf("prices %q: not beside the file", c.prices)
	}
}

func mustGetwd(t *testing.T) string {
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// What is passed to agents goes to agents alone; a role's own goes before that for all.
func TestWhatAgentsAreGiven(t *testing.T) {
	c, err := configured(t, `proposer: command:claude -p
pass_env: [PROXY_TOKEN]
hosts: [pypi.org, Files.Example.com]
roles:
  opt: {proposer: "command:./agent", pass_env: [MY_KEY, other_key]}
  reg: mutate
`)
	if err != nil {
		t.Fatal(err)
	}
	want := `arch command:claude -p {"pass_env":["PROXY_TOKEN"],"hosts":["pypi.org","Files.Example.com"]}
opt command:./agent {"pass_env":["MY_KEY","other_key"],"hosts":["pypi.org","Files.Example.com"]}
reg mutate
`
	if got := lines(t, c.agents); got != want {
		t.Errorf("agents:\n%swant:\n%s", got, want)
	}
}

func TestFlagsWinOverTheFile(t *testing.T) {
	c, err := configured(t, wholeFile, "--proposer", "arch=command:agent --effort=high, twice", "--proposer", "gemini:g-x", "--temperature", "0",
		"--max-turns", "7", "--session-usd", "0.5", "--usd", "3", "--tokens", "1000", "--trials", "5", "--prices", "/else/where.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want := `arch command:agent --effort=high, twice
opt openai:gpt-x {"base_url":"http://localhost:8000/v1","key_env":"LOCAL_KEY","temperature":0,"max_output":16000}
reg mutate
`
	if got := lines(t, c.agents); got != want {
		t.Errorf("agents:\n%swant:\n%s", got, want)
	}
	if c.caps.Turns != 7 || c.caps.USD != 0.5 || c.caps.Calls != 150 || c.budgets.USD != 3 || c.budgets.Tokens != 1000 || c.budgets.Trials != 5 ||
		c.budgets.NoImprovement == 0 || c.prices != "/else/where.yaml" {
		t.Errorf("%+v", c)
	}
}

func TestTeams(t *testing.T) {
	here := mustGetwd(t)
	for _, test := range []struct{ name, yaml, args, want string }{
		{"nothing said: mutate, where it can turn something", "", "", "opt mutate\nreg mutate\n"},
		{"an empty file says nothing", "# later\n", "", "opt mutate\nreg mutate\n"},
		{"a model needs no knob", "", "--proposer openai:gpt-x", "arch openai:gpt-x\nopt openai:gpt-x\nreg openai:gpt-x\n"},
		{"one role by a model", "", "--proposer arch=anthropic:c-x", "arch anthropic:c-x\nopt mutate\nreg mutate\n"},
		{"a model whose name holds signs", "", "--proposer openai:org/model=v2:free", "arch openai:org/model=v2:free\nopt openai:org/model=v2:free\nreg openai:org/model=v2:free\n"},
		{"a command with a sign", "", "--roles arch --proposer command:x|--a=b", "arch command:x --a=b\n"},
		{"people and scripts", "", "--roles arch --proposer external", "arch external\n"},
		{"choices for roles that are left out", wholeFile, "--roles reg", "reg mutate\n"},
		{"one generic agent apart", "", "--agents generic:2 --proposer generic-2=openai:o", "generic-1 mutate\ngeneric-2 openai:o\n"},
		{"the single agent", "roles: {single: 'gemini:g'}\n", "--agents single", "single gemini:g\n"},
		{"a replay", "", "--roles arch,reg --proposer replay:runs/old", "arch replay:" + here + "/runs/old\nreg replay:" + here + "/runs/old\n"},
		{"an address for one provider of two", "proposer: anthropic:c\nroles:\n  opt: openai:o\n  reg: {proposer: openai:o, base_url: 'http://other/v1'}\n", "--roles opt,reg --base-url http://h/v1",
			"opt openai:o {\"base_url\":\"http://h/v1\"}\nreg openai:o {\"base_url\":\"http://h/v1\"}\n"},
		{"a role's own address beside other providers", "proposer: anthropic:c\nroles:\n  opt: {proposer: openai:o, base_url: 'http://own/v1'}\n", "--roles arch,opt",
			"arch anthropic:c\nopt openai:o {\"base_url\":\"http://own/v1\"}\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			args := strings.Fields(test.args)
			for i := range args {
				args[i] = strings.ReplaceAll(args[i], "|", " ")
			}
			c, err := configured(t, test.yaml, args...)
			if err != nil {
				t.Fatal(err)
			}
			if got := lines(t, c.agents); got != test.want {
				t.Errorf("agents:\n%swant:\n%s", got, test.want)
			}
		})
	}
}

// A fault says where it is, what is wrong, and what there is instead.
func TestFaults(t *testing.T) {
	for _, test := range []struct{ name, yaml, args, want, hint string }{
		{"unknown kind", "", "--proposer oracle:x", `--proposer: no proposer "oracle"`, "anthropic:MODEL"},
		{"unknown kind in the file", "proposer: oracle\n", "", `run.yaml:1:11: no proposer "oracle"`, "anthropic:MODEL"},
		{"no model", "roles:\n  opt: 'anthropic:'\n", "", `run.yaml:2:8: anthropic needs a model's name`, "anthropic:MODEL"},
		{"mutate with a model", "", "--proposer mutate:x", "mutate stands alone", "mutate"},
		{"no command", "", "--proposer command:", "needs a command line", "command:"},
		{"no run", "", "--proposer replay:", "needs a run's directory", "replay:"},
		{"unknown role", "", "--proposer optt=mutate", `--proposer: the task has no role "optt"`, "arch, opt, reg"},
		{"unknown role in the file", "roles:\n  opt: mutate\n  optt: mutate\n", "", `run.yaml:3:3: the task has no role "optt"`, "arch, opt, reg"},
		{"a role in a team without roles", "", "--agents generic:2 --proposer opt=mutate", `there is no agent "opt"`, "generic-1, generic-2"},
		{"a role given twice", "", "--proposer opt=mutate --proposer opt=external", "opt is given twice", "keep one"},
		{"two for all", "", "--proposer mutate --proposer external", "two proposers are given for all roles", "ROLE=PROPOSER"},
		{"unknown key", "proposers: mutate\n", "", `run.yaml:1:1: unknown key "proposers"`, "base_url, budgets, hosts, key_env"},
		{"unknown key of a role", "roles:\n  opt: {proposer: mutate, temprature: 1}\n", "", `run.yaml:2:27: unknown key "temprature"`, "temperature"},
		{"unknown key of a group", "budgets:\n  dollars: 3\n", "", `run.yaml:2:3: unknown key "dollars"`, "hours, no_improvement, tokens, trials, usd"},
		{"a word for a number", "thinking: lots\n", "", "run.yaml:1:11: thinking wants a whole number", ""},
		{"a fraction for a whole number", "session: {turns: 1.5}\n", "", "run.yaml:1:18: turns wants a whole number", ""},
		{"a group for a value", "prices: {a: 1}\n", "", "run.yaml:1:1: prices wants one line of text", ""},
		{"a value for a group", "session: 3\n", "", "run.yaml:1:1: keys and values are wanted here", "calls, minutes"},
		{"nothing for a value", "proposer:\n", "", "run.yaml:1:1: proposer wants one line of text", ""},
		{"a list", "- mutate\n", "", "run.yaml:1:1: keys and values are wanted here", "proposer"},
		{"a key twice", "prices: a\nprices: b\n", "", "run.yaml:2:1: ", ""},
		{"no YAML", "roles: {opt: mutate\n", "", "run.yaml:1:", ""},
		{"two documents", "proposer: mutate\n---\nproposer: external\n", "", "run.yaml:3:", "---"},
		{"no file", "", "--config /nowhere/run.yaml", "/nowhere/run.yaml", "--config"},
		{"hot", "", "--proposer openai:o --temperature 3", "--temperature: 3 is no temperature", "0 to 2"},
		{"not a temperature", "proposer: openai:o\ntemperature: .nan\n", "", "run.yaml:2:1: temperature wants a number", ""},
		{"all thought", "", "--proposer openai:o --thinking 9 --max-output 9", "--max-output: 9 tokens of output", "thought"},
		{"no output", "", "--proposer openai:o --max-output 0", "--max-output: 0 is no number", ""},
		{"thinking backwards", "", "--proposer openai:o --thinking -1", "--thinking: -1", ""},
		{"no address", "", "--proposer openai:o --base-url localhost:8000", "--base-url: this is not the address", "http://localhost:8000/v1"},
		{"options for nobody", "", "--temperature 1", "--temperature: no proposer of this run has such an option", "options are for models"},
		{"options for nobody in the file", "proposer: external\nweb_search: true\n", "", "run.yaml:2:13: no proposer of this run has such an option", "options are for models"},
		{"options for mutate", "proposer: openai:o\nroles:\n  opt: {proposer: mutate, thinking: 5}\n", "", "run.yaml:3:37: mutate has no such option", "options are for models"},
		{"options for a command", "roles:\n  opt: {proposer: 'command:claude -p', web_search: true}\n", "", "run.yaml:2:52: command has no such option", "command line"},
		{"an address for two providers", "proposer: anthropic:c\nroles: {opt: 'openai:o'}\n", "--base-url http://h/v1", "--base-url: an address for models of several providers", "below each role"},
		{"a key for two providers", "proposer: anthropic:c\nkey_env: K\nroles: {opt: 'openai:o'}\n", "", "run.yaml:2:10: a key for models of several providers", "below each role"},
		{"a value to pass", "proposer: command:a\npass_env: [KEY=x]\n", "", "run.yaml:2:1: this is not a list of names of environment variables", "never a key"},
		{"a home to pass", "proposer: command:a\npass_env: [HOME]\n", "", "run.yaml:2:1: an agent gets a HOME of its own", "leave it out"},
		{"a word for a list", "proposer: command:a\nhosts: pypi.org\n", "", "run.yaml:2:1: hosts wants a list", "hosts: [ONE, ANOTHER]"},
		{"an address for a host", "proposer: command:a\nhosts: [10.0.0.1]\n", "", "run.yaml:2:1: this is not a list of names of hosts", "addresses are refused"},
		{"a page for a host", "proposer: command:a\nhosts: ['https://pypi.org/simple']\n", "", "run.yaml:2:1: this is not a list of names of hosts", "without https://"},
		{"any host", "proposer: command:a\nhosts: ['*.example.com']\n", "", "run.yaml:2:1: this is not a list of names of hosts", "names alone"},
		{"hosts for a model", "roles:\n  opt: {proposer: 'openai:o', hosts: [pypi.org]}\n", "", "run.yaml:2:31: openai has no such option", "coding agents"},
		{"hosts for nobody", "hosts: [pypi.org]\n", "", "run.yaml:1:1: no proposer of this run has such an option", "coding agents"},
		{"half a replay", "", "--proposer replay:r --proposer opt=mutate", "a replay is for all roles", ""},
		{"a blind replay", "", "--proposer replay:r --no-lineage", "a replay needs history", "--no-lineage"},
		{"no turns", "", "--max-turns 0", "--max-turns: 0 is no cap", "default"},
		{"a negative cap", "session: {usd: -1}\n", "", "run.yaml:1:16: -1 is no cap", "default"},
		{"no dollars", "", "--usd 0", "--usd: 0 leaves nothing to do", "leave it out"},
		{"no trials in the file", "budgets: {trials: 0}\n", "", "run.yaml:1:19: 0 leaves nothing to do", "leave it out"},
		{"not a number of hours", "", "--hours NaN", "--hours: NaN is no budget", ""},
		{"negative tokens", "", "--tokens -5", "--tokens: -5 is no budget", ""},
		{"negative slots", "", "--parallel -1", "--parallel: at least 1", ""},
		{"no price table", "", "--prices=", "--prices: no file is named", "built-in"},
		{"nothing to turn", "", "--roles arch", "declares no knob that mutate could turn", "--proposer"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := configured(t, test.yaml, strings.Fields(test.args)...)
			if err == nil {
				t.Fatal("accepted")
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %q\nwant   %q", err, test.want)
			}
			if hint := err.Error() + research.Hint(err); !strings.Contains(hint, test.hint) {
				t.Errorf("hint in %q, want %q", hint, test.hint)
			}
		})
	}
}

// What is refused because it could hold a key is not repeated, and so reaches no log.
func TestFaultsDoNotRepeatSecrets(t *testing.T) {
	const secret = "s3cr3t-0123456789"
	for _, test := range []struct{ yaml, args string }{
		{"", "--proposer openai:o --base-url https://user:" + secret + "@h/v1"},
		{"", "--proposer openai:o --base-url https://h/v1?key=" + secret},
		{"", "--proposer openai:o --base-url ://" + secret},
		{"proposer: openai:o\nbase_url: https://" + secret + "@h/v1\n", ""},
		{"proposer: openai:o\nkey_env: " + secret + "\n", ""},
		{"proposer: openai:o\nthinking: " + secret + "\n", ""},
		{"proposer: openai:o\nkey_env: [" + secret + "\n", ""},
		{"proposer: command:a\npass_env: [" + secret + "]\n", ""},
		{"proposer: command:a\npass_env: " + secret + "\n", ""},
		{"proposer: command:a\nhosts: ['https://user:" + secret + "@h']\n", ""},
	} {
		_, err := configured(t, test.yaml, strings.Fields(test.args)...)
		if err == nil {
			t.Errorf("%s%s: accepted", test.yaml, test.args)
			continue
		}
		if text := err.Error() + research.Hint(err); strings.Contains(text, secret) {
			t.Errorf("the error repeats the secret: %s", text)
		}
	}
}

// Whatever a file holds, reading it ends with settings or with a fault that has a place.
func FuzzSettings(f *testing.F) {
	for _, seed := range []string{wholeFile, "a: &x 1\nb: *x\n", "<<: {a: 1}\n", "? [a]\n: 1\n", "roles: {opt: }\n", "prices: !!binary x\n", "session:\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		_, err := parseSettings("run.yaml", []byte(text))
		if err != nil && !strings.HasPrefix(err.Error(), "run.yaml:") {
			t.Errorf("no place: %v", err)
		}
	})
}
