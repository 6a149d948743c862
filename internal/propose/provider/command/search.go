package command

import (
	"errors"
	"io"
	"os"
	"path"
	"syscall"
)

// How much of a workspace is searched for a key. A file that is larger than any submission may
// hold is passed over; where there is more than this altogether, the search gives up.
const (
	longestFile = 8 << 20
	mostSearch  = 128 << 20
	mostEntries = 50_000
	deepest     = 64 // each level holds a file descriptor
)

var errTooMuch = errors.New("there is too much to search")

// A search looks for secrets in the files of a workspace, whatever lies in it.
type search struct {
	root    *os.Root
	secret  *redactor
	entries int
	bytes   int64
}

// keyIn reports whether a file below dir holds a secret.
func keyIn(dir string, secret *redactor) (bool, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return false, nil // the submission itself will say why
	}
	defer root.Close()
	s := &search{root: root, secret: secret}
	return s.directory(".", 0)
}

// directory searches all that lies below a directory. What cannot be read here cannot be submitted.
func (s *search) directory(name string, depth int) (bool, error) {
	if depth > deepest {
		return false, errTooMuch
	}
	dir, err := s.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_DIRECTORY, 0)
	if err != nil {
		return false, nil
	}
	defer dir.Close()
	for {
		some, err := dir.ReadDir(256)
		if err != nil {
			return false, nil // the end, as a rule
		}
		if s.entries += len(some); s.entries > mostEntries {
			return false, errTooMuch
		}
		for _, e := range some {
			var found bool
			var err error
			switch below := path.Join(name, e.Name()); {
			case e.IsDir():
				found, err = s.directory(below, depth+1)
			case e.Type().IsRegular():
				found, err = s.file(below)
			}
			if found || err != nil {
				return found, err
			}
		}
	}
}

func (s *search) file(name string) (bool, error) {
	// By now it may be something else: without O_NONBLOCK, opening a named pipe would wait for ever.
	f, err := s.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return false, nil
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() > longestFile {
		return false, nil
	}
	data, err := io.ReadAll(io.LimitReader(f, longestFile))
	if err != nil {
		return false, nil
	}
	if s.bytes += int64(len(data)); s.bytes > mostSearch {
		return false, errTooMuch
	}
	return s.secret.holds(data), nil
}
