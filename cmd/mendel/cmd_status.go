package main

import (
	"encoding/json"
	"os"
	"time"

	"github.com/spf13/cobra"

	"mendel/internal/view/terminal"
)

func statusCommand() *cobra.Command {
	var state string
	var asJSON bool
	c := &cobra.Command{
		Use:   "status [DIR]",
		Short: "Where a run stands: best so far, budgets, agents, last verdicts",
		Args:  between(0, 1, "at most one directory"),
		RunE: func(c *cobra.Command, args []string) error {
			dir, r, err := openRun(append(args, state)...)
			if err != nil {
				return err
			}
			defer r.Close()
			o, err := overview(c.Context(), r, dir, 10)
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(o)
			}
			terminal.WriteStatus(os.Stdout, o, time.Now(), terminal.StyleFor(os.Stdout))
			return nil
		},
	}
	stateFlag(c, &state)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// writeJSON prints one indented JSON value.
func writeJSON(v any) error {
	e := json.NewEncoder(os.Stdout)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
