package openai_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"mendel/internal/propose/provider/model"
	"mendel/internal/propose/provider/openai"
	"mendel/internal/propose/provider/price"
	"mendel/internal/propose/provider/providertest"
	"mendel/internal/propose/session/sessiontest"
	"mendel/internal/propose/workspace"
	"mendel/internal/research"
)

// A model behind a server with Gemini's habits, and one behind the Responses API, play a whole
// session with the real tools: they edit, get a call wrong, are cut off, mend it, submit and end.
func TestSession(t *testing.T) {
	for name, c := range map[string]struct {
		protocol providertest.Protocol
		make     func(openai.Options) (*openai.Client, error)
	}{
		"gemini:gemini-3.8-flash": {providertest.Gemini(), openai.NewGemini},
		"openai:gpt-6.1-sol":      {providertest.Responses(), openai.New},
	} {
		t.Run(name, func(t *testing.T) { playsASession(t, name, c.protocol, c.make) })
	}
}

func playsASession(t *testing.T, name string, protocol providertest.Protocol, newClient func(openai.Options) (*openai.Client, error)) {
	steps := []providertest.Reply{
		{Thinking: "Look first.", Calls: []providertest.Call{{Name: "read_file", Args: `{"path":"train.py"}`}, {Name: "list_files", Args: `{}`}}},
		{Calls: []providertest.Call{{Name: "edit_file", Args: `{"path": "train.py", "old"`}}},
		{Status: 503},
		{Text: "I was", CutAfter: 3},
		{Calls: []providertest.Call{{Name: "edit_file", Args: `{"path":"train.py","old":"score = 5","new":"score = 4"}`}}},
		{Calls: []providertest.Call{{Name: "submit_trial", Args: `{"hypothesis":"less is more","expected_delta":-1}`}}},
		{Text: "That is all."},
	}
	s, err := providertest.New(providertest.Options{Protocol: protocol, Play: func(r providertest.Request) providertest.Reply {
		return steps[r.Number-1]
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	client, err := newClient(openai.Options{BaseURL: s.URL + "/v1", Key: providertest.Key, Responses: true})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	table, err := price.Load("")
	if err != nil {
		t.Fatal(err)
	}
	cost, _ := table.Of(name)
	proposer := model.New(model.Options{
		Client: client, Name: name, Price: cost,
		ProposerOptions: research.ProposerOptions{Thinking: 8000},
		Sleep:           func(context.Context, time.Duration) error { return nil },
	})
	run := &sessiontest.Run{
		Task: research.TaskCard{
			Name: "toy", Editable: []string{"train.py"},
			Score: research.ScoreRule{Metric: "loss", Direction: research.Minimize}, Keep: research.KeepRule{Rule: research.Strict},
		},
		Arm: research.Arm{Agents: research.Specialists, Lineage: true},
		Measure: func(tree workspace.Tree) research.Measurement {
			f, _ := tree.Get("train.py")
			var score float64
			fmt.Sscanf(string(f.Data), "score = %g", &score)
			return research.Measurement{Outcome: research.Valid, Score: &score}
		},
	}
	run.Start(workspace.Tree{{Path: "train.py", Mode: 0o644, Data: []byte("score = 5\n")}})
	run.Play(t, proposer, run.Brief(research.Role{ID: "opt", Title: "Optimizer"}, 1, 1), func(string) bool { return true })

	accepted(t, s)
	if best := run.Incumbent(); best.ID != 1 || *best.Measurement.Score != 4 {
		t.Errorf("the incumbent is %s", best.ID)
	}
	if n := len(s.Requests()); n != len(steps) {
		t.Errorf("%d requests, want %d", n, len(steps))
	}
	asked, settled := run.ModelCalls()
	var cached int64
	for i, call := range settled {
		if !call.Priced || call.Charge.USD > asked[i].Worst.USD || call.Charge.Tokens > asked[i].Worst.Tokens {
			t.Errorf("call %d: %+v, reserved %+v", i+1, call.Charge, asked[i].Worst)
		}
		cached += call.Usage.CacheRead
	}
	if len(settled) != len(steps)-1 { // the 503 cost nothing and was no call of its own
		t.Errorf("%d calls are settled", len(settled))
	}
	if cached == 0 {
		t.Error("nothing was read from the cache: later requests do not begin as earlier ones")
	}
}
