package agentbox_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// An agent that is installed by npm is a link to a script of a package, far from the system's
// directories; beside the package lie somebody's files.
func TestAnAgentOfNpmFindsItsPackageAndNothingBeside(t *testing.T) {
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("there is no node here")
	}
	s := newStage(t, true)
	home := t.TempDir()
	version := filepath.Join(home, ".nvm", "versions", "node", "v1")
	for path, text := range map[string]string{
		filepath.Join(version, "lib/node_modules/agent/cli.js"): `#!/usr/bin/env node
const fs = require('fs'), os = require('os');
console.log(require('./word'), os.userInfo().username, os.homedir() === process.env.HOME);
for (const path of process.argv.slice(2)) console.log(path, fs.existsSync(path));
`,
		filepath.Join(version, "lib/node_modules/agent/word.js"): "module.exports = 'ready';\n",
		filepath.Join(home, "diary.txt"):                         "private",
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	link := filepath.Join(version, "bin", "agent")
	if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../lib/node_modules/agent/cli.js", link); err != nil {
		t.Fatal(err)
	}
	diary := filepath.Join(home, "diary.txt")
	if err := s.play(t, t.Context(), link+" "+diary); err != nil {
		t.Fatalf("%v\n%s", err, s.transcript)
	}
	if said := s.said(t); !strings.Contains(said, "ready agent true") || !strings.Contains(said, diary+" false") {
		t.Errorf("the agent says %q", said)
	}
	// Where the package lies among what must not be seen, it is not started.
	s = newStage(t, true)
	s.options.Hidden = []string{home}
	if err := s.play(t, t.Context(), link); err == nil || !strings.Contains(err.Error(), "must not see") {
		t.Errorf("it ended with %v", err)
	}
}
