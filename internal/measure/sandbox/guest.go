package sandbox

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A shadow is a directory of links that stands in for the guest's file system below Isolated,
// where there are no mounts: shadow/data/train links to the host's directory, and shadow/tmp is
// the command's own /tmp.
type shadow struct {
	dir    string
	guests []string // guest paths that are found below dir
}

// newShadow makes the links for a command's mounts.
func newShadow(c *Command) (*shadow, error) {
	dir, err := os.MkdirTemp("", "mendel-guest-")
	if err != nil {
		return nil, err
	}
	s := &shadow{dir: dir, guests: []string{"/tmp"}}
	if err := os.Mkdir(filepath.Join(dir, "tmp"), 0o700); err != nil {
		s.remove()
		return nil, err
	}
	for _, m := range c.Mounts {
		if m.Guest == m.Host || m.covers(c.Mounts) {
			continue
		}
		link := filepath.Join(dir, m.Guest)
		if err := s.link(m.Host, link); err != nil {
			s.remove()
			return nil, fmt.Errorf("show %s: %w", m.Guest, err)
		}
		s.guests = append(s.guests, m.Guest)
	}
	return s, nil
}

// covers reports whether a mount lies over a part of a directory that the guest sees under its
// host name. Without mounts that part can be closed, but not replaced.
func (m Mount) covers(all []Mount) bool {
	return m.Guest != m.Host && slices.ContainsFunc(all, func(other Mount) bool {
		return other.Guest == other.Host && below(m.Guest, other.Guest)
	})
}

func (s *shadow) link(host, link string) error {
	// A parent that is itself a link leads into the host's directory, where we write nothing.
	parent := filepath.Dir(link)
	if err := os.MkdirAll(parent, 0o711); err != nil {
		return err
	}
	if real, err := filepath.EvalSymlinks(parent); err != nil || !below(real, s.dir) {
		return fmt.Errorf("a mount inside another mount needs level %s", Isolated)
	}
	return os.Symlink(host, link)
}

func (s *shadow) remove() { os.RemoveAll(s.dir) }

// path gives the host path for a guest path that this shadow shows, or lies above such a one
// (/data, where /data/train is mounted). Any other word is returned as it is.
func (s *shadow) path(word string) string {
	if !strings.HasPrefix(word, "/") || word == "/" {
		return word
	}
	for _, guest := range s.guests {
		if below(word, guest) || below(guest, filepath.Clean(word)) {
			return s.dir + word
		}
	}
	return word
}

// argument translates one word of a command line, also the path in --option=/path.
func (s *shadow) argument(word string) string {
	if name, value, ok := strings.Cut(word, "="); ok && strings.HasPrefix(word, "-") {
		return name + "=" + s.path(value)
	}
	return s.path(word)
}

// variable translates the value of NAME=value, element by element where it is a list of paths.
func (s *shadow) variable(entry string) string {
	name, value, _ := strings.Cut(entry, "=")
	elements := strings.Split(value, ":")
	for i, e := range elements {
		elements[i] = s.path(e)
	}
	return name + "=" + strings.Join(elements, ":")
}

// below reports whether path is dir or lies below it.
func below(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}

func mapAll(words []string, f func(string) string) []string {
	mapped := make([]string, len(words))
	for i, w := range words {
		mapped[i] = f(w)
	}
	return mapped
}
