package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"mendel/internal/lineage"
)

func copyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "copy DIR FILE",
		Short: "Take a consistent copy of a run, also of a live one",
		Args:  exactly(2, "a run's directory and the file to write"),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := lineage.Copy(args[0], args[1]); err != nil {
				return err
			}
			r, err := lineage.OpenReader(args[1])
			if err != nil {
				return err
			}
			defer r.Close()
			head, err := r.Head()
			if err != nil {
				return err
			}
			fmt.Printf("%s: a copy of %s\nhead %s\n", args[1], args[0], head)
			return nil
		},
	}
}
