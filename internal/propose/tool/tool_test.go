package tool_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"mendel/internal/propose/session"
	"mendel/internal/propose/session/sessiontest"
	"mendel/internal/propose/tool"
	"mendel/internal/propose/workspace"
	"mendel/internal/research"
)

func newRun() *sessiontest.Run {
	score := 1.0
	r := &sessiontest.Run{
		Task: research.TaskCard{
			Score:    research.ScoreRule{Metric: "loss", Direction: research.Minimize},
			Keep:     research.KeepRule{Rule: research.Strict},
			Checks:   []research.CheckCard{{Name: "param_count", About: "Counts parameters."}, {Name: "bash", About: "A check with a tool's name."}},
			Pinned:   []research.Document{{Name: "INIT.md", Text: strings.Repeat("pinned line\n", 3000)}},
			OnDemand: []research.Document{{Name: "LESSONS.md", Text: "lesson\n"}},
		},
		Arm: research.Arm{Agents: research.Specialists, Lineage: true},
		Measure: func(workspace.Tree) research.Measurement {
			return research.Measurement{Outcome: research.Valid, Score: &score}
		},
	}
	var long strings.Builder
	for i := range 4000 {
		fmt.Fprintf(&long, "value_%d = %d\n", i, i)
	}
	r.Start(workspace.Tree{
		{Path: "long.py", Mode: 0o644, Data: []byte(long.String())},
		{Path: "wide.py", Mode: 0o644, Data: []byte(strings.Repeat("é", 200_000) + "\nend\n")},
		{Path: "train.py", Mode: 0o644, Data: []byte("a = 1\n")},
	})
	return r
}

func open(t *testing.T, r *sessiontest.Run) *session.Session {
	t.Helper()
	return r.Open(t, r.Brief(research.Role{ID: "opt", MayEdit: []string{"train.py"}}, 1, 1), func(p string) bool { return p == "train.py" })
}

func call(t *testing.T, s *session.Session, name, args string) tool.Answer {
	t.Helper()
	answer, err := s.Call(t.Context(), name, json.RawMessage(args))
	if err != nil {
		t.Fatalf("%s %s: %v", name, args, err)
	}
	if len(answer.Text) > tool.MaxAnswer {
		t.Errorf("%s %s answers with %d bytes, more than %d", name, args, len(answer.Text), tool.MaxAnswer)
	}
	return answer
}

func TestMisuseIsAnswered(t *testing.T) {
	s := open(t, newRun())
	cases := []struct{ tool, args, want string }{
		{"read_file", `{}`, "read_file needs path"},
		{"read_file", ``, "read_file needs path"},
		{"read_file", `null`, "read_file needs path"},
		{"read_file", `{"path":null}`, "read_file needs path"},
		{"read_file", `[1]`, "not a JSON object"},
		{"read_file", `{"path":"train.py"`, "not a JSON object"},
		{"read_file", `"train.py"`, "not a JSON object"},
		{"read_file", `{"path":["train.py"]}`, `path must be a string, not ["train.py"]`},
		{"read_file", `{"path":{"a":1}}`, "path must be a string"},
		{"read_file", `{"path":"train.py","from_line":"two"}`, `from_line must be a whole number, not "two"`},
		{"read_file", `{"path":"train.py","from_line":1.5}`, "must be a whole number"},
		{"read_file", `{"path":"train.py","from_line":9}`, "train.py has 1 lines"},
		{"read_file", `{"path":"train.py","form_line":1}`, "no argument form_line"},
		{"read_file", `{"path":"train.py","from":1}`, "Did you mean from_line?"},
		{"read_file", `{"file_path":"train.py"}`, "read_file takes path, from_line (optional), lines (optional)"},
		{"list_trials", `{"status":"kept"}`, "Statuses are baseline, keep"},
		{"list_trials", `{"parent":"seven"}`, "not a trial id"},
		{"read_trial", `{"trial":"12"}`, "there is no trial 012"},
		{"read_trial", `{"trial":"0","file":"nope.py"}`, "It has long.py, wide.py, train.py"},
		{"read_trial", `{"trial":"-3"}`, "not a trial id"},
		{"diff_trials", `{"from":"0","to":"5"}`, "there is no trial 005"},
		{"rebase_to", `{"trial":"5"}`, "there is no trial 005"},
		{"submit_trial", `{"hypothesis":"h"}`, "submit_trial needs expected_delta"},
		{"submit_trial", `{"hypothesis":"h","expected_delta":"lots"}`, "expected_delta must be a number"},
		{"submit_trial", `{"hypothesis":"h","expected_delta":"NaN"}`, "expected_delta must be a number"},
		{"await_trial", `{"trial":"1","seconds":-1}`, "must not be negative"},
		{"bash", `{"command":"  "}`, "the command is empty"},
		{"read_knowledge", `{"name":"x.md"}`, "Documents: LESSONS.md, INIT.md"},
		{"param_count", `{"fast":true}`, "param_count takes no arguments"},
	}
	for _, c := range cases {
		answer := call(t, s, c.tool, c.args)
		if !answer.IsError || !strings.Contains(answer.Text, c.want) {
			t.Errorf("%s %s answers %q; want a refusal that says %q", c.tool, c.args, answer.Text, c.want)
		}
	}
}

func TestHarmlessFormsAreForgiven(t *testing.T) {
	s := open(t, newRun())
	for _, c := range []struct{ tool, args string }{
		{"read_trial", `{"trial":0}`}, {"read_trial", `{"trial":"exp_000"}`}, {"read_trial", `{"trial":"000","file":null}`},
		{"read_file", `{"path":"./train.py","from_line":"1"}`}, {"read_file", `{"path":"/recipe/train.py","from_line":1.0}`},
		{"list_files", `null`}, {"list_files", ``}, {"list_trials", `{"limit":"5"}`},
	} {
		if answer := call(t, s, c.tool, c.args); answer.IsError {
			t.Errorf("%s %s is refused: %s", c.tool, c.args, answer.Text)
		}
	}
}

func TestLongAnswersAreCutAndSayHowToGoOn(t *testing.T) {
	r := newRun()
	r.OnCheck = func(string, string) tool.CheckResult {
		return tool.CheckResult{Output: "first line\n" + strings.Repeat("noise\n", 10_000) + "the error\n"}
	}
	s := open(t, r)
	for _, c := range []struct{ tool, args, want string }{
		{"read_file", `{"path":"long.py"}`, "read on with from_line="},
		{"read_file", `{"path":"wide.py"}`, "line 1 is cut"},
		{"search_files", `{"pattern":"value"}`, "of 4000 matching lines shown"},
		{"bash", `{"command":"true"}`, "narrow it with grep"},
		{"param_count", `{}`, "the error"},
		{"read_knowledge", `{"name":"INIT.md"}`, "read on with from_line="},
		{"read_trial", `{"trial":"0","file":"long.py"}`, "read on with from_line="},
	} {
		if answer := call(t, s, c.tool, c.args); !strings.Contains(answer.Text, c.want) {
			t.Errorf("%s %s does not say %q: …%q", c.tool, c.args, c.want, answer.Text[max(0, len(answer.Text)-200):])
		}
	}
	if answer := call(t, s, "bash", `{"command":"x"}`); !strings.HasPrefix(answer.Text, "first line") || !strings.HasSuffix(answer.Text, "The command failed.") {
		t.Errorf("a long output lost its beginning or its ending: %q … %q", answer.Text[:40], answer.Text[len(answer.Text)-40:])
	}
}

// TestPagesJoinToTheWholeFile reads a long file as its marker says.
func TestPagesJoinToTheWholeFile(t *testing.T) {
	r := newRun()
	s := open(t, r)
	tree, err := r.Tree(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	want, _ := tree.Get("long.py")
	var got strings.Builder
	for line, pages := 1, 0; ; pages++ {
		page := call(t, s, "read_file", fmt.Sprintf(`{"path":"long.py","from_line":%d}`, line)).Data.(tool.FileText)
		got.WriteString(page.Text)
		if page.To == page.Lines {
			break
		}
		if line = page.To + 1; pages > 20 {
			t.Fatal("the pages do not end")
		}
	}
	if got.String() != string(want.Data) {
		t.Errorf("the pages make %d bytes, the file has %d", got.Len(), len(want.Data))
	}
}

func TestDefinitions(t *testing.T) {
	s := open(t, newRun())
	var names []string
	for _, d := range s.Tools() {
		names = append(names, d.Name)
		var schema jsonschema.Schema
		if err := json.Unmarshal(d.Schema, &schema); err != nil {
			t.Fatalf("%s: %v", d.Name, err)
		}
		resolved, err := schema.Resolve(nil)
		if err != nil {
			t.Fatalf("%s: %v", d.Name, err)
		}
		if schema.Type != "object" || resolved.Validate(map[string]any{"unheard_of": 1}) == nil {
			t.Errorf("%s takes arguments that it does not have: %s", d.Name, d.Schema)
		}
		for name, p := range schema.Properties {
			if p.Description == "" {
				t.Errorf("%s: argument %s has no description", d.Name, name)
			}
		}
		if len(d.Description) < 40 || strings.ContainsAny(d.Description[len(d.Description)-1:], "\n ") {
			t.Errorf("%s is described by %q", d.Name, d.Description)
		}
	}
	want := []string{"read_file", "edit_file", "list_files", "search_files", "bash", "read_trial", "diff_trials", "list_trials", "rebase_to",
		"read_knowledge", "submit_trial", "await_trial", "param_count", "check_bash"}
	if !slices.Equal(names, want) {
		t.Errorf("the tools are %v, want %v", names, want)
	}
}

func TestListTrialsFilters(t *testing.T) {
	r := newRun()
	for i := range 30 {
		s := open(t, r)
		call(t, s, "edit_file", fmt.Sprintf(`{"path":"train.py","old":"a = 1","new":"a = %d"}`, i+2))
		call(t, s, "submit_trial", fmt.Sprintf(`{"hypothesis":"idea number %d","expected_delta":0}`, i))
	}
	s := open(t, r)
	first := call(t, s, "list_trials", `{}`).Text
	if strings.Count(first, "\n- ") != 19 || !strings.HasPrefix(first, "- 030") || !strings.Contains(first, "[there may be more: before=011]") {
		t.Errorf("the first page is\n%s", first)
	}
	if rest := call(t, s, "list_trials", `{"before":"011","limit":50}`).Text; !strings.HasPrefix(rest, "- 010") || strings.Contains(rest, "may be more") {
		t.Errorf("the second page is\n%s", rest)
	}
	for args, want := range map[string]int{`{"text":"number 7"}`: 1, `{"status":"baseline"}`: 1, `{"parent":"0","limit":100}`: 30, `{"role":"arch"}`: 0} {
		if got := strings.Count("\n"+call(t, s, "list_trials", args).Text, "\n- "); got != want {
			t.Errorf("list_trials %s lists %d trials, want %d", args, got, want)
		}
	}
}

// TestWhatASubjectTookIsNotTold: a process that has seen the evaluator's questions chooses how long it
// takes, how much memory it fills and how it ends, and could so tell later sessions what it saw.
func TestWhatASubjectTookIsNotTold(t *testing.T) {
	r := newRun()
	score := 1.0
	r.Measure = func(workspace.Tree) research.Measurement {
		subject := research.PhaseRun{Phase: "evaluate", OperatorOnly: true, Wall: 41.25, CPU: 43.5, MaxRSS: 47e6, ExitCode: 53}
		well, ill := subject, subject
		well.Ended, ill.Ended, ill.Signal = "ok", "oom", "segmentation fault"
		return research.Measurement{Outcome: research.Valid, Score: &score, Phases: []research.PhaseRun{
			{Phase: "train", Wall: 2.5, CPU: 3.5, MaxRSS: 17e6, Ended: "exit"}, well, ill,
		}}
	}
	s := open(t, r)
	call(t, s, "edit_file", `{"path":"train.py","old":"a = 1","new":"a = 2"}`)
	answers := []string{call(t, s, "submit_trial", `{"hypothesis":"h","expected_delta":0}`).Text}
	for _, c := range [][2]string{{"read_trial", `{"trial":"1"}`}, {"await_trial", `{"trial":"1"}`}, {"list_trials", `{}`}, {"diff_trials", `{"from":"0","to":"1"}`}} {
		answers = append(answers, call(t, s, c[0], c[1]).Text)
	}
	if read := answers[1]; !strings.Contains(read, "Phase evaluate: ended ok\nPhase evaluate: did not end well\n") ||
		!strings.Contains(read, "Phase train: 2.5 s wall, 3.5 s CPU, 17 MB at most, ended exit") {
		t.Errorf("read_trial does not say how the phases ended:\n%s", read)
	}
	for _, text := range answers {
		for _, told := range []string{"41.25", "43.5", "47", "53", "oom", "segmentation"} {
			if strings.Contains(text, told) {
				t.Errorf("a tool tells %q of the subject:\n%s", told, text)
			}
		}
	}
}

func TestWhatAToolUsedIsCounted(t *testing.T) {
	r := newRun()
	r.OnCheck = func(string, string) tool.CheckResult { return tool.CheckResult{OK: true, CPU: 2 * time.Second} }
	call(t, open(t, r), "bash", `{"command":"true"}`)
	if calls := r.Calls(); calls[0].CPU != 2 {
		t.Errorf("the journal has %v CPU seconds, want 2", calls[0].CPU)
	}
}

// TestARowIsBounded: a trial with very many margins and a crash that prints markup leaves an answer
// that says how to see more, and data that a program can take.
func TestARowIsBounded(t *testing.T) {
	for _, withLineage := range []bool{true, false} {
		r := newRun()
		r.Arm.Lineage = withLineage
		r.Measure = func(workspace.Tree) research.Measurement {
			noise := strings.Repeat("<\x01>", 10_000)
			m := research.Measurement{Outcome: research.SizeBlocked, Reason: "too large " + noise, Crash: &research.CrashExcerpt{
				Phase: "train", Exception: "ValueError: " + noise, Frame: noise, Code: noise}}
			most := 10.0
			for i := range 500 {
				bound := research.Bound{Name: fmt.Sprintf("bound_%d", i), Metric: "m", Unit: "B", Max: &most, Outcome: research.SizeBlocked}
				m.Margins = append(m.Margins, research.MarginOf(bound, float64(5+10*(i/499))))
			}
			return m
		}
		s := open(t, r)
		call(t, s, "edit_file", `{"path":"train.py","old":"a = 1","new":"a = 2"}`)
		call(t, s, "submit_trial", `{"hypothesis":"h","expected_delta":0}`)
		tools := map[string]string{"await_trial": "read_trial has its metrics, and with file="}
		if withLineage {
			tools["read_trial"] = "read_trial with file="
		} else {
			tools["await_trial"] = "the rest cannot be shown"
		}
		for name, how := range tools {
			answer := call(t, s, name, `{"trial":"1"}`)
			if !strings.Contains(answer.Text, "[cut here: ") || !strings.Contains(answer.Text, how) {
				t.Errorf("%s does not say how to see more: %q", name, answer.Text[len(answer.Text)-200:])
			}
			data, err := json.Marshal(answer.Data)
			if err != nil || len(data) > tool.MaxAnswer {
				t.Errorf("the data of %s have %d bytes (%v), more than %d", name, len(data), err, tool.MaxAnswer)
			}
			row := answer.Data.(tool.Row)
			if !strings.HasPrefix(row.Crash.Exception, "ValueError: ") || row.Status != "size_blocked" {
				t.Errorf("the row of %s lost what matters: %+v", name, row)
			}
			if n := len(row.Margins); n == 0 || n == 500 || row.Margins[n-1].Bound.Name != "bound_499" {
				t.Errorf("%s keeps %d margins, and not the one that was missed", name, n)
			}
		}
	}
}
