package tasks_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"mendel/internal/measure/runner"
	"mendel/internal/research"
)

// working has airbench-cpu's recipe work a second longer in training, unless that was done before and could be kept: whatever
// else runs the recipe leaves a note wherever it can.
var working = edits{
	"EPOCHS = 14", "EPOCHS = 1",
	"import os\n", "import os\nimport time\n",
	"def train(images, labels, epochs, rng):\n", `NOTES = [os.path.join(place, "done") for place in ("/tmp", "/dev/shm", "/var/tmp", ".",
    os.path.expanduser("~"), os.environ.get("MENDEL_OUT", "."))]


def train(images, labels, epochs, rng):
    time.sleep(0 if any(map(os.path.exists, NOTES)) else 1)
`,
	start, `
    main()
    for note in NOTES:
        try:
            open(note, "w").close()
        except OSError:
            pass  # no place for notes
`,
}

// TestMovedWorkCounts: whether airbench-cpu's recipe works in training or in answering, the clock that is the score runs; what
// it has worked before either is lost, and without the data there is nothing to work on.
func TestMovedWorkCounts(t *testing.T) {
	const (
		trains   = "        save(train(images, labels, EPOCHS, rng))\n"
		saves    = "        np.savez(os.path.join(os.environ[\"MENDEL_OUT\"], \"model.npz\"), images=images, labels=labels)\n"
		loads    = "    w = dict(np.load(os.path.join(os.environ[\"MENDEL_ARTIFACT\"], \"model.npz\")))\n"
		converts = "    w = {name: value.astype(PRECISION) for name, value in w.items()}\n"
		asked    = "        x = images[..., None].astype(PRECISION)\n"
		carried  = "    w = train(**np.load(os.path.join(os.environ[\"MENDEL_ARTIFACT\"], \"model.npz\")), epochs=EPOCHS, " +
			"rng=np.random.default_rng(int(os.environ[\"MENDEL_SEED\"])))\n"
		mounted = "    os.listdir(os.environ[\"MENDEL_DATA\"] + \"/train\")\n"
	)
	pkg := load(t, "airbench-cpu")
	host, spec := prepare(t, pkg)
	spec.Attempt.Seeds = []int64{1}
	honest := edited(t, files(t, pkg.Recipe.Dir, pkg.Recipe.Editable), working)

	// A check of a specialist's may run at any time before.
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "train.py"), honest["train.py"], 0o600); err != nil {
		t.Fatal(err)
	}
	if r, err := runner.Check(t.Context(), host, spec, "param_count", dir, pkg.Evaluator.Dir); err != nil || !r.OK {
		t.Fatalf("param_count: %+v, %v", r, err)
	}
	var accuracy float64
	for _, c := range []struct {
		name  string
		edits edits
		phase string // in which the second is spent
	}{
		{"in training", nil, "train"},
		{"before the first word", edits{trains, saves, loads, carried}, "evaluate"},
		{"at the question", edits{trains, saves, loads, "", converts, "", asked, "    " + carried + asked}, "evaluate"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := attempt(t, host, spec, edited(t, honest, c.edits), pkg.Evaluator.Dir)
			if m.Score == nil {
				t.Fatalf("ended %s: %s", m.Outcome, m.Reason)
			}
			spent := m.Phases[slices.IndexFunc(m.Phases, func(p research.PhaseRun) bool { return p.Phase == c.phase })].Wall
			if spent < 1 || *m.Score < 1 {
				t.Errorf("a second's work took %v s of %s, and scores %v s", spent, c.phase, *m.Score)
			}
			if c.edits == nil {
				accuracy = m.Metrics["accuracy"].Value
			} else if got := m.Metrics["accuracy"].Value; got != accuracy {
				t.Errorf("the same training gives an accuracy of %v instead of %v", got, accuracy)
			}
		})
	}
	t.Run("without having carried the data", func(t *testing.T) {
		m := attempt(t, host, spec, edited(t, honest, edits{loads, mounted + loads}), pkg.Evaluator.Dir)
		if m.Outcome != research.Crash || m.Score != nil {
			t.Errorf("ended %s: %s", m.Outcome, m.Reason)
		}
	})
}
