package loop

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"mendel/internal/lineage"
	"mendel/internal/research"
)

// maxTranscript bounds what is stored of one session; more is cut at the end.
const maxTranscript = 32 << 20

// A spool takes a transcript while its session lasts. It lies in a file, so that a supervisor
// that is killed leaves it for the next one.
type spool struct {
	*os.File
	left int
}

// Write drops what passes the cap.
func (s *spool) Write(line []byte) (int, error) {
	if s.left < len(line) {
		s.left = 0
		return 0, io.ErrShortWrite
	}
	s.left -= len(line)
	return s.File.Write(line)
}

func (l *Loop) transcriptPath(id research.SessionID) string {
	return filepath.Join(l.cfg.Dir, "transcripts", fmt.Sprintf("%d.jsonl", id))
}

func (l *Loop) openTranscript(id research.SessionID) (*spool, error) {
	path := l.transcriptPath(id)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("transcript: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("transcript: %w", err)
	}
	return &spool{File: f, left: maxTranscript}, nil
}

// readTranscript is what a session left; nil when there is nothing.
func (l *Loop) readTranscript(id research.SessionID) *lineage.Blob {
	data, err := os.ReadFile(l.transcriptPath(id))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		l.cfg.Log.Warn("transcript", "session", id, "error", err)
	}
	if len(data) == 0 {
		return nil
	}
	blob := lineage.NewBlob(data)
	return &blob
}

// dropTranscript removes the file of a transcript that is stored.
func (l *Loop) dropTranscript(id research.SessionID) {
	if l.failure != nil {
		return // the next supervisor stores it
	}
	if err := os.Remove(l.transcriptPath(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		l.cfg.Log.Warn("transcript", "session", id, "error", err)
	}
}

func deref(blob *lineage.Blob) []lineage.Blob {
	if blob == nil {
		return nil
	}
	return []lineage.Blob{*blob}
}
