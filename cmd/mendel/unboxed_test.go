package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mendel/internal/lineage"
)

// TestACodingAgentWithoutABox: what was allowed once, and registered, holds on a resumption.
func TestACodingAgentWithoutABox(t *testing.T) {
	t.Parallel()
	l := newStage(t, "XDG_CACHE_HOME="+t.TempDir())
	text, err := os.ReadFile("testdata/agent.py")
	if err != nil {
		t.Fatal(err)
	}
	program := l.write("agent.py", string(text))
	if err := os.Mkdir(filepath.Join(l.dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	l.write("bin/bwrap", "#!/bin/sh\nexit 1\n")
	l.env = append(l.env, "PATH="+filepath.Join(l.dir, "bin")+":"+os.Getenv("PATH"))
	args := []string{"run", "quick", "--state", "run", "--roles", "fit", "--trials", "1", "--proposer", "command:" + program + " run 127.0.0.1:1"}
	if out, err := l.try(args...); err == nil || !strings.Contains(out, "--allow-unsandboxed") {
		t.Fatalf("without a sandbox it ended with %v\n%s", err, out)
	}
	if err := os.RemoveAll(filepath.Join(l.dir, "run")); err != nil {
		t.Fatal(err)
	}
	l.mendel(append(args, "--allow-unsandboxed")...)
	l.mendel("run", "--resume", "run", "--trials", "2")
	l.intact(2)
	for _, trial := range l.trials() {
		if trial.Proposal.Confinement != "none" {
			t.Errorf("trial %s records confinement %q", trial.ID, trial.Proposal.Confinement)
		}
	}
	l.read(func(r *lineage.Reader) {
		if reg, err := r.Registration(); err != nil || !reg.AgentsUnconfined {
			t.Errorf("the registration does not say that agents may run unconfined: %v", err)
		}
	})
}
