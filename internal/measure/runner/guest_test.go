package runner_test

import (
	"path/filepath"
	"strings"
	"testing"

	"mendel/internal/measure/sandbox"
	"mendel/internal/research"
)

// TestRecipesCannotTellWhichAttemptThisIs: one that could tell a first measurement from a repeated
// one could behave better in the first.
func TestRecipesCannotTellWhichAttemptThisIs(t *testing.T) {
	tr := newTrial()
	tr.level = sandbox.Isolated
	tr.recipe["train.py"] = `
import glob, os
for what in ("cmdline", "environ", "cgroup", "comm"):
    for file in sorted(glob.glob("/proc/[0-9]*/" + what)):
        try:
            print(file, open(file).read().replace("\0", " "))
        except OSError as e:
            print(file, e)
print("nodename", os.uname().nodename, "environment", dict(os.environ))
` + goodRecipe
	m, b := tr.run(t)
	if m.Outcome != research.Valid {
		t.Fatalf("%s: %s", m.Outcome, m.Reason)
	}
	for _, phase := range []string{"preflight", "train", "evaluate"} {
		text := logOf(t, b, m, phase)
		if !strings.Contains(text, "/proc/1/cmdline bwrap") {
			t.Fatalf("%s does not see the command line of its first process:\n%s", phase, text)
		}
		for _, tells := range []string{b.Dir, filepath.Base(b.Dir), "bundles", "token-1"} {
			if at := strings.Index(text, tells); at >= 0 {
				t.Errorf("%s sees %q: …%s…", phase, tells, text[max(0, at-200):min(len(text), at+200)])
			}
		}
	}
}

// TestRanksHaveRoomToTalk: the usual /dev/shm is too small for what several GPUs pass through it.
func TestRanksHaveRoomToTalk(t *testing.T) {
	for gpus, want := range map[int]string{0: "67108864", 8: "134217728"} {
		tr := newTrial()
		tr.level, tr.plan.Resources.GPUs, tr.plan.Resources.Disk = sandbox.Isolated, gpus, 128<<20
		tr.recipe["train.py"] = "import os\ns = os.statvfs('/dev/shm')\nprint('room', s.f_blocks * s.f_frsize)\n" + goodRecipe
		m, b := tr.run(t)
		if m.Outcome != research.Valid {
			t.Fatalf("%s: %s", m.Outcome, m.Reason)
		}
		if text := logOf(t, b, m, "train"); !strings.Contains(text, "room "+want) {
			t.Errorf("with %d GPUs, want room %s:\n%s", gpus, want, text)
		}
	}
}
