package runner_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"mendel/internal/measure/runner"
	"mendel/internal/measure/sandbox"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

const (
	// runnerVerb makes the test binary a runner: runnerVerb BUNDLE LEVEL.
	runnerVerb = "test-runner"
	// smallDiskVerb makes it a runner whose bundle lies on a disk with little room left:
	// smallDiskVerb BUNDLE BYTES. It prints the result.
	smallDiskVerb = "test-small-disk"
)

// The test binary stands in for mendel: re-executed, it is the sandbox helper or a runner.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case sandbox.Verb:
			exit(sandbox.Exec(os.Args[2:]))
		case runnerVerb:
			ctx := context.Background()
			host := sandbox.Probe(ctx).Limit(sandbox.Level(os.Args[3]))
			exit(runner.Run(ctx, os.Args[2], runner.Options{Host: host}))
		case smallDiskVerb:
			exit(onSmallDisk(os.Args[2], os.Args[3]))
		}
	}
	goleak.VerifyTestMain(m)
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// onSmallDisk runs the bundle from a memory file system of which only so many bytes are free. It
// needs private mounts.
func onSmallDisk(dir, free string) error {
	disk := filepath.Join(filepath.Dir(dir), "disk")
	if err := os.Mkdir(disk, 0o755); err != nil {
		return err
	}
	if err := unix.Mount("test", disk, "tmpfs", 0, "size=8m,mode=0755"); err != nil {
		return err
	}
	at := filepath.Join(disk, "bundle")
	if err := os.CopyFS(at, os.DirFS(dir)); err != nil {
		return err
	}
	var stat unix.Statfs_t
	if err := unix.Statfs(disk, &stat); err != nil {
		return err
	}
	leave, err := strconv.Atoi(free)
	if err != nil {
		return err
	}
	ballast := make([]byte, int(stat.Bavail)*int(stat.Bsize)-leave)
	if err := os.WriteFile(filepath.Join(disk, "ballast"), ballast, 0o644); err != nil {
		return err
	}
	ctx := context.Background()
	if err := runner.Run(ctx, at, runner.Options{Host: sandbox.Probe(ctx)}); err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(at, "result.json"))
	fmt.Print(string(text))
	return err
}
