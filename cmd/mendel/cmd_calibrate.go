package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"github.com/spf13/cobra"

	"mendel/internal/calibration"
	"mendel/internal/lineage"
	"mendel/internal/loop"
	"mendel/internal/research"
	"mendel/internal/view/terminal"
)

// calibrateFlags are the flags of `mendel calibrate` as they were typed.
type calibrateFlags struct {
	seeds       int
	again       bool
	parallel    int
	site        string
	recipe      string
	unsandboxed bool
	asJSON      bool
}

func calibrateCommand() *cobra.Command {
	var f calibrateFlags
	c := &cobra.Command{
		Use:   "calibrate TASK",
		Short: "Measure how much the baseline's score varies on this machine, for later runs",
		Long: `Measures the task's starting recipe several times, each with fresh seeds, exactly as a run would,
and records mean, standard deviation, drift and the noise floor: the difference that chance alone
puts between two measurements.

The record holds for this task, to the byte, on this machine: its processor, memory, GPUs, kernel,
interpreter, packages, sandbox and number of trials side by side. A run that meets all of them uses
it and measures its baseline once; any other measures the noise itself. docs/calibration.md says
where records are and what is in them.

Ctrl-C keeps what was measured; the same command goes on with it.`,
		Example: `  mendel calibrate tasks/airbench-cpu --seeds 10
  mendel calibrate tasks/golf-cpu --parallel 2 --json`,
		Args: exactly(1, "one task"),
		RunE: func(c *cobra.Command, args []string) error { return calibrate(c, f, args[0]) },
	}
	flags := c.Flags()
	flags.SortFlags = false
	flags.IntVar(&f.seeds, "seeds", 10, "measurements to make, each with fresh seeds")
	flags.BoolVar(&f.again, "again", false, "measure anew, also where a record holds")
	flags.IntVar(&f.parallel, "parallel", 0, "trials at a time, as the runs will have it (default: as many as the task's resources fit)")
	flags.StringVar(&f.site, "site", "", "what differs on this machine (default: <task>.site.yaml beside the task, or the user's)")
	bindRecipe(c, &f.recipe)
	flags.BoolVar(&f.unsandboxed, "allow-unsandboxed", false, "measure below the sandbox level that the task asks for")
	flags.BoolVar(&f.asJSON, "json", false, "print the record as JSON, and progress on standard error")
	return c
}

func calibrate(c *cobra.Command, f calibrateFlags, name string) error {
	if f.seeds < 2 {
		return research.Hinted(usageError{fmt.Errorf("--seeds %d: one measurement has no spread", f.seeds)}, "--seeds 10")
	}
	t, err := openTask(c.Context(), name, f.recipe, f.site)
	if err != nil {
		return err
	}
	bench, err := prepare(c.Context(), t, f.site, f.parallel, f.unsandboxed)
	if err != nil {
		return err
	}
	// A run's own measurements must not repeat these: the seed is of no run.
	reg, blobs, err := registration(t, bench, runFlags{seed: rand.Int64(), parallel: f.parallel, unsandboxed: f.unsandboxed},
		runConfig{arm: research.Arm{Agents: research.Specialists, Lineage: true}})
	if err != nil {
		return err
	}
	reg.Replicates = f.seeds
	root, err := calibrationsDir()
	if err != nil {
		return err
	}
	progress := os.Stdout
	if f.asJSON {
		progress = os.Stderr
	}
	if found, _ := calibration.Find(root, subjectOf(reg)); found != nil && found.Noise.N >= f.seeds && !f.again {
		fmt.Fprintf(progress, "%s is calibrated on this machine; --again measures anew\n", t.Name)
		return showCalibration(*found, f.asJSON)
	}
	dir, store, release, err := openCalibration(root, t, reg, blobs)
	if err != nil {
		return err
	}
	defer release()
	goOn := "the same command goes on: " + f.typed(name)
	r, err := measureBaseline(c.Context(), progress, dir, store, t, bench)
	if err != nil {
		return errors.Join(research.Hinted(err, hintOr(err, "what was measured is safe; "+goOn)), store.Close())
	}
	if r == nil {
		attempts, err := store.Attempts(research.Baseline)
		fmt.Fprintf(os.Stderr, "mendel: %d of %d measurements are made and kept; %s\n", lineage.Measured(attempts), f.seeds, goOn)
		return errors.Join(err, store.Close(), exitCode(exitInterrupted))
	}
	if err := errors.Join(r.Write(dir), store.Close()); err != nil {
		return err
	}
	r.Dir = dir
	return showCalibration(*r, f.asJSON)
}

// typed is the command line that goes on with a calibration.
func (f calibrateFlags) typed(name string) string {
	line := fmt.Sprintf("%s calibrate %s --seeds %d", me(), name, f.seeds)
	if f.parallel > 0 {
		line += fmt.Sprintf(" --parallel %d", f.parallel)
	}
	if f.site != "" {
		line += " --site " + f.site
	}
	if f.recipe != "" {
		line += " --recipe " + f.recipe
	}
	if f.unsandboxed {
		line += " --allow-unsandboxed"
	}
	return line
}

// openCalibration goes on with a calibration that was not finished, or registers a new one.
func openCalibration(root string, t *taskPackage, reg research.Registration, blobs []lineage.Blob) (dir string, store *lineage.Store, release func(), err error) {
	dir, resumed := unfinished(root, reg)
	if !resumed {
		if dir, err = newRunDir(root, t.Name, time.Now()); err != nil {
			return "", nil, nil, research.Hinted(err, "set XDG_STATE_HOME to a directory that you may write")
		}
	}
	lock, err := lineage.Lock(dir)
	if err != nil && !resumed {
		err = research.Hinted(err, "calibrations are kept in "+root+"; set XDG_STATE_HOME to keep them on another disk")
	}
	if err != nil {
		return "", nil, nil, err
	}
	if resumed {
		store, err = lineage.Open(dir)
	} else {
		store, err = lineage.Create(dir, reg, blobs...)
	}
	if err != nil {
		lock.Release()
		return "", nil, nil, err
	}
	return dir, store, func() { lock.Release() }, nil
}

// measureBaseline runs a loop that has nobody to propose anything. It returns no record when it was
// asked to end before.
func measureBaseline(ctx context.Context, w *os.File, dir string, store *lineage.Store, t *taskPackage, bench *workbench) (*calibration.Record, error) {
	reg, err := store.Registration()
	if err != nil {
		return nil, err
	}
	started, err := store.Head()
	if err != nil {
		return nil, err
	}
	resumed := started.Seq > 1
	hired, err := hiring{task: t, bench: bench, baseline: reg.BaselineTree}.hire()
	if err != nil {
		return nil, err
	}
	defer hired.Close()
	s := terminal.StyleFor(w)
	p, err := perform(ctx, dir, store, t, bench, hired, resumed, false,
		func(_ *loop.Loop, after int64, _ func(), done <-chan struct{}) error {
			fmt.Fprintf(w, "calibrating %s: the starting recipe, measured %d times, in %s\n", s.Strong(t.Title), reg.Replicates, dir)
			fmt.Fprintf(w, "  sandbox %s; %s\n", terminal.SandboxText(bench.note), bench.environment)
			return terminal.Follow(ctx, store.Reader, w, after, done, s)
		})
	if err != nil || p.asked {
		return nil, err
	}
	if p.watched != nil {
		return nil, p.watched
	}
	return recordOf(store.Reader, reg)
}

func showCalibration(r calibration.Record, asJSON bool) error {
	if asJSON {
		return writeJSON(r)
	}
	terminal.WriteCalibration(os.Stdout, r, terminal.StyleFor(os.Stdout))
	return nil
}
