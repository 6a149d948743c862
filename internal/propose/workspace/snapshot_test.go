package workspace

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// onlyScripts allows new Python files at the top and in lib.
func onlyScripts(path string) bool {
	return strings.HasSuffix(path, ".py") && !strings.HasPrefix(path, ".venv/")
}

// litter puts things into a workspace that no recipe holds.
func litter(t *testing.T, w *Workspace) {
	t.Helper()
	at := func(name string) string { return filepath.Join(w.Dir(), name) }
	closed := at(".venv/closed")
	if err := errors.Join(os.MkdirAll(at(".venv/bin"), 0o755), os.Symlink("/usr/bin/python3", at(".venv/bin/python")),
		os.Symlink("loop2", at("loop1")), os.Symlink("loop1", at("loop2")), os.Symlink(".", at(".venv/here")),
		syscall.Mkfifo(at("pipe"), 0o644), syscall.Mkfifo(at(".venv/pipe.py"), 0o644),
		os.WriteFile(at("huge.bin"), nil, 0o644), os.Truncate(at("huge.bin"), 3<<30),
		os.WriteFile(at("secret"), []byte("LR"), 0o000), os.WriteFile(at("a\\b"), nil, 0o644), os.WriteFile(at("bad\xff"), nil, 0o644),
		os.Mkdir(closed, 0o755), os.WriteFile(filepath.Join(closed, "x.py"), []byte("LR"), 0o444), os.Chmod(closed, 0o555)); err != nil {
		t.Skipf("this file system does not take it: %v", err)
	}
	t.Cleanup(func() { _ = os.Chmod(closed, 0o755) })
}

// within fails when f takes long: it would wait for a pipe, or read what it should not.
func within(t *testing.T, f func() error) error {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		return err
	case <-time.After(20 * time.Second):
		t.Fatal("it does not end")
		return nil
	}
}

func TestWhatDoesNotBelongToTheRecipeIsNotRead(t *testing.T) {
	w := open(t)
	litter(t, w)
	if _, err := w.Edit("extra.py", "", "Z = 1\n"); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var got Tree
	if err := within(t, func() (err error) { got, err = w.Snapshot(onlyScripts); return err }); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > 4<<20 {
		t.Errorf("a snapshot of four small files used %d bytes of memory", used)
	}
	want := append(Tree{{Path: "extra.py", Mode: 0o644, Data: []byte("Z = 1\n")}}, tree()...)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the snapshot:\n%s", diff)
	}
	if hits, total, err := w.Search("LR = ", "", onlyScripts, 9); err != nil || total != 2 || hits[0].Path != "train.py" {
		t.Errorf("Search finds %v, %d, %v", hits, total, err)
	}
	entries, err := w.List()
	if err != nil || len(entries) != 15 {
		t.Errorf("List gives %v, %v", entries, err)
	}
	if err := w.Reset(tree()); err != nil {
		t.Fatal(err)
	}
	if entries, err := w.List(); err != nil || len(entries) != 3 {
		t.Errorf("after Reset there is %v, %v", entries, err)
	}
}

// TestWhatBelongsToTheRecipeMustBeOrdinary: the same things in the place of the recipe's files are
// refused, at once, with the name of what is wrong.
func TestWhatBelongsToTheRecipeMustBeOrdinary(t *testing.T) {
	link := func(target string) func(string) error {
		return func(path string) error { return os.Symlink(target, path) }
	}
	for name, c := range map[string]struct {
		path, want string
		make       func(path string) error
	}{
		"a pipe":              {"train.py", "train.py is not a regular file", func(path string) error { return syscall.Mkfifo(path, 0o644) }},
		"a new pipe":          {"new.py", "new.py is not a regular file", func(path string) error { return syscall.Mkfifo(path, 0o644) }},
		"a link":              {"train.py", "train.py is a symbolic link", link("run.sh")},
		"a loop":              {"train.py", "train.py is a symbolic link", link("train.py")},
		"a directory's link":  {"lib", "lib is a symbolic link", link("..")},
		"a file that is huge": {"train.py", "train.py has 3221225472 bytes", func(path string) error { return errors.Join(os.WriteFile(path, nil, 0o644), os.Truncate(path, 3<<30)) }},
		"spaces":              {" train.py", "begins or ends with a space", func(path string) error { return os.WriteFile(path, nil, 0o644) }},
	} {
		t.Run(name, func(t *testing.T) {
			w := open(t)
			path := filepath.Join(w.Dir(), c.path)
			if err := os.RemoveAll(path); err != nil {
				t.Fatal(err)
			}
			if err := c.make(path); err != nil {
				t.Skipf("this file system does not take it: %v", err)
			}
			wantMisuse(t, within(t, func() error { _, err := w.Snapshot(onlyScripts); return err }), c.want)
		})
	}
}

// TestASwappedFileIsNotRead exchanges a file for a link, again and again, while it is read: what is
// read is the file's own text, or nothing.
func TestASwappedFileIsNotRead(t *testing.T) {
	w := open(t)
	other := filepath.Join(w.Dir(), "lib", "util.py")
	path, spare := filepath.Join(w.Dir(), "train.py"), filepath.Join(w.Dir(), "spare")
	stop, stopped := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			select {
			case <-stop:
				stopped <- nil
				return
			default:
			}
			if err := errors.Join(os.Symlink("lib/util.py", spare), os.Rename(spare, path),
				os.WriteFile(spare, []byte(train), 0o644), os.Rename(spare, path)); err != nil {
				stopped <- err
				return
			}
		}
	}()
	read := 0
	for range 3000 {
		if text, err := w.Read("train.py"); err == nil {
			if read++; text != train {
				t.Errorf("train.py reads as %q, which %s holds", text, other)
				break
			}
		}
	}
	close(stop)
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	if read == 0 {
		t.Error("train.py was never read")
	}
}

func TestALargeEnvironmentIsPassedOver(t *testing.T) {
	w := open(t)
	dir := filepath.Join(w.Dir(), ".venv")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range maxFiles + 1 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d.py", i)), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := w.Snapshot(onlyScripts); err != nil || len(got) != 3 {
		t.Errorf("%d files, %v", len(got), err)
	}
	_, err := w.Snapshot(all)
	wantMisuse(t, err, "the recipe has 5004 files, more than 5000")
}

// TestAClosedDirectoryDoesNotEndTheSession: what a program of the specialist's made unwritable is
// for the specialist to mend.
func TestAClosedDirectoryDoesNotEndTheSession(t *testing.T) {
	w := open(t)
	lib := filepath.Join(w.Dir(), "lib")
	if err := os.Chmod(lib, 0o555); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(lib, 0o755)
	if os.WriteFile(filepath.Join(lib, "probe"), nil, 0o644) == nil {
		t.Skip("this user may write everywhere")
	}
	_, err := w.Edit("lib/util.py", "X = 1", "X = 2")
	wantMisuse(t, err, "cannot be written here", "Make its directory writable")
	if got, err := w.Snapshot(all); err != nil || !bytes.Equal(got[0].Data, tree()[0].Data) {
		t.Errorf("the refused edit left %v, %v", got, err)
	}
	if err := os.Chmod(lib, 0o000); err != nil {
		t.Fatal(err)
	}
	_, err = w.Snapshot(all)
	wantMisuse(t, err, "the directory lib cannot be read")
	if err := w.Reset(tree()); err != nil {
		t.Errorf("Reset: %v", err)
	}
}
