package outlet

import (
	"fmt"
	"os"
	"path/filepath"
)

// longest is the length up to which every system takes a path as a unix socket's address.
const longest = 100

// shorten names a socket through an open descriptor of its directory where its path is too long
// for an address. The name is good until done is called.
func shorten(path string) (name string, done func() error, err error) {
	if len(path) <= longest {
		return path, func() error { return nil }, nil
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path)), dir.Close, nil
}
