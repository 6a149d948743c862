package sandbox

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// memorySlack is what a process may map beyond the memory limit where no cgroup holds it: thread
// stacks and allocator arenas are mapped, and count, long before they are used.
const memorySlack = 1 << 30

// limitProcess sets the limits of a process that has not started the command yet; whatever it
// forks inherits them.
func (h *Host) limitProcess(pid int, c *Command) error {
	l := c.Limits
	set := func(name string, resource int, value int64) error {
		if value <= 0 {
			return nil
		}
		return setLimit(pid, name, resource, uint64(value))
	}
	fileSize := l.FileSize
	if h.Disk == Watchdog && l.Disk > 0 && (fileSize <= 0 || l.Disk < fileSize) {
		fileSize = l.Disk
	}
	if err := setLimit(pid, "core size", unix.RLIMIT_CORE, 0); err != nil {
		return err
	}
	if err := set("file size", unix.RLIMIT_FSIZE, fileSize); err != nil {
		return err
	}
	if err := set("open files", unix.RLIMIT_NOFILE, int64(l.OpenFiles)); err != nil {
		return err
	}
	if err := set("CPU seconds", unix.RLIMIT_CPU, int64(l.CPUSeconds)); err != nil {
		return err
	}
	// Data, not address space: CUDA reserves far more addresses than it ever uses.
	if l.Memory > 0 && (h.Memory == Watchdog || h.Memory == Rlimit) {
		if err := set("data size", unix.RLIMIT_DATA, l.Memory+memorySlack); err != nil {
			return err
		}
	}
	// Inside a user namespace the count starts at zero, so that this holds for the sandbox
	// alone. Below, the helper sets it, for it counts all processes of the user.
	if l.Processes > 0 && h.Level == Isolated && h.Processes == Rlimit {
		if err := set("processes", unix.RLIMIT_NPROC, int64(l.Processes+1)); err != nil {
			return err
		}
	}
	return pin(pid, c.CPUs)
}

func setLimit(pid int, name string, resource int, value uint64) error {
	var now unix.Rlimit
	if err := unix.Prlimit(pid, resource, nil, &now); err != nil {
		return fmt.Errorf("limit %s: %w", name, err)
	}
	value = min(value, now.Max) // nobody may raise a hard limit
	if err := unix.Prlimit(pid, resource, &unix.Rlimit{Cur: value, Max: value}, nil); err != nil {
		return fmt.Errorf("limit %s: %w", name, err)
	}
	return nil
}

func pin(pid int, cpus []int) error {
	if len(cpus) == 0 {
		return nil
	}
	var set unix.CPUSet
	for _, cpu := range cpus {
		set.Set(cpu)
	}
	if err := unix.SchedSetaffinity(pid, &set); err != nil {
		return fmt.Errorf("pin to cores %v: %w", cpus, err)
	}
	return nil
}

// dup duplicates a descriptor without touching its mode, which File.Fd would.
func dup(f *os.File) (*os.File, error) {
	conn, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	var fd int
	var failed error
	if err := conn.Control(func(old uintptr) { fd, failed = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0) }); err != nil {
		return nil, err
	}
	if failed != nil {
		return nil, failed
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}
