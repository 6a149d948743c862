package sessiontest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"

	"mendel/internal/propose/session"
	"mendel/internal/propose/workspace"
	"mendel/internal/research"
)

// endOfShared are the last words of what the prompts of a run share.
const endOfShared = "Here ends what all roles read."

// SharedBeginning plays two sessions of each of two roles, while the history grows, and fails unless
// all requests to the model begin with the same bytes up to the end of what the roles share, and
// offer the same tools: a provider caches nothing else. The model has to submit in each session;
// bodies gives the requests that were made.
func SharedBeginning(t testing.TB, p session.Proposer, bodies func() [][]byte) {
	t.Helper()
	score := 1.0
	r := &Run{
		Task: research.TaskCard{
			Name: "toy", Title: "Toy", Editable: []string{"*.py"}, Score: research.ScoreRule{Metric: "loss", Direction: research.Minimize},
			Keep: research.KeepRule{Rule: research.Strict}, Checks: []research.CheckCard{{Name: "syntax", About: "Compiles."}, {Name: "count", About: "Counts <all>."}},
			Pinned:   []research.Document{{Name: "FIRST.md", Text: "Rules & hints.\n"}, {Name: "LAST.md", Text: "More.\n" + endOfShared + "\n"}},
			OnDemand: []research.Document{{Name: "LESSONS.md", Text: "lesson\n"}},
		},
		Arm: research.Arm{Agents: research.Specialists, Lineage: true},
		Measure: func(workspace.Tree) research.Measurement {
			return research.Measurement{Outcome: research.Valid, Score: &score}
		},
	}
	r.Start(workspace.Tree{{Path: "train.py", Mode: 0o644, Data: []byte("a = 1\n")}})
	roles := []research.Role{
		{ID: "arch", Title: "Architect", Preamble: "You own the network.", MayEdit: []string{"*.py"}},
		{ID: "opt", Title: "Optimizer", Preamble: "You own the optimizer.", MayEdit: []string{"train.py"}},
	}
	for i := range 4 {
		brief := r.Brief(roles[i%2], research.SessionID(i+1), int64(i))
		brief.Roles = roles
		r.Play(t, p, brief, func(string) bool { return true })
	}
	if n := len(r.All()); n != 5 {
		t.Fatalf("there are %d trials, want the baseline and one of each session", n)
	}
	requests := bodies()
	first := beginningOf(t, requests[0])
	for i, body := range requests {
		if now := beginningOf(t, body); now != first {
			t.Errorf("request %d does not begin as the first one does:\n%s\n%s", i+1, now, first)
		}
	}
	if bytes.Equal(requests[0], requests[len(requests)-1]) {
		t.Error("two requests are the same: nothing is proven")
	}
}

// beginningOf is the part of a request that has to be shared. Tools may stand behind it: servers
// put them before the messages, or into the first one.
func beginningOf(t testing.TB, body []byte) string {
	t.Helper()
	end := bytes.Index(body, []byte(endOfShared))
	if end < 0 {
		t.Fatalf("a request lacks the pinned knowledge: %s", body)
	}
	var fields struct {
		Tools          json.RawMessage `json:"tools"`
		PromptCacheKey json.RawMessage `json:"prompt_cache_key"`
	}
	if err := json.Unmarshal(body, &fields); err != nil || len(fields.Tools) == 0 {
		t.Fatalf("a request offers no tools (%v): %s", err, body)
	}
	if bytes.Contains(body[:end], []byte("You own")) {
		t.Errorf("what belongs to one role stands before what is shared: %s", body)
	}
	return fmt.Sprintf("%s\n%s\n%s", body[:end+len(endOfShared)], fields.Tools, fields.PromptCacheKey)
}
