package environ

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"mendel/internal/measure/sandbox"
)

// A root is the guest's / while it is being put together.
type root struct {
	dir     string
	elfs    []string        // files whose libraries are still to be added
	wanted  []string        // libraries that a trial import loaded
	mounted []string        // host directories that the guest sees in place
	files   map[string]bool // host files, symlinks resolved, that have a copy here
	lines   []string        // what the digest is made of
	sources []string        // host files whose change makes all this stale
	listed  []string        // directories of which the guest may know the names
}

func newRoot(dir string) *root { return &root{dir: dir, files: map[string]bool{}} }

// skeleton makes the mount points and the little of /etc that programs expect.
func (r *root) skeleton() error {
	if err := os.Chmod(r.dir, 0o755); err != nil {
		return err
	}
	for _, name := range []string{"bin", "sbin", "lib", "lib64"} {
		// Where the host has merged /bin into /usr/bin the guest has, too.
		if target, err := os.Readlink("/" + name); err == nil {
			if err := os.MkdirAll(filepath.Join(r.dir, "usr", name), 0o755); err != nil {
				return err
			}
			if err := os.Symlink(target, filepath.Join(r.dir, name)); err != nil {
				return err
			}
		}
	}
	for _, d := range guestDirs {
		if err := os.MkdirAll(filepath.Join(r.dir, d), 0o755); err != nil {
			return err
		}
	}
	for name, text := range map[string]string{
		"passwd":        "root:x:0:0::/:/usr/sbin/nologin\nmendel:x:65534:65534::/tmp:/bin/sh\n",
		"group":         "root:x:0:\nmendel:x:65534:\n",
		"nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
		"hosts":         "127.0.0.1 localhost " + sandbox.GuestName + "\n", // ranks of one training find each other by it
	} {
		if err := os.WriteFile(filepath.Join(r.dir, "etc", name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	for _, path := range []string{"/etc/ld.so.cache", "/usr/lib/locale/C.utf8"} {
		if !exists(path) {
			continue
		}
		if err := r.addTree(path); err != nil {
			return err
		}
	}
	return nil
}

// program adds a program by its name in PATH.
func (r *root) program(name string) (guest string, err error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return "", hint(fmt.Errorf("environment: program %q is not in PATH", name),
			"install the package that has it, or take it out of environment.programs")
	}
	if path, err = filepath.Abs(path); err != nil {
		return "", err
	}
	r.sources = append(r.sources, path)
	if err := r.addFile(path); err != nil {
		return "", fmt.Errorf("environment: program %s: %w", name, err)
	}
	// Whatever directory it comes from, it is found in the guest's PATH.
	guest = filepath.Join("/usr/bin", filepath.Base(path))
	switch at := filepath.Join(r.dir, guest); {
	case exists(at):
		return guest, nil
	case strings.HasPrefix(path, "/tmp/"): // over which the guest has a /tmp of its own
		return guest, copyFile(path, at)
	default:
		return guest, os.Symlink(path, at)
	}
}

// addFile puts a host file into the root under its own name. Symbolic links on the way are kept,
// so that the guest resolves the name as the host does.
func (r *root) addFile(path string) error {
	real, err := r.mirror(path)
	if err != nil || r.files[real] || r.inPlace(real) {
		return err
	}
	r.files[real] = true
	r.elfs = append(r.elfs, real)
	target := filepath.Join(r.dir, real)
	// A link costs nothing; it is refused across file systems, and to ordinary users.
	if os.Link(real, target) != nil {
		if err := copyFile(real, target); err != nil {
			return err
		}
	}
	sum, err := hashFile(real)
	if err != nil {
		return err
	}
	r.lines = append(r.lines, "file "+real+" "+sum)
	return nil
}

// addTree adds a file, or all files below a directory.
func (r *root) addTree(path string) error {
	return filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && d.Name() == "__pycache__" && p != path:
			return nil
		case d.IsDir():
			_, err := r.mirror(p)
			return errors.Join(err, os.MkdirAll(filepath.Join(r.dir, p), 0o755))
		case d.Type()&fs.ModeSymlink != 0 && !exists(p):
			return nil
		default:
			return r.addFile(p)
		}
	})
}

// mirror repeats in the root the directories and symbolic links on the way to a host path, and
// returns the path that they lead to.
func (r *root) mirror(path string) (real string, err error) {
	rest := strings.Split(strings.TrimPrefix(filepath.Clean(path), "/"), "/")
	at := "/"
	for links := 0; len(rest) > 0; {
		next := filepath.Join(at, rest[0])
		rest = rest[1:]
		target, err := os.Readlink(next)
		if err != nil { // no link
			if len(rest) > 0 {
				if err := os.MkdirAll(filepath.Join(r.dir, next), 0o755); err != nil {
					return "", err
				}
			}
			at = next
			continue
		}
		if links++; links > 40 {
			return "", fmt.Errorf("%s: too many symbolic links", path)
		}
		if err := os.Symlink(target, filepath.Join(r.dir, next)); err != nil && !errors.Is(err, fs.ErrExist) {
			return "", err
		}
		if filepath.IsAbs(target) {
			at = "/"
		}
		rest = append(strings.Split(strings.Trim(target, "/"), "/"), rest...)
	}
	return at, nil
}

// show makes a host directory or file visible in place, by a mount.
func (r *root) show(path string, e *Environment) error {
	real, err := r.mirror(path)
	if err != nil {
		return err
	}
	m := sandbox.Mount{Host: real, Guest: real}
	if err := r.mountPoint(m); err != nil {
		return err
	}
	e.Mounts = append(e.Mounts, m)
	r.mounted = append(r.mounted, real)
	return r.record(real)
}

// mountPoint makes the place for a mount, unless an earlier mount has it.
func (r *root) mountPoint(m sandbox.Mount) error {
	info, err := os.Stat(m.Host)
	if err != nil {
		return err
	}
	at := filepath.Join(r.dir, m.Guest)
	if info.IsDir() {
		return os.MkdirAll(at, 0o755)
	}
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(at, os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	return f.Close()
}

// record enters what is mounted into the digest by name and size (contents would take seconds for
// a large package), and finds its shared libraries.
func (r *root) record(path string) error {
	h := sha256.New()
	err := filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "__pycache__" || p != path && isSitePackages(p)):
			return fs.SkipDir
		case d.IsDir():
			return nil
		}
		if d.Type()&fs.ModeSymlink != 0 {
			return r.leadOut(p, path)
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		fmt.Fprintf(h, "%s %d\n", p, info.Size())
		if isLibrary(p) {
			r.elfs = append(r.elfs, p)
		}
		return nil
	})
	r.lines = append(r.lines, "tree "+path+" "+hex.EncodeToString(h.Sum(nil)))
	return err
}

// leadOut adds the library to which a link leads out of a mounted tree. Links to anything else,
// such as documentation, lead nowhere in the guest.
func (r *root) leadOut(link, tree string) error {
	real, err := filepath.EvalSymlinks(link)
	if err != nil || below(real, tree) || !isLibrary(real) {
		return nil
	}
	return r.addFile(link)
}

func isSitePackages(path string) bool {
	base := filepath.Base(path)
	return base == "site-packages" || base == "dist-packages"
}

// inPlace reports whether the guest sees a host path through a mount.
func (r *root) inPlace(path string) bool {
	return slices.ContainsFunc(r.mounted, func(m string) bool { return below(path, m) })
}

func below(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }

// addLibraries adds what everything so far loads.
func (r *root) addLibraries(ctx context.Context) error {
	var failed error
	add := func(path string) {
		if err := r.addFile(path); err != nil && failed == nil {
			failed = err
		}
	}
	l := newLinker(ctx, add)
	for _, path := range r.wanted {
		add(path)
	}
	for i := 0; i < len(r.elfs); i++ { // grows while we go
		l.follow(r.elfs[i], nil)
	}
	return failed
}

// fallback lists the host files that have a copy here.
func (r *root) fallback() []string {
	var files []string
	for f := range r.files {
		files = append(files, f)
	}
	slices.Sort(files)
	return files
}

func (r *root) digest(e *Environment) string {
	lines := append(slices.Clone(r.lines), fmt.Sprintf("layout %d", layout))
	for _, m := range e.Mounts {
		lines = append(lines, "mount "+m.Guest)
	}
	lines = append(append(lines, e.Env...), e.Devices...)
	slices.Sort(lines)
	sum := sha256.Sum256([]byte(strings.Join(lines, "\n")))
	return hex.EncodeToString(sum[:])
}

// settle moves the finished root to its name in the cache. Another process may have been faster.
func (r *root) settle(cacheDir string, e *Environment) error {
	e.Root = filepath.Join(cacheDir, "root-"+e.Digest[:16])
	if err := os.Rename(r.dir, e.Root); err != nil && !exists(filepath.Join(e.Root, "etc")) {
		return err
	}
	for i, m := range e.Mounts { // what is mounted from the root itself moved with it
		if below(m.Host, r.dir) {
			e.Mounts[i].Host = e.Root + strings.TrimPrefix(m.Host, r.dir)
		}
	}
	return nil
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_EXCL, info.Mode().Perm()|0o444)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}

func hashFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
