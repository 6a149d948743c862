package sandbox_test

import (
	"os"
	"path/filepath"
	"testing"

	"mendel/internal/measure/environ"
	"mendel/internal/measure/sandbox"
	"mendel/internal/research"
)

// A guest is what a recipe's process gets: a resolved environment, a tree and a scratch directory.
type guest struct {
	env     *environ.Environment
	tree    string // read-only at /recipe
	out     string // writable at /out
	outside string // on the host, never mounted
}

func newGuest(t *testing.T, h *sandbox.Host) guest {
	t.Helper()
	env, err := environ.Resolve(t.Context(), environ.Request{
		Python: &environ.Python{Packages: []string{"numpy"}}, Programs: []string{"sh", "sleep", "dd", "yes"},
	}, environCache(t))
	if err != nil {
		if hint := research.Hint(err); hint != "" {
			t.Skipf("%v (%s)", err, hint)
		}
		t.Fatal(err)
	}
	g := guest{env: env, tree: t.TempDir(), outside: t.TempDir()}
	// Below isolated, root's guests run as another user, who must find the way.
	if err := os.Chmod(filepath.Dir(g.tree), 0o755); err != nil {
		t.Fatal(err)
	}
	scratch, err := h.NewScratch(filepath.Join(t.TempDir(), "out"), 64<<20)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := scratch.Close(); err != nil {
			t.Error(err)
		}
	})
	g.out = scratch.Dir
	return g
}

// python gives the command that runs a script as a recipe's process.
func (g guest) python(t *testing.T, script string, args ...string) sandbox.Command {
	t.Helper()
	if err := os.WriteFile(filepath.Join(g.tree, "train.py"), []byte(script), 0o644); err != nil {
		t.Fatal(err)
	}
	return sandbox.Command{
		Argv: append([]string{g.env.Python, "/recipe/train.py"}, args...),
		Env:  append([]string{"HOME=/tmp", "TMPDIR=/tmp", "MENDEL_OUT=/out", "PYTHONDONTWRITEBYTECODE=1"}, g.env.Env...),
		Dir:  "/recipe", Root: g.env.Root, Fallback: g.env.Fallback, Listed: g.env.Listed,
		Mounts: append([]sandbox.Mount{
			{Host: g.tree, Guest: "/recipe"},
			{Host: g.out, Guest: "/out", Writable: true},
		}, g.env.Mounts...),
		Limits: sandbox.Limits{
			Memory: 512 << 20, Disk: 64 << 20, Output: 1 << 20, Processes: 32, OpenFiles: 256, CPUSeconds: 20,
		},
	}
}
