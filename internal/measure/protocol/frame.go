// Package protocol joins an evaluator, which knows the answers, and a subject, the recipe's
// process that must give them, and polices what they say: [Match.Play] passes on nothing that
// it has not checked, and writes every header anew from what it has understood of it.
//
// A frame is a u32 length N of what follows (5 ≤ N ≤ the phase's max_frame), a u8 [Kind], a u32
// length H of the header, H bytes of JSON (at most 64 KiB), and the data of the tensors that the
// header declares, in their order. Integers and tensors are little-endian. Each side sends hello
// first; then calls of the evaluator and replies of the subject strictly alternate until the
// evaluator says bye.
//
// The two helpers for task authors are python/mendel_subject.py and python/mendel_evaluator.py.
// The package starts no processes and keeps no clock but the deadline of a reply.
package protocol

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Version is what both sides say in their hello.
const Version = 1

// A Kind says what a frame is. Values are on the wire: add, never change.
type Kind uint8

// The kinds of frame.
const (
	Hello  Kind = 1
	Call   Kind = 2 // evaluator → subject
	Reply  Kind = 3 // subject → evaluator
	Bye    Kind = 4 // evaluator → subject
	Failed Kind = 5 // runner → either side: why the match is over
)

func (k Kind) String() string {
	switch k {
	case Hello:
		return "hello"
	case Call:
		return "call"
	case Reply:
		return "reply"
	case Bye:
		return "bye"
	case Failed:
		return "error"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

const (
	// MaxHeader is the most bytes of JSON in a frame.
	MaxHeader = 64 << 10
	// DefaultMaxFrame is the most bytes of a frame where a phase names none.
	DefaultMaxFrame = 64 << 20

	prefix = 4 + 1 + 4 // length, kind, header length
)

// A Frame is one message. Header and Data share the buffer that it was read into.
type Frame struct {
	Kind   Kind
	Header []byte
	Data   []byte
}

// A Violation is a breach of the protocol. What is one of a fixed set of sentences, so that it can
// be shown to anyone. Detail is for the operator alone: the one who broke the protocol chose what
// stands in it, and it may know the held-out questions.
type Violation struct{ What, Detail string }

func (v *Violation) Error() string {
	if v.Detail == "" {
		return v.What
	}
	return v.What + ": " + v.Detail
}

func violation(what, format string, args ...any) error {
	return &Violation{what, fmt.Sprintf(format, args...)}
}

// A Reader reads frames, each into the same buffer: a frame is valid until the next one is read.
type Reader struct {
	from io.Reader
	max  int
	buf  []byte
}

// NewReader reads frames of at most maxFrame bytes; 0 means the default.
func NewReader(from io.Reader, maxFrame int) *Reader {
	if maxFrame <= 0 {
		maxFrame = DefaultMaxFrame
	}
	return &Reader{from: from, max: maxFrame}
}

// Next reads a frame. At a clean end it returns io.EOF; a frame that breaks off, or whose lengths
// cannot be, is a [Violation].
func (r *Reader) Next() (Frame, error) {
	var head [prefix]byte
	if _, err := io.ReadFull(r.from, head[:4]); err != nil {
		return Frame{}, brokenOff(err)
	}
	n := int64(binary.LittleEndian.Uint32(head[:4]))
	if n < prefix-4 || n > int64(r.max) {
		return Frame{}, violation("a frame of a length that is not allowed", "%d bytes: want %d to %d (max_frame)", n, prefix-4, r.max)
	}
	if _, err := io.ReadFull(r.from, head[4:]); err != nil {
		return Frame{}, brokenOff(midFrame(err))
	}
	body := int(n) - (prefix - 4)
	h := int64(binary.LittleEndian.Uint32(head[5:]))
	if h > MaxHeader || h > int64(body) {
		return Frame{}, violation("a header of a length that is not allowed", "%d bytes in a frame of %d: want at most %d", h, n, min(MaxHeader, body))
	}
	if cap(r.buf) < body {
		r.buf = make([]byte, body)
	}
	b := r.buf[:body]
	if _, err := io.ReadFull(r.from, b); err != nil {
		return Frame{}, brokenOff(midFrame(err))
	}
	return Frame{Kind: Kind(head[4]), Header: b[:h:h], Data: b[h:]}, nil
}

// midFrame turns the end of a stream inside a frame into what it is.
func midFrame(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func brokenOff(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return violation("a frame that breaks off in the middle", "")
	}
	return err
}

// Write sends a frame.
func Write(w io.Writer, f Frame) error {
	var head [prefix]byte
	binary.LittleEndian.PutUint32(head[:4], uint32(prefix-4+len(f.Header)+len(f.Data)))
	head[4] = byte(f.Kind)
	binary.LittleEndian.PutUint32(head[5:], uint32(len(f.Header)))
	// One write for what is small; large data is not copied once more.
	small := append(append(make([]byte, 0, prefix+len(f.Header)+smallData), head[:]...), f.Header...)
	if len(f.Data) <= smallData {
		_, err := w.Write(append(small, f.Data...))
		return err
	}
	if _, err := w.Write(small); err != nil {
		return err
	}
	_, err := w.Write(f.Data)
	return err
}

const smallData = 16 << 10
