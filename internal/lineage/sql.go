package lineage

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"

	"github.com/klauspost/compress/zstd"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"mendel/internal/research"
)

// An access is how a file is opened.
type access int

const (
	reading access = iota
	writing
	frozen // reading a file that nobody can be writing, in a directory where we may write nothing
)

// maxSessions bounds the connections of one reader; more callers wait for each other, never for the writer.
const maxSessions = 4

// A database is one SQLite file, opened one way.
type database struct {
	pool *sql.DB
	lent chan struct{} // a token for each session that is lent
	free chan *session
}

// openDatabase opens path; a file that is opened for writing may be missing.
func openDatabase(path string, how access) (*database, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	connector, err := sqlite.NewConnector((&url.URL{Scheme: "file", Path: absolute, RawQuery: parameters(how).Encode()}).String())
	if err != nil {
		return nil, err
	}
	pool := sql.OpenDB(connector)
	pool.SetMaxOpenConns(maxSessions)
	pool.SetMaxIdleConns(maxSessions)
	return &database{pool: pool, lent: make(chan struct{}, maxSessions), free: make(chan *session, maxSessions)}, nil
}

func parameters(how access) url.Values {
	v := url.Values{"_defensive": {"1"}, "_dqs": {"0"}}
	// trusted_schema: a file made by someone else must not run functions through its schema.
	pragmas := []string{"trusted_schema(0)", "busy_timeout(10000)", "cache_size(-16000)"}
	switch how {
	case reading:
		v.Set("mode", "ro")
	case frozen:
		v.Set("mode", "ro")
		v.Set("immutable", "1")
	case writing:
		pragmas = append(pragmas, "synchronous(FULL)")
	}
	v["_pragma"] = pragmas
	return v
}

func (d *database) close() error {
	for {
		select {
		case s := <-d.free:
			s.close()
		default:
			return d.pool.Close()
		}
	}
}

// session takes a connection of its own, which ends with the database.
func (d *database) session() (*session, error) {
	conn, err := d.pool.Conn(context.Background())
	if err != nil {
		return nil, err
	}
	return &session{conn: conn, prepared: map[string]*sql.Stmt{}, decoders: map[research.Hash]*zstd.Decoder{}}, nil
}

// borrow runs fn with a session that nobody else uses meanwhile. When all are lent it waits for
// one to come back: the pool itself would wait for ever, because returned sessions keep their
// connections.
func (d *database) borrow(fn func(*session) error) error {
	d.lent <- struct{}{}
	defer func() { <-d.lent }()
	var s *session
	select {
	case s = <-d.free:
	default:
		var err error
		if s, err = d.session(); err != nil {
			return err
		}
	}
	defer func() { d.free <- s }()
	return fn(s)
}

// A session is one connection with the statements that were prepared on it: the queries of a run
// are few and fixed, and parsing them costs more than running them.
type session struct {
	conn     *sql.Conn
	prepared map[string]*sql.Stmt
	decoders map[research.Hash]*zstd.Decoder // by base
}

func (s *session) statement(query string) (*sql.Stmt, error) {
	if st, ok := s.prepared[query]; ok {
		return st, nil
	}
	st, err := s.conn.PrepareContext(context.Background(), query)
	if err != nil {
		return nil, err
	}
	s.prepared[query] = st
	return st, nil
}

func (s *session) close() {
	for _, st := range s.prepared {
		st.Close()
	}
	s.forgetDecoders()
	s.conn.Close()
}

func (s *session) exec(query string, args ...any) error {
	st, err := s.statement(query)
	if err != nil {
		return err
	}
	_, err = st.Exec(args...)
	return err
}

// row scans the only row of a query; sql.ErrNoRows says that there was none.
func (s *session) row(query string, args []any, into ...any) error {
	st, err := s.statement(query)
	if err != nil {
		return err
	}
	return st.QueryRow(args...).Scan(into...)
}

// collect reads all rows of a query before it returns, so that no two queries of a session overlap.
func collect[T any](s *session, scan func(scanner) (T, error), query string, args ...any) ([]T, error) {
	st, err := s.statement(query)
	if err != nil {
		return nil, err
	}
	rows, err := st.Query(args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, rows.Err()
}

// A scanner is a row.
type scanner interface{ Scan(into ...any) error }

// scanOne reads rows of one column.
func scanOne[T any](row scanner) (v T, err error) {
	err = row.Scan(&v)
	return v, err
}

// storeError adds what an operator can do about an error of SQLite.
func storeError(err error) error {
	var failure *sqlite.Error
	if !errors.As(err, &failure) {
		return err
	}
	switch failure.Code() & 0xff {
	case sqlite3.SQLITE_FULL:
		return research.Hinted(fmt.Errorf("the disk is full: %w", err), "free some space: the run file is intact up to its last event, and `mendel run --resume` goes on from there")
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM:
		return research.Hinted(err, "the run's directory must be writable for this user")
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return research.Hinted(err, "another program holds a lock on the run file")
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return research.Hinted(fmt.Errorf("the file is damaged: %w", err), "`mendel verify` says how far it is intact")
	}
	return err
}
