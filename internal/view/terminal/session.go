package terminal

import (
	"fmt"
	"io"
	"strings"
	"time"

	"mendel/internal/lineage"
	"mendel/internal/research"
)

// endingSubmitted is the ending of a session that did what it was opened for.
const endingSubmitted = "submitted"

// WriteSessions lists sessions, one on a line.
func WriteSessions(w io.Writer, sessions []lineage.Session, s Style) {
	if len(sessions) == 0 {
		fmt.Fprintln(w, "no session was opened yet")
		return
	}
	rows := [][]string{{"session", "agent", "role", "proposer", "opened", "ending", "turns", "tokens", "dollars", "trials"}}
	for _, v := range sessions {
		turns, used, usd := "–", "–", "–"
		if v.Turns > 0 {
			turns, used, usd = fmt.Sprint(v.Turns), tokens(v.Charge.Tokens), dollars(v.Charge.USD)
		}
		rows = append(rows, []string{fmt.Sprint(v.ID), v.Agent, v.Role, v.Proposer, v.OpenedAt.Local().Format(time.DateTime),
			ending(v.SessionRow), turns, used, usd, trialList(v.Trials)})
	}
	for _, line := range table(rows, "rlllllrrrl", s) {
		fmt.Fprintln(w, line)
	}
}

// ending is how a session ended, or that it did not.
func ending(v research.SessionRow) string {
	if v.ClosedAt.IsZero() {
		return "open"
	}
	return v.Ending
}

func trialList(ids []research.TrialID) string {
	names := make([]string, len(ids))
	for i, id := range ids {
		names[i] = id.String()
	}
	return strings.Join(names, " ")
}

// endingText is an ending in its colour: red for what somebody should look at.
func endingText(name string, s Style) string {
	name = Printable(name)
	switch name {
	case endingSubmitted:
		return s.Good(name)
	case "error", "misbehaved", "lost":
		return s.Bad(name)
	}
	return s.Faint(name)
}

// WriteSession shows one session: who played it, how it ended, what it cost, and its transcript.
func WriteSession(w io.Writer, v lineage.Session, transcript []byte, s Style) {
	fmt.Fprintf(w, "%s  %s  %s  %s\n", s.Strong(fmt.Sprintf("session %d", v.ID)), clip(v.Agent, maxCell), clip(v.Proposer, maxCell),
		endingText(ending(v.SessionRow), s))
	if v.Error != "" {
		row(w, "because", Printable(v.Error))
	}
	opened := v.OpenedAt.Local().Format(time.DateTime)
	if !v.ClosedAt.IsZero() {
		opened += ", for " + v.ClosedAt.Sub(v.OpenedAt).Round(time.Second).String()
	}
	row(w, "opened", opened)
	if v.Role != v.Agent {
		row(w, "role", clip(v.Role, maxCell))
	}
	if len(v.Trials) > 0 {
		row(w, "trials", trialList(v.Trials))
	}
	row(w, "tool calls", fmt.Sprint(v.Calls))
	if v.Turns > 0 {
		row(w, "model calls", fmt.Sprint(v.Turns))
		row(w, "tokens", usageText(v.Usage))
		row(w, "dollars", dollars(v.Charge.USD))
	}
	switch {
	case len(transcript) > 0:
		fmt.Fprintln(w)
		WriteTranscript(w, transcript, s)
	case v.ClosedAt.IsZero():
		fmt.Fprintln(w, "\nThe transcript is stored when the session ends.")
	default:
		fmt.Fprintln(w, "\nIt left no transcript.")
	}
}
