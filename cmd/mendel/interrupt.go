package main

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// stopping holds the two ways in which a run is asked to end.
type stopping struct {
	stop, kill context.Context
	release    func()
}

// interrupts turns signals into the two contexts: the first asks for no new work, the second
// kills running trials, the third ends this process at once. A hang-up only ever asks. The
// returned func is what the screen calls when Ctrl-C reaches it as a key.
func interrupts(parent context.Context, say func(string)) (stopping, func()) {
	stop, cancelStop := context.WithCancel(parent)
	kill, cancelKill := context.WithCancel(parent)
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	signal.Ignore(syscall.SIGPIPE) // a closed terminal must not end the run
	var mu sync.Mutex
	asked := 0
	interrupt := func() {
		mu.Lock()
		defer mu.Unlock()
		switch asked++; asked {
		case 1:
			say("no new work; running trials finish. Once more kills them.")
			cancelStop()
		case 2:
			say("killing the running trials")
			cancelKill()
		default:
			os.Exit(exitInterrupted)
		}
	}
	over := make(chan struct{})
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		for {
			select {
			case s := <-signals:
				if s == syscall.SIGHUP {
					cancelStop()
				} else {
					interrupt()
				}
			case <-over:
				return
			}
		}
	}()
	return stopping{stop: stop, kill: kill, release: func() {
		signal.Stop(signals)
		close(over)
		<-finished
		cancelStop()
		cancelKill()
	}}, interrupt
}
