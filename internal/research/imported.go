package research

import (
	"errors"
	"fmt"
	"time"
)

// Provenance says where an imported run comes from, and what became of its records on the way.
// Such a run has no trees: nothing of it can be measured again.
type Provenance struct {
	From      string       `json:"from"` // the directory or file, as it was named
	Files     []RecordFile `json:"files"`
	Metric    string       `json:"metric_by"`    // how the score's column was found
	Direction string       `json:"direction_by"` // how it was found which scores are better
	Notes     []ImportNote `json:"notes,omitempty"`
}

// A RecordFile is one file that was read, to the byte.
type RecordFile struct {
	Name  string `json:"name"`
	Bytes int64  `json:"bytes"`
	Hash  Hash   `json:"hash"`
}

// An ImportNote is one thing that does not stand in the run as it stood in the record.
type ImportNote struct {
	Kind  NoteKind `json:"kind"`
	File  string   `json:"file"`
	Line  int      `json:"line,omitempty"`  // from 1; 0 is the file as a whole
	Trial string   `json:"trial,omitempty"` // as the record calls it
	Text  string   `json:"text"`
}

// String gives a note as compilers give theirs: results.tsv:73: recovered: …
func (n ImportNote) String() string {
	place := n.File
	if n.Line > 0 {
		place += fmt.Sprintf(":%d", n.Line)
	}
	if n.Trial != "" {
		return fmt.Sprintf("%s: %s: %s: %s", place, n.Kind, n.Trial, n.Text)
	}
	return fmt.Sprintf("%s: %s: %s", place, n.Kind, n.Text)
}

// A NoteKind says what an import did. Values are stored: add, never rename.
type NoteKind string

// The kinds of note.
const (
	Recovered    NoteKind = "recovered"    // damaged, and mended from what the record itself says
	LeftOut      NoteKind = "left out"     // in the record, and not in the run
	Disagreement NoteKind = "disagreement" // two places of the record contradict each other
	Assumed      NoteKind = "assumed"      // the record does not say; a documented rule does
)

// TrialImported is one whole trial of an imported run. Measurement and verdict are the record's:
// nobody measured or judged here, and only Verdict.Difference is recomputed.
type TrialImported struct {
	Trial       TrialID     `json:"trial"`
	Proposal    Proposal    `json:"proposal"`
	Measurement Measurement `json:"measurement"`
	Verdict     Verdict     `json:"verdict"`
	Status      Status      `json:"status"`            // the record's word, also one that is not ours
	At          time.Time   `json:"recorded,omitzero"` // when the record was written; most write it at the end
	Place       string      `json:"place"`             // file:line
}

// Kind is [KindTrialImported].
func (TrialImported) Kind() FactKind { return KindTrialImported }

// Remeasurable says whether the trials of a run can be measured again; the error says why not.
func (r Registration) Remeasurable() error {
	if r.Imported == nil {
		return nil
	}
	return Hinted(errors.New("this run was imported: it has neither recipes nor a task, so nothing of it can be measured, resumed or replayed"),
		"`mendel analyze`, status, show, tree, export and verify work on it")
}
