package runner

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"mendel/internal/research"
)

const (
	// maxEntries is how many files a recipe may leave before nobody looks through them any more.
	maxEntries = 20_000
	// maxPath is how long the path of a file that is taken may be, in bytes. It is a number of ours
	// so that no verdict hangs on the length of our own paths or on the file system.
	maxPath = 1024
)

// A collection is what was taken of what a phase left.
type collection struct {
	// files has the size of each: of its content, and of the name where the recipe chose it.
	files map[string]int64
	found map[string]bool // globs that something fits
	// refused says why a file could not be taken; then the recipe is at fault.
	refused string
	// replaced are files of earlier phases that had to make room: one file for a directory of
	// the same name, or the other way round.
	replaced []string
}

// collect copies the files that the globs name from out to the directory into, where the guests
// that follow see them read-only. Only regular files pass, with plain modes and times: what a
// directory entry could carry beside its content is left behind. At most most bytes are copied.
//
// An error is a failure of ours. Whatever the recipe could have brought about is in refused: a
// failure of ours would give it a second try.
func collect(out, into string, globs []string, most int64) (collection, error) {
	c := collection{files: map[string]int64{}, found: map[string]bool{}}
	root, err := os.OpenRoot(out)
	if err != nil {
		return c, c.blame("its directory", err)
	}
	defer root.Close()
	if err := c.search(root, globs); err != nil || c.refused != "" {
		return c, err
	}
	names := slices.Sorted(maps.Keys(c.files))
	for _, name := range names {
		if err := c.take(root, name, into, most); err != nil || c.refused != "" {
			return c, err
		}
	}
	return c, nil
}

// bytes is the size of all files together.
func (c *collection) bytes() int64 {
	var total int64
	for _, n := range c.files {
		total += n
	}
	return total
}

// search finds the files that the globs fit.
func (c *collection) search(root *os.Root, globs []string) error {
	var wildcards []string
	for _, glob := range globs {
		if wild(glob) {
			wildcards = append(wildcards, glob)
		} else if _, err := root.Lstat(path.Clean(glob)); err == nil {
			c.found[glob] = true
			c.files[path.Clean(glob)] = 0
		}
	}
	if len(wildcards) == 0 {
		return nil
	}
	seen := 0
	return fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // a directory that the recipe made unreadable holds nothing that we can take
		}
		if seen++; seen > maxEntries {
			c.refused = fmt.Sprintf("left more than %d files", maxEntries)
			return fs.SkipAll
		}
		if d.IsDir() {
			if len(name) > maxPath {
				c.refused = fmt.Sprintf("left a path of more than %d bytes", maxPath)
				return fs.SkipAll
			}
			return nil
		}
		for _, glob := range wildcards {
			if !matches(glob, name) {
				continue
			}
			c.found[glob] = true
			if _, named := c.files[name]; !named {
				c.files[name] = int64(len(name)) // names can carry information, too
			}
		}
		return nil
	})
}

// take copies one file. Its size counts as it reads, holes included.
func (c *collection) take(root *os.Root, name, into string, most int64) error {
	shown := oneLine(name, 80)
	switch {
	case !utf8.ValidString(name):
		c.refused = fmt.Sprintf("left %s, whose name is not UTF-8", shown)
		return nil
	case len(name) > maxPath:
		c.refused = fmt.Sprintf("left a path of more than %d bytes", maxPath)
		return nil
	}
	info, err := root.Lstat(name)
	if err != nil {
		return c.blame(shown, err)
	}
	if !info.Mode().IsRegular() {
		c.refused = fmt.Sprintf("left %s, which is not a regular file", shown)
		return nil
	}
	// Non-blocking, so that a pipe in the file's place does not hold us.
	f, err := root.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return c.blame(shown, err)
	}
	defer f.Close()
	var stat unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &stat); err != nil {
		return c.blame(shown, err)
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFREG || stat.Nlink != 1 {
		c.refused = fmt.Sprintf("left %s, which is not a file of its own but one of several links", shown)
		return nil
	}
	c.files[name] += stat.Size
	if most > 0 && c.bytes() > most {
		c.refused = fmt.Sprintf("left files of more than %s, which is all that its disk holds", research.Quantity(float64(most), "B"))
		return nil
	}
	if err := c.store(f, stat.Size, into, name); err != nil {
		return c.blame(shown, err)
	}
	return nil
}

// store writes a file to its place, and removes what an earlier phase left there.
func (c *collection) store(f io.Reader, size int64, into, name string) error {
	for end := 0; end < len(name); end++ {
		if name[end] != '/' {
			continue
		}
		if info, err := os.Lstat(filepath.Join(into, name[:end])); err == nil && !info.IsDir() {
			if err := os.Remove(filepath.Join(into, name[:end])); err != nil {
				return err
			}
			c.replaced = append(c.replaced, name[:end])
		}
	}
	at := filepath.Join(into, filepath.FromSlash(name))
	if info, err := os.Lstat(at); err == nil {
		if info.IsDir() {
			c.replaced = append(c.replaced, name+"/")
		}
		if err := os.RemoveAll(at); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		return err
	}
	to, err := os.OpenFile(at, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o444)
	if err != nil {
		return err
	}
	_, err = io.CopyN(to, f, size)
	return errors.Join(err, to.Close(), os.Chmod(at, 0o444))
}

// blame gives an error back where it is ours, and otherwise refuses what the recipe left. Ours is a
// closed list: names, modes and kinds of files are the recipe's to choose, and so is what
// comes of them.
func (c *collection) blame(what string, err error) error {
	for _, failure := range []unix.Errno{
		unix.ENOSPC, unix.EDQUOT, unix.EIO, unix.EROFS, unix.ENOMEM, unix.EMFILE, unix.ENFILE, unix.ENOBUFS,
	} {
		if errors.Is(err, failure) {
			return err
		}
	}
	why := "it changes while it is read"
	if errno := unix.Errno(0); errors.As(err, &errno) {
		why = errno.Error()
	}
	c.refused = fmt.Sprintf("left %s, which cannot be taken: %s", what, why)
	return nil
}

// covers says whether a file of an earlier phase had to make room.
func (c *collection) covers(name string) bool {
	return slices.ContainsFunc(c.replaced, func(r string) bool {
		return name == r || strings.HasSuffix(r, "/") && strings.HasPrefix(name, r)
	})
}
