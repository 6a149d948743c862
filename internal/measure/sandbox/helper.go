package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"mendel/internal/research"
)

// Verb is the hidden word after which [Exec] takes over the command line of [Host.Self].
const Verb = "sandbox-exec"

// nobody is the uid and gid that untrusted code gets where we are root and it can live with it.
const nobody = 65534

// A confinement is what the re-executed helper does to itself before it becomes the command.
type confinement struct {
	Argv, Env []string
	Dir       string
	UID       int  // -1: stay who we are
	Bare      bool // level none: nothing of what follows
	Confine   bool // Landlock and the system call filter, too
	Landlock  int  // ABI
	Processes int  // RLIMIT_NPROC over the user's present count; 0: none

	Readable, Writable, Listed, Devices []string
}

// helper prepares the command to run under our own helper.
func (h *Host) helper(c *Command) (w wire, l launch, err error) {
	if h.Self == "" {
		return wire{}, launch{}, fmt.Errorf("level %s: the path of this program is unknown", h.Level)
	}
	s, err := newShadow(c)
	if err != nil {
		return wire{}, launch{}, err
	}
	l.cleanup = s.remove
	defer func() {
		if err != nil {
			closeAll(l.files...)
			s.remove()
		}
	}()
	spec := h.confinement(c, s)
	if os.Getuid() == 0 && h.Level != None {
		if spec.UID, err = handOver(c, s); err != nil {
			return wire{}, l, err
		}
		switch {
		case spec.UID >= 0:
		case h.Level == Limited:
			// Nothing else would keep it from killing or reading what root may.
			return wire{}, l, research.Hinted(errors.New("this sandbox level will not run a recipe as root, and uid 65534 cannot reach all that is mounted"),
				"run mendel as an ordinary user, keep run and task in directories that every user may enter, or install bubblewrap")
		default:
			l.note = "ran as root without capabilities: uid 65534 cannot reach all that is mounted"
		}
	}
	file, err := specFile(spec)
	if err != nil {
		return wire{}, l, err
	}
	l.files = append(l.files, file)
	own, err := dupAll(c.Files)
	if err != nil {
		return wire{}, l, err
	}
	w, ends, err := newWire()
	if err != nil {
		closeAll(own...)
		return wire{}, l, err
	}
	l.files = append(append(own, file), ends...)
	l.path = h.Self
	// The helper removes the shadow, too: it outlives us if we are killed.
	l.argv = []string{"mendel", Verb, "tend", strconv.Itoa(len(own)), s.dir}
	// The helper's own threads count until it becomes the command.
	l.extra = 16
	return w, l, nil
}

// confinement translates the command to host paths, and lists what it may open.
func (h *Host) confinement(c *Command, s *shadow) confinement {
	spec := confinement{
		Argv: mapAll(c.Argv, s.argument), Env: mapAll(c.Env, s.variable), Dir: s.path(c.Dir),
		UID: -1, Bare: h.Level == None, Confine: h.Level == Confined, Landlock: h.landlock,
		Listed: slices.Clone(c.Listed), Devices: c.Devices,
	}
	if h.Processes == Rlimit {
		spec.Processes = c.Limits.Processes
	}
	spec.Readable = append(append(spec.Readable, s.dir), c.Fallback...)
	spec.Writable = append(spec.Writable, filepath.Join(s.dir, "tmp"))
	var hidden []string
	for _, m := range c.Mounts {
		if m.covers(c.Mounts) {
			hidden = append(hidden, m.Guest)
		}
	}
	for _, m := range c.Mounts {
		switch {
		case slices.Contains(hidden, m.Guest):
		case m.Writable:
			spec.Writable = append(spec.Writable, m.Host)
		default:
			spec.open(m.Host, hidden)
		}
	}
	return spec
}

// open makes path readable but for what another mount would hide there, of which only the names show.
func (s *confinement) open(path string, hidden []string) {
	if slices.Contains(hidden, path) {
		s.Listed = append(s.Listed, path)
		return
	}
	if !slices.ContainsFunc(hidden, func(h string) bool { return below(h, path) }) {
		s.Readable = append(s.Readable, path)
		return
	}
	s.Listed = append(s.Listed, path)
	entries, _ := os.ReadDir(path)
	for _, e := range entries {
		s.open(filepath.Join(path, e.Name()), hidden)
	}
}

// handOver prepares the command's directories for uid 65534. It returns -1, and changes nothing,
// where that user cannot reach them.
func handOver(c *Command, s *shadow) (uid int, err error) {
	for _, m := range c.Mounts {
		if m.covers(c.Mounts) {
			continue // not shown at all
		}
		// What is writable becomes that user's own; the way there must be open all the same.
		at := m.Host
		if m.Writable {
			at = filepath.Dir(m.Host)
		}
		if !openToAll(at) {
			return -1, nil
		}
	}
	own := []string{s.dir, filepath.Join(s.dir, "tmp")}
	for _, m := range c.Mounts {
		if m.Writable {
			own = append(own, m.Host)
		}
	}
	for _, dir := range own {
		if err := os.Chown(dir, nobody, nobody); err != nil {
			return -1, err
		}
	}
	return nobody, nil
}

// openToAll reports whether every user may read path and its first level of entries.
func openToAll(path string) bool {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return false
	}
	readable := func(info fs.FileInfo) bool {
		mode := info.Mode()
		return mode&0o004 != 0 && (!mode.IsDir() || mode&0o001 != 0) || mode&fs.ModeSymlink != 0
	}
	if info, err := os.Stat(path); err != nil || !readable(info) {
		return false
	}
	entries, _ := os.ReadDir(path)
	for _, e := range entries {
		if info, err := e.Info(); err == nil && !readable(info) {
			return false
		}
	}
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		if info, err := os.Stat(dir); err != nil || info.Mode()&0o001 == 0 {
			return false
		}
		if dir == "/" {
			return true
		}
	}
}

// specFile puts the specification into a file that only we and the helper can see.
func specFile(spec confinement) (*os.File, error) {
	b, err := json.Marshal(spec)
	if err != nil {
		return nil, err
	}
	fd, err := unix.MemfdCreate("mendel-sandbox", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memfd: %w", err)
	}
	f := os.NewFile(uintptr(fd), "sandbox specification")
	if _, err := f.WriteAt(b, 0); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// userTasks counts the tasks of a user, which is what RLIMIT_NPROC is compared with.
func userTasks(uid int) int {
	files, _ := filepath.Glob("/proc/[0-9]*/status")
	total := 0
	for _, file := range files {
		b, _ := os.ReadFile(file)
		var owner, threads int
		for line := range strings.Lines(string(b)) {
			if v, ok := strings.CutPrefix(line, "Uid:"); ok {
				owner, _ = strconv.Atoi(strings.Fields(v)[0])
			} else if v, ok := strings.CutPrefix(line, "Threads:"); ok {
				threads, _ = strconv.Atoi(strings.TrimSpace(v))
			}
		}
		if owner == uid {
			total += threads
		}
	}
	return total
}
