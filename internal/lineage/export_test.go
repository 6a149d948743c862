package lineage_test

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"mendel/internal/lineage"
	"mendel/internal/lineage/lineagetest"
	"mendel/internal/research"
)

// awkward is what a careless table breaks on.
const awkward = "say \"wider\",\tthen\nnarrower"

// writeAwkwardRun makes a run whose last trial is pending and has an awkward hypothesis.
func writeAwkwardRun(t *testing.T) *lineage.Reader {
	t.Helper()
	author, store := openRun(t, t.TempDir(), 25)
	write := lineagetest.Live(store)
	opened, prompt := author.Opened()
	submitted, blobs, err := author.Submitted()
	if err != nil {
		t.Fatal(err)
	}
	submitted.Proposal.Hypothesis, submitted.Proposal.Notes = awkward, awkward
	if err := write(opened, prompt); err != nil {
		t.Fatal(err)
	}
	if err := write(submitted, blobs...); err != nil {
		t.Fatal(err)
	}
	return store.Reader
}

var minimize = research.ScoreRule{Direction: research.Minimize}

// missedBy is what an export must say of a near miss.
func missedBy(t research.Trial) string {
	if !t.NearMiss(minimize) {
		return ""
	}
	return research.MarginList(t.Missed())
}

func slackCell(t research.Trial) string {
	if t.Measurement == nil {
		return ""
	}
	var cells []string
	for _, m := range t.Measurement.Margins {
		cells = append(cells, m.Bound.Name+"="+strconv.FormatFloat(m.Slack, 'f', -1, 64))
	}
	return strings.Join(cells, " ")
}

// wantNearMisses guards the tests of exports against a run that has none.
func wantNearMisses(t *testing.T, r *lineage.Reader) {
	t.Helper()
	for _, trial := range must(r.Trials(lineage.Filter{Limit: 1000}))(t) {
		if missedBy(trial) != "" {
			return
		}
	}
	t.Fatal("the run has no near miss")
}

func TestExportTSV(t *testing.T) {
	r := writeAwkwardRun(t)
	wantNearMisses(t, r)
	var out bytes.Buffer
	if err := r.ExportTSV(&out); err != nil {
		t.Fatal(err)
	}
	in := csv.NewReader(&out)
	in.Comma = '\t'
	rows := must(in.ReadAll())(t)
	header := strings.Join(rows[0], " ")
	if want := "exp_id timestamp specialist parent_exp baseline_exp domain hypothesis expected_delta status train_s delta_vs_best " +
		"accuracy artifact_bytes final_loss accuracy_std train_s_std n_seeds total_s margins near_miss self_reported job_name snapshot_path notes"; header != want {
		t.Errorf("header\n%s, want\n%s", header, want)
	}
	if len(rows) != 1+must(r.Count())(t) {
		t.Fatalf("%d rows", len(rows))
	}
	for _, row := range rows[1:] {
		cell := map[string]string{}
		for i, name := range rows[0] {
			cell[name] = row[i]
		}
		id := must(research.ParseTrialID(cell["exp_id"]))(t)
		trial := must(r.Trial(id))(t)
		if cell["hypothesis"] != trial.Proposal.Hypothesis || cell["notes"] != trial.Proposal.Notes || cell["status"] != string(trial.Status) {
			t.Errorf("trial %s came out as %q", id, row)
		}
		score, ok := trial.Score()
		if got, err := strconv.ParseFloat(cell["train_s"], 64); ok != (err == nil) || ok && got != score {
			t.Errorf("trial %s: score %q, want %v", id, cell["train_s"], score)
		}
		if want := slackCell(trial); cell["margins"] != want {
			t.Errorf("trial %s: margins %q, want %q", id, cell["margins"], want)
		}
		if want := missedBy(trial); cell["near_miss"] != want {
			t.Errorf("trial %s: near miss %q, want %q", id, cell["near_miss"], want)
		}
		if (cell["self_reported"] == "final_loss") != ok {
			t.Errorf("trial %s: self-reported %q", id, cell["self_reported"])
		}
	}
	if last := rows[len(rows)-1]; last[6] != awkward {
		t.Errorf("hypothesis %q, want %q", last[6], awkward)
	}
}

func TestExportJSONL(t *testing.T) {
	r := writeAwkwardRun(t)
	var out bytes.Buffer
	if err := r.ExportJSONL(&out); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(&out)
	lines.Buffer(nil, 1<<20)
	n := 0
	for ; lines.Scan(); n++ {
		var got research.Trial
		if err := json.Unmarshal(lines.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		if diff := gocmp.Diff(must(r.Trial(research.TrialID(n)))(t), got); diff != "" {
			t.Errorf("line %d: %s", n+1, diff)
		}
		if marked := bytes.Contains(lines.Bytes(), []byte(`"near_miss":true`)); marked != got.NearMiss(minimize) {
			t.Errorf("line %d: marked as a near miss: %v", n+1, marked)
		}
	}
	if n != must(r.Count())(t) {
		t.Errorf("%d lines", n)
	}
}

func TestExportGit(t *testing.T) {
	git, err := exec.LookPath("git")
	if err != nil {
		t.Skip("needs git")
	}
	r := writeAwkwardRun(t)
	dir := t.TempDir()
	run := func(stdin []byte, args ...string) string {
		t.Helper()
		cmd := exec.Command(git, append([]string{"-C", dir}, args...)...)
		cmd.Stdin = bytes.NewReader(stdin)
		cmd.Env = append(cmd.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	var stream bytes.Buffer
	if err := r.ExportGit(&stream); err != nil {
		t.Fatal(err)
	}
	run(nil, "init", "--quiet", "--initial-branch=main")
	run(stream.Bytes(), "fast-import", "--quiet")
	run(nil, "fsck", "--strict")

	all := must(r.Trials(lineage.Filter{Limit: 1000}))(t)
	for _, trial := range all {
		tag := "trial/" + trial.ID.String()
		if trial.ID != research.Baseline {
			if got, want := run(nil, "rev-parse", tag+"^"), run(nil, "rev-parse", "trial/"+trial.Proposal.Parent.String()); got != want {
				t.Errorf("%s is not on its parent", tag)
			}
		}
		for _, f := range must(r.Tree(trial.Proposal.Tree))(t) {
			if got := run(nil, "show", tag+":"+f.Path); got != string(f.Data) {
				t.Errorf("%s: %s has another content", tag, f.Path)
			}
		}
		if got, want := run(nil, "show", "--no-patch", "--format=%ct", tag), strconv.FormatInt(trial.SubmittedAt.Unix(), 10); strings.TrimSpace(got) != want {
			t.Errorf("%s: time %s, want %s", tag, got, want)
		}
		if trial.Verdict != nil {
			note := run(nil, "notes", "--ref=verdicts", "show", tag)
			wants := []string{trial.Verdict.Reason}
			if miss := missedBy(trial); miss != "" {
				wants = append(wants, "near miss: "+miss)
			}
			for _, m := range trial.Measurement.Margins {
				wants = append(wants, m.By())
			}
			for _, want := range wants {
				if !strings.Contains(note, want) {
					t.Errorf("%s: note %q lacks %q", tag, note, want)
				}
			}
		}
	}
	incumbent, _, err := r.Incumbent()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := run(nil, "rev-parse", "main"), run(nil, "rev-parse", "trial/"+incumbent.ID.String()); got != want {
		t.Errorf("main is not the incumbent %s", incumbent.ID)
	}
	if graph := run(nil, "log", "--graph", "--all", "--oneline"); strings.Count(graph, "Change line") < len(all)-2 {
		t.Errorf("graph\n%s", graph)
	}
	if subject := run(nil, "log", "-1", "--format=%B", "trial/026"); !strings.HasPrefix(subject, awkward) {
		t.Errorf("message %q, want it to begin with the hypothesis", subject)
	}
	if diff := run(nil, "diff", "--stat", "trial/000", "trial/001"); !strings.Contains(diff, "train.py") {
		t.Errorf("diff %q", diff)
	}
	if mode := run(nil, "ls-tree", "main", "run.sh"); !strings.HasPrefix(mode, "100755") {
		t.Errorf("run.sh is %q", mode)
	}
}

func TestExportOfARunWithoutTrials(t *testing.T) {
	_, store, err := lineagetest.New(t.TempDir(), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	var out bytes.Buffer
	for _, export := range []error{store.ExportGit(&out), store.ExportTSV(&out), store.ExportJSONL(&out)} {
		if export != nil {
			t.Error(export)
		}
	}
}
