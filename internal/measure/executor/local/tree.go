package local

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// A tree is everything that runs for one job: its runner, the runner's descendants and session,
// and, wherever they went, processes that inherited the runner's environment.
//
// A process is found while it has an unbroken line of parents to the runner, or carries the mark.
// One that cleared its environment and detached itself has such a line because runners are
// sub-reapers; when its runner is killed by somebody else it has neither, and only the sandbox
// that it was started in can have ended it.
type tree struct {
	root process // zero when no runner is known
	mark string  // the runner's environment entry that names the bundle
}

// The time between two looks at a tree that is being killed grows from the first to the second.
const (
	killPause    = 2 * time.Millisecond
	killPauseMax = 200 * time.Millisecond
)

// kill returns nil once nothing of the tree runs. Everything is stopped before anything is killed:
// a parent that dies would cut the line to its children, and one that runs could start more.
func (t tree) kill(ctx context.Context) error {
	seen := map[process]bool{}
	pause := killPause
	for {
		members, err := t.members(seen)
		if err != nil {
			return fmt.Errorf("look for processes of the job: %w", err)
		}
		if len(members) == 0 {
			t.bury(seen)
			return nil
		}
		fresh := false
		for _, m := range members {
			if !seen[m] {
				fresh, seen[m] = true, true
				signal(m, unix.SIGSTOP)
			}
		}
		if fresh {
			continue // until a look finds nobody new, who may have been started before its parent stopped
		}
		for _, m := range members {
			signal(m, unix.SIGKILL)
		}
		select {
		case <-time.After(pause):
			pause = min(2*pause, killPauseMax)
		case <-ctx.Done():
			return fmt.Errorf("%d processes of the job still run, process %d among them: %w", len(members), members[0].PID, context.Cause(ctx))
		}
	}
}

// members lists the processes of the tree that run, and those of seen with their descendants.
func (t tree) members(seen map[process]bool) ([]process, error) {
	all, err := processes()
	if err != nil {
		return nil, err
	}
	mine := t.roots(all, seen)
	for grew := true; grew; {
		grew = false
		for _, s := range all {
			// A child is no older than its parent. One that seems to be has lost its parent while
			// we looked, and the number belongs to somebody else.
			if since, ok := mine[s.parent]; ok && s.start >= since && !has(mine, s.pid) {
				mine[s.pid], grew = s.start, true
			}
		}
	}
	var members []process
	for _, s := range all {
		if has(mine, s.pid) && !s.over() && s.pid != os.Getpid() {
			members = append(members, process{PID: s.pid, Start: s.start})
		}
	}
	return members, nil
}

func has(mine map[int]uint64, pid int) bool {
	_, ok := mine[pid]
	return ok
}

// roots are the members that can be told without their parents, with their start times.
func (t tree) roots(all []stat, seen map[process]bool) map[int]uint64 {
	roots := map[int]uint64{}
	sameBoot := t.root.PID != 0 && t.root.Boot == bootID()
	// The kernel keeps a number while a session of that number has members, so that another
	// process of the runner's number means that the runner's session is gone.
	reused := slices.ContainsFunc(all, func(s stat) bool { return s.pid == t.root.PID && s.start != t.root.Start })
	for _, s := range all {
		switch {
		case s.pid == 1:
		case sameBoot && !reused && (s.pid == t.root.PID || s.session == t.root.PID),
			seen[process{PID: s.pid, Start: s.start}],
			!s.over() && marked(s.pid, t.mark):
			roots[s.pid] = s.start
		}
	}
	return roots
}

// marked reports whether the process was started with the environment entry mark. Processes of
// other users cannot be read, and are not ours.
func marked(pid int, mark string) bool {
	environ, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
	if err != nil {
		return false
	}
	return slices.ContainsFunc(bytes.Split(environ, []byte{0}), func(entry []byte) bool { return string(entry) == mark })
}

// bury asks for the status of those that ended as our children: orphans are handed to us when
// this process is a sub-reaper. The runner itself is asked for by whoever watches it.
func (t tree) bury(seen map[process]bool) {
	for p := range seen {
		if s, err := readStat(p.PID); err == nil && s.start == p.Start && s.over() && s.parent == os.Getpid() && p.PID != t.root.PID {
			_, _ = unix.Wait4(p.PID, nil, unix.WNOHANG, nil)
		}
	}
}

// signal sends to p unless its number now belongs to somebody else. Whether it helped shows at
// the next look.
func signal(p process, sig unix.Signal) {
	if s, err := readStat(p.PID); err == nil && s.start == p.Start {
		_ = unix.Kill(p.PID, sig)
	}
}
