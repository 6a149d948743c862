package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"mendel/internal/loop"
	"mendel/internal/propose/prompt"
	"mendel/internal/research"
	"mendel/internal/view/terminal"
)

func promptCommand() *cobra.Command {
	var state string
	var sizes bool
	c := &cobra.Command{
		Use:   "prompt ROLE",
		Short: "Exactly what a session of this role would be told now",
		Long: `Prints the prompt that a session of this role would be given if it began now, whoever plays it.
It is a view of the record: nothing is opened, asked or spent.`,
		Example: `  mendel prompt arch
  mendel prompt arch --sizes    how many bytes each section has, and may have`,
		Args: exactly(1, "one role or agent"),
		RunE: func(_ *cobra.Command, args []string) error {
			_, r, err := openRun(state)
			if err != nil {
				return err
			}
			defer r.Close()
			reg, err := r.Registration()
			if err != nil {
				return err
			}
			if err := reg.Remeasurable(); err != nil {
				return err
			}
			i := slices.IndexFunc(reg.Agents, func(a research.Agent) bool { return a.Name == args[0] || a.Role == args[0] })
			if i < 0 {
				names := make([]string, len(reg.Agents))
				for i, a := range reg.Agents {
					names[i] = a.Name
				}
				return research.Hinted(fmt.Errorf("no agent %q in this run", args[0]), "its agents: "+strings.Join(names, ", "))
			}
			t, err := registeredTask(reg)
			if err != nil {
				return err
			}
			budgets, err := r.Budgets()
			if err != nil {
				return err
			}
			next, err := r.NextSession()
			if err != nil {
				return err
			}
			brief, err := loop.Brief(r, t, reg.Agents[i], next, budgets)
			if err != nil {
				return err
			}
			p := prompt.Render(brief)
			if !sizes {
				fmt.Print(p.String())
				return nil
			}
			s := terminal.StyleFor(os.Stdout)
			total := 0
			for _, section := range slices.Concat(p.System, p.User) {
				note := ""
				if section.Shared {
					note = "the same for every role of the run"
				}
				fmt.Printf("%7d of %6d bytes  %-16s %s\n", len(section.Text), section.Budget, section.Name, s.Faint(note))
				total += len(section.Text)
			}
			fmt.Printf("%7d bytes in all\n", total)
			return nil
		},
	}
	stateFlag(c, &state)
	c.Flags().BoolVar(&sizes, "sizes", false, "only the size and the budget of each section")
	return c
}
