package environ

import (
	"encoding/json"
	"os"
	"path/filepath"
	"syscall"
)

// An entry is what the cache stores for a request.
type entry struct {
	Environment *Environment
	Sources     map[string]stamp
}

// A stamp tells whether a file or directory is still the one that was looked at. The zero stamp
// is that of a file that does not exist.
type stamp struct {
	Size, ModTime int64
	Inode         uint64
}

func stampOf(path string) stamp {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{}
	}
	s := stamp{Size: info.Size(), ModTime: info.ModTime().UnixNano()}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		s.Inode = sys.Ino
	}
	return s
}

// load returns the stored environment if it is still true, else nil.
func load(index string) *Environment {
	b, err := os.ReadFile(index)
	if err != nil {
		return nil
	}
	var e entry
	if json.Unmarshal(b, &e) != nil || e.Environment == nil {
		return nil
	}
	if _, err := os.Stat(e.Environment.Root); err != nil {
		return nil
	}
	for path, was := range e.Sources {
		if stampOf(path) != was {
			return nil
		}
	}
	return e.Environment
}

// store writes the entry so that a reader sees all of it or nothing.
func store(index string, env *Environment, sources []string) error {
	e := entry{Environment: env, Sources: map[string]stamp{}}
	for _, s := range sources {
		e.Sources[s] = stampOf(s)
	}
	b, err := json.Marshal(e)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(index), "index-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if _, err := f.Write(b); err != nil {
		f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), index)
}
