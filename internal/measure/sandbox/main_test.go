package sandbox_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"mendel/internal/measure/sandbox"

	"go.uber.org/goleak"
)

// The test binary stands in for mendel: re-executed, it is the sandbox helper.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == sandbox.Verb {
		if err := sandbox.Exec(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if level := os.Getenv("MENDEL_TEST_RUNNER"); level != "" {
		beRunner(sandbox.Level(level))
	}
	cache, err := os.MkdirTemp("", "mendel-environ-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Setenv("MENDEL_TEST_CACHE", cache)
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		os.RemoveAll(cache)
		os.Exit(code)
	}))
}

// environCache is shared by the tests, since resolving takes longer than a test.
func environCache(t *testing.T) string {
	t.Helper()
	return os.Getenv("MENDEL_TEST_CACHE")
}

// skipShort leaves out what other processes do, where only races in this one are looked for.
func skipShort(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("-short")
	}
}

// eachHost runs a test at every level of this host, with and without cgroups where it has some.
func eachHost(t *testing.T, run func(t *testing.T, h *sandbox.Host)) {
	t.Helper()
	best := sandbox.Probe(t.Context())
	for _, level := range []sandbox.Level{sandbox.Isolated, sandbox.Confined, sandbox.Limited, sandbox.None} {
		h := best.Limit(level)
		t.Run(string(level), func(t *testing.T) {
			if h.Level != level {
				t.Skipf("this host offers at most %s", best.Level)
			}
			run(t, h)
		})
		if bare := h.WithoutCgroups(); bare.Memory != h.Memory {
			t.Run(string(level)+"-without-cgroups", func(t *testing.T) {
				if h.Level != level {
					t.Skipf("this host offers at most %s", best.Level)
				}
				run(t, bare)
			})
		}
	}
}

// beRunner starts a sandbox that never ends, says so, and waits to be killed.
func beRunner(level sandbox.Level) {
	p, err := sandbox.Probe(context.Background()).Limit(level).Start(context.Background(), sandbox.Command{
		Argv: []string{"/bin/sh", "-c", "trap '' TERM HUP INT; sleep 1000 & echo up; wait"},
		Env:  []string{"PATH=/usr/bin:/bin", os.Getenv("MENDEL_TEST_MARKER")}, Dir: "/tmp",
		Mounts: wholeHost(), Stdout: os.Stdout,
	})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(p.Wait())
	os.Exit(1)
}

// wholeHost shows the guest enough for a shell, whatever the distribution.
func wholeHost() []sandbox.Mount {
	var mounts []sandbox.Mount
	for _, dir := range []string{"/usr", "/bin", "/lib", "/lib64"} {
		if _, err := os.Stat(dir); err == nil {
			mounts = append(mounts, sandbox.Mount{Host: dir, Guest: dir})
		}
	}
	return mounts
}

type result struct {
	sandbox.Exit
	stdout, stderr string
}

// run runs a command to its end, which must come within half a minute.
func run(t *testing.T, h *sandbox.Host, c sandbox.Command) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	p, err := h.Start(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	exit := p.Wait()
	if ctx.Err() != nil {
		t.Fatalf("still running after 30 s; stdout %q, stderr %q", stdout.String(), stderr.String())
	}
	return result{exit, stdout.String(), stderr.String()}
}
