package workspace

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mendel/internal/research"
)

const train = `import math

LR = 0.1
BASE_LR = 0.1

def step(x):
    return x * LR

def other(x):
    return x * LR
`

func tree() Tree {
	return Tree{
		{Path: "lib/util.py", Mode: 0o644, Data: []byte("X = 1\n")},
		{Path: "run.sh", Mode: 0o755, Data: []byte("#!/bin/sh\n")},
		{Path: "train.py", Mode: 0o644, Data: []byte(train)},
	}
}

func open(t *testing.T) *Workspace {
	t.Helper()
	w, err := New(filepath.Join(t.TempDir(), "workspace"), tree())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

// all takes every file for a part of the recipe.
func all(string) bool { return true }

func wantMisuse(t *testing.T, err error, words ...string) {
	t.Helper()
	var misuse *research.MisuseError
	if !errors.As(err, &misuse) {
		t.Fatalf("got %v, want a misuse", err)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("the answer %q does not say %q", err, word)
		}
	}
}

func TestPathsCannotLeave(t *testing.T) {
	w := open(t)
	outside := filepath.Join(filepath.Dir(w.Dir()), "secret.txt")
	if err := os.WriteFile(outside, []byte("SECRET"), 0o644); err != nil {
		t.Fatal(err)
	}
	links := map[string]string{"up": "..", "absolute": outside, "relative": "../secret.txt", "inside": "train.py", "lib/dir": "../.."}
	for name, target := range links {
		if err := os.Symlink(target, filepath.Join(w.Dir(), name)); err != nil {
			t.Fatal(err)
		}
	}
	paths := []string{
		"../secret.txt", "lib/../../secret.txt", "./../secret.txt", outside, "/etc/passwd", "//etc/passwd", "..", ".", "", "/", "/recipe/../secret.txt",
		"up/secret.txt", "absolute", "relative", "inside", "lib/dir/secret.txt", "..\\secret.txt", "train.py\x00.txt", "~/x/../../secret.txt",
	}
	for _, path := range paths {
		text, err := w.Read(path)
		if err == nil {
			t.Errorf("Read(%q) gave %q", path, text)
			continue
		}
		wantMisuse(t, err)
		if _, err := w.Edit(path, "SECRET", "CHANGED"); err == nil {
			t.Errorf("Edit(%q) was done", path)
		}
		if _, err := w.Edit(path, "", "NEW"); err == nil {
			t.Errorf("Edit(%q) made a file", path)
		}
	}
	if data, err := os.ReadFile(outside); err != nil || string(data) != "SECRET" {
		t.Errorf("the file outside is now %q (%v)", data, err)
	}
	if data, err := os.ReadFile(filepath.Join(w.Dir(), "train.py")); err != nil || string(data) != train {
		t.Errorf("an edit under a link's name reached train.py: %q (%v)", data, err)
	}
	_, err := w.Snapshot(all)
	wantMisuse(t, err, "symbolic link")
	_, _, err = w.Search("SECRET", "", all, 10)
	wantMisuse(t, err, "symbolic link")
	if err := w.Reset(tree()); err != nil {
		t.Fatalf("Reset with links in the way: %v", err)
	}
	if _, err := os.Stat(outside); err != nil {
		t.Errorf("Reset followed a link: %v", err)
	}
}

func TestNamedPipeDoesNotBlock(t *testing.T) {
	w := open(t)
	if err := syscall.Mkfifo(filepath.Join(w.Dir(), "pipe"), 0o644); err != nil {
		t.Skipf("this file system has no named pipes: %v", err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := w.Read("pipe")
		done <- err
	}()
	select {
	case err := <-done:
		wantMisuse(t, err, "not a regular file")
	case <-time.After(10 * time.Second):
		t.Fatal("reading a named pipe blocks")
	}
}

func TestEdit(t *testing.T) {
	cases := []struct {
		name, path, old, new string
		want                 []string // of the refusal; none when it is done
		line                 int
	}{
		{name: "unique", path: "train.py", old: "\nLR = 0.1", new: "\nLR = 0.2", line: 2},
		{name: "as bash names it", path: "/recipe/train.py", old: "import math", new: "import numpy", line: 1},
		{name: "twice", path: "train.py", old: "return x * LR", new: "y", want: []string{"2 times", "lines 7 and 10", "Add the lines"}},
		{name: "inside another name", path: "train.py", old: "LR = 0.1", new: "y", want: []string{"2 times", "lines 3 and 4"}},
		{name: "other indentation", path: "train.py", old: "def step(x):\n  return x * LR", new: "y", want: []string{"only in spaces", "line 6"}},
		{name: "only the first line", path: "train.py", old: "def step(x):\n    return 0", new: "y", want: []string{"first line does, at line 6", "later line differs"}},
		{name: "nowhere", path: "train.py", old: "def missing", new: "y", want: []string{"does not stand in train.py", "read_file"}},
		{name: "no change", path: "train.py", old: "import math", new: "import math", want: []string{"same text"}},
		{name: "no such file", path: "nope.py", old: "x", new: "y", want: []string{"no file nope.py", "list_files"}},
		{name: "a directory", path: "lib", old: "x", new: "y", want: []string{"lib is a directory"}},
		{name: "empty old on a file", path: "train.py", old: "", new: "y", want: []string{"exists already"}},
		{name: "a new file", path: "lib/new/deep.py", old: "", new: "Y = 2\n", line: 1},
		{name: "below a file", path: "train.py/x", old: "", new: "Y = 2\n", want: []string{"cannot be made"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := open(t)
			line, err := w.Edit(c.path, c.old, c.new)
			if c.want != nil {
				wantMisuse(t, err, c.want...)
				now, err := w.Snapshot(all)
				if err != nil || len(Changes(tree(), now)) > 0 {
					t.Errorf("a refused edit changed the workspace: %v, %v", Changes(tree(), now), err)
				}
				return
			}
			if err != nil || line != c.line {
				t.Fatalf("got line %d, %v; want line %d", line, err, c.line)
			}
			text, err := w.Read(c.path)
			if want := strings.Replace(train, c.old, c.new, 1); c.old == "" && text != c.new || c.old != "" && text != want || err != nil {
				t.Errorf("the file is now %q (%v)", text, err)
			}
		})
	}
}

func TestEditKeepsCarriageReturns(t *testing.T) {
	w := open(t)
	if err := w.Reset(Tree{{Path: "a.py", Data: []byte("a = 1\r\nb = 2\r\n")}}); err != nil {
		t.Fatal(err)
	}
	_, err := w.Edit("a.py", "a = 1\nb = 2", "a = 3")
	wantMisuse(t, err, "CR LF")
	if _, err := w.Edit("a.py", "a = 1\r\n", "a = 3\r\n"); err != nil {
		t.Error(err)
	}
}

func TestSnapshotResetAndModes(t *testing.T) {
	w := open(t)
	before, err := w.Snapshot(all)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(tree(), before); diff != "" {
		t.Errorf("a fresh workspace differs from its tree:\n%s", diff)
	}
	if _, err := w.Edit("train.py", "import math", "import cmath"); err != nil {
		t.Fatal(err)
	}
	for _, junk := range []string{"__pycache__/train.pyc", "extra.txt"} {
		path := filepath.Join(w.Dir(), junk)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(filepath.Join(w.Dir(), "lib/util.py")); err != nil {
		t.Fatal(err)
	}
	after, err := w.Snapshot(all)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range Changes(before, after) {
		got = append(got, string(c.Kind)+" "+c.Path)
	}
	if diff := cmp.Diff([]string{"added extra.txt", "removed lib/util.py", "edited train.py"}, got); diff != "" {
		t.Errorf("changes:\n%s", diff)
	}
	if err := w.Reset(before); err != nil {
		t.Fatal(err)
	}
	again, err := w.Snapshot(all)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, again); diff != "" {
		t.Errorf("after Reset:\n%s", diff)
	}
	if _, err := os.Stat(filepath.Join(w.Dir(), "__pycache__")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Reset left a cache behind: %v", err)
	}
}

func TestNewRefusesAFullDirectoryAndBadPaths(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "x"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := New(dir, tree()); err == nil {
		t.Error("New took a directory that was not empty")
	}
	if _, err := New(filepath.Join(t.TempDir(), "w"), Tree{{Path: "../out.py"}}); err == nil {
		t.Error("New wrote a file outside")
	}
}

func TestDiff(t *testing.T) {
	w := open(t)
	if _, err := w.Edit("train.py", "import math", "import cmath"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Edit("new.py", "", "Y = 2\n"); err != nil {
		t.Fatal(err)
	}
	now, err := w.Snapshot(all)
	if err != nil {
		t.Fatal(err)
	}
	diff := Diff(tree(), now)
	for _, want := range []string{"--- /dev/null\n+++ b/new.py", "+Y = 2", "--- a/train.py\n+++ b/train.py", "-import math\n+import cmath"} {
		if !strings.Contains(diff, want) {
			t.Errorf("the diff lacks %q:\n%s", want, diff)
		}
	}
	if strings.Contains(diff, "util.py") {
		t.Errorf("the diff names a file that is the same:\n%s", diff)
	}
}

func TestSearch(t *testing.T) {
	w := open(t)
	hits, total, err := w.Search(`LR\b`, "*.py", all, 2)
	if err != nil || total != 4 || len(hits) != 2 || hits[0] != (Hit{"train.py", 3, "LR = 0.1"}) {
		t.Errorf("got %v of %d, %v", hits, total, err)
	}
	if hits, _, err := w.Search(`^X`, "util.py", all, 9); err != nil || len(hits) != 1 || hits[0].Path != "lib/util.py" {
		t.Errorf("a base name as pattern gave %v, %v", hits, err)
	}
	_, _, err = w.Search(`a(`, "", all, 9)
	wantMisuse(t, err, "not a regular expression", "RE2")
	_, _, err = w.Search(`a`, "[", all, 9)
	wantMisuse(t, err, "not a file pattern")
}

func TestReadRefusesWhatIsNotText(t *testing.T) {
	w := open(t)
	if err := w.Reset(Tree{{Path: "a.bin", Data: []byte{1, 0, 255}}}); err != nil {
		t.Fatal(err)
	}
	_, err := w.Read("a.bin")
	wantMisuse(t, err, "not a text file")
}

func TestAPipeUnderAnyNameStopsNothing(t *testing.T) {
	dir := t.TempDir()
	w, err := New(dir, Tree{{Path: "a.py", Mode: 0o644, Data: []byte("x = 1\n")}})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for _, name := range []string{".mendel-a.py~", "pipe"} {
		if err := syscall.Mkfifo(filepath.Join(dir, name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan error, 1)
	go func() {
		_, err := w.Edit("a.py", "x = 1", "x = 2")
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("an edit waits for a pipe")
	}
}

func TestRemoveTakesDirectoriesThatMayNotBeWritten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "workspace")
	kept := filepath.Join(t.TempDir(), "kept")
	deep := filepath.Join(dir, "cache", "module")
	if err := errors.Join(os.MkdirAll(deep, 0o755), os.Mkdir(kept, 0o500), os.WriteFile(filepath.Join(deep, "a"), nil, 0o444),
		os.Symlink(kept, filepath.Join(deep, "link")), os.Chmod(deep, 0o555), os.Chmod(filepath.Dir(deep), 0o555)); err != nil {
		t.Fatal(err)
	}
	if err := Remove(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
	if info, err := os.Stat(kept); err != nil || info.Mode().Perm() != 0o500 {
		t.Errorf("what a link names was touched: %v, %v", info, err)
	}
}
