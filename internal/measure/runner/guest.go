package runner

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"mendel/internal/measure/bundle"
	"mendel/internal/measure/environ"
	"mendel/internal/measure/protocol"
	"mendel/internal/measure/sandbox"
)

// Where a guest finds what it may see.
const (
	guestRecipe    = "/recipe"
	guestData      = "/data"
	guestOut       = "/out"
	guestArtifact  = "/artifact"
	guestCache     = "/cache"
	guestEvaluator = "/evaluator"
	guestResult    = "/result"
	guestHelpers   = "/mendel"
)

const (
	defaultOutput = 64 << 20 // bytes that a process tree may print
	openFiles     = 4096
)

// A bench is what all commands of one attempt have in common: where they run and what of the host they see.
type bench struct {
	host      *sandbox.Host
	env       *environ.Environment
	plan      *bundle.Plan
	placement bundle.Placement
	tree      string // host directories
	evaluator string
	helpers   string
	work      string // for what is made on the way
}

// A guest is one command and what it in particular may see.
type guest struct {
	argv     []string
	phase    string            // MENDEL_PHASE
	env      map[string]string // of the phase
	seed     int64
	trusted  bool   // the task's own program: it works in /evaluator, and sees it
	reader   string // sees the data that is visible to it; empty: none
	out      string // host directories; empty: not mounted
	artifact string
	cache    string
	result   string
	files    []*os.File // from descriptor 3 on
	log      io.Writer
	watch    *stopwatch // nil unless the command's time has parts
	limits   sandbox.Limits
}

// command says all that a sandbox must know. data is a fresh name for the directory that holds the
// mount points of data.
func (b *bench) command(g guest) (sandbox.Command, error) {
	c := sandbox.Command{
		Argv: b.argv(g.argv), Env: b.environment(g), Dir: guestRecipe,
		Root: b.env.Root, Mounts: slices.Clone(b.env.Mounts), Fallback: b.env.Fallback, Listed: b.env.Listed,
		Devices: b.env.Devices, CPUs: b.placement.CPUs, Files: g.files, Stdout: g.log, Stderr: g.log, Limits: g.limits,
	}
	if g.watch != nil {
		c.Stdout, c.Stderr = g.watch.stream(g.log), g.watch.stream(g.log)
	}
	mount := func(host, guest string, writable bool) {
		if host != "" {
			c.Mounts = append(c.Mounts, sandbox.Mount{Host: host, Guest: guest, Writable: writable})
		}
	}
	mount(b.tree, guestRecipe, false)
	mount(b.helpers, guestHelpers, false)
	mount(g.out, guestOut, true)
	mount(g.artifact, guestArtifact, false)
	mount(g.cache, guestCache, false)
	mount(g.result, guestResult, true)
	if g.trusted {
		c.Dir = guestEvaluator
		mount(b.evaluator, guestEvaluator, false)
	}
	data := b.visible(g.reader)
	if len(data) > 0 && b.host.Level == sandbox.Isolated {
		points, err := b.mountPoints(data)
		if err != nil {
			return sandbox.Command{}, err
		}
		mount(points, guestData, false)
	}
	for _, d := range data {
		mount(d.Path, guestData+"/"+d.Name, false)
	}
	return c, nil
}

// visible lists the data that a reader may see.
func (b *bench) visible(reader string) []bundle.Data {
	var seen []bundle.Data
	for _, d := range b.plan.Data {
		if reader != "" && slices.Contains(d.VisibleTo, reader) {
			seen = append(seen, d)
		}
	}
	return seen
}

// mountPoints gives a directory of empty entries, over which data is mounted: the guest's / is read-only.
func (b *bench) mountPoints(data []bundle.Data) (string, error) {
	names := make([]string, len(data))
	for i, d := range data {
		names[i] = d.Name
	}
	dir := filepath.Join(b.work, "data-"+strings.Join(names, "+"))
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", err
	}
	for _, d := range data {
		info, err := os.Stat(d.Path)
		if err != nil {
			return "", fmt.Errorf("data %s: %w", d.Name, err)
		}
		at := filepath.Join(dir, d.Name)
		if info.IsDir() {
			err = os.Mkdir(at, 0o755)
		} else {
			err = os.WriteFile(at, nil, 0o644)
		}
		if err != nil {
			return "", err
		}
	}
	return dir, nil
}

// argv puts the real interpreter and the guest's paths into a command of the task.
func (b *bench) argv(argv []string) []string {
	names := strings.NewReplacer("{evaluator}", guestEvaluator, "{recipe}", guestRecipe)
	filled := make([]string, len(argv))
	for i, word := range argv {
		filled[i] = names.Replace(word)
	}
	if len(filled) > 0 && filled[0] == "python3" && b.env.Python != "" {
		filled[0] = b.env.Python
	}
	return filled
}

// environment is everything that a guest finds in its environment. Later entries replace earlier ones.
func (b *bench) environment(g guest) []string {
	env := map[string]string{}
	for _, e := range b.env.Env {
		name, value, _ := strings.Cut(e, "=")
		env[name] = value
	}
	for _, more := range []map[string]string{b.plan.Environment.Env, g.env} {
		for name, value := range more {
			env[name] = value
		}
	}
	// What follows is the contract with recipes, which no task can change.
	set := func(name, value string) { env[name] = value }
	set("HOME", "/tmp")
	set("TMPDIR", "/tmp")
	set("MENDEL_SEED", strconv.FormatInt(g.seed, 10))
	set("MENDEL_PHASE", g.phase)
	set("PYTHONPATH", guestHelpers)
	set("PYTHONDONTWRITEBYTECODE", "1")
	set("PYTHONHASHSEED", "0")
	set("PYTHONNOUSERSITE", "1")
	set("PYTHONUNBUFFERED", "1")
	if len(b.visible(g.reader)) > 0 {
		set("MENDEL_DATA", guestData)
	}
	if g.out != "" {
		set("MENDEL_OUT", guestOut)
	}
	if g.artifact != "" {
		set("MENDEL_ARTIFACT", guestArtifact)
	}
	if g.cache != "" {
		set("MENDEL_CACHE", guestCache)
	}
	if g.result != "" {
		set("MENDEL_RESULT", guestResult+"/"+resultName)
	}
	if g.trusted {
		set("MENDEL_RECIPE", guestRecipe)
	}
	if len(g.files) == 2 {
		set("MENDEL_FD_IN", "3")
		set("MENDEL_FD_OUT", "4")
	}
	if len(b.placement.GPUs) > 0 {
		set("CUDA_VISIBLE_DEVICES", strings.Join(b.placement.GPUs, ","))
	}
	list := make([]string, 0, len(env))
	for name, value := range env {
		list = append(list, name+"="+value)
	}
	slices.Sort(list)
	return list
}

// limits are those of the task's resources.
func (b *bench) limits() sandbox.Limits {
	r := b.plan.Resources
	output := int64(r.Output)
	if output <= 0 {
		output = defaultOutput
	}
	l := sandbox.Limits{
		Memory: int64(r.Memory), Disk: int64(r.Disk), Output: output, Processes: r.Processes, OpenFiles: openFiles,
	}
	if r.GPUs > 0 { // the ranks of one training pass what they must through /dev/shm
		l.Scratch = l.Disk
	}
	return l
}

// writeHelpers puts the Python helpers into a directory.
func writeHelpers(dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	helpers := protocol.Helpers()
	return fs.WalkDir(helpers, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(helpers, name)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, name), data, 0o444)
	})
}

// helpersIntact says whether a directory holds the helpers as they were written, and nothing else.
func helpersIntact(dir string) bool {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false
	}
	want, err := fs.ReadDir(protocol.Helpers(), ".")
	if err != nil || len(entries) != len(want) {
		return false
	}
	for _, e := range want {
		ours, err := fs.ReadFile(protocol.Helpers(), e.Name())
		theirs, readErr := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil || readErr != nil || !bytes.Equal(ours, theirs) {
			return false
		}
	}
	return true
}

// environmentRequest says what a task's processes see of the host.
func environmentRequest(spec *bundle.Spec) environ.Request {
	r := environ.Request{Programs: spec.Task.Environment.Programs, Remap: spec.Site.Editable, Site: environ.Site{
		Python: spec.Site.Python, Devices: spec.Site.Devices, Env: spec.Site.Env,
	}}
	if p := spec.Task.Environment.Python; p != nil {
		r.Python = &environ.Python{Packages: p.Packages, Threads: p.Threads}
	}
	for _, m := range spec.Site.Mounts {
		r.Site.Mounts = append(r.Site.Mounts, sandbox.Mount{Host: m.Host, Guest: m.Guest})
	}
	return r
}
