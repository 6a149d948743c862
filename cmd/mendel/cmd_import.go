package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mendel/internal/lineage"
	"mendel/internal/lineage/record"
	"mendel/internal/research"
	"mendel/internal/view/terminal"
)

// importFlags are the flags of `mendel import` as they were typed.
type importFlags struct {
	state, name, metric, direction string
	limits, gates                  []string
	json                           bool
}

func importCommand() *cobra.Command {
	var f importFlags
	c := &cobra.Command{
		Use:   "import DIR|FILE.tsv",
		Short: "Read another program's records into a run file",
		Long: `Reads the record of a search that another program made into a run file that every verb which
looks at runs then serves:

  DIR       results.tsv with tree.tsv and best.json, as the paper's runs are published
  FILE.tsv  one table: exp_id or commit, the score, status keep, discard or crash, description

Such a run is marked imported: it has no recipes, and nothing of it can be measured again. Damaged
rows are mended from what the record still says. Everything that was recovered, assumed or left
out is listed on standard error as FILE:LINE, and stored in the run. docs/import.md has the rules.`,
		Example: `  mendel import trajectories/cifar --state runs/cifar
  mendel import results.tsv --metric val_loss --direction minimize
  mendel import golf --limit artifact_bytes=16000000 --limit eval_s=600`,
		Args: exactly(1, "one directory or table"),
		RunE: func(_ *cobra.Command, args []string) error { return importRecord(args[0], f) },
	}
	flags := c.Flags()
	flags.SortFlags = false
	flags.StringVar(&f.state, "state", "", "directory for the run (default: runs/<name>-<date>-<n>)")
	flags.StringVar(&f.name, "name", "", "what the run is about (default: the name of the directory or table)")
	flags.StringVar(&f.metric, "metric", "", "the column that is the score (default: found by rule)")
	flags.StringVar(&f.direction, "direction", "", "minimize or maximize (default: found by rule)")
	flags.StringArrayVar(&f.limits, "limit", nil, "COLUMN=MOST that a valid trial could have; repeatable")
	flags.StringArrayVar(&f.gates, "gate", nil, "COLUMN=LEAST that a valid trial had to reach; repeatable")
	flags.BoolVar(&f.json, "json", false, "print JSON, the notes included")
	c.MarkFlagDirname("state")
	c.RegisterFlagCompletionFunc("direction", cobra.FixedCompletions([]string{"minimize", "maximize"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

func (f importFlags) options() (record.Options, error) {
	o := record.Options{Name: f.name, Metric: f.metric, Direction: research.Direction(f.direction)}
	if o.Direction != "" && o.Direction != research.Minimize && o.Direction != research.Maximize {
		return o, usageError{fmt.Errorf("--direction %s: want minimize or maximize", f.direction)}
	}
	for _, text := range f.limits {
		column, value, err := boundOf("--limit", text)
		if err != nil {
			return o, err
		}
		o.Bounds = append(o.Bounds, record.Limit(column, value))
	}
	for _, text := range f.gates {
		column, value, err := boundOf("--gate", text)
		if err != nil {
			return o, err
		}
		o.Bounds = append(o.Bounds, record.Gate(column, value))
	}
	return o, nil
}

func boundOf(flag, text string) (column string, value float64, err error) {
	column, number, ok := strings.Cut(text, "=")
	if value, err = strconv.ParseFloat(number, 64); !ok || err != nil || column == "" {
		return "", 0, research.Hinted(usageError{fmt.Errorf("%s %s: want a column and a number", flag, text)}, flag+" eval_s=600")
	}
	return column, value, nil
}

// importRecord reads a record and makes its run file.
func importRecord(path string, f importFlags) error {
	options, err := f.options()
	if err != nil {
		return err
	}
	rec, err := record.Read(path, options)
	if err != nil {
		return err
	}
	reg := rec.Registration
	reg.Run, reg.Mendel = newToken()[:12], programVersion()
	dir := f.state
	if dir == "" {
		if dir, err = newRunDir(runsDir, reg.Task.Name, time.Now()); err != nil {
			return err
		}
	}
	if _, err := os.Stat(filepath.Join(dir, lineage.FileName)); err == nil {
		return research.Hinted(fmt.Errorf("%s holds a run already", dir), "choose another --state: a run is never overwritten")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return research.Hinted(fmt.Errorf("make the run's directory: %w", err), "choose a directory that you may write with --state")
	}
	lock, err := lineage.Lock(dir)
	if err != nil {
		return err
	}
	err = lineage.Import(dir, reg, rec.Trials, time.Now())
	if err := errors.Join(err, lock.Release()); err != nil {
		return err
	}
	return sayImported(dir, rec, f.json)
}

// An importResult is what `mendel import --json` prints.
type importResult struct {
	State    string               `json:"state"`
	Trials   int                  `json:"trials"` // the baseline not counted
	Score    research.ScoreRule   `json:"score"`
	Head     string               `json:"head"`
	Imported *research.Provenance `json:"imported"`
}

func sayImported(dir string, rec record.Record, asJSON bool) error {
	r, err := lineage.OpenReader(dir)
	if err != nil {
		return err
	}
	defer r.Close()
	head, err := r.Head()
	if err != nil {
		return err
	}
	origin := rec.Registration.Imported
	result := importResult{State: dir, Score: rec.Registration.Score, Head: head.String(), Imported: origin}
	for _, t := range rec.Trials {
		if t.Status != research.StatusBaseline {
			result.Trials++
		}
	}
	if asJSON {
		return writeJSON(result)
	}
	for _, n := range origin.Notes {
		fmt.Fprintln(os.Stderr, terminal.Printable(n.String()))
	}
	fmt.Printf("%s: %d trials imported from %s, %d notes\n  score %s, to %s (%s; %s)\nhead %s\n", dir, result.Trials, origin.From, len(origin.Notes),
		result.Score.Metric, result.Score.Direction, origin.Metric, origin.Direction, head)
	return nil
}
