package main

import (
	"context"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"mendel/internal/measure/runner"
)

// runnerCommand performs one attempt. Executors start it; nobody types it.
func runnerCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "runner BUNDLE",
		Short:  "Measure the attempt in a bundle",
		Hidden: true,
		Args:   exactly(1, "one bundle"),
		RunE: func(c *cobra.Command, args []string) error {
			ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
			defer stop()
			return runner.Run(ctx, args[0], runner.Options{})
		},
	}
}
