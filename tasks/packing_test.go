package tasks_test

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"mendel/internal/research"
)

// grid makes 26 circles of radius 1/16. The first two lie apart from the others, and touch each other
// and the left side once their radii are 1/8. All of those two is exact in binary.
const grid = `
circles = [[(i % 6 + 0.5) / 6, 0.35 + 0.13 * (i // 6), 0.0625] for i in range(26)]
circles[:2] = [[0.125, 0.15625, 0.0625], [0.375, 0.15625, 0.0625]]
`

const gridSum = 26 * 0.0625

// TestPackingIsDecidedExactly: the evaluator finds what rounding or a tolerance would hide.
func TestPackingIsDecidedExactly(t *testing.T) {
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("this host has no python3")
	}
	const touching = "circles[0][2] = circles[1][2] = 0.125; "
	for _, c := range []struct {
		name     string
		edit     string
		sum      float64
		tolerant bool // whether published evaluators would accept it
		sign     int  // of the slack
	}{
		{"apart", "", gridSum, true, 1},
		{"touching", touching, gridSum + 0.125, true, 0},
		// The sum of the two radii, rounded to a float64, would still be the distance.
		{"overlap by one bit", touching + "circles[1][2] = math.nextafter(0.125, 1)", gridSum + 0.125, true, -1},
		{"outside by one bit", touching + "circles[0][0] = math.nextafter(0.125, 0)", gridSum + 0.125, true, -1},
		{"overlap within the tolerance", touching + "circles[1][2] += 0.9e-6", gridSum + 0.125 + 0.9e-6, true, -1},
		{"overlap beyond the tolerance", touching + "circles[1][2] += 1.1e-6", gridSum + 0.125 + 1.1e-6, false, -1},
		{"in the same place", "circles[1] = circles[0]", gridSum, false, -1},
		{"no radius", "circles[3][2] = 0", gridSum - 0.0625, true, -1},
		{"smallest radius", "circles[3][2] = 5e-324", gridSum - 0.0625, true, 0},
		{"negative radii", "circles[3][2] = circles[4][2] = -1", gridSum - 2.125, false, -1},
		// By a tenth of the smallest float64: seven times the square root of two is just below ten.
		{"overlap too small for a float64", "u = 5e-324; circles[:2] = [[5 * u, 5 * u, 5 * u], [12 * u, 12 * u, 5 * u]]",
			gridSum - 0.125, true, -1},
		{"beyond all bounds", "circles[0][2] = 1e300", 1e100, false, -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := packingScore(t, grid+c.edit)
			if math.Abs(got.Sum-c.sum) > 1e-12*math.Abs(c.sum) {
				t.Errorf("the sum of the radii is %v instead of %v", got.Sum, c.sum)
			}
			if (got.Slack > 0) != (c.sign > 0) || (got.Slack < 0) != (c.sign < 0) {
				t.Errorf("slack is %v, and its sign should be %d", got.Slack, c.sign)
			}
			if want := map[bool]float64{true: got.Sum}[c.tolerant]; got.Tolerant != want {
				t.Errorf("the sum at the published tolerance is %v instead of %v", got.Tolerant, want)
			}
		})
	}
}

type packingMetrics struct {
	Sum      float64 `json:"sum_of_radii"`
	Tolerant float64 `json:"sum_at_tolerance"`
	Slack    float64 `json:"slack"`
}

// packingScore has the evaluator's function score the circles that a few lines of Python make.
func packingScore(t *testing.T, making string) packingMetrics {
	t.Helper()
	script := "import json, math, score\n" + making + "\nprint(json.dumps(score.score(circles)))"
	command := exec.CommandContext(t.Context(), "python3", "-B", "-c", script)
	helpers := filepath.Join("..", "internal", "measure", "protocol", "python")
	command.Env = append(os.Environ(), "PYTHONPATH="+filepath.Join("packing", "evaluator")+":"+helpers)
	var complaint bytes.Buffer
	command.Stderr = &complaint
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, complaint.String())
	}
	var m packingMetrics
	if err := json.Unmarshal(out, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// packer is a recipe that leaves the grid, and can be told to do worse.
const packer = `
import os, sys
import numpy as np
` + grid + `
@ALWAYS@
if "--serve" in sys.argv:
    import mendel_subject
    found = np.load(os.environ["MENDEL_ARTIFACT"] + "/circles.npy")
    mendel_subject.serve(circles=lambda: found)
elif "--smoke" not in sys.argv:
    @TRAIN@
    np.save(os.environ["MENDEL_OUT"] + "/circles.npy", circles)
`

// TestPackingOutcomes: what the evaluator makes of answers that are no packing, or hardly one.
func TestPackingOutcomes(t *testing.T) {
	pkg := load(t, "packing")
	host, spec := prepare(t, pkg)
	spec.Attempt.Seeds = []int64{1}
	for _, c := range []struct {
		name          string
		always, train string
		outcome       research.Outcome
		score         float64 // 0 where none is measured
	}{
		{name: "packing", outcome: research.Valid, score: gridSum},
		{name: "overlap", train: "circles[0][2] = circles[1][2] = 0.1250001", outcome: research.Disqualified, score: gridSum + 0.1250002},
		{name: "not a number", train: "circles[3][0] = np.nan", outcome: research.Crash},
		{name: "one circle too few", train: "circles = circles[1:]", outcome: research.Crash},
		{name: "too much code", always: "#" + strings.Repeat(" ", 16000), outcome: research.SizeBlocked, score: gridSum},
	} {
		t.Run(c.name, func(t *testing.T) {
			source := strings.NewReplacer("@ALWAYS@", c.always, "@TRAIN@", c.train).Replace(packer)
			m := attempt(t, host, spec, map[string][]byte{"pack.py": []byte(source)}, pkg.Evaluator.Dir)
			if m.Outcome != c.outcome {
				t.Fatalf("ended %s (%s) instead of %s", m.Outcome, m.Reason, c.outcome)
			}
			var score float64
			if m.Score != nil {
				score = *m.Score
			}
			if math.Abs(score-c.score) > 1e-12 {
				t.Errorf("scores %v instead of %v", score, c.score)
			}
		})
	}
}

// TestPackingIsRepeatable: as the task promises by "noise: none", no seed moves the score.
func TestPackingIsRepeatable(t *testing.T) {
	pkg := load(t, "packing")
	host, spec := prepare(t, pkg)
	first, second := measure(t, host, spec, pkg, pkg.Recipe.Dir, 0), measure(t, host, spec, pkg, pkg.Recipe.Dir, 1)
	if first != second {
		t.Errorf("the same file scores %v and %v", first, second)
	}
}
