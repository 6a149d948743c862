package environ

import (
	"bufio"
	"bytes"
	"context"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// A linker finds the shared libraries that a program or library loads, the way ld.so does.
type linker struct {
	cache map[string][]string // library name to paths, from ld.so.cache
	seen  map[string]bool     // files already followed
	found func(path string)   // called for each library and loader
}

// newLinker reads the host's linker cache. Without one the usual directories are searched.
func newLinker(ctx context.Context, found func(string)) *linker {
	l := &linker{cache: map[string][]string{}, seen: map[string]bool{}, found: found}
	for _, ldconfig := range []string{"/sbin/ldconfig", "/usr/sbin/ldconfig", "ldconfig"} {
		out, err := exec.CommandContext(ctx, ldconfig, "-p").Output()
		if err != nil {
			continue
		}
		lines := bufio.NewScanner(bytes.NewReader(out))
		for lines.Scan() {
			// libz.so.1 (libc6,x86-64) => /lib/x86_64-linux-gnu/libz.so.1
			if name, path, ok := strings.Cut(lines.Text(), " => "); ok {
				name, _, _ = strings.Cut(strings.TrimSpace(name), " ")
				l.cache[name] = append(l.cache[name], path)
			}
		}
		break
	}
	return l
}

// usualDirs are where ld.so looks last.
var usualDirs = []string{"/lib64", "/usr/lib64", "/lib", "/usr/lib", "/usr/local/lib"}

// follow reports all that the file loads, directly and indirectly. A file that is no ELF loads
// nothing. A library that is not found is left out: it may be optional, and if it is not, the
// import that was tried beforehand would have failed.
func (l *linker) follow(path string, inherited []string) {
	real, err := filepath.EvalSymlinks(path)
	if err != nil || l.seen[real] {
		return
	}
	l.seen[real] = true
	f, err := elf.Open(real)
	if err != nil {
		return
	}
	defer f.Close()
	if loader := interpreterOf(f); loader != "" {
		l.found(loader)
	}
	needed, err := f.ImportedLibraries()
	if err != nil {
		return
	}
	// $ORIGIN is where the library was found, which may be a link in another directory; and
	// DT_RPATH reaches further down. Each library is taken from wherever ld.so may look for it:
	// one too many does no harm.
	rpath := slices.Concat(searchPath(f, filepath.Dir(path)), searchPath(f, filepath.Dir(real)), inherited)
	for _, name := range needed {
		for _, at := range l.locate(name, rpath, f.Class, f.Machine) {
			l.found(at)
			l.follow(at, rpath)
		}
	}
}

// locate lists the files of that name which fit the program, without repetition.
func (l *linker) locate(name string, rpath []string, class elf.Class, machine elf.Machine) []string {
	var candidates []string
	if strings.Contains(name, "/") {
		candidates = []string{name}
	} else {
		for _, dir := range rpath {
			candidates = append(candidates, filepath.Join(dir, name))
		}
		candidates = append(candidates, l.cache[name]...)
		for _, dir := range usualDirs {
			candidates = append(candidates, filepath.Join(dir, name))
		}
	}
	var fitting []string
	for _, c := range unique(candidates) {
		f, err := elf.Open(c)
		if err != nil {
			continue
		}
		fits := f.Class == class && f.Machine == machine
		f.Close()
		if fits {
			fitting = append(fitting, c)
		}
	}
	return fitting
}

// searchPath reads the library directories that a file names itself.
func searchPath(f *elf.File, origin string) []string {
	var dirs []string
	for _, tag := range []elf.DynTag{elf.DT_RPATH, elf.DT_RUNPATH} {
		values, _ := f.DynString(tag)
		for _, value := range values {
			for dir := range strings.SplitSeq(value, ":") {
				dir = strings.NewReplacer("$ORIGIN", origin, "${ORIGIN}", origin).Replace(dir)
				if filepath.IsAbs(dir) {
					dirs = append(dirs, filepath.Clean(dir))
				}
			}
		}
	}
	return dirs
}

// interpreterOf names the dynamic loader of a program.
func interpreterOf(f *elf.File) string {
	for _, p := range f.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		b := make([]byte, p.Filesz)
		if _, err := p.ReadAt(b, 0); err != nil {
			return ""
		}
		return string(bytes.TrimRight(b, "\x00"))
	}
	return ""
}

// isLibrary tells a shared library by its name: libx.so, libx.so.1, x.cpython-311-….so.
func isLibrary(path string) bool {
	base := filepath.Base(path)
	return strings.HasSuffix(base, ".so") || strings.Contains(base, ".so.")
}

// exists reports whether a path is there.
func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
