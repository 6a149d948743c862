package task

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mendel/internal/research"
)

// A repo is a researcher's git repository in a temporary directory.
type repo struct {
	t   *testing.T
	dir string
}

func newRepo(t *testing.T) repo {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed")
	}
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	r := repo{t, filepath.Join(dir, "code")}
	r.write("train.py", "import numpy\nfrom model import layers\nprint('val_loss: 0.5')\n")
	r.write("model/__init__.py", "")
	r.write("model/layers.py", "WIDTH = 64\n")
	r.write("run.sh", "#!/bin/bash\npython3 train.py\n")
	r.write(".gitignore", "/data\n/.venv\n")
	r.write("secrets.txt", "not tracked\n")
	r.git("init", "--quiet")
	r.git("add", "train.py", "model", "run.sh", ".gitignore")
	r.git("commit", "--quiet", "-m", "start")
	return r
}

func (r repo) write(file, text string) {
	r.t.Helper()
	if err := writeFile(filepath.Join(r.dir, file), []byte(text), 0o755); err != nil {
		r.t.Fatal(err)
	}
}

func (r repo) git(args ...string) {
	r.t.Helper()
	cmd := exec.Command("git", append([]string{"-C", r.dir, "-c", "user.name=n", "-c", "user.email=e@localhost", "-c", "protocol.file.allow=always"}, args...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		r.t.Fatalf("git %v: %v\n%s", args, err, out)
	}
}

func (r repo) options() Options {
	return Options{
		Dir: filepath.Join(filepath.Dir(r.dir), "tasks", "my-task"), Repo: r.dir,
		Editable: []string{"train.py", "model/*.py"}, Run: "python train.py --steps 10", ScoreLog: `val_loss: ([0-9.]+)`,
		Getenv: func(string) string { return "" },
	}
}

func mustNewFrom(t *testing.T, o Options) (Created, *Task, *Site) {
	t.Helper()
	created, err := NewFrom(context.Background(), o)
	if err != nil {
		t.Fatalf("%v\nhint: %s", err, research.Hint(err))
	}
	got, err := Load(o.Dir)
	if err != nil {
		t.Fatal(err)
	}
	site, err := LoadSite(created.Site)
	if err != nil {
		t.Fatal(err)
	}
	return created, got, site
}

func TestNewFromCopiesWhatGitTracks(t *testing.T) {
	r := newRepo(t)
	created, got, _ := mustNewFrom(t, r.options())
	files, err := got.RecipeFiles()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		names = append(names, f.Path)
	}
	if want := []string{".gitignore", "model/__init__.py", "model/layers.py", "run.sh", "train.py"}; !slices.Equal(names, want) {
		t.Errorf("files %v, want %v", names, want)
	}
	if want := []string{"python3", "train.py", "--steps", "10"}; !slices.Equal(got.Phases[0].Run, want) {
		t.Errorf("command %q, want %q", got.Phases[0].Run, want)
	}
	if len(got.Roles) != 2 || got.Roles[0].ID != "train" || got.Roles[1].ID != "model" || !got.MayEdit(got.Roles[1], "model/layers.py") || got.MayEdit(got.Roles[1], "train.py") {
		t.Errorf("roles %+v", got.Roles)
	}
	if !slices.Equal(got.Environment.Python.Packages, []string{"numpy"}) {
		t.Errorf("packages %v", got.Environment.Python.Packages)
	}
	if site, err := FindSite(got.Dir, ""); err != nil || site != created.Site {
		t.Errorf("the site file %s is not found for the task: %s, %v", created.Site, site, err)
	}
}

func TestNewFromSaysLoudlyWhatIsSelfReported(t *testing.T) {
	r := newRepo(t)
	created, got, _ := mustNewFrom(t, r.options())
	if !got.Score.SelfReported {
		t.Error("the score is not marked as self-reported")
	}
	for name, text := range map[string]string{
		"output": strings.Join(created.Notes, "\n"), "task.yaml": readText(t, filepath.Join(got.Dir, "task.yaml")), "README.md": readText(t, filepath.Join(got.Dir, "README.md")),
	} {
		if !strings.Contains(strings.ToLower(text), "self-reported") {
			t.Errorf("%s does not say that the score is self-reported:\n%s", name, text)
		}
	}
}

func TestNewFromReportsWhatItLeavesOut(t *testing.T) {
	r := newRepo(t)
	sub := newRepo(t)
	r.git("submodule", "add", "--quiet", sub.dir, "third_party")
	if err := os.Symlink("train.py", filepath.Join(r.dir, "link.py")); err != nil {
		t.Skip(err)
	}
	r.write("weights.bin", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
	r.write("gone.py", "")
	r.git("add", "link.py", "weights.bin", "gone.py")
	r.git("commit", "--quiet", "-m", "more")
	r.write("data/images.npy", "many")
	r.write("train.py", "print('val_loss: 0.4')\n")
	if err := os.Remove(filepath.Join(r.dir, "gone.py")); err != nil {
		t.Fatal(err)
	}
	created, got, _ := mustNewFrom(t, r.options())
	notes := strings.Join(created.Notes, "\n")
	for _, want := range []string{
		"third_party is a submodule", "link.py is a symbolic link", "weights.bin is only a pointer of Git LFS", "gone.py is tracked by git but deleted",
		filepath.Join(r.dir, "data"), filepath.Join(r.dir, "secrets.txt"), "changes that are not committed",
	} {
		if !strings.Contains(notes, want) {
			t.Errorf("not said: %s\n%s", want, notes)
		}
	}
	if site := readText(t, created.Site); !strings.Contains(site, "#   - {host: '"+filepath.Join(r.dir, "data")) {
		t.Errorf("the site file does not offer the data as a mount:\n%s", site)
	}
	if files, _ := got.RecipeFiles(); slices.ContainsFunc(files, func(f File) bool { return strings.Contains(string(f.Data), "git-lfs") || f.Path == "link.py" }) {
		t.Error("a pointer or a link was copied")
	}
}

func TestNewFromFindsTheVirtualEnvironment(t *testing.T) {
	r := newRepo(t)
	elsewhere := filepath.Join(filepath.Dir(r.dir), "library")
	for file, text := range map[string]string{
		"src/pkg/__init__.py": "",
		".venv/pyvenv.cfg":    "home = /usr/bin\n",
		".venv/lib/python3.11/site-packages/__editable__.pkg-1.pth":           filepath.Join(r.dir, "src") + "\n",
		".venv/lib/python3.11/site-packages/__editable___other_1_finder.py":   "MAPPING: dict[str, str] = {'other': '" + filepath.Join(elsewhere, "other") + "'}\n",
		".venv/lib/python3.11/site-packages/__editable__.other-1.pth":         "import __editable___other_1_finder; __editable___other_1_finder.install()\n",
		".venv/lib/python3.11/site-packages/distutils-precedence.pth":         "import os\n",
		".venv/lib/python3.11/site-packages/__editable___gone_1_finder.py":    "MAPPING = {'gone': '/no/such/directory'}\n",
		"../library/other/__init__.py":                                        "",
		".venv/lib/python3.11/site-packages/unrelated/mentions_a_path.py.pth": "",
	} {
		r.write(file, text)
	}
	r.git("add", "src")
	_, got, site := mustNewFrom(t, r.options())
	if site.Python != filepath.Join(r.dir, ".venv") {
		t.Errorf("python %q", site.Python)
	}
	if remap := site.Remap(); len(remap) != 1 || remap[r.dir] != "/recipe" {
		t.Errorf("remap %v", remap)
	}
	if len(site.Mounts) != 1 || site.Mounts[0].Host != filepath.Join(elsewhere, "other") {
		t.Errorf("mounts %v", site.Mounts)
	}
	if len(got.Environment.Python.Packages) != 0 {
		t.Errorf("packages %v: a virtual environment is visible whole", got.Environment.Python.Packages)
	}

	other := filepath.Join(filepath.Dir(r.dir), "active")
	if err := writeFile(filepath.Join(other, "pyvenv.cfg"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	o := r.options()
	o.Dir += "-2"
	o.Getenv = func(name string) string { return map[string]string{"VIRTUAL_ENV": other}[name] }
	if _, _, site := mustNewFrom(t, o); site.Python != other {
		t.Errorf("python %q, want the active environment %s", site.Python, other)
	}
}

func TestNewFromWithARealEditableInstall(t *testing.T) {
	r := newRepo(t)
	r.write("setup.py", "from setuptools import setup\nsetup(name='model', version='1', packages=['model'])\n")
	r.git("add", "setup.py")
	if out, err := exec.Command("python3", "-m", "venv", "--without-pip", "--system-site-packages", filepath.Join(r.dir, ".venv")).CombinedOutput(); err != nil {
		t.Skipf("python3 -m venv: %v\n%s", err, out)
	}
	python := filepath.Join(r.dir, ".venv", "bin", "python3")
	develop := exec.Command(python, "setup.py", "--quiet", "develop", "--no-deps")
	develop.Dir = r.dir
	if out, err := develop.CombinedOutput(); err != nil {
		t.Skipf("setup.py develop: %v\n%s", err, out)
	}
	where := exec.Command(python, "-c", "import model; print(model.__file__)")
	where.Dir = t.TempDir()
	if out, err := where.CombinedOutput(); err != nil || !strings.HasPrefix(string(out), r.dir) {
		t.Skipf("the package is not imported from the repository: %v\n%s", err, out)
	}
	created, _, site := mustNewFrom(t, r.options())
	if remap := site.Remap(); remap[r.dir] != "/recipe" {
		t.Errorf("the editable install is not remapped: %v\n%s", remap, readText(t, created.Site))
	}
	if notes := strings.Join(created.Notes, "\n"); strings.Contains(notes, "egg-info") {
		t.Errorf("what the installation left behind is taken for data:\n%s", notes)
	}
}

func TestNewFromRefuses(t *testing.T) {
	r := newRepo(t)
	bare := t.TempDir()
	for name, c := range map[string]struct {
		change     func(o *Options)
		want, hint string
	}{
		"no repository":           {func(o *Options) { o.Repo = bare }, "not a git repository", "git init"},
		"nothing editable":        {func(o *Options) { o.Editable = nil }, "nothing is editable", "--editable"},
		"glob without a file":     {func(o *Options) { o.Editable = []string{"trian.py"} }, "matches none of the 5 files", `"train.py"`},
		"untracked file":          {func(o *Options) { o.Editable = []string{"secrets.txt"} }, "matches none", ""},
		"no score":                {func(o *Options) { o.ScoreLog = "" }, "how the score is found", "--score-log"},
		"pattern without a group": {func(o *Options) { o.ScoreLog = "loss" }, "0 groups", "( )"},
		"pattern that is none":    {func(o *Options) { o.ScoreLog = "(" }, "--score-log", ""},
		"shell":                   {func(o *Options) { o.Run = "python train.py | tee log" }, "only a shell knows", "run.sh"},
		"no direction":            {func(o *Options) { o.Direction = "up" }, "not a direction", "minimize or maximize"},
		"bad name":                {func(o *Options) { o.Dir = filepath.Join(filepath.Dir(o.Dir), "My Task") }, "not a task's name", "my-task"},
	} {
		t.Run(name, func(t *testing.T) {
			o := r.options()
			c.change(&o)
			_, err := NewFrom(context.Background(), o)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(research.Hint(err), c.hint) {
				t.Fatalf("got %v (hint %q), want %q (hint %q)", err, research.Hint(err), c.want, c.hint)
			}
			if left, _ := os.ReadDir(filepath.Dir(o.Dir)); slices.ContainsFunc(left, func(e os.DirEntry) bool { return strings.Contains(e.Name(), "task") && e.Name() != "tasks" }) {
				t.Errorf("something was left behind: %v", left)
			}
		})
	}
}

func TestNewOverwritesNothing(t *testing.T) {
	dir := exampleTask(t)
	if _, err := New(dir); err == nil || research.Hint(err) == "" {
		t.Errorf("New on an existing task: %v", err)
	}
	if _, err := New(filepath.Join(t.TempDir(), "Bad Name")); err == nil {
		t.Error("a bad name was accepted")
	}
	var problems Problems
	if _, err := Load(dir); errors.As(err, &problems) {
		t.Errorf("the existing task was damaged:\n%v", problems)
	}
}

func TestCommandLines(t *testing.T) {
	c := &checkout{files: []File{{Path: "train.py"}, {Path: "bin/go.sh"}}}
	for line, want := range map[string]string{
		"python train.py": "python3|train.py",
		"/home/me/.venv/bin/python3.11 -u train.py": "python3|-u|train.py",
		"uv run train.py --lr 0.1":                  "python3|train.py|--lr|0.1",
		"poetry run python train.py":                "python3|train.py",
		"LR=0.1 NAME='a b' python train.py":         "python3|train.py",
		"./train.py":                                "python3|./train.py",
		"torchrun --nproc 2 train.py":               "python3|-m|torch.distributed.run|--nproc|2|train.py",
		"bin/go.sh fast":                            "bin/go.sh|fast",
		"bash bin/go.sh":                            "bash|bin/go.sh",
	} {
		p := &fromPlan{}
		if err := p.command(line, c); err != nil || strings.Join(p.Argv, "|") != want {
			t.Errorf("%s: %q (%v), want %s", line, p.Argv, err, want)
		}
	}
	p := &fromPlan{}
	if err := p.command("LR=0.1 NAME='a b' python train.py", c); err != nil || p.Env["LR"] != "0.1" || p.Env["NAME"] != "a b" {
		t.Errorf("variables %v (%v)", p.Env, err)
	}
}

func TestSplitWords(t *testing.T) {
	for line, want := range map[string][]string{
		`a  b	c`:            {"a", "b", "c"},
		`a 'b c' "d e"`:     {"a", "b c", "d e"},
		`a'b'"c"d`:          {"abcd"},
		`"" ''`:             {"", ""},
		`a\ b \'`:           {"a b", "'"},
		`"a\"b\\c\d"`:       {`a"b\c\d`},
		`'$x|*'`:            {"$x|*"},
		"a \\\n b":          {"a", "b"},
		`--pattern='(a|b)'`: {"--pattern=(a|b)"},
		`a#b`:               {"a#b"},
	} {
		got, err := splitWords(line)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("splitWords(%s) = %q, %v, want %q", line, got, err, want)
		}
	}
	for _, line := range []string{"", "  ", "a 'b", `a "b`, `a\`, "a | b", "a && b", "a; b", "a > b", "a $B", "a `b`", "a *.py", "a # b", `"$x"`, "a {b,c}", "~/a"} {
		if got, err := splitWords(line); err == nil {
			t.Errorf("splitWords(%s) = %q, want an error", line, got)
		}
	}
}
