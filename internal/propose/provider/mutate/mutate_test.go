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
	barren := 0
	for n := 1; len(r.All()) <= trials && barren < 20; n++ {
		before := len(r.All())
		b := r.Brief(generalist(), research.SessionID(n), seed*1000+int64(n))
		if err := (Proposer{}).Propose(t.Context(), r.Open(t, b, anything)); err != nil {
			t.Fatal(err)
		}
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
			to := ""
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
	const seeds, trials = 12, 60
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

var _ tool.Row
