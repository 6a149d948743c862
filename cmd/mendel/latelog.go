package main

import (
	"io"
	"sync"
)

// A lateLog is a log whose file is known later than the log itself. What is written before is
// dropped.
type lateLog struct {
	mu   sync.Mutex
	file io.Writer
}

// to opens the log.
func (l *lateLog) to(file io.Writer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.file = file
}

// Write writes one entry.
func (l *lateLog) Write(entry []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return len(entry), nil
	}
	return l.file.Write(entry)
}
