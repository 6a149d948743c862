package executortest

import (
	"context"
	"sync"
)

func cancel(s *suite) {
	e := s.supervisor()
	for name, plan := range map[string]Plan{
		"plain":                      {Held: true},
		"ignores signals":            {Held: true, Deaf: true},
		"daemon":                     {Held: true, Daemon: Inherits},
		"daemon without environment": {Held: true, Daemon: Scrubs},
	} {
		j := s.job(plan)
		s.submit(e, j)
		j.Ready(s.T)
		s.cancel(e, j)
		j.Gone(s.T)
		if exit := s.wait(e, j); exit.Ended {
			s.Errorf("%s: it ended with a result", name)
		}
		s.submit(e, j)
		s.startedOnce(j) // a cancelled job never starts again
	}
}

func cancelAdopted(s *suite) {
	first := s.supervisor()
	j := s.job(Plan{Held: true, Deaf: true, Daemon: Inherits})
	s.submit(first, j)
	j.Ready(s.T)
	s.leave(first)
	second := s.supervisor()
	s.submit(second, j)
	s.cancel(second, j)
	j.Gone(s.T)
	if s.wait(second, j).Ended {
		s.Error("it ended with a result")
	}
}

func cancelAfterTheEnd(s *suite) {
	e := s.supervisor()
	j := s.job(Plan{})
	s.submit(e, j)
	before := s.wait(e, j)
	s.cancel(e, j)
	s.cancel(e, j)
	if after := s.wait(e, j); after != before {
		s.Errorf("exit %+v, and after Cancel %+v", before, after)
	}
	if !j.HasResult() {
		s.Error("Cancel took the result away")
	}
}

func concurrentCancel(s *suite) {
	e := s.supervisor()
	j := s.job(Plan{Held: true})
	s.submit(e, j)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if err := e.Cancel(s.ctx, j.ID); err != nil {
				s.Error(err)
			}
			j.Gone(s.T)
		})
	}
	all.Wait()
	if s.wait(e, j).Ended {
		s.Error("it ended with a result")
	}
}

// cancelBeforeItsTurn cancels a job that no slot was free for, whether the executor queues it or its Submit waits.
func cancelBeforeItsTurn(s *suite) {
	e := s.supervisor()
	alone := s.job(Plan{Held: true})
	alone.Resources.Exclusive = true
	s.submit(e, alone)
	alone.Ready(s.T)
	j := s.job(Plan{})
	j.Resources.Exclusive = true
	submitted := make(chan error)
	go func() { submitted <- e.Submit(s.ctx, j.Job) }()
	for known := false; !known; { // a Wait that ends with its context, not with ErrUnknownJob, found the job
		ctx, end := context.WithCancel(s.ctx)
		end()
		_, err := e.Wait(ctx, j.ID)
		known = isCancelled(err)
	}
	s.cancel(e, j)
	if err := <-submitted; err != nil {
		s.Fatal(err)
	}
	alone.Release(s.T)
	s.wait(e, alone)
	if exit := s.wait(e, j); exit.Ended {
		s.Error("it ended with a result")
	}
	if j.Starts(s.T) != 0 {
		s.Error("it was started after it had been cancelled")
	}
}

// crashLeavesNothing: what a runner that died in the middle had started does not outlive it for long,
// and does not share the host with an exclusive job.
func crashLeavesNothing(s *suite) {
	e := s.supervisor()
	j := s.job(Plan{Daemon: Inherits, Ending: KillsItself})
	s.submit(e, j)
	if s.wait(e, j).Ended {
		s.Fatal("it ended with a result")
	}
	alone := s.job(Plan{Held: true})
	alone.Resources.Exclusive = true
	s.submit(e, alone)
	alone.Ready(s.T)
	j.Gone(s.T)
	alone.Release(s.T)
	s.wait(e, alone)
}
