package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A process is one process of one boot of one host, told apart from a later one that was given
// the same number.
type process struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"` // clock ticks after boot, field 22 of /proc/PID/stat
	Boot  string `json:"boot_id,omitempty"`
	Host  string `json:"host"`
}

// identify describes the running process pid.
func identify(pid int) (process, error) {
	s, err := readStat(pid)
	if err != nil {
		return process{}, fmt.Errorf("identify process %d: %w", pid, err)
	}
	host, err := os.Hostname()
	if err != nil {
		return process{}, fmt.Errorf("name of this host: %w", err)
	}
	return process{PID: pid, Start: s.start, Boot: bootID(), Host: host}, nil
}

// bootID differs after every boot; it is empty where the kernel does not tell.
func bootID() string {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// alive reports whether p, which was identified on this host, still runs. A zombie does not.
func (p process) alive() bool {
	if p.Boot != bootID() {
		return false
	}
	s, err := readStat(p.PID)
	return err == nil && s.start == p.Start && !s.over()
}

// pollInterval is how often a process is looked at where the kernel cannot notify: before Linux 5.3.
const pollInterval = 50 * time.Millisecond

// await returns nil when p has ended, and the cause of ctx when that ends first. It does not reap.
func (p process) await(ctx context.Context) error {
	fd, err := unix.PidfdOpen(p.PID, unix.PIDFD_NONBLOCK)
	if err != nil {
		return p.poll(ctx)
	}
	file := os.NewFile(uintptr(fd), "pidfd")
	defer file.Close()
	if !p.alive() { // also when the number was reused before it was opened
		return nil
	}
	stop := context.AfterFunc(ctx, func() { _ = file.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	conn, err := file.SyscallConn()
	if err != nil {
		return p.poll(ctx)
	}
	// A pidfd becomes readable when its process ends.
	err = conn.Read(func(fd uintptr) bool {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, 0)
		return n > 0 && err == nil
	})
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	default:
		return p.poll(ctx)
	}
}

func (p process) poll(ctx context.Context) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for p.alive() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// stat is what /proc/PID/stat says, as far as it matters here.
type stat struct {
	pid, parent, session, threads int
	start                         uint64
	state                         byte
}

// over reports whether the process has ended, though its parent has not asked for its status yet.
// The state is that of the first thread, and a killed process may lose that one first.
func (s stat) over() bool { return (s.state == 'Z' || s.state == 'X') && s.threads <= 1 }

func readStat(pid int) (stat, error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if errors.Is(err, unix.ESRCH) { // it ended between open and read
		err = fs.ErrNotExist
	}
	if err != nil {
		return stat{}, err
	}
	return parseStat(pid, text)
}

// parseStat reads "PID (NAME) STATE PPID PGRP SESSION …"; the name may hold anything, also ')'.
func parseStat(pid int, text []byte) (stat, error) {
	_, rest, found := bytes.Cut(text[max(0, bytes.LastIndexByte(text, ')')):], []byte(") "))
	fields := bytes.Fields(rest)
	if !found || len(fields) < 20 || len(fields[0]) != 1 {
		return stat{}, fmt.Errorf("/proc/%d/stat: unexpected form", pid)
	}
	s := stat{pid: pid, state: fields[0][0]}
	var errs [4]error
	s.parent, errs[0] = strconv.Atoi(string(fields[1]))
	s.session, errs[1] = strconv.Atoi(string(fields[3]))
	s.threads, errs[2] = strconv.Atoi(string(fields[17]))
	s.start, errs[3] = strconv.ParseUint(string(fields[19]), 10, 64)
	if err := errors.Join(errs[:]...); err != nil {
		return stat{}, fmt.Errorf("/proc/%d/stat: %w", pid, err)
	}
	return s, nil
}

// processes reads the state of every process that there is to see.
func processes() ([]stat, error) {
	pids, err := numbers()
	if err != nil {
		return nil, err
	}
	all := make([]stat, 0, len(pids))
	for _, pid := range pids {
		s, err := readStat(pid)
		if errors.Is(err, fs.ErrNotExist) {
			continue // ended since
		}
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// numbers lists the processes that there are to see.
func numbers() ([]int, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}
