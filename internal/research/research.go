// Package research holds the words of Mendel as Go types, and the pure arithmetic between
// them: trials, proposals, measurements, verdicts, briefs and the facts that a lineage stores.
//
// It imports only the standard library, does no input or output, and everyone may import it.
// Start reading at [Trial], then [Judge].
package research

import (
	"errors"
	"fmt"
	"strconv"
	"time"
)

// A TrialID numbers the submitted trials of one run without gaps; 0 is the baseline.
type TrialID int

// Baseline is the id of the recipe as the run found it.
const Baseline TrialID = 0

// String gives the id as people write it: at least three digits.
func (id TrialID) String() string { return fmt.Sprintf("%03d", int(id)) }

// ParseTrialID accepts "7", "007" and the "exp_007" of older records.
func ParseTrialID(s string) (TrialID, error) {
	digits := s
	if len(s) > 4 && s[:4] == "exp_" {
		digits = s[4:]
	}
	n, err := strconv.Atoi(digits)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%q is not a trial id: want a number such as 007", s)
	}
	return TrialID(n), nil
}

// A Hash is the SHA-256 of some content, in lower-case hex.
type Hash string

// Short is enough of a hash for a person to tell two apart.
func (h Hash) Short() string {
	if len(h) > 12 {
		return string(h[:12])
	}
	return string(h)
}

// A SessionID numbers the sessions of one run, from 1.
type SessionID int

// A Trial is one row of the lineage: a proposal with its id and, once known, its measurement
// and verdict.
type Trial struct {
	ID          TrialID      `json:"id"`
	Proposal    Proposal     `json:"proposal"`
	SubmittedAt time.Time    `json:"submitted_at"`
	StartedAt   time.Time    `json:"started_at,omitzero"` // first attempt dispatched
	EndedAt     time.Time    `json:"ended_at,omitzero"`   // judged
	Measurement *Measurement `json:"measurement,omitempty"`
	Verdict     *Verdict     `json:"verdict,omitempty"`
	Status      Status       `json:"status,omitempty"` // empty until judged
}

// Score is the trial's score in the task's unit, and whether there is one.
func (t Trial) Score() (float64, bool) {
	if t.Measurement == nil || t.Measurement.Score == nil {
		return 0, false
	}
	return *t.Measurement.Score, true
}

// A Proposal is one recipe change, frozen at submission.
type Proposal struct {
	Parent     TrialID   `json:"parent"`
	Role       string    `json:"role"`
	Proposer   string    `json:"proposer"`
	Session    SessionID `json:"session,omitempty"`
	Key        string    `json:"key,omitempty"` // repeating a submission with the same key is harmless
	Hypothesis string    `json:"hypothesis"`    // written before any result exists
	Expected   *float64  `json:"expected_delta,omitempty"`
	Notes      string    `json:"notes,omitempty"`
	Tree       Hash      `json:"tree"`   // of the manifest that lists the files
	Tokens     Hash      `json:"tokens"` // of the code without comments; finds duplicates
	Incumbent  TrialID   `json:"incumbent"`
	// Confinement is how an external agent that proposed this was kept to its workspace and
	// tools: "sandbox" or "none". It is empty for proposers that have nothing but the tools.
	Confinement string `json:"confinement,omitempty"`
}

// A TreeFile is one file of a frozen tree.
type TreeFile struct {
	Path string `json:"path"` // slash-separated, relative, clean
	Mode uint32 `json:"mode"` // 0o644 or 0o755
	Size int64  `json:"size"`
	Hash Hash   `json:"hash"`
}

// An Attempt is one execution of a trial's measurement. Of several attempts of one replicate,
// the lineage accepts one result: the one that carries the newest token.
type Attempt struct {
	Trial     TrialID `json:"trial"`
	Replicate int     `json:"replicate"` // 0 is the measurement that the search itself pays for
	Number    int     `json:"attempt"`   // from 1
	Token     string  `json:"token"`     // fencing token
	Seeds     []int64 `json:"seeds"`     // one for each cold repetition inside the attempt
}

// Hinted adds to an error what the reader can do about it.
func Hinted(err error, hint string) error {
	if err == nil {
		return nil
	}
	return &hintedError{err, hint}
}

// Hint is the advice that an error carries, or "".
func Hint(err error) string {
	var h *hintedError
	if errors.As(err, &h) {
		return h.hint
	}
	return ""
}

type hintedError struct {
	err  error
	hint string
}

func (h *hintedError) Error() string { return h.err.Error() }
func (h *hintedError) Unwrap() error { return h.err }

// A MisuseError is an answer to whoever holds a session: what was wrong with the call and how
// to mend it. The session goes on.
type MisuseError struct{ Problem, Mend string }

func (e *MisuseError) Error() string {
	if e.Mend == "" {
		return e.Problem
	}
	return e.Problem + ". " + e.Mend
}

// Misuse makes a [MisuseError].
func Misuse(mend, format string, args ...any) error {
	return &MisuseError{Problem: fmt.Sprintf(format, args...), Mend: mend}
}
