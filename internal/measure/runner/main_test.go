package runner_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"mendel/internal/measure/runner"
	"mendel/internal/measure/sandbox"

	"go.uber.org/goleak"
)

// runnerVerb makes the test binary a runner: runnerVerb BUNDLE LEVEL.
const runnerVerb = "test-runner"

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
