package mutate

import (
	"fmt"
	"math"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"mendel/internal/propose/session/sessiontest"
	"mendel/internal/propose/tool"
	"mendel/internal/propose/workspace"
	"mendel/internal/research"
)

const recipe = `# a recipe that is only its settings
LEARNING_RATE = 0.5
WIDTH = 16
MOMENTUM = 0.1
WEIGHT_DECAY = 0.1
BATCH = 512
ACTIVATION = "tanh"
NESTEROV = False
BASE_WIDTH = 16
`

func number(v float64) *float64 { return &v }

func knobs() []research.Knob {
	place := func(name string) research.Place {
		return research.Place{File: "train.py", Pattern: `^` + name + ` = "?([\w.-]+)"?$`}
	}
	return []research.Knob{
		{Name: "learning_rate", Role: "opt", Type: research.FloatKnob, Min: number(1e-4), Max: number(2), Scale: "log", Step: 2, Place: place("LEARNING_RATE")},
		{Name: "width", Role: "arch", About: "units of the hidden layer", Type: research.IntKnob, Min: number(4), Max: number(512), Scale: "log", Step: 1.5, Place: place("WIDTH")},
		{Name: "momentum", Role: "opt", Type: research.FloatKnob, Min: number(0), Max: number(0.99), Step: 0.1, Place: place("MOMENTUM")},
		{Name: "weight_decay", Role: "reg", Type: research.FloatKnob, Min: number(1e-6), Max: number(1), Scale: "log", Step: 3, Place: place("WEIGHT_DECAY")},
		{Name: "batch", Role: "opt", Type: research.IntKnob, Min: number(8), Max: number(2048), Scale: "log", Step: 2, Place: place("BATCH")},
		{Name: "activation", Role: "arch", Type: research.ChoiceKnob, Choices: []string{"tanh", "relu", "gelu"}, Place: place("ACTIVATION")},
		{Name: "nesterov", Role: "opt", Type: research.BoolKnob, Place: place("NESTEROV")},
	}
}

// settings reads what the recipe says.
func settings(tree workspace.Tree) map[string]string {
	f, _ := tree.Get("train.py")
	found := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^(\w+) = "?([\w.-]+)"?$`).FindAllStringSubmatch(string(f.Data), -1) {
		found[strings.ToLower(m[1])] = m[2]
	}
	return found
}

func value64(t map[string]string, name string) float64 {
	v, err := strconv.ParseFloat(t[name], 64)
	if err != nil {
		panic(fmt.Sprintf("%s: %v", name, err)) // the proposer wrote a value that is none
	}
	return v
}

// landscape scores settings: a bowl in logarithmic coordinates, better with width, of which a
// size limit allows only so much; a learning rate far too high crashes.
func landscape(tree workspace.Tree) research.Measurement {
	s := settings(tree)
	lr, width, batch := value64(s, "learning_rate"), value64(s, "width"), value64(s, "batch")
	if lr > 1.5 {
		return research.Measurement{Outcome: research.Crash, Reason: "loss is not finite",
			Crash: &research.CrashExcerpt{Phase: "train", Exception: "FloatingPointError: loss is nan"}}
	}
	sq := func(v float64) float64 { return v * v }
	score := 1 + 0.10*sq(math.Log(lr/0.02)) + 0.5*sq(value64(s, "momentum")-0.9) + 0.02*sq(math.Log(value64(s, "weight_decay")/1e-3)) +
		0.05*sq(math.Log(batch/64)) + 0.25*math.Log(512/width)
	score += map[string]float64{"tanh": 0.1, "relu": 0.05, "gelu": 0}[s["activation"]]
	if s["nesterov"] == "False" {
		score += 0.02
	}
	size := width * width / 10
	m := research.Measurement{Outcome: research.Valid, Score: &score}
	limit := research.Bound{Name: "bytes", Metric: "bytes", Unit: "B", Max: number(2000), Outcome: research.SizeBlocked}
	m.Margins = []research.Margin{research.MarginOf(limit, size)}
	if !m.Margins[0].Holds() {
		m.Outcome, m.Reason = research.SizeBlocked, "too large"
	}
	return m
}

func newRun(lineage bool, measure func(workspace.Tree) research.Measurement) *sessiontest.Run {
	r := &sessiontest.Run{
		Task: research.TaskCard{
			Name: "synthetic", Editable: []string{"train.py"}, Knobs: knobs(),
			Score: research.ScoreRule{Metric: "loss", Unit: "nats", Direction: research.Minimize}, Keep: research.KeepRule{Rule: research.Strict},
		},
		Arm:     research.Arm{Agents: research.Single, Lineage: lineage},
		Measure: measure,
	}
	r.Start(workspace.Tree{{Path: "train.py", Mode: 0o644, Data: []byte(recipe)}})
	return r
}

func generalist() research.Role { return research.Role{ID: "single", Title: "Generalist"} }

func anything(string) bool { return true }

// search plays sessions until a budget of trials is used or they end without a submission.
func search(t *testing.T, r *sessiontest.Run, trials int, seed int64) {
	t.Helper()
	searchBriefed(t, r, trials, seed, func(*research.Brief) {})
}

// searchBriefed changes each brief before its session reads it.
func searchBriefed(t *testing.T, r *sessiontest.Run, trials int, seed int64, change func(*research.Brief)) {
	t.Helper()
	barren := 0
	for n := 1; len(r.All()) <= trials && barren < 20; n++ {
		before := len(r.All())
		b := r.Brief(generalist(), research.SessionID(n), seed*1000+int64(n))
		change(&b)
		r.Play(t, Proposer{}, b, anything)
		if len(r.All()) == before {
			barren++
		}
	}
}

func best(t *testing.T, r *sessiontest.Run) float64 {
	t.Helper()
	v, ok := r.Incumbent().Score()
	if !ok {
		t.Fatal("no incumbent")
	}
	return v
}

// randomSearch draws every knob anew from its range for each trial.
func randomSearch(r *sessiontest.Run, trials int, seed uint64) float64 {
	random := rand.New(rand.NewPCG(seed, 1))
	lowest := math.Inf(1)
	for range trials {
		text := recipe
		for _, k := range knobs() {
			at := regexp.MustCompile("(?m)" + k.Place.Pattern).FindStringSubmatchIndex(text)
			a, _ := axisOf(k, text[at[2]:at[3]])
			var to string
			if a.categorical() {
				to = a.write(float64(random.IntN(len(a.choices()))))
			} else {
				to = a.write(a.min + random.Float64()*(a.max-a.min))
			}
			text = text[:at[2]] + to + text[at[3]:]
		}
		m := r.Measure(workspace.Tree{{Path: "train.py", Data: []byte(text)}})
		if m.Outcome == research.Valid {
			lowest = min(lowest, *m.Score)
		}
	}
	return lowest
}

func TestBeatsRandomSearchAndItsOwnBlindSelf(t *testing.T) {
	const seeds, trials = 8, 60
	var informed, blind, random float64
	wins := 0
	for seed := range int64(seeds) {
		r := newRun(true, landscape)
		search(t, r, trials, seed)
		n := newRun(false, landscape)
		search(t, n, trials, seed)
		mine, theirs := best(t, r), randomSearch(r, trials, uint64(seed))
		if mine < theirs {
			wins++
		}
		informed, blind, random = informed+mine/seeds, blind+best(t, n)/seeds, random+theirs/seeds
	}
	t.Logf("mean of the best of %d trials: mutate %.4f, without lineage %.4f, random search %.4f (won %d of %d)", trials, informed, blind, random, wins, seeds)
	if informed >= random || wins < seeds*3/4 {
		t.Errorf("mutate reaches %.4f on average, random search %.4f", informed, random)
	}
	if informed >= blind {
		t.Errorf("the lineage does not help: %.4f with it, %.4f without", informed, blind)
	}
}

// TestRepairsNearMisses sets searches that are shown near misses beside searches that are not,
// and looks for what makes the difference: a trial that a limit stopped, and one built on it
// that was kept.
func TestRepairsNearMisses(t *testing.T) {
	const seeds, trials = 8, 60
	var shown, hidden float64
	repaired := 0
	for seed := range int64(seeds) {
		r, blind := newRun(true, landscape), newRun(true, landscape)
		search(t, r, trials, seed)
		searchBriefed(t, blind, trials, seed, func(b *research.Brief) { b.History.NearMisses = nil })
		shown, hidden = shown+best(t, r)/seeds, hidden+best(t, blind)/seeds
		all := r.All()
		for _, trial := range all {
			if trial.Status == research.StatusKeep && all[trial.Proposal.Parent].Status.Stopped() {
				repaired++
			}
		}
	}
	t.Logf("mean of the best of %d trials: %.4f when near misses are shown, %.4f when not; %d repairs kept", trials, shown, hidden, repaired)
	if repaired < seeds || shown >= hidden {
		t.Errorf("near misses do not help: %.4f with them, %.4f without, %d repairs kept", shown, hidden, repaired)
	}
}

func TestSameBriefSameProposal(t *testing.T) {
	texts := map[string]bool{}
	for seed := range int64(8) {
		var first string
		for range 2 {
			r := newRun(true, landscape)
			search(t, r, 12, 5)
			b := r.Brief(generalist(), 99, seed)
			r.Play(t, Proposer{}, b, anything)
			all := r.All()
			p := all[len(all)-1].Proposal
			text := fmt.Sprint(p.Hypothesis, *p.Expected, p.Notes, p.Tree, p.Parent)
			if first == "" {
				first = text
			} else if text != first {
				t.Errorf("seed %d proposes\n%s\nand then\n%s", seed, first, text)
			}
		}
		texts[first] = true
	}
	if len(texts) < 3 {
		t.Errorf("8 seeds made only %d different proposals", len(texts))
	}
}

func TestProposalsAreTrue(t *testing.T) {
	r := newRun(true, landscape)
	search(t, r, 60, 2)
	all := r.All()
	if len(all) < 61 {
		t.Fatalf("%d trials were proposed, want 60", len(all)-1)
	}
	cited := 0
	for _, trial := range all[1:] {
		p := trial.Proposal
		before, after := settings(treeOf(t, r, p.Parent)), settings(treeOf(t, r, trial.ID))
		found := notePattern().FindAllStringSubmatch(p.Notes, -1)
		changed := 0
		for name := range after {
			if before[name] != after[name] {
				changed++
			}
		}
		if changed != len(found) || changed == 0 {
			t.Errorf("trial %s changes %d settings, and its notes say %q", trial.ID, changed, p.Notes)
		}
		for _, f := range found {
			if before[f[1]] != f[2] || after[f[1]] != f[3] {
				t.Errorf("trial %s notes %q, but %s went from %s to %s", trial.ID, p.Notes, f[1], before[f[1]], after[f[1]])
			}
			if !strings.Contains(p.Hypothesis, "from "+f[2]+" to "+f[3]) {
				t.Errorf("trial %s moves %s and its hypothesis does not say so: %s", trial.ID, f[1], p.Hypothesis)
			}
		}
		for _, id := range regexp.MustCompile(`trial (\d{3})`).FindAllStringSubmatch(p.Hypothesis, -1) {
			cited++
			if n, _ := research.ParseTrialID(id[1]); n >= trial.ID {
				t.Errorf("trial %s cites trial %s, which did not exist: %s", trial.ID, n, p.Hypothesis)
			}
		}
		if p.Expected == nil || strings.Count(p.Hypothesis, "\n") > 0 || !strings.HasSuffix(p.Hypothesis, ".") {
			t.Errorf("trial %s: want a forecast and one sentence, got %v, %q", trial.ID, p.Expected, p.Hypothesis)
		}
	}
	if cited < 20 {
		t.Errorf("60 hypotheses cite only %d trials as evidence", cited)
	}
}

func treeOf(t *testing.T, r *sessiontest.Run, id research.TrialID) workspace.Tree {
	t.Helper()
	tree, err := r.Tree(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func TestValuesStayInRange(t *testing.T) {
	r := newRun(true, func(tree workspace.Tree) research.Measurement {
		// Everything pulls outwards, so that every range is walked to its end.
		s := settings(tree)
		score := -math.Log(value64(s, "learning_rate")) - value64(s, "momentum") - math.Log(value64(s, "width")) + math.Log(value64(s, "batch"))
		return research.Measurement{Outcome: research.Valid, Score: &score}
	})
	search(t, r, 60, 1)
	end := settings(treeOf(t, r, r.Incumbent().ID))
	for _, k := range knobs() {
		if k.Min == nil {
			continue
		}
		for _, trial := range r.All() {
			v := value64(settings(treeOf(t, r, trial.ID)), k.Name)
			if v < *k.Min*(1-1e-9) || v > *k.Max*(1+1e-9) {
				t.Errorf("trial %s sets %s to %v, outside %v to %v", trial.ID, k.Name, v, *k.Min, *k.Max)
			}
		}
	}
	if end["batch"] != "8" || end["width"] != "512" {
		t.Errorf("where more is always better it stops at width %s, batch %s; want the ends 512 and 8", end["width"], end["batch"])
	}
}

func TestCrashIsAWall(t *testing.T) {
	r := newRun(true, landscape)
	r.Task.Knobs = knobs()[:1] // the learning rate, from 0.5; above 1.5 it crashes
	search(t, r, 25, 4)
	crashes := 0
	for _, trial := range r.All() {
		if trial.Status == research.Status(research.Crash) {
			crashes++
		}
	}
	if crashes > 4 {
		t.Errorf("%d of 25 trials crashed: it does not keep away", crashes)
	}
	if got := value64(settings(treeOf(t, r, r.Incumbent().ID)), "learning_rate"); got < 0.01 || got > 0.04 {
		t.Errorf("learning_rate ends at %v, want near 0.02", got)
	}
}

func TestWithoutLineageItKnowsNothing(t *testing.T) {
	r := newRun(false, landscape)
	search(t, r, 15, 3)
	for _, trial := range r.All()[1:] {
		if p := trial.Proposal; strings.Contains(p.Hypothesis, "trial") && !strings.Contains(p.Hypothesis, "nothing is known here of earlier trials") {
			t.Errorf("trial %s speaks of trials that it cannot know: %s", trial.ID, p.Hypothesis)
		}
	}
}

func TestOnlyKnobsOfItsRoleMove(t *testing.T) {
	r := newRun(true, landscape)
	r.Arm.Agents = research.Specialists
	role := research.Role{ID: "arch"}
	for n := range 12 {
		b := r.Brief(role, research.SessionID(n+1), int64(n))
		r.Play(t, Proposer{}, b, anything)
	}
	for _, trial := range r.All()[1:] {
		for _, f := range notePattern().FindAllStringSubmatch(trial.Proposal.Notes, -1) {
			if f[1] != "width" && f[1] != "activation" {
				t.Errorf("arch moves %s", f[1])
			}
		}
	}
}

func TestNothingToMove(t *testing.T) {
	cases := map[string]func(r *sessiontest.Run) func(string) bool{
		"values that do not parse": func(r *sessiontest.Run) func(string) bool {
			for i := range r.Task.Knobs {
				r.Task.Knobs[i].Place.Pattern = `^# a (\w+)`
			}
			return anything
		},
		"files that are not there": func(r *sessiontest.Run) func(string) bool {
			for i := range r.Task.Knobs {
				r.Task.Knobs[i].Place.File = "gone.py"
			}
			return anything
		},
		"files that it may not edit": func(*sessiontest.Run) func(string) bool { return func(string) bool { return false } },
		"checks that always fail": func(r *sessiontest.Run) func(string) bool {
			r.Task.Checks = []research.CheckCard{{Name: "syntax_check"}}
			r.OnCheck = func(string, string) tool.CheckResult { return tool.CheckResult{Output: "no"} }
			return anything
		},
		"no knobs": func(r *sessiontest.Run) func(string) bool { r.Task.Knobs = nil; return anything },
	}
	for name, prepare := range cases {
		t.Run(name, func(t *testing.T) {
			r := newRun(true, landscape)
			mayEdit := prepare(r)
			if s := r.Play(t, Proposer{}, r.Brief(generalist(), 1, 7), mayEdit); s.Submitted() != 0 {
				t.Errorf("it submitted %d trials", s.Submitted())
			}
		})
	}
}

func TestChecksRunOnTheEditBeforeSubmitting(t *testing.T) {
	r := newRun(true, landscape)
	r.Task.Checks = []research.CheckCard{{Name: "size_project"}}
	r.OnCheck = func(string, string) tool.CheckResult { return tool.CheckResult{OK: true} }
	search(t, r, 3, 1)
	var order []string
	for _, c := range r.Calls() {
		switch c.Tool {
		case "edit_file", "size_project", "submit_trial":
			order = append(order, c.Tool)
		}
	}
	if got := strings.Join(order[:3], " "); got != "edit_file size_project submit_trial" {
		t.Errorf("the first session called %s", got)
	}
}

func TestEditWhereTheTextStandsTwice(t *testing.T) {
	// "WIDTH = 16" is also the end of "BASE_WIDTH = 16": the edit has to find the right one.
	r := newRun(true, landscape)
	r.Task.Knobs = knobs()[1:2]
	search(t, r, 1, 1)
	after := settings(treeOf(t, r, 1))
	if after["width"] == "16" || after["base_width"] != "16" {
		t.Errorf("width is %s and base_width %s; only the first should change", after["width"], after["base_width"])
	}
}
