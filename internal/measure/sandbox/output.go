package sandbox

import (
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

// output carries what the tree prints to the caller's writers, and counts it.
type output struct {
	limit int64 // bytes; 0: none
	over  func()

	mu      sync.Mutex
	printed int64
	head    []byte // the first of stderr, where a launcher says why it failed
	readers []*os.File
	ending  sync.WaitGroup
}

func newOutput(limit int64, over func()) *output { return &output{limit: limit, over: over} }

// pipe returns the end that the child writes to; what arrives is copied to w.
func (o *output) pipe(w io.Writer, keepHead bool) (*os.File, error) {
	r, child, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	o.readers = append(o.readers, r)
	o.ending.Go(func() { o.carry(r, w, keepHead) })
	return child, nil
}

// carry copies until the last writer is gone. Past the limit it goes on reading, so that a
// process is never left hanging on a full pipe while the tree is being killed.
func (o *output) carry(r *os.File, w io.Writer, keepHead bool) {
	defer r.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := r.Read(buf)
		keep := o.count(buf[:n], keepHead)
		if len(keep) > 0 {
			_, _ = w.Write(keep) // the caller's writer knows its own errors
		}
		if len(keep) < n {
			o.over()
		}
		if err != nil {
			return
		}
	}
}

// count returns the part of b that is still within the limit.
func (o *output) count(b []byte, keepHead bool) []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	if keepHead && len(o.head) < 2048 {
		o.head = append(o.head, b[:min(len(b), 2048-len(o.head))]...)
	}
	if o.limit <= 0 {
		return b
	}
	left := max(0, o.limit-o.printed)
	o.printed += int64(len(b))
	if int64(len(b)) <= left {
		return b
	}
	return b[:left]
}

// said returns the beginning of stderr.
func (o *output) said() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.TrimSpace(string(o.head))
}

// finish returns when all is copied. The tree is dead by now; should a process have escaped it
// (possible below Isolated) it is not waited for longer than a moment.
func (o *output) finish() {
	for _, r := range o.readers {
		_ = r.SetReadDeadline(time.Now().Add(2 * time.Second))
	}
	o.ending.Wait()
}
