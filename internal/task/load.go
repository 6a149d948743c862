package task

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"mendel/internal/research"
)

// Load reads and validates the task package in dir. When the package is at fault, the error is
// [Problems] and lists everything that is wrong with it, not only the first thing. Of a recipe that
// is someone else's it sees only the pins: see [Task.WithRecipe].
func Load(dir string) (*Task, error) { return load(dir, nil) }

// load takes the files of upstream, or nil while nobody has said where they are.
func load(dir string, upstream []File) (*Task, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("find %s: %w", dir, err)
	}
	source, err := readTaskFile(abs)
	if err != nil {
		return nil, err
	}
	l := &loader{dir: abs, task: &Task{Dir: abs}, fetched: upstream}
	l.doc = decode(fileName, source, &l.raw)
	if l.doc.empty {
		l.doc.report(nil, "`mendel task new NAME` writes a complete one to start from", "the file is empty")
	}
	if len(l.doc.places) > 0 {
		l.resolve()
	}
	if problems := append(l.doc.problems, l.problems...); len(problems) > 0 {
		return nil, problems.sorted()
	}
	if err := l.hash(); err != nil {
		return nil, err
	}
	l.task.Warnings = l.warnings.sorted()
	return l.task, nil
}

func readTaskFile(dir string) ([]byte, error) {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, research.Hinted(fmt.Errorf("%s: there is no such task", dir), "name a directory that holds a task.yaml; `mendel task new NAME` makes one")
	case err != nil:
		return nil, fmt.Errorf("open task: %w", err)
	case !info.IsDir():
		return nil, research.Hinted(fmt.Errorf("%s: a task is a directory, and this is a file", dir), "name the directory: "+filepath.Dir(dir))
	}
	source, err := os.ReadFile(filepath.Join(dir, fileName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, research.Hinted(fmt.Errorf("%s: holds no %s", dir, fileName), "`mendel task new NAME` makes a task that runs, to start from")
	}
	if err != nil {
		return nil, fmt.Errorf("read task: %w", err)
	}
	return source, nil
}

// A loader turns a decoded task.yaml into a Task and collects what is wrong on the way.
type loader struct {
	dir                string
	doc                *document
	raw                taskFile
	task               *Task
	fetched            []File // of upstream, as they are there
	files              []File // of the recipe
	problems, warnings Problems
}

// resolve goes through the sections in an order in which each finds what it refers to.
func (l *loader) resolve() {
	l.identity()
	l.links()
	l.upstream()
	l.recipe()
	l.evaluator()
	l.environment()
	l.phases()
	l.checks()
	l.data()
	l.artifact()
	l.cache()
	l.metrics()
	l.score()
	l.limits()
	l.gates()
	l.running()
	l.certificate()
	l.knowledge()
	l.roles()
	l.knobs()
	l.leaks()
}

// fail reports a problem at a path of task.yaml, unless something is already reported there.
func (l *loader) fail(at, hint, format string, args ...any) {
	l.failIn(l.doc, at, hint, format, args...)
}

func (l *loader) failIn(d *document, at, hint, format string, args ...any) {
	p := d.problem(d.place(at), hint, fmt.Sprintf(format, args...))
	for _, q := range d.problems {
		if q.Line == p.Line && q.Col == p.Col && p.Line > 0 {
			return
		}
	}
	l.problems = append(l.problems, p)
}

// reported says whether a key of task.yaml, or one below it, has a problem already.
func (l *loader) reported(key string) bool {
	for at, place := range l.doc.places {
		if !strings.HasPrefix(at, key) {
			continue
		}
		here := func(p Problem) bool { return p.File == fileName && p.Line == place.Line && p.Col == place.Column }
		if slices.ContainsFunc(l.problems, here) || slices.ContainsFunc(l.doc.problems, here) {
			return true
		}
	}
	return false
}

func (l *loader) warn(at, hint, format string, args ...any) {
	l.warnings = append(l.warnings, l.doc.problem(l.doc.place(at), hint, fmt.Sprintf(format, args...)))
}

// failFile reports a problem of a file other than task.yaml.
func (l *loader) failFile(p Problem) { l.problems = append(l.problems, p) }

// given says whether a text is there to be looked at; one that is written but empty is reported.
func (l *loader) given(at, text string) bool {
	if strings.TrimSpace(text) != "" {
		return true
	}
	if l.doc.has(at) {
		l.fail(at, "", "%s is empty", at)
	}
	return false
}

// inside resolves a path of the package. It refuses what leads out of it or is not there.
func (l *loader) inside(at, name string, wantDir bool) (string, bool) {
	if !l.given(at, name) {
		return "", false
	}
	if !l.local(at, name) {
		return "", false
	}
	full := filepath.Join(l.dir, filepath.FromSlash(name))
	info, err := os.Stat(full)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		l.fail(at, l.similarFile(name), "%s: %s does not exist", at, name)
		return "", false
	case err != nil:
		l.fail(at, "", "%s: %v", at, err)
		return "", false
	case wantDir && !info.IsDir():
		l.fail(at, "name a directory", "%s: %s is a file", at, name)
		return "", false
	}
	return full, true
}

// local refuses absolute paths and paths that lead out of the package.
func (l *loader) local(at, name string) bool {
	switch {
	case path.IsAbs(name):
		l.fail(at, "write it relative to the task's directory; what lies elsewhere on one machine belongs in its site file", "%s: %s is an absolute path", at, name)
		return false
	case !filepath.IsLocal(filepath.FromSlash(name)):
		l.fail(at, "copy it into the task's directory", "%s: %s leads out of the package", at, name)
		return false
	}
	return true
}

// similarFile is a hint that names a file of the same directory with nearly that name.
func (l *loader) similarFile(name string) string {
	entries, err := os.ReadDir(filepath.Join(l.dir, filepath.FromSlash(path.Dir(name))))
	if err != nil {
		return "create it, or correct the path (paths are relative to the task's directory)"
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if near := nearest(path.Base(name), names); near != "" {
		return fmt.Sprintf("did you mean %q?", path.Join(path.Dir(name), near))
	}
	return "create it, or correct the path (paths are relative to the task's directory)"
}

// text reads a text file of the package.
func (l *loader) text(at, name string) (string, bool) {
	full, ok := l.inside(at, name, false)
	if !ok {
		return "", false
	}
	const most = 256 << 10
	info, err := os.Stat(full)
	if err == nil && info.Size() > most {
		l.fail(at, "shorten it: specialists pay for every word", "%s: %s has %d bytes, at most %d are read", at, name, info.Size(), most)
		return "", false
	}
	data, err := os.ReadFile(full)
	if err != nil {
		l.fail(at, "name a text file", "%s: %v", at, err)
		return "", false
	}
	if strings.TrimSpace(string(data)) == "" {
		l.fail(at, "write in it what the specialist must know", "%s: %s is empty", at, name)
		return "", false
	}
	return string(data), true
}

// links refuses symbolic links and special files anywhere in the package.
func (l *loader) links() {
	nodes, err := walk(l.dir, uncounted)
	if err != nil {
		l.failFile(Problem{File: ".", Message: err.Error()})
		return
	}
	for _, n := range nodes {
		if !n.mode.IsRegular() {
			l.failFile(notRegular(n.rel, n.mode))
		}
	}
}

func (l *loader) hash() (err error) {
	if l.task.Hash, err = PackageHash(l.dir); err != nil {
		return fmt.Errorf("hash task: %w", err)
	}
	if l.task.Evaluator.Dir != "" {
		if l.task.EvaluatorHash, err = hashTree(l.task.Evaluator.Dir, nil); err != nil {
			return fmt.Errorf("hash evaluator: %w", err)
		}
	}
	return nil
}
