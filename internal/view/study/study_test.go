package study

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const good = `name: lineage-pays
task: tasks/quick
budget: {trials: 12}
arms:
  - {name: with}
  - {name: without, lineage: false}
`

func write(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), FileName)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestLoad(t *testing.T) {
	s, err := Load(write(t, good))
	if err != nil {
		t.Fatal(err)
	}
	if s.Replicates != EnoughReplicates || s.Parallel != 1 || s.Alpha != 0.05 || s.Finals != 5 {
		t.Errorf("defaults: %+v", s)
	}
	if !s.Arms[0].SeesLineage() || s.Arms[1].SeesLineage() {
		t.Errorf("arms: %+v", s.Arms)
	}
	if s.TaskDir() != filepath.Join(s.Dir, "tasks/quick") {
		t.Errorf("the task is looked for in %s", s.TaskDir())
	}
}

func TestFaults(t *testing.T) {
	for name, x := range map[string]struct{ from, to, place, says, hint string }{
		"unknown key":    {"budget:", "budgets:", ":3:1:", `unknown key "budgets"`, "budget"},
		"no budget":      {"{trials: 12}", "{trials: 0}", ":3:", "the same number of trials or hours", "{trials: 40}"},
		"one arm":        {"  - {name: without, lineage: false}\n", "", ":4:", "at least two", "compared"},
		"twice one name": {"name: without", "name: with", ":6:", "two arms are called with", "another"},
		"twice the same": {"without, lineage: false", "without", ":6:", "the same as with", "change"},
		"by hand":        {"lineage: false", "proposer: external", ":6:", "does not search by itself", "mutate"},
		"wrong type":     {"lineage: false", "lineage: maybe", ":6:", "lineage", ""},
		"alpha of one":   {"task:", "alpha: 1\ntask:", ":2:", "no level of a test", "0.05"},
		"bad name":       {"lineage-pays", "Lineage pays", ":1:", "lower-case", ""},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(good, x.from, x.to, 1)
			if text == good {
				t.Fatal("nothing was broken")
			}
			_, err := Load(write(t, text))
			if err == nil {
				t.Fatal("it loads")
			}
			for _, word := range []string{FileName + x.place, x.says, x.hint} {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("%q is not in\n%v", word, err)
				}
			}
		})
	}
}

func TestCells(t *testing.T) {
	s, err := Load(write(t, good+"replicates: 3\n"))
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	seeds := map[int64]bool{}
	for _, c := range s.Cells() {
		order = append(order, filepath.Base(s.RunDir(c)))
		seeds[s.SeedOf(c)] = true
	}
	want := []string{"with-1", "without-1", "without-2", "with-2", "with-3", "without-3"}
	if !slices.Equal(order, want) {
		t.Errorf("order %v, want %v", order, want)
	}
	if len(seeds) != 6 {
		t.Errorf("%d different seeds for 6 runs", len(seeds))
	}
	args := strings.Join(s.RunArgs(s.Cells()[1]), " ")
	for _, word := range []string{"--no-lineage", "--trials 12", "--plain", "--seed"} {
		if !strings.Contains(args, word) {
			t.Errorf("mendel run %s: %q is missing", args, word)
		}
	}
	if args := strings.Join(s.RunArgs(s.Cells()[0]), " "); strings.Contains(args, "--no-lineage") {
		t.Errorf("mendel run %s: the arm with lineage has none", args)
	}
}

func TestTheScaffoldLoads(t *testing.T) {
	s, err := Load(write(t, Scaffold("my-study", "../tasks/quick")))
	if err != nil {
		t.Fatal(err)
	}
	if s.Name != "my-study" || s.Task != "../tasks/quick" || len(s.Arms) != 2 {
		t.Errorf("it holds %+v", s)
	}
}
