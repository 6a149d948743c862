package command

import (
	"bytes"
	"strings"

	"mendel/internal/propose/session"
)

// What a session keeps of an agent's output.
const (
	longestLine   = 64 << 10 // of the transcript
	mostOutput    = 4 << 20  // of the transcript, each stream
	longestReport = 16 << 20 // of a line that is read for the agent's report
	tailLines     = 20       // that are searched for the cause of a failure
)

// lines takes an agent's output apart: it notes each line without the key, and keeps the last ones.
type lines struct {
	name    string
	session *session.Session
	secret  *redactor
	report  func(line []byte) // of each whole line; may be nil

	partial []byte
	noted   int
	tail    []string
}

// Write takes a piece of output. It never fails: the agent shall not learn of what we keep.
func (l *lines) Write(p []byte) (int, error) {
	n := len(p)
	for {
		end := bytes.IndexByte(p, '\n')
		if end < 0 {
			break
		}
		l.hold(p[:end])
		l.flush()
		p = p[end+1:]
	}
	l.hold(p)
	return n, nil
}

func (l *lines) hold(p []byte) {
	l.partial = append(l.partial, p[:min(len(p), longestReport-len(l.partial))]...)
}

// flush ends a line.
func (l *lines) flush() {
	line := bytes.TrimRight(l.partial, "\r")
	defer func() { l.partial = l.partial[:0] }()
	if len(bytes.TrimSpace(line)) == 0 {
		return
	}
	if l.report != nil {
		l.report(line)
	}
	// Before it is cut: half a key would not be recognised.
	text := l.secret.clean(string(line))
	if len(text) > longestLine {
		text = strings.ToValidUTF8(text[:longestLine], "") + " [cut]"
	}
	l.tail = append(l.tail, text)
	if len(l.tail) > tailLines {
		l.tail = l.tail[1:]
	}
	if l.noted > mostOutput {
		return
	}
	if l.noted += len(text); l.noted > mostOutput {
		text = "[the rest of the output is left out]"
	}
	l.session.Note(session.Entry{Kind: session.Output, Name: l.name, Text: text})
}

// last is the last line, or "".
func (l *lines) last() string {
	if len(l.tail) == 0 {
		return ""
	}
	return l.tail[len(l.tail)-1]
}
