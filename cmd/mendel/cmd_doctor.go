package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"mendel/internal/measure/sandbox"
	"mendel/internal/research"
	"mendel/internal/view/terminal"
)

func doctorCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "doctor",
		Short: "What this machine offers for isolation and limits, and how to get more",
		Args:  exactly(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			h := sandbox.Probe(c.Context())
			if asJSON {
				return writeJSON(struct {
					research.SandboxNote
					Findings []sandbox.Finding `json:"findings"`
				}{sandboxNote(h), h.Findings})
			}
			s := terminal.StyleFor(os.Stdout)
			fmt.Printf("sandbox level  %s\n", s.Strong(string(h.Level)))
			n := sandboxNote(h)
			fmt.Printf("limits held by memory: %s, processes: %s, disk: %s\n\n", n.Memory, n.Processes, n.Disk)
			for _, f := range h.Findings {
				mark := s.Good("✓")
				if !f.OK {
					mark = s.Bad("✗")
				}
				fmt.Printf("%s %-24s %s\n", mark, f.What, f.Have)
				if f.Hint != "" {
					fmt.Printf("  %-24s %s\n", "", s.Faint(f.Hint))
				}
			}
			if h.Level != sandbox.Isolated {
				fmt.Printf("\nRecipes are not kept fully apart here. docs/threat-table.md says what each level stops.\n")
			}
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}
