package task

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"mendel/internal/research"
)

// packedSource is a self-decoding Python file of the kind that golfed recipes are published as,
// made with Python 3.11: raw LZMA2 of "LR = 0.10\nprint('hello', LR)\n" in base 85.
const packedSource = `import lzma as L,base64 as B
exec(L.decompress(B.b85decode("0RS9KQXoAbFfK7L3UG31ZgeOoXk~0{Zzn7uOj0Qd00"),format=L.FORMAT_RAW,filters=[{"id":L.FILTER_LZMA2}]))
`

// upstreamTask is the scaffolded task with its recipe moved to a repository.
func upstreamTask(t *testing.T) (dir string, r repo) {
	t.Helper()
	dir = exampleTask(t)
	r = newRepo(t)
	train := readText(t, filepath.Join(dir, "recipe/train.py"))
	features := readText(t, filepath.Join(dir, "recipe/features.py"))
	remove(t, dir, "recipe")
	edit(t, dir, "task.yaml", "  dir: recipe ", "  # dir: ")
	r.write("records/train.py", "# upstream's\n"+train)
	r.write("records/features.py", features)
	r.git("add", "records")
	r.git("commit", "--quiet", "-m", "record")
	edit(t, dir, "task.yaml", "", "\nupstream:\n  repo: someone/tides\n  commit: "+r.head()+`
  files:
    - {path: records/train.py, as: train.py}
    - {path: records/features.py, as: features.py}
    - {path: "model/*.py"}
  patches:
    - {file: train.py, find: "# upstream's", replace: "# patched", why: to tell them apart}
`)
	return dir, r
}

func (r repo) head() string {
	r.t.Helper()
	out, err := exec.Command("git", "-C", r.dir, "rev-parse", "HEAD").Output()
	if err != nil {
		r.t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

func TestRecipeFromUpstream(t *testing.T) {
	dir, r := upstreamTask(t)
	pkg, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pkg.RecipeFiles(); !pkg.NeedsRecipe() || err == nil || !strings.Contains(research.Hint(err), "git clone https://github.com/someone/tides") {
		t.Errorf("without a checkout: needs recipe %v, %v, hint %q", pkg.NeedsRecipe(), err, research.Hint(err))
	}
	got, err := pkg.WithRecipe(context.Background(), r.dir)
	if err != nil {
		t.Fatalf("%v\nhint: %s", err, research.Hint(err))
	}
	files, err := got.RecipeFiles()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		names = append(names, f.Path)
	}
	if s := strings.Join(names, " "); s != "features.py model/__init__.py model/layers.py train.py" {
		t.Errorf("the recipe is %s", s)
	}
	if !bytes.HasPrefix(files[3].Data, []byte("# patched\n")) {
		t.Errorf("not patched: %.40s", files[3].Data)
	}
	if got.Hash != pkg.Hash {
		t.Error("the package's hash depends on the checkout")
	}
	if p := got.Pins(); p.Commit != r.head() || len(p.Files) != 3 || p.Patches != 1 {
		t.Errorf("pins %+v", p)
	}
}

func TestWrongCheckoutIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change        func(t *testing.T, dir string, r repo)
		at            func(r repo) string // of the checkout; r.dir unless given
		message, hint string
	}{
		"another commit": {change: func(_ *testing.T, _ string, r repo) {
			r.git("commit", "--quiet", "--allow-empty", "-m", "newer")
		}, message: "is at commit", hint: "checkout "},
		"edited": {change: func(_ *testing.T, _ string, r repo) { r.write("model/layers.py", "WIDTH = 65\n") },
			message: "model/layers.py is not what commit", hint: "-- model/layers.py"},
		"edited behind git's back": {change: func(_ *testing.T, _ string, r repo) {
			r.git("update-index", "--assume-unchanged", "model/layers.py")
			r.write("model/layers.py", "WIDTH = 66\n")
		}, message: "model/layers.py is not what commit", hint: "-- model/layers.py"},
		"deleted": {change: func(_ *testing.T, _ string, r repo) { remove(r.t, r.dir, "records/train.py") },
			message: "records/train.py is not there", hint: "checkout"},
		"no such directory": {at: func(r repo) string { return r.dir + "-nowhere" }, message: "no such directory", hint: "git clone"},
		"a directory in it": {at: func(r repo) string { return filepath.Join(r.dir, "model") }, message: "not the top of a git checkout", hint: "git clone"},
		"no repository and no sums": {change: func(_ *testing.T, _ string, r repo) { remove(r.t, r.dir, ".git") },
			message: "not the top of a git checkout", hint: "git clone"},
		"another sum": {change: func(t *testing.T, dir string, _ repo) {
			edit(t, dir, "task.yaml", "as: train.py}", "as: train.py, sha256: "+strings.Repeat("0", 64)+"}")
		}, message: "has the SHA-256", hint: "records/train.py"},
		"a file that upstream lacks": {change: func(t *testing.T, dir string, _ repo) {
			edit(t, dir, "task.yaml", "path: records/train.py", "path: records/tide.py")
		}, message: "has no file records/tide.py", hint: "top of the checkout"},
		"a glob that fits nothing": {change: func(t *testing.T, dir string, _ repo) {
			edit(t, dir, "task.yaml", `"model/*.py"`, `"models/*.py"`)
		}, message: "no file that fits models/*.py"},
		"nothing is packed": {change: func(t *testing.T, dir string, _ repo) {
			edit(t, dir, "task.yaml", "as: train.py}", "as: train.py, unwrap: lzma-base85}")
		}, message: "0 literals in b85decode"},
		"a patch that does not fit": {change: func(t *testing.T, dir string, _ repo) {
			edit(t, dir, "task.yaml", `find: "# upstream's"`, `find: "# upstreams"`)
		}, message: `train.py has the text "# upstreams" 0 times, and exactly once is expected (to tell them apart)`},
		"a patch that fits twice": {change: func(t *testing.T, dir string, _ repo) {
			edit(t, dir, "task.yaml", `find: "# upstream's"`, `find: "i"`)
		}, message: "exactly once is expected"},
		"a patch of another file": {change: func(t *testing.T, dir string, _ repo) {
			edit(t, dir, "task.yaml", "patches:\n    - {file: train.py", "patches:\n    - {file: records/train.py")
		}, message: "no file records/train.py is taken"},
		"a file that the task adds, too": {change: func(t *testing.T, dir string, _ repo) {
			edit(t, dir, "ours/train.py", "", "pass\n")
			edit(t, dir, "task.yaml", "recipe:\n", "recipe:\n  dir: ours\n")
		}, message: "train.py is a file of upstream, too"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, r := upstreamTask(t)
			if c.change != nil {
				c.change(t, dir, r)
			}
			pkg, err := Load(dir)
			if err != nil {
				t.Fatal(err)
			}
			at := r.dir
			if c.at != nil {
				at = c.at(r)
			}
			_, err = pkg.WithRecipe(context.Background(), at)
			if err == nil {
				t.Fatal("accepted")
			}
			var problems Problems
			if errors.As(err, &problems) && problems[0].Line == 0 {
				t.Errorf("no line of task.yaml is named: %v", err)
			}
			if !strings.Contains(err.Error(), c.message) || !strings.Contains(research.Hint(err), c.hint) {
				t.Errorf("%v\nhint: %s\nwant %q, hint %q", err, research.Hint(err), c.message, c.hint)
			}
		})
	}
}

// An unpacked archive has no commit; sums of every file stand in for it.
func TestUpstreamWithoutARepository(t *testing.T) {
	dir, r := upstreamTask(t)
	sum := sha256.Sum256([]byte(readText(t, filepath.Join(r.dir, "records/train.py"))))
	edit(t, dir, "task.yaml", "as: train.py}", fmt.Sprintf("as: train.py, sha256: %x}", sum))
	edit(t, dir, "task.yaml", "    - {path: \"model/*.py\"}\n", "")
	sum = sha256.Sum256([]byte(readText(t, filepath.Join(r.dir, "records/features.py"))))
	edit(t, dir, "task.yaml", "as: features.py}", fmt.Sprintf("as: features.py, sha256: %x}", sum))
	remove(t, r.dir, ".git")
	pkg, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pkg.WithRecipe(context.Background(), r.dir); err != nil {
		t.Errorf("%v\nhint: %s", err, research.Hint(err))
	}
}

func TestSelfDecodingSourceIsUnwrapped(t *testing.T) {
	got, err := unwrapped([]byte(packedSource))
	if err != nil || string(got) != "LR = 0.10\nprint('hello', LR)\n" {
		t.Errorf("%q, %v", got, err)
	}
}

func FuzzUnwrap(f *testing.F) {
	f.Add(packedSource)
	f.Add(`b85decode("0")`)
	f.Add(`b85decode('~~~~~')`)
	f.Fuzz(func(_ *testing.T, text string) { _, _ = unwrapped([]byte(text)) })
}

func TestCheckWithoutTheRecipeSaysSo(t *testing.T) {
	dir, _ := upstreamTask(t)
	var out bytes.Buffer
	r := Inspect(context.Background(), dir, nil, Dryrun{Check: func(context.Context, *Task, Check) (CheckRun, error) {
		t.Error("a check ran on nothing")
		return CheckRun{}, nil
	}})
	if err := r.WriteText(&out, false); err != nil || !r.OK {
		t.Errorf("ok %v, %v", r.OK, err)
	}
	for _, want := range []string{"not checked, because the recipe is someone/tides's", "--recipe DIR", "valid, as far as can be said without the recipe"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "recipe")); err == nil {
		t.Error("something was written into the package")
	}
}

// What is wrong with the pins themselves is found without any checkout.
func TestBrokenPinsAreExplained(t *testing.T) {
	for name, c := range map[string]struct{ old, with, message string }{
		"short sum":           {"as: train.py}", "as: train.py, sha256: 477f}", "is not a SHA-256"},
		"a name for several":  {`{path: "model/*.py"}`, `{path: "model/*.py", as: model.py}`, "may be several"},
		"outside":             {"as: train.py}", "as: ../train.py}", "leads out of the package"},
		"unknown wrapping":    {"as: train.py}", "as: train.py, unwrap: zip}", "unwrap"},
		"a patch of nothing":  {`find: "# upstream's"`, `find: ""`, "changes nothing"},
		"a patch without why": {", why: to tell them apart", "", "why"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, _ := upstreamTask(t)
			edit(t, dir, "task.yaml", c.old, c.with)
			problems := problemsOf(t, dir)
			if len(problems) == 0 || !strings.Contains(problems.Error(), c.message) || problems[0].Line == 0 {
				t.Errorf("want %q with its line, got %v", c.message, problems)
			}
		})
	}
}
