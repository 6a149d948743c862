package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"mendel/internal/agentbox"
)

// The test binary is also the program under test: scripts, runners and sandboxes start it under
// the name mendel, but an agent without a box, which is started through /proc/self/exe.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == agentbox.Verb {
		main()
	}
	testscript.Main(m, map[string]func(){"mendel": main})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("XDG_CACHE_HOME", sharedCache(t))
			env.Setenv("XDG_STATE_HOME", filepath.Join(env.WorkDir, "state"))
			env.Setenv("TERM", "dumb")
			return nil
		},
	})
}

// sharedCache lets the tests of one run share the prepared environments: making one takes a second.
func sharedCache(t *testing.T) string {
	dir := filepath.Join(os.TempDir(), "mendel-test-cache")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}
