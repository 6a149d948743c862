package agentbox_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"mendel/internal/agentbox"
	"mendel/internal/measure/sandbox"
	"mendel/internal/propose/mcp"
	"mendel/internal/propose/outlet"
)

// The test binary stands in for mendel and for the agents that it starts.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		verbs := map[string]func([]string) (int, error){
			sandbox.Verb:  func(args []string) (int, error) { return 0, sandbox.Exec(args) },
			agentbox.Verb: func([]string) (int, error) { return agentbox.Inside() },
			"mcp":         serveMCP,
			"agent":       beAgent,
		}
		if run, ok := verbs[os.Args[1]]; ok {
			code, err := run(os.Args[2:])
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				code = max(code, 1)
			}
			os.Exit(code)
		}
	}
	goleak.VerifyTestMain(m)
}

func serveMCP(args []string) (int, error) {
	ctx := context.Background()
	client, err := outlet.Dial(ctx, args[1]) // after --socket
	if err != nil {
		return 1, err
	}
	return 0, mcp.Serve(ctx, client, os.Stdin, os.Stdout, mcp.Options{})
}
