package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"mendel/internal/lineage"
	"mendel/internal/measure/bundle"
	"mendel/internal/measure/runner"
	"mendel/internal/research"
	"mendel/internal/task"
	"mendel/internal/view/terminal"
)

func taskCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "task",
		Short: "Check a task package, or make a new one",
	}
	c.AddCommand(taskCheckCommand(), taskNewCommand(), taskSchemaCommand())
	return verbs(c)
}

func taskCheckCommand() *cobra.Command {
	var asJSON, noRun bool
	var site, recipe string
	c := &cobra.Command{
		Use:   "check DIR",
		Short: "Validate a task, look for leaks of held-out data, and run it once on its own recipe",
		Long: `Validates a task, looks for copies of held-out data where a recipe could see them, and runs the
checks and the baseline once, in the sandbox.

Where the recipe is someone else's, --recipe names a checkout of it: its commit and sums must be
the ones that the task pins. Without it, whatever needs no recipe is checked, and the report says what was not.`,
		Args: exactly(1, "one task directory"),
		RunE: func(c *cobra.Command, args []string) error {
			var dry task.Dryrun
			if !noRun {
				dry = dryrun(site)
			}
			fetch := func(ctx context.Context, t *taskPackage) (*taskPackage, error) {
				return withRecipe(ctx, t, recipe, site)
			}
			report := task.Inspect(c.Context(), args[0], fetch, dry)
			if asJSON {
				if err := writeJSON(report); err != nil {
					return err
				}
			} else if err := report.WriteText(os.Stdout, terminal.StyleFor(os.Stdout).Colour); err != nil {
				return err
			}
			if !report.OK {
				return exitCode(exitFailed)
			}
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.Flags().BoolVar(&noRun, "no-run", false, "only read: do not run the checks and the baseline")
	c.Flags().StringVar(&site, "site", "", "what differs on this machine")
	bindRecipe(c, &recipe)
	return c
}

// bindRecipe adds --recipe to whatever loads a task with its recipe.
func bindRecipe(c *cobra.Command, recipe *string) {
	c.Flags().StringVar(recipe, "recipe", "", "checkout of the task's upstream, where the recipe is someone else's\n(default: the site file's upstreams)")
	c.MarkFlagDirname("recipe")
}

// dryrun tries a task's checks and its baseline in the sandbox, as a run would.
func dryrun(site string) task.Dryrun {
	var bench *workbench
	ready := func(ctx context.Context, t *taskPackage) (*workbench, error) {
		var err error
		if bench == nil {
			bench, err = prepare(ctx, t, site, 1, true)
		}
		return bench, err
	}
	return task.Dryrun{
		Check: func(ctx context.Context, t *taskPackage, c task.Check) (task.CheckRun, error) {
			b, err := ready(ctx, t)
			if err != nil {
				return task.CheckRun{}, err
			}
			tree, err := os.MkdirTemp("", "mendel-check-")
			if err != nil {
				return task.CheckRun{}, err
			}
			defer os.RemoveAll(tree)
			if err := writeRecipe(t, tree); err != nil {
				return task.CheckRun{}, err
			}
			r, err := runner.Check(ctx, b.host, b.spec(t), c.Name, tree, t.Evaluator.Dir)
			return task.CheckRun{OK: r.OK, Output: r.Output, CPU: research.SecondsOf(r.CPU)}, err
		},
		Baseline: func(ctx context.Context, t *taskPackage) (research.Measurement, error) {
			b, err := ready(ctx, t)
			if err != nil {
				return research.Measurement{}, err
			}
			return measureOnce(ctx, t, b)
		},
	}
}

// writeRecipe writes a task's starting recipe into a directory.
func writeRecipe(t *taskPackage, dir string) error {
	files, err := t.RecipeFiles()
	if err != nil {
		return err
	}
	if err := os.Chmod(dir, 0o755); err != nil { // sandboxes run as another user
		return err
	}
	for _, f := range files {
		at := filepath.Join(dir, filepath.FromSlash(f.Path))
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(at, f.Data, f.Mode.Perm()); err != nil {
			return err
		}
	}
	return nil
}

// measureOnce measures a task's starting recipe outside any run.
func measureOnce(ctx context.Context, t *taskPackage, b *workbench) (m research.Measurement, err error) {
	files, err := t.RecipeFiles()
	if err != nil {
		return m, err
	}
	tree := make([]bundle.File, len(files))
	frozen := make([]lineage.File, len(files))
	for i, f := range files {
		mode := uint32(f.Mode.Perm())
		tree[i] = bundle.File{Path: f.Path, Mode: mode, Data: f.Data}
		frozen[i] = lineage.File{Path: f.Path, Mode: mode, Data: f.Data}
	}
	root, _, err := lineage.NewTree(frozen)
	if err != nil {
		return m, err
	}
	scratch, err := os.MkdirTemp("", "mendel-check-")
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, bundle.Remove(scratch)) }()
	spec := b.spec(t)
	spec.Run, spec.TreeHash, spec.AllowUnsandboxed = "check", root.Hash, true
	spec.Attempt = research.Attempt{Number: 1, Token: newToken(), Seeds: research.SeedsFor(0, research.Baseline, 0, t.Seeds)}
	made, err := bundle.Create(filepath.Join(scratch, "bundle"), spec, tree, t.Evaluator.Dir)
	if err != nil {
		return m, err
	}
	if err := runner.Run(ctx, made.Dir, runner.Options{Host: b.host}); err != nil {
		return m, err
	}
	result, err := made.Result()
	return result.Measurement, err
}

func taskNewCommand() *cobra.Command {
	var o task.Options
	var direction string
	var budget time.Duration
	c := &cobra.Command{
		Use:   "new NAME",
		Short: "Make a task that runs at once, or one from your own repository",
		Long: `Without --from, writes a small complete task into the directory NAME, to change into your own.

With --from, makes a task of a git repository: the files that git tracks become the recipe, the
globs of --editable what specialists may change, --run the command that trains, and --score-log
finds the score in what it prints. Such a score is self-reported, and every page says so. What
is special to this machine, such as the virtual environment, goes into NAME.site.yaml.`,
		Example: `  mendel task new my-task && mendel run my-task --trials 10
  mendel task new nano --from ~/src/nano --editable 'train.py' --editable 'model/*.py' \
      --run 'python train.py --steps 200' --score-log 'val_loss: ([0-9.]+)'`,
		Args: exactly(1, "the new task's name"),
		RunE: func(c *cobra.Command, args []string) error {
			var made task.Created
			var err error
			if o.Repo == "" {
				for _, flag := range []string{"editable", "run", "score-log", "direction", "python", "budget"} {
					if c.Flags().Changed(flag) {
						return usageError{fmt.Errorf("--%s goes with --from", flag)}
					}
				}
				made, err = task.New(args[0])
			} else {
				o.Dir, o.Direction, o.Budget, o.Getenv = args[0], research.Direction(direction), budget, os.Getenv
				made, err = task.NewFrom(c.Context(), o)
			}
			if err != nil {
				return err
			}
			fmt.Printf("wrote %s\n", made.Dir)
			if made.Site != "" {
				fmt.Printf("wrote %s\n", made.Site)
			}
			for _, note := range made.Notes {
				fmt.Printf("  %s\n", note)
			}
			fmt.Printf("next\n  mendel task check %s\n  mendel run %s --trials 10\n", made.Dir, made.Dir)
			return nil
		},
	}
	flags := c.Flags()
	flags.StringVar(&o.Repo, "from", "", "a git repository, or a directory in one")
	flags.StringArrayVar(&o.Editable, "editable", nil, "glob of files that specialists may change (repeatable)")
	flags.StringVar(&o.Run, "run", "", "command line that trains and prints the score")
	flags.StringVar(&o.ScoreLog, "score-log", "", "regular expression with one group: the score")
	flags.StringVar(&direction, "direction", "", "minimize or maximize the score (default: minimize)")
	flags.StringVar(&o.Unit, "unit", "", "unit of the score")
	flags.StringVar(&o.Python, "python", "", "interpreter or virtual environment (default: found)")
	flags.DurationVar(&budget, "budget", 0, "longest training that a trial may do (default: 1h)")
	flags.IntVar(&o.GPUs, "gpus", 0, "GPUs of one trial")
	return c
}

func taskSchemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of task.yaml, for editors",
		Args:  exactly(0, "no arguments"),
		RunE: func(*cobra.Command, []string) error {
			text, err := task.Schema()
			if err != nil {
				return err
			}
			_, err = os.Stdout.Write(text)
			return err
		},
	}
}
