package runner

import (
	"bytes"
	"io"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mendel/internal/measure/bundle"
	"mendel/internal/research"
)

// TestPartsOfATime: lines begin parts in their order only, whatever else is printed.
func TestPartsOfATime(t *testing.T) {
	second := research.Duration(time.Second)
	parts := []bundle.Part{
		{Name: "setup", KillAfter: 10 * second},
		{Name: "train", From: `^1/\d+ train_loss`, KillAfter: 20 * second},
		{Name: "evaluate", From: `^stopping_early`, KillAfter: 30 * second},
	}
	type line struct {
		after time.Duration // since the one before
		text  string
	}
	for name, c := range map[string]struct {
		prints []line
		last   time.Duration // from the last line to the end, or to the kill
		want   []time.Duration
		killed time.Duration // when; 0 is never
	}{
		"in order":            {[]line{{3, "hello\n1/20 train_loss: 9\n"}, {5, "2/20\nstopping_early: cap\n"}}, 7, []time.Duration{3, 5, 7}, 0},
		"in pieces":           {[]line{{3, "1/20 trai"}, {1, "n_loss: 9\nsto"}, {5, "pping_early\n"}}, 7, []time.Duration{4, 5, 7}, 0},
		"both in one chunk":   {[]line{{3, "1/20 train_loss\nstopping_early\n"}}, 7, []time.Duration{3, 0, 7}, 0},
		"the end comes first": {[]line{{3, "stopping_early\n1/20 train_loss\n"}}, 7, []time.Duration{3, 7}, 0},
		"twice":               {[]line{{3, "1/20 train_loss\n"}, {5, "1/20 train_loss\n"}}, 7, []time.Duration{3, 12}, 0},
		"not at a line start": {[]line{{3, "say 1/20 train_loss\n"}}, 6, []time.Duration{9}, 0},
		"never":               {nil, 50, []time.Duration{50}, 10},
		"train runs out":      {[]line{{3, "1/20 train_loss\n"}}, 50, []time.Duration{3, 50}, 23},
		"evaluate runs out":   {[]line{{3, "1/20 train_loss\n"}, {19, "stopping_early\n"}}, 50, []time.Duration{3, 19, 50}, 52},
		"too late to matter":  {[]line{{12, "1/20 train_loss\n"}}, 1, []time.Duration{13}, 10},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var out bytes.Buffer
				w, err := newStopwatch(parts)
				if err != nil {
					t.Fatal(err)
				}
				stdout, stderr := w.stream(&out), w.stream(io.Discard)
				began := time.Now()
				var killed atomic.Int64
				w.start(began, func() { killed.Store(int64(time.Since(began))) })
				printed := ""
				for _, l := range c.prints {
					time.Sleep(l.after * time.Second)
					for _, to := range []io.Writer{stderr, stdout} {
						text := l.text
						if to == stderr { // begins a line and does not end it
							text = "a warning"
						}
						if _, err := io.WriteString(to, text); err != nil {
							t.Fatal(err)
						}
					}
					printed += l.text
				}
				time.Sleep(c.last * time.Second)
				w.stop(time.Now())
				var walls []time.Duration
				for _, d := range w.walls {
					walls = append(walls, d/time.Second)
				}
				if !slices.Equal(walls, c.want) || time.Duration(killed.Load()) != c.killed*time.Second || out.String() != printed {
					t.Errorf("parts %v, killed after %v, printed %q; want %v, %v s, %q", walls, time.Duration(killed.Load()), out.String(), c.want, int(c.killed), printed)
				}
			})
		})
	}
}

// A line without end costs no memory.
func TestEndlessLine(t *testing.T) {
	w, err := newStopwatch([]bundle.Part{{Name: "a", KillAfter: research.Duration(time.Hour)}, {Name: "b", From: "^x$"}})
	if err != nil {
		t.Fatal(err)
	}
	w.start(time.Now(), func() {})
	defer w.stop(time.Now())
	s := &stream{watch: w, out: io.Discard}
	for range 100 {
		if _, err := s.Write(bytes.Repeat([]byte("y"), 10_000)); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.line) > maxMark {
		t.Errorf("%d bytes of a line are kept", len(s.line))
	}
}
