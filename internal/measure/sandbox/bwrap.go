package sandbox

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// defaultScratch is the size of /tmp and /dev/shm where a command names none.
const defaultScratch = 64 << 20

// Bubblewrap started as root keeps every capability unless told otherwise, and to drop the uid
// before it starts would fail below any 0700 directory; so the uid changes in a user namespace.
var isolation = []string{
	"--unshare-all", "--unshare-user", "--uid", "65534", "--gid", "65534", "--hostname", "mendel",
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
	argv := append([]string{"bwrap"}, isolation...)
	argv = append(argv, h.bwrapExtra...)
	argv = append(argv,
		"--json-status-fd", strconv.Itoa(first), "--block-fd", strconv.Itoa(first+1), "--seccomp", strconv.Itoa(first+2))
	argv = append(argv, c.fileSystem()...)
	argv = append(argv, "--")
	argv = append(argv, c.Argv...)
	own, err := dupAll(c.Files)
	if err != nil {
		closeAll(append(files, w.status, w.block, rules)...)
		return wire{}, launch{}, err
	}
	// One process is bubblewrap's own: the first of the pid namespace, which reaps the others.
	return w, launch{path: h.bwrap, argv: argv, files: append(own, status, block, rules), extra: 1}, nil
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
		out, failed := cmd.CombinedOutput()
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
