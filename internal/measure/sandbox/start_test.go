package sandbox_test

import (
	"os"
	"testing"

	"mendel/internal/measure/environ"
	"mendel/internal/measure/sandbox"

	"golang.org/x/sys/unix"
)

func clearCloseOnExec(t *testing.T, f *os.File) {
	t.Helper()
	conn, err := f.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Control(func(fd uintptr) { _, err = unix.FcntlInt(fd, unix.F_SETFD, 0) }); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// BenchmarkStart is what one sandbox costs: start, a program that does nothing, and teardown, with
// the mounts that a recipe's process has.
func BenchmarkStart(b *testing.B) {
	best := sandbox.Probe(b.Context())
	env, err := environ.Resolve(b.Context(), environ.Request{Programs: []string{"true"}}, b.TempDir())
	if err != nil {
		b.Skip(err)
	}
	dir := b.TempDir()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		b.Fatal(err)
	}
	mounts := []sandbox.Mount{{Host: dir, Guest: "/out", Writable: true}}
	for _, guest := range []string{"/recipe", "/data", "/artifact", "/evaluator", "/result", "/mendel"} {
		mounts = append(mounts, sandbox.Mount{Host: dir, Guest: guest})
	}
	for _, level := range sandbox.Levels() {
		h := best.Limit(level)
		if h.Level != level {
			continue
		}
		b.Run(string(level), func(b *testing.B) {
			for b.Loop() {
				p, err := h.Start(b.Context(), sandbox.Command{
					Argv: []string{"/usr/bin/true"}, Root: env.Root, Mounts: mounts, Fallback: env.Fallback, Listed: env.Listed,
					Limits: sandbox.Limits{Memory: 1 << 30, Processes: 64, OpenFiles: 256, Output: 1 << 20},
				})
				if err != nil {
					b.Fatal(err)
				}
				if exit := p.Wait(); exit.Failed() {
					b.Fatal(exit)
				}
			}
		})
	}
}
