package protocol

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"unicode/utf8"
)

// maxDepth is how deeply the JSON of a header may nest: more than any use, and less than what
// brings down a reader that recurses.
const maxDepth = 32

// decode reads a header: one JSON object, no unknown keys, nothing after it, and nothing that two
// readers of JSON could take for two different things.
func decode(header []byte, into any) error {
	if !utf8.Valid(header) {
		return violation("a header that is not UTF-8", "")
	}
	d := json.NewDecoder(bytes.NewReader(header))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return violation("a header that cannot be read", "%.200s", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return violation("a header with something after its JSON", "")
	}
	return plain(header)
}

// encode writes a header from what was understood of the one that came. Keys are spelled and
// counted in their way by every reader of JSON; this one has each exactly once.
func encode(header any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // which would make it longer than it came
	if err := e.Encode(header); err != nil {
		return nil, violation("a header that cannot be read", "%.200s", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// plain walks through JSON whose syntax is known to be right. It must not nest deeply, no object
// may have a key twice, and no number may be so large that some readers make an infinity of it.
func plain(text []byte) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var open []object // also lists, which have no keys
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return violation("a header that cannot be read", "%.200s", err)
		}
		switch token := token.(type) {
		case json.Delim:
			switch token {
			case '}', ']':
				open = open[:len(open)-1]
				continue
			}
			if len(open) == maxDepth {
				return violation("a header whose JSON nests too deeply", "want at most %d levels", maxDepth)
			}
			if len(open) > 0 {
				open[len(open)-1].valueCame()
			}
			next := object{}
			if token == '{' {
				next.keys, next.wantsKey = map[string]bool{}, true
			}
			open = append(open, next)
			continue
		case json.Number:
			if _, err := token.Float64(); err != nil {
				return violation("a number in a header that is too large", "%.40s", token)
			}
		case string:
			if len(open) > 0 && open[len(open)-1].wantsKey {
				if !open[len(open)-1].keyCame(token) {
					return violation("a header with a key that comes twice", "%.40q", token)
				}
				continue
			}
		}
		if len(open) > 0 {
			open[len(open)-1].valueCame()
		}
	}
}

// An object is a JSON object, or a list, that a walk is in.
type object struct {
	keys     map[string]bool // nil in a list
	wantsKey bool            // the next string is a key
}

func (o *object) keyCame(key string) (fresh bool) {
	fresh = !o.keys[key]
	o.keys[key], o.wantsKey = true, false
	return fresh
}

func (o *object) valueCame() { o.wantsKey = o.keys != nil }

// checkMeta accepts an object, or nothing.
func checkMeta(meta json.RawMessage) error {
	if len(meta) > 0 && meta[0] != '{' {
		return violation("meta that is not an object", "%.40s", meta)
	}
	return nil
}

// explicit gives a list of tensors without any null in its JSON.
func explicit(tensors []Tensor) []Tensor {
	full := make([]Tensor, len(tensors))
	for i, t := range tensors {
		full[i] = Tensor{t.Type, append([]int64{}, t.Shape...)}
	}
	return full
}

// header is the question as it is passed on.
func (q Question) header() ([]byte, error) {
	q.Tensors, q.Expect = explicit(q.Tensors), explicit(q.Expect)
	return encode(q)
}

// header is the answer as it is passed on.
func (a Answer) header() ([]byte, error) {
	a.Tensors = explicit(a.Tensors)
	return encode(a)
}
