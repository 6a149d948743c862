package record

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mendel/internal/research"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func read(t *testing.T, path string, o Options) (Record, map[string]research.TrialImported) {
	t.Helper()
	rec, err := Read(path, o)
	if err != nil {
		t.Fatal(err)
	}
	byID := map[string]research.TrialImported{}
	for _, trial := range rec.Trials {
		byID[trial.Trial.String()] = trial
	}
	return rec, byID
}

// TestDamagedRows: what is damaged is mended from what the record says, and each thing is noted.
func TestDamagedRows(t *testing.T) {
	rec, trials := read(t, "testdata/damaged", Options{})
	golden(t, "testdata/damaged.notes", rec.Registration.Imported.Notes)
	if len(trials) != 12 {
		t.Errorf("%d trials, want the baseline and 11", len(trials))
	}
	for _, want := range []struct {
		trial, parent string
		status        research.Status
		score         float64 // 0: none
		hypothesis    string
	}{
		{"001", "000", "keep", 1.095, `"Wider" embeddings, as the ""wide"" note says`}, // a quote that opens a field is no damage
		{"002", "001", "keep", 1.094, `Raise lr: the "cosine" floor`},                  // swallowed tabs
		{"003", "001", "discard", 1.096, "Split the decay between attention and MLP"},  // a line break
		{"004", "002", "eval_budget_overrun", 1.093, "Gate each head"},                 // blanks for tabs
		{"006", "002", "keep", 1.093, "Label smoothing"},                               // a parent that there is not
		{"007", "006", "timed_out", 0, "A third loss"},                                 // a status of its own
		{"008", "006", "discard", 1.0947, "Twice in the table, the other one"},         // twice
		{"009", "006", "crash", 0, "Only tree.tsv has this one"},                       // missing
		{"010", "006", "discard", 1.0935, "Only the score is lost"},                    // from the delta
		{"011", "006", "discard", 1.095, "The table ends here"},                        // cut off
	} {
		trial := trials[want.trial]
		var score float64
		if trial.Measurement.Score != nil {
			score = *trial.Measurement.Score
		}
		if trial.Proposal.Parent.String() != want.parent || trial.Status != want.status || score-want.score > 1e-9 || want.score-score > 1e-9 || trial.Proposal.Hypothesis != want.hypothesis {
			t.Errorf("trial %s came out as parent %s, %s, %v, %q", want.trial, trial.Proposal.Parent, trial.Status, score, trial.Proposal.Hypothesis)
		}
	}
	if got := trials["010"].Proposal.Notes; got != "a line of a traceback that nobody asked for" {
		t.Errorf("notes of 010: %q", got)
	}
}

// TestWithoutTree: what only tree.tsv would say is left out, and the row itself is still read.
func TestWithoutTree(t *testing.T) {
	data, err := os.ReadFile("testdata/damaged/results.tsv")
	if err != nil {
		t.Fatal(err)
	}
	rec, err := Parse("x", []File{{resultsFile, data}}, Options{Name: "x"})
	if err != nil {
		t.Fatal(err)
	}
	got := rec.Trials[4]
	if got.Trial != 4 || got.Status != "eval_budget_overrun" || *got.Proposal.Expected != -0.003 || got.Proposal.Hypothesis != "Gate each head" || got.Measurement.Score != nil {
		t.Errorf("the row whose tabs are blanks: %+v", got)
	}
	if last := rec.Trials[len(rec.Trials)-1]; last.Status != research.Status(research.Unclassified) || last.Proposal.Role != "arch" {
		t.Errorf("the row that was cut off: %+v", last)
	}
}

func TestCommits(t *testing.T) {
	rec, trials := read(t, "testdata/commits.tsv", Options{})
	golden(t, "testdata/commits.notes", rec.Registration.Imported.Notes)
	if rec.Registration.Score.Metric != "val_bpb" || rec.Registration.Score.Direction != research.Minimize || rec.Registration.Task.Name != "commits" {
		t.Errorf("registered %+v of %s", rec.Registration.Score, rec.Registration.Task.Name)
	}
	if base := trials["000"]; base.Status != research.StatusBaseline || !strings.Contains(base.Proposal.Notes, "a1b2c3d") {
		t.Errorf("the first row is %+v", base)
	}
	if crash := trials["003"]; crash.Measurement.Score != nil || crash.Proposal.Parent != 1 || crash.Status != "crash" {
		t.Errorf("a crash: %+v", crash)
	}
	if got := trials["002"].Proposal.Hypothesis; got != `switch to "GeLU" activation` {
		t.Errorf("quotes inside a field were mangled: %q", got)
	}
	if got := trials["004"].Proposal.Hypothesis; got != "quoted from end to end" {
		t.Errorf("a quoted field: %q", got)
	}
}

// TestScore: which column is the score and which way is better follow from the record, by rule.
func TestScore(t *testing.T) {
	const head = "exp_id\tparent_exp\tspecialist\tstatus\tcore_metric\ttrain_min\tdelta_vs_best\thypothesis\n"
	const rising = head + "000\t\tbaseline\tbaseline\t0.16\t90\t\tstart\n001\t000\topt\tkeep\t0.19\t89\t+0.03\tfaster\n002\t001\tarch\tdiscard\t0.18\t88\t-0.01\twider\n"
	const flat = head + "000\t\tbaseline\tbaseline\t0.16\t90\t\tstart\n001\t000\topt\tdiscard\t0.15\t89\t\tslower\n"
	for name, test := range map[string]struct {
		results, best string
		o             Options
		metric        string
		direction     research.Direction
	}{
		"keeps that rise":         {rising, "", Options{}, "core_metric", research.Maximize},
		"best.json names it":      {rising, `{"exp_id": 1, "train_min": 89}`, Options{}, "train_min", research.Minimize},
		"best.json knows the way": {flat, `{"exp_id": "000", "delta_vs_prev": "-0.1"}`, Options{}, "core_metric", research.Minimize},
		"the name knows it":       {flat, "", Options{}, "core_metric", research.Maximize},
		"the user knows better":   {rising, "", Options{Metric: "train_min", Direction: research.Maximize}, "train_min", research.Maximize},
	} {
		files := []File{{resultsFile, []byte(test.results)}}
		if test.best != "" {
			files = append(files, File{bestFile, []byte(test.best)})
		}
		rec, err := Parse("x", files, test.o)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := rec.Registration.Score; got.Metric != test.metric || got.Direction != test.direction {
			t.Errorf("%s: %+v", name, got)
		}
	}
	for _, table := range []string{"", "a\tb\nc\td\n", "exp_id\tstatus\thypothesis\n000\tbaseline\tstart\n"} {
		if rec, err := Parse("x", []File{{resultsFile, []byte(table)}}, Options{}); err == nil {
			t.Errorf("%q was read as %+v", table, rec)
		}
	}
}

// TestMoreCellsThanColumns: a cell that no column can take is nobody's, and the others keep their places.
func TestMoreCellsThanColumns(t *testing.T) {
	table := "exp_id\tstatus\tloss\n000\tbaseline\t3\n001\tkeep\t2\n002\tkeep\twhat is this?\t1\n"
	rec, err := Parse("x", []File{{resultsFile, []byte(table)}}, Options{Name: "x"})
	if err != nil {
		t.Fatal(err)
	}
	if last := rec.Trials[2]; last.Status != "keep" || last.Measurement.Score == nil || *last.Measurement.Score != 1 {
		t.Errorf("the row with four cells: %+v", last)
	}
	if len(rec.Registration.Imported.Notes) == 0 {
		t.Error("nothing is noted of it")
	}
}

// TestColumnsOfTheTree: what only tree.tsv has a column for is taken from there.
func TestColumnsOfTheTree(t *testing.T) {
	results := "exp_id\tspecialist\tstatus\tloss\n000\tbaseline\tbaseline\t3\n001\topt\tkeep\t2\n002\tarch\tkeep\t1\n"
	tree := "exp_id\tparent_exp\tdepth\tpath\tstatus\thypothesis\n000\t\t0\t000\tbaseline\tstart\n" +
		"001\t000\t1\t000/001\tkeep\tfaster\n002\t001\t2\t000/001/002\tkeep\twider\n"
	rec, err := Parse("x", []File{{resultsFile, []byte(results)}, {treeFile, []byte(tree)}}, Options{Name: "x"})
	if err != nil {
		t.Fatal(err)
	}
	if last := rec.Trials[2].Proposal; last.Parent != 1 || last.Hypothesis != "wider" || last.Role != "arch" {
		t.Errorf("trial 002 is %+v", last)
	}
	if n := len(rec.Registration.Imported.Notes); n != 2 {
		t.Errorf("%d notes, want one for each column: %v", n, rec.Registration.Imported.Notes)
	}
}

func TestBounds(t *testing.T) {
	_, trials := read(t, "testdata/damaged", Options{Bounds: []research.Bound{Limit("artifact_bytes", 14_999_000), Gate("eval_s", 500)}})
	margins := trials["001"].Measurement.Margins
	if len(margins) != 2 || margins[0].Slack != -1000 || margins[0].Bound.Outcome != research.SizeBlocked || margins[1].Slack != 90 {
		t.Errorf("margins of 001: %+v", margins)
	}
}

func golden(t *testing.T, file string, notes []research.ImportNote) {
	t.Helper()
	var b strings.Builder
	for _, n := range notes {
		b.WriteString(n.String() + "\n")
	}
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != b.String() {
		t.Errorf("notes are\n%s, want\n%s", b.String(), want)
	}
}

// FuzzParse: whatever the tables hold, reading them ends, and what comes out is a run.
func FuzzParse(f *testing.F) {
	seed := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		return data
	}
	f.Add(seed("damaged/results.tsv"), seed("damaged/tree.tsv"), seed("damaged/best.json"))
	f.Add(seed("commits.tsv"), []byte{}, []byte("{}"))
	f.Fuzz(func(t *testing.T, results, tree, best []byte) {
		files := []File{{resultsFile, results}}
		if len(tree) > 0 {
			files = append(files, File{treeFile, tree})
		}
		rec, err := Parse("x", append(files, File{bestFile, best}), Options{Name: "x"})
		if err != nil {
			return
		}
		seen := map[research.TrialID]bool{}
		last := research.TrialID(-1)
		for _, trial := range rec.Trials {
			if trial.Trial <= last || trial.Status == "" {
				t.Fatalf("trial %s after %s, status %q", trial.Trial, last, trial.Status)
			}
			if parent := trial.Proposal.Parent; parent != 0 && !seen[parent] {
				t.Fatalf("parent %s of %s", parent, trial.Trial)
			}
			last, seen[trial.Trial] = trial.Trial, true
		}
		if !slices.Contains([]research.Direction{research.Minimize, research.Maximize}, rec.Registration.Score.Direction) {
			t.Fatalf("direction %q", rec.Registration.Score.Direction)
		}
	})
}
