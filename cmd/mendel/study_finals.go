package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"mendel/internal/lineage"
	"mendel/internal/loop"
	"mendel/internal/research"
	"mendel/internal/view/study"
	"mendel/internal/view/terminal"
)

// finals measures the best recipe of each run that has ended, one after the other in the order of the
// plan. Those that were measured before are left as they are.
func (d *conductor) finals(ctx context.Context, t *taskPackage) error {
	for _, c := range d.study.Cells() {
		ended, err := runEnded(d.study.RunDir(c))
		if err != nil || !ended {
			continue // the report names what is missing
		}
		if err := d.final(ctx, c, t); err != nil {
			var code exitCode
			if errors.As(err, &code) {
				return err
			}
			return fmt.Errorf("final of %s-%d: %w", c.Arm.Name, c.Replicate, err)
		}
	}
	return nil
}

// final measures one run's best recipe afresh, in a run file of its own: nobody proposes there, and the
// recipe stands as its baseline.
func (d *conductor) final(ctx context.Context, c study.Cell, t *taskPackage) error {
	dir := finalDir(d.study, c)
	if ended, err := runEnded(dir); err == nil && ended {
		return nil
	}
	r, err := lineage.OpenReader(d.study.RunDir(c))
	if err != nil {
		return err
	}
	defer r.Close()
	reg, err := r.Registration()
	if err != nil {
		return err
	}
	best, found, err := r.Incumbent()
	if err != nil || !found {
		return err // the baseline was not valid: there is nothing to measure
	}
	if reg.Task.Hash != t.Hash {
		return research.Hinted(errors.New("the task was changed since the run was made"), "put it back as it was, or begin the study again in a new directory")
	}
	takeKeys(reg.Agents) // no model is asked any more, and recipes are started from this very process
	bench, err := prepare(ctx, t, reg.Site, reg.Parallel, reg.Unsandboxed)
	if err != nil {
		return err
	}
	if err := bench.sameAs(t, reg); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	lock, err := lineage.Lock(dir)
	if err != nil {
		return err
	}
	defer lock.Release()
	store, err := d.openFinal(dir, c, r, reg, best)
	if err != nil {
		return err
	}
	return errors.Join(d.remeasure(ctx, dir, c, store, t, bench), store.Close())
}

// openFinal goes on with a final that was broken off, or registers it.
func (d *conductor) openFinal(dir string, c study.Cell, r *lineage.Reader, reg research.Registration, best research.Trial) (*lineage.Store, error) {
	if _, err := os.Stat(filepath.Join(dir, lineage.FileName)); err == nil {
		return lineage.Open(dir)
	}
	files, err := r.Tree(best.Proposal.Tree)
	if err != nil {
		return nil, err
	}
	root, blobs, err := lineage.NewTree(files)
	if err != nil {
		return nil, err
	}
	origin := research.Remeasurement{Run: reg.Run, Trial: best.ID}
	reg.Run, reg.Mendel, reg.VerdictVersion = newToken()[:12], programVersion(), research.VerdictVersion
	reg.Remeasures, reg.BaselineTree, reg.Replicates, reg.Seed = &origin, root.Hash, d.study.Finals, d.study.FinalSeed(c)
	reg.Agents, reg.Budgets, reg.Calibration, reg.Certificate, reg.Keep = nil, research.Budgets{}, nil, nil, research.KeepRule{Rule: research.Strict}
	if reg.NoiseKind == research.None {
		reg.Replicates = 1
	}
	return lineage.Create(dir, reg, blobs...)
}

func (d *conductor) remeasure(ctx context.Context, dir string, c study.Cell, store *lineage.Store, t *taskPackage, bench *workbench) error {
	reg, err := store.Registration()
	if err != nil {
		return err
	}
	head, err := store.Head()
	if err != nil {
		return err
	}
	hired, err := hiring{task: t, bench: bench, baseline: reg.BaselineTree}.hire()
	if err != nil {
		return err
	}
	defer hired.Close()
	p, err := perform(ctx, dir, store, t, bench, hired, head.Seq > 1, false,
		func(_ *loop.Loop, after int64, _ func(), done <-chan struct{}) error {
			return terminal.Follow(ctx, store.Reader, io.Discard, after, done, d.style)
		})
	if err != nil {
		return err
	}
	if p.asked {
		return exitCode(exitInterrupted)
	}
	score, held, err := finalScore(store.Reader)
	if err != nil {
		return err
	}
	text := "did not hold: " + held
	if held == "" {
		text = research.Quantity(research.Significant(score, 6), reg.Score.Unit)
	}
	fmt.Printf("%s  final of %-24s %s at %s, measured %d times: %s\n", time.Now().Format(time.TimeOnly),
		fmt.Sprintf("%s-%d", c.Arm.Name, c.Replicate), reg.Score.Metric, reg.Remeasures.Trial, reg.Replicates, text)
	return p.watched
}

func finalDir(s *study.Study, c study.Cell) string {
	return filepath.Join(s.Dir, "finals", fmt.Sprintf("%s-%d", c.Arm.Name, c.Replicate))
}

// finalScore is the mean over all fresh measurements, gates and limits judged on the means. notHeld says
// why a recipe is not valid any more; its score is then no result.
func finalScore(r *lineage.Reader) (score float64, notHeld string, err error) {
	measurements, err := r.Measurements(research.Baseline)
	if err != nil {
		return 0, "", err
	}
	pooled := research.Repool(measurements)
	if pooled.Outcome != research.Valid || pooled.Score == nil {
		return 0, pooled.Reason, nil
	}
	return *pooled.Score, "", nil
}

// readFinal is what became of a run's best recipe; fs.ErrNotExist where it is not measured yet.
func readFinal(s *study.Study, c study.Cell) (*study.Final, error) {
	dir := finalDir(s, c)
	if _, err := os.Stat(filepath.Join(dir, lineage.FileName)); err != nil {
		return nil, err
	}
	if ended, err := runEnded(dir); err != nil || !ended {
		return nil, errors.Join(err, fs.ErrNotExist)
	}
	r, err := lineage.OpenReader(dir)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	score, notHeld, err := finalScore(r)
	return &study.Final{Score: score, NotHeld: notHeld, Dir: dir}, err
}
