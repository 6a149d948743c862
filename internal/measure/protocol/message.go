package protocol

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// A Tensor declares one block of a frame's data.
type Tensor struct {
	Type  string  `json:"dtype"` // u1 i4 i8 f4 f8
	Shape []int64 `json:"shape"`
}

func (t Tensor) String() string { return fmt.Sprintf("%s%v", t.Type, t.Shape) }

func (t Tensor) equal(o Tensor) bool { return t.Type == o.Type && slices.Equal(t.Shape, o.Shape) }

var itemSizes = map[string]int64{"u1": 1, "i4": 4, "i8": 8, "f4": 4, "f8": 8}

const (
	maxDims    = 8
	maxTensors = 64
)

// size is the number of bytes that the tensor occupies, at most limit.
func (t Tensor) size(limit int64) (int64, error) {
	n, ok := itemSizes[t.Type]
	if !ok {
		return 0, violation("an unknown dtype", "%.20q: want u1, i4, i8, f4 or f8", t.Type)
	}
	if len(t.Shape) > maxDims {
		return 0, violation("a tensor of too many dimensions", "%d: want at most %d", len(t.Shape), maxDims)
	}
	empty := false
	for _, d := range t.Shape {
		if d < 0 {
			return 0, violation("a tensor with a negative dimension", "%s", t)
		}
		empty = empty || d == 0
	}
	if empty {
		return 0, nil
	}
	for _, d := range t.Shape {
		if n > limit/d {
			return 0, violation("a tensor of more bytes than its frame", "%s", t)
		}
		n *= d
	}
	if n > limit {
		return 0, violation("a tensor of more bytes than its frame", "%s", t)
	}
	return n, nil
}

// layout checks that the tensors fill data exactly, and returns the block of each.
func layout(tensors []Tensor, data []byte) ([][]byte, error) {
	if len(tensors) > maxTensors {
		return nil, violation("too many tensors in a frame", "%d: want at most %d", len(tensors), maxTensors)
	}
	var blocks [][]byte
	rest := data
	for _, t := range tensors {
		n, err := t.size(int64(len(rest)))
		if err != nil {
			return nil, err
		}
		blocks, rest = append(blocks, rest[:n]), rest[n:]
	}
	if len(rest) > 0 {
		return nil, violation("data that no tensor declares", "%d bytes", len(rest))
	}
	return blocks, nil
}

// A Question is the header of a call.
type Question struct {
	Method     string          `json:"method"`
	Meta       json.RawMessage `json:"meta,omitempty"`
	Tensors    []Tensor        `json:"tensors"`
	Expect     []Tensor        `json:"expect"`
	ExpectMeta bool            `json:"expect_meta,omitempty"`
	DeadlineMS float64         `json:"deadline_ms,omitempty"`
}

// defaultDeadline is how long a reply may take where the call does not say.
const defaultDeadline = time.Minute

func (q Question) deadline() time.Duration {
	if q.DeadlineMS <= 0 || q.DeadlineMS > float64(24*time.Hour/time.Millisecond) {
		return defaultDeadline
	}
	return time.Duration(q.DeadlineMS * float64(time.Millisecond))
}

// An Answer is the header of a reply.
type Answer struct {
	Meta    json.RawMessage `json:"meta,omitempty"`
	Tensors []Tensor        `json:"tensors"`
}

// CheckHello reads the first word of either side.
func CheckHello(f Frame) error {
	if f.Kind != Hello {
		return violation("another frame instead of hello", "%s", f.Kind)
	}
	var h struct {
		Protocol int `json:"protocol"`
	}
	if err := decode(f.Header, &h); err != nil {
		return err
	}
	if h.Protocol != Version || len(f.Data) > 0 {
		return violation("another version of the protocol", "%d: want %d", h.Protocol, Version)
	}
	return nil
}

// CheckCall reads a call of the evaluator.
func CheckCall(f Frame) (Question, error) {
	var q Question
	if f.Kind != Call {
		return q, violation("another frame instead of call or bye", "%s", f.Kind)
	}
	if err := decode(f.Header, &q); err != nil {
		return q, err
	}
	if q.Method == "" {
		return q, violation("a call without a method", "")
	}
	for _, t := range q.Expect {
		if _, err := t.size(1 << 40); err != nil {
			return q, fmt.Errorf("in expect: %w", err)
		}
	}
	if err := checkMeta(q.Meta); err != nil {
		return q, err
	}
	_, err := layout(q.Tensors, f.Data)
	return q, err
}

// CheckReply reads the subject's reply to a question.
func CheckReply(f Frame, q Question) (Answer, error) {
	var a Answer
	if f.Kind != Reply {
		return a, violation("another frame instead of reply", "%s", f.Kind)
	}
	if err := decode(f.Header, &a); err != nil {
		return a, err
	}
	if len(a.Meta) > 0 && !q.ExpectMeta {
		return a, violation("a reply with meta that nobody expects", "")
	}
	if err := checkMeta(a.Meta); err != nil {
		return a, err
	}
	if !slices.EqualFunc(a.Tensors, q.Expect, Tensor.equal) {
		return a, violation("a reply of other types or shapes than expected", "%v: want %v", a.Tensors, q.Expect)
	}
	blocks, err := layout(a.Tensors, f.Data)
	if err != nil {
		return a, err
	}
	for i, t := range a.Tensors {
		if at := notFinite(t.Type, blocks[i]); at >= 0 {
			return a, violation("a NaN or infinity in a reply", "tensor %d, element %d", i, at)
		}
	}
	return a, nil
}

// notFinite gives the index of the first NaN or infinity, or -1.
func notFinite(dtype string, b []byte) int {
	switch dtype {
	case "f4":
		const exponent = 0xff << 23
		for i := 0; i+4 <= len(b); i += 4 {
			if binary.LittleEndian.Uint32(b[i:])&exponent == exponent {
				return i / 4
			}
		}
	case "f8":
		const exponent = 0x7ff << 52
		for i := 0; i+8 <= len(b); i += 8 {
			if binary.LittleEndian.Uint64(b[i:])&exponent == exponent {
				return i / 8
			}
		}
	}
	return -1
}
