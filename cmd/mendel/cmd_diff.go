package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"mendel/internal/research"
	"mendel/internal/view/terminal"
	"mendel/internal/view/treediff"
)

func diffCommand() *cobra.Command {
	var state string
	c := &cobra.Command{
		Use:   "diff A [B]",
		Short: "What trial A changed against its parent, or what B has that A has not",
		Args:  between(1, 2, "one or two trial ids"),
		RunE: func(_ *cobra.Command, args []string) error {
			_, r, err := openRun(state)
			if err != nil {
				return err
			}
			defer r.Close()
			a, err := trialOf(r, args[0])
			if err != nil {
				return err
			}
			var from, to research.Trial
			if len(args) == 2 {
				if to, err = trialOf(r, args[1]); err != nil {
					return err
				}
				from = a
			} else {
				if from, err = r.Trial(a.Proposal.Parent); err != nil {
					return err
				}
				to = a
			}
			text, err := treediff.Between(r, from, to)
			if err != nil {
				return err
			}
			if text == "" {
				fmt.Fprintf(os.Stderr, "mendel: %s and %s have the same files\n", from.ID, to.ID)
				return nil
			}
			fmt.Print(coloured(text, terminal.StyleFor(os.Stdout)))
			return nil
		},
	}
	stateFlag(c, &state)
	return c
}

func coloured(diff string, s terminal.Style) string {
	if !s.Colour {
		return diff
	}
	lines := strings.SplitAfter(diff, "\n")
	for i, line := range lines {
		body := strings.TrimSuffix(line, "\n")
		switch {
		case strings.HasPrefix(line, "+++"), strings.HasPrefix(line, "---"):
			lines[i] = s.Strong(body) + "\n"
		case strings.HasPrefix(line, "+"):
			lines[i] = s.Good(body) + "\n"
		case strings.HasPrefix(line, "-"):
			lines[i] = s.Bad(body) + "\n"
		}
	}
	return strings.Join(lines, "")
}
