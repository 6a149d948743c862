package lineage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"mendel/internal/research"
)

// Copy writes a consistent copy of a run file to dst, which must not exist. The run may be live:
// the copy ends with some acknowledged event, and the writer never waits for it.
func Copy(src, dst string) (err error) {
	if _, err := os.Lstat(dst); err == nil {
		return research.Hinted(fmt.Errorf("%s: %w", dst, fs.ErrExist), "a copy never overwrites: choose another name")
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	r, err := OpenReader(src)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	draft, err := os.CreateTemp(filepath.Dir(dst), filepath.Base(dst)+".*.part")
	if err != nil {
		return unwritable(filepath.Dir(dst), err)
	}
	defer func() {
		err = errors.Join(err, draft.Close(), removeDatabase(draft.Name()))
	}()
	// VACUUM INTO takes an empty file for a missing one.
	err = r.db.borrow(func(s *session) error { return s.exec(`VACUUM INTO ?`, draft.Name()) })
	if err != nil {
		return fmt.Errorf("copy %s to %s: %w", r.path, dst, storeError(err))
	}
	if err := errors.Join(draft.Chmod(0o644), draft.Sync()); err != nil {
		return err
	}
	// A link, unlike a rename, fails where a file has appeared meanwhile.
	if err := os.Link(draft.Name(), dst); err != nil {
		return fmt.Errorf("copy %s: %w", r.path, err)
	}
	return syncDirectory(filepath.Dir(dst))
}
