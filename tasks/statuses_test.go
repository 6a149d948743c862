package tasks_test

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"mendel/internal/measure/bundle"
	"mendel/internal/measure/sandbox"
	"mendel/internal/research"
	"mendel/internal/task"
)

// edits are what is replaced in a recipe and by what, in turn.
type edits []string

// A cost is how much of a trial is performed.
type cost int

const (
	stopped  cost = iota // a check ends it: nothing of the recipe runs
	started              // every phase starts, with hardly any work
	measured             // in full
)

// shapes say, for each package, which edits of its starting recipe lead where only the task's own
// constants can lead it. What every recipe can do wrong is done to all of them alike, in endings.
var shapes = map[string]struct {
	better, worse edits // valid, and beyond doubt
	steady        edits // beside those: no clock decides how much is done; none where none does
	missed        edits // short of a gate; none where the task has none
	quick         edits // hardly any work
	large         edits // beside quick: an artifact beyond its limit
	affords       cost  // without MENDEL_E2E
}{
	"airbench-cpu": {
		better: edits{`"float64"`, `"float32"`, "EPOCHS = 14", "EPOCHS = 12"}, worse: edits{"EPOCHS = 14", "EPOCHS = 40"},
		missed: edits{"EPOCHS = 14", "EPOCHS = 1"}, quick: edits{"EPOCHS = 14", "EPOCHS = 1"},
		large: edits{"HIDDEN = 128", "HIDDEN = 700"}, affords: started,
	},
	"golf-cpu": {
		better: edits{"BIGRAM_BUCKETS = 0", "BIGRAM_BUCKETS = 256"}, worse: edits{"LEARNING_RATE = 0.01", "LEARNING_RATE = 0.0001"},
		steady: edits{byTheClock, "lambda step: step / 120"}, quick: edits{byTheClock, "lambda step: 1.0"},
		large: edits{"LAYERS = 2", "LAYERS = 6"}, affords: stopped,
	},
	"nanochat-cpu": {
		better: edits{"LEARNING_RATE = 0.003", "LEARNING_RATE = 0.01", "INIT_STD = 0.02", "INIT_STD = 0.1"},
		worse:  edits{"LEARNING_RATE = 0.003", "LEARNING_RATE = 0.0001"},
		quick:  edits{"TRAIN_SECONDS = 21.0", "TRAIN_SECONDS = 0.0"}, large: edits{"WIDTH = 32", "WIDTH = 128"}, affords: stopped,
	},
	"packing": {
		better: edits{"GROW_ROUNDS = 0", "GROW_ROUNDS = 1"}, worse: edits{"LEARNING_RATE = 0.003", "LEARNING_RATE = 0.001"},
		missed: edits{"save(checked(search(RESTARTS, STEPS)))", "save(search(RESTARTS, STEPS) * [1, 1, 1.25])"},
		quick:  edits{"RESTARTS = 2", "RESTARTS = 1"},
		large:  edits{`"circles.npy"), circles)`, `"circles.npy"), np.tile(circles, (8, 1)))`, "lambda: found", "lambda: found[:26]"}, affords: measured,
	},
	"appraisal": {
		better: edits{"BINS = 16", "BINS = 64"}, worse: edits{"DEPTH = 3", "DEPTH = 1"}, quick: edits{"TREES = 60", "TREES = 2"},
		large: edits{`"model.npz"), **model)`, `"model.npz"), more=np.random.rand(100000), **model)`}, affords: started,
	},
}

// byTheClock is how golf-cpu's recipes know which part of the training time has passed.
const byTheClock = "lambda step: (time.monotonic() - begin) / (STARTED + TRAIN_SECONDS - begin)"

// An ending is one way in which a trial can end, and what must come of it.
type ending struct {
	name   string
	status research.Status
	cost   cost
	edits  edits
	cut    string        // a phase that gets a budget of
	budget time.Duration // this much,
	kill   bool          // and is killed when it is over
	bound  string        // a limit or a gate that is missed, which must be the whole reason; else
	reason string        // the whole reason, as a regular expression; none for a verdict on a valid trial, which has its own form
}

// endings lists every status, for one package.
func endings(pkg *task.Task) []ending {
	s := shapes[pkg.Name]
	stop := func(o research.Outcome) research.Status { return research.Status(o) }
	quick := func(more ...edits) edits { return slices.Concat(s.quick, slices.Concat(more...)) }
	late := nearMiss
	if pkg.NoiseKind != research.Timing { // which a busy minute could spoil
		late = strings.TrimSuffix(nearMiss, "?")
	}
	full := func(e edits) edits { return slices.Concat(s.steady, e) }
	rows := []ending{
		{name: "as it is", status: research.StatusBaseline, cost: measured, edits: full(nil), reason: "the recipe as the run found it"},
		{name: "better", status: research.StatusKeep, cost: measured, edits: full(s.better)},
		{name: "worse", status: research.StatusDiscard, cost: measured, edits: full(s.worse)},
		{name: "short of a gate", status: stop(research.Disqualified), cost: measured, edits: full(s.missed), bound: gate(pkg)},
		{name: "too much left behind", status: stop(research.SizeBlocked), cost: started,
			edits: quick(s.large, sayingWhatIsLeft(pkg)), bound: "artifact_bytes"},
		{name: "better, but late", status: stop(research.TrainBudgetOverrun), cost: measured, edits: full(s.better),
			cut: "train", budget: 10 * time.Millisecond, reason: `train ran [\d.]+ s, over its budget of 0.01 s` + late},
		{name: "endless training", status: stop(research.TrainBudgetOverrun), cost: started, edits: first("train", "time.sleep(60)"),
			cut: "train", budget: time.Second, kill: true, reason: `train was killed after [\d.]+ s, over its budget of 1 s`},
		{name: "endless answer", status: stop(research.EvalBudgetOverrun), cost: started, edits: quick(first("evaluate", "time.sleep(60)")),
			cut: "evaluate", budget: time.Second, kill: true, reason: `evaluate was killed after [\d.]+ s, over its budget of 1 s`},
		{name: "exception", status: stop(research.Crash), cost: started, edits: first("train", "1 / 0"),
			reason: "train: exit status 1: ZeroDivisionError: division by zero"},
		{name: "exception at once", status: stop(research.PreflightCrash), cost: started, edits: first("preflight", "1 / 0"),
			reason: "preflight: exit status 1: ZeroDivisionError: division by zero"},
		{name: "no Python", status: stop(research.PreflightCrash), cost: stopped, edits: edits{"def main():", "def main(:"},
			reason: "syntax_check: exit status 1: SyntaxError: .+"},
		{name: evaluatorDies, status: stop(research.Aborted), cost: started, edits: s.quick,
			reason: "the harness failed, which says nothing about the idea: evaluate: the evaluator did not say hello .+"},
	}
	if i := slices.IndexFunc(pkg.Bounds, func(b research.Bound) bool { return b.Name == "code_bytes" }); i >= 0 {
		most := *pkg.Bounds[i].Max
		rows = append(rows, ending{name: "a byte of code too much", status: stop(research.SizeBlocked), cost: stopped, edits: padded(pkg, int(most)+1),
			reason: fmt.Sprintf("(size_project: exit status 1: code|code_bytes) %s: 1 B over %s", research.Quantity(most+1, "B"), research.Quantity(most, "B"))})
	}
	return slices.DeleteFunc(rows, func(e ending) bool { return e.status == stop(research.Disqualified) && e.bound == "" })
}

const start = "\n    main()\n" // how every recipe here starts, in its last line

// first has a recipe do something else first in a phase.
func first(phase, code string) edits {
	return edits{start, "\n    import time\n    if os.environ.get('MENDEL_PHASE') == '" + phase + "': " + code + start}
}

// padded has a recipe's code take that many bytes, by a comment.
func padded(pkg *task.Task, size int) edits {
	info, err := os.Stat(filepath.Join(pkg.Recipe.Dir, pkg.Recipe.Editable[0]))
	if err != nil {
		return nil // and no edit is no excess
	}
	return edits{start, start + strings.Repeat("#", size-int(info.Size()))}
}

// sayingWhatIsLeft has a recipe count what training left, as the harness will.
func sayingWhatIsLeft(pkg *task.Task) edits {
	counted := "os.path.getsize(os.environ['MENDEL_OUT'] + '/" + pkg.Artifact.Files[0] + "')"
	if pkg.Artifact.CountsCode {
		counted += " + os.path.getsize(sys.argv[0])"
	}
	return edits{start, start + "    if os.environ.get('MENDEL_PHASE') == 'train': print(" + counted + ")\n"}
}

// nearMiss may follow where a limit or a gate has stopped a trial that was measured all the same.
const nearMiss = `(; its score \S+ beats 000 by .+)?`

const evaluatorDies = "an evaluator that dies first"

// gate is the name of the task's gate, or empty.
func gate(pkg *task.Task) string {
	i := slices.IndexFunc(pkg.Bounds, func(b research.Bound) bool { return b.Gate })
	if i < 0 {
		return "" // and no shape misses it
	}
	return pkg.Bounds[i].Name
}

// TestEveryStatus brings each package's starting recipe to every status there is, through the runner and the
// verdict, and checks what the next specialist would read.
func TestEveryStatus(t *testing.T) {
	for _, s := range shipped {
		t.Run(s.name, func(t *testing.T) {
			pkg := load(t, s.name)
			shape, ok := shapes[s.name]
			if !ok {
				t.Fatalf("add %s to shapes", s.name)
			}
			rows := endings(pkg)
			for _, want := range research.Statuses() {
				if (want != research.Status(research.Disqualified) || gate(pkg) != "") && !slices.ContainsFunc(rows, func(e ending) bool { return e.status == want }) {
					t.Errorf("no ending leads to %s", want)
				}
			}
			host, spec := prepare(t, pkg)
			var reference *float64
			for _, e := range rows {
				if e.cost > shape.affords && os.Getenv("MENDEL_E2E") == "" {
					continue
				}
				t.Run(e.name, func(t *testing.T) {
					m := e.bringAbout(t, host, spec, pkg)
					j := research.Judgement{
						Rule: pkg.Keep, Score: pkg.Score, Trial: 1, Candidate: m, Incumbent: research.Baseline, Reference: reference,
					}
					if e.status == research.StatusBaseline {
						j.Trial, reference = research.Baseline, m.Score
					}
					e.check(t, j, research.Judge(j))
				})
			}
		})
	}
}

// bringAbout measures the edited recipe.
func (e ending) bringAbout(t *testing.T, host *sandbox.Host, spec bundle.Spec, pkg *task.Task) research.Measurement {
	t.Helper()
	seeds, evaluator := 1, pkg.Evaluator.Dir
	if e.cost == measured {
		seeds = pkg.Seeds
	}
	spec.Attempt.Seeds = research.SeedsFor(1, 1, 0, seeds)
	for _, p := range pkg.Phases {
		switch {
		case p.Name == e.cut:
			spec.Task = budgeted(spec.Task, p.Name, e.budget, e.kill)
		case p.Budget > 0: // several times as much: a busy machine must not decide a test
			spec.Task = budgeted(spec.Task, p.Name, 5*p.Budget.Std(), true)
		}
	}
	if e.name == evaluatorDies {
		spec.EvaluatorHash, evaluator = "", t.TempDir()
		if err := os.WriteFile(filepath.Join(evaluator, "score.py"), []byte("raise MemoryError\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		spec.Task.Checks = slices.DeleteFunc(slices.Clone(spec.Task.Checks), func(c bundle.Check) bool { return c.Trusted })
	}
	return attempt(t, host, spec, edited(t, files(t, pkg.Recipe.Dir, pkg.Recipe.Editable), e.edits), evaluator)
}

// check compares status, reason and margins with what they should be.
func (e ending) check(t *testing.T, j research.Judgement, v research.Verdict) {
	t.Helper()
	m, want := j.Candidate, e.reason
	if got := research.StatusOf(j.Trial, m.Outcome, v); got != e.status {
		t.Fatalf("ended %s (%s) instead of %s", got, v.Reason, e.status)
	}
	if how := map[research.Status]string{research.StatusKeep: "better", research.StatusDiscard: "worse"}[e.status]; how != "" {
		want = regexp.QuoteMeta(fmt.Sprintf("%s %s than 000 (%s → %s)", research.Quantity(math.Abs(*m.Score-*j.Reference), j.Score.Unit), how,
			research.Number(*j.Reference), research.Number(*m.Score)))
	}
	for _, margin := range m.Margins {
		over := margin.Value - e.budget.Seconds()
		if margin.Bound.Name == e.cut && (over <= 0 || margin.Slack != -over || margin.AtLeast != e.kill) {
			t.Errorf("the margin of %s is %+v", e.cut, margin)
		}
		if margin.Bound.Name == e.bound {
			want = regexp.QuoteMeta(missed(t, margin, m)) + nearMiss
		}
	}
	if !regexp.MustCompile("^" + want + "$").MatchString(v.Reason) {
		t.Errorf("the reason is\n%s\nand should be\n%s", v.Reason, want)
	}
}

// missed says in the words of a verdict how a limit or a gate was missed. Bytes are counted twice: by the harness,
// and by the recipe, whose last line says what it left.
func missed(t *testing.T, margin research.Margin, m research.Measurement) string {
	t.Helper()
	edge, side := margin.Bound.Min, "short of"
	if margin.Bound.Max != nil {
		edge, side = margin.Bound.Max, "over"
		train := m.Phases[slices.IndexFunc(m.Phases, func(p research.PhaseRun) bool { return p.Phase == "train" })]
		said := train.Tail[strings.LastIndexByte(train.Tail, '\n')+1:]
		if counted := strconv.FormatFloat(margin.Value, 'f', -1, 64); counted != said {
			t.Errorf("the recipe left %s bytes, and %s were counted", said, counted)
		}
	}
	by := math.Abs(margin.Value - *edge)
	if margin.Slack != -by || by == 0 {
		t.Errorf("%v misses %v with a margin of %v", margin.Value, *edge, margin.Slack)
	}
	unit := margin.Bound.Unit
	return fmt.Sprintf("%s %s: %s %s %s", margin.Bound.Name, research.Quantity(margin.Value, unit), research.Quantity(by, unit),
		side, research.Quantity(*edge, unit))
}

// edited changes a recipe in which each text to be replaced stands exactly once.
func edited(t *testing.T, recipe map[string][]byte, e edits) map[string][]byte {
	t.Helper()
	recipe = maps.Clone(recipe)
	for i := 0; i < len(e); i += 2 {
		found := 0
		for path, code := range recipe {
			found += bytes.Count(code, []byte(e[i]))
			recipe[path] = bytes.Replace(code, []byte(e[i]), []byte(e[i+1]), 1)
		}
		if found != 1 {
			t.Fatalf("%q stands %d times in the recipe", e[i], found)
		}
	}
	return recipe
}

// budgeted gives a phase another budget, without grace, and lets it be killed when that is over.
func budgeted(plan bundle.Plan, phase string, budget time.Duration, kill bool) bundle.Plan {
	phases, bounds, seconds := plan.Phases, plan.Bounds, budget.Seconds()
	plan.Phases, plan.Bounds = nil, nil
	for _, p := range phases {
		if p.Name == phase {
			p.Budget, p.Grace = research.Duration(budget), 0
			if kill {
				p.KillAfter = p.Budget
			}
		}
		plan.Phases = append(plan.Phases, p)
	}
	for _, b := range bounds {
		if b.Name == phase {
			b.Max = &seconds
		}
		plan.Bounds = append(plan.Bounds, b)
	}
	return plan
}
