package executortest

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"sync"

	"mendel/internal/measure/executor"
	"mendel/internal/research"
)

func endings(s *suite) {
	e := s.supervisor()
	for _, c := range []struct {
		ending Ending
		ended  bool
		codes  []int // any of these
	}{
		{WithResult, true, []int{0, -1}},
		{CrashesAfterAll, true, []int{3, -1}},
		{WithoutResult, false, []int{3, -1}},
		{KillsItself, false, []int{128 + 9, -1}},
	} {
		j := s.job(Plan{Ending: c.ending})
		s.submit(e, j)
		exit := s.wait(e, j)
		if exit.Ended != c.ended || exit.Code != c.codes[0] && exit.Code != c.codes[1] {
			s.Errorf("%q: exit %+v, want Ended %v and Code among %v", c.ending, exit, c.ended, c.codes)
		}
		if exit.Wall <= 0 {
			s.Errorf("%q: it took %v", c.ending, exit.Wall)
		}
		j.Gone(s.T)
	}
}

func repeatedSubmit(s *suite) {
	e := s.supervisor()
	j := s.job(Plan{Held: true})
	s.submit(e, j)
	s.submit(e, j)
	j.Ready(s.T)
	s.submit(e, j)
	j.Release(s.T)
	if !s.wait(e, j).Ended {
		s.Error("it did not end well")
	}
	s.startedOnce(j)
}

func concurrentSubmit(s *suite) {
	e := s.supervisor()
	j := s.job(Plan{})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if err := e.Submit(s.ctx, j.Job); err != nil {
				s.Error(err)
			}
		})
	}
	all.Wait()
	s.wait(e, j)
	s.startedOnce(j)
}

func submitAfterTheEnd(s *suite) {
	e := s.supervisor()
	for _, ending := range []Ending{WithResult, WithoutResult} {
		j := s.job(Plan{Ending: ending})
		s.submit(e, j)
		before := s.wait(e, j)
		s.submit(e, j)
		if after := s.wait(e, j); after != before {
			s.Errorf("%q: exit %+v, and after another Submit %+v", ending, before, after)
		}
		s.startedOnce(j)
	}
}

func oneIDTwoBundles(s *suite) {
	e := s.supervisor()
	a, b := s.job(Plan{}), s.job(Plan{})
	s.submit(e, a)
	b.ID = a.ID
	if err := e.Submit(s.ctx, b.Job); err == nil {
		s.Error("one id was taken for two bundles")
	}
	s.wait(e, a)
	if b.Starts(s.T) != 0 {
		s.Error("the second bundle was measured")
	}
}

func noBundle(s *suite) {
	e := s.supervisor()
	job := executor.Job{ID: "nowhere", Bundle: filepath.Join(s.dir, "nowhere")}
	if err := e.Submit(s.ctx, job); err == nil {
		s.Error("a job without a bundle was taken")
	}
	if _, err := e.Wait(s.ctx, job.ID); !errors.Is(err, executor.ErrUnknownJob) {
		s.Errorf("wait for a job that was not taken: %v, want ErrUnknownJob", err)
	}
}

func unfit(s *suite) {
	e := s.supervisor()
	for _, r := range []executor.Resources{{CPUs: 1 << 20}, {CPUs: 1, GPUs: 1 << 20}} {
		j := s.job(Plan{})
		j.Resources = r
		err := e.Submit(s.ctx, j.Job)
		if !errors.Is(err, executor.ErrUnfit) || research.Hint(err) == "" {
			s.Errorf("%+v: error %v with hint %q, want ErrUnfit with a hint", r, err, research.Hint(err))
		}
		j.Resources = executor.Resources{CPUs: 1}
		s.submit(e, j) // a refusal is forgotten
		s.wait(e, j)
	}
}

func unknownJob(s *suite) {
	e := s.supervisor()
	if _, err := e.Wait(s.ctx, "nobody"); !errors.Is(err, executor.ErrUnknownJob) {
		s.Errorf("Wait: %v, want ErrUnknownJob", err)
	}
	if err := e.Cancel(s.ctx, "nobody"); !errors.Is(err, executor.ErrUnknownJob) {
		s.Errorf("Cancel: %v, want ErrUnknownJob", err)
	}
}

func contextsDoNotEndJobs(s *suite) {
	e := s.supervisor()
	j := s.job(Plan{Held: true})
	ctx, end := context.WithCancel(s.ctx)
	if err := e.Submit(ctx, j.Job); err != nil {
		s.Fatal(err)
	}
	j.Ready(s.T)
	waited := make(chan error)
	go func() {
		_, err := e.Wait(ctx, j.ID)
		waited <- err
	}()
	end()
	if err := <-waited; !errors.Is(err, context.Canceled) {
		s.Errorf("Wait: %v, want the end of its context", err)
	}
	refused := s.job(Plan{})
	if err := e.Submit(ctx, refused.Job); !errors.Is(err, context.Canceled) {
		s.Errorf("Submit: %v, want the end of its context", err)
	}
	j.Release(s.T)
	if !s.wait(e, j).Ended {
		s.Error("the job ended with a context")
	}
	if refused.Starts(s.T) != 0 {
		s.Error("a job whose Submit failed was started")
	}
}

func severalWaiters(s *suite) {
	e := s.supervisor()
	j := s.job(Plan{Held: true})
	s.submit(e, j)
	exits := make(chan executor.Exit)
	for range 4 {
		go func() {
			exit, err := e.Wait(s.ctx, j.ID)
			if err != nil {
				s.Error(err)
			}
			exits <- exit
		}()
	}
	j.Release(s.T)
	first := s.wait(e, j)
	for range 4 {
		if exit := <-exits; exit != first {
			s.Errorf("one waiter got %+v, another %+v", exit, first)
		}
	}
}

// leaseTaken is an orphan: the caller gave up on it while it ran on.
func leaseTaken(s *suite) {
	e := s.supervisor()
	j := s.job(Plan{Held: true})
	s.submit(e, j)
	j.Ready(s.T)
	if err := j.b.Fence("another"); err != nil {
		s.Fatal(err)
	}
	j.Release(s.T)
	if exit := s.wait(e, j); exit.Ended {
		s.Error("a runner without the lease ended with a result")
	}
}

func restartWhileRunning(s *suite) {
	first := s.supervisor()
	j := s.job(Plan{Held: true})
	s.submit(first, j)
	j.Ready(s.T)
	s.leave(first)
	second := s.supervisor()
	if _, err := second.Wait(s.ctx, j.ID); !errors.Is(err, executor.ErrUnknownJob) {
		s.Errorf("Wait before Submit: %v, want ErrUnknownJob", err)
	}
	s.submit(second, j)
	j.Release(s.T)
	if exit := s.wait(second, j); !exit.Ended || exit.Wall <= 0 {
		s.Errorf("exit %+v", exit)
	}
	s.startedOnce(j)
}

func restartAfterResult(s *suite) {
	first := s.supervisor()
	j := s.job(Plan{Held: true})
	s.submit(first, j)
	j.Ready(s.T)
	s.leave(first)
	j.Release(s.T)
	j.Ended(s.T)
	if !j.HasResult() {
		s.Fatal("no result without the executor that started it")
	}
	second := s.supervisor()
	s.submit(second, j)
	if !s.wait(second, j).Ended {
		s.Error("its result was not seen")
	}
	s.startedOnce(j)
}

func restartAfterCrash(s *suite) {
	for _, ending := range []Ending{WithoutResult, KillsItself} {
		first := s.supervisor()
		j := s.job(Plan{Held: true, Ending: ending})
		s.submit(first, j)
		j.Ready(s.T)
		s.leave(first)
		j.Release(s.T)
		j.Ended(s.T)
		second := s.supervisor()
		s.submit(second, j)
		if s.wait(second, j).Ended {
			s.Errorf("%q: it ended with a result", ending)
		}
		s.startedOnce(j)
	}
}

// closeEndsWaiting: who still waits when an executor is closed is told so, and the job goes on.
func closeEndsWaiting(s *suite) {
	e := s.supervisor()
	if _, ok := e.(io.Closer); !ok {
		s.Skip("this executor is never closed")
	}
	j := s.job(Plan{Held: true})
	s.submit(e, j)
	j.Ready(s.T)
	waited := make(chan error)
	go func() {
		_, err := e.Wait(s.ctx, j.ID)
		waited <- err
	}()
	s.leave(e)
	if err := <-waited; err == nil {
		s.Error("Wait of a closed executor said that a running job had ended")
	}
	if held, err := j.b.Held(); err != nil || !held {
		s.Errorf("the job ended with its executor (%v)", err)
	}
	j.Release(s.T)
	j.Ended(s.T)
}
