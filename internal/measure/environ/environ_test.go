package environ_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"mendel/internal/measure/environ"
	"mendel/internal/measure/sandbox"
	"mendel/internal/research"
)

// These run at the strongest level only; that the weaker ones work is tested in package sandbox.
func isolated(t *testing.T) *sandbox.Host {
	t.Helper()
	h := sandbox.Probe(t.Context())
	if h.Level != sandbox.Isolated {
		t.Skipf("this host offers at most %s", h.Level)
	}
	return h
}

func resolve(t *testing.T, r environ.Request) *environ.Environment {
	t.Helper()
	e, err := environ.Resolve(t.Context(), r, t.TempDir())
	if err != nil {
		if r.Python != nil && research.Hint(err) != "" {
			t.Skipf("%v (%s)", err, research.Hint(err))
		}
		t.Fatal(err)
	}
	return e
}

// inside runs a command in the environment and returns what it printed.
func inside(t *testing.T, h *sandbox.Host, e *environ.Environment, mounts []sandbox.Mount, argv ...string) string {
	t.Helper()
	var out bytes.Buffer
	p, err := h.Start(t.Context(), sandbox.Command{
		Argv: argv, Env: e.Env, Dir: "/", Root: e.Root, Mounts: append(mounts, e.Mounts...), Stdout: &out, Stderr: &out,
	})
	if err != nil {
		t.Fatal(err)
	}
	if exit := p.Wait(); exit.Err != nil {
		t.Fatal(exit.Err)
	}
	return strings.TrimSpace(out.String())
}

func TestListedPackagesWorkAndOthersAreAbsent(t *testing.T) {
	h := isolated(t)
	for _, packages := range [][]string{{}, {"numpy"}, {"numpy", "torch"}} {
		t.Run(strings.Join(packages, "+"), func(t *testing.T) {
			e := resolve(t, environ.Request{
				Python: &environ.Python{Packages: packages, Threads: 2}, Site: environ.Site{Python: "/usr/bin/python3"},
			})
			script := "import os, sys, json, ssl, sqlite3, ctypes, multiprocessing, decimal\n"
			for _, p := range packages {
				script += "import " + p + "\n"
			}
			if len(packages) == 2 {
				script += "torch.nn.functional.cross_entropy(torch.nn.Linear(8, 8)(torch.randn(4, 8)), torch.arange(4)).backward()\n"
			}
			script += `
for name in "numpy", "torch", "sklearn", "scipy", "pip", "apt_pkg":
    try:
        __import__(name)
        print(name)
    except ModuleNotFoundError:
        pass
print(os.environ["OMP_NUM_THREADS"], sorted(os.listdir("/usr")), sorted(set(os.listdir("/")) - {"bin", "sbin", "lib", "lib64", "usr", "etc"}))`
			got := inside(t, h, e, nil, e.Python, "-c", script)
			lines := strings.Split(got, "\n")
			if strings.Join(lines[:len(lines)-1], "+") != strings.Join(packages, "+") {
				t.Errorf("importable: %s", got)
			}
			if last := lines[len(lines)-1]; !strings.HasPrefix(last, "2 ") || strings.Contains(last, "share") || strings.Contains(last, "home") || strings.Contains(last, "root") {
				t.Errorf("visible: %s", last)
			}
			for _, m := range e.Mounts {
				if m.Guest == "/usr" || m.Guest == "/usr/lib" || m.Guest == "/lib" || strings.HasSuffix(m.Host, "dist-packages") && m.Host == m.Guest {
					t.Errorf("mounted whole: %s", m.Guest)
				}
			}
		})
	}
}

func TestProgramsRunInside(t *testing.T) {
	h := isolated(t)
	e := resolve(t, environ.Request{Programs: []string{"bash", "ls", "cat", "grep", "sed", "find", "sort", "awk"}})
	script := `printf 'b 1\na 2\n' | sort | awk '{print $2}' | sed s/2/two/ | cat; find /usr/bin -name 'apt*' | grep -c apt; type python3 curl 2>/dev/null || echo no`
	got := inside(t, h, e, nil, "/usr/bin/bash", "-c", script)
	if got != "two\n1\n0\nno" {
		t.Errorf("got %q", got)
	}
}

// TestWhatRanksNeed: a launcher is found wherever the host keeps it, and starts processes that find each
// other by the name of the machine.
func TestWhatRanksNeed(t *testing.T) {
	h := isolated(t)
	launcher := filepath.Join(t.TempDir(), "launch") // mostly below /tmp, which the guest does not see
	script := "#!/usr/bin/python3\nimport socket\nprint(socket.gethostbyname(socket.getfqdn()))\n"
	if err := os.WriteFile(launcher, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", filepath.Dir(launcher)+string(os.PathListSeparator)+os.Getenv("PATH"))
	e := resolve(t, environ.Request{Python: &environ.Python{}, Site: environ.Site{Python: "/usr/bin/python3"}, Programs: []string{"launch"}})
	if got := inside(t, h, e, nil, "/usr/bin/launch"); got != "127.0.0.1" {
		t.Errorf("the machine's own name leads to %s", got)
	}
}

func TestACachedEnvironmentIsUsedUntilItsSourcesChange(t *testing.T) {
	bin, cache := t.TempDir(), t.TempDir()
	tool := filepath.Join(bin, "tool")
	write := func(text string) {
		if err := os.WriteFile(tool, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	get := func() *environ.Environment {
		e, err := environ.Resolve(t.Context(), environ.Request{Programs: []string{tool}}, cache)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	write("#!/bin/sh\necho one\n")
	first := get()
	mark := filepath.Join(first.Root, "tmp", "mark")
	if err := os.WriteFile(mark, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if again := get(); again.Root != first.Root || again.Digest != first.Digest {
		t.Error("resolved anew without need")
	}
	if err := os.Remove(tool); err != nil {
		t.Fatal(err)
	}
	write("#!/bin/sh\necho two two\n")
	changed := get()
	if changed.Digest == first.Digest || changed.Root == first.Root {
		t.Error("a changed program went unnoticed")
	}
	if b, err := os.ReadFile(filepath.Join(changed.Root, tool)); !strings.Contains(string(b), "two") {
		t.Errorf("the root holds %q, %v", b, err)
	}
	if _, err := os.Stat(mark); err != nil {
		t.Error("the old root, which may be in use, was removed")
	}
	if err := os.RemoveAll(changed.Root); err != nil {
		t.Fatal(err)
	}
	if e := get(); e.Digest != changed.Digest {
		t.Error("the digest depends on more than the content")
	} else if _, err := os.Stat(filepath.Join(e.Root, tool)); err != nil {
		t.Error("a lost root was not made again")
	}
}

func TestWhatIsMissingIsNamedWithTheMend(t *testing.T) {
	for _, test := range []struct {
		request environ.Request
		names   []string
		hint    string
	}{
		{
			environ.Request{Python: &environ.Python{Packages: []string{"json", "no_such_package"}}},
			[]string{"no_such_package", "/usr/bin/python3", "cannot import"}, "apt-get install python3-no-such-package",
		},
		{environ.Request{Programs: []string{"no-such-program"}}, []string{`"no-such-program"`}, "environment.programs"},
		{
			environ.Request{Python: &environ.Python{Packages: []string{"json"}}, Site: environ.Site{Python: "/no/such/python"}},
			[]string{"/no/such/python"}, "",
		},
	} {
		_, err := environ.Resolve(t.Context(), test.request, t.TempDir())
		if err == nil {
			t.Fatalf("%+v: no error", test.request)
		}
		for _, name := range test.names {
			if !strings.Contains(err.Error(), name) {
				t.Errorf("error does not name %q: %v", name, err)
			}
		}
		if !strings.Contains(research.Hint(err), test.hint) {
			t.Errorf("hint: %q", research.Hint(err))
		}
	}
}

// A researcher's repository, installed in editable form into a virtual environment.
func TestAnEditableInstallImportsTheTrialsTree(t *testing.T) {
	h := isolated(t)
	venv, repo, trial := filepath.Join(t.TempDir(), "venv"), t.TempDir(), t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "/usr/bin/python3", "-m", "venv", "--without-pip", venv).CombinedOutput(); err != nil {
		t.Skipf("no virtual environment to be had: %v: %s", err, out)
	}
	sites, err := filepath.Glob(filepath.Join(venv, "lib/python3*/site-packages"))
	if err != nil || len(sites) != 1 {
		t.Fatalf("site-packages: %v, %v", sites, err)
	}
	for path, text := range map[string]string{
		filepath.Join(sites[0], "__editable__.model-1.0.pth"): filepath.Join(repo, "src") + "\n",
		filepath.Join(sites[0], "helper.py"):                  "name = 'helper'\n",
		filepath.Join(repo, "src/model.py"):                   "origin = 'the original'\n",
		filepath.Join(trial, "src/model.py"):                  "origin = 'the trial'\n",
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	e := resolve(t, environ.Request{
		Python: &environ.Python{Packages: []string{"model", "helper"}},
		Site:   environ.Site{Python: venv, Env: map[string]string{"TASK": "mine"}},
		Remap:  map[string]string{repo: "/recipe"},
	})
	got := inside(t, h, e, []sandbox.Mount{{Host: trial, Guest: "/recipe"}}, e.Python, "-c",
		"import os, sys, model, helper; print(model.origin, helper.name, sys.prefix, os.environ['TASK'], os.path.exists('"+repo+"'))")
	if want := fmt.Sprintf("the trial helper %s mine False", venv); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
