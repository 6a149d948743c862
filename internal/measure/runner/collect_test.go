package runner

import (
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// leave makes a directory as a recipe would leave it. Paths may be longer than a system call takes.
func leave(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for name, text := range files {
		if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := root.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestWhatCannotBeTakenIsTheRecipesFault: a failure of ours would be a free second try.
func TestWhatCannotBeTakenIsTheRecipesFault(t *testing.T) {
	for _, tt := range []struct {
		name, file string
		spoil      func(out string) error
		asUser     bool // root can read everything
		refused    string
	}{
		{name: "a path longer than a system call takes", file: strings.Repeat(strings.Repeat("d", 200)+"/", 25) + "x", refused: "more than 1024 bytes"},
		{name: "a path longer than allowed", file: strings.Repeat(strings.Repeat("d", 200)+"/", 5) + strings.Repeat("x", 100), refused: "more than 1024 bytes"},
		{name: "a name that is not UTF-8", file: "a\xffb", refused: "not UTF-8"},
		{name: "a file that cannot be read", file: "x", asUser: true, refused: "permission denied",
			spoil: func(out string) error { return os.Chmod(path.Join(out, "x"), 0) }},
		{name: "an /out that cannot be read", file: "x", asUser: true, refused: "permission denied",
			spoil: func(out string) error { return os.Chmod(out, 0) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.asUser && os.Getuid() == 0 {
				t.Skip("root can read everything")
			}
			out := leave(t, map[string]string{tt.file: "1"})
			if tt.spoil != nil {
				if err := tt.spoil(out); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = os.Chmod(out, 0o755) })
			}
			c, err := collect(out, t.TempDir(), []string{"**"}, 1<<20)
			if err != nil || !strings.Contains(c.refused, tt.refused) {
				t.Errorf("error %v, refused %q; want no error, and a refusal that says %q", err, c.refused, tt.refused)
			}
		})
	}
}

func TestWhoseFailureItIs(t *testing.T) {
	for errno, ours := range map[unix.Errno]bool{
		unix.ENOSPC: true, unix.EDQUOT: true, unix.EIO: true, unix.EROFS: true, unix.EMFILE: true, unix.ENOMEM: true,
		unix.EACCES: false, unix.EPERM: false, unix.ENAMETOOLONG: false, unix.ENOTDIR: false, unix.EISDIR: false,
		unix.EEXIST: false, unix.ENOENT: false, unix.ELOOP: false, unix.EINVAL: false, unix.EILSEQ: false,
	} {
		var c collection
		err := c.blame("x", fmt.Errorf("wrapped: %w", &os.PathError{Op: "open", Path: "x", Err: errno}))
		if (err != nil) != ours || (c.refused == "") != ours {
			t.Errorf("%v: error %v, refused %q; want it to be ours: %t", errno, err, c.refused, ours)
		}
	}
}

// TestLaterPhasesReplace: what a later phase left stands, also where a file becomes a directory.
func TestLaterPhasesReplace(t *testing.T) {
	for _, tt := range []struct {
		name         string
		first, later map[string]string
		want         map[string]int64 // sizes: of name and content
		fits         []string
	}{
		{"file by file", map[string]string{"x": "11"}, map[string]string{"x": "2"}, map[string]int64{"x": 2}, []string{"*"}},
		{"file by directory", map[string]string{"x": "11", "k": "1"}, map[string]string{"x/y/z": "2"}, map[string]int64{"k": 2, "x/y/z": 6}, []string{"*", "*/*/*"}},
		{"only file by directory", map[string]string{"x": "11"}, map[string]string{"x/y/z": "2"}, map[string]int64{"x/y/z": 6}, []string{"*/*/*"}},
		{"directory by file", map[string]string{"x/y/z": "11", "xy": "1"}, map[string]string{"x": "2"}, map[string]int64{"x": 2, "xy": 3}, []string{"*"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			into, s := t.TempDir(), newSeedRecord()
			for _, files := range []map[string]string{tt.first, tt.later} {
				c, err := collect(leave(t, files), into, []string{"*", "*/*/*"}, 1<<20)
				if err != nil || c.refused != "" {
					t.Fatalf("%v, refused %q", err, c.refused)
				}
				s.add(c)
			}
			if !maps.Equal(s.files, tt.want) {
				t.Errorf("sizes %v, want %v", s.files, tt.want)
			}
			if got := slices.Sorted(maps.Keys(s.fits)); !slices.Equal(got, tt.fits) {
				t.Errorf("globs that fit: %v, want %v", got, tt.fits)
			}
			for name, text := range tt.later {
				if got, err := os.ReadFile(path.Join(into, name)); string(got) != text {
					t.Errorf("%s holds %q, %v", name, got, err)
				}
			}
		})
	}
}
