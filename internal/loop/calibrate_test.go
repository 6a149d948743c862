package loop

import (
	"testing"

	"mendel/internal/lineage"
	"mendel/internal/research"
)

// TestCalibration: a team of nobody only has its baseline measured, once where a stored calibration
// agrees with it, and as often as the task says where it does not.
func TestCalibration(t *testing.T) {
	const here = 25.0 // the score of the starting recipe
	for name, test := range map[string]struct {
		stored   []float64
		measured int
		n        int
		from     string
	}{
		"none stored":           {nil, 2, 2, ""},
		"stored, as it is":      {[]float64{here - 1, here, here + 1}, 1, 3, "earlier"},
		"stored, but different": {[]float64{here + 9, here + 10, here + 11}, 2, 2, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorldOf(t, research.Budgets{}, withLineage, nil, "test", func(reg *research.Registration) {
				if test.stored != nil {
					reg.Calibration = &research.Calibration{Run: "earlier", Noise: research.NoiseOf(research.Seeded, test.stored)}
				}
			})
			ending, err := w.run()
			if err != nil || ending.Reason != "the baseline is measured" || ending.Interrupted {
				t.Fatalf("ending %+v, %v", ending, err)
			}
			attempts, err := w.store.Attempts(research.Baseline)
			if err != nil || len(attempts) != test.measured {
				t.Errorf("%d measurements, want %d (%v)", len(attempts), test.measured, err)
			}
			noise, err := w.store.Noise()
			if err != nil || noise.N != test.n || noise.Mean != here {
				t.Errorf("noise %+v, %v; want n = %d and this run's own mean", noise, err, test.n)
			}
			calibrated, err := w.store.Calibration()
			if err != nil || calibrated.From != test.from {
				t.Errorf("noise from %q, %v; want %q", calibrated.From, err, test.from)
			}
			report, err := lineage.Verify(w.dir, lineage.Options{})
			if err != nil || len(report.Findings) > 0 {
				t.Errorf("verify: %v, %v", report.Findings, err)
			}
			if _, err := w.run(); err != nil { // a resume finds nothing left to do
				t.Errorf("once more: %v", err)
			}
			if again, _ := w.store.Attempts(research.Baseline); len(again) != test.measured {
				t.Errorf("a resume measured again: %d measurements", len(again))
			}
		})
	}
}
