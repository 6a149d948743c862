// Command mendel improves a training recipe in a closed, measured loop. This package parses
// flags, wires the parts together and owns signals and exit codes; one file a verb. The loop
// itself begins at internal/loop.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"mendel/internal/agentbox"
	"mendel/internal/measure/sandbox"
	"mendel/internal/research"
	"mendel/internal/task"
	"mendel/internal/view/terminal"
)

// version is set by the linker; where it is not, the module knows its own.
var version string

func programVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}

// Exit codes, as `mendel help` documents them.
const (
	exitOK          = 0
	exitFailed      = 1   // the command did not do what was asked, or a check found a fault
	exitUsage       = 2   // flags or arguments that cannot be understood
	exitInterrupted = 130 // stopped before its budgets were used; the run can be resumed
)

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	// The helper that confines a recipe on hosts without bubblewrap replaces this process at
	// once: nothing else may run first.
	if len(args) > 0 && args[0] == sandbox.Verb {
		return exit(sandbox.Exec(args[1:]))
	}
	if len(args) > 0 && args[0] == agentbox.Verb {
		code, err := agentbox.Inside()
		return cmp.Or(code, exit(err))
	}
	root := rootCommand()
	root.SetArgs(args)
	return exit(root.ExecuteContext(context.Background()))
}

// exit prints an error for the person who typed the command, and chooses the exit code.
func exit(err error) int {
	var code exitCode
	if err == nil {
		return exitOK
	}
	if errors.As(err, &code) {
		return int(code)
	}
	style := terminal.StyleFor(os.Stderr)
	var problems task.Problems
	if errors.As(err, &problems) {
		for _, p := range problems {
			fmt.Fprintf(os.Stderr, "mendel: %s %s\n", style.Bad("error:"), p.Text())
		}
		return exitFailed
	}
	fmt.Fprintf(os.Stderr, "mendel: %s %s\n", style.Bad("error:"), err)
	if hint := research.Hint(err); hint != "" {
		fmt.Fprintf(os.Stderr, "mendel: %s %s\n", style.Strong("hint:"), hint)
	}
	var usage usageError
	if errors.As(err, &usage) || strings.HasPrefix(err.Error(), "unknown command") {
		return exitUsage
	}
	return exitFailed
}

// An exitCode ends the program with a code when everything has been said already.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

// A usageError is about the command line itself.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "mendel",
		Short: "Improve a training recipe in a closed, measured loop",
		Long: `Mendel lets a team of specialist agents improve a training recipe that you already have.
Each trial is a hypothesis, an edit, an outcome that only the evaluator may write, and
feedback for the next proposal. What remains is one file: an auditable lineage.

Verbs about a run take the newest in ./runs, or the one that --state names.

Exit codes: 0 done · 1 failed, or a check found a fault · 2 the command line cannot be
understood · 130 interrupted; the run can be resumed.`,
		Example: `  mendel run tasks/airbench-cpu --trials 24     improve a recipe, no key needed
  mendel status                                 where the newest run stands
  mendel show 007                               why a trial was kept or not
  mendel run --resume                           go on with the newest run`,
		Version:       programVersion(),
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return research.Hinted(usageError{err}, fmt.Sprintf("`%s --help` lists the flags", c.CommandPath()))
	})
	root.AddGroup(
		&cobra.Group{ID: "run", Title: "Run:"},
		&cobra.Group{ID: "look", Title: "Look:"},
		&cobra.Group{ID: "keep", Title: "Keep and check:"},
		&cobra.Group{ID: "task", Title: "Tasks and this machine:"},
	)
	add := func(group string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add("run", runCommand(), stopCommand(), sessionCommand(), mcpCommand(), studyCommand(), compareCommand())
	add("look", statusCommand(), showCommand(), diffCommand(), logCommand(), treeCommand(), analyzeCommand(), reportCommand(), promptCommand())
	add("keep", certifyCommand(), verifyCommand(), copyCommand(), exportCommand(), importCommand())
	add("task", taskCommand(), calibrateCommand(), doctorCommand(), versionCommand())
	root.AddCommand(runnerCommand())
	return root
}

// verbs makes a command that only holds others: a word that is none of them is an error.
func verbs(c *cobra.Command) *cobra.Command {
	c.Args = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		return research.Hinted(usageError{fmt.Errorf("unknown command %q for %q", args[0], c.CommandPath())}, fmt.Sprintf("`%s --help` lists them", c.CommandPath()))
	}
	c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
	return c
}

// exactly and atMost check the number of arguments, naming what is missing.
func exactly(n int, what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) != n {
			return research.Hinted(usageError{fmt.Errorf("%s takes %s", c.CommandPath(), what)}, c.UseLine())
		}
		return nil
	}
}

func between(least, most int, what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) < least || len(args) > most {
			return research.Hinted(usageError{fmt.Errorf("%s takes %s", c.CommandPath(), what)}, c.UseLine())
		}
		return nil
	}
}
