package command

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// handKeys gives the agent its own credential and no other: variables for its environment, and a
// copy of its credential file in its home. What they hold is remembered, to be kept out of records.
func (p *Proposer) handKeys(y *stay) error {
	for _, name := range append(slices.Clone(p.agent.keys), p.options.Pass...) {
		if value := p.options.Getenv(name); value != "" {
			y.keys = append(y.keys, name+"="+value)
			y.secret.hide(value)
		}
	}
	if p.agent.file == "" || p.options.Home == "" {
		return nil
	}
	data, err := os.ReadFile(filepath.Join(p.options.Home, p.agent.file))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the agent's credential: %w", err)
	}
	y.secret.hideFile(data)
	own := filepath.Join(y.home, p.agent.file)
	if err := errors.Join(os.MkdirAll(filepath.Dir(own), 0o700), os.WriteFile(own, data, 0o600)); err != nil {
		return fmt.Errorf("copy the agent's credential: %w", err)
	}
	return nil
}

// A redactor takes secrets out of texts.
type redactor struct{ secrets []string }

// shortestSecret keeps ordinary words, which a variable may hold too, from being taken for secrets.
const shortestSecret = 8

func (r *redactor) hide(secret string) {
	if secret = strings.TrimSpace(secret); len(secret) >= shortestSecret && !slices.Contains(r.secrets, secret) {
		r.secrets = append(r.secrets, secret)
		// The longest first: one may be part of another.
		slices.SortFunc(r.secrets, func(a, b string) int { return len(b) - len(a) })
	}
}

// hideFile hides every long string in a file of JSON.
func (r *redactor) hideFile(data []byte) {
	const shortestToken = 20
	d := json.NewDecoder(bytes.NewReader(data))
	for {
		token, err := d.Token()
		if err != nil {
			return
		}
		if text, ok := token.(string); ok && len(text) >= shortestToken {
			r.hide(text)
		}
	}
}

const removed = "[key removed]"

func (r *redactor) clean(text string) string {
	for _, s := range r.secrets {
		text = strings.ReplaceAll(text, s, removed)
	}
	return text
}

// holds reports whether a text gives a secret away.
func (r *redactor) holds(text []byte) bool {
	return slices.ContainsFunc(r.secrets, func(s string) bool { return bytes.Contains(text, []byte(s)) })
}
