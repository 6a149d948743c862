package main

import (
	"os"

	"github.com/spf13/cobra"

	"mendel/internal/view/terminal"
)

func showCommand() *cobra.Command {
	var state string
	var asJSON bool
	c := &cobra.Command{
		Use:   "show TRIAL",
		Short: "One trial: why it was kept or not, its margins, measurement and proposal",
		Args:  exactly(1, "one trial id, such as 007"),
		RunE: func(c *cobra.Command, args []string) error {
			dir, r, err := openRun(state)
			if err != nil {
				return err
			}
			defer r.Close()
			t, err := trialOf(r, args[0])
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(t)
			}
			o, err := overview(c.Context(), r, dir, 0)
			if err != nil {
				return err
			}
			terminal.WriteTrial(os.Stdout, t, o, terminal.StyleFor(os.Stdout))
			return nil
		},
	}
	stateFlag(c, &state)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}
