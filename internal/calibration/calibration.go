// Package calibration keeps what `mendel calibrate` measured: one small record for each calibration,
// beside the run that it rests on, and finds the one that holds for a task on this very machine.
// Start reading at [Find].
//
// It measures nothing: a calibration is a run of which only the baseline is measured.
package calibration

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mendel/internal/research"
)

// FileName is the record's name in the directory of its run.
const FileName = "calibration.json"

// format is the version of the record's form.
const format = 1

// A Record is one calibration with everything that decides where it holds. Its JSON is documented in
// docs/calibration.md. What follows from the measurements is written for people and
// scripts; reading it back, only the measurements count.
type Record struct {
	Dir     string                `json:"-"` // where it was read
	Format  int                   `json:"format"`
	Task    research.TaskIdentity `json:"task"`
	Recipe  research.Hash         `json:"recipe"` // tree of the starting recipe
	Score   research.ScoreRule    `json:"score"`
	Machine research.Machine      `json:"machine"`
	Host    string                `json:"host"`
	Mendel  string                `json:"mendel"`
	research.Calibration
	Seeds [][]int64          `json:"seeds"`  // of each measurement
	Walls []research.Seconds `json:"wall_s"` // that each measurement took

	SEM       float64                   `json:"sem"`
	Floor     float64                   `json:"noise_floor"`
	ScoreLag1 *research.Autocorrelation `json:"score_lag1,omitempty"`
	WallLag1  *research.Autocorrelation `json:"wall_lag1,omitempty"`
}

// Finish derives what follows from the measurements.
func (r Record) Finish() Record {
	r.Format = format
	r.Noise = research.NoiseOf(r.Noise.Kind, r.Noise.Scores)
	r.SEM = r.Noise.SEM()
	r.Floor, _ = r.Noise.Floor()
	r.ScoreLag1 = research.Lag1(r.Noise.Scores)
	walls := make([]float64, len(r.Walls))
	for i, w := range r.Walls {
		walls[i] = float64(w)
	}
	r.WallLag1 = research.Lag1(walls)
	return r
}

// Write stores a finished record in its run's directory, whole or not at all.
func (r Record) Write(dir string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	half := filepath.Join(dir, "."+FileName)
	if err := os.WriteFile(half, append(text, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(half, filepath.Join(dir, FileName))
}

// Read reads the record in a directory.
func Read(dir string) (Record, error) {
	path := filepath.Join(dir, FileName)
	text, err := os.ReadFile(path)
	if err != nil {
		return Record{}, err
	}
	var r Record
	if err := json.Unmarshal(text, &r); err != nil {
		return Record{}, research.Hinted(fmt.Errorf("%s: %w", path, err), "remove it and calibrate again")
	}
	if r.Format != format {
		return Record{}, research.Hinted(fmt.Errorf("%s has format %d, and this program reads %d", path, r.Format, format), "calibrate again")
	}
	r.Dir = dir
	return r.Finish(), nil
}

// A Subject is what a calibration must be of to hold: this task, to the byte, on this machine.
type Subject struct {
	Task    research.TaskIdentity
	Recipe  research.Hash
	Machine research.Machine
}

// misfit says why a record does not hold, or "".
func (s Subject) misfit(r Record) string {
	switch {
	case r.Task.Evaluator != s.Task.Evaluator:
		return "the evaluator changed"
	case r.Task.Hash != s.Task.Hash:
		return "the task changed"
	case r.Recipe != s.Recipe:
		return "it is of another starting recipe"
	case s.Machine.CPU == "":
		return "what processor this machine has could not be found out"
	}
	return strings.Join(r.Machine.Differences(s.Machine), "; ")
}

// Find returns the newest record below root that holds for the subject. Where there is none, it says
// why the newest of that task's does not hold; misfit is empty where the task was never calibrated. A
// record that cannot be read holds for nothing.
func Find(root string, s Subject) (found *Record, misfit string) {
	files, err := filepath.Glob(filepath.Join(root, "*", FileName))
	if err != nil {
		return nil, ""
	}
	var records []Record
	for _, f := range files {
		if r, err := Read(filepath.Dir(f)); err == nil && r.Task.Name == s.Task.Name {
			records = append(records, r)
		}
	}
	slices.SortFunc(records, func(a, b Record) int { return b.At.Compare(a.At) })
	for i, r := range records {
		why := s.misfit(r)
		if why == "" {
			return &r, ""
		}
		if i == 0 {
			misfit = fmt.Sprintf("the calibration of %s does not hold here: %s", r.At.Format(time.DateOnly), why)
		}
	}
	return nil, misfit
}
