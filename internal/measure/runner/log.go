package runner

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"mendel/internal/research"
)

// maxLog is how much of a log is stored: half from its beginning, half from its end.
const maxLog = 1 << 20

// A capture keeps the beginning and the end of what a process tree prints.
type capture struct {
	mu    sync.Mutex
	head  []byte
	tail  []byte // a ring once it is full
	at    int    // where the next byte of the ring goes
	total int64
}

// Write implements io.Writer; it is called for stdout and stderr at the same time.
func (c *capture) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	written := len(p)
	c.total += int64(written)
	room := min(len(p), maxLog/2-len(c.head))
	c.head, p = append(c.head, p[:room]...), p[room:]
	for len(p) > 0 {
		if room := maxLog/2 - len(c.tail); room > 0 {
			n := min(room, len(p))
			c.tail, p = append(c.tail, p[:n]...), p[n:]
			continue
		}
		n := copy(c.tail[c.at:], p)
		c.at, p = (c.at+n)%len(c.tail), p[n:]
	}
	return written, nil
}

// content is the log as it is stored; size is how much was printed.
func (c *capture) content() (text []byte, size int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	text = bytes.Clone(c.head)
	if left := c.total - int64(len(c.head)+len(c.tail)); left > 0 {
		text = fmt.Appendf(text, "\n[… %s left out …]\n", research.Quantity(float64(left), "B"))
	}
	text = append(text, c.tail[c.at:]...)
	return append(text, c.tail[:c.at]...), c.total
}

// storeLog writes a log into the bundle under its hash.
func storeLog(dir string, text []byte) (hash research.Hash, name string, err error) {
	sum := sha256.Sum256(text)
	hash = research.Hash(hex.EncodeToString(sum[:]))
	name = string(hash) + ".log"
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return "", "", err
	}
	_, err = f.Write(text)
	// The result will name this log, and the result is durable. Its name in the directory is
	// synced with all the others just before the result.
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		_ = os.Remove(f.Name()) // on a full disk the result needs the room
		return "", "", err
	}
	return hash, name, nil
}

// tailOf is the end of a text that a specialist may read: at most limit bytes of valid UTF-8
// without control characters, beginning with a whole line where there is one.
func tailOf(text []byte, limit int) string {
	if limit <= 0 {
		return ""
	}
	cut := len(text) > 4*limit // cleaning can only shorten
	if cut {
		text = text[len(text)-4*limit:]
	}
	clean := strings.TrimRight(cleaned(string(text)), "\n")
	if len(clean) > limit {
		clean, cut = clean[len(clean)-limit:], true
		for len(clean) > 0 && !utf8.RuneStart(clean[0]) {
			clean = clean[1:]
		}
	}
	if first := strings.IndexByte(clean, '\n'); cut && first >= 0 && first < len(clean)-1 {
		clean = clean[first+1:]
	}
	return clean
}

// cleaned drops what could play tricks on a terminal or a parser, and the part of a line that a
// progress bar has overwritten.
func cleaned(text string) string {
	lines := strings.Split(strings.ReplaceAll(strings.ToValidUTF8(text, "�"), "\r\n", "\n"), "\n")
	for i, line := range lines {
		line = strings.TrimRight(line, "\r")
		line = line[strings.LastIndexByte(line, '\r')+1:]
		lines[i] = strings.Map(func(r rune) rune {
			switch {
			case r == '\t':
				return r
			case unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029':
				return -1
			}
			return r
		}, line)
	}
	return strings.Join(lines, "\n")
}

// oneLine is a text for a line of a table, at most limit bytes.
func oneLine(text string, limit int) string {
	text = strings.Join(strings.Fields(cleaned(text)), " ")
	if len(text) <= limit {
		return text
	}
	text = text[:limit-len("…")]
	for len(text) > 0 && !utf8.ValidString(text) {
		text = text[:len(text)-1]
	}
	return text + "…"
}
