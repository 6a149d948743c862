package tool

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"mendel/internal/propose/prompt"
	"mendel/internal/research"
)

// maxTrainOutput is how much of what a trial's recipe printed reaches proposers, over all its
// phases and seeds: too little to carry weights from one trial to the next.
const maxTrainOutput = 2 << 10

// A Row is what a proposer may know of a judged trial, as values.
type Row struct {
	Trial    research.TrialID       `json:"trial"`
	Status   research.Status        `json:"status"`
	Score    *float64               `json:"score,omitempty"`
	Delta    *float64               `json:"delta,omitempty"` // against the incumbent of that time
	Reason   string                 `json:"reason,omitempty"`
	Margins  []research.Margin      `json:"margins,omitempty"`
	Crash    *research.CrashExcerpt `json:"crash,omitempty"`
	NearMiss bool                   `json:"near_miss,omitempty"`
}

func rowOf(t research.Trial, score research.ScoreRule) Row {
	row := Row{Trial: t.ID, Status: t.Status, NearMiss: t.NearMiss(score)}
	if t.Verdict != nil {
		row.Delta, row.Reason = t.Verdict.Difference, t.Verdict.Reason
	}
	if m := t.Measurement; m != nil && !aborted(t) {
		row.Score, row.Margins, row.Crash = m.Score, m.Margins, prompt.Crash(m)
	}
	return row
}

// dataOf is a trial's row as an answer's data. Its JSON holds at most MaxAnswer bytes: long texts
// are cut, and margins are left out from the end, those that were held before those that were missed.
func dataOf(t research.Trial, score research.ScoreRule) Row {
	const longest = 600 // one character takes up to 6 bytes of JSON
	row := rowOf(t, score)
	row.Reason = head(row.Reason, longest)
	if row.Crash != nil {
		row.Crash = &research.CrashExcerpt{
			Phase: head(row.Crash.Phase, longest/3), Exception: head(row.Crash.Exception, longest),
			Frame: head(row.Crash.Frame, longest/3), Code: head(row.Crash.Code, longest/3),
		}
	}
	for len(row.Margins) > 0 && !fits(row) {
		row.Margins = slices.Clone(row.Margins)
		drop := len(row.Margins) - 1
		for i, m := range row.Margins {
			if m.Holds() {
				drop = i
			}
		}
		row.Margins = slices.Delete(row.Margins, drop, drop+1)
	}
	return row
}

func fits(row Row) bool {
	data, err := json.Marshal(row)
	return err != nil || len(data) <= MaxAnswer // what has no JSON reaches no reader
}

func aborted(t research.Trial) bool { return t.Status == research.Status(research.Aborted) }

// describe writes a judged trial for whoever may read it.
func describe(t research.Trial, score research.ScoreRule) string {
	var b strings.Builder
	if aborted(t) {
		fmt.Fprintf(&b, "Trial %s could not be measured: the harness failed, not the recipe. That is no evidence about the idea; the same recipe may be submitted again.\n", t.ID)
		return b.String()
	}
	fmt.Fprintf(&b, "Trial %s: %s\n", t.ID, t.Status)
	row := rowOf(t, score)
	if row.Score != nil {
		fmt.Fprintf(&b, "Score: %s", research.Quantity(*row.Score, score.Unit))
		if row.Delta != nil && t.ID != research.Baseline {
			fmt.Fprintf(&b, ", %s against %s", signedNumber(*row.Delta), t.Verdict.Against)
		}
		if t.Proposal.Expected != nil {
			fmt.Fprintf(&b, " (%s was expected)", signedNumber(*t.Proposal.Expected))
		}
		b.WriteString("\n")
	}
	if row.Reason != "" {
		fmt.Fprintf(&b, "Verdict: %s\n", row.Reason)
	}
	for i, m := range row.Margins {
		if i == 0 {
			b.WriteString("Margins:\n")
		}
		fmt.Fprintf(&b, "- %s\n", prompt.Margin(m))
	}
	if c := row.Crash; c != nil {
		fmt.Fprintf(&b, "Crash in %s: %s\n", c.Phase, c.Exception)
		if c.Frame != "" {
			fmt.Fprintf(&b, "  at %s\n", c.Frame)
		}
		if c.Code != "" {
			fmt.Fprintf(&b, "    %s\n", strings.TrimSpace(c.Code))
		}
	}
	if row.NearMiss {
		var stops []string
		for _, m := range t.Missed() {
			stops = append(stops, prompt.Margin(m))
		}
		fmt.Fprintf(&b, "Near miss: its score beats %s; it was stopped only by %s. An edit that gives back that much and keeps the rest is a concrete next step.\n",
			t.Verdict.Against, strings.Join(stops, " and "))
	}
	return b.String()
}

// trainOutput is the end of what the recipe's own phases printed, of all phases together at
// most maxTrainOutput bytes. What a process printed that had seen the evaluator's questions is
// for the operator alone.
func trainOutput(t research.Trial) string {
	if t.Measurement == nil || aborted(t) {
		return ""
	}
	var b strings.Builder
	free := maxTrainOutput
	for _, run := range t.Measurement.Phases {
		if run.OperatorOnly || run.Tail == "" {
			continue
		}
		part := tail(strings.ToValidUTF8(run.Tail, "?"), free)
		if free -= len(part); part == "" {
			continue
		}
		fmt.Fprintf(&b, "Printed in %s (its end):\n%s\n", run.Phase, strings.TrimRight(part, "\n"))
	}
	return b.String()
}

func signedNumber(v float64) string {
	if v < 0 {
		return research.Number(v)
	}
	return "+" + research.Number(v)
}
