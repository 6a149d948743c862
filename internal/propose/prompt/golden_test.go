package prompt

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mendel/internal/research"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func number(v float64) *float64 { return &v }

var start = time.Date(2026, 3, 1, 20, 0, 0, 0, time.UTC)

func bounds() []research.Bound {
	return []research.Bound{
		{Name: "train", Metric: "train_s", Unit: "s", Max: number(20), Outcome: research.TrainBudgetOverrun},
		{Name: "artifact_bytes", Metric: "artifact_bytes", Unit: "B", Max: number(64000), Outcome: research.SizeBlocked},
		{Name: "accuracy", Metric: "accuracy", Gate: true, Min: number(0.96), Outcome: research.Disqualified},
	}
}

// trial makes a judged trial with these values of the three bounds.
func trial(id, parent int, role string, status research.Status, score, diff float64, values [3]float64, hypothesis string) research.Trial {
	m := &research.Measurement{Outcome: research.Valid, Score: &score}
	for i, b := range bounds() {
		m.Margins = append(m.Margins, research.MarginOf(b, values[i]))
	}
	v := &research.Verdict{Keep: status == research.StatusKeep, Against: research.TrialID(parent), Difference: &diff, Reference: number(score - diff), Rule: research.Strict}
	return research.Trial{
		ID: research.TrialID(id), Status: status, Measurement: m, Verdict: v, EndedAt: start.Add(time.Duration(id) * 5 * time.Minute),
		Proposal: research.Proposal{Parent: research.TrialID(parent), Role: role, Hypothesis: hypothesis, Incumbent: research.TrialID(parent)},
	}
}

func baseline() research.Trial {
	t := trial(0, 0, "", research.StatusBaseline, 2.4531, 0, [3]float64{15.2, 58210, 0.9712}, "")
	t.Verdict.Difference, t.Verdict.Reference = nil, nil
	return t
}

func card() research.TaskCard {
	return research.TaskCard{
		Name: "golf-cpu", Title: "Parameter Golf at CPU scale", Summary: "Train the best byte-level language model that fits into 64,000 bytes.",
		Language: "python", Editable: []string{"train.py"},
		Score:  research.ScoreRule{Metric: "val_bpb", Unit: "bits/byte", Direction: research.Minimize},
		Bounds: bounds(), Keep: research.KeepRule{Rule: research.Strict}, Seeds: 1, Phases: []string{"preflight", "train", "evaluate"},
		Checks:   []research.CheckCard{{Name: "syntax_check", About: "Compiles train.py."}},
		Pinned:   []research.Document{{Name: "INIT.md", Text: "The recipe is one file.\n\nIt trains a small transformer on bytes."}},
		OnDemand: []research.Document{{Name: "LESSONS.md", Text: "Measured edits."}, {Name: "MATHS.md", Text: "Derivations."}},
	}
}

func brief() research.Brief {
	roles := []research.Role{
		{ID: "arch", Title: "Architecture", Preamble: "You own the shape of the network: depth, width, attention.\nYou do not own the optimizer.", MayEdit: []string{"train.py"}},
		{ID: "opt", Title: "Optimizer", Preamble: "You own the optimizer and its schedule.\nYou do not own the network.", MayEdit: []string{"train.py"}},
		{ID: "quant", Title: "Quantization", Preamble: "You own how weights are stored.", MayEdit: []string{"train.py"}},
	}
	return research.Brief{
		Task: card(), Arm: research.Arm{Agents: research.Specialists, Lineage: true},
		Agent: research.Agent{Name: "opt", Role: "opt", Proposer: "mutate"}, Role: roles[1], Roles: roles,
		Session: 1, Seed: 7, MaxSubmit: 3, Incumbent: baseline(),
		Budgets: research.Budgets{Trials: 200, Time: research.Duration(8 * time.Hour)}, Now: start.Add(10 * time.Minute),
		Spend: research.Spend{Supervised: 600},
		History: &research.History{
			Baseline: baseline(), Noise: &research.Noise{Kind: research.Seeded, N: 3, Mean: 2.4531, SD: 0.0021},
			Leaderboard: []research.Trial{baseline()}, Chain: []research.Trial{baseline()},
		},
	}
}

func rich() research.Brief {
	b := brief()
	k1 := trial(4, 0, "opt", research.StatusKeep, 2.3912, -0.0619, [3]float64{15.3, 58210, 0.9715}, "Raise the peak learning rate from 0.001 to 0.002: the loss still falls steeply at the end, so training is too timid; it may cost stability in the first steps.")
	k2 := trial(11, 4, "arch", research.StatusKeep, 2.3380, -0.0532, [3]float64{18.9, 63104, 0.9731}, "Widen the feed-forward layers from 2x to 3x: capacity is what the short run lacks, and 5,000 bytes are free.")
	k3 := trial(17, 11, "opt", research.StatusKeep, 2.3297, -0.0083, [3]float64{18.8, 63104, 0.9733}, "Decay the learning rate to zero along a cosine instead of in steps.")
	near := trial(19, 17, "quant", research.Status(research.SizeBlocked), 2.3012, -0.0285, [3]float64{18.9, 66056, 0.9741}, "Store embeddings in 16 instead of 8 bits: rounding hurts them most.")
	gate := trial(21, 17, "opt", research.Status(research.Disqualified), 2.3150, -0.0147, [3]float64{17.1, 63104, 0.95956}, "Train with twice the batch and half the steps.")
	over := trial(24, 17, "arch", research.Status(research.TrainBudgetOverrun), 2.2911, -0.0386, [3]float64{21, 63500, 0.975}, "Add a third block.")
	over.Measurement.Margins[0] = research.Margin{Bound: bounds()[0], Value: 21, Slack: -1, AtLeast: true}
	d1 := trial(18, 17, "opt", research.StatusDiscard, 2.3304, 0.0007, [3]float64{18.8, 63104, 0.9730}, "Warm up for 200 instead of 100 steps.")
	d1.Proposal.Notes = "knob warmup: 100 -> 200"
	d2 := trial(20, 17, "opt", research.StatusDiscard, 2.3611, 0.0314, [3]float64{18.8, 63104, 0.9711}, "Raise beta2 from 0.95 to 0.99.")
	d3 := trial(22, 17, "arch", research.StatusDiscard, 2.3500, 0.0203, [3]float64{17.2, 61000, 0.9722}, "Drop the bias terms.")
	crash := trial(23, 17, "opt", research.Status(research.Crash), 0, 0, [3]float64{}, "Use a second-order optimizer for the matrices.")
	crash.Measurement = &research.Measurement{Outcome: research.Crash, Crash: &research.CrashExcerpt{
		Phase: "train", Exception: "RuntimeError: The size of tensor a (64) must match the size of tensor b (192)", Frame: "train.py:141 in step", Code: "update = g @ p.T"}}
	crash.Verdict.Difference = nil
	aborted := trial(25, 17, "opt", research.Status(research.Aborted), 0, 0, [3]float64{}, "MARK-ABORTED")
	b.Incumbent = k3
	b.Now = k3.EndedAt.Add(2*time.Hour + 12*time.Minute)
	b.Spend = research.Spend{Trials: 25, Supervised: 13320}
	h := b.History
	h.Leaderboard = []research.Trial{k3, k2, k1, baseline()}
	h.Chain = []research.Trial{baseline(), k1, k2, k3}
	h.Children = []research.Trial{aborted, over, crash, d3, gate, d2, near, d1}
	h.NearMisses = []research.Trial{over, near, gate}
	h.Recent = []research.Trial{aborted, over, crash, d3, gate, d2, near, d1, k3}
	h.Own = []research.Trial{aborted, crash, gate, d2, d1, k3, k1}
	h.LastCrash = &research.CrashOf{Trial: 23, Crash: *crash.Measurement.Crash}
	return b
}

func scenarios() map[string]research.Brief {
	noLineage := rich()
	noLineage.Arm.Lineage = false
	noLineage.History = nil
	noLineage.Workspace = "/runs/golf/workspaces/opt"
	generic := rich()
	generic.Arm = research.Arm{Agents: research.Generic, N: 3, Lineage: true}
	generic.Agent = research.Agent{Name: "generic-2", Role: "generic"}
	generic.Role = research.Role{ID: "generic", Title: "Generalist", Preamble: "You own the whole recipe: no part of it is another agent's.", MayEdit: []string{"train.py"}}
	saturated := rich()
	saturated.History.Saturated = true
	near := rich()
	near.History.LastCrash = nil
	near.History.Own, near.History.Recent = nil, nil
	maximize := brief()
	maximize.Task.Score = research.ScoreRule{Metric: "core", Unit: "", Direction: research.Maximize, SelfReported: true}
	maximize.Task.Seeds = 5
	maximize.Task.Keep.Rule = research.Confirmed
	maximize.History.Noise = &research.Noise{Kind: research.None, N: 1, Mean: 2.4531}
	return map[string]research.Brief{
		"first_session": brief(), "rich_history": rich(), "no_lineage": noLineage, "generic": generic,
		"saturated": saturated, "near_misses": near, "maximize_self_reported": maximize,
	}
}

func TestGolden(t *testing.T) {
	for name, b := range scenarios() {
		t.Run(name, func(t *testing.T) {
			p := Render(b)
			var sizes strings.Builder
			for _, s := range append(p.System, p.User...) {
				fmt.Fprintf(&sizes, "%-16s %5d of %5d bytes\n", s.Name, len(s.Text), s.Budget)
			}
			got := sizes.String() + "\n=== system, shared\n" + p.SharedText() + "=== system, role\n" + p.RoleText() + "=== user\n" + p.UserText()
			path := filepath.Join("testdata", name+".golden")
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("the prompt changed (go test -update rewrites it):\n%s", diff)
			}
		})
	}
}
