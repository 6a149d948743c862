package main

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"mendel/internal/propose/provider/providertest"
)

// TestKeysAreTakenBeforeAnythingStarts has the task's interpreter look around, at the beginning
// of a run and of its resumption: it is the first program that a supervisor starts.
func TestKeysAreTakenBeforeAnythingStarts(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("it looks into /proc")
	}
	python := "/usr/bin/python3"
	if _, err := os.Stat(python); err != nil {
		t.Skip(err)
	}
	server := plays(t, providertest.OpenAI(providertest.Quirks{}), brisk(rate()))
	cache := t.TempDir() // what is known already is not asked again
	l := newStage(t, "OPENAI_API_KEY="+providertest.Key, "UNRELATED=still here", "XDG_CACHE_HOME="+cache)
	l.prices("openai:gpt-5")
	nosy := l.write("python", "#!/bin/sh\nif mkdir "+l.dir+"/first; then env > "+l.dir+"/env; cat /proc/$PPID/environ > "+l.dir+"/parent; fi\nexec "+python+` "$@"`+"\n")
	l.write("site.yaml", "python: "+nosy+"\n")
	looked := func(when string) {
		t.Helper()
		env, err := os.ReadFile(filepath.Join(l.dir, "env"))
		if err != nil {
			t.Fatalf("%s, the interpreter was not asked: %v", when, err)
		}
		parent, err := os.ReadFile(filepath.Join(l.dir, "parent"))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(env), "UNRELATED") {
			t.Errorf("%s, the interpreter was given\n%s", when, env)
		}
		if !strings.Contains(string(parent), "UNRELATED=still here\x00") {
			t.Errorf("%s, the supervisor's environment was %q: the look has become blind", when, parent)
		}
		for _, text := range []string{string(env), string(parent)} {
			if strings.Contains(text, providertest.Key[:8]) {
				t.Errorf("%s, the key is in %q", when, text)
			}
		}
		for _, old := range []string{filepath.Join(l.dir, "first"), filepath.Join(l.dir, "env"), cache} {
			if err := os.RemoveAll(old); err != nil {
				t.Fatal(err)
			}
		}
	}
	args := []string{"--roles", "fit", "--trials", "1", "--prices", "prices.yaml", "--proposer", "openai:gpt-5", "--base-url", server.URL + "/v1"}
	l.mendel(append([]string{"run", "quick", "--state", "run", "--site", "site.yaml"}, args...)...)
	looked("at the beginning")
	l.mendel("run", "--resume", "run", "--trials", "2")
	looked("on the resumption")
	if n := len(server.Requests()); n < 4 || len(server.Refused()) > 0 {
		t.Errorf("%d requests, refused: %q", n, server.Refused())
	}
	l.intact(2)
}
