package runner

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"
	"time"

	"mendel/internal/measure/bundle"
)

// maxMark is how much of a line is compared with the patterns of parts, in bytes.
const maxMark = 4096

// A stopwatch divides the time of one command into parts, at lines that the command prints. It
// reads the runner's own clock when a line arrives, so a recipe cannot invent a time. It can choose
// when it prints the line, though, and so move time from one part to its neighbour: every part has a
// budget of its own, the command is killed when the part that it is in runs out, and so the sum of
// the budgets bounds the whole, whatever is printed.
type stopwatch struct {
	parts    []bundle.Part
	patterns []*regexp.Regexp // beside parts
	ready    chan struct{}    // closed once the clock runs

	mu    sync.Mutex
	at    int // the part that the command is in
	since time.Time
	walls []time.Duration // of the parts that have ended
	timer *time.Timer
	kill  func()
}

// newStopwatch is nil for a phase without parts.
func newStopwatch(parts []bundle.Part) (*stopwatch, error) {
	if len(parts) == 0 {
		return nil, nil
	}
	w := &stopwatch{parts: parts, ready: make(chan struct{})}
	for _, p := range parts {
		re, err := regexp.Compile(p.From)
		if err != nil {
			return nil, fmt.Errorf("part %s: %w", p.Name, err)
		}
		w.patterns = append(w.patterns, re)
	}
	return w, nil
}

// start begins the first part. kill is called when a part runs out.
func (w *stopwatch) start(now time.Time, kill func()) {
	w.since, w.kill = now, kill
	w.timer = time.AfterFunc(w.parts[0].KillAfter.Std(), kill)
	close(w.ready)
}

// stop ends the part that the command was in. Nothing is written any more.
func (w *stopwatch) stop(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer.Stop()
	w.walls = append(w.walls, now.Sub(w.since))
}

// A stream is stdout or stderr on its way to the log. Each has lines of its own: the two arrive in pieces,
// and a line of one must not swallow a line of the other.
type stream struct {
	watch *stopwatch
	out   io.Writer
	line  []byte // as far as it has arrived
}

// stream watches one stream.
func (w *stopwatch) stream(out io.Writer) io.Writer { return &stream{watch: w, out: out} }

// Write implements io.Writer.
func (s *stream) Write(p []byte) (int, error) {
	<-s.watch.ready
	s.scan(p)
	return s.out.Write(p)
}

// scan looks for the line that begins the next part. One chunk can hold several.
func (s *stream) scan(p []byte) {
	w := s.watch
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(p) > 0 && w.at+1 < len(w.parts) {
		end := bytes.IndexByte(p, '\n')
		piece := p
		if end >= 0 {
			piece = p[:end]
		}
		s.line = append(s.line, piece[:min(len(piece), maxMark-len(s.line))]...)
		if end < 0 {
			return
		}
		if w.patterns[w.at+1].Match(s.line) {
			w.next()
		}
		s.line, p = s.line[:0], p[end+1:]
	}
}

// next begins the next part, unless the one before it ran out just now.
func (w *stopwatch) next() {
	if !w.timer.Stop() {
		return
	}
	now := time.Now()
	w.walls = append(w.walls, now.Sub(w.since))
	w.at, w.since = w.at+1, now
	w.timer = time.AfterFunc(w.parts[w.at].KillAfter.Std(), w.kill)
}

// record keeps the times of the parts that the command came to; e is its end.
func (w *stopwatch) record(a *attempt, s *seedRecord, e end) (note string) {
	texts := make([]string, len(w.walls))
	for i, wall := range w.walls {
		name, last := w.parts[i].Name, i == len(w.walls)-1
		a.longest(name, timed{wall.Seconds(), e.killed && last})
		if !e.failed() || !last {
			s.wall[name] = wall.Seconds()
		}
		texts[i] = name + " " + secondsText(wall.Seconds())
	}
	return "[parts] " + strings.Join(texts, ", ")
}
