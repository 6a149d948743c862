package task

import (
	"strings"
	"testing"

	"mendel/internal/research"
)

// partsTask is the scaffolded task with a training whose time has parts.
func partsTask(t *testing.T) string {
	t.Helper()
	dir := exampleTask(t)
	edit(t, dir, "task.yaml", "    budget: 5s ", "    parts: [{name: setup, budget: 1s}, {name: fitting, from: '^epoch 1', budget: 5s, grace: 500ms}]\n    # ")
	edit(t, dir, "task.yaml", "    grace: 500ms\n    on_overrun: train_budget_overrun\n", "")
	edit(t, dir, "task.yaml", "metrics:", "metrics:\n  fitting_s: {source: recipe-log, measure: wall(fitting)}\n  # ")
	return dir
}

func TestParts(t *testing.T) {
	pkg, err := Load(partsTask(t))
	if err != nil {
		t.Fatal(err)
	}
	p := pkg.Phases[1]
	if len(p.Parts) != 2 || p.KillAfter.Std().Seconds() != 6.5 || p.Parts[1].OnOverrun != research.TrainBudgetOverrun {
		t.Errorf("%+v", p)
	}
	if b := pkg.Bounds[1]; b.Name != "fitting" || *b.Max != 5.5 {
		t.Errorf("bounds %+v", pkg.Bounds)
	}
}

func TestBrokenPartsAreExplained(t *testing.T) {
	for name, c := range map[string]struct{ old, with, message string }{
		"no beginning":      {"name: fitting, from: '^epoch 1',", "name: fitting,", "not said where"},
		"two beginnings":    {"name: setup,", "name: setup, from: x,", "not said where"},
		"a taken name":      {"name: fitting,", "name: evaluate,", "evaluate"},
		"a budget too":      {"    parts:", "    timeout: 5s\n    parts:", "has parts and timeout"},
		"no expression":     {"'^epoch 1'", "'('", "missing closing"},
		"killed too early":  {"grace: 500ms}", "grace: 500ms, kill_after: 5s}", "before budget and grace"},
		"not the harness's": {"fitting_s: {source: recipe-log,", "fitting_s: {source: harness,", "its time is self-reported"},
		"not the recipe's":  {"measure: wall(fitting)", "measure: wall(train)", "no part of a phase"},
		"a cache of data":   {"seeds: 2", "seeds: 2\ncache: {from: preflight, files: [\"k/**\"]}\n#", ""},
		"a cache of train":  {"seeds: 2", "seeds: 2\ncache: {from: train, files: [\"k/**\"]}\n#", "sees data.train"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := partsTask(t)
			edit(t, dir, "task.yaml", c.old, c.with)
			problems := problemsOf(t, dir)
			if c.message == "" && problems != nil || c.message != "" && !strings.Contains(problems.Error(), c.message) {
				t.Errorf("want %q, got %v", c.message, problems)
			}
		})
	}
}
