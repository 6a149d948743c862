package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"mendel/internal/control"
	"mendel/internal/lineage"
	"mendel/internal/research"
	"mendel/internal/view/terminal"
)

// runsDir is where runs go when no --state is given.
const runsDir = "runs"

// newRunDir makes a run's directory: <base>/<task>-<date>-<n>.
func newRunDir(base, taskName string, now time.Time) (string, error) {
	if err := os.MkdirAll(base, 0o755); err != nil {
		return "", research.Hinted(fmt.Errorf("make the run's directory: %w", err), "choose a directory that you may write with --state")
	}
	for n := 1; ; n++ {
		dir := filepath.Join(base, fmt.Sprintf("%s-%s-%d", taskName, now.Format(time.DateOnly), n))
		err := os.Mkdir(dir, 0o755) // fails where another run was quicker
		if err == nil || !errors.Is(err, os.ErrExist) {
			return dir, err
		}
	}
}

// newestRun finds the run in runs/ that was written to last.
func newestRun() (string, error) {
	files, err := filepath.Glob(filepath.Join(runsDir, "*", lineage.FileName))
	if err != nil {
		return "", err
	}
	var newest string
	var at time.Time
	for _, f := range files {
		for _, name := range []string{f, f + "-wal"} {
			if info, err := os.Stat(name); err == nil && info.ModTime().After(at) {
				newest, at = filepath.Dir(f), info.ModTime()
			}
		}
	}
	if newest == "" {
		return "", research.Hinted(errors.New("there is no run in ./runs"), "name the run's directory, or start one: mendel run TASK")
	}
	return newest, nil
}

// stateFlag adds the flag with which most verbs choose a run.
func stateFlag(c *cobra.Command, into *string) {
	c.Flags().StringVar(into, "state", "", "the run's directory (default: the newest in ./runs)")
	c.MarkFlagDirname("state")
}

// chosenRun is the run that the user named, or the newest. Verbs that take a directory take
// --state as well; naming two different runs is a mistake.
func chosenRun(named ...string) (string, error) {
	var chosen string
	for _, n := range named {
		if chosen != "" && n != "" && filepath.Clean(n) != filepath.Clean(chosen) {
			return "", usageError{fmt.Errorf("which run is meant, %s or --state %s?", chosen, n)}
		}
		chosen = cmp.Or(chosen, n)
	}
	if chosen == "" {
		return newestRun()
	}
	return chosen, nil
}

// openRun opens a run for reading.
func openRun(named ...string) (string, *lineage.Reader, error) {
	dir, err := chosenRun(named...)
	if err != nil {
		return "", nil, err
	}
	r, err := lineage.OpenReader(dir)
	return dir, r, err
}

// overview reads what there is to know of a run, asking its supervisor where one is running.
func overview(ctx context.Context, r *lineage.Reader, dir string, recent int) (terminal.Overview, error) {
	var live *control.Live
	if c, err := control.Dial(ctx, dir); err == nil {
		defer c.Close()
		if l, err := c.Live(ctx); err == nil {
			live = &l
		}
	}
	return terminal.Collect(r, dir, live, recent)
}

// trialOf reads one trial by the id that a person typed.
func trialOf(r *lineage.Reader, typed string) (research.Trial, error) {
	id, err := research.ParseTrialID(typed)
	if err != nil {
		return research.Trial{}, usageError{err}
	}
	t, err := r.Trial(id)
	if err != nil {
		n, countErr := r.NextTrial()
		if countErr == nil && int(id) >= int(n) {
			return t, research.Hinted(fmt.Errorf("there is no trial %s in this run", id), fmt.Sprintf("the newest is %s", n-1))
		}
	}
	return t, err
}
