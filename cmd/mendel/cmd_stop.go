package main

import (
	"errors"
	"fmt"
	"os/user"

	"github.com/spf13/cobra"

	"mendel/internal/control"
	"mendel/internal/research"
)

func stopCommand() *cobra.Command {
	var state string
	c := &cobra.Command{
		Use:   "stop [DIR]",
		Short: "Ask a live run for no new work; running trials finish",
		Args:  between(0, 1, "at most one directory"),
		RunE: func(c *cobra.Command, args []string) error {
			dir, err := chosenRun(append(args, state)...)
			if err != nil {
				return err
			}
			client, err := control.Dial(c.Context(), dir)
			if errors.Is(err, control.ErrNobody) {
				return research.Hinted(fmt.Errorf("%s: %w", dir, err), "`mendel status` shows where it stands; `mendel run --resume` goes on with it")
			}
			if err != nil {
				return err
			}
			defer client.Close()
			by := "mendel stop"
			if u, err := user.Current(); err == nil {
				by += ", " + u.Username
			}
			if err := client.Stop(c.Context(), by); err != nil {
				return err
			}
			fmt.Printf("%s: no new work; running trials finish\n", dir)
			return nil
		},
	}
	stateFlag(c, &state)
	return c
}
