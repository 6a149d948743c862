// Package sandbox runs one untrusted command with what the host offers, and says what it got.
// Start reading at [Host.Start].
//
// A [Host] is what [Probe] found by really trying; a [Command] says what the process may see and
// how much it may use; an [Exit] says how it ended, once nothing of its process tree is left.
//
// The package knows nothing of recipes, phases or scores. What a Python interpreter needs of the
// host is the business of package environ.
package sandbox

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
)

// A Level says how strongly a command is kept apart from the host. Values are stored: add, never rename.
type Level string

const (
	// Isolated is bubblewrap: own user, mount, process, network and IPC namespaces; the guest's
	// file system holds what was mounted and nothing else.
	Isolated Level = "isolated"
	// Confined is Landlock, seccomp and resource limits, applied by a re-executed helper. The
	// guest sees the host's names, but can open only what was allowed; it has no sockets.
	Confined Level = "confined"
	// Limited is resource limits, a session of its own, a sub-reaper, and the system call filter
	// where the kernel has one. It stops accidents, not attacks.
	Limited Level = "limited"
	// None is a plain child process whose tree is still killed as a whole.
	None Level = "none"
)

// Levels lists every level, strongest first.
func Levels() []Level { return []Level{Isolated, Confined, Limited, None} }

// ParseLevel reads a level's stored name.
func ParseLevel(s string) (Level, error) {
	if l := Level(s); slices.Contains(Levels(), l) {
		return l, nil
	}
	return "", fmt.Errorf("unknown sandbox level %q: want isolated, confined, limited or none", s)
}

// AtLeast reports whether l is as strong as want or stronger.
func (l Level) AtLeast(want Level) bool {
	return slices.Index(Levels(), l) <= slices.Index(Levels(), want)
}

// An Enforcer names who holds a limit. Values are stored: add, never rename.
type Enforcer string

// The enforcers of limits.
const (
	CgroupV2 Enforcer = "cgroup2"  // the kernel, for the tree as a whole
	CgroupV1 Enforcer = "cgroup1"  // the kernel, for the tree as a whole
	Rlimit   Enforcer = "rlimit"   // the kernel, for each process or user
	Watchdog Enforcer = "watchdog" // we poll, and kill the tree
	Nobody   Enforcer = "none"
)

// A Mount shows the host's path Host to the guest as Guest, read-only unless Writable.
// Both are absolute. Below [Isolated] there is no mount: see [Command.Mounts].
type Mount struct {
	Host, Guest string
	Writable    bool
}

// Limits bound the whole tree of a command. A zero field means no limit.
type Limits struct {
	Memory     int64 // bytes resident, with what the tree wrote to memory file systems
	Disk       int64 // bytes below all writable mounts together
	FileSize   int64 // bytes of any one file
	Output     int64 // bytes of stdout and stderr together
	Scratch    int64 // bytes of /tmp and of /dev/shm each; 0 means 64 MiB
	Processes  int   // processes and threads
	OpenFiles  int   // of each process
	CPUSeconds int   // processor seconds
}

// A Command is one untrusted command and all that it may see.
type Command struct {
	Argv []string // Argv[0] is a guest path
	Env  []string // the whole environment, NAME=value
	Dir  string   // guest path

	// Root is a prepared directory that becomes the guest's read-only /. It must hold every mount
	// point. Empty means an empty read-only / in which mount points are made as needed.
	Root string
	// Mounts is an allow-list. Below [Isolated] the guest paths do not exist; wherever a word of
	// Argv, a value of Env (or an element of it, split at ':') or Dir is a guest path or lies
	// below one, [Host.Start] puts a path that leads to the host's file there.
	Mounts []Mount
	// Fallback lists host paths that stand in for Root below [Isolated]: shared libraries, the
	// interpreter and the like, readable and executable where they are.
	Fallback []string
	// Listed are directories whose entries may be listed, but not read, below [Isolated].
	Listed []string
	// Devices are nodes such as /dev/nvidia0, readable and writable.
	Devices []string
	// CPUs pins the tree to these cores; empty leaves it where it is.
	CPUs []int

	Files          []*os.File // become descriptors 3, 4, …; the caller closes its own copies
	Stdout, Stderr io.Writer  // nil discards; called from one goroutine each
	Limits         Limits
}

// An Exit says how a command ended.
type Exit struct {
	Code     int    // exit status; 128 + signal for a command that a signal ended
	Signal   string // "killed", "segmentation fault", …; empty for a plain exit
	OOM      bool   // the memory limit was hit
	Overflow string // the limit that made us kill the tree: output, disk, memory, processes, cpu; or empty

	Wall   time.Duration // from before the start until nothing of the tree was left
	CPU    time.Duration // user and system time of the whole tree
	MaxRSS int64         // bytes, of the largest single process

	// Note says where the command was kept less strictly than its level promises; mostly empty.
	Note string
	// Err is a failure of the sandbox, not of the command: no evidence about what was run.
	Err error
}

// Failed reports whether the command ended in any way but a plain exit with status 0.
func (e Exit) Failed() bool { return e.Code != 0 || e.Err != nil || e.Overflow != "" }

func (e Exit) String() string {
	switch {
	case e.Err != nil:
		return "sandbox failed: " + e.Err.Error()
	case e.Overflow != "":
		return "killed: over its " + e.Overflow + " limit"
	case e.OOM:
		return "killed: out of memory"
	case e.Signal != "":
		return "ended by signal: " + e.Signal
	default:
		return fmt.Sprintf("exit status %d", e.Code)
	}
}

// check refuses what would otherwise fail late and unclearly.
func (c *Command) check() error {
	if len(c.Argv) == 0 {
		return fmt.Errorf("sandbox: empty command")
	}
	for _, m := range c.Mounts {
		if !strings.HasPrefix(m.Guest, "/") || !strings.HasPrefix(m.Host, "/") {
			return fmt.Errorf("sandbox: mount %s on %s: both must be absolute paths", m.Host, m.Guest)
		}
		if _, err := os.Stat(m.Host); err != nil {
			return fmt.Errorf("sandbox: mount on %s: %w", m.Guest, err)
		}
	}
	return nil
}
