package prompt

import (
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"mendel/internal/research"
)

// signed prints a difference with its sign.
func signed(v float64) string {
	if v < 0 {
		return research.Number(v)
	}
	return "+" + research.Number(v)
}

// Bound says what a limit or gate asks for: "artifact_bytes at most 64,000 bytes".
func Bound(b research.Bound) string {
	if b.Max != nil {
		return b.Name + " at most " + research.Amount(*b.Max, b.Unit)
	}
	if b.Min != nil {
		return b.Name + " at least " + research.Amount(*b.Min, b.Unit)
	}
	return b.Name
}

// Margin says exactly how far a trial was from one bound: "2,056 bytes over artifact_bytes
// (66,056 bytes, at most 64,000 bytes)".
func Margin(m research.Margin) string {
	side := "over"
	switch {
	case m.AtLeast:
	case m.Bound.Min != nil && m.Slack < 0:
		side = "short of"
	case m.Bound.Min != nil:
		side = "above"
	case m.Slack >= 0:
		side = "under"
	}
	if m.Bound.Unit == "s" && m.Holds() {
		m.Slack, m.Value = research.Significant(m.Slack, 4), research.Significant(m.Value, 4)
	}
	if m.AtLeast {
		return fmt.Sprintf("at least %s over %s (stopped at %s, %s)", research.Amount(math.Abs(m.Slack), m.Bound.Unit), m.Bound.Name,
			research.Amount(m.Value, m.Bound.Unit), strings.TrimPrefix(Bound(m.Bound), m.Bound.Name+" "))
	}
	return fmt.Sprintf("%s %s %s (%s, %s)", research.Amount(math.Abs(m.Slack), m.Bound.Unit), side, m.Bound.Name,
		research.Amount(m.Value, m.Bound.Unit), strings.TrimPrefix(Bound(m.Bound), m.Bound.Name+" "))
}

// Crash is what a specialist may know of a trial's crash. What a process printed that had seen
// the evaluator's questions is replaced by a sentence that says so.
func Crash(m *research.Measurement) *research.CrashExcerpt {
	if m == nil || m.Crash == nil {
		return nil
	}
	for _, run := range m.Phases {
		if run.Phase == m.Crash.Phase && run.OperatorOnly {
			return &research.CrashExcerpt{Phase: m.Crash.Phase, Exception: "the recipe failed while it answered the evaluator; what it printed there is not shown"}
		}
	}
	return m.Crash
}

// hidden says whether a trial must not appear as evidence: our harness failed, not the idea.
func hidden(t research.Trial) bool { return t.Status == research.Status(research.Aborted) }

// How much of a hypothesis a list shows: enough to know the idea, or all that most have.
const (
	briefly = 110
	fully   = 280
)

// Line writes a trial on one line, as lists of trials show it.
func Line(t research.Trial, score research.ScoreRule) string { return line(t, score, fully) }

func line(t research.Trial, score research.ScoreRule, most int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "- %s %s", t.ID, statusWord(t.Status))
	if v, ok := t.Score(); ok {
		b.WriteString(" " + research.Quantity(v, score.Unit))
		if d := difference(t); d != nil && t.ID != research.Baseline {
			fmt.Fprintf(&b, " (%s against %s)", signed(*d), t.Verdict.Against)
		}
	}
	if standing := t.Verdict.Standing(); standing != "" {
		fmt.Fprintf(&b, " [%s]", standing)
	}
	if missed := t.Missed(); len(missed) > 0 {
		fmt.Fprintf(&b, " [%s]", Margin(missed[0]))
	}
	if t.Proposal.Role != "" {
		fmt.Fprintf(&b, " %s", t.Proposal.Role)
	}
	text := t.Proposal.Hypothesis
	if text == "" && t.ID == research.Baseline {
		text = "the recipe as the run found it"
	}
	fmt.Fprintf(&b, ": %s", shorten(text, most))
	return b.String()
}

// statusWord is the status, or that there is none yet.
func statusWord(s research.Status) string {
	if s == "" {
		return "being measured"
	}
	return string(s)
}

func difference(t research.Trial) *float64 {
	if t.Verdict == nil {
		return nil
	}
	return t.Verdict.Difference
}

// shorten makes text one line of at most max bytes, ending at a word.
func shorten(text string, max int) string {
	more := len(text) > 4*max // no need to tidy what is not shown
	if more {
		text = text[:4*max]
	}
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "?")), " ")
	if len(text) <= max && !more {
		return text
	}
	cut := min(max-len("…"), len(text))
	for cut > 0 && cut < len(text) && !utf8.RuneStart(text[cut]) {
		cut--
	}
	if space := strings.LastIndexByte(text[:cut], ' '); space > cut/2 {
		cut = space
	}
	return text[:cut] + "…"
}

// span prints a length of time as people say it.
func span(d time.Duration) string {
	switch {
	case d < 90*time.Second:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d < 90*time.Minute:
		return fmt.Sprintf("%.0f min", d.Minutes())
	default:
		return fmt.Sprintf("%.1f h", d.Hours())
	}
}

// count writes "1 trial" or "3 trials".
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return research.Number(float64(n)) + " " + noun + "s"
}
