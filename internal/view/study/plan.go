package study

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"strconv"
)

// A Cell is one run of a study.
type Cell struct {
	Arm       Arm
	Replicate int // from 1
}

// Cells are the runs of the study in the order in which they begin: each replicate of every arm
// before the next one, so that what changes on the machine meanwhile meets all arms alike, and in
// every other replicate the other way round, so that no arm always goes first.
func (s *Study) Cells() []Cell {
	var cells []Cell
	for r := 1; r <= s.Replicates; r++ {
		for i := range s.Arms {
			if r%2 == 0 {
				i = len(s.Arms) - 1 - i
			}
			cells = append(cells, Cell{s.Arms[i], r})
		}
	}
	return cells
}

// RunDir is where a cell's run is kept.
func (s *Study) RunDir(c Cell) string {
	return filepath.Join(s.Dir, "runs", fmt.Sprintf("%s-%d", c.Arm.Name, c.Replicate))
}

// TaskDir is where the task is.
func (s *Study) TaskDir() string { return s.beside(s.Task) }

func (s *Study) beside(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(s.Dir, path)
}

// SeedOf is the seed of a cell's run: another one for each, and the same again when the study is
// taken up later.
func (s *Study) SeedOf(c Cell) int64 { return s.seed("run", c) }

// FinalSeed is that of the fresh measurements of its best recipe.
func (s *Study) FinalSeed(c Cell) int64 { return s.seed("final", c) }

func (s *Study) seed(what string, c Cell) int64 {
	sum := sha256.Sum256(fmt.Appendf(nil, "study/%s/%d/%s/%d", what, s.Seed, c.Arm.Name, c.Replicate))
	return int64(binary.LittleEndian.Uint32(sum[:4]) >> 1)
}

// RunArgs are the arguments of `mendel run` that begin a cell's run.
func (s *Study) RunArgs(c Cell) []string {
	args := []string{s.TaskDir(), "--state", s.RunDir(c), "--plain", "--seed", strconv.FormatInt(s.SeedOf(c), 10)}
	if s.Slots > 0 {
		args = append(args, "--parallel", strconv.Itoa(s.Slots))
	}
	if c.Arm.Agents != "" {
		args = append(args, "--agents", c.Arm.Agents)
	}
	if !c.Arm.SeesLineage() {
		args = append(args, "--no-lineage")
	}
	if c.Arm.Proposer != "" {
		args = append(args, "--proposer", c.Arm.Proposer)
	}
	if c.Arm.Config != "" {
		args = append(args, "--config", s.beside(c.Arm.Config))
	}
	return append(args, s.budgetArgs()...)
}

// ResumeArgs are those that go on with one.
func (s *Study) ResumeArgs(c Cell) []string {
	return append([]string{"--resume", s.RunDir(c), "--plain"}, s.budgetArgs()...)
}

func (s *Study) budgetArgs() (args []string) {
	if s.Budget.Trials > 0 {
		args = append(args, "--trials", strconv.Itoa(s.Budget.Trials))
	}
	if s.Budget.Hours > 0 {
		args = append(args, "--hours", strconv.FormatFloat(s.Budget.Hours, 'g', -1, 64))
	}
	return args
}
