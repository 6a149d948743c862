// Package lineage is the run file: one SQLite file that remembers what was proposed, measured
// and decided, in order, and shows it when something was changed afterwards.
//
// It stores facts and answers questions about them; it decides nothing. What a verdict must be
// follows from research.Judge, and the store refuses any other. Facts go into an append-only
// table of events, each of which carries the hash of the one before; large contents go into
// content-addressed blobs; and tables that are projected from the events answer the questions
// at a cost that does not grow with history.
//
// Start reading at [Store.Append], then projector.apply, which is shared with [Verify].
package lineage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"mendel/internal/research"
)

// FileName is the name of the run file in a run's directory.
const FileName = "run.db"

// A Store is the one writer of a run file. Its methods may be called from several goroutines.
// The caller holds the run's [WriterLock] for as long as the store is open.
type Store struct {
	*Reader
	mu      sync.Mutex // guards the writing connection
	db      *database
	writer  *session
	reg     research.Registration
	deflate *compressor
}

// Create makes the run file of dir, with the registration as its first event. The file appears
// whole or not at all, and an existing one is never touched.
func Create(dir string, reg research.Registration, blobs ...Blob) (*Store, error) {
	if reg.VerdictVersion != research.VerdictVersion {
		return nil, fmt.Errorf("register run: verdict arithmetic %d is not the one of this program (%d)", reg.VerdictVersion, research.VerdictVersion)
	}
	nothing := func(*Store) error { return nil }
	if err := create(dir, func(path string) error { return createDraft(path, reg, blobs, nothing) }); err != nil {
		return nil, err
	}
	return Open(dir)
}

// create has a run file drafted beside its place, and then put there.
func create(dir string, write func(path string) error) error {
	path := filepath.Join(dir, FileName)
	if _, err := os.Lstat(path); err == nil {
		return research.Hinted(fmt.Errorf("%s: %w", path, fs.ErrExist), "a run is never overwritten: choose another directory, or continue this one with `mendel run --resume`")
	}
	if err := checkDirectory(dir); err != nil {
		return err
	}
	draft := path + ".new"
	if err := removeDatabase(draft); err != nil {
		return err
	}
	if err := write(draft); err != nil {
		return errors.Join(fmt.Errorf("%s: %w", path, err), removeDatabase(draft))
	}
	if err := os.Rename(draft, path); err != nil {
		return err
	}
	return syncDirectory(dir)
}

// createDraft writes a complete run file, with its registration and what more gives, and closes it.
func createDraft(path string, reg research.Registration, blobs []Blob, more func(*Store) error) error {
	db, err := openDatabase(path, writing)
	if err != nil {
		return err
	}
	writer, err := db.session()
	if err != nil {
		return errors.Join(err, db.close())
	}
	s := &Store{db: db, writer: writer, reg: reg, deflate: newCompressor()}
	err = s.transaction(func() error {
		if err := createSchema(writer); err != nil {
			return err
		}
		if _, err := s.write(time.Now(), research.Registered{Registration: reg}, blobs); err != nil {
			return err
		}
		return more(s)
	})
	return errors.Join(err, s.closeWriter())
}

// Open takes the run file of dir for writing.
func Open(dir string) (*Store, error) {
	if err := checkDirectory(dir); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, FileName)
	reader, err := OpenReader(path)
	if err != nil {
		return nil, err
	}
	s, err := openWriter(path)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), reader.Close())
	}
	s.Reader = reader
	if s.reg, err = reader.Registration(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func openWriter(path string) (*Store, error) {
	db, err := openDatabase(path, writing)
	if err != nil {
		return nil, err
	}
	writer, err := db.session()
	if err != nil {
		return nil, errors.Join(err, db.close())
	}
	if err := writer.exec("PRAGMA journal_mode = WAL"); err != nil {
		return nil, errors.Join(err, db.close())
	}
	if err := upgrade(writer); err != nil {
		return nil, errors.Join(err, db.close())
	}
	return &Store{db: db, writer: writer, deflate: newCompressor()}, nil
}

// Close ends writing. With no reader left in any process it leaves one plain file; otherwise the
// file is complete too, and the next Close removes what SQLite keeps beside it.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.Reader.Close(), s.closeWriter())
}

func (s *Store) closeWriter() error {
	if s.writer == nil {
		return nil
	}
	err := s.writer.exec("PRAGMA wal_checkpoint(TRUNCATE)")
	// Refused while another process reads; what was written is safe either way.
	_ = s.writer.exec("PRAGMA journal_mode = DELETE")
	s.writer.close()
	s.writer = nil
	return errors.Join(err, s.db.close())
}

// syncDirectory makes a rename in dir durable.
func syncDirectory(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// removeDatabase removes a file of ours that was never finished, with SQLite's companions.
func removeDatabase(path string) error {
	for _, p := range []string{path, path + "-wal", path + "-shm", path + "-journal"} {
		if err := os.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
