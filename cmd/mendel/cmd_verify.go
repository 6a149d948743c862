package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"mendel/internal/lineage"
	"mendel/internal/research"
	"mendel/internal/view/terminal"
)

func verifyCommand() *cobra.Command {
	var opts lineage.Options
	var head, state string
	var asJSON bool
	c := &cobra.Command{
		Use:   "verify [DIR | CERTIFICATE]",
		Short: "Recompute the chain, the tables and every verdict of a run, or a certificate",
		Long: `Recomputes a run's hash chain, its stored contents, the tables projected from its events and
every verdict, and names what does not fit. With --head, the head that the end of the run
printed, a file that was cut short or rewritten as a whole shows too. The scores and verdicts of
an imported run are its record's: of those, only the differences are recomputed.

A certificate's file is checked without its run: its sum, the chain of events in it, every verdict,
both trees, and the decision, which is made again. Exit code 0 says that everything agrees,
whatever was decided.`,
		Args: between(0, 1, "at most one directory, run file or certificate"),
		RunE: func(_ *cobra.Command, args []string) error {
			path, err := chosenRun(append(args, state)...)
			if err != nil {
				return err
			}
			if head != "" {
				if opts.Head, err = lineage.ParseHead(head); err != nil {
					return usageError{err}
				}
			}
			if lineage.IsBundle(path) {
				return verifyBundle(path, opts, asJSON)
			}
			report, err := lineage.Verify(path, opts)
			if err != nil {
				return err
			}
			if asJSON {
				if err := writeJSON(report); err != nil {
					return err
				}
			} else {
				writeReport(report)
			}
			if len(report.Findings) > 0 {
				return exitCode(exitFailed)
			}
			return nil
		},
	}
	stateFlag(c, &state)
	c.Flags().StringVar(&head, "head", "", "the head that the run must have")
	c.Flags().Int64Var(&opts.UpTo, "upto", 0, "check only events up to this number")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// verifyBundle checks a certificate, and shows it when everything agrees.
func verifyBundle(path string, opts lineage.Options, asJSON bool) error {
	b, report, err := lineage.VerifyBundle(path, opts)
	if err != nil {
		return err
	}
	agrees := len(report.Findings) == 0
	switch {
	case asJSON:
		err = writeJSON(struct {
			lineage.Bundle
			Agrees   bool              `json:"agrees"`
			Findings []lineage.Finding `json:"findings,omitempty"`
		}{b, agrees, report.Findings})
	case agrees:
		s := terminal.StyleFor(os.Stdout)
		writeCertificate(b.Certificate, s)
		fmt.Printf("%s: %d events and both trees are intact, and the decision follows from them\nrun %s of %s, head %s\n",
			s.Good("agrees"), report.Events, b.Run, b.Task.Name, b.Head)
	default:
		writeReport(report)
	}
	if err == nil && !agrees {
		err = exitCode(exitFailed)
	}
	return err
}

func writeReport(report lineage.Report) {
	if len(report.Findings) == 0 {
		s := terminal.StyleFor(os.Stdout)
		verdicts := "every verdict recomputed"
		if report.Imported > 0 {
			verdicts = "imported: scores and verdicts stand as the record has them, the differences recomputed"
		}
		fmt.Printf("%s: %s: %d events, %d trials, %d stored contents, %s\nhead %s\n",
			report.Path, s.Good("intact"), report.Events, report.Trials, report.Blobs, verdicts, report.Head)
		return
	}
	s := terminal.StyleFor(os.Stderr)
	const shown = 10
	for i, f := range report.Findings {
		if i == shown {
			fmt.Fprintf(os.Stderr, "mendel: … and %d more\n", len(report.Findings)+report.Omitted-shown)
			break
		}
		fmt.Fprintf(os.Stderr, "mendel: %s %s: %s\n", s.Bad("error:"), report.Path, f)
	}
	if hint := research.Hint(report.Err()); hint != "" {
		fmt.Fprintf(os.Stderr, "mendel: %s %s\n", s.Strong("hint:"), hint)
	}
}
