package wire

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// An Event is one server-sent event.
type Event struct {
	Name string // "" where the server names none
	Data []byte // its data lines, joined; valid until the next event
}

// A brokenError says that the stream failed, in contrast to what came through it.
type brokenError struct{ cause error }

func (b *brokenError) Error() string { return b.cause.Error() }
func (b *brokenError) Unwrap() error { return b.cause }

// events reads server-sent events until each says done, fails, or the stream ends, which is
// [io.ErrUnexpectedEOF] then. An event that the end cuts off is dropped, as the standard says.
func events(from io.Reader, each func(Event) (done bool, err error)) error {
	lines := bufio.NewReaderSize(from, 32<<10)
	var event Event
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return &brokenError{err}
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			if event.Data != nil {
				if done, err := each(event); done || err != nil {
					return err
				}
			}
			event = Event{}
			continue
		}
		field, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(field) {
		case "event":
			event.Name = string(value)
		case "data":
			if event.Data != nil {
				event.Data = append(event.Data, '\n')
			}
			event.Data = append(event.Data, value...)
			if event.Data == nil {
				event.Data = []byte{}
			}
		}
	}
}
