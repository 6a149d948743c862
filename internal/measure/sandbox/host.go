package sandbox

import (
	"context"
	"os"
	"os/exec"
	"time"
)

// A Host is what this machine offers, found by trying. It is made by [Probe] and not changed after.
type Host struct {
	Level     Level
	Memory    Enforcer // who holds Limits.Memory
	Processes Enforcer // who holds Limits.Processes
	Disk      Enforcer // who holds Limits.Disk: Tmpfs in a private mount namespace, else Watchdog
	// PrivateMounts says that [PrivateMounts] works here: a process started with it has Tmpfs.
	PrivateMounts bool
	// Self is the program that is re-executed below Isolated: it must call [Exec] with the words
	// that follow "sandbox-exec" on its command line.
	Self     string
	Findings []Finding

	bwrap      string
	bwrapExtra []string
	landlock   int // ABI; 0: none
	cgroups    cgroups
}

// Tmpfs holds Limits.Disk by the size of a memory file system.
const Tmpfs Enforcer = "tmpfs"

// A Finding is one thing that the host has or lacks.
type Finding struct {
	What string `json:"what"`           // bubblewrap
	Have string `json:"have"`           // 0.8.0, works
	Hint string `json:"hint,omitempty"` // how to get more; empty when there is nothing to get
	OK   bool   `json:"ok"`
}

// Probe finds out what the host offers, by trying it. It leaves nothing behind.
func Probe(ctx context.Context) *Host {
	// A sandbox start takes milliseconds; where one hangs, it is of no use to us.
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	h := &Host{Level: Limited}
	h.Self, _ = os.Executable()
	h.probeLandlock()
	h.probeBubblewrap(ctx)
	h.cgroups = findCgroups("/")
	h.chooseEnforcers()
	h.probeMounts(ctx)
	h.probeMachine()
	return h
}

// Limit returns the same host at a level of at most max: for tests and for fallbacks.
func (h *Host) Limit(max Level) *Host {
	weaker := *h
	if weaker.Level.AtLeast(max) {
		weaker.Level = max
	}
	if weaker.Level == Confined && h.landlock == 0 {
		weaker.Level = Limited
	}
	weaker.chooseEnforcers()
	return &weaker
}

// WithoutCgroups returns the same host with the limits that an ordinary user gets, who may not
// make cgroups: for tests and for comparison.
func (h *Host) WithoutCgroups() *Host {
	weaker := *h
	weaker.cgroups = cgroups{reason: "not used"}
	weaker.chooseEnforcers()
	return &weaker
}

// chooseEnforcers picks the strongest holder of each limit.
func (h *Host) chooseEnforcers() {
	kernel := CgroupV1
	if h.cgroups.version == 2 {
		kernel = CgroupV2
	}
	h.Memory, h.Processes = Watchdog, Watchdog
	if h.cgroups.memory != "" {
		h.Memory = kernel
	}
	switch {
	case h.cgroups.pids != "":
		h.Processes = kernel
	case os.Getuid() != 0 && h.Level != None:
		// The kernel counts for any user but root.
		h.Processes = Rlimit
	}
}

func (h *Host) found(what, have, hint string, ok bool) {
	if ok {
		hint = ""
	}
	h.Findings = append(h.Findings, Finding{What: what, Have: have, Hint: hint, OK: ok})
}

func (h *Host) probeLandlock() {
	h.landlock = landlockABI()
	_, err := filter(false)
	if h.landlock > 0 && err == nil {
		h.Level = Confined
	}
}

func (h *Host) probeBubblewrap(ctx context.Context) {
	path, err := exec.LookPath("bwrap")
	if err != nil {
		h.found("bubblewrap", "not installed", "install it: apt-get install bubblewrap, or dnf install bubblewrap", false)
		return
	}
	version := "unknown version"
	if out, err := exec.CommandContext(ctx, path, "--version").Output(); err == nil {
		version = lastWord(string(out))
	}
	extra, err := tryBubblewrap(ctx, path)
	if err != nil {
		h.found("bubblewrap", version+", does not work: "+err.Error(), userNamespaceHint(), false)
		return
	}
	h.bwrap, h.bwrapExtra, h.Level = path, extra, Isolated
	h.found("bubblewrap", version+", works", "", true)
}
