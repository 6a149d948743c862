package bundle_test

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"mendel/internal/measure/bundle"
	"mendel/internal/research"

	"github.com/google/go-cmp/cmp"
)

func create(t *testing.T) bundle.Bundle {
	t.Helper()
	evaluator := t.TempDir()
	for name, text := range map[string]string{"score.py": "1", "lib/a.py": "2", "__pycache__/score.pyc": "litter"} {
		path := filepath.Join(evaluator, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	spec := bundle.Spec{
		Run: "r", Attempt: research.Attempt{Trial: 7, Number: 1, Token: "one", Seeds: []int64{1}},
		Task: bundle.Plan{Name: "t", Phases: []bundle.Phase{{Name: "train", Run: []string{"true"}, KillAfter: 5e9}}},
	}
	tree := []bundle.File{{"train.py", 0o644, []byte("x = 1\n")}, {"bin/go.sh", 0o755, []byte("exit\n")}}
	b, err := bundle.Create(filepath.Join(t.TempDir(), "bundles", "007-0-1"), spec, tree, evaluator)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestCreate(t *testing.T) {
	b := create(t)
	again, err := bundle.Open(b.Dir)
	if err != nil {
		t.Fatal(err)
	}
	spec, err := again.Spec()
	if err != nil || spec.Version != bundle.Version || spec.Attempt.Token != "one" || spec.Task.Phases[0].KillAfter != 5e9 {
		t.Errorf("spec %+v, %v", spec, err)
	}
	if info, err := os.Stat(filepath.Join(b.Tree(), "bin/go.sh")); err != nil || info.Mode().Perm() != 0o555 {
		t.Errorf("bin/go.sh: %v, %v", info.Mode(), err)
	}
	if _, err := os.Stat(filepath.Join(b.Evaluator(), "__pycache__")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("litter was copied: %v", err)
	}
	if _, err := bundle.Create(b.Dir, spec, nil, ""); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second bundle in the same place: %v", err)
	}
	for _, path := range []string{"../out", "/etc/x", "a/../b", "a//b", "."} {
		dir := filepath.Join(t.TempDir(), "b")
		if _, err := bundle.Create(dir, spec, []bundle.File{{path, 0o644, nil}}, ""); err == nil {
			t.Errorf("path %q was taken", path)
		}
		if left, _ := filepath.Glob(filepath.Join(filepath.Dir(dir), "*")); len(left) > 0 {
			t.Errorf("path %q: %v left behind", path, left)
		}
	}
	if err := bundle.Remove(b.Dir); err != nil {
		t.Fatal(err)
	}
	if _, err := bundle.Open(b.Dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("removed, and still there: %v", err)
	}
}

// TestTreeHash: the hash covers paths, modes and contents, and nothing of where the tree lies.
func TestTreeHash(t *testing.T) {
	hash := func(change func(dir string) error) research.Hash {
		t.Helper()
		b := create(t)
		if change != nil {
			if err := change(b.Tree()); err != nil {
				t.Fatal(err)
			}
		}
		h, err := bundle.HashTree(b.Tree())
		if err != nil {
			return research.Hash(err.Error())
		}
		return h
	}
	want := hash(nil)
	if again := hash(nil); again != want {
		t.Errorf("two trees of the same files: %s and %s", want, again)
	}
	for name, change := range map[string]func(dir string) error{
		"content": func(dir string) error {
			path := filepath.Join(dir, "train.py")
			return errors.Join(os.Chmod(path, 0o644), os.WriteFile(path, []byte("x = 2\n"), 0o644))
		},
		"mode":     func(dir string) error { return os.Chmod(filepath.Join(dir, "train.py"), 0o755) },
		"name":     func(dir string) error { return os.Rename(filepath.Join(dir, "train.py"), filepath.Join(dir, "t.py")) },
		"new file": func(dir string) error { return os.WriteFile(filepath.Join(dir, "new.pyc"), nil, 0o644) },
		"symlink":  func(dir string) error { return os.Symlink("train.py", filepath.Join(dir, "link")) },
	} {
		if hash(change) == want {
			t.Errorf("%s was changed, the hash was not", name)
		}
	}
}

func TestFencing(t *testing.T) {
	b := create(t)
	result := func(token string) bundle.Result {
		return bundle.Result{Token: token, Measurement: research.Measurement{Outcome: research.Valid, Reason: token}}
	}
	if _, err := b.Result(); !errors.Is(err, fs.ErrNotExist) || b.HasResult() {
		t.Errorf("before the end: %v", err)
	}
	if err := b.Fence("two"); err != nil {
		t.Fatal(err)
	}
	if err := b.WriteResult(result("one")); !errors.Is(err, bundle.ErrFenced) || b.HasResult() {
		t.Errorf("the fenced attempt's result: %v, there: %t", err, b.HasResult())
	}
	if err := b.WriteResult(result("two")); err != nil {
		t.Fatal(err)
	}
	if err := b.WriteResult(result("one")); !errors.Is(err, bundle.ErrFenced) {
		t.Errorf("the fenced attempt's result, later: %v", err)
	}
	got, err := b.Result()
	if diff := cmp.Diff(result("two"), got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
}

// TestResultNamesNoMissingLog: whoever reads a result finds every log that it names.
func TestResultNamesNoMissingLog(t *testing.T) {
	b := create(t)
	r := bundle.Result{Token: "one", Logs: map[research.Hash]string{"abc": "abc.log"}}
	if err := b.WriteResult(r); !errors.Is(err, fs.ErrNotExist) || b.HasResult() {
		t.Errorf("a result that names a log which is not there: %v, there: %t", err, b.HasResult())
	}
	if err := os.WriteFile(filepath.Join(b.Logs(), "abc.log"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := b.WriteResult(r); err != nil || !b.HasResult() {
		t.Errorf("with the log: %v", err)
	}
}

// TestLogsAreDurableBeforeTheResult looks at the order of the system calls, because no test can
// cut the power.
func TestLogsAreDurableBeforeTheResult(t *testing.T) {
	const mark = "MENDEL_TEST_WRITE_RESULT"
	if dir := os.Getenv(mark); dir != "" { // the test binary, under strace
		b, err := bundle.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.WriteResult(bundle.Result{Token: "one", Logs: map[research.Hash]string{"a": "a.log", "b": "b.log"}}); err != nil {
			t.Fatal(err)
		}
		return
	}
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("no strace on this host")
	}
	if exec.Command(strace, "-o", os.DevNull, "true").Run() != nil {
		t.Skip("this host does not let strace trace")
	}
	b := create(t)
	for _, name := range []string{"a.log", "b.log"} {
		if err := os.WriteFile(filepath.Join(b.Logs(), name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	trace := filepath.Join(t.TempDir(), "trace")
	cmd := exec.Command(strace, "-f", "-y", "-e", "trace=fsync,fdatasync,rename,renameat,renameat2", "-o", trace,
		os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(cmd.Environ(), mark+"="+b.Dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	calls, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	synced, renamed := strings.Index(string(calls), b.Logs()+">"), strings.Index(string(calls), "result.json\"")
	if synced < 0 || renamed < 0 || synced > renamed || strings.Count(string(calls), b.Logs()+">") != 1 {
		t.Errorf("want one sync of %s before result.json gets its name:\n%s", b.Logs(), calls)
	}
}

// TestFenceRace: whatever the order, once Fence has returned no other token's result appears.
func TestFenceRace(t *testing.T) {
	for range 50 {
		b := create(t)
		var work sync.WaitGroup
		work.Go(func() { _ = b.WriteResult(bundle.Result{Token: "one"}) })
		if err := b.Fence("two"); err != nil {
			t.Fatal(err)
		}
		before := b.HasResult()
		work.Wait()
		if b.HasResult() != before {
			t.Fatal("a fenced result appeared after the fence")
		}
	}
}

func TestHold(t *testing.T) {
	b := create(t)
	if held, err := b.Held(); held || err != nil {
		t.Errorf("before the first runner: %t, %v", held, err)
	}
	release, err := b.Hold()
	if err != nil {
		t.Fatal(err)
	}
	if held, err := b.Held(); !held || err != nil {
		t.Errorf("beside a runner: %t, %v", held, err)
	}
	if _, err := b.Hold(); !errors.Is(err, bundle.ErrHeld) {
		t.Errorf("a second runner: %v", err)
	}
	release()
	if held, err := b.Held(); held || err != nil {
		t.Errorf("after it: %t, %v", held, err)
	}
}

func TestSpecVersion(t *testing.T) {
	b := create(t)
	if err := os.WriteFile(filepath.Join(b.Dir, "spec.json"), []byte(`{"version": 99}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Spec(); err == nil || research.Hint(err) == "" {
		t.Errorf("a spec of another version: %v, hint %q", err, research.Hint(err))
	}
}

func TestPlacementIsOptional(t *testing.T) {
	b := create(t)
	if p, err := b.Placement(); err != nil || p.CPUs != nil {
		t.Errorf("%+v, %v", p, err)
	}
	want := bundle.Placement{CPUs: []int{1}, GPUs: []string{"0"}}
	if err := b.WritePlacement(want); err != nil {
		t.Fatal(err)
	}
	if p, err := b.Placement(); err != nil || !cmp.Equal(p, want) {
		t.Errorf("%+v, %v", p, err)
	}
}
