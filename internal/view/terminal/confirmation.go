package terminal

import (
	"fmt"
	"io"

	"mendel/internal/research"
)

// writeConfirmation shows what measuring a trial again has shown, look by look.
func writeConfirmation(w io.Writer, f *research.Finding, o Overview) {
	if f == nil {
		return
	}
	row(w, "confirmation", fmt.Sprintf("number %d of the run, alpha %.3g, %d of at most %d pairs measured", f.Number, f.Alpha, f.Measured, f.Pairs))
	for _, look := range f.Looks {
		found := "not reached"
		if look.T != 0 {
			found = fmt.Sprintf("t = %.2f", look.T)
		}
		row(w, "", fmt.Sprintf("after %d pairs: %s; kept above t = %.2f (one-sided level %.2g)", look.Pairs, found, look.Bound, look.Level))
	}
	if f.Confidence > 0 {
		row(w, "interval", fmt.Sprintf("%s to %s for the true difference, with %.4g %% confidence",
			Signed(f.Low, o.Score.Unit), Signed(f.High, o.Score.Unit), 100*f.Confidence))
	}
}
