package command

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"
)

// KeyEnvs are the environment variables that hold the credentials of known agents.
func KeyEnvs() []string { return slices.Concat(claude().keys, codex().keys, gemini().keys) }

// handKeys gives the agent its own credential and no other: variables for its environment, and a
// copy of its credential file in its home. What they hold is remembered, to be kept out of records.
func (p *Proposer) handKeys(y *stay) error {
	for _, name := range slices.Concat(p.agent.keys, p.options.Pass) {
		if value := p.options.Getenv(name); value != "" {
			y.keys = append(y.keys, name+"="+value)
			y.secret.hide(value)
		}
	}
	if p.agent.file == "" || p.options.Home == "" {
		return nil
	}
	l, err := lend(filepath.Join(p.options.Home, p.agent.file), filepath.Join(y.home, p.agent.file))
	if l == nil {
		return err
	}
	y.secret.hideFile(l.lent)
	y.secret.login = l
	return nil
}

// A login is the user's credential file for an agent, and the copy that one session's agent has.
type login struct {
	original, copied string
	lent             []byte // what both held

	mu   sync.Mutex
	seen time.Time // when the copy was changed, as last looked at
}

// lend copies a credential file. There may be none; then there is no login.
func lend(original, copied string) (*login, error) {
	data, err := os.ReadFile(original)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the agent's credential: %w", err)
	}
	if err := errors.Join(os.MkdirAll(filepath.Dir(copied), 0o700), os.WriteFile(copied, data, 0o600)); err != nil {
		return nil, fmt.Errorf("copy the agent's credential: %w", err)
	}
	return &login{original: original, copied: copied, lent: data}, nil
}

// renewed is the agent's copy, when it was changed since the last look.
func (l *login) renewed() ([]byte, bool) {
	info, err := os.Lstat(l.copied)
	if err != nil {
		return nil, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if info.ModTime().Equal(l.seen) {
		return nil, false
	}
	data, err := readPlain(l.copied)
	if err != nil {
		return nil, false
	}
	l.seen = info.ModTime()
	return data, true
}

// giveBack writes a login that the agent renewed into the user's own file: where the provider
// makes each token void with the next, the old one would log the user out. It does so only while
// that file is as it was when it was lent, so that of several sessions the first one wins.
func (l *login) giveBack() error {
	data, err := readPlain(l.copied)
	if errors.Is(err, fs.ErrNotExist) || bytes.Equal(data, l.lent) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("the agent's copy of its login cannot be read: %w", err)
	}
	if !succeeds(data, l.lent) {
		return errors.New("the agent changed its login into something else; yours is as it was")
	}
	path, err := filepath.EvalSymlinks(l.original) // a link stays one
	if err != nil {
		return fmt.Errorf("the agent renewed its login, and yours is gone: %w", err)
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("the agent renewed its login, and it cannot be stored: %w", err)
	}
	defer dir.Close()
	if err := syscall.Flock(int(dir.Fd()), syscall.LOCK_EX); err != nil { // held until dir is closed
		return fmt.Errorf("the agent renewed its login, and it cannot be stored: %w", err)
	}
	now, err := os.ReadFile(path)
	switch {
	case err != nil:
		return fmt.Errorf("the agent renewed its login, and yours cannot be read: %w", err)
	case bytes.Equal(now, data):
		return nil
	case !bytes.Equal(now, l.lent):
		return errors.New("the agent renewed its login, and so did somebody else; theirs was kept: log in again if it does not work any more")
	}
	if err := replace(path, data); err != nil {
		return fmt.Errorf("the agent renewed its login, and it cannot be stored: %w", err)
	}
	return nil
}

// succeeds reports whether data can be the login that follows before: an object with the same
// keys, and perhaps more.
func succeeds(data, before []byte) bool {
	var was, is map[string]any
	if json.Unmarshal(before, &was) != nil || json.Unmarshal(data, &is) != nil || is == nil {
		return false
	}
	for key := range was {
		if is[key] == nil && was[key] != nil {
			return false
		}
	}
	return true
}

// replace changes a file in one step into one that only the user may read.
func replace(path string, data []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".mendel-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// readPlain reads a small file where an agent could have put anything: a pipe, a link, a flood.
func readPlain(path string) ([]byte, error) {
	const most = 1 << 20
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a regular file", filepath.Base(path))
	}
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && len(data) > most {
		err = fmt.Errorf("%s has more than %d bytes", filepath.Base(path), most)
	}
	return data, err
}
