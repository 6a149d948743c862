package sandbox

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// defaultScratch is the size of /tmp and /dev/shm where a command names none.
const defaultScratch = 64 << 20

// GuestName is the name of the host that an isolated guest believes to be on.
const GuestName = "mendel"

// Bubblewrap started as root keeps every capability unless told otherwise, and to drop the uid
// before it starts would fail below any 0700 directory; so the uid changes in a user namespace.
var isolation = []string{
	"--unshare-all", "--unshare-user", "--uid", "65534", "--gid", "65534", "--hostname", GuestName,
	"--cap-drop", "ALL", "--die-with-parent", "--new-session",
}

// bubblewrap prepares the command to run under bwrap.
func (h *Host) bubblewrap(c *Command) (wire, launch, error) {
	w, files, err := newWire()
	if err != nil {
		return wire{}, launch{}, err
	}
	rules, err := filterFile()
	if err != nil {
		closeAll(append(files, w.status, w.block)...)
		return wire{}, launch{}, err
	}
	status, block := files[0], files[1]
	first := 3 + len(c.Files)
	options := append(slices.Clone(isolation), h.bwrapExtra...)
	options = append(options,
		"--json-status-fd", strconv.Itoa(first), "--block-fd", strconv.Itoa(first+1), "--seccomp", strconv.Itoa(first+2))
	options = append(options, c.fileSystem()...)
	passed, err := optionsFile(options)
	if err != nil {
		closeAll(append(files, w.status, w.block, rules)...)
		return wire{}, launch{}, err
	}
	own, err := dupAll(c.Files)
	if err != nil {
		closeAll(append(files, w.status, w.block, rules, passed)...)
		return wire{}, launch{}, err
	}
	// The guest can read bubblewrap's command line, where host paths would tell it which
	// measurement this is.
	argv := append([]string{"bwrap", "--args", strconv.Itoa(first + 3), "--"}, c.Argv...)
	// One process is bubblewrap's own: the first of the pid namespace, which reaps the others.
	return w, launch{path: h.bwrap, argv: argv, files: append(own, status, block, rules, passed), extra: 1}, nil
}

// optionsFile gives a descriptor from which bubblewrap reads its options, and which it closes.
func optionsFile(options []string) (*os.File, error) {
	fd, err := unix.MemfdCreate("options", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memfd: %w", err)
	}
	f := os.NewFile(uintptr(fd), "options of the sandbox")
	// At an offset, so that it is read from the beginning.
	if _, err := f.WriteAt([]byte(strings.Join(options, "\x00")+"\x00"), 0); err != nil {
		f.Close()
		return nil, fmt.Errorf("pass the options of the sandbox: %w", err)
	}
	return f, nil
}

// fileSystem gives the bwrap options that build what the guest sees, and its environment.
// Each bind costs bwrap a walk through all mounts, so there are no more than needed.
func (c *Command) fileSystem() []string {
	size := strconv.FormatInt(max(c.Limits.Scratch, 0), 10)
	if size == "0" {
		size = strconv.Itoa(defaultScratch)
	}
	var a []string
	if c.Root != "" {
		a = append(a, "--ro-bind", c.Root, "/")
	}
	a = append(a, "--proc", "/proc", "--dev", "/dev")
	for _, d := range c.Devices {
		a = append(a, "--dev-bind", d, d)
	}
	a = append(a, "--size", size, "--tmpfs", "/dev/shm", "--remount-ro", "/dev", "--size", size, "--tmpfs", "/tmp")
	for _, m := range c.Mounts {
		how := "--ro-bind"
		if m.Writable {
			how = "--bind"
		}
		a = append(a, how, m.Host, m.Guest)
	}
	if c.Root == "" {
		a = append(a, "--remount-ro", "/")
	}
	if c.Dir != "" {
		a = append(a, "--chdir", c.Dir)
	}
	for _, e := range c.Env {
		name, value, _ := strings.Cut(e, "=")
		a = append(a, "--setenv", name, value)
	}
	return a
}

// newWire makes the two pipes to a launcher; files are its ends: status, block.
func newWire() (w wire, files []*os.File, err error) {
	var status, block *os.File
	if w.status, status, err = os.Pipe(); err != nil {
		return wire{}, nil, err
	}
	if block, w.block, err = os.Pipe(); err != nil {
		closeAll(w.status, status)
		return wire{}, nil, err
	}
	return w, []*os.File{status, block}, nil
}

// filterFile gives a descriptor from which the launcher reads the system call filter.
func filterFile() (*os.File, error) {
	program, err := filter(true)
	if err != nil {
		return nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer w.Close()
	if _, err := w.Write(encode(program)); err != nil { // a few KiB: less than a pipe holds
		r.Close()
		return nil, fmt.Errorf("pass the system call filter: %w", err)
	}
	return r, nil
}

// dupAll duplicates the caller's files, so that a launch owns all that it closes.
func dupAll(files []*os.File) ([]*os.File, error) {
	var own []*os.File
	for _, f := range files {
		d, err := dup(f)
		if err != nil {
			closeAll(own...)
			return nil, fmt.Errorf("pass %s: %w", f.Name(), err)
		}
		own = append(own, d)
	}
	return own, nil
}

// tryBubblewrap starts a sandbox. It returns the options that this bwrap needs beside the usual
// ones, or the reason why it cannot be used.
func tryBubblewrap(ctx context.Context, bwrap string) (extra []string, err error) {
	// The flag is newer (0.8) than some distributions. Without it the system call filter alone
	// keeps the guest from making user namespaces.
	for _, extra := range [][]string{{"--disable-userns"}, nil} {
		args := append(append([]string{}, isolation...), extra...)
		args = append(args, "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--", "/bin/true")
		cmd := exec.CommandContext(ctx, bwrap, args...)
		cmd.Env = []string{}
		out, failed := withoutAmbient(cmd.CombinedOutput)
		if failed == nil {
			return extra, nil
		}
		err = fmt.Errorf("%s", strings.TrimSpace(string(out)))
		if !strings.Contains(string(out), "Unknown option") {
			return nil, err
		}
	}
	return nil, err
}

// withoutAmbient starts a command from a thread without ambient capabilities, which a process in
// private mounts has and bubblewrap refuses. The thread ends with the goroutine that locked it.
func withoutAmbient(run func() ([]byte, error)) (out []byte, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		_ = unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) // old kernels have none
		out, err = run()
	}()
	<-done
	return out, err
}
