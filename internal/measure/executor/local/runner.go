package local

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"mendel/internal/measure/bundle"
	"mendel/internal/measure/sandbox"
	"mendel/internal/research"
)

// runnerVerb is the command by which the mendel binary becomes a runner.
const runnerVerb = "runner"

// bundleVariable marks a runner, and what inherits its environment, with the bundle's path.
const bundleVariable = "MENDEL_BUNDLE"

// handleFile is where this executor notes in a bundle which process measures it.
const handleFile = "local.json"

// A handle is how a runner is found again.
type handle struct {
	Runner    process   `json:"runner"`
	StartedAt time.Time `json:"started_at"`
}

// launch starts the runner of a bundle so that it outlives us: no signal that is meant for our
// terminal, session or process group reaches it, and it shares no pipe with us.
func (e *Executor) launch(b bundle.Bundle) (*exec.Cmd, handle, error) {
	log, err := os.OpenFile(b.RunnerLog(), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, handle{}, err
	}
	defer log.Close() // the runner has its own
	cmd := exec.Command(e.self, runnerVerb, b.Dir)
	cmd.Dir = b.Dir
	cmd.Env = append(cleanEnvironment(os.Environ()), mark(b.Dir))
	cmd.Stdout, cmd.Stderr = log, log // Stdin is /dev/null
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if e.privateMounts {
		sandbox.PrivateMounts(cmd)
	}
	h := handle{StartedAt: time.Now()}
	if err := cmd.Start(); err != nil {
		return nil, handle{}, fmt.Errorf("start runner: %w", err)
	}
	// Until somebody waits for it, the process keeps its number, also after its end.
	if h.Runner, err = identify(cmd.Process.Pid); err == nil {
		err = writeHandle(b.Dir, h)
	}
	if err != nil { // nobody would find it again
		return nil, handle{}, errors.Join(err, cmd.Process.Kill(), ignoreExit(cmd.Wait()))
	}
	return cmd, h, nil
}

func ignoreExit(err error) error {
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		return nil
	}
	return err
}

// find looks for the runner that was started for a bundle, alive or not; nil when there was none.
func find(b bundle.Bundle) (*handle, error) {
	h, err := readHandle(b.Dir)
	switch {
	case err == nil:
		return &h, onThisHost(h, b.Dir)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	// A supervisor that was killed right after it started the runner left no note of it.
	all, err := processes()
	if err != nil {
		return nil, err
	}
	for _, s := range all {
		if s.over() || !isRunnerOf(s.pid, b.Dir) {
			continue
		}
		h := handle{StartedAt: time.Now()}
		if h.Runner, err = identify(s.pid); errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return nil, err
		}
		return &h, writeHandle(b.Dir, h)
	}
	return nil, nil
}

func onThisHost(h handle, dir string) error {
	host, err := os.Hostname()
	renamed := h.Runner.Boot != "" && h.Runner.Boot == bootID()
	if err == nil && h.Runner.Host != host && !renamed {
		err = research.Hinted(fmt.Errorf("the runner of %s was started on host %s, and this is %s", dir, h.Runner.Host, host),
			"resume the run on "+h.Runner.Host)
	}
	return err
}

func isRunnerOf(pid int, dir string) bool {
	line, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	if err != nil {
		return false
	}
	args := bytes.Split(bytes.TrimSuffix(line, []byte{0}), []byte{0})
	return len(args) == 3 && string(args[1]) == runnerVerb && string(args[2]) == dir && marked(pid, mark(dir))
}

func mark(dir string) string { return bundleVariable + "=" + dir }

// lastSign is when a runner that is gone last left a trace in its bundle.
func lastSign(b bundle.Bundle) (last time.Time) {
	entries, err := os.ReadDir(b.Dir)
	if err != nil {
		return last
	}
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil && info.ModTime().After(last) {
			last = info.ModTime()
		}
	}
	return last
}

// passedOn are the variables that a runner gets from us, by name or by prefix. API keys and whatever
// else the operator's shell holds stay here.
var passedOn = []string{
	"PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_*", "TZ", "TMPDIR", "XDG_RUNTIME_DIR", "XDG_CACHE_HOME",
	"LD_LIBRARY_PATH", "CUDA_HOME", "GODEBUG", "GOCOVERDIR",
}

func cleanEnvironment(environ []string) []string {
	return slices.DeleteFunc(slices.Clone(environ), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return !slices.ContainsFunc(passedOn, func(pattern string) bool {
			prefix, open := strings.CutSuffix(pattern, "*")
			return name == pattern || open && strings.HasPrefix(name, prefix)
		})
	})
}

func readHandle(dir string) (handle, error) {
	path := filepath.Join(dir, handleFile)
	data, err := os.ReadFile(path)
	if err != nil {
		return handle{}, err
	}
	var h handle
	if err := json.Unmarshal(data, &h); err != nil {
		return handle{}, fmt.Errorf("%s: %w", path, err)
	}
	return h, nil
}

// writeHandle replaces the note at once for readers. It need not survive a power cut, which ends
// the runner as well.
func writeHandle(dir string, h handle) error {
	data, err := json.Marshal(h)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, handleFile)
	beside := filepath.Join(dir, "."+handleFile)
	if err := os.WriteFile(beside, append(data, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(beside, path)
}
