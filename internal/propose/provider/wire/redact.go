package wire

import (
	"bytes"
	"strings"
)

// A redactor is a key that must not be shown.
type redactor string

const (
	hidden = "[key]"
	// shortestPart is how many characters of a key in a row are taken for a part of it.
	shortestPart = 8
	// shortestMasked is the same where stars or dots stand beside it: "sk-ab***wxyz".
	shortestMasked = 3
	masks          = "*.•…xX"
)

// wholeKey hides the key itself in what a server sent. Parts stay: a reply is data that has to be
// handed back as it came, and the key never was in a prompt.
func (r redactor) wholeKey(data []byte) []byte {
	if len(r) < shortestPart { // "none", as servers without keys are given
		return data
	}
	return bytes.ReplaceAll(data, []byte(r), []byte(hidden))
}

// clean hides the key and what may be a part of it, also a masked one, in a text for people.
func (r redactor) clean(text string) string {
	if len(r) < shortestMasked {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); {
		n := r.partAt(text[i:])
		if n == 0 {
			b.WriteByte(text[i])
			i++
			continue
		}
		b.WriteString(hidden)
		i += n
	}
	return b.String()
}

// partAt is how many bytes of the beginning of text give the key away: the key, a long part of
// it, or its beginning and end with a mask in between.
func (r redactor) partAt(text string) int {
	key := string(r)
	if strings.HasPrefix(text, key) {
		return len(key)
	}
	head := commonPrefix(text, key)
	if mask := maskLength(text[head:]); mask >= 2 && (head == 0 || head >= shortestMasked) {
		if end := suffixAt(text[head+mask:], key); end >= shortestMasked || head >= shortestMasked {
			return head + mask + end
		}
	}
	if len(key) < shortestPart || len(text) < shortestPart {
		return 0
	}
	at := strings.Index(key, text[:shortestPart])
	if at < 0 {
		return 0
	}
	return commonPrefix(text, key[at:])
}

// suffixAt is the length of the longest end of key that text begins with.
func suffixAt(text, key string) int {
	for n := min(len(text), len(key)-1); n > 0; n-- {
		if strings.HasSuffix(key, text[:n]) {
			return n
		}
	}
	return 0
}

func maskLength(text string) int {
	return len(text) - len(strings.TrimLeft(text, masks))
}

func commonPrefix(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}
