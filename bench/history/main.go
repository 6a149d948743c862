// Command history measures what remembering costs as a run grows: recording each fact of a trial,
// gathering a brief and rendering it as a prompt, at several lengths of history. Nothing of it may
// cost more at 100,000 trials than at 100; the last column says whether it does.
//
// The runs are made up by package lineagetest, with trees, logs and measurements of real size.
// Start reading at [measure].
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"

	"mendel/internal/lineage"
	"mendel/internal/lineage/lineagetest"
	"mendel/internal/loop"
	"mendel/internal/propose/prompt"
	"mendel/internal/research"
	"mendel/internal/task"
)

func main() {
	sizes := flag.String("trials", "100,10000,100000", "lengths of history, separated by commas")
	rounds := flag.Int("rounds", 40, "how many trials and briefs to measure at each length")
	dir := flag.String("dir", "", "where to make the runs: on the kind of disk where runs will live (default: a temporary directory)")
	verify := flag.Bool("verify", false, "verify each run too")
	flag.Parse()
	if err := run(os.Stdout, *sizes, *rounds, *dir, *verify); err != nil {
		fmt.Fprintln(os.Stderr, "history: error:", err)
		os.Exit(1)
	}
}

func run(w io.Writer, sizes string, rounds int, dir string, verify bool) error {
	var columns []column
	for text := range strings.SplitSeq(sizes, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return fmt.Errorf("%q is not a number of trials", text)
		}
		c, err := measure(dir, n, rounds, verify)
		if err != nil {
			return fmt.Errorf("%d trials: %w", n, err)
		}
		columns = append(columns, c)
	}
	return printTable(w, columns)
}

// A column holds what was measured at one length of history.
type column struct {
	trials int
	shown  int // trials in one brief: fewer where the history is shorter than the brief's lists
	bytes  int64
	times  map[string][]time.Duration
}

// The rows of the table beside the kinds of fact.
const (
	rowTrial  = "whole trial, recorded"
	rowViews  = "brief, gathered"
	rowCold   = "brief, by a new reader"
	rowRender = "prompt, rendered"
	rowVerify = "whole run, verified"
)

// rows is the order of the table.
var rows = []string{
	string(research.KindSubmitted), string(research.KindDispatched), string(research.KindMeasured), string(research.KindJudged),
	rowTrial, rowViews, rowCold, rowRender, rowVerify,
}

// measure makes a run of n trials and then measures, at its end, as a supervisor would go on.
func measure(parent string, n, rounds int, verify bool) (column, error) {
	dir, err := os.MkdirTemp(parent, "history-*")
	if err != nil {
		return column{}, err
	}
	defer os.RemoveAll(dir)
	author, store, err := lineagetest.New(dir, 1)
	if err != nil {
		return column{}, err
	}
	defer func() { store.Close() }()
	if err := author.Start(store); err != nil {
		return column{}, err
	}
	began := time.Now()
	if err := author.Bulk(store, n); err != nil {
		return column{}, err
	}
	fmt.Fprintf(os.Stderr, "made a run of %d trials in %.1f s\n", n, time.Since(began).Seconds())
	// A run that grew trial by trial has no gigabyte of writes under way.
	if err := store.Close(); err != nil {
		return column{}, err
	}
	if store, err = lineage.Open(dir); err != nil {
		return column{}, err
	}
	author.Reopened(store)
	unix.Sync()
	c := column{trials: n, times: map[string][]time.Duration{}}
	for range rounds {
		if err := c.trial(author, store); err != nil {
			return c, err
		}
		if err := c.brief(store.Reader, rowViews); err != nil {
			return c, err
		}
		if err := c.newReader(dir); err != nil {
			return c, err
		}
	}
	if info, err := os.Stat(store.Path()); err == nil {
		c.bytes = info.Size()
	}
	if !verify {
		return c, nil
	}
	return c, c.time(rowVerify, func() error {
		report, err := lineage.Verify(dir, lineage.Options{})
		return cmp.Or(err, report.Err())
	})
}

func (c *column) time(row string, fn func() error) error {
	began := time.Now()
	err := fn()
	c.times[row] = append(c.times[row], time.Since(began))
	return err
}

// trial records one trial as the supervisor does, each fact durably on its own.
func (c *column) trial(author *lineagetest.Author, store *lineage.Store) error {
	var whole time.Duration
	err := author.Trial(func(fact research.Fact, blobs ...lineage.Blob) error {
		began := time.Now()
		_, err := store.Append(context.Background(), fact, blobs...)
		took := time.Since(began)
		whole += took
		c.times[string(fact.Kind())] = append(c.times[string(fact.Kind())], took)
		return err
	})
	c.times[rowTrial] = append(c.times[rowTrial], whole)
	return err
}

// brief gathers what the next session may know, and renders its prompt.
func (c *column) brief(r *lineage.Reader, row string) error {
	agent := research.Agent{Name: "opt", Role: "opt", Proposer: "mutate"}
	var brief research.Brief
	err := c.time(row, func() error {
		return r.Snapshot(func(r *lineage.Reader) (err error) {
			id, err := r.NextSession()
			if err != nil {
				return err
			}
			brief, err = loop.Brief(r, madeUpTask(), agent, id, research.Budgets{})
			return err
		})
	})
	if err != nil || row != rowViews {
		return err
	}
	h := brief.History
	c.shown = len(h.Leaderboard) + len(h.Chain) + len(h.Children) + len(h.NearMisses) + len(h.Recent) + len(h.Own)
	return c.time(rowRender, func() error {
		if text := prompt.Render(brief).String(); text == "" {
			return fmt.Errorf("an empty prompt")
		}
		return nil
	})
}

// newReader asks as another process would, which has seen nothing of the run yet.
func (c *column) newReader(dir string) error {
	r, err := lineage.OpenReader(dir)
	if err != nil {
		return err
	}
	defer r.Close()
	return c.brief(r, rowCold)
}

// madeUpTask fits the runs of lineagetest.
func madeUpTask() *task.Task {
	reg := lineagetest.Registration("")
	t := &task.Task{Name: reg.Task.Name, Title: reg.Task.Title, Seeds: reg.Seeds, Score: reg.Score, Bounds: reg.Bounds, Keep: reg.Keep}
	for _, role := range lineagetest.Roles() {
		t.Roles = append(t.Roles, research.Role{ID: role, Title: role, Preamble: "You hold " + role + ".", MayEdit: []string{"**"}})
	}
	return t
}

func printTable(w io.Writer, columns []column) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	first, last := columns[0], columns[len(columns)-1]
	fmt.Fprint(t, "median (95th percentile), ms\t")
	for _, c := range columns {
		fmt.Fprintf(t, "%s trials\t", research.Number(float64(c.trials)))
	}
	fmt.Fprintln(t, "last / first\t")
	for _, row := range rows {
		if len(first.times[row]) == 0 {
			continue
		}
		fmt.Fprintf(t, "%s\t", row)
		for _, c := range columns {
			fmt.Fprintf(t, "%.2f (%.2f)\t", milliseconds(quantile(c.times[row], 0.5)), milliseconds(quantile(c.times[row], 0.95)))
		}
		fmt.Fprintf(t, "%.2f\t\n", float64(quantile(last.times[row], 0.5))/float64(quantile(first.times[row], 0.5)))
	}
	fmt.Fprint(t, "trials shown in a brief\t")
	for _, c := range columns {
		fmt.Fprintf(t, "%d\t", c.shown)
	}
	fmt.Fprintf(t, "%.2f\t\n", float64(last.shown)/float64(first.shown))
	fmt.Fprint(t, "run.db, MB\t")
	for _, c := range columns {
		fmt.Fprintf(t, "%.1f\t", float64(c.bytes)/1e6)
	}
	fmt.Fprintln(t, "\t")
	return t.Flush()
}

func quantile(times []time.Duration, q float64) time.Duration {
	sorted := slices.Sorted(slices.Values(times))
	return sorted[int(q*float64(len(sorted)-1))]
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
