// Command swarm measures how a supervisor bears many specialists at once: how many sessions go
// through it in a minute, how much of N times the throughput of one specialist N of them reach,
// and what memory and processor time it takes.
//
// The supervisor is the real one, with its run file, sessions, prompts, bundles and a client that
// streams from a server on the loopback interface. Two things are stand-ins, so that they cost
// nothing and last the same each time: the model, which plays a short session by a script, and
// the measurement of a trial, which is a wait. The supervisor is a process of its own (see
// supervise.go); the model's server is in this one. Start reading at [run].
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// A setting is what is the same for all teams of a run of this program.
type setting struct {
	Task    string        // directory of a task package
	Dir     string        // where runs are made
	Latency time.Duration // of a model call
	Trial   time.Duration // how long a trial takes
	Warm    time.Duration // from the time when all agents may have begun to the measurement
	Measure time.Duration
	Stagger time.Duration // between the openings of two sessions
	Profile string        // directory for profiles of the supervisor
}

func main() {
	var s setting
	teams := flag.String("agents", "1,10,100", "sizes of the team, separated by commas; the first is what the others are compared with")
	rounds := flag.Int("rounds", 3, "how often to measure each")
	flag.StringVar(&s.Task, "task", "tasks/golf-cpu", "task to improve: one with a LEARNING_RATE in train.py")
	flag.StringVar(&s.Dir, "dir", "", "where to make the runs: on the kind of disk where runs will live (default: a temporary directory)")
	flag.DurationVar(&s.Latency, "latency", 200*time.Millisecond, "of a model call")
	flag.DurationVar(&s.Trial, "trial", time.Second, "how long a trial takes")
	flag.DurationVar(&s.Warm, "warm", 5*time.Second, "from the time when all specialists may have begun to the measurement")
	flag.DurationVar(&s.Measure, "measure", 20*time.Second, "how long to measure")
	flag.DurationVar(&s.Stagger, "stagger", 200*time.Millisecond, "between the openings of two sessions, as `mendel run` has it")
	flag.StringVar(&s.Profile, "profile", "", "directory for profiles of the supervisor")
	order := flag.String("supervise", "", "for this program's own use: be the supervisor")
	flag.Parse()
	var err error
	if *order != "" {
		err = supervise(*order)
	} else {
		err = run(s, *teams, *rounds)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "swarm: error:", err)
		os.Exit(1)
	}
}

func run(s setting, teams string, rounds int) error {
	var sizes []int
	for text := range strings.SplitSeq(teams, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return fmt.Errorf("%q is no size of a team", text)
		}
		sizes = append(sizes, n)
	}
	if rounds < 1 {
		return errors.New("-rounds: want at least one")
	}
	measured := make([][]sample, len(sizes))
	for range rounds { // interleaved, so that a slow moment of the machine hits all sizes
		for i, n := range sizes {
			m, err := measure(s, n)
			if err != nil {
				return fmt.Errorf("%d specialists: %w", n, err)
			}
			measured[i] = append(measured[i], m)
		}
	}
	return report(os.Stdout, s, sizes, measured)
}
