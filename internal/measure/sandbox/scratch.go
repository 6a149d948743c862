package sandbox

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// privateMountsMark tells a process that it was started with [PrivateMounts].
const privateMountsMark = "MENDEL_PRIVATE_MOUNTS"

// PrivateMounts makes cmd start in a mount namespace of its own, so that what it mounts is seen by
// nobody else and vanishes with it, however it ends. An ordinary user gets a user namespace for
// it, with his own uid. Use it only where [Host.PrivateMounts] is set: elsewhere the start fails.
func PrivateMounts(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	a := cmd.SysProcAttr
	a.Unshareflags |= syscall.CLONE_NEWNS // unlike Cloneflags this also stops propagation to the host
	if uid := os.Getuid(); uid != 0 {
		a.Cloneflags |= syscall.CLONE_NEWUSER
		a.UidMappings = []syscall.SysProcIDMap{{ContainerID: uid, HostID: uid, Size: 1}}
		a.GidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getgid(), HostID: os.Getgid(), Size: 1}}
		a.AmbientCaps = append(a.AmbientCaps, unix.CAP_SYS_ADMIN)
	}
	cmd.Env = append(cmd.Environ(), privateMountsMark+"=1")
}

// probeMounts finds out whether scratch directories can be size-limited.
func (h *Host) probeMounts(ctx context.Context) {
	h.Disk = Watchdog
	if hasPrivateMounts() {
		h.Disk, h.PrivateMounts = Tmpfs, true
		return
	}
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", "exec mount -t tmpfs -o size=4096 mendel /tmp")
	PrivateMounts(cmd)
	h.PrivateMounts = cmd.Run() == nil
}

func hasPrivateMounts() bool { return os.Getenv(privateMountsMark) != "" }

// A Scratch is a writable directory for one sandbox.
type Scratch struct {
	Dir     string
	mounted bool
}

// NewScratch makes dir a fresh writable directory that holds at most size bytes, by a memory file
// system where [Host.Disk] is Tmpfs. What is written there then counts towards the memory limit
// of the sandbox that wrote it. Elsewhere it is a plain directory, and [Limits.Disk] is watched.
func (h *Host) NewScratch(dir string, size int64) (*Scratch, error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, fmt.Errorf("scratch: %w", err)
	}
	s := &Scratch{Dir: dir}
	if h.Disk != Tmpfs || size <= 0 {
		return s, nil
	}
	options := fmt.Sprintf("size=%d,mode=0755", size)
	if err := unix.Mount("mendel", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		os.Remove(dir)
		return nil, fmt.Errorf("scratch %s: mount: %w", dir, err)
	}
	s.mounted = true
	return s, nil
}

// Close removes the directory and all that is in it.
func (s *Scratch) Close() error {
	if s.mounted {
		// Lazily: a sandbox that is just being torn down may still hold it.
		if err := unix.Unmount(s.Dir, unix.MNT_DETACH); err != nil {
			return fmt.Errorf("scratch %s: unmount: %w", s.Dir, err)
		}
		s.mounted = false
	}
	if err := os.RemoveAll(s.Dir); err != nil {
		return fmt.Errorf("scratch: %w", err)
	}
	return nil
}
