package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"mendel/internal/lineage"
	"mendel/internal/research"
	"mendel/internal/view/terminal"
)

func logCommand() *cobra.Command {
	var state, phase string
	c := &cobra.Command{
		Use:   "log TRIAL",
		Short: "What a trial's phases printed",
		Args:  exactly(1, "one trial id"),
		RunE: func(_ *cobra.Command, args []string) error {
			dir, r, err := openRun(state)
			if err != nil {
				return err
			}
			defer r.Close()
			t, err := trialOf(r, args[0])
			if err != nil {
				return err
			}
			if t.Proposal.Tree == "" {
				return research.Hinted(fmt.Errorf("trial %s was imported: its record has no output of its phases", t.ID), fmt.Sprintf("`mendel show %s` has what it says", t.ID))
			}
			measurements, err := r.Measurements(t.ID)
			if err != nil {
				return err
			}
			if len(measurements) == 0 {
				return lostLogs(dir, r, t)
			}
			if phase != "" && !slices.ContainsFunc(measurements[0].Phases, func(p research.PhaseRun) bool { return p.Phase == phase }) {
				return usageError{fmt.Errorf("trial %s has no phase %q", t.ID, phase)}
			}
			s := terminal.StyleFor(os.Stdout)
			for i, m := range measurements {
				for _, p := range m.Phases {
					if phase != "" && p.Phase != phase {
						continue
					}
					title := "== " + p.Phase
					if p.Seed >= 0 {
						title += fmt.Sprintf(", seed %d", p.Seed)
					}
					if len(measurements) > 1 {
						title += fmt.Sprintf(", measurement %d", i+1)
					}
					if p.OperatorOnly {
						title += " (saw the questions: never shown to specialists)"
					}
					fmt.Println(s.Strong(title), s.Faint(fmt.Sprintf("%s, %.2f s, %d bytes", p.Ended, p.Wall, p.LogBytes)))
					if p.Log == "" {
						continue
					}
					text, err := r.Blob(p.Log)
					if err != nil {
						return err
					}
					if terminal.IsTerminal(os.Stdout) {
						text = []byte(terminal.Printable(string(text)))
					}
					os.Stdout.Write(text)
					if n := len(text); n > 0 && text[n-1] != '\n' {
						fmt.Println()
					}
				}
			}
			return nil
		},
	}
	stateFlag(c, &state)
	c.Flags().StringVar(&phase, "phase", "", "only this phase")
	return c
}

// lostLogs prints what the attempts at a trial left on the disk when none of them gave a result.
func lostLogs(dir string, r *lineage.Reader, t research.Trial) error {
	attempts, err := r.Attempts(t.ID)
	if err != nil {
		return err
	}
	s := terminal.StyleFor(os.Stdout)
	found := false
	for _, a := range attempts {
		if a.State != lineage.AttemptLost {
			continue
		}
		found = true
		fmt.Println(s.Strong(fmt.Sprintf("== attempt %d, measurement %d: lost", a.Number, a.Replicate+1)), a.Reason)
		files, err := filepath.Glob(filepath.Join(dir, a.Bundle, "logs", "*"))
		if err != nil {
			return err
		}
		for _, file := range append(files, filepath.Join(dir, a.Bundle, "runner.log")) {
			text, err := os.ReadFile(file)
			if err != nil || len(text) == 0 {
				continue
			}
			fmt.Printf("-- %s\n%s\n", filepath.Base(file), terminal.Printable(string(bytes.TrimRight(text, "\n"))))
		}
	}
	if !found {
		return fmt.Errorf("trial %s has not been measured yet", t.ID)
	}
	return nil
}
