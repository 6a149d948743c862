package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"mendel/internal/calibration"
	"mendel/internal/lineage"
	"mendel/internal/research"
	"mendel/internal/view/terminal"
)

// calibrationsDir is where calibrations are kept: in $XDG_STATE_HOME, or ~/.local/state.
func calibrationsDir() (string, error) {
	base := os.Getenv("XDG_STATE_HOME")
	if base == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", research.Hinted(fmt.Errorf("no directory for calibrations: %w", err), "set HOME or XDG_STATE_HOME")
		}
		base = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(base, "mendel", "calibrations"), nil
}

func subjectOf(reg research.Registration) calibration.Subject {
	return calibration.Subject{Task: reg.Task, Recipe: reg.BaselineTree, Machine: *reg.Machine}
}

// storedCalibration finds the calibration that holds for a run, and says why the one that might be
// expected does not.
func storedCalibration(reg research.Registration) *research.Calibration {
	root, err := calibrationsDir()
	if err != nil {
		return nil // there can be none
	}
	found, misfit := calibration.Find(root, subjectOf(reg))
	if misfit != "" {
		fmt.Fprintln(os.Stderr, "mendel: "+misfit)
	}
	if found == nil {
		return nil
	}
	return &found.Calibration
}

// noiseSource says where a new run's noise will come from.
func noiseSource(reg research.Registration) string {
	c := reg.Calibration
	switch {
	case c != nil:
		return fmt.Sprintf("calibrated on this machine on %s: noise %s; the baseline is measured once", c.At.Format(time.DateOnly), terminal.NoiseText(c.Noise, reg.Score.Unit))
	case reg.Replicates > 1:
		return fmt.Sprintf("not calibrated on this machine: the baseline is measured %d times first (`mendel calibrate` makes a record that lasts)", reg.Replicates)
	}
	return "the baseline is measured once"
}

// unfinished finds a calibration like the registered one that was broken off.
func unfinished(root string, reg research.Registration) (dir string, found bool) {
	files, err := filepath.Glob(filepath.Join(root, "*", lineage.FileName))
	if err != nil {
		return "", false
	}
	for _, f := range files {
		dir := filepath.Dir(f)
		if _, err := os.Stat(filepath.Join(dir, calibration.FileName)); errors.Is(err, fs.ErrNotExist) && brokenOff(dir, reg) {
			return dir, true
		}
	}
	return "", false
}

// brokenOff says whether a run of calibration is of the same subject and may still go well.
func brokenOff(dir string, reg research.Registration) bool {
	r, err := lineage.OpenReader(dir)
	if err != nil {
		return false
	}
	defer r.Close()
	was, err := r.Registration()
	if err != nil || was.Machine == nil || was.Replicates != reg.Replicates || was.Task.Hash != reg.Task.Hash || was.Task.Evaluator != reg.Task.Evaluator ||
		was.BaselineTree != reg.BaselineTree || len(was.Machine.Differences(*reg.Machine)) > 0 {
		return false
	}
	baseline, submitted, err := r.Baseline()
	return err == nil && (!submitted || baseline.Verdict == nil || baseline.Status == research.StatusBaseline)
}

// recordOf is what a finished calibration comes to.
func recordOf(r *lineage.Reader, reg research.Registration) (*calibration.Record, error) {
	noise, err := r.Noise()
	if err != nil {
		return nil, err
	}
	baseline, _, err := r.Baseline()
	if err != nil {
		return nil, err
	}
	attempts, err := r.Attempts(research.Baseline)
	if err != nil {
		return nil, err
	}
	head, err := r.Head()
	if err != nil {
		return nil, err
	}
	record := calibration.Record{
		Task: reg.Task, Recipe: reg.BaselineTree, Score: reg.Score, Machine: *reg.Machine, Mendel: reg.Mendel, Host: baseline.Measurement.Host,
		Calibration: research.Calibration{Run: reg.Run, Head: head.String(), At: baseline.EndedAt, Noise: *noise},
	}
	for _, a := range attempts {
		if a.State == lineage.AttemptMeasured {
			record.Seeds = append(record.Seeds, a.Seeds)
			record.Walls = append(record.Walls, a.Wall)
		}
	}
	record = record.Finish()
	return &record, nil
}
