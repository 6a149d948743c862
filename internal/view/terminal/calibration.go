package terminal

import (
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mendel/internal/calibration"
	"mendel/internal/research"
)

// WriteCalibration explains a calibration.
func WriteCalibration(w io.Writer, r calibration.Record, s Style) {
	n, unit := r.Noise, r.Score.Unit
	quantity := func(v float64) string { return research.Quantity(research.Significant(v, 4), unit) }
	fmt.Fprintf(w, "\n%s  %d measurements of the baseline, %s\n", s.Strong(r.Task.Name), n.N, r.At.Local().Format(time.DateTime))
	row(w, r.Score.Metric, s.Strong(research.Quantity(n.Mean, unit))+selfReported(r.Score)+" in the mean")
	row(w, "sd", quantity(n.SD)+" of one measurement"+share(n.SD, n.Mean))
	row(w, "sem", quantity(r.SEM)+" of the mean")
	switch {
	case steady(n):
		row(w, "noise floor", "none: every measurement gave the same score")
	case n.Kind == research.None:
		row(w, "noise floor", "none, as the task declares")
	default:
		row(w, "noise floor", fmt.Sprintf("%s: an unchanged recipe, measured again, looks better by more than this 1 time in 20", s.Strong(quantity(r.Floor))))
	}
	row(w, "lag 1", "of the score: "+driftText(r.ScoreLag1, n.N))
	row(w, "", "of wall-clock: "+driftText(r.WallLag1, len(r.Walls)))
	scores := make([]string, len(n.Scores))
	for i, v := range n.Scores {
		scores[i] = research.Number(v)
	}
	row(w, "measured", strings.Join(scores, ", "))
	m := r.Machine
	row(w, "hardware", fmt.Sprintf("%s; %d cores, %d GiB, kernel %s", m.CPU, m.Cores, m.Memory, m.Kernel))
	if len(m.GPUs) > 0 {
		row(w, "", strings.Join(m.GPUs, ", "))
	}
	row(w, "software", m.Environment)
	row(w, "sandbox", SandboxText(m.Sandbox))
	row(w, "side by side", fmt.Sprintf("%d", m.Slots))
	row(w, "record", filepath.Join(r.Dir, calibration.FileName))
	if n.Kind == research.None && !steady(n) {
		fmt.Fprintln(w, "\n"+s.Bad("the task declares noise: none, and the scores differ")+": declare seeded or timing in task.yaml")
	}
}

// steady says that every measurement gave the same score. The sd need not be quite 0 then: the mean is rounded.
func steady(n research.Noise) bool { return slices.Max(n.Scores) == slices.Min(n.Scores) }

// share puts a spread in proportion to the score.
func share(sd, mean float64) string {
	if mean == 0 {
		return ""
	}
	return fmt.Sprintf(" (%.2f %%)", sd/math.Abs(mean)*100)
}

// driftText says what the autocorrelation of n neighbours means.
func driftText(a *research.Autocorrelation, n int) string {
	switch {
	case a == nil && n < 6:
		return "not known; six measurements at least would show a drift"
	case a == nil:
		return "no drift, all are equal"
	}
	text := fmt.Sprintf("%+.2f, and independent measurements stay within ±%.2f: ", a.R, a.Bound)
	switch {
	case a.R > a.Bound:
		return text + "this machine drifts, and trials far apart differ by more than the floor says"
	case a.R < -a.Bound:
		return text + "neighbours alternate, so something takes turns with the measurements"
	}
	return text + "no drift seen"
}
