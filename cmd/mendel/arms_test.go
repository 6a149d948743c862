package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"mendel/internal/propose/provider/providertest"
	"mendel/internal/research"
)

// What another session has written, and nobody in a no-lineage arm may read: in a hypothesis, in
// notes, in a key, in the tree of a trial, and in a workspace.
var canaries = []string{"zebrafinch", "goldcrest", "bittern", "nightjar", "wheatear"}

// planted is a trial that is worse than the baseline, so that it never becomes the incumbent.
var planted = []providertest.Call{
	edit("features.py", "TIDES = 2", "TIDES = 1  # nightjar"),
	call("submit_trial", map[string]any{"hypothesis": "a zebrafinch needs one tide", "notes": "goldcrest", "key": "bittern", "expected_delta": -1}),
	edit("features.py", "# nightjar", "# nightjar wheatear"),
}

// prying is every way to history that a session's tools may seem to offer. No call holds a canary.
func prying(run string) []providertest.Call {
	list := []providertest.Call{
		call("list_trials", nil), call("list_trials", map[string]any{"text": "n.ghtjar", "limit": 50}),
		call("diff_trials", map[string]any{"from": "0", "to": "1"}), call("diff_trials", map[string]any{"from": "1"}),
		call("read_trial", map[string]any{"trial": "1", "file": "features.py"}),
		call("read_knowledge", nil), call("read_knowledge", map[string]any{"name": "../../run/run.db"}),
		call("list_files", map[string]any{"path": ".."}), call("search_files", map[string]any{"pattern": "n[i]ghtjar|z[e]brafinch"}),
		call("submit_trial", map[string]any{"hypothesis": "x", "expected_delta": 0, "parent": "1"}),
		// The same code as the planted trial's: a duplicate, whose refusal must say nothing of it.
		edit("features.py", "TIDES = 2", "TIDES = 1"),
		call("submit_trial", map[string]any{"hypothesis": "one tide", "expected_delta": 0}),
		call("rebase_to", map[string]any{"trial": "0"}),
	}
	// What does not exist must be answered as what exists.
	for _, id := range []string{"1", "77"} {
		for _, name := range []string{"read_trial", "rebase_to", "await_trial"} {
			list = append(list, call(name, map[string]any{"trial": id}))
		}
	}
	for _, path := range []string{
		"../generic-1/features.py", "../generic-2/features.py", run + "/run.db", run + "/workspaces/generic-1/features.py",
		"../../transcripts/1.jsonl", "../../supervisor.log", "/proc/self/environ", "features.py/../../generic-1/features.py",
	} {
		list = append(list, look(path), edit(path, "TIDES", "TIDES"))
	}
	for _, script := range []string{
		"cat ../*/features.py ../../transcripts/* ../../run.db " + run + "/run.db " + run + "/workspaces/*/features.py",
		"grep -rsal 'z[e]brafinch\\|g[o]ldcrest\\|n[i]ghtjar' / -D skip --exclude-dir=proc --exclude-dir=sys --exclude-dir=dev --exclude-dir=usr | head",
		"ls -R " + run + " /tmp; cat /proc/*/cmdline /proc/*/environ",
	} {
		list = append(list, call("bash", map[string]any{"command": script}))
	}
	return list
}

func TestWithoutLineageAModelReadsNoHistory(t *testing.T) {
	t.Parallel()
	l := newStage(t)
	run := filepath.Join(l.dir, "run")
	var begun sync.Once
	ready, done := make(chan struct{}), make(chan struct{})
	var finished sync.Once
	var tries atomic.Int64
	const planter, spy = "I am the planter", "I am the spy"
	good := offset()
	pry := prying(run)
	script := func(r providertest.Request) providertest.Reply {
		if r.Replies == 0 {
			says := spy
			begun.Do(func() { says = planter })
			if says == spy {
				<-ready
			}
			return providertest.Reply{Text: says, Calls: []providertest.Call{look("features.py")}}
		}
		if bytes.Contains(r.Body, []byte(planter)) {
			if r.Replies == 1 {
				return calls(planted...)
			}
			close(ready)
			<-done // its workspace stays as it is meanwhile
			return providertest.Reply{Text: "done"}
		}
		now, next := good.value(r)
		switch r.Replies {
		case 1:
			return calls(pry...)
		case 2:
			next += fmt.Sprint(tries.Add(1)) // all spies are shown the same, and would try the same
			return calls(good.edit(now, next), good.submit(next))
		}
		finished.Do(func() { close(done) })
		return providertest.Reply{Text: "done"}
	}
	server := serves(t, providertest.Options{Protocol: providertest.OpenAI(providertest.Quirks{}), Play: script, Keyless: true})
	l.start("quick", "--state", "run", "--no-lineage", "--agents", "generic:2", "--trials", "3", "--parallel", "2", "--proposer", "openai:local", "--base-url", server.URL+"/v1")
	if code := l.ended(); code != exitOK {
		t.Fatalf("exit code %d\n%s", code, l.output)
	}
	l.intact(3)
	l.plantedFirst(t)
	spies := 0
	for _, r := range server.Requests() {
		if bytes.Contains(r.Body, []byte(planter)) {
			continue
		}
		l.hides(t, string(r.Body))
		if r.Replies == 2 {
			spies++
			answered(t, pry, r.Results)
		}
		for _, name := range r.Tools {
			if name == "list_trials" || name == "read_trial" || name == "diff_trials" {
				t.Errorf("%s is offered", name)
			}
		}
	}
	if spies < 2 {
		t.Errorf("%d sessions have pried, want 2: one beside the planter, and one that began after its verdict", spies)
	}
}

// plantedFirst wants the planted trial to be no incumbent.
func (l *liveRun) plantedFirst(t *testing.T) {
	t.Helper()
	if first := l.trials()[0]; !strings.Contains(first.Proposal.Hypothesis, canaries[0]) || first.Status == research.StatusKeep {
		t.Fatalf("the planted trial is %+v", first)
	}
}

// hides wants nothing of the planted trial in a text.
func (l *liveRun) hides(t *testing.T, text string) {
	t.Helper()
	score, _ := l.trials()[0].Score()
	for _, word := range append(canaries, fmt.Sprintf("%.3f", score)) {
		if i := strings.Index(text, word); i >= 0 {
			t.Errorf("%q is shown: …%s…", word, text[max(0, i-200):min(len(text), i+100)])
		}
	}
}

var number = regexp.MustCompile(`\d+`)

// answered wants calls about a trial that exists and one that does not to be answered alike, and
// the duplicate to be refused without a name.
func answered(t *testing.T, made []providertest.Call, results []providertest.Result) {
	t.Helper()
	if len(results) != len(made) {
		t.Fatalf("%d calls, %d answers", len(made), len(results))
	}
	alike := map[string]string{}
	duplicate := false
	for i, c := range made {
		text := results[i].Text
		var args struct {
			Trial string `json:"trial"`
			File  string `json:"file"`
		}
		if err := json.Unmarshal([]byte(c.Args), &args); err != nil {
			t.Fatal(err)
		}
		if args.Trial == "1" && args.File == "" {
			alike[c.Name] = number.ReplaceAllString(text, "N")
		}
		if args.Trial == "77" && alike[c.Name] != number.ReplaceAllString(text, "N") {
			t.Errorf("%s says of a trial that exists %q, and of one that does not %q", c.Name, alike[c.Name], text)
		}
		if strings.Contains(c.Args, "one tide") {
			duplicate = strings.Contains(text, "already tried") && !number.MatchString(text)
			if !duplicate {
				t.Errorf("a duplicate is answered %q", text)
			}
		}
	}
	if len(alike) != 3 || !duplicate {
		t.Errorf("looked at %v, duplicate %v", alike, duplicate)
	}
}

func TestWithoutLineageAnOutsideSessionReadsNoHistory(t *testing.T) {
	t.Parallel()
	l := newStage(t)
	l.outside("--no-lineage", "--agents", "generic:2", "--trials", "3")
	planter := l.connect("generic-1", "--state", "run")
	for _, c := range planted {
		if text, r := ask(t, planter, c.Name, arguments(t, c)); r.IsError {
			t.Fatalf("%s: %s", c.Name, text)
		}
		if c.Name == "submit_trial" {
			ask(t, planter, "await_trial", map[string]any{"trial": "1"})
		}
	}
	l.plantedFirst(t)
	if trials := l.trials(); trials[len(trials)-1].Proposal.Confinement != "none" {
		t.Errorf("the trial records the confinement %q", trials[len(trials)-1].Proposal.Confinement)
	}
	var opened struct {
		Session     int    `json:"session"`
		Prompt      string `json:"prompt"`
		Lineage     *bool  `json:"lineage"`
		Confinement string `json:"confinement"`
	}
	warning, object, _ := strings.Cut(l.mendel("session", "open", "generic-2", "--json", "--state", "run"), "{")
	if err := json.Unmarshal([]byte("{"+object), &opened); err != nil {
		t.Fatal(err)
	}
	if opened.Lineage == nil || *opened.Lineage || opened.Confinement != "none" || !strings.Contains(warning, "confinement: none, as its trials record") {
		t.Errorf("opening does not say that nothing confines the player: %q, %+v", warning, opened)
	}
	l.hides(t, opened.Prompt)
	spy := l.connect("--session", fmt.Sprint(opened.Session), "--state", "run")
	pry := prying(filepath.Join(l.dir, "run"))
	var results []providertest.Result
	for _, c := range pry {
		r, err := spy.CallTool(t.Context(), &sdk.CallToolParams{Name: c.Name, Arguments: arguments(t, c)})
		text := ""
		if err != nil {
			text = err.Error() // a tool that is not offered
		} else {
			raw, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			l.hides(t, string(raw))
			text = r.Content[0].(*sdk.TextContent).Text
		}
		l.hides(t, text)
		results = append(results, providertest.Result{Text: text})
	}
	answered(t, pry, results)
	// The tools that are not offered, past the MCP server.
	for _, name := range []string{"list_trials", "read_trial", "diff_trials"} {
		out, err := l.try("session", "tool", fmt.Sprint(opened.Session), name, "--arg", "trial=1", "--state", "run")
		if err == nil {
			t.Errorf("%s is answered: %s", name, out)
		}
		l.hides(t, out)
	}
	l.mendel("stop", "run")
	if code := l.ended(); code != exitOK {
		t.Errorf("exit code %d\n%s", code, l.output)
	}
}

func arguments(t *testing.T, c providertest.Call) map[string]any {
	t.Helper()
	args := map[string]any{}
	if err := json.Unmarshal([]byte(c.Args), &args); err != nil {
		t.Fatal(err)
	}
	return args
}
