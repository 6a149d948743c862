package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"mendel/internal/lineage"
)

func copyCommand() *cobra.Command {
	var state string
	c := &cobra.Command{
		Use:   "copy [DIR] FILE",
		Short: "Take a consistent copy of a run, also of a live one",
		Args:  between(1, 2, "a run's directory, unless it is the newest, and the file to write"),
		RunE: func(_ *cobra.Command, args []string) error {
			file := args[len(args)-1]
			dir, err := chosenRun(append(args[:len(args)-1:len(args)-1], state)...)
			if err != nil {
				return err
			}
			if err := lineage.Copy(dir, file); err != nil {
				return err
			}
			r, err := lineage.OpenReader(file)
			if err != nil {
				return err
			}
			defer r.Close()
			head, err := r.Head()
			if err != nil {
				return err
			}
			fmt.Printf("%s: a copy of %s\nhead %s\n", file, dir, head)
			return nil
		},
	}
	stateFlag(c, &state)
	return c
}
