package terminal

import (
	"fmt"
	"io"
	"strings"

	"mendel/internal/view/study"
)

// WriteSideBySide prints single runs beside each other.
func WriteSideBySide(w io.Writer, c study.Comparison, s Style) {
	fmt.Fprintf(w, "%s on %s\n", plural(len(c.Runs), "run"), s.Strong(c.Task))
	writeArms(w, c, s)
	fmt.Fprintln(w, s.Faint("  Single runs differ by luck: `mendel study` compares arms."))
}

// WriteComparison prints what a study found: its arms side by side, then each conclusion.
func WriteComparison(w io.Writer, c study.Comparison, s Style) {
	fmt.Fprintf(w, "study %s: %s, %s for each run, level %.3g\n", s.Strong(c.Name), c.Task, c.Budget, c.Alpha)
	if c.Question != "" {
		fmt.Fprintf(w, "  %s\n", Printable(c.Question))
	}
	if c.Missing > 0 {
		fmt.Fprintf(w, "  %s\n", s.Bad(fmt.Sprintf("%s of the plan without a final score", plural(c.Missing, "run"))))
	}
	writeArms(w, c, s)
	fmt.Fprintln(w, s.Faint("  ± is the standard deviation between runs. Only final scores are tested; the rest describes."))
	for _, f := range c.Findings {
		fmt.Fprintln(w)
		for _, line := range wrap(f.Sentence, s.Width-2) {
			fmt.Fprintln(w, "  "+line)
		}
	}
}

func writeArms(w io.Writer, c study.Comparison, s Style) {
	for _, line := range table(c.Table(), "l"+strings.Repeat("r", len(c.Arms)), s) {
		fmt.Fprintln(w, line)
	}
}
