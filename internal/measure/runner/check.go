package runner

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"mendel/internal/measure/bundle"
	"mendel/internal/measure/environ"
	"mendel/internal/measure/sandbox"
	"mendel/internal/research"
)

const (
	defaultCheckTimeout = 20 * time.Second
	shellTimeout        = 20 * time.Second
	maxToolOutput       = 16 << 10 // bytes that a specialist gets
	maxToolPrinted      = 4 << 20  // bytes after which the tree is killed
)

// A CheckResult is what a free check or a command line brought.
type CheckResult struct {
	OK       bool
	Output   string // at most 16 KB, with a marker where something was left out
	Ending   string // one line: exit status 1, killed at its time-out of 20 s
	ExitCode int
	TimedOut bool
	CPU      time.Duration // for the ledger: nothing is computed for free
	Wall     time.Duration
}

// Check runs one free check of the task on a tree, for a specialist's tool. No data is mounted and
// processor time is capped. A check that does not pass is a result; an error is ours.
// evaluatorDir is the task's own; only trusted checks see it.
func Check(ctx context.Context, host *sandbox.Host, spec bundle.Spec, name, treeDir, evaluatorDir string) (CheckResult, error) {
	i := slices.IndexFunc(spec.Task.Checks, func(c bundle.Check) bool { return c.Name == name })
	if i < 0 {
		return CheckResult{}, research.Misuse("The task's checks are its tools of the same names.", "there is no check %q", name)
	}
	c := spec.Task.Checks[i]
	return tool(ctx, host, &spec, treeDir, evaluatorDir, timeoutOf(c), func(b *bench, log *capture) guest {
		return b.checkGuest(c, 0, log)
	})
}

// Shell runs a bash script with the tree as its read-only working directory, without data or
// network, for specialists. The task's environment must list bash among its programs.
func Shell(ctx context.Context, host *sandbox.Host, spec bundle.Spec, treeDir, script string) (CheckResult, error) {
	if !slices.ContainsFunc(spec.Task.Environment.Programs, func(p string) bool { return filepath.Base(p) == "bash" }) {
		return CheckResult{}, research.Misuse("Use the other tools; to offer bash, list it under environment.programs in task.yaml.",
			"this task offers no bash")
	}
	return tool(ctx, host, &spec, treeDir, "", shellTimeout, func(b *bench, log *capture) guest {
		return guest{argv: []string{"bash", "-c", script}, phase: "bash", log: log, limits: b.toolLimits(shellTimeout)}
	})
}

// tool runs one command of a specialist's.
func tool(ctx context.Context, host *sandbox.Host, spec *bundle.Spec, tree, evaluator string, timeout time.Duration,
	command func(*bench, *capture) guest) (r CheckResult, err error) {
	work, err := os.MkdirTemp("", "mendel-tool-")
	if err != nil {
		return r, err
	}
	defer os.RemoveAll(work)
	b := bench{host: host, plan: &spec.Task, tree: tree, evaluator: evaluator, helpers: filepath.Join(work, "helpers"), work: work}
	if err := os.Chmod(work, 0o755); err != nil {
		return r, err
	}
	if err := writeHelpers(b.helpers); err != nil {
		return r, err
	}
	if b.env, err = environ.Resolve(ctx, environmentRequest(spec), spec.CacheDir); err != nil {
		return r, err
	}
	var log capture
	e, err := b.run(ctx, command(&b, &log), timeout)
	if err != nil {
		return r, err
	}
	text, _ := log.content()
	r = CheckResult{OK: !e.failed(), Output: toolOutput(string(text)), Ending: e.class(), ExitCode: e.Code, TimedOut: e.killed, CPU: e.CPU, Wall: e.wall}
	switch {
	case e.killed:
		r.Ending = "killed at its time-out of " + secondsText(timeout.Seconds())
	case e.Overflow == "output":
		r.Ending = fmt.Sprintf("killed after %s of output", research.Quantity(maxToolPrinted, "B"))
	}
	return r, nil
}

// checkGuest is a check as a command.
func (b *bench) checkGuest(c bundle.Check, seed int64, log *capture) guest {
	return guest{argv: c.Run, phase: c.Name, trusted: c.Trusted, seed: seed, log: log, limits: b.toolLimits(timeoutOf(c))}
}

// toolLimits are the task's, with a cap on processor time and little room for output: a check is
// for looking, not for training.
func (b *bench) toolLimits(timeout time.Duration) sandbox.Limits {
	l := b.limits()
	l.CPUSeconds = int(math.Ceil(timeout.Seconds()))
	l.Output = maxToolPrinted
	return l
}

func timeoutOf(c bundle.Check) time.Duration {
	if c.Timeout > 0 {
		return c.Timeout.Std()
	}
	return defaultCheckTimeout
}

// toolOutput is what a model gets of an output: both ends, and between them how to get less.
func toolOutput(text string) string {
	text = cleaned(text)
	if len(text) <= maxToolOutput {
		return text
	}
	marker := fmt.Sprintf("\n[… %s of output left out: narrow it with head, tail, grep or sed -n …]\n",
		research.Quantity(float64(len(text)-maxToolOutput), "B"))
	half := (maxToolOutput-len(marker))/2 - 8 // a character cut in two grows when it is mended
	return cleaned(text[:half]) + marker + cleaned(text[len(text)-half:])
}
