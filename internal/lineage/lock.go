package lineage

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"mendel/internal/research"
)

// lockName is the file in a run's directory that its writer locks. It stays when the lock goes:
// removing it could take away a file that another process has just locked.
const lockName = "run.lock"

// A WriterLock makes its holder the one writer of a run. The kernel frees it when the process
// ends, however it ends.
type WriterLock struct{ file *os.File }

// A Holder is the process that writes a run.
type Holder struct {
	PID   int       `json:"pid"`
	Host  string    `json:"host"`
	Since time.Time `json:"since"`
}

// A HeldError says that another process writes the run.
type HeldError struct {
	Dir    string
	Holder Holder // zero where the lock file does not say
}

func (e *HeldError) Error() string {
	if e.Holder.PID == 0 {
		return fmt.Sprintf("%s: another process writes this run", e.Dir)
	}
	return fmt.Sprintf("%s: process %d on %s writes this run, since %s", e.Dir, e.Holder.PID, e.Holder.Host, e.Holder.Since.Format(time.RFC3339))
}

// Lock takes the run's directory for writing. While another process has it, the error is a
// [HeldError], at once.
func Lock(dir string) (*WriterLock, error) {
	if err := checkDirectory(dir); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, lockName)
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, unwritable(dir, err)
	}
	if err := flock(file); err != nil {
		held := &HeldError{Dir: dir, Holder: readHolder(file)}
		file.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		return nil, research.Hinted(held, "stop it first with `mendel stop`, or ask it through the commands that work on a live run")
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	if err := writeHolder(file, Holder{PID: os.Getpid(), Host: host, Since: time.Now().UTC()}); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), file.Close())
	}
	return &WriterLock{file}, nil
}

// patience is for a process that only looks who holds the lock, which takes it for an instant.
const patience = 100 * time.Millisecond

func flock(file *os.File) error {
	for deadline := time.Now().Add(patience); ; time.Sleep(patience / 20) {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil || err != syscall.EINTR && err != syscall.EWOULDBLOCK || time.Now().After(deadline) {
			return err
		}
	}
}

// Release lets another process write the run.
func (l *WriterLock) Release() error {
	return errors.Join(l.file.Truncate(0), l.file.Close())
}

func writeHolder(file *os.File, h Holder) error {
	text, err := json.Marshal(h)
	if err != nil {
		return err
	}
	if err := file.Truncate(0); err != nil {
		return err
	}
	_, err = file.WriteAt(append(text, '\n'), 0)
	return err
}

// readHolder gives the zero Holder when the holder has not written itself down yet.
func readHolder(file *os.File) (h Holder) {
	text, err := io.ReadAll(io.NewSectionReader(file, 0, 4096))
	if err != nil || json.Unmarshal(text, &h) != nil {
		return Holder{}
	}
	return h
}

// CurrentHolder says which process writes the run; false when none does.
func CurrentHolder(dir string) (Holder, bool, error) {
	file, err := os.Open(filepath.Join(dir, lockName))
	if errors.Is(err, fs.ErrNotExist) {
		return Holder{}, false, nil
	}
	if err != nil {
		return Holder{}, false, err
	}
	defer file.Close()
	// A shared lock is refused while a writer holds the file, and lets other lookers look.
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return readHolder(file), true, nil
	}
	return Holder{}, false, err
}

// checkDirectory says early, and in words, why a run cannot live in dir.
func checkDirectory(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a directory", dir)
	}
	if name := networkFileSystem(dir); name != "" {
		return research.Hinted(fmt.Errorf("%s lies on a network file system (%s), where a run file can be damaged", dir, name),
			"choose a directory on a local disk with --state; trials may use shared directories all the same")
	}
	const writeAndSearch = 0o3 // W_OK|X_OK of access(2)
	if err := syscall.Access(dir, writeAndSearch); err != nil {
		return unwritable(dir, err)
	}
	return nil
}

func unwritable(dir string, err error) error {
	return research.Hinted(fmt.Errorf("cannot write in %s: %w", dir, err), "choose a directory that this user may write in with --state, or change its owner")
}
