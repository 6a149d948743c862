package tasks_test

import (
	"archive/zip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mendel/internal/research"
)

// TestLookingAheadGainsNothing: whatever a subject keeps, in memory or on disk, and however it treats the pipes, a byte is
// not known before its prediction is in. Learning from what was told gains, as it may.
func TestLookingAheadGainsNothing(t *testing.T) {
	pkg := load(t, "golf-cpu")
	host, spec := prepare(t, pkg)
	spec.Attempt.Seeds = []int64{1}
	spec.Task.Environment.Python.Packages = []string{"numpy"} // all that the spy needs
	recipe := files(t, filepath.Join(pkg.Dir, "tests", "spy"), pkg.Recipe.Editable)
	spy := func(mode string) map[string][]byte {
		return edited(t, recipe, edits{`MODE = "plain"`, `MODE = "` + mode + `"`})
	}
	score := func(mode string) float64 {
		t.Helper()
		m := attempt(t, host, spec, spy(mode), pkg.Evaluator.Dir)
		if m.Outcome != research.Valid {
			t.Fatalf("%s ended %s: %s", mode, m.Outcome, m.Reason)
		}
		return *m.Score
	}

	held := spec.Task.Data
	spec.Task.Data = nil
	for _, d := range held {
		if d.Name == "heldout" {
			d.Path = repeating(t, d.Path)
		}
		spec.Task.Data = append(spec.Task.Data, d)
	}
	repeated := score("peeks") // before the others, so that they could find what it keeps
	spec.Task.Data = held
	plain, peeks, learns := score("plain"), score("peeks"), score("learns")
	t.Logf("bits per byte: plain %v, peeks %v, learns %v; peeks at streams that repeat each other %v", plain, peeks, learns, repeated)
	if peeks != plain {
		t.Errorf("the model scores %v, and %v when it tries to look ahead", plain, peeks)
	}
	if plain-repeated < 1 {
		t.Errorf("the spy would not have used a byte that it knew: %v where streams repeat, else %v", repeated, plain)
	}
	if plain-learns < 0.1 {
		t.Errorf("learning from what was told gives %v instead of %v", learns, plain)
	}

	m := attempt(t, host, spec, spy("revises"), pkg.Evaluator.Dir)
	if m.Outcome != research.Crash || m.Score != nil || !strings.HasSuffix(m.Reason, "a frame that nobody asked for") {
		t.Errorf("revising a reply ended %s (%s)", m.Outcome, m.Reason)
	}
	spec.Task = budgeted(spec.Task, "evaluate", 2*time.Second, true)
	if m = attempt(t, host, spec, spy("late"), pkg.Evaluator.Dir); m.Outcome != research.EvalBudgetOverrun || m.Score != nil {
		t.Errorf("holding a reply back ended %s (%s)", m.Outcome, m.Reason)
	}
}

// TestLearningAtTestGains: a network whose predictions are mixed with counts of what it was told predicts better than the same
// network without them.
func TestLearningAtTestGains(t *testing.T) {
	if os.Getenv("MENDEL_E2E") == "" {
		t.Skip("set MENDEL_E2E to train the network: it takes a minute")
	}
	pkg := load(t, "golf-cpu")
	host, spec := prepare(t, pkg)
	spec.Attempt.Seeds = []int64{1}
	spec.Task = budgeted(budgeted(spec.Task, "train", 2*time.Minute, true), "evaluate", 2*time.Minute, true)
	// By a count of steps, not by the clock: then one seed gives the same weights twice.
	learning := edited(t, files(t, improved(pkg), pkg.Recipe.Editable), edits{
		byTheClock, "lambda step: step / 400",
	})
	frozen := edited(t, learning, edits{"ORDERS = {3: 60.0, 4: 30.0, 5: 16.0, 7: 6.0}", "ORDERS = {}"})
	var scores []float64
	for _, recipe := range []map[string][]byte{learning, frozen} {
		m := attempt(t, host, spec, recipe, pkg.Evaluator.Dir)
		if m.Outcome != research.Valid {
			t.Fatalf("ended %s: %s", m.Outcome, m.Reason)
		}
		scores = append(scores, *m.Score)
	}
	t.Logf("bits per byte: learning %v, frozen %v", scores[0], scores[1])
	if scores[1]-scores[0] < 0.1 {
		t.Errorf("learning from what was told gives %v instead of %v", scores[0], scores[1])
	}
}

// repeating makes held-out streams of which half say what the other half said a little earlier.
func repeating(t *testing.T, dir string) string {
	t.Helper()
	const streams, streamBytes, later = 128, 512, 32
	data := array(t, filepath.Join(dir, "streams.npz"), "streams")
	for i := streams / 2; i < streams; i++ {
		copy(data[i*streamBytes+later:(i+1)*streamBytes], data[(i-streams/2)*streamBytes:])
	}
	to := t.TempDir()
	file, err := os.Create(filepath.Join(to, "streams.npz"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	archive := zip.NewWriter(file)
	member, err := archive.Create("streams.npy")
	if err != nil {
		t.Fatal(err)
	}
	// Format 1.0: magic, version, length of the header, the header up to a multiple of 64 bytes.
	head := "{'descr': '|u1', 'fortran_order': False, 'shape': (128, 512), }"
	head += strings.Repeat(" ", 128-10-len(head)-1) + "\n"
	if _, err := member.Write(append([]byte("\x93NUMPY\x01\x00"+string([]byte{byte(len(head)), 0})+head), data...)); err != nil {
		t.Fatal(err)
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	return to
}
