package executortest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mendel/internal/measure/bundle"
	"mendel/internal/research"
)

// Main is the TestMain of a package that calls [Run]. It makes the test binary a runner when it is
// started as one, as "SELF runner BUNDLE", and runs the tests otherwise.
func Main(m *testing.M) {
	switch {
	case len(os.Args) == 3 && os.Args[1] == "runner":
		os.Exit(perform(os.Args[2]))
	case len(os.Args) == 3 && os.Args[1] == detachVerb:
		os.Exit(detach(os.Args[2]))
	case len(os.Args) == 3 && os.Args[1] == daemonVerb:
		os.Exit(haunt(os.Args[2]))
	default:
		os.Exit(m.Run())
	}
}

// A Plan is what the stand-in for a runner does with its bundle.
type Plan struct {
	// Held makes it wait, once it is ready, until [Job.Release].
	Held bool `json:"held,omitempty"`
	// Busy is how long it works.
	Busy   time.Duration `json:"busy,omitempty"`
	Ending Ending        `json:"ending,omitempty"`
	// Deaf makes it ignore the signals that ask for an end.
	Deaf   bool   `json:"deaf,omitempty"`
	Daemon Daemon `json:"daemon,omitempty"`
	// Diary is a file that it tells when it starts and ends; see [entry].
	Diary string `json:"diary,omitempty"`
}

// An Ending is how the stand-in ends.
type Ending string

// The endings.
const (
	WithResult      Ending = ""
	WithoutResult   Ending = "without result"   // status 3
	CrashesAfterAll Ending = "crashes after it" // leaves its result, then status 3
	KillsItself     Ending = "kills itself"
)

// A Daemon is a process that the stand-in leaves running in a session of its own, its parent gone.
type Daemon string

// The daemons.
const (
	NoDaemon Daemon = ""
	Inherits Daemon = "inherits the environment"
	Scrubs   Daemon = "clears its environment"
)

// The files of the stand-in in its bundle.
const (
	planFile   = "standin.json"
	startsFile = "starts"      // a line for each start
	readyFile  = "ready"       // there once everything that it starts is running; see [About]
	goFile     = "go"          // lets one that is Held go on
	daemonFile = "daemon.lock" // locked while the daemon lives
)

// About is what a stand-in that is ready says of itself.
type About struct {
	PID         int      `json:"pid"`
	Session     int      `json:"session"`
	Stdin       string   `json:"stdin"`
	Environment []string `json:"environment"`
}

// patience ends a stand-in that a failed test left behind.
const patience = 2 * time.Minute

func perform(dir string) int {
	failed := func(err error) int {
		fmt.Fprintln(os.Stderr, "stand-in:", err)
		return 70
	}
	// What every runner does: detached children stay its own.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return failed(err)
	}
	b, err := bundle.Open(dir)
	if err != nil {
		return failed(err)
	}
	var plan Plan
	if err := readJSON(filepath.Join(dir, planFile), &plan); err != nil {
		return failed(err)
	}
	if plan.Deaf {
		signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT)
	}
	if err := appendLine(filepath.Join(dir, startsFile), fmt.Sprint(os.Getpid())); err != nil {
		return failed(err)
	}
	release, err := b.Hold()
	if err != nil {
		return failed(err)
	}
	defer release()
	write(plan.Diary, started, dir)
	if err := prepare(dir, plan.Daemon); err != nil {
		return failed(err)
	}
	if plan.Held && !appears(filepath.Join(dir, goFile)) {
		return failed(errors.New("nobody let it go on"))
	}
	time.Sleep(plan.Busy)
	write(plan.Diary, ended, dir)
	switch plan.Ending {
	case WithoutResult:
		return 3
	case KillsItself:
		return failed(unix.Kill(os.Getpid(), unix.SIGKILL))
	}
	spec, err := b.Spec()
	if err != nil {
		return failed(err)
	}
	if err := b.WriteResult(bundle.Result{
		Token: spec.Attempt.Token, Measurement: research.Measurement{Outcome: research.Valid}, EndedAt: time.Now(),
	}); err != nil {
		return failed(err)
	}
	if plan.Ending == CrashesAfterAll {
		return 3
	}
	return 0
}

// prepare starts the daemon and then says that everything is running.
func prepare(dir string, daemon Daemon) error {
	if daemon != NoDaemon {
		cmd := exec.Command("/proc/self/exe", detachVerb, dir)
		if daemon == Scrubs {
			cmd.Env = []string{}
		}
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("start daemon: %w", err)
		}
	}
	stdin, err := os.Readlink("/proc/self/fd/0")
	if err != nil {
		return err
	}
	session, err := unix.Getsid(0)
	if err != nil {
		return err
	}
	about, err := json.Marshal(About{PID: os.Getpid(), Session: session, Stdin: stdin, Environment: os.Environ()})
	if err != nil {
		return err
	}
	beside := filepath.Join(dir, "."+readyFile)
	if err := os.WriteFile(beside, about, 0o644); err != nil {
		return err
	}
	return os.Rename(beside, filepath.Join(dir, readyFile))
}

const (
	detachVerb = "standin-detach"
	daemonVerb = "standin-daemon"
)

// detach starts the daemon in its own session and leaves it alone once it lives.
func detach(dir string) int {
	cmd := exec.Command("/proc/self/exe", daemonVerb, dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return 70
	}
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if locked(filepath.Join(dir, daemonFile)) {
			return 0
		}
	}
	return 70
}

// haunt is the daemon: it holds its lock and ignores every request to end.
func haunt(dir string) int {
	signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT)
	f, err := os.OpenFile(filepath.Join(dir, daemonFile), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return 70
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		return 70
	}
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if _, err := os.Stat(dir); err != nil {
			return 0
		}
	}
	return 0
}

// locked reports whether somebody holds the lock file.
func locked(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	return errors.Is(unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB), unix.EWOULDBLOCK)
}

// appears waits until path exists, and gives up when its directory is gone.
func appears(path string) bool {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		if _, err := os.Stat(path); err == nil {
			return true
		}
		if _, err := os.Stat(filepath.Dir(path)); errors.Is(err, fs.ErrNotExist) {
			return false
		}
	}
	return false
}

func readJSON(path string, v any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, v)
}

// appendLine adds a line in one write, so that lines of several writers stay whole.
func appendLine(path, line string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(line + "\n")
	return errors.Join(err, f.Close())
}
