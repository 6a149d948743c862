package command

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"unicode"
)

// A redactor knows an agent's secrets, and finds them in texts: as they are, and in base64 and
// hexadecimal. Its methods may be called from several goroutines.
type redactor struct {
	login *login // its tokens are secrets, also those that the agent renews; may be nil

	mu      sync.Mutex
	secrets []string
	forms   []string // in which they are found, the longest first: one may be part of another
}

const (
	// shortestSecret keeps ordinary words, which a variable may hold too, from being taken for secrets.
	shortestSecret = 8
	// mostSecrets bounds what an agent can have us look for by renewing its file again and again.
	mostSecrets = 200
)

func (r *redactor) hide(secret string) {
	secret = strings.TrimSpace(secret)
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(secret) < shortestSecret || len(r.secrets) == mostSecrets || slices.Contains(r.secrets, secret) {
		return
	}
	r.secrets = append(r.secrets, secret)
	r.forms = append(r.forms, formsOf(secret)...)
	slices.SortFunc(r.forms, func(a, b string) int { return len(b) - len(a) })
	r.forms = slices.Compact(r.forms)
}

// formsOf lists what a text holds that holds the secret, plain or encoded.
func formsOf(secret string) []string {
	hexed := hex.EncodeToString([]byte(secret))
	forms := []string{secret, hexed, strings.ToUpper(hexed)}
	// In base64, what comes before the secret decides how its bytes fall into groups of three.
	for before := range 3 {
		data := append(make([]byte, before), secret...)
		first, end := (8*before+5)/6, 8*len(data)/6 // the characters that the secret alone decides
		for _, e := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
			forms = append(forms, e.EncodeToString(data)[first:end])
		}
	}
	return forms
}

// hideFile hides every long string in a file of JSON.
func (r *redactor) hideFile(data []byte) {
	const shortestToken = 20
	for text := range stringsIn(data) {
		if len(text) >= shortestToken {
			r.hide(text)
		}
	}
}

// stringsIn visits the strings in a text of JSON, keys included, up to its first fault.
func stringsIn(data []byte) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		d := json.NewDecoder(bytes.NewReader(data))
		for {
			token, err := d.Token()
			if err != nil {
				return
			}
			if text, ok := token.(string); ok && !yield(text) {
				return
			}
		}
	}
}

// now lists the forms of all secrets, those that the agent has renewed included.
func (r *redactor) now() []string {
	if r.login != nil {
		if data, renewed := r.login.renewed(); renewed {
			r.hideFile(data)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.forms)
}

const removed = "[key removed]"

func (r *redactor) clean(text string) string {
	for _, form := range r.now() {
		text = strings.ReplaceAll(text, form, removed)
	}
	return text
}

// holds reports whether a text gives a secret away.
func (r *redactor) holds(text []byte) bool {
	// Encoders break lines.
	unbroken := bytes.Map(func(c rune) rune {
		if unicode.IsSpace(c) {
			return -1
		}
		return c
	}, text)
	return slices.ContainsFunc(r.now(), func(form string) bool {
		return bytes.Contains(text, []byte(form)) || bytes.Contains(unbroken, []byte(form))
	})
}

// holdsInside is holds for a text of JSON, whose strings may be written in several ways.
func (r *redactor) holdsInside(args []byte) bool {
	if r.holds(args) {
		return true
	}
	for text := range stringsIn(args) {
		if r.holds([]byte(text)) {
			return true
		}
	}
	return false
}
