package bundle

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"mendel/internal/research"
)

// A Result is what a runner leaves.
type Result struct {
	Token       string               `json:"token"`
	Measurement research.Measurement `json:"measurement"`
	// Logs maps each log's hash to its file's name in logs/.
	Logs    map[research.Hash]string `json:"logs,omitempty"`
	EndedAt time.Time                `json:"ended_at"`
}

// Progress is how far a runner is.
type Progress struct {
	Phase          string           `json:"phase"`
	Seed           int              `json:"seed"` // index; -1 in a phase that runs once
	Seeds          int              `json:"seeds"`
	StartedAt      time.Time        `json:"started_at"`
	PhaseStartedAt time.Time        `json:"phase_started_at"`
	Wall           research.Seconds `json:"wall_s"` // since the start
}

// A Runner says which process measures.
type Runner struct {
	PID  int    `json:"pid"`
	Host string `json:"host"`
	// Start is the process's start time in clock ticks after boot (field 22 of /proc/PID/stat):
	// with it a pid is never mistaken for another process's.
	Start uint64 `json:"start"`
}

type lease struct {
	Token string `json:"token"`
}

// Errors that a caller tells apart.
var (
	// ErrFenced says that another attempt holds the lease now: this result no longer counts.
	ErrFenced = errors.New("the lease of this bundle was given to another attempt")
	// ErrHeld says that another runner is at work on the bundle.
	ErrHeld = errors.New("another runner works on this bundle")
)

// Fence gives the lease to token. Once it returns, no other token's result can appear.
func (b Bundle) Fence(token string) error {
	return b.locked(func() error { return b.replace(leaseFile, lease{token}, true) })
}

// Lease reads the token whose result counts.
func (b Bundle) Lease() (token string, err error) {
	var l lease
	err = b.read(leaseFile, &l)
	return l.Token, err
}

// WriteResult ends the attempt. The result is on the disk when it returns nil, and so are the
// names of the logs that it names, whose contents whoever wrote them has synced; readers see
// either all of it or nothing. It returns ErrFenced, and leaves everything as it is, when the lease names
// another token than the result.
func (b Bundle) WriteResult(r Result) error {
	err := b.locked(func() error {
		token, err := b.Lease()
		if err != nil {
			return err
		}
		if token != r.Token {
			return ErrFenced
		}
		if err := b.syncLogs(r.Logs); err != nil {
			return err
		}
		return b.replace(resultFile, r, true)
	})
	if err != nil {
		return fmt.Errorf("write result of %s: %w", b.Dir, err)
	}
	return nil
}

// syncLogs makes the names in logs/ outlive a power cut, in one go for the whole attempt.
func (b Bundle) syncLogs(logs map[research.Hash]string) error {
	if len(logs) == 0 {
		return nil
	}
	for _, name := range logs {
		if _, err := os.Lstat(filepath.Join(b.Logs(), name)); err != nil {
			return err
		}
	}
	return syncDir(b.Logs())
}

// Result reads the end. The error is fs.ErrNotExist while there is none.
func (b Bundle) Result() (Result, error) {
	var r Result
	err := b.read(resultFile, &r)
	return r, err
}

// HasResult says whether the attempt has ended.
func (b Bundle) HasResult() bool {
	_, err := os.Stat(filepath.Join(b.Dir, resultFile))
	return err == nil
}

// WriteProgress replaces the progress. It is cheap, and not durable.
func (b Bundle) WriteProgress(p Progress) error { return b.write(progressFile, p) }

// ReadProgress reads how far the runner of the bundle in dir is.
func ReadProgress(dir string) (Progress, error) {
	var p Progress
	err := readJSON(filepath.Join(dir, progressFile), &p)
	return p, err
}

// WriteRunner says which process measures.
func (b Bundle) WriteRunner(r Runner) error { return b.write(runnerFile, r) }

// Runner reads which process measures, or last did. The error is fs.ErrNotExist before the first.
func (b Bundle) Runner() (Runner, error) {
	var r Runner
	err := b.read(runnerFile, &r)
	return r, err
}

// Hold makes the calling process the bundle's only runner until release is called or the process
// ends, however it ends. It returns ErrHeld when there is another.
func (b Bundle) Hold() (release func(), err error) {
	f, err := lockFile(filepath.Join(b.Dir, "runner.lock"), unix.LOCK_EX|unix.LOCK_NB)
	switch {
	case errors.Is(err, unix.EWOULDBLOCK):
		return nil, ErrHeld
	case err != nil:
		return nil, err
	}
	return func() { f.Close() }, nil
}

// Held says whether a runner holds the bundle. It asks the lock, so that a dead runner's pid
// that now belongs to someone else deceives nobody.
func (b Bundle) Held() (bool, error) {
	f, err := lockFile(filepath.Join(b.Dir, "runner.lock"), unix.LOCK_SH|unix.LOCK_NB)
	switch {
	case errors.Is(err, unix.EWOULDBLOCK):
		return true, nil
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	}
	return false, f.Close()
}

// locked runs f while no one else changes the lease or writes a result.
func (b Bundle) locked(f func() error) error {
	l, err := lockFile(filepath.Join(b.Dir, "lease.lock"), unix.LOCK_EX)
	if err != nil {
		return err
	}
	defer l.Close()
	return f()
}

func lockFile(path string, how int) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	for {
		err = unix.Flock(int(f.Fd()), how)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return f, nil
}
