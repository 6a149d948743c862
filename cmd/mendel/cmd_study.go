package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"mendel/internal/lineage"
	"mendel/internal/research"
	"mendel/internal/view/analysis"
	"mendel/internal/view/study"
	"mendel/internal/view/terminal"
)

func studyCommand() *cobra.Command {
	c := verbs(&cobra.Command{
		Use:   "study",
		Short: "Compare ways to organize the agents: arms, replicates, and what the difference supports",
		Long: `A study runs several arms with the same budget, each several times, measures the best recipe of
every run afresh, and says which differences between arms the data support. docs/studies.md explains
what is tested and how.`,
	})
	c.AddCommand(studyNewCommand(), studyRunCommand(), studyReportCommand())
	return c
}

func studyNewCommand() *cobra.Command {
	var taskDir string
	c := &cobra.Command{
		Use:     "new NAME",
		Short:   "Write a study.yaml that explains every key",
		Example: `  mendel study new history-pays --task tasks/airbench-cpu`,
		Args:    exactly(1, "a name"),
		RunE: func(_ *cobra.Command, args []string) error {
			t, err := loadTask(taskDir)
			if err != nil {
				return err
			}
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return err
			}
			absolute, err := filepath.Abs(args[0])
			if err != nil {
				return err
			}
			relative, err := filepath.Rel(absolute, t.Dir)
			if err != nil {
				return err
			}
			file := filepath.Join(args[0], study.FileName)
			out, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
			if errors.Is(err, fs.ErrExist) {
				return research.Hinted(fmt.Errorf("%s is there already", file), "choose another name")
			}
			if err != nil {
				return err
			}
			_, err = out.WriteString(study.Scaffold(filepath.Base(absolute), relative))
			if err := errors.Join(err, out.Close()); err != nil {
				return err
			}
			fmt.Printf("%s: look it over, then\n  mendel study run %s\n", file, args[0])
			return nil
		},
	}
	c.Flags().StringVar(&taskDir, "task", "", "the task's directory, or the name of one in ./tasks")
	c.MarkFlagRequired("task")
	c.MarkFlagDirname("task")
	return c
}

func studyRunCommand() *cobra.Command {
	var recipe string
	c := &cobra.Command{
		Use:   "run STUDY",
		Short: "Run what is left of a study, then measure its final recipes",
		Long: `Starts every run of the study that has not ended yet, goes on with those that were broken off, and
then measures each run's best recipe afresh. What has ended is never run again, so the same command
goes on after Ctrl-C, a crash or a reboot. STUDY is a directory with a study.yaml, or that file.

Each run is a ` + "`mendel run`" + ` of its own in STUDY/runs, with its output beside it, and every verb looks at
it as at any other.`,
		Args: exactly(1, "one study"),
		RunE: func(c *cobra.Command, args []string) error {
			s, err := loadStudy(args[0])
			if err != nil {
				return err
			}
			return runStudy(c, s, recipe)
		},
	}
	bindRecipe(c, &recipe)
	return c
}

func studyReportCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "report STUDY",
		Short: "What a study found, also while it is running; `mendel report STUDY` makes a page of it",
		Args:  exactly(1, "one study"),
		RunE: func(_ *cobra.Command, args []string) error {
			s, err := loadStudy(args[0])
			if err != nil {
				return err
			}
			found, err := compareStudy(s)
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(found)
			}
			terminal.WriteComparison(os.Stdout, found, terminal.StyleFor(os.Stdout))
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// runStudy runs what is left, measures the finals, and shows what was found.
func runStudy(c *cobra.Command, s *study.Study, recipe string) error {
	t, err := openTask(c.Context(), s.TaskDir(), recipe, "")
	if err != nil {
		return err
	}
	d, err := newConductor(s, t, recipe)
	if err != nil {
		return err
	}
	lock, err := lineage.Lock(s.Dir)
	var held *lineage.HeldError
	if errors.As(err, &held) {
		return research.Hinted(fmt.Errorf("study %s is being run already, by process %d on %s", s.Name, held.Holder.PID, held.Holder.Host),
			"`mendel study report` shows how it stands; Ctrl-C there ends it")
	}
	if err != nil {
		return err
	}
	defer lock.Release()
	stops, _ := interrupts(c.Context(), func(text string) { fmt.Fprintln(os.Stderr, "mendel: "+text) })
	failed := d.conduct(stops.stop, stops.kill)
	stops.release()
	var code exitCode
	if errors.As(failed, &code) {
		return failed
	}
	if err := d.finals(c.Context(), t); err != nil {
		return err
	}
	found, err := compareStudy(s)
	if err != nil {
		return err
	}
	fmt.Println()
	terminal.WriteComparison(os.Stdout, found, terminal.StyleFor(os.Stdout))
	return failed // what ended is measured and shown all the same
}

// loadStudy reads a study from its directory or its file.
func loadStudy(name string) (*study.Study, error) {
	if info, err := os.Stat(name); err == nil && info.IsDir() {
		name = filepath.Join(name, study.FileName)
	}
	return study.Load(name)
}

// compareStudy reads what there is of a study's runs.
func compareStudy(s *study.Study) (study.Comparison, error) {
	var runs []study.Run
	var score *research.ScoreRule
	for _, c := range s.Cells() {
		run, rule, err := readCell(s, c)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return study.Comparison{}, err
		}
		if score == nil {
			score = &rule
		} else if *score != rule {
			return study.Comparison{}, research.Hinted(fmt.Errorf("%s has another score than the runs before it", run.Dir),
				"the task was changed while the study ran; begin it again in a new directory")
		}
		runs = append(runs, run)
	}
	if score == nil {
		return study.Comparison{}, research.Hinted(fmt.Errorf("no run of study %s has begun", s.Name), "mendel study run "+s.Dir)
	}
	return study.Compare(s, *score, runs), nil
}

// asPlanned refuses a run that was made under another plan than study.yaml now has: its arm would be
// credited with what another one did, or had another budget.
func asPlanned(s *study.Study, c study.Cell, r *lineage.Reader) error {
	reg, err := r.Registration()
	if err != nil {
		return err
	}
	budgets, err := r.Budgets()
	if err != nil {
		return err
	}
	kind, _, _ := strings.Cut(c.Arm.Agents, ":")
	wanted := cmp.Or(research.AgentPlan(kind), research.Specialists)
	var made string
	switch hours := budgets.Time.Std().Hours(); {
	case s.Budget.Trials > 0 && budgets.Trials != s.Budget.Trials:
		made = fmt.Sprintf("with a budget of %d trials, and the study has %d", budgets.Trials, s.Budget.Trials)
	case s.Budget.Hours > 0 && math.Abs(hours-s.Budget.Hours) > 1e-6:
		made = fmt.Sprintf("with a budget of %g h, and the study has %g h", hours, s.Budget.Hours)
	case c.Arm.Config == "" && reg.Arm.Lineage != c.Arm.SeesLineage():
		made = fmt.Sprintf("with lineage: %t, and its arm has %t", reg.Arm.Lineage, c.Arm.SeesLineage())
	case (c.Arm.Agents != "" || c.Arm.Config == "") && reg.Arm.Agents != wanted:
		made = fmt.Sprintf("with agents: %s, and its arm has %s", reg.Arm.Agents, wanted)
	default:
		return nil
	}
	return research.Hinted(fmt.Errorf("%s was made %s", s.RunDir(c), made), "put study.yaml back as it was, or begin the study again in a new directory")
}

// readCell reads one run; the error is fs.ErrNotExist where it has not begun.
func readCell(s *study.Study, c study.Cell) (study.Run, research.ScoreRule, error) {
	run := study.Run{Arm: c.Arm.Name, Replicate: c.Replicate, Dir: s.RunDir(c)}
	if _, err := os.Stat(filepath.Join(run.Dir, lineage.FileName)); err != nil {
		return run, research.ScoreRule{}, err
	}
	r, err := lineage.OpenReader(run.Dir)
	if err != nil {
		return run, research.ScoreRule{}, err
	}
	defer r.Close()
	if err := asPlanned(s, c, r); err != nil {
		return run, research.ScoreRule{}, err
	}
	if run.Analysis, err = analysis.Of(r); err != nil {
		return run, research.ScoreRule{}, fmt.Errorf("%s: %w", run.Dir, err)
	}
	if run.Final, err = readFinal(s, c); errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return run, run.Analysis.Score, err
}
