package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"mendel/internal/calibration"
	"mendel/internal/lineage"
	"mendel/internal/loop"
	"mendel/internal/measure/bundle"
	"mendel/internal/measure/executor/local"
	"mendel/internal/measure/runner"
	"mendel/internal/measure/sandbox"
	"mendel/internal/propose/session"
	"mendel/internal/research"
	"mendel/internal/task"
)

type taskPackage = task.Task

// loadTask finds a task by its directory, or by its name in ./tasks.
func loadTask(name string) (*taskPackage, error) {
	dir := name
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) && !strings.ContainsRune(name, os.PathSeparator) {
		dir = filepath.Join("tasks", name)
	}
	if _, err := os.Stat(filepath.Join(dir, "task.yaml")); err != nil {
		return nil, research.Hinted(fmt.Errorf("%s is not a task: it has no task.yaml", name),
			"name a task's directory; `mendel task new NAME` makes one")
	}
	return task.Load(dir)
}

// openTask is loadTask with the recipe: one that is someone else's is taken from the checkout that
// --recipe or the site file names.
func openTask(ctx context.Context, name, recipe, site string) (*taskPackage, error) {
	t, err := loadTask(name)
	if err != nil {
		return nil, err
	}
	if t, err = withRecipe(ctx, t, recipe, site); err != nil {
		return nil, err
	}
	_, err = t.RecipeFiles() // says what to type when it is not known
	return t, err
}

// withRecipe takes a task's recipe from the checkout that is named, if any is.
func withRecipe(ctx context.Context, t *taskPackage, recipe, site string) (*taskPackage, error) {
	if recipe == "" && t.NeedsRecipe() {
		file, err := task.FindSite(t.Dir, site)
		if err != nil || file == "" {
			return t, err
		}
		s, err := task.LoadSite(file)
		if err != nil {
			return nil, err
		}
		recipe = s.Upstreams[t.Upstream.Repo]
	}
	if recipe == "" {
		return t, nil
	}
	return t.WithRecipe(ctx, recipe)
}

// A workbench is what this machine lends to a run: sandbox, environment, site.
type workbench struct {
	host        *sandbox.Host
	note        research.SandboxNote
	below       bool // the sandbox is weaker than the task asks for
	site        bundle.Site
	sitePath    string
	siteDigest  research.Hash
	environment string // one line for people
	cacheDir    string
	self        string
	parallel    int
}

// prepare finds out what this machine offers for a task, and refuses what it does not offer.
func prepare(ctx context.Context, t *taskPackage, siteFlag string, parallel int, unsandboxed bool) (*workbench, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	b := &workbench{self: self, parallel: parallel}
	if err := b.findSite(t, siteFlag); err != nil {
		return nil, err
	}
	b.host = sandbox.Probe(ctx)
	b.host.Remember(b.cacheDir)
	b.note = sandboxNote(b.host)
	required, err := sandbox.ParseLevel(t.Sandbox)
	if err != nil {
		return nil, err
	}
	if b.below = !b.host.Level.AtLeast(required); b.below && !unsandboxed {
		return nil, research.Hinted(fmt.Errorf("this machine isolates recipes only to the level %q, and the task asks for %q", b.host.Level, required),
			"`mendel doctor` says how to get more; --allow-unsandboxed runs all the same, and every report shows it")
	}
	if b.environment, err = runner.Environment(ctx, b.spec(t)); err != nil {
		return nil, err
	}
	return b, nil
}

// sameAs refuses to go on with a run on another interpreter, other packages or another site file
// than it was registered with, nor on other hardware where times matter: old and new scores could not be compared.
func (b *workbench) sameAs(t *taskPackage, reg research.Registration) error {
	var what string
	switch {
	case b.environment != reg.Environment:
		what = fmt.Sprintf("the environment changed since this run was registered (%s, now %s)", reg.Environment, b.environment)
	case b.siteDigest != reg.SiteDigest:
		what = fmt.Sprintf("the site file changed since this run was registered (%s)", b.sitePath)
	case reg.Machine != nil && reg.TimesMatter():
		return b.sameHardware(t, *reg.Machine)
	default:
		return nil
	}
	return research.Hinted(errors.New(what), "put it back as it was (--site names the file), or start a new run")
}

func (b *workbench) sameHardware(t *taskPackage, was research.Machine) error {
	here, err := b.machine(t)
	if err != nil {
		return err
	}
	changed := was.Hardware().Differences(here.Hardware())
	if len(changed) == 0 {
		return nil
	}
	return research.Hinted(fmt.Errorf("this is not the hardware that this run was registered on, and its scores depend on it: %s", strings.Join(changed, "; ")),
		"resume it there, or start a new run here")
}

func (b *workbench) findSite(t *taskPackage, flag string) error {
	file, err := task.FindSite(t.Dir, flag)
	if err != nil {
		return err
	}
	if b.cacheDir, err = cacheDir(); err != nil {
		return err
	}
	s := &task.Site{}
	if file != "" {
		if s, err = task.LoadSite(file); err != nil {
			return err
		}
	}
	b.sitePath, b.siteDigest = file, s.Digest
	b.site = bundle.Site{Python: s.Python, Devices: s.Devices, Env: s.Env, Editable: s.Remap()}
	for _, m := range s.Mounts {
		b.site.Mounts = append(b.site.Mounts, bundle.Mount(m))
	}
	if s.CacheDir != "" {
		b.cacheDir = s.CacheDir
	}
	t.Data, err = t.DataAt(s)
	return err
}

func cacheDir() (string, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		return "", research.Hinted(fmt.Errorf("no directory for caches: %w", err), "set HOME or XDG_CACHE_HOME")
	}
	return filepath.Join(base, "mendel"), nil
}

// spec is what runner needs to know of a task apart from any attempt.
func (b *workbench) spec(t *taskPackage) bundle.Spec {
	s := loop.SpecOf(t)
	s.Site, s.Self, s.CacheDir = b.site, b.self, b.cacheDir
	return s
}

// loopConfig wires the parts of a run together.
func (b *workbench) loopConfig(dir, shown string, store *lineage.Store, t *taskPackage, hired *company, resumed bool) (loop.Config, func(), error) {
	hostname, err := os.Hostname()
	if err != nil {
		return loop.Config{}, nil, err
	}
	gate := &local.Gate{}
	exec, err := local.New(local.Options{Self: b.self, Parallel: b.slots(t), Gate: gate, PrivateMounts: b.host.PrivateMounts})
	if err != nil {
		return loop.Config{}, nil, err
	}
	log, err := os.OpenFile(filepath.Join(dir, "supervisor.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return loop.Config{}, nil, errors.Join(err, exec.Close())
	}
	hired.log.to(log)
	return loop.Config{
			Dir: dir, Shown: shown, Task: t, Store: store, Executor: exec,
			Proposers: hired.players,
			Bench:     &freeTools{gate: gate, host: b.host, spec: b.spec(t), evaluator: t.Evaluator.Dir},
			Site:      b.site, Self: b.self, CacheDir: b.cacheDir,
			PID: os.Getpid(), Host: hostname, Resumed: resumed,
			Stagger: 200 * time.Millisecond,
			Now:     time.Now, Token: newToken,
			Log: slog.New(slog.NewTextHandler(log, nil)),
		}, func() {
			exec.Close()
			log.Close()
		}, nil
}

// sandboxNote is how recipes are isolated on a host.
func sandboxNote(h *sandbox.Host) research.SandboxNote {
	n := research.SandboxNote{Level: string(h.Level), Memory: string(h.Memory), Processes: string(h.Processes), Disk: string(h.Disk)}
	if h.PrivateMounts { // runners have them, this process has not
		n.Disk = string(sandbox.Tmpfs)
	}
	return n
}

// machine is what scores will be measured on.
func (b *workbench) machine(t *taskPackage) (research.Machine, error) {
	here, err := local.Detect()
	if err != nil {
		return research.Machine{}, err
	}
	m := calibration.Hardware(len(here.CPUs), len(here.GPUs))
	m.Environment, m.Site, m.Sandbox, m.Slots = b.environment, b.siteDigest, b.note, b.slots(t)
	return m, nil
}

// slots is how many trials run at a time: what was asked for, or as many as fit without sharing.
func (b *workbench) slots(t *taskPackage) int {
	if b.parallel > 0 {
		return b.parallel
	}
	here, err := local.Detect()
	if err != nil {
		return 1
	}
	return max(1, here.Fits(loop.ResourcesOf(t)))
}

func newToken() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// freeTools runs checks and read-only command lines for sessions, never while an exclusive
// trial is being timed.
type freeTools struct {
	gate      *local.Gate
	host      *sandbox.Host
	spec      bundle.Spec
	evaluator string
}

func (f *freeTools) Enter(ctx context.Context) (leave func(), err error) { return f.gate.Shared(ctx) }

func (f *freeTools) Check(ctx context.Context, name, treeDir string) (session.CheckResult, error) {
	r, err := runner.Check(ctx, f.host, f.spec, name, treeDir, f.evaluator)
	return checked(r), err
}

func (f *freeTools) Shell(ctx context.Context, treeDir, script string) (session.CheckResult, error) {
	r, err := runner.Shell(ctx, f.host, f.spec, treeDir, script)
	return checked(r), err
}

// checked tells a session how a program ended.
func checked(r runner.CheckResult) session.CheckResult {
	output := r.Output
	if !r.OK && r.Ending != "" {
		output = strings.TrimRight(output, "\n") + "\n[" + r.Ending + "]\n"
	}
	return session.CheckResult{OK: r.OK, Output: output, CPU: r.CPU, Wall: r.Wall}
}
