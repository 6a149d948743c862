package lineage_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"mendel/internal/lineage"
	"mendel/internal/lineage/record"
	"mendel/internal/research"
)

// importDamaged makes a run of the record with damaged rows.
func importDamaged(t *testing.T) (dir string, rec record.Record) {
	t.Helper()
	rec, err := record.Read("record/testdata/damaged", record.Options{})
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	if err := lineage.Import(dir, rec.Registration, rec.Trials, time.Unix(1_790_000_000, 0)); err != nil {
		t.Fatal(err)
	}
	return dir, rec
}

func TestImport(t *testing.T) {
	dir, rec := importDamaged(t)
	report := wantIntact(t, dir, lineage.Options{})
	if report.Imported != len(rec.Trials) || report.Trials != len(rec.Trials) {
		t.Errorf("verified %d trials, %d of them imported, want %d", report.Trials, report.Imported, len(rec.Trials))
	}
	r := must(lineage.OpenReader(dir))(t)
	defer r.Close()
	best, ok, err := r.Incumbent()
	if err != nil || !ok || best.ID != 6 {
		t.Errorf("incumbent %s, %v, %v", best.ID, ok, err)
	}
	if reg := must(r.Registration())(t); research.Hint(reg.Remeasurable()) == "" {
		t.Error("an imported run says that it can be measured again")
	}
	if board := must(r.Leaderboard(10))(t); len(board) != 4 || board[0].ID != 6 {
		t.Errorf("leaderboard %v", board)
	}
	points := must(r.BestSoFar())(t)
	if len(points) != 4 || points[3].Trial != 6 {
		t.Errorf("best so far %v", points)
	}
	misses := must(r.NearMisses(1.094, 10))(t)
	if len(misses) != 1 || misses[0].ID != 4 {
		t.Errorf("near misses %v", misses)
	}
}

// TestImportedRunIsFrozen: nobody adds to it, neither by a program nor by hand.
func TestImportedRunIsFrozen(t *testing.T) {
	dir, _ := importDamaged(t)
	store := must(lineage.Open(dir))(t)
	_, err := store.Append(context.Background(), research.Supervised{PID: 1})
	if misfit := (*lineage.MisfitError)(nil); !errors.As(err, &misfit) {
		t.Errorf("a supervisor took an imported run: %v", err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	db := must(sql.Open("sqlite", filepath.Join(dir, lineage.FileName)))(t)
	if _, err := db.Exec(`UPDATE trials SET score = 1.05 WHERE id = 5`); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	report := must(lineage.Verify(dir, lineage.Options{}))(t)
	if len(report.Findings) == 0 || !strings.Contains(report.Findings[0].Place, "trials row 5") {
		t.Errorf("an altered score was found as %v", report.Findings)
	}
}

// TestImportRefusesWhatDoesNotFollow: the arithmetic between imported scores is recomputed.
func TestImportRefusesWhatDoesNotFollow(t *testing.T) {
	for name, spoil := range map[string]func(*research.TrialImported){
		"difference":  func(t *research.TrialImported) { *t.Verdict.Difference += 0.001 },
		"reference":   func(t *research.TrialImported) { *t.Verdict.Reference += 0.001 },
		"parent":      func(t *research.TrialImported) { t.Proposal.Parent = 7 },
		"verdict":     func(t *research.TrialImported) { t.Verdict.Keep = true },
		"a tree":      func(t *research.TrialImported) { t.Proposal.Tree = "0123" },
		"same number": func(t *research.TrialImported) { t.Trial = 4 },
	} {
		rec, err := record.Read("record/testdata/damaged", record.Options{})
		if err != nil {
			t.Fatal(err)
		}
		spoil(&rec.Trials[5])
		if err := lineage.Import(t.TempDir(), rec.Registration, rec.Trials, time.Unix(0, 0)); err == nil {
			t.Errorf("%s: it was imported", name)
		}
	}
}

// TestImportRoundTrip: what is exported is imported as the same trials.
func TestImportRoundTrip(t *testing.T) {
	dir, rec := importDamaged(t)
	r := must(lineage.OpenReader(dir))(t)
	defer r.Close()
	var table bytes.Buffer
	if err := r.ExportTSV(&table); err != nil {
		t.Fatal(err)
	}
	again, err := record.Parse("again", []record.File{{Name: "results.tsv", Data: table.Bytes()}}, record.Options{Name: "damaged"})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range rec.Trials {
		got := again.Trials[i]
		got.Place, want.Place = "", ""
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Errorf("trial %s came back otherwise: %s", want.Trial, diff)
		}
	}
}
