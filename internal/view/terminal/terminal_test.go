package terminal

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	tea "charm.land/bubbletea/v2"
	"github.com/google/go-cmp/cmp"

	"mendel/internal/control"
	"mendel/internal/lineage"
	"mendel/internal/research"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func ptr[T any](v T) *T { return &v }

var (
	noon    = time.Date(2026, 5, 7, 12, 0, 0, 0, time.UTC)
	seconds = research.ScoreRule{Metric: "seconds", Unit: "s", Direction: research.Minimize}
	gate    = research.Bound{Name: "accuracy", Gate: true, Metric: "accuracy", Min: ptr(0.96), Outcome: research.Disqualified}
	size    = research.Bound{Name: "artifact_bytes", Metric: "artifact_bytes", Unit: "B", Max: ptr(16e6), Outcome: research.SizeBlocked}
)

func trial(id research.TrialID, status research.Status, score float64, difference float64) research.Trial {
	t := research.Trial{
		ID: id, Status: status, SubmittedAt: noon,
		Proposal: research.Proposal{Role: "opt", Proposer: "mutate", Hypothesis: "Fewer warm-up steps free time for more at the full rate.",
			Parent: max(0, id-1), Expected: ptr(-0.5), Tree: "0123456789abcdef0123"},
		Measurement: &research.Measurement{Outcome: research.Valid, Score: &score, Harness: 0.004,
			Sandbox: research.SandboxNote{Level: "isolated", Memory: "cgroup2", Processes: "cgroup2", Disk: "tmpfs"},
			Margins: []research.Margin{research.MarginOf(size, 15_990_000), research.MarginOf(gate, 0.95956)},
			Metrics: map[string]research.MetricValue{
				"seconds":  {Value: score, Seeds: []float64{score, score}, Unit: "s", Source: research.FromHarness},
				"val_loss": {Value: 1.25, Source: research.FromRecipeLog},
			},
			Phases: []research.PhaseRun{{Phase: "train", Seed: 0, Wall: 1.5, CPU: 1.4, MaxRSS: 50 << 20, Ended: "ok"}},
		},
		Verdict: &research.Verdict{Keep: status == research.StatusKeep, Rule: research.Strict, Reference: ptr(score - difference),
			Difference: &difference, Noise: ptr(0.25), Reason: "accuracy 0.95956: 0.00044 short of 0.96"},
	}
	return t
}

func overviewOf() Overview {
	baseline, best := trial(0, research.StatusBaseline, 26.356, 0), trial(70, research.StatusKeep, 25.1464, -0.3)
	baseline.Verdict.Difference = nil
	return Overview{
		Dir: "runs/cifar", Task: research.TaskIdentity{Title: "Airbench"}, Score: seconds, Keep: research.KeepRule{Rule: research.Strict},
		Sandbox:  research.SandboxNote{Level: "isolated"},
		Baseline: &baseline, Incumbent: &best, Noise: &research.Noise{N: 3, SD: 0.25, Mean: 26.356},
		Statuses: map[research.Status]int{"keep": 4, "discard": 5, "disqualified": 81, "baseline": 1},
		Trials:   97, Budgets: research.Budgets{Trials: 100}, Spend: research.Spend{Supervised: 7200},
		Best:       []lineage.Point{{Trial: 0, Score: 26.356}, {Trial: 30, Score: 25.9}, {Trial: 70, Score: 25.1464}},
		Recent:     []research.Trial{trial(71, research.StatusDiscard, 25.6, 0.45), best},
		NearMisses: []research.Trial{trial(60, research.Status(research.Disqualified), 25.0, -0.45)},
		Head:       "212:9f86d081884c",
		Live: &control.Live{State: control.Searching, Since: noon, Executor: "local", Slots: 2, Queued: 1,
			Agents: []control.Agent{
				{Agent: research.Agent{Name: "arch", Proposer: "mutate"}, Doing: control.Waiting, Trial: ptr(research.TrialID(72))},
				{Agent: research.Agent{Name: "opt", Proposer: "mutate"}, Doing: control.Idle},
			},
			Running: []control.Running{{Trial: 72, Role: "arch", Phase: "train", Seed: 3, Seeds: 10, Since: noon.Add(-time.Minute)}},
		},
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".txt")
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
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

func TestGolden(t *testing.T) {
	plain := Style{Width: 110}
	var status, shown, tree bytes.Buffer
	WriteStatus(&status, overviewOf(), noon, plain)
	golden(t, "status", status.String())
	var models bytes.Buffer
	WriteStatus(&models, withModels(overviewOf()), noon, plain)
	golden(t, "status-models", models.String())
	WriteTrial(&shown, trial(60, research.Status(research.Disqualified), 25.0, -0.45), overviewOf(), plain)
	golden(t, "trial", strings.ReplaceAll(shown.String(), noon.Local().Format(time.DateTime), "<when>"))
	trials := []research.Trial{trial(0, research.StatusBaseline, 26.356, 0), trial(1, research.StatusKeep, 26, -0.3),
		trial(2, research.StatusDiscard, 27, 1), trial(3, research.Status(research.Crash), 0, 0),
		trial(4, research.Status(research.SizeBlocked), 25, -1), trial(5, research.Status(research.Disqualified), 27, 1)}
	trials[2].Proposal.Parent, trials[3].Proposal.Parent, trials[3].Measurement = 1, 0, nil
	trials[4].Proposal.Parent, trials[5].Proposal.Parent = 1, 1
	trials[4].Measurement.Margins = []research.Margin{research.MarginOf(size, 16_002_056), research.MarginOf(gate, 0.97)}
	WriteTree(&tree, trials, map[research.TrialID]bool{0: true, 1: true}, seconds, plain)
	golden(t, "tree", tree.String())
	golden(t, "analysis", analysisText(t, plain))
}

func TestCurve(t *testing.T) {
	points := func(scores ...float64) (p []lineage.Point) {
		for i, s := range scores {
			p = append(p, lineage.Point{Trial: research.TrialID(i * 10), Score: s})
		}
		return p
	}
	tests := []struct {
		points  []lineage.Point
		last    research.TrialID
		columns int
		want    string
	}{
		{nil, 10, 40, ""},
		{points(5), 0, 40, "█"},
		{points(4, 3, 2), 29, 6, "██▅▅▁▁"}, // lower scores, lower bars
		{points(1, 2), 19, 4, "▁▁██"},
		{points(2, 1), 500, 3, "▁▁▁"},
	}
	for _, test := range tests {
		if got := Curve(test.points, test.last, test.columns); got != test.want {
			t.Errorf("%v up to %s in %d columns: %s, want %s", test.points, test.last, test.columns, got, test.want)
		}
	}
}

func TestMarginText(t *testing.T) {
	killed := research.MarginOf(research.Bound{Name: "train", Unit: "s", Max: ptr(600.0)}, 605)
	killed.AtLeast = true
	for want, m := range map[string]research.Margin{
		"artifact_bytes: 16,002,056 B (≤ 16,000,000 B), 2,056 bytes over": research.MarginOf(size, 16_002_056),
		"accuracy: 0.95956 (≥ 0.96), 0.00044 short":                       research.MarginOf(gate, 0.95956),
		"accuracy: 0.97 (≥ 0.96), 0.01 to spare":                          research.MarginOf(gate, 0.97),
		"train: killed at 605 s (≤ 600 s), at least 5 s over":             killed,
	} {
		if got := MarginText(m); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestLinesFitTheTerminal(t *testing.T) {
	long := trial(12, research.StatusDiscard, 25.0, 0.3)
	long.Proposal.Hypothesis = strings.Repeat("ünïcode wörds ", 40) + "\nsecond line"
	for _, width := range []int{100, 120, 200} {
		line := VerdictLine(long, seconds, Style{Width: width})
		if n := utf8.RuneCountInString(line); n > width || strings.Contains(line, "\n") {
			t.Errorf("%d columns on a terminal of %d: %q", n, width, line)
		}
	}
}

func TestNothingShownCommandsTheTerminal(t *testing.T) {
	const title = "\x1b]0;owned\x07\u202egnp.exe\u2066\r"
	evil := trial(3, research.Status(research.Crash), 1, 0)
	evil.Proposal.Hypothesis, evil.Proposal.Notes, evil.Verdict.Reason = title, title, title
	evil.Measurement.Crash = &research.CrashExcerpt{Exception: title, Frame: title, Code: title}
	var out bytes.Buffer
	WriteTrial(&out, evil, overviewOf(), Style{Width: 100})
	evil.Proposal.Confinement = title
	WriteTrial(&out, evil, overviewOf(), Style{Width: 100})
	line := must(json.Marshal(entry{Kind: title, Turn: 1, Name: title, Args: must(json.Marshal(map[string]string{title: title})), Text: title}))
	WriteTranscript(&out, append(line, "\n"+title...), Style{Width: 100})
	for _, kind := range []string{"said", "tool_call", "tool_answer", "output", "noted"} {
		line := must(json.Marshal(entry{Kind: kind, Name: title, Args: must(json.Marshal(title)), Text: title}))
		WriteTranscript(&out, line, Style{Width: 100})
	}
	session := lineage.Session{SessionRow: research.SessionRow{ID: 1, Agent: title, Role: "x" + title, Proposer: title, Error: title, Ending: title, ClosedAt: noon}}
	WriteSession(&out, session, nil, Style{Width: 100})
	WriteSessions(&out, []lineage.Session{session}, Style{Width: 100})
	o := withModels(overviewOf())
	o.Ledger[0].Model, o.Ledger[1].Role, o.Live.Agents[0].Problem = title, title, title
	WriteStatus(&out, o, noon, Style{Width: 100})
	fmt.Fprintln(&out, VerdictLine(evil, seconds, Style{Width: 100}), Printable("a\tb\nc\x9b2J"))
	if strings.ContainsAny(out.String(), "\x1b\x07\u009b\r\u202e\u2066") {
		t.Errorf("escape codes of a recipe reach the terminal: %q", out.String())
	}
}

func TestColourOnlyOnDemand(t *testing.T) {
	var plain, coloured bytes.Buffer
	WriteStatus(&plain, overviewOf(), noon, Style{Width: 110})
	WriteStatus(&coloured, overviewOf(), noon, Style{Width: 110, Colour: true})
	if strings.Contains(plain.String(), "\x1b") || !strings.Contains(coloured.String(), "\x1b") {
		t.Error("escape codes belong on terminals, and only there")
	}
}

func TestScreen(t *testing.T) {
	interrupts := 0
	m := &model{ctx: t.Context(), width: 120, height: 40, screen: Screen{
		Interrupt: func() { interrupts++ }, Now: func() time.Time { return noon },
		Live: func(context.Context) (control.Live, error) { return control.Live{}, nil },
	}}
	show := func() string { return fmt.Sprint(m.View().Content) }
	if !strings.Contains(show(), "starting") {
		t.Errorf("before the first look at the run: %q", show())
	}
	m.Update(refreshed{overview: overviewOf()})
	for _, want := range []string{"Airbench", "72  arch", "seed 4 of 10", "waiting for 072", "Ctrl-C"} {
		if !strings.Contains(show(), want) {
			t.Errorf("the screen does not show %q:\n%s", want, show())
		}
	}
	m.Update(tea.KeyPressMsg{Code: 'c', Mod: tea.ModCtrl})
	if interrupts != 1 || !strings.Contains(show(), "again kills") {
		t.Errorf("after Ctrl-C: %d interrupts\n%s", interrupts, show())
	}
	m.Update(ended{})
	if _, quit := m.Update(refreshed{overview: overviewOf()}); quit == nil {
		t.Error("the screen stays after the run has ended and was shown once more")
	}
	if strings.Contains(show(), "waiting for 072") {
		t.Error("the last screen still shows agents at work")
	}
}
