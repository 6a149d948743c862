package analysis_test

import (
	"bytes"
	"io"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"mendel/internal/lineage"
	"mendel/internal/lineage/lineagetest"
	"mendel/internal/lineage/record"
	"mendel/internal/research"
	"mendel/internal/view/analysis"
)

// analyse imports a record and analyses the run.
func analyse(t *testing.T, path string, bounds ...research.Bound) analysis.Analysis {
	t.Helper()
	rec, err := record.Read(path, record.Options{Bounds: bounds})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := lineage.Import(dir, rec.Registration, rec.Trials, time.Now()); err != nil {
		t.Fatal(err)
	}
	return of(t, dir)
}

func of(t *testing.T, dir string) analysis.Analysis {
	t.Helper()
	r, err := lineage.OpenReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	a, err := analysis.Of(r)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestPublishedRecords: the figures of the paper's own table come out of its records.
func TestPublishedRecords(t *testing.T) {
	root := "../../../../shared/data/trajectories"
	if _, err := os.Stat(root); err != nil {
		t.Skip("needs the published records in ../shared")
	}
	effective := map[string]float64{}
	for _, want := range []struct {
		dir                 string
		trials, keeps       int
		best                analysis.Scored
		cross               analysis.CrossRole
		status              research.Status
		share               float64 // of that status
		largest, duplicates float64
		perHour             float64
	}{
		{"pg_ablation_lineage_on", 200, 16, analysis.Scored{Trial: "176", Score: 1.073142}, analysis.CrossRole{N: 10, Of: 12}, "eval_budget_overrun", 0.190, 0.035, 0.020, 18.15},
		{"pg_ablation_lineage_off", 200, 3, analysis.Scored{Trial: "075", Score: 1.077413}, analysis.CrossRole{N: 0, Of: 1}, "eval_budget_overrun", 0.615, 0.025, 0.020, 20.12},
		{"cifar", 97, 4, analysis.Scored{Trial: "070", Score: 25.1464}, analysis.CrossRole{N: 1, Of: 1}, "disqualified", 81.0 / 97, 5.0 / 97, 2.0 / 96, 17.56},
	} {
		a := analyse(t, filepath.Join(root, want.dir))
		if a.Trials != want.trials || a.Improvements != want.keeps || *a.Best != want.best || a.CrossRole != want.cross {
			t.Errorf("%s: %d trials, %d keeps, best %+v, cross-role %+v", want.dir, a.Trials, a.Improvements, *a.Best, a.CrossRole)
		}
		near(t, want.dir+": share of "+string(want.status), a.Shares[want.status], want.share, 1e-9)
		near(t, want.dir+": largest cluster", a.LargestClusterShare, want.largest, 0.0005)
		near(t, want.dir+": near-duplicates", a.NearDuplicateShare, want.duplicates, 0.0005)
		near(t, want.dir+": trials an hour", *a.Pace.PerHour, want.perHour, 0.005)
		effective[want.dir] = a.EffectiveClusters
	}
	// The paper has 134.8 and 121.7; its tokenizer is not published.
	near(t, "effective clusters with lineage", effective["pg_ablation_lineage_on"], 134.8, 0.05)
	near(t, "effective clusters without", effective["pg_ablation_lineage_off"], 121.7, 2)
}

func near(t *testing.T, what string, got, want, within float64) {
	t.Helper()
	if math.Abs(got-want) > within {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

// small is a record that can be reckoned by hand.
const small = "exp_id\ttimestamp\tspecialist\tparent_exp\thypothesis\texpected_delta\tstatus\tloss\tsize\n" +
	"000\t2026-01-01T00:00:00Z\tbaseline\t\tstart\t\tbaseline\t10\t\n" +
	"001\t2026-01-01T01:00:00Z\topt\t000\traise the learning rate\t-1\tkeep\t8\t90\n" +
	"002\t2026-01-01T01:30:00Z\tarch\t001\ta wider middle layer\t-2\tdiscard\t9\t130\n" +
	"003\t2026-01-01T02:00:00Z\tarch\t001\ta much wider middle layer\t-1\tkeep\t7\t95\n" +
	"004\t2026-01-01T03:00:00Z\topt\t003\traise the learning rate\t0\tcrash\t\t\n"

func TestSmallRecord(t *testing.T) {
	file := filepath.Join(t.TempDir(), "small.tsv")
	if err := os.WriteFile(file, []byte(small), 0o644); err != nil {
		t.Fatal(err)
	}
	a := analyse(t, file, record.Limit("size", 100))
	if a.Task != "small" || a.Trials != 4 || a.Status["keep"] != 2 || a.Status["baseline"] != 0 || a.Shares["crash"] != 0.25 {
		t.Errorf("%s: %d trials, %v, %v", a.Task, a.Trials, a.Status, a.Shares)
	}
	near(t, "change", *a.Change, -0.3, 1e-12)
	near(t, "mean best so far", *a.MeanBest, (8+8+7+7)/4.0, 1e-12)
	if n := len(a.BestSoFar); n != 3 || a.BestSoFar[2].N != 3 || a.BestSoFar[2].Gain != 1 || a.BestSoFar[2].Parent != "001" {
		t.Errorf("best so far %+v", a.BestSoFar)
	}
	if a.CrossRole != (analysis.CrossRole{N: 1, Of: 1}) {
		t.Errorf("cross-role keeps %+v", a.CrossRole)
	}
	if r := a.Roles[0]; r.Role != "arch" || r.Trials != 2 || r.Improvements != 1 || r.Gain != 1 {
		t.Errorf("roles %+v", a.Roles)
	}
	// 001 and 004 are one cluster, 002 and 003 another: exp of the entropy of two halves is 2.
	near(t, "effective clusters", a.EffectiveClusters, 2, 1e-9)
	near(t, "near-duplicates", a.NearDuplicateShare, 2.0/3, 1e-9)
	// Expected -1, -2, -1; measured -2, +1, -1.
	f := a.Forecasts
	if f.N != 3 {
		t.Fatalf("forecasts %+v", f)
	}
	near(t, "sign agreement", *f.SignAgreement, 2.0/3, 1e-12)
	near(t, "bias", *f.Bias, -2.0/3+4.0/3, 1e-12)
	near(t, "mean absolute error", *f.MAE, 4.0/3, 1e-12)
	near(t, "correlation", *f.Correlation, -5/math.Sqrt(28), 1e-9) // by hand: sums of squares 2/3 and 14/3, of products -5/3
	if m := a.Margins; len(m) != 1 || len(m[0].Points) != 3 || m[0].Points[1].Slack != -30 {
		t.Errorf("margins %+v", m)
	}
	near(t, "trials an hour", *a.Pace.PerHour, 2, 1e-12)
	near(t, "trials for an improvement", a.Costs.PerImprovement.Trials, 2, 1e-12)
}

// TestOwnRun: a run that was made here says where the time of its trials went, and what they cost.
func TestOwnRun(t *testing.T) {
	dir := t.TempDir()
	author, store, err := lineagetest.New(dir, 3)
	if err != nil {
		t.Fatal(err)
	}
	if err := author.Start(store); err != nil {
		t.Fatal(err)
	}
	if err := author.Bulk(store, 60); err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	a := of(t, dir)
	if a.Trials != 60 || len(a.Margins) != 3 || a.Improvements != len(a.BestSoFar)-1 {
		t.Errorf("%d trials, %d bounds, %d improvements in %d steps", a.Trials, len(a.Margins), a.Improvements, len(a.BestSoFar))
	}
	tau := a.Pace.Tau
	if tau == nil || tau.Queue == nil || tau.Train <= tau.Evaluate || a.Pace.Eta == nil {
		t.Fatalf("pace %+v", a.Pace)
	}
	if a.Costs.USD <= 0 || a.Costs.PerImprovement == nil || a.Costs.TrialSeconds <= 0 {
		t.Errorf("costs %+v", a.Costs)
	}
	inRoles := 0
	for _, r := range a.Roles {
		inRoles += r.Trials
	}
	if inRoles != a.Trials {
		t.Errorf("the roles have %d trials in all", inRoles)
	}

	again := exported(t, dir)
	if again.Pace.Tau != nil || *again.Pace.PerHour != *a.Pace.PerHour {
		t.Errorf("exported and imported, the pace is %+v", again.Pace)
	}
	for _, b := range []*analysis.Analysis{&a, &again} { // what a record does not tell
		b.Run, b.Task, b.Keep, b.Imported, b.Notes, b.Margins, b.Pace, b.Costs = "", "", research.KeepRule{}, "", nil, nil, analysis.Pace{}, analysis.Costs{}
		b.Score.Unit = ""
	}
	if diff := gocmp.Diff(a, again); diff != "" {
		t.Errorf("exported and imported, the run is another: %s", diff)
	}
}

// exported analyses a run that was written as a record, and read from it.
func exported(t *testing.T, dir string) analysis.Analysis {
	t.Helper()
	r, err := lineage.OpenReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	out := t.TempDir()
	for name, write := range map[string]func(io.Writer) error{"results.tsv": r.ExportTSV, "tree.tsv": r.ExportTree, "best.json": r.ExportBest} {
		var text bytes.Buffer
		if err := write(&text); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(out, name), text.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return analyse(t, out)
}

// TestABaselineThatMissesItsGate has a score, and there is no best to compare with it.
func TestABaselineThatMissesItsGate(t *testing.T) {
	dir := t.TempDir()
	author, store, err := lineagetest.New(dir, 1)
	if err != nil {
		t.Fatal(err)
	}
	reg, err := store.Registration()
	if err != nil {
		t.Fatal(err)
	}
	attempt := author.Attempt(research.Baseline, 0, 1)
	measured, logs := author.Measured(attempt, research.Disqualified, 12)
	write := lineagetest.Live(store)
	for _, fact := range []research.Fact{
		research.Supervised{PID: 1, Host: "host"},
		research.Submitted{Trial: 0, Proposal: research.Proposal{Role: "baseline", Tree: reg.BaselineTree, Tokens: reg.BaselineTree}},
		research.Dispatched{Attempt: attempt, Executor: "local", Bundle: "bundles/000"},
	} {
		if err := write(fact); err != nil {
			t.Fatal(err)
		}
	}
	if err := write(measured, logs...); err != nil {
		t.Fatal(err)
	}
	judged, err := author.Judged(research.Baseline)
	if err != nil {
		t.Fatal(err)
	}
	if err := write(judged); err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	if a := of(t, dir); a.Baseline == nil || a.Baseline.Score != 12 || a.Best != nil || a.Change != nil || a.Trials != 0 {
		t.Errorf("baseline %+v, best %+v, change %v, %d trials", a.Baseline, a.Best, a.Change, a.Trials)
	}
}
