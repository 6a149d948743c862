package task

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mendel/internal/research"
)

// exampleTask copies the scaffolded task, which is valid, into a new directory.
func exampleTask(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "tide-forecast")
	if _, err := New(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// edit replaces a text that must be in a file of the task; an empty old text appends.
func edit(t *testing.T, dir, file, old, with string) {
	t.Helper()
	path := filepath.Join(dir, file)
	data, err := os.ReadFile(path)
	if err != nil && old != "" {
		t.Fatal(err)
	}
	text := string(data)
	if old == "" {
		text += with
	} else {
		if !strings.Contains(text, old) {
			t.Fatalf("%s does not hold %q", file, old)
		}
		text = strings.Replace(text, old, with, 1)
	}
	if err := writeFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, dir, file string) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(dir, file)); err != nil {
		t.Fatal(err)
	}
}

func problemsOf(t *testing.T, dir string) Problems {
	t.Helper()
	_, err := Load(dir)
	if err == nil {
		return nil
	}
	var problems Problems
	if !errors.As(err, &problems) {
		t.Fatalf("not problems of the package: %v", err)
	}
	return problems
}

// lineOf is the number of the first line of a file that holds a text.
func lineOf(t *testing.T, dir, file, text string) int {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		t.Fatal(err)
	}
	i := strings.Index(string(data), text)
	if i < 0 {
		t.Fatalf("%s does not hold %q", file, text)
	}
	return 1 + strings.Count(string(data[:i]), "\n")
}

func TestBrokenTasksAreExplained(t *testing.T) {
	const yaml, knobs = "task.yaml", "knobs.yaml"
	for _, c := range []struct {
		name      string
		file      string // to edit, with old and with
		old, with string
		also      func(t *testing.T, dir string)
		in        string // file of the problem, unless the edited one
		at        string // text of the line that the problem must name; "" for none
		message   string
		hint      string
	}{
		{name: "misspelled key", file: yaml, old: "\nseeds: 2", with: "\nsedes: 2", at: "sedes:", message: `unknown key "sedes"`, hint: `did you mean "seeds"?`},
		{name: "misspelled key of a phase", file: yaml, old: "grace: 500ms", with: "grase: 500ms", at: "grase:", message: `unknown key "grase" in phases[1]`, hint: `"grace"`},
		{name: "key of another place", file: yaml, old: "{metric: worst, max: 80,", with: "{metric: worst, max: 80, source: harness,", at: "max: 80, source: harness,", message: `unknown key "source"`, hint: "known keys here: metric, min"},
		{name: "key given twice", file: yaml, old: "\nseeds: 2", with: "\nseeds: 2\nseeds: 3", at: "seeds: 3", message: "already defined", hint: "keep one"},
		{name: "missing key", file: yaml, old: "score: {metric: rmse, direction: minimize}\n", with: "", at: "name: tide", message: `"score" is missing`, hint: "add `score:`"},
		{name: "missing key inside", file: yaml, old: "score: {metric: rmse, direction: minimize}", with: "score: {metric: rmse}", at: "score: {", message: `"direction" is missing in score`, hint: "which scores are better"},
		{name: "syntax", file: yaml, old: "editable: [\"train.py\", \"features.py\"]", with: "editable: [\"train.py\", \"features.py\"", at: "language: python", message: "must be specified", hint: "brackets"},
		{name: "tab", file: yaml, old: "  dir: recipe ", with: "\tdir: recipe ", at: "dir: recipe", message: "found character", hint: "spaces"},
		{name: "not a list", file: yaml, old: "run: [python3, train.py]", with: "run: python3 train.py", at: "run: python3 train.py", message: "wants a list", hint: "[python3, train.py]"},
		{name: "not a number", file: yaml, old: "\nseeds: 2", with: "\nseeds: two", at: "seeds: two", message: `seeds wants a whole number, not "two"`},
		{name: "not a duration", file: yaml, old: "budget: 5s ", with: "budget: soon ", at: "budget: soon", message: `"soon" is not a duration: write 20s`},
		{name: "not a size", file: yaml, old: "memory: 512MiB", with: "memory: 512 megs", at: "memory:", message: `"512 megs" is not a size`},
		{name: "not one of a set", file: yaml, old: "direction: minimize", with: "direction: minimise", at: "direction: minimise", message: "not one of minimize, maximize", hint: `"minimize"`},
		{name: "noise of no kind", file: yaml, old: "noise: {kind: seeded}", with: "noise: {kind: random}", at: "noise:", message: "not one of seeded, timing, none"},
		{name: "sandbox of no level", file: yaml, old: "require: isolated", with: "require: total", at: "sandbox:", message: "not one of isolated, confined, limited, none"},
		{name: "keep rule with too few pairs", file: yaml, old: "keep: {rule: strict}", with: "keep: {rule: confirmed, pairs: 4}", at: "keep:", message: "4 pairs are too few for an alpha of 0.05", hint: "24 pairs"},
		{name: "alpha of the strict rule", file: yaml, old: "keep: {rule: strict}", with: "keep: {rule: strict, alpha: 0.1}", at: "rule: strict, alpha", message: "neither alpha nor pairs", hint: "rule: confirmed"},
		{name: "alias", file: yaml, old: "\nseeds: 2", with: "\nseeds: &n 2", at: "seeds: &n", message: "anchors", hint: "write the value out"},
		{name: "second document", file: yaml, old: "knobs: knobs.yaml", with: "knobs: knobs.yaml\n---\nname: again", at: "name: again", message: "second YAML document", hint: "---"},
		{name: "bad name", file: yaml, old: "name: tide-forecast", with: "name: Tide_Forecast", at: "name: Tide", message: "not a task's name", hint: "tide-forecast"},
		{name: "empty summary", file: yaml, old: "summary: Forecast the heights of a tide gauge from 40 days of its past, as exactly as possible.", with: `summary: ""`, at: "summary:", message: "summary is empty"},

		{name: "no recipe", file: yaml, old: "dir: recipe ", with: "dir: receipt ", at: "dir: receipt", message: "receipt does not exist", hint: `"recipe"`},
		{name: "recipe is the package", file: yaml, old: "dir: recipe ", with: "dir: . ", at: "dir: .", message: "the package itself cannot be the recipe", hint: "directory of its own"},
		{name: "editable glob matches nothing", file: yaml, old: `editable: ["train.py", "features.py"]`, with: `editable: ["train.py", "features.py", "trian.py"]`, at: "editable:", message: `"trian.py" matches no file`, hint: `"train.py"`},
		{name: "bad glob", file: yaml, old: `editable: ["train.py", "features.py"]`, with: `editable: ["train.py", "features.py", "[a"]`, at: "editable:", message: "is not a glob", hint: "close"},
		{name: "absolute path", file: yaml, old: "path: data/train,", with: "path: /srv/train,", at: "path: /srv/train", message: "absolute path", hint: "site file"},
		{name: "path out of the package", file: yaml, old: "path: data/train,", with: "path: ../train,", at: "path: ../train", message: "leads out of the package", hint: "copy it"},
		{name: "symbolic link", file: yaml, old: "name: tide", with: "name: tide", also: func(t *testing.T, dir string) {
			if err := os.Symlink("/etc/hostname", filepath.Join(dir, "recipe", "host")); err != nil {
				t.Skip(err)
			}
		}, in: "recipe/host", message: "symbolic link", hint: "copy what it points to"},
		{name: "huge file in the recipe", file: yaml, old: "name: tide", with: "name: tide", also: func(t *testing.T, dir string) {
			path := filepath.Join(dir, "recipe", "weights.bin")
			if err := os.WriteFile(path, nil, 0o644); err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(path, maxRecipeFile+1); err != nil {
				t.Fatal(err)
			}
		}, in: "recipe/weights.bin", message: "too many for a file of the recipe", hint: "data:"},
		{name: "evaluator inside the recipe", file: yaml, old: "evaluator: {dir: evaluator}", with: "evaluator: {dir: recipe}", at: "evaluator: {dir: recipe}", message: "overlap", hint: "side by side"},

		{name: "data missing", file: yaml, old: "path: data/train,", with: "path: data/trian,", at: "path: data/trian", message: "data/trian does not exist", hint: `"data/train"`},
		{name: "data for an unknown phase", file: yaml, old: "visible_to: [train]}", with: "visible_to: [training]}", at: "visible_to: [training]", message: `there is no phase "training"`, hint: `"train"`},
		{name: "held-out data for a phase", file: yaml, old: "visible_to: [evaluator]}", with: "visible_to: [evaluator, train]}", at: "visible_to: [evaluator, train]", message: "held out", hint: "two entries"},
		{name: "held-out data in the same place", file: yaml, old: "path: data/heldout,", with: "path: data/train,", at: "visible_to: [evaluator]}", message: "lies in the same place as data.train", hint: "own directory"},
		{name: "data in the recipe", file: yaml, old: "path: data/train,", with: "path: recipe,", at: "path: recipe", message: "in the recipe's directory", hint: "beside"},

		{name: "two phases of one name", file: yaml, old: "- name: preflight", with: "- name: train", also: nil, at: "name: train\n    run: [python3, train.py]\n", message: `two phases named "train"`, hint: "name of its own"},
		{name: "phase that does nothing", file: yaml, old: "    run: [python3, train.py]\n", with: "", at: "- name: train", message: "(train) does nothing", hint: "run: [python3, train.py]"},
		{name: "phase that does both", file: yaml, old: "    subject: [python3, train.py, --serve]", with: "    run: [python3, train.py]\n    subject: [python3, train.py, --serve]", at: "run: [python3, train.py]\n    subject", message: "either runs the recipe or questions it", hint: "keep `run`"},
		{name: "evaluator without subject", file: yaml, old: "    subject: [python3, train.py, --serve]         # answers, in a sandbox of its own\n", with: "", at: "evaluator: [python3", message: "nobody answers", hint: "subject"},
		{name: "phase without end", file: yaml, old: "    timeout: 10s                     # longer is a failure,\n", with: "", at: "- name: preflight", message: "could run for ever", hint: "budget: 60s"},
		{name: "budget and time-out", file: yaml, old: "    grace: 500ms", with: "    grace: 500ms\n    timeout: 9s", at: "timeout: 9s", message: "both a budget and a time-out", hint: "keep one"},
		{name: "killed too early", file: yaml, old: "    grace: 500ms", with: "    grace: 500ms\n    kill_after: 5s", at: "kill_after: 5s", message: "before budget and grace are over", hint: "at least 5.5s"},
		{name: "over-run that is none", file: yaml, old: "on_overrun: train_budget_overrun", with: "on_overrun: crash", at: "on_overrun: crash", message: "not one of train_budget_overrun, eval_budget_overrun"},
		{name: "failure that is valid", file: yaml, old: "    on_fail: preflight_crash         # and", with: "    on_fail: valid # and", at: "on_fail: valid", message: "not one of crash, preflight_crash"},
		{name: "recipe looks at the evaluator", file: yaml, old: "subject: [python3, train.py, --serve]", with: `subject: [python3, "{evaluator}/score.py"]`, at: "subject:", message: "never see the evaluator's files", hint: "trusted: true"},
		{name: "script that is missing", file: yaml, old: "run: [python3, train.py]\n", with: "run: [python3, tarin.py]\n", at: "tarin.py", message: "the recipe has no tarin.py", hint: `"train.py"`},
		{name: "evaluator's script that is missing", file: yaml, old: "{evaluator}/score.py", with: "{evaluator}/scores.py", at: "scores.py", message: "evaluator's directory has no scores.py", hint: "create it"},
		{name: "program that is not allowed", file: yaml, old: "run: [python3, train.py]\n", with: "run: [ruby, train.py]\n", at: "[ruby,", message: `"ruby" is not a program of the environment`, hint: "programs: [ruby]"},
		{name: "python of no version", file: yaml, old: "run: [python3, train.py]\n", with: "run: [python, train.py]\n", at: "[python,", message: `"python" is not a program`, hint: "python3"},
		{name: "two checks of one name", file: yaml, old: "\nphases:", with: "\n  - {name: syntax_check, run: [python3, train.py]}\n\nphases:", at: "- {name: syntax_check", message: `two checks named "syntax_check"`},
		{name: "check named like a tool", file: yaml, old: "name: syntax_check", with: "name: submit_trial", at: "name: submit_trial", message: "already has a tool", hint: "another name"},
		{name: "runner's variable", file: yaml, old: "  programs: [bash,", with: "  env: {PYTHONPATH: lib}\n  programs: [bash,", at: "env: {PYTHONPATH", message: "PYTHONPATH is set by the runner", hint: "another name"},

		{name: "artifact out of MENDEL_OUT", file: yaml, old: `files: ["model.json"]`, with: `files: ["/tmp/model.json"]`, at: "files: [\"/tmp", message: "not below MENDEL_OUT"},
		{name: "measure that is none", file: yaml, old: "measure: wall(train)", with: "measure: time(train)", at: "time(train)", message: "does not measure time(…)"},
		{name: "measure of an unknown phase", file: yaml, old: "measure: wall(train)", with: "measure: wall(train) + wall(eval)", at: "wall(eval)", message: `no phase "eval"`, hint: "there are: preflight"},
		{name: "measure of apples and pears", file: yaml, old: "measure: wall(train)", with: "measure: wall(train) + bytes(code)", at: "bytes(code)", message: "cannot be added"},
		{name: "metric with a foreign key", file: yaml, old: "rmse: {source: evaluator,", with: "rmse: {source: evaluator, measure: wall(train),", at: "rmse: {source", message: "measure goes with source harness", hint: "correct the source"},
		{name: "wrong unit", file: yaml, old: "measure: wall(train)}", with: "measure: wall(train), unit: ms}", at: "unit: ms", message: "measures this in s, not ms", hint: "unit: s"},
		{name: "score of no metric", file: yaml, old: "score: {metric: rmse,", with: "score: {metric: rsme,", at: "score:", message: `no metric "rsme"`, hint: `"rmse"`},
		{name: "gate on no metric", file: yaml, old: "{metric: worst, max: 80,", with: "{metric: accuracy, max: 80,", at: "{metric: accuracy", message: `no metric "accuracy"`, hint: "there are: artifact_bytes"},
		{name: "gate with two thresholds", file: yaml, old: "{metric: worst, max: 80,", with: "{metric: worst, min: 1, max: 80,", at: "{metric: worst", message: "one threshold", hint: "two gates"},
		{name: "limit on no metric", file: yaml, old: "{metric: artifact_bytes,", with: "{metric: artifact_byte,", at: "{metric: artifact_byte,", message: `no metric "artifact_byte"`, hint: `"artifact_bytes"`, also: func(t *testing.T, dir string) {
			edit(t, dir, yaml, "limits:  ", "limits:\n  - {metric: artifact_bytes, max: 2001}\n  #")
		}},
		{name: "artifact without a cap", file: yaml, old: "{metric: artifact_bytes, max: 2000, on_exceed: size_blocked}", with: "{metric: train_s, max: 4, on_exceed: train_budget_overrun}", at: "limits:", message: "nothing caps the artifact", hint: "bytes(artifact)"},
		{name: "limit without an outcome", file: yaml, old: "limits: ", with: "limits:\n  - {metric: train_s, max: 4}\n#", at: "{metric: train_s", message: "make of a trial", hint: "on_exceed"},
		{name: "same limit twice", file: yaml, old: "limits: ", with: "limits:\n  - {metric: artifact_bytes, max: 4}\n#", at: "{metric: artifact_bytes, max: 2000", message: "already bounded", hint: "stricter"},
		{name: "hidden self-report", file: yaml, old: "rmse: {source: evaluator, unit: cm}", with: "rmse: {source: recipe-log, phase: train, pattern: 'rmse ([0-9.]+)'}", at: "score: {", message: "prints its own score", hint: "self_reported: true"},
		{name: "self-report that is none", file: yaml, old: "direction: minimize}", with: "direction: minimize, self_reported: true}", at: "score: {", message: "established by the evaluator", hint: "remove it"},
		{name: "log pattern without a group", file: yaml, old: "worst: {source: evaluator, unit: cm, aggregate: max}", with: "worst: {source: recipe-log, phase: train, pattern: 'rmse [0-9.]+'}", at: "worst: {", message: "0 groups", hint: "( )"},
		{name: "log pattern that does not compile", file: yaml, old: "worst: {source: evaluator, unit: cm, aggregate: max}", with: "worst: {source: recipe-log, phase: train, pattern: 'rmse ([0-9.+'}", at: "worst: {", message: "missing closing", hint: "Go's syntax"},
		{name: "no evaluate phase", file: yaml, old: "    evaluator: [python3, \"{evaluator}/score.py\"]  # asks, and knows the answers\n    subject:", with: "    run:", at: "rmse: {source", message: "no phase has an evaluator", hint: "subject", also: func(t *testing.T, dir string) {
			edit(t, dir, yaml, "  worst: {source: evaluator, unit: cm, aggregate: max}", "#")
			edit(t, dir, yaml, "  - {metric: worst,", "  #")
		}},
		{name: "certificate without a margin", file: yaml, old: "margin: 1.0", with: "margin: 0", at: "certificate:", message: "not above 0", hint: "least gain"},
		{name: "seeds out of range", file: yaml, old: "\nseeds: 2", with: "\nseeds: 0", at: "seeds: 0", message: "not between 1 and"},

		{name: "role without a preamble", file: yaml, old: "preamble: roles/fit.md, ", with: "", at: "{id: fit", message: `"preamble" is missing`, hint: "scope"},
		{name: "preamble that is missing", file: yaml, old: "roles/fit.md", with: "roles/fitting.md", at: "roles/fitting.md", message: "roles/fitting.md does not exist"},
		{name: "preamble that is empty", file: yaml, old: "name: tide", with: "name: tide", also: func(t *testing.T, dir string) {
			if err := os.WriteFile(filepath.Join(dir, "roles", "fit.md"), []byte("\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}, at: "roles/fit.md", message: "roles/fit.md is empty", hint: "write in it"},
		{name: "two roles of one id", file: yaml, old: "id: features,", with: "id: fit,", at: "preamble: roles/fit.md", message: `two roles with the id "fit"`, also: func(t *testing.T, dir string) {
			edit(t, dir, knobs, "role: features", "role: fit")
			edit(t, dir, yaml, `may_edit: ["features.py"]`, `may_edit: ["*.py"]`)
		}},
		{name: "role with a reserved id", file: yaml, old: "id: features,", with: "id: single,", at: "id: single", message: "meaning of its own", also: func(t *testing.T, dir string) {
			edit(t, dir, knobs, "role: features", "role: single")
		}},
		{name: "role that may edit what is not editable", file: yaml, old: `may_edit: ["train.py"]`, with: `may_edit: ["train.py", "model.py"]`, at: "model.py", message: "reaches no editable file"},
		{name: "knowledge that is missing", file: yaml, old: "knowledge/PROBLEM.md", with: "knowledge/PROBLEMS.md", at: "PROBLEMS.md", message: "does not exist", hint: `"knowledge/PROBLEM.md"`},
		{name: "upstream without a commit", file: yaml, old: "knobs: knobs.yaml", with: "knobs: knobs.yaml\nupstream: {repo: a/b, commit: main}", at: "upstream:", message: "not a commit's full hash", hint: "rev-parse"},

		{name: "knobs file that is missing", file: yaml, old: "knobs: knobs.yaml", with: "knobs: knob.yaml", at: "knobs: knob.yaml", message: "does not exist", hint: `"knobs.yaml"`},
		{name: "unknown key of a knob", file: knobs, old: "  scale: log                         # steps", with: "  scales: log # steps", at: "scales:", message: `unknown key "scales"`, hint: `"scale"`},
		{name: "two knobs of one name", file: knobs, old: "- name: decay", with: "- name: learning_rate", at: "- name: learning_rate\n  role: fit\n  about: factor", message: "two knobs named"},
		{name: "knob that is not found", file: knobs, old: "'^EPOCHS = (\\d+)'", with: "'^EPOCH = (\\d+)'", at: "^EPOCH =", message: "not found in train.py", hint: "compare it"},
		{name: "knob that is found twice", file: knobs, old: "'^EPOCHS = (\\d+)'", with: "'weights = \\[(\\S+)'", at: "weights =", message: "more than once in train.py (lines", hint: "more exact"},
		{name: "knob without a group", file: knobs, old: "'^EPOCHS = (\\d+)'", with: "'^EPOCHS = \\d+'", at: "EPOCHS", message: "0 groups"},
		{name: "knob that is no number", file: knobs, old: "'^EPOCHS = (\\d+)'", with: "'^EPOCHS( =) \\d+'", at: "EPOCHS", message: `" =" in train.py is not a number`, hint: "bare number"},
		{name: "knob out of its range", file: knobs, old: "max: 100\n", with: "max: 3\n", at: "- name: epochs", message: "4 in train.py is outside 1 … 3", hint: "widen"},
		{name: "knob without a range", file: knobs, old: "  min: 1\n  max: 100\n", with: "", at: "- name: epochs", message: "a number needs a range", hint: "add `min` and `max`"},
		{name: "knob with a log scale from 0", file: knobs, old: "min: 0.0001", with: "min: 0", at: "min: 0\n", message: "begins above 0", hint: "linear"},
		{name: "knob of an unknown role", file: knobs, old: "role: features", with: "role: feature", at: "role: feature", message: `no role "feature"`, hint: `"features"`},
		{name: "knob in a file that its role may not edit", file: knobs, old: "role: features", with: "role: fit", at: "place: {file: features.py", message: "role fit may not edit features.py", hint: "give the knob"},
		{name: "choice that does not stand there", file: knobs, old: "  type: int\n  min: 1\n  max: 8\n  step: 1\n", with: "  type: choice\n  choices: [1, 3]\n", at: "choices: [1, 3]", message: "2 in features.py is not among the choices", hint: "exactly"},
		{name: "bool that is none", file: knobs, old: "  type: int\n  min: 1\n  max: 8\n  step: 1\n", with: "  type: bool\n", at: "place: {file: features.py", message: "neither True nor False"},

		{name: "held-out data in the recipe", file: yaml, old: "name: tide", with: "name: tide", also: func(t *testing.T, dir string) {
			copyFile(t, filepath.Join(dir, "data/heldout/tide.csv"), filepath.Join(dir, "recipe/cache.csv"))
		}, in: "recipe/cache.csv", message: "holds the same as data.heldout (data/heldout/tide.csv)", hint: "remove the copy"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := exampleTask(t)
			edit(t, dir, c.file, c.old, c.with)
			if c.also != nil {
				c.also(t, dir)
			}
			problems := problemsOf(t, dir)
			if len(problems) != 1 {
				t.Fatalf("%d problems, want 1:\n%v", len(problems), problems)
			}
			p := problems[0]
			file := c.file
			if c.in != "" {
				file = c.in
			}
			if p.File != file {
				t.Errorf("file %s, want %s", p.File, file)
			}
			if c.at != "" {
				if want := lineOf(t, dir, file, c.at); p.Line != want || p.Col < 1 || (p.Excerpt == "") != strings.HasSuffix(p.Message, "is missing") {
					t.Errorf("line %d, want %d:\n%s", p.Line, want, p.Text())
				}
			}
			if !strings.Contains(p.Message, c.message) || !strings.Contains(p.Hint, c.hint) {
				t.Errorf("got\n%s\nwant message %q, hint %q", p.Text(), c.message, c.hint)
			}
		})
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := writeFile(to, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestAllProblemsAreReportedAtOnce(t *testing.T) {
	dir := exampleTask(t)
	edit(t, dir, "task.yaml", "\nseeds: 2", "\nsedes: 2")
	edit(t, dir, "task.yaml", "metric: rmse,", "metric: rms,")
	edit(t, dir, "knobs.yaml", "^EPOCHS", "^EPOCH")
	remove(t, dir, "roles/fit.md")
	var files []string
	for _, p := range problemsOf(t, dir) {
		files = append(files, p.File)
	}
	if want := []string{"task.yaml", "task.yaml", "task.yaml", "knobs.yaml"}; !slices.Equal(files, want) {
		t.Errorf("problems in %v, want %v", files, want)
	}
}

func TestWithoutAPackageTheErrorSaysWhatToDo(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{filepath.Join(dir, "none"): "no such task", dir: "holds no task.yaml", file: "this is a file"} {
		_, err := Load(path)
		if err == nil || !strings.Contains(err.Error(), want) || research.Hint(err) == "" {
			t.Errorf("Load(%s) = %v (hint %q), want %q and a hint", path, err, research.Hint(err), want)
		}
	}
}

func TestLoadFillsInDefaults(t *testing.T) {
	dir := exampleTask(t)
	for _, line := range []string{"baseline: {replicates: 3}", "resources: {cpus: 1, memory: 512MiB, disk: 64MiB, processes: 16}", "sandbox: {require: isolated}", "keep: {rule: strict}"} {
		edit(t, dir, "task.yaml", line, "")
	}
	edit(t, dir, "task.yaml", "score: {metric: rmse,", "score: {metric: train_s,")
	got, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := Resources{CPUs: 1, Memory: 2 << 30, Disk: 1 << 30, Processes: 64, Exclusive: "host"}
	if got.Resources != want {
		t.Errorf("resources %+v, want %+v: wall-clock is the score", got.Resources, want)
	}
	if got.Baseline.Replicates != 3 || got.Sandbox != "isolated" || got.Keep.Rule != research.Strict {
		t.Errorf("replicates %d, sandbox %q, keep %q", got.Baseline.Replicates, got.Sandbox, got.Keep.Rule)
	}
}

func TestBoundsComeInTheOrderOfTheFile(t *testing.T) {
	got, err := Load(exampleTask(t))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, b := range got.Bounds {
		names = append(names, b.Name)
	}
	if want := []string{"train", "evaluate", "artifact_bytes", "worst"}; !slices.Equal(names, want) {
		t.Errorf("bounds %v, want %v", names, want)
	}
	if b := got.Bounds[0]; *b.Max != 5.5 || b.Metric != "wall(train)" || b.Outcome != research.TrainBudgetOverrun {
		t.Errorf("the train budget is %+v, want 5 s and half a second of grace", b)
	}
}

func TestMissingCertifyDataIsOnlyAWarning(t *testing.T) {
	dir := exampleTask(t)
	remove(t, dir, "data/certify")
	got, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Warnings) != 1 || !strings.Contains(got.Warnings[0].Message, "data/certify does not exist") {
		t.Errorf("warnings %v", got.Warnings)
	}
}

func TestMayEditIsTheCommonPart(t *testing.T) {
	got, err := Load(exampleTask(t))
	if err != nil {
		t.Fatal(err)
	}
	everything := research.Role{MayEdit: []string{"**"}}
	for path, want := range map[string]bool{"train.py": true, "features.py": true, "other.py": false} {
		if got.MayEdit(everything, path) != want {
			t.Errorf("a role with ** may edit %s: %v, want %v", path, !want, want)
		}
	}
	if fit := got.Roles[1]; got.MayEdit(fit, "features.py") || !got.MayEdit(fit, "train.py") {
		t.Error("fit may edit train.py and nothing else")
	}
}

func TestHashCountsWhatInfluencesARun(t *testing.T) {
	dir := exampleTask(t)
	before, err := PackageHash(dir)
	if err != nil {
		t.Fatal(err)
	}
	for file, counts := range map[string]bool{
		"README.md": false, "site.yaml": false, "tests/x.py": false, "recipe/__pycache__/train.pyc": false, "recipe/train.py~": false,
		"recipe/README.md": true, "recipe/train.py": true, "data/train/tide.csv": true, "roles/fit.md": true, "recipe/.config": true,
	} {
		edit(t, dir, file, "", "#")
		after, err := PackageHash(dir)
		if err != nil {
			t.Fatal(err)
		}
		if (after != before) != counts {
			t.Errorf("a change of %s changes the hash: %v, want %v", file, after != before, counts)
		}
		before = after
	}
	if err := os.Chmod(filepath.Join(dir, "recipe/train.py"), 0o755); err != nil {
		t.Fatal(err)
	}
	if after, _ := PackageHash(dir); after == before {
		t.Error("making a file executable does not change the hash")
	}
}

func TestShippedTasksLoad(t *testing.T) {
	files, _ := filepath.Glob("../../tasks/*/task.yaml")
	if len(files) == 0 {
		t.Skip("no tasks ship yet")
	}
	for _, file := range files {
		got, err := Load(filepath.Dir(file))
		if err != nil {
			t.Errorf("%s:\n%v", file, err)
			continue
		}
		if got.Score.SelfReported { // which stays worth a warning
			got.Warnings = slices.DeleteFunc(got.Warnings, func(p Problem) bool { return strings.Contains(p.Message, "self-reported") })
		}
		if got.Name != filepath.Base(filepath.Dir(file)) || len(got.Warnings) > 0 {
			t.Errorf("%s: name %s, warnings:\n%v", file, got.Name, got.Warnings)
		}
	}
}

func TestGlobs(t *testing.T) {
	for _, c := range []struct {
		glob, path string
		want       bool
	}{
		{"train.py", "train.py", true}, {"*.py", "a/train.py", false}, {"**/*.py", "train.py", true}, {"**/*.py", "a/b/train.py", true},
		{"model/**", "model/a/b.py", true}, {"model/**", "models/a.py", false}, {"**", "a", true}, {"a/**/z", "a/z", true}, {"a/**/z", "a/b/c/z", true},
		{"a/**/b/**/c", "a/x/b/y/b/z/c", true}, {"a/**/b/**/c", "a/x/y/z/c", false}, {"[ab].py", "b.py", true}, {"", "a", false},
	} {
		if got := matchGlob(c.glob, c.path); got != c.want {
			t.Errorf("matchGlob(%q, %q) = %v", c.glob, c.path, got)
		}
	}
}

func readText(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
