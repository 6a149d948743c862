package lineage

import (
	"context"
	"errors"
	"fmt"
	"time"

	"mendel/internal/research"
)

// A MisfitError says that a fact contradicts what the lineage already holds. Nothing of it was
// written.
type MisfitError struct {
	Kind    research.FactKind
	Problem string
	// Stale says that the attempt's token is no longer the newest of its replicate: the result
	// came too late, and what it cost belongs into an attempt_lost.
	Stale bool
}

func (e *MisfitError) Error() string { return fmt.Sprintf("%s: %s", e.Kind, e.Problem) }

// Append records a fact, with the blobs that it names and that are not stored yet. When it
// returns without an error, the event survives a power cut; with one, nothing was written.
// The end of ctx is heeded only before anything is written: what was paid for is not dropped
// halfway.
func (s *Store) Append(ctx context.Context, fact research.Fact, blobs ...Blob) (research.Event, error) {
	var event research.Event
	err := s.Batch(ctx, func(b *Batch) (err error) {
		event, err = b.Append(time.Now(), fact, blobs...)
		return err
	})
	return event, err
}

// A Batch appends several facts in one transaction. Its reader sees them already.
type Batch struct {
	*Reader
	store *Store
	err   error
}

// Batch records all the facts that fn appends, or none of them when fn or any append fails.
func (s *Store) Batch(ctx context.Context, fn func(*Batch) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.writer == nil {
		return errors.New("the run file is closed")
	}
	return s.transaction(func() error {
		b := &Batch{Reader: s.Reader.on(s.writer, nil), store: s}
		if err := fn(b); err != nil {
			return err
		}
		return b.err
	})
}

// Append adds one fact that happened at the given time.
func (b *Batch) Append(at time.Time, fact research.Fact, blobs ...Blob) (research.Event, error) {
	if b.err != nil {
		return research.Event{}, b.err
	}
	event, err := b.store.write(at, fact, blobs)
	b.err = err
	return event, err
}

func (s *Store) transaction(fn func() error) error {
	if err := s.writer.exec("BEGIN IMMEDIATE"); err != nil {
		return storeError(err)
	}
	err := fn()
	if err == nil {
		if err = s.writer.exec("COMMIT"); err == nil {
			return nil
		}
	}
	// SQLite has already rolled back after some errors; then this one says so, and that is all.
	_ = s.writer.exec("ROLLBACK")
	return storeError(err)
}

// write adds one event inside the open transaction.
func (s *Store) write(at time.Time, fact research.Fact, blobs []Blob) (research.Event, error) {
	fail := func(err error) (research.Event, error) {
		return research.Event{}, fmt.Errorf("record %w", err)
	}
	head, err := readHead(s.writer)
	if err != nil {
		return fail(err)
	}
	payload, err := encode(fact)
	if err != nil {
		return fail(err)
	}
	record := record{Seq: head.Seq + 1, At: formatTime(at), Kind: fact.Kind(), Payload: payload, Prev: head.Hash}
	record.Hash = record.sum()
	// What is projected is what the file says, not what was handed in, so that a replay sees the same.
	event, err := record.event()
	if err != nil {
		return fail(err)
	}
	if err := s.putBlobs(event.Fact, blobs); err != nil {
		return fail(err)
	}
	if err := s.writer.exec(`INSERT INTO events (seq, at, kind, payload, prev, hash) VALUES (?, ?, ?, ?, ?, ?)`,
		record.Seq, record.At, string(record.Kind), record.Payload, string(record.Prev), string(record.Hash)); err != nil {
		return fail(err)
	}
	projector := projector{s: s.writer, reg: s.reg}
	if err := projector.apply(event); err != nil {
		return fail(err)
	}
	return event, nil
}
