package terminal

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"time"

	"mendel/internal/lineage"
	"mendel/internal/research"
)

// Follow prints a line for each thing that happens in a run, until done is closed and
// everything recorded has been printed. It reads the run's file, so that it never makes the
// supervisor wait.
func Follow(ctx context.Context, r *lineage.Reader, w io.Writer, after int64, done <-chan struct{}, s Style) error {
	reg, err := r.Registration()
	if err != nil {
		return err
	}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for last := false; ; {
		for {
			events, err := r.Events(ctx, after, 256)
			if err != nil {
				return err
			}
			for _, e := range events {
				after = e.Seq
				if err := writeEvent(w, r, reg, e, s); err != nil {
					return err
				}
			}
			if len(events) == 0 {
				break
			}
		}
		if last {
			return nil
		}
		select {
		case <-done:
			last = true
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func writeEvent(w io.Writer, r *lineage.Reader, reg research.Registration, e research.Event, s Style) error {
	clock := s.Faint(e.At.Local().Format(time.TimeOnly))
	say := func(format string, args ...any) { fmt.Fprintf(w, "%s  "+format+"\n", append([]any{clock}, args...)...) }
	switch f := e.Fact.(type) {
	case research.Supervised:
		if f.Resumed {
			say("resumed by process %d on %s", f.PID, f.Host)
		}
	case research.BudgetChanged:
		say("new budgets, by %s", f.By)
	case research.Measured:
		if f.Attempt.Trial == research.Baseline && f.Measurement.Score != nil {
			say("baseline measurement %d of %s: %s", f.Attempt.Replicate+1, baselineMeasurements(reg, f.Attempt), research.Quantity(*f.Measurement.Score, reg.Score.Unit))
		}
	case research.Calibrated:
		if f.Drift != nil && f.From == "" {
			say("%s: the baseline's first score lies %s from the calibrated mean, beyond the noise floor", s.Bad("this machine is not what it was when it was calibrated"),
				Signed(research.Significant(*f.Drift, 4), reg.Score.Unit))
		}
		say("baseline %s%s, noise %s%s", s.Strong(research.Quantity(f.Noise.Mean, reg.Score.Unit)), selfReported(reg.Score),
			NoiseText(f.Noise, reg.Score.Unit), map[bool]string{true: " as calibrated"}[f.From != ""])
	case research.AttemptLost:
		what := f.Attempt.Trial.String()
		if f.Attempt.Trial == research.Baseline {
			what = fmt.Sprintf("baseline measurement %d", f.Attempt.Replicate+1)
		}
		say("%s: attempt %d lost: %s", what, f.Attempt.Number, Printable(f.Reason))
	case research.SessionClosed:
		if f.Ending == endingSubmitted {
			return nil
		}
		session, _, err := r.Session(f.Session)
		if err != nil {
			return err
		}
		text := fmt.Sprintf("session %d (%s): %s", f.Session, clip(session.Agent, maxCell), endingText(f.Ending, s))
		if f.Error != "" {
			text += ": " + clip(f.Error, max(s.Width, 100))
		}
		say("%s", text)
	case research.Confirming:
		say("%s looks better than %s: measuring both again, at most %d pairs, alpha %.3g (confirmation %d)",
			f.Trial, f.Incumbent, f.Pairs, f.Alpha, f.Number)
	case research.Judged:
		if f.Trial == research.Baseline && f.Outcome == research.Valid {
			return nil
		}
		t, err := r.Trial(f.Trial)
		if err != nil {
			return err
		}
		say("%s", VerdictLine(t, reg.Score, s))
	}
	return nil
}

// baselineMeasurements is how many there will be, as far as the first ones tell: a stored calibration
// needs one, unless that does not agree with it.
func baselineMeasurements(reg research.Registration, a research.Attempt) string {
	if reg.Calibration != nil && a.Replicate == 0 {
		return "1"
	}
	return strconv.Itoa(reg.Replicates)
}
