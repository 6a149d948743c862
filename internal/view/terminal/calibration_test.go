package terminal

import (
	"bytes"
	"strings"
	"testing"

	"mendel/internal/calibration"
	"mendel/internal/research"
)

func TestCalibrationInWords(t *testing.T) {
	for name, test := range map[string]struct {
		kind   research.NoiseKind
		scores []float64
		want   []string
	}{
		// sd sqrt(3.5), sem 0.7638, floor √2 · 2.0150 · sd
		"a drift":          {research.Timing, []float64{1, 2, 3, 4, 5, 6}, []string{"3.5 s in the mean", "1.871 s of one measurement (53.45 %)", "0.7638 s of the mean", "5.331 s: an unchanged", "of the score: +0.50, and independent measurements stay within ±0.80: no drift", "of wall-clock: -0.83, "}},
		"a longer one":     {research.Timing, []float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, []string{"this machine drifts"}},
		"turns":            {research.Timing, []float64{1, 2, 1, 2, 1, 2}, []string{"neighbours alternate"}},
		"too few":          {research.Seeded, []float64{1, 2, 4}, []string{"six measurements at least"}},
		"no spread":        {research.Seeded, []float64{0.1, 0.1, 0.1}, []string{"none: every measurement gave the same score", "not known"}},
		"noise after all":  {research.None, []float64{1, 2}, []string{"none, as the task declares", "the scores differ: declare seeded or timing"}},
		"no noise at all":  {research.None, []float64{7, 7}, []string{"the same score"}},
		"about the record": {research.Timing, []float64{1, 2}, []string{"A Processor; 4 cores, 8 GiB, kernel 6.1", "NVIDIA H100", "side by side   3", "dir/calibration.json"}},
	} {
		r := calibration.Record{
			Dir: "dir", Score: seconds, Calibration: research.Calibration{At: noon, Noise: research.Noise{Kind: test.kind, Scores: test.scores}},
			Walls:   []research.Seconds{2, 1, 2, 1, 2, 1},
			Machine: research.Machine{CPU: "A Processor", Cores: 4, Memory: 8, Kernel: "6.1", GPUs: []string{"NVIDIA H100"}, Slots: 3},
		}
		var out bytes.Buffer
		WriteCalibration(&out, r.Finish(), Style{Width: 100})
		for _, want := range test.want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: no %q in\n%s", name, want, out.String())
			}
		}
		if name == "no noise at all" && strings.Contains(out.String(), "declare seeded") {
			t.Errorf("%s: blamed all the same:\n%s", name, out.String())
		}
	}
}
