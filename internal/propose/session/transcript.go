package session

import (
	"encoding/json"
	"strings"
	"time"

	"mendel/internal/propose/tool"
	"mendel/internal/research"
)

// An Entry is one line of a transcript. The prompt is stored beside it and is not repeated.
type Entry struct {
	At    time.Time       `json:"at"`
	Kind  EntryKind       `json:"kind"`
	Turn  int             `json:"turn,omitempty"` // model call, from 1
	Name  string          `json:"name,omitempty"` // of a tool, or of a stream of an external agent
	Args  json.RawMessage `json:"args,omitempty"`
	Text  string          `json:"text,omitempty"`
	Error bool            `json:"error,omitempty"`
	Usage *research.Usage `json:"usage,omitempty"`
	USD   *float64        `json:"usd,omitempty"`
}

// An EntryKind says who is speaking. Values are stored.
type EntryKind string

// The kinds of entry.
const (
	Said       EntryKind = "said"        // by the model
	Thought    EntryKind = "thought"     // by the model, where its provider shows it
	Told       EntryKind = "told"        // to the model, apart from prompt and tool answers
	ToolCall   EntryKind = "tool_call"   //
	ToolAnswer EntryKind = "tool_answer" //
	Noted      EntryKind = "noted"       // by Mendel: retries, usage, endings
	Output     EntryKind = "output"      // of an external agent's process
)

// maxEntry bounds one text of a transcript, maxArgs the arguments of a call.
const (
	maxEntry = 512 << 10
	maxArgs  = 256 << 10
)

// Note adds an entry to the transcript. Proposers note what is said; tool calls note
// themselves. What cannot be written is dropped: a transcript is a record, not a condition.
func (s *Session) Note(e Entry) {
	if s.options.Transcript == nil {
		return
	}
	e.At = s.options.Now().UTC()
	e.Text = strings.ToValidUTF8(e.Text, "\uFFFD")
	if len(e.Text) > maxEntry {
		e.Text = strings.ToValidUTF8(e.Text[:maxEntry], "") + "\n[cut]"
	}
	if len(e.Args) > maxArgs || !json.Valid(e.Args) {
		quoted, _ := json.Marshal(strings.ToValidUTF8(string(e.Args[:min(len(e.Args), maxArgs)]), "\uFFFD"))
		e.Args = quoted
	}
	if len(e.Args) == 2 && string(e.Args) == `""` {
		e.Args = nil
	}
	line, err := json.Marshal(e)
	if err != nil {
		return
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	_, _ = s.options.Transcript.Write(append(line, '\n'))
}

func toolAnswer(name string, a tool.Answer, err error) Entry {
	e := Entry{Kind: ToolAnswer, Name: printable(name), Text: a.Text, Error: a.IsError}
	if err != nil {
		e.Text, e.Error = err.Error(), true
	}
	return e
}
