package task

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"mendel/internal/research"
)

var (
	taskName  = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)
	phaseName = regexp.MustCompile(`^[a-z][a-z0-9_-]*$`)
	snakeName = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
	entryName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*$`)
)

func (l *loader) identity() {
	t := l.task
	t.Name, t.Title, t.Summary = l.raw.Name, l.raw.Title, strings.TrimSpace(l.raw.Summary)
	if l.given("name", t.Name) && (!taskName.MatchString(t.Name) || len(t.Name) > 64) {
		l.fail("name", "write lower-case letters and digits joined by dashes, such as "+suggestName(t.Name), "%q is not a task's name", t.Name)
	}
	l.given("title", t.Title)
	l.given("summary", t.Summary)
}

// suggestName turns a text into a name that is allowed.
func suggestName(text string) string {
	words := strings.FieldsFunc(strings.ToLower(text), func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9')
	})
	name := strings.Join(words, "-")
	if len(name) > 64 {
		name = strings.Trim(name[:64], "-")
	}
	if !taskName.MatchString(name) {
		return "my-task"
	}
	return name
}

func (l *loader) recipe() {
	raw := l.raw.Recipe
	r := &l.task.Recipe
	r.Language = orDefault(raw.Language, "python")
	r.Editable = raw.Editable
	if l.task.Upstream.provides() {
		l.upstreamRecipe()
	} else {
		l.ownRecipe()
	}
	if l.doc.has("recipe.editable") && len(r.Editable) == 0 {
		l.fail("recipe.editable", `name at least one file: ["train.py"]`, "recipe.editable is empty, so that agents could change nothing")
	}
	for i, glob := range r.Editable {
		l.editable(fmt.Sprintf("recipe.editable[%d]", i), glob)
	}
}

// ownRecipe reads a recipe that the package ships.
func (l *loader) ownRecipe() {
	raw := l.raw.Recipe
	dir, ok := l.inside("recipe.dir", orDefault(raw.Dir, "recipe"), true)
	if !ok {
		if raw.Dir == "" && l.doc.has("recipe") {
			l.fail("recipe", "create it, or name the directory: `dir: …`", "recipe: the directory recipe does not exist")
		}
		return
	}
	if l.files, ok = l.recipeDir(dir); ok && len(l.files) == 0 {
		l.fail("recipe", "put the starting recipe there", "recipe: the directory is empty")
	}
}

// recipeDir reads the files of recipe.dir.
func (l *loader) recipeDir(dir string) ([]File, bool) {
	if dir == l.dir {
		l.fail("recipe.dir", "move the recipe into a directory of its own", "recipe.dir: the package itself cannot be the recipe, which would see the evaluator")
		return nil, false
	}
	l.task.Recipe.Dir = dir
	files, problems := readRecipe(dir)
	for _, p := range problems {
		if !slices.ContainsFunc(l.problems, func(q Problem) bool { return q.Message == p.Message && q.File == p.File }) {
			l.failFile(p)
		}
	}
	return files, len(problems) == 0
}

func (l *loader) editable(at, glob string) {
	if !l.glob(at, glob) {
		return
	}
	matched := 0
	for _, f := range l.files {
		if !matchGlob(glob, f.Path) {
			continue
		}
		matched++
		if len(f.Data) > maxEditable {
			l.fail(at, "leave it out of the editable files", "%s: %s has %d bytes, too many for agents to edit (at most %d)", at, f.Path, len(f.Data), maxEditable)
		}
	}
	if matched == 0 && len(l.files) > 0 {
		l.fail(at, l.globHint(glob), "%s: %q matches no file of the recipe", at, glob)
	}
}

func (l *loader) glob(at, glob string) bool {
	if !l.given(at, glob) || !l.local(at, glob) {
		return false
	}
	if !validGlob(glob) {
		l.fail(at, "close every [ and escape what is meant literally with \\", "%s: %q is not a glob", at, glob)
		return false
	}
	return true
}

func (l *loader) globHint(glob string) string {
	names := l.fileNames()
	if near := nearest(glob, names); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return "globs are relative to the recipe's directory, which holds " + enumerate(names, 6)
}

func (l *loader) fileNames() []string {
	names := make([]string, len(l.files))
	for i, f := range l.files {
		names[i] = f.Path
	}
	return names
}

func enumerate(names []string, most int) string {
	if len(names) > most {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", len(names)-most)
	}
	return strings.Join(names, ", ")
}

func (l *loader) evaluator() {
	if l.raw.Evaluator == nil {
		return
	}
	dir, ok := l.inside("evaluator.dir", l.raw.Evaluator.Dir, true)
	if !ok {
		return
	}
	if dir == l.dir || within(dir, l.task.Recipe.Dir) || within(l.task.Recipe.Dir, dir) {
		l.fail("evaluator.dir", "put recipe and evaluator side by side", "evaluator.dir: the recipe's directory and the evaluator's overlap, so that the recipe would see the answers")
		return
	}
	l.task.Evaluator.Dir = dir
}

// within says whether a path is a directory or lies below it; dir may be empty.
func within(path, dir string) bool {
	return dir != "" && (path == dir || strings.HasPrefix(path, dir+string(filepath.Separator)))
}

func (l *loader) environment() {
	raw := l.raw.Environment
	env := &l.task.Environment
	env.Programs, env.Env = raw.Programs, plain(raw.Env)
	if raw.Python != nil {
		env.Python = &Python{Packages: raw.Python.Packages, Threads: l.count("environment.python.threads", raw.Python.Threads, 1, 1, 1024)}
	}
	for i, p := range raw.Programs {
		at := fmt.Sprintf("environment.programs[%d]", i)
		if l.given(at, p) && strings.Contains(p, "/") {
			l.fail(at, "write the bare name, as the host's PATH finds it", "%s: %q is a path", at, p)
		}
	}
	l.variables("environment.env", raw.Env)
}

// variables refuses environment variables that belong to the runner.
func (l *loader) variables(at string, env map[string]text) {
	for name := range env {
		where := join(at, name)
		switch {
		case strings.HasPrefix(name, "MENDEL_") || name == "PYTHONPATH" || name == "HOME" || name == "PATH" || name == "TMPDIR":
			l.fail(where, "choose another name; phases find their directories in MENDEL_DATA, MENDEL_OUT and MENDEL_ARTIFACT", "%s: %s is set by the runner", at, name)
		case strings.HasPrefix(name, "LD_"):
			l.fail(where, "remove it", "%s: %s would change which libraries trusted programs load", at, name)
		case name == "" || strings.ContainsAny(name, "=\x00"):
			l.fail(where, "", "%s: %q is not the name of a variable", at, name)
		}
	}
}

func plain(env map[string]text) map[string]string {
	if env == nil {
		return nil
	}
	texts := make(map[string]string, len(env))
	for name, value := range env {
		texts[name] = string(value)
	}
	return texts
}

// running reads what concerns how trials run: seeds, replicates, resources, sandbox, keep rule.
func (l *loader) running() {
	t, raw := l.task, &l.raw
	t.Seeds = l.count("seeds", raw.Seeds, 1, 1, 1000)
	t.NoiseKind = raw.Noise.Kind
	replicates := 3
	switch {
	case t.NoiseKind == research.None:
		replicates = 1
	case raw.Keep.Rule == research.Confirmed:
		replicates = research.ConfirmedBaseline
	}
	t.Baseline.Replicates = l.count("baseline.replicates", raw.Baseline.Replicates, replicates, 1, 1000)

	res := raw.Resources
	t.Resources = Resources{
		CPUs: l.count("resources.cpus", res.CPUs, 1, 1, 4096), GPUs: l.count("resources.gpus", &res.GPUs, 0, 0, 1024),
		Memory: l.size("resources.memory", res.Memory, 2<<30), Disk: l.size("resources.disk", res.Disk, 1<<30),
		Processes: l.count("resources.processes", res.Processes, 64, 1, 1<<20), Exclusive: l.exclusive(),
	}
	t.Sandbox = orDefault(string(raw.Sandbox.Require), "isolated")
	l.keep()
}

func (l *loader) keep() {
	raw := l.raw.Keep
	k := research.KeepRule{Rule: orDefault(raw.Rule, research.Strict)}
	if raw.Alpha != nil {
		k.Alpha = *raw.Alpha
	}
	if raw.Pairs != nil {
		k.Pairs = *raw.Pairs
	}
	if k.Rule == research.Strict && (raw.Alpha != nil || raw.Pairs != nil) {
		l.fail("keep.rule", "write `rule: confirmed`, or leave them out", "keep.rule: strict has neither alpha nor pairs")
	}
	var err error
	if l.task.Keep, err = k.Complete(); err != nil {
		l.fail("keep", research.Hint(err), "keep: %v", err)
	}
}

// exclusive is host by default where wall-clock is the score: a neighbour would change it.
func (l *loader) exclusive() string {
	switch l.raw.Resources.Exclusive {
	case "host":
		return "host"
	case "false":
		return ""
	}
	if strings.Contains(l.task.Metrics[l.task.Score.Metric].Measure, "wall(") {
		return "host"
	}
	return ""
}

func (l *loader) count(at string, given *int, otherwise, least, most int) int {
	if given == nil {
		return otherwise
	}
	if *given < least || *given > most {
		l.fail(at, "", "%s: %d is not between %d and %d", at, *given, least, most)
	}
	return *given
}

func (l *loader) size(at string, given *research.Bytes, otherwise research.Bytes) research.Bytes {
	if given == nil {
		return otherwise
	}
	if *given < 1<<20 {
		l.fail(at, "write for example 2GiB", "%s: %d bytes are too few for any process", at, *given)
	}
	return *given
}

func orDefault[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}
