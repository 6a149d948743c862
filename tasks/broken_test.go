package tasks_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mendel/internal/task"
)

// A fault is one way to break a shipped package.
type fault struct {
	name, pkg string
	file      string // to edit: the text old, which stands there once, becomes with
	old, with string // in with, § marks where the error must point
	copy, to  string // a file that is copied too
	in, at    string // where else the error must point: a file and a text of it with a §
	remove    string // a file that goes
	says      string // part of the error
	hint      string // part of the mend; none where the error itself says what to write
}

const taskFile, knobsFile = "task.yaml", "knobs.yaml"

var faults = []fault{
	{name: "unknown key", pkg: "appraisal", file: taskFile, old: "\nseeds: 3", with: "\n§sedes: 3", says: `unknown key "sedes"`, hint: `did you mean "seeds"?`},
	{name: "syntax", pkg: "appraisal", file: taskFile, old: `editable: ["appraise.py"]` + "\n", with: `editable: ["appraise.py"` + "\n", at: "  §language: python", says: "must be specified", hint: "brackets"},
	{name: "wrong type", pkg: "airbench-cpu", file: taskFile, old: "\nseeds: 4", with: "\nseeds: §four", says: `seeds wants a whole number, not "four"`, hint: "in digits"},
	{name: "bad duration", pkg: "golf-cpu", file: taskFile, old: "budget: 20s, grace", with: "budget: §20 secs, grace", says: `"20 secs" is not a duration: write 20s`},
	{name: "bad size", pkg: "packing", file: taskFile, old: "memory: 1GiB", with: "memory: §1 gigabyte", says: `"1 gigabyte" is not a size: write 64000, 16MB or 2GiB`},
	{name: "direction of no kind", pkg: "packing", file: taskFile, old: "direction: maximize", with: "direction: §max", says: `"max" is not one of minimize, maximize`},
	{name: "missing recipe file", pkg: "golf-cpu", file: taskFile, old: `editable: ["train.py"]`, with: `editable: [§"tarin.py"]`, says: `"tarin.py" matches no file`, hint: `"train.py"`},
	{name: "missing knowledge", pkg: "airbench-cpu", remove: "knowledge/STACK.md", in: taskFile, at: "INIT.md, §knowledge/STACK.md", says: "knowledge/STACK.md does not exist", hint: "create it"},
	{name: "missing evaluator", pkg: "appraisal", remove: "evaluator/score.py", in: taskFile, at: `evaluator: [python3, §"{evaluator}/score.py"]`, says: "has no score.py", hint: "create it"},
	{name: "missing preamble", pkg: "golf-cpu", remove: "roles/quant.md", in: taskFile, at: "preamble: §roles/quant.md", says: "roles/quant.md does not exist", hint: "create it"},
	{name: "role without preamble", pkg: "packing", file: taskFile, old: "{id: search, title: Search, preamble: roles/search.md, ", with: "{§id: search, title: Search, ", says: `"preamble" is missing in roles[1]`, hint: "preamble"},
	{name: "duplicate role", pkg: "packing", file: taskFile, old: "{id: search, title: Search", with: "{id: §geometry, title: Search", says: `two roles with the id "geometry"`, hint: "of its own"},
	{name: "role that may edit nothing", pkg: "appraisal", file: taskFile, old: `roles/model.md, may_edit: ["appraise.py"]`, with: `roles/model.md, may_edit: [§"apraise.py"]`, says: `"apraise.py"`, hint: `"appraise.py"`},
	{name: "score of no metric", pkg: "airbench-cpu", file: taskFile, old: "score: {metric: seconds,", with: "score: {metric: §secs,", says: `no metric "secs"`, hint: "seconds"},
	{name: "gate on no metric", pkg: "airbench-cpu", file: taskFile, old: "{metric: accuracy, min: 0.98,", with: "{metric: §accurate, min: 0.98,", says: `no metric "accurate"`, hint: `"accuracy"`},
	{name: "gate without a threshold", pkg: "packing", file: taskFile, old: "{metric: slack, min: 0, on_miss", with: "{§metric: slack, on_miss", says: "threshold", hint: "write either `min` or `max`"},
	{name: "no artifact cap", pkg: "appraisal", file: taskFile, old: "  - {metric: artifact_bytes, max: 600000, on_exceed: size_blocked}\n", with: "", at: "§limits:", says: "nothing caps the artifact", hint: "bytes(artifact)"},
	{name: "limit without an outcome", pkg: "packing", file: taskFile, old: "{metric: code_bytes, max: 16000, on_exceed: size_blocked}", with: "{§metric: train_s, max: 19}", says: "make of a trial", hint: "on_exceed"},
	{name: "measure of an unknown phase", pkg: "packing", file: taskFile, old: "measure: wall(train)", with: "measure: §wall(search)", says: `no phase "search"`, hint: "train"},
	{name: "pattern without a group", pkg: "golf-cpu", file: taskFile, old: "\nscore:", with: "\n  printed: {source: recipe-log, phase: train, pattern: §'loss [0-9.]+'}\nscore:", says: "group", hint: "put ( ) around the value"},
	{name: "certificate of no margin", pkg: "appraisal", file: taskFile, old: "certificate: {margin: 0.002,", with: "certificate: {margin: §0,", says: "certificate.margin: 0 is not above 0", hint: "the least gain"},
	{name: "phase without a command", pkg: "golf-cpu", file: taskFile, old: "{name: train, run: [python3, train.py], budget", with: "{§name: train, budget", says: "does nothing", hint: "run:"},
	{name: "data for an unknown phase", pkg: "airbench-cpu", file: taskFile, old: "visible_to: [train]}", with: "visible_to: [§training]}", says: `no phase "training"`, hint: `"train"`},
	{name: "held-out data for the recipe", pkg: "golf-cpu", file: taskFile, old: "visible_to: [evaluator]}", with: "visible_to: [§evaluator, train]}", says: "held out", hint: "two entries"},
	{name: "held-out copy in the training data", pkg: "appraisal", copy: "data/val/houses.npz", to: "data/train/more.npz", in: "data/train/more.npz", says: "holds the same as data.heldout", hint: "remove the copy"},
	{name: "certify copy in the recipe", pkg: "airbench-cpu", copy: "data/cert/digits.npz", to: "recipe/cache.npz", in: "recipe/cache.npz", says: "holds the same as data.certify", hint: "remove the copy"},
	{name: "knob that is not found", pkg: "appraisal", file: knobsFile, old: "'^BINS = (\\S+)'", with: "§'^BIN = (\\S+)'", says: "its pattern is not found in appraise.py", hint: "compare it with the line"},
	{name: "knob that is found twice", pkg: "packing", file: "recipe/pack.py", old: "\nSEED = 1\n", with: "\nSEED = 1\nSTEPS = 9\n", in: knobsFile, at: "pattern: §'^STEPS = (\\S+)'", says: "more than once in pack.py (lines", hint: "more exact"},
	{name: "knob out of its range", pkg: "appraisal", file: "recipe/appraise.py", old: "\nDEPTH = 3\n", with: "\nDEPTH = 12\n", in: knobsFile, at: "- §name: depth", says: "12 in appraise.py is outside 1 … 8", hint: "widen"},
	{name: "knob of an unknown role", pkg: "airbench-cpu", file: knobsFile, old: "- name: hidden\n  role: arch", with: "- name: hidden\n  role: §architecture", says: `no role "architecture"`, hint: "arch"},
}

// TestBrokenPackages: each fault is one error that says where it is and how to mend it.
func TestBrokenPackages(t *testing.T) {
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), f.pkg)
			if err := os.CopyFS(dir, os.DirFS(f.pkg)); err != nil {
				t.Fatal(err)
			}
			where, line, col := f.commit(t, dir)
			_, err := task.Load(dir)
			var problems task.Problems
			if !errors.As(err, &problems) || len(problems) != 1 {
				t.Fatalf("not one problem:\n%v", err)
			}
			p := problems[0]
			if p.File != where || p.Line != line || p.Col != col {
				t.Errorf("points at %s:%d:%d instead of %s:%d:%d", p.File, p.Line, p.Col, where, line, col)
			}
			if !strings.Contains(p.Message, f.says) || !strings.Contains(p.Hint, f.hint) {
				t.Errorf("says\n%s\ninstead of %q, with the hint %q", p.Text(), f.says, f.hint)
			}
		})
	}
}

// commit breaks the copy of a package, and returns the place that the error must name.
func (f fault) commit(t *testing.T, dir string) (file string, line, col int) {
	t.Helper()
	change := func(file, old, with string) {
		path := filepath.Join(dir, file)
		text := read(t, path)
		if n := strings.Count(text, old); n != 1 {
			t.Fatalf("%q stands %d times in %s", old, n, file)
		}
		write(t, path, strings.Replace(text, old, strings.ReplaceAll(with, mark, ""), 1))
	}
	if f.file != "" {
		change(f.file, f.old, f.with)
	}
	if f.copy != "" {
		write(t, filepath.Join(dir, f.to), read(t, filepath.Join(dir, f.copy)))
	}
	if f.remove != "" {
		if err := os.Remove(filepath.Join(dir, f.remove)); err != nil {
			t.Fatal(err)
		}
	}
	file, text := f.file, f.with
	if f.in != "" {
		file = f.in
	}
	if f.at != "" {
		text = f.at
	}
	before, after, marked := strings.Cut(text, mark)
	if !marked {
		return file, 0, 0
	}
	upto, _, found := strings.Cut(read(t, filepath.Join(dir, file)), before+after)
	if !found {
		t.Fatalf("%q stands nowhere in %s", before+after, file)
	}
	upto += before
	return file, 1 + strings.Count(upto, "\n"), len(upto) - strings.LastIndex(upto, "\n")
}

const mark = "§"

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
