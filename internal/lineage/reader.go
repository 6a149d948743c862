package lineage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"mendel/internal/research"
)

// A Reader answers questions about a run file, in any process, while another one writes it. It
// never waits for the writer, nor the writer for it. Its methods may be called from several
// goroutines, except on a reader that [Reader.Snapshot] hands out.
type Reader struct {
	path string
	db   *database
	held *session // set in a snapshot

	decoded      *decoded
	registration func() (research.Registration, error)
}

// OpenReader opens the run file of a run's directory, or a run file itself.
func OpenReader(dirOrFile string) (*Reader, error) {
	path, err := resolve(dirOrFile)
	if err != nil {
		return nil, err
	}
	db, err := openFile(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, storeError(err))
	}
	if err := db.borrow(checkFormat); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, storeError(err)), db.close())
	}
	r := &Reader{path: path, db: db, decoded: newDecoded()}
	r.registration = sync.OnceValues(r.readRegistration)
	return r, nil
}

// openFile opens a file for reading, whatever is in it.
func openFile(path string) (*database, error) {
	db, err := openDatabase(path, reading)
	if err != nil {
		return nil, err
	}
	var version int
	err = db.borrow(func(s *session) error { return s.row(`PRAGMA user_version`, nil, &version) })
	var failure *sqlite.Error
	if !errors.As(err, &failure) || !isStill(path) {
		return db, nil
	}
	switch failure.Code() & 0xff {
	case sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY:
		// Reading in write-ahead mode needs a file of locks beside it, which may not be made here.
		if err := db.close(); err != nil {
			return nil, err
		}
		return openDatabase(path, frozen)
	}
	return db, nil
}

// resolve finds the run file that a person means, and says whether this user may read it.
func resolve(dirOrFile string) (string, error) {
	path := dirOrFile
	info, err := os.Stat(path)
	if err == nil && info.IsDir() {
		path = filepath.Join(path, FileName)
	}
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", research.Hinted(fmt.Errorf("%s: there is no run: %w", dirOrFile, fs.ErrNotExist), "give a run's directory, or its "+FileName)
	}
	if err != nil {
		return "", err
	}
	return path, file.Close()
}

// isStill says whether nothing waits beside the file to be merged into it.
func isStill(path string) bool {
	info, err := os.Stat(path + "-wal")
	return errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0
}

// checkFormat says whether the file is one that this program can read.
func checkFormat(s *session) error {
	var id int
	if err := s.row(`PRAGMA application_id`, nil, &id); err != nil {
		return err
	}
	version, err := versionOf(s)
	if err != nil {
		return err
	}
	switch {
	case id != applicationID:
		return errors.New("this is not a run file of Mendel")
	case version > schemaVersion:
		return research.Hinted(fmt.Errorf("its format is %d, and this program knows up to %d", version, schemaVersion), "it was written by a newer Mendel: use that one")
	case version < oldestVersion:
		return research.Hinted(fmt.Errorf("its format is %d, and this program knows %d to %d", version, oldestVersion, schemaVersion), "it was written by an older Mendel: use that one")
	}
	return nil
}

// Close ends reading.
func (r *Reader) Close() error { return r.db.close() }

// Path is where the run file is.
func (r *Reader) Path() string { return r.path }

// read runs a question on a session of its own, or on the snapshot's.
func read[T any](r *Reader, fn func(*session) (T, error)) (T, error) {
	var answer T
	ask := func(s *session) (err error) {
		answer, err = fn(s)
		return err
	}
	var err error
	if r.held != nil {
		err = ask(r.held)
	} else {
		err = r.db.borrow(ask)
	}
	if err != nil {
		return answer, fmt.Errorf("%s: %w", r.path, storeError(err))
	}
	return answer, nil
}

// Snapshot hands fn a reader to which the lineage stands still, so that several answers fit
// together. It is for fn alone, and for one goroutine at a time.
func (r *Reader) Snapshot(fn func(*Reader) error) error {
	if r.held != nil {
		return fn(r)
	}
	return r.db.borrow(func(s *session) error {
		if err := s.exec("BEGIN"); err != nil {
			return fmt.Errorf("%s: %w", r.path, storeError(err))
		}
		err := fn(r.on(s, r.decoded))
		// A transaction that only read has nothing to lose.
		_ = s.exec("ROLLBACK")
		return err
	})
}

// on is the reader that asks one session alone.
func (r *Reader) on(s *session, known *decoded) *Reader {
	return &Reader{path: r.path, db: r.db, held: s, decoded: known, registration: r.registration}
}

// Registration is what event 1 fixed.
func (r *Reader) Registration() (research.Registration, error) { return r.registration() }

func (r *Reader) readRegistration() (research.Registration, error) {
	return read(r, func(s *session) (research.Registration, error) {
		var payload string
		var registered research.Registered
		err := s.row(`SELECT payload FROM events WHERE seq = 1`, nil, &payload)
		if err == nil {
			err = json.Unmarshal([]byte(payload), &registered)
		}
		if err != nil {
			return research.Registration{}, fmt.Errorf("event 1: %w", err)
		}
		return registered.Registration, nil
	})
}

// Head is the last event.
func (r *Reader) Head() (Head, error) { return read(r, readHead) }

// readHead gives event 0 with the genesis hash where there is no event yet.
func readHead(s *session) (Head, error) {
	h := Head{Hash: genesis}
	err := s.row(`SELECT seq, hash FROM events ORDER BY seq DESC LIMIT 1`, nil, &h.Seq, &h.Hash)
	if isNone(err) {
		err = nil
	}
	return h, err
}

// Stopped says how the supervisor ended, where that was the last that happened: not in a run that is supervised,
// or whose supervisor was killed.
func (r *Reader) Stopped() (stopped research.Stopped, ok bool, err error) {
	head, err := r.Head()
	if err != nil {
		return stopped, false, err
	}
	last, err := r.Events(context.Background(), head.Seq-1, 1)
	if err != nil || len(last) == 0 {
		return stopped, false, err
	}
	stopped, ok = last[0].Fact.(research.Stopped)
	return stopped, ok, nil
}

// Events lists at most limit events after the given one, oldest first.
func (r *Reader) Events(ctx context.Context, after int64, limit int) ([]research.Event, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return read(r, func(s *session) ([]research.Event, error) {
		records, err := readRecords(s, after, limit)
		if err != nil {
			return nil, err
		}
		events := make([]research.Event, len(records))
		for i, rec := range records {
			if events[i], err = rec.event(); err != nil {
				return nil, fmt.Errorf("event %d: %w", rec.Seq, err)
			}
		}
		return events, nil
	})
}

func readRecords(s *session, after int64, limit int) ([]record, error) {
	return collect(s, scanRecord, `SELECT seq, at, kind, payload, prev, hash FROM events WHERE seq > ? ORDER BY seq LIMIT ?`, after, limit)
}

func scanRecord(row scanner) (r record, err error) {
	err = row.Scan(&r.Seq, &r.At, &r.Kind, &r.Payload, &r.Prev, &r.Hash)
	return r, err
}

// Blob is the content with the given hash, checked against it.
func (r *Reader) Blob(hash research.Hash) ([]byte, error) {
	return read(r, func(s *session) ([]byte, error) { return readBlob(s, hash) })
}

// Manifest lists the files of a frozen tree, without their contents.
func (r *Reader) Manifest(root research.Hash) ([]research.TreeFile, error) {
	return read(r, func(s *session) ([]research.TreeFile, error) {
		data, err := readBlob(s, root)
		if err != nil {
			return nil, err
		}
		return parseManifest(data)
	})
}

// Tree is a frozen tree with the contents of its files, by path.
func (r *Reader) Tree(root research.Hash) ([]File, error) {
	manifest, err := r.Manifest(root)
	if err != nil {
		return nil, err
	}
	files := make([]File, len(manifest))
	for i, f := range manifest {
		data, err := r.Blob(f.Hash)
		if err != nil {
			return nil, fmt.Errorf("tree %s: %s: %w", root.Short(), f.Path, err)
		}
		files[i] = File{Path: f.Path, Mode: f.Mode, Data: data}
	}
	return files, nil
}
