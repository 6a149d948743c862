package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"mendel/internal/lineage"
	"mendel/internal/measure/executor/local"
	"mendel/internal/research"
	"mendel/internal/view/study"
	"mendel/internal/view/terminal"
)

// A conductor starts a study's runs, each a `mendel run` of its own: what one does wrong, or what is
// killed, leaves the others alone, and every run can be looked at as any other.
type conductor struct {
	study  *study.Study
	self   string // path of this program
	recipe string // checkout that the task's recipe comes from, where it is someone else's
	style  terminal.Style
	cores  []int // that the study may use

	mu       sync.Mutex // one line at a time
	finished int
	total    int
}

// newConductor refuses runs side by side that would disturb each other.
func newConductor(s *study.Study, t *taskPackage, recipe string) (*conductor, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	here, err := local.Detect()
	if err != nil {
		return nil, err
	}
	const hint = "parallel: 1 in study.yaml"
	switch r := t.Resources; {
	case s.Parallel == 1:
	case r.Exclusive != "":
		return nil, research.Hinted(fmt.Errorf("parallel: %d: a trial of %s has the machine to itself, and runs side by side would disturb each other", s.Parallel, t.Name), hint)
	case r.GPUs > 0:
		return nil, research.Hinted(fmt.Errorf("parallel: %d: runs side by side would take the same GPUs", s.Parallel), hint)
	case s.Parallel*r.CPUs > len(here.CPUs):
		return nil, research.Hinted(fmt.Errorf("parallel: %d: so many runs need %d cores, and %d may be used", s.Parallel, s.Parallel*r.CPUs, len(here.CPUs)), hint)
	}
	return &conductor{study: s, self: self, recipe: recipe, style: terminal.StyleFor(os.Stdout), cores: here.CPUs, total: len(s.Cells())}, nil
}

// conduct runs what is left of the plan, so many at a time, and returns once nothing is running. A
// run that fails is told of, and the rest goes on: the study names what is missing. When ctx ends, no
// run begins, and those that are under way end as after Ctrl-C; when kill does, as after a second one.
func (d *conductor) conduct(ctx, kill context.Context) error {
	cells := make(chan study.Cell)
	var work sync.WaitGroup
	var failed failures
	for worker := range d.study.Parallel {
		work.Go(func() {
			runtime.LockOSThread() // never unlocked: a run's life hangs on the thread that began it
			if err := d.takeCores(worker); err != nil {
				failed.add(err)
			}
			for c := range cells {
				if err := d.run(ctx, kill, c); err != nil {
					failed.add(fmt.Errorf("%s-%d: %w", c.Arm.Name, c.Replicate, err))
				}
			}
		})
	}
	for _, c := range d.study.Cells() {
		cells <- c
	}
	close(cells)
	work.Wait()
	if ctx.Err() != nil {
		return exitCode(exitInterrupted)
	}
	return failed.joined()
}

// takeCores gives the runs of a worker their share of the cores: each run reckons with all that it may
// use, and two of them would take the same ones.
func (d *conductor) takeCores(worker int) error {
	if d.study.Parallel == 1 {
		return nil
	}
	var own unix.CPUSet
	for i := worker; i < len(d.cores); i += d.study.Parallel {
		own.Set(d.cores[i])
	}
	if err := unix.SchedSetaffinity(0, &own); err != nil {
		return fmt.Errorf("give runs cores of their own: %w", err)
	}
	return nil
}

// run has one cell's run end, whatever of it is already there.
func (d *conductor) run(ctx, kill context.Context, c study.Cell) error {
	if ctx.Err() != nil {
		return nil
	}
	dir := d.study.RunDir(c)
	args := d.study.RunArgs(c)
	verb := "begins"
	if _, err := os.Stat(filepath.Join(dir, lineage.FileName)); err == nil {
		ended, err := d.ended(c)
		if err != nil {
			return err
		}
		if ended {
			d.say(c, 1, "had ended before")
			return nil
		}
		args, verb = d.study.ResumeArgs(c), "goes on"
	}
	if d.recipe != "" && verb == "begins" {
		args = append(args, "--recipe", d.recipe)
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	d.say(c, 0, verb)
	begun := time.Now()
	if err := d.mendel(ctx, kill, dir+".log", append([]string{"run"}, args...)); err != nil {
		if ctx.Err() != nil {
			d.say(c, 0, "interrupted; the study goes on with it when it is run again")
			return nil
		}
		d.say(c, 1, "failed: "+err.Error())
		return research.Hinted(err, "its output is in "+dir+".log")
	}
	d.say(c, 1, fmt.Sprintf("ended after %s%s", time.Since(begun).Round(time.Second), d.result(dir)))
	return nil
}

// ended says whether a run has ended, having been made as the study now plans it.
func (d *conductor) ended(c study.Cell) (bool, error) {
	r, err := lineage.OpenReader(d.study.RunDir(c))
	if err != nil {
		return false, err
	}
	defer r.Close()
	if err := asPlanned(d.study, c, r); err != nil {
		return false, err
	}
	return endedIn(r)
}

// mendel runs this program with its output in a file. It has its own process group, so that Ctrl-C on
// the terminal reaches it once, from us; when this process is killed, it ends as after Ctrl-C.
func (d *conductor) mendel(ctx, kill context.Context, log string, args []string) error {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer out.Close()
	cmd := exec.CommandContext(ctx, d.self, args...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGINT}
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	if err := cmd.Start(); err != nil {
		return err
	}
	unhook := context.AfterFunc(kill, func() { cmd.Process.Signal(os.Interrupt) })
	defer unhook()
	return cmd.Wait()
}

func (d *conductor) say(c study.Cell, finished int, text string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.finished += finished
	fmt.Printf("%s  %3d of %d  %-24s %s\n", time.Now().Format(time.TimeOnly), d.finished, d.total, fmt.Sprintf("%s-%d", c.Arm.Name, c.Replicate), text)
}

// result says where a run stands, as far as it can be told.
func (d *conductor) result(dir string) string {
	r, err := lineage.OpenReader(dir)
	if err != nil {
		return ""
	}
	defer r.Close()
	best, found, err := r.Incumbent()
	if err != nil || !found {
		return ""
	}
	reg, err := r.Registration()
	score, scored := best.Score()
	if err != nil || !scored {
		return ""
	}
	return fmt.Sprintf(", best %s at %s", research.Quantity(score, reg.Score.Unit), best.ID)
}

// runEnded says whether a run ended because its budget was used or nobody had more to propose.
func runEnded(dir string) (bool, error) {
	r, err := lineage.OpenReader(dir)
	if err != nil {
		return false, err
	}
	defer r.Close()
	return endedIn(r)
}

func endedIn(r *lineage.Reader) (bool, error) {
	stopped, ok, err := r.Stopped()
	return ok && !stopped.Early, err
}

// failures collects errors from several goroutines.
type failures struct {
	mu   sync.Mutex
	list []error
}

func (f *failures) add(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = append(f.list, err)
}

func (f *failures) joined() error { return errors.Join(f.list...) }
