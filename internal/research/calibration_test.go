package research

import (
	"math"
	"strings"
	"testing"
)

func TestCalibrate(t *testing.T) {
	stored := &Calibration{Run: "c0ffee", Noise: NoiseOf(Timing, []float64{9, 10, 11, 10})} // mean 10, sd 0.8165, floor 2.7174
	for name, test := range map[string]struct {
		stored *Calibration
		scores []float64
		n      int
		sd     float64
		from   string
		drift  float64 // NaN: none is recorded
	}{
		"nothing stored":       {nil, []float64{12, 14}, 2, math.Sqrt2, "", math.NaN()},
		"as it was":            {stored, []float64{12.7}, 4, math.Sqrt(2.0 / 3), "c0ffee", 2.7},
		"faster than it was":   {stored, []float64{7.2}, 1, 0, "", -2.8},
		"measured here then":   {stored, []float64{12.8, 14.8}, 2, math.Sqrt2, "", 2.8},
		"nothing measured yet": {stored, nil, 0, 0, "", math.NaN()},
	} {
		c := Calibrate(Timing, test.stored, test.scores)
		if c.Noise.N != test.n || math.Abs(c.Noise.SD-test.sd) > 1e-9 || c.From != test.from {
			t.Errorf("%s: %+v", name, c)
		}
		switch {
		case c.Drift == nil != math.IsNaN(test.drift):
			t.Errorf("%s: drift is recorded: %v", name, c.Drift != nil)
		case c.Drift != nil && math.Abs(*c.Drift-test.drift) > 1e-9:
			t.Errorf("%s: drift %v, want %v", name, *c.Drift, test.drift)
		}
		if len(test.scores) == 1 && c.Noise.Mean != test.scores[0] {
			t.Errorf("%s: mean %v is not of this run's own measurement", name, c.Noise.Mean)
		}
	}
}

func TestWithoutNoiseAnyDifferenceIsDrift(t *testing.T) {
	stored := &Calibration{Run: "c0ffee", Noise: NoiseOf(None, []float64{3, 3})}
	if c := Calibrate(None, stored, []float64{3}); c.From == "" {
		t.Error("the same score is not the same")
	}
	if c := Calibrate(None, stored, []float64{3.0001}); c.From != "" {
		t.Error("another score passes")
	}
}

func TestMachineDifferences(t *testing.T) {
	was := Machine{CPU: "A", Cores: 2, GPUs: []string{"G"}, Kernel: "6.1", Environment: "python 3.11", Slots: 2, Sandbox: SandboxNote{Level: "isolated"}}
	now := was
	if d := was.Differences(now); len(d) != 0 {
		t.Errorf("equal machines differ: %q", d)
	}
	now.GPUs, now.Slots = []string{"G", "G"}, 1
	want := "GPUs G, now G + G; trials side by side 2, now 1"
	if got := strings.Join(was.Differences(now), "; "); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	now = was
	now.Kernel, now.Slots = "6.2", 5
	if d := was.Hardware().Differences(now.Hardware()); len(d) != 0 {
		t.Errorf("kernel and occupancy are no hardware: %q", d)
	}
}

func TestTimesMatter(t *testing.T) {
	for want, reg := range map[bool]Registration{
		true:  {NoiseKind: Seeded, Bounds: []Bound{{Outcome: SizeBlocked}, {Outcome: TrainBudgetOverrun}}},
		false: {NoiseKind: Seeded, Bounds: []Bound{{Outcome: EvalBudgetOverrun}}},
	} {
		if reg.TimesMatter() != want {
			t.Errorf("%+v: %v", reg.Bounds, !want)
		}
	}
	if !(Registration{NoiseKind: Timing}).TimesMatter() {
		t.Error("the clock is the score, and times do not matter")
	}
}
