package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mendel/internal/lineage"
	"mendel/internal/research"
)

// TestACalibrationGoesOn: what was measured before Ctrl-C is not measured again.
func TestACalibrationGoesOn(t *testing.T) {
	l := newLiveRun(t)
	l.begin("calibrate", "slow", "--seeds", "3", "--parallel", "1")
	measured := func() (n int) {
		dirs, _ := filepath.Glob(filepath.Join(os.Getenv("XDG_STATE_HOME"), "mendel/calibrations/*"))
		if len(dirs) != 1 {
			return 0
		}
		r, err := lineage.OpenReader(dirs[0])
		if err != nil {
			return 0
		}
		defer r.Close()
		attempts, err := r.Attempts(research.Baseline)
		if err != nil {
			return 0
		}
		return lineage.Measured(attempts)
	}
	l.until("a first measurement", func() bool { return measured() == 1 })
	l.cmd.Process.Signal(os.Interrupt)
	if code := l.ended(); code != exitInterrupted {
		t.Errorf("exit code %d, want %d", code, exitInterrupted)
	}
	before := measured()
	for _, want := range []string{"of 3 measurements are made and kept", "mendel calibrate slow --seeds 3 --parallel 1"} {
		if !strings.Contains(l.output.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, l.output)
		}
	}
	out := l.mendel("calibrate", "slow", "--seeds", "3", "--parallel", "1")
	if again := strings.Count(out, "baseline measurement"); again != 3-before {
		t.Errorf("%d measurements after %d of 3:\n%s", again, before, out)
	}
	if !strings.Contains(out, "3 measurements of the baseline") {
		t.Errorf("no record of three:\n%s", out)
	}
}
