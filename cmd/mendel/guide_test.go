package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestGuide types every command of docs/write-a-task.md, in an empty directory.
func TestGuide(t *testing.T) {
	if os.Getenv("MENDEL_E2E") == "" {
		t.Skip("set MENDEL_E2E: it measures a task for a minute or two")
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	guide, err := os.ReadFile(filepath.Join(root, "docs", "write-a-task.md"))
	if err != nil {
		t.Fatal(err)
	}
	script := "set -e\n"
	for _, block := range regexp.MustCompile("(?ms)^```sh\n(.*?)^```$").FindAllSubmatch(guide, -1) {
		script += string(block[1])
	}
	command := exec.CommandContext(t.Context(), "sh", "-c", script)
	command.Dir = t.TempDir()
	command.Env = append(os.Environ(), "MENDEL="+root, "XDG_STATE_HOME="+t.TempDir())
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"log_error = 0.1", "10 measurements of the baseline", "ended: all 12 trials are used"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}
