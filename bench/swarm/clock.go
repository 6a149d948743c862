package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"mendel/internal/propose/session"
)

// A sample is what was measured of one team.
type sample struct {
	Sessions   float64 // parts of sessions at the edges count as parts
	Wall       float64 // s, that were measured
	Mean, P95  float64 // s, from one end of a session to the next of the same agent
	Memory     int64   // bytes: the most that was resident at once
	Supervisor float64 // s of processor time
	Server     float64 // the same of the model
	Machine    float64 // the same of everything on the machine
}

// patience bounds the wait for the sessions that were under way when the measurement ended.
const patience = 60 * time.Second

// A clock notes when sessions end.
type clock struct {
	warm, lasts time.Duration
	begun       chan struct{} // closed when the first session begins
	begin       sync.Once
	gone        chan struct{} // closed when no more will come

	mu       sync.Mutex
	sessions map[int][]time.Time // by agent: when its first began, then when each ended
	failed   error
	more     chan struct{} // closed and replaced at each end
}

func newClock(warm, lasts time.Duration) *clock {
	return &clock{
		warm: warm, lasts: lasts, begun: make(chan struct{}), gone: make(chan struct{}),
		sessions: map[int][]time.Time{}, more: make(chan struct{}),
	}
}

// abandon tells the clock that the supervisor has ended.
func (c *clock) abandon() { close(c.gone) }

// A clocked proposer tells the clock of its sessions.
type clocked struct {
	session.Proposer
	clock *clock
	agent int
}

// Propose plays one session.
func (p clocked) Propose(ctx context.Context, s *session.Session) error {
	p.clock.opened(p.agent)
	err := p.Proposer.Propose(ctx, s)
	if ctx.Err() == nil {
		if err == nil && s.Submitted() != 1 {
			err = fmt.Errorf("a session of agent %d submitted %d trials", p.agent, s.Submitted())
		}
		p.clock.ended(p.agent, err)
	}
	return err
}

func (c *clock) opened(agent int) {
	c.begin.Do(func() { close(c.begun) })
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sessions[agent] == nil {
		c.sessions[agent] = []time.Time{time.Now()}
	}
}

func (c *clock) ended(agent int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failed = errors.Join(c.failed, err)
	c.sessions[agent] = append(c.sessions[agent], time.Now())
	close(c.more)
	c.more = make(chan struct{})
}

// measure waits until it is warm, measures, and waits for the ends of the sessions that were
// under way.
func (c *clock) measure(agents int) (sample, error) {
	select {
	case <-c.begun:
	case <-c.gone:
		return sample{}, errors.New("the run ended before its first session")
	}
	time.Sleep(c.warm)
	before, err := usage()
	if err != nil {
		return sample{}, err
	}
	from := time.Now()
	time.Sleep(c.lasts)
	to := time.Now()
	after, err := usage()
	if err != nil {
		return sample{}, err
	}
	m := sample{
		Wall: to.Sub(from).Seconds(), Supervisor: after.supervisor - before.supervisor,
		Server: after.server - before.server, Machine: after.machine - before.machine,
	}
	if err := c.waitFor(agents, to); err != nil {
		return sample{}, err
	}
	var lengths []float64
	m.Sessions, lengths = c.between(from, to)
	if len(lengths) == 0 {
		return sample{}, errors.New("no session ended; measure longer")
	}
	slices.Sort(lengths)
	m.P95 = lengths[(len(lengths)-1)*95/100]
	for _, l := range lengths {
		m.Mean += l / float64(len(lengths))
	}
	m.Memory, err = peakMemory()
	return m, err
}

// waitFor waits until every agent has ended a session after a moment.
func (c *clock) waitFor(agents int, moment time.Time) error {
	late := time.After(patience)
	for {
		c.mu.Lock()
		passed, failed, more := 0, c.failed, c.more
		for _, times := range c.sessions {
			if len(times) > 1 && times[len(times)-1].After(moment) {
				passed++
			}
		}
		c.mu.Unlock()
		switch {
		case failed != nil:
			return failed
		case passed == agents:
			return nil
		}
		select {
		case <-more:
		case <-c.gone:
			return errors.New("the run ended early")
		case <-late:
			return fmt.Errorf("%d of %d agents ended no session within %v", agents-passed, agents, patience)
		}
	}
}

// between counts the sessions of a stretch of time, those at its edges in part, and lists how
// long each one that reaches into it took. A session begins where its agent's last one ended.
func (c *clock) between(from, to time.Time) (count float64, lengths []float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, times := range c.sessions {
		for i, end := range times[1:] {
			begin := times[i]
			if !end.After(from) || !begin.Before(to) {
				continue
			}
			inside := min(end.Sub(from), to.Sub(begin), end.Sub(begin), to.Sub(from))
			count += inside.Seconds() / end.Sub(begin).Seconds()
			lengths = append(lengths, end.Sub(begin).Seconds())
		}
	}
	return count, lengths
}

// processorTime is what has been used so far, in seconds.
type processorTime struct{ supervisor, server, machine float64 }

// ticks is the unit of /proc, in 1/s: the same on every Linux that Go runs on.
const ticks = 100

func usage() (processorTime, error) {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return processorTime{}, err
	}
	own := float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
	server, err := serverTime()
	if err != nil {
		return processorTime{}, err
	}
	machine, err := machineTime()
	return processorTime{own, server, machine}, err
}

// serverTime is that of the parent process, where the model's server is.
func serverTime() (float64, error) {
	name := fmt.Sprintf("/proc/%d/stat", os.Getppid())
	data, err := os.ReadFile(name)
	if err != nil {
		return 0, err
	}
	const user, system = 11, 12 // counted from the field after the program's name, which may hold anything
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	if len(fields) <= system {
		return 0, fmt.Errorf("%s: %d fields", name, len(fields))
	}
	return sum(fields[user : system+1])
}

// machineTime is all that was not idle, in a virtual machine also what was taken from it.
func machineTime() (float64, error) {
	data, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	line, _, _ := strings.Cut(string(data), "\n")
	const user, idle, iowait, steal = 1, 4, 5, 8
	fields := strings.Fields(line)
	if len(fields) <= steal {
		return 0, fmt.Errorf("/proc/stat: %q", line)
	}
	return sum(slices.Concat(fields[user:idle], fields[iowait+1:steal+1]))
}

// sum adds numbers of ticks, in seconds.
func sum(fields []string) (float64, error) {
	total := 0.0
	for _, f := range fields {
		n, err := strconv.ParseFloat(f, 64)
		if err != nil {
			return 0, err
		}
		total += n / ticks
	}
	return total, nil
}

// peakMemory is this process's own. What getrusage says would include the process that started it.
func peakMemory() (int64, error) {
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	_, rest, found := strings.Cut(string(data), "VmHWM:")
	fields := strings.Fields(rest)
	if !found || len(fields) == 0 {
		return 0, errors.New("/proc/self/status: no VmHWM")
	}
	kilobytes, err := strconv.ParseInt(fields[0], 10, 64)
	return kilobytes * 1024, err
}
