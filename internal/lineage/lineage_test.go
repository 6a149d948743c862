package lineage_test

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mendel/internal/lineage"
	"mendel/internal/lineage/lineagetest"
	"mendel/internal/research"
)

var ctx = context.Background()

// writeRun makes a closed run of n trials beside the baseline.
func writeRun(t testing.TB, n int) (dir string) {
	t.Helper()
	dir = t.TempDir()
	_, store := openRun(t, dir, n)
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// openRun makes a run of n trials beside the baseline, and leaves it open.
func openRun(t testing.TB, dir string, n int) (*lineagetest.Author, *lineage.Store) {
	t.Helper()
	author, store, err := lineagetest.New(dir, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	if err := author.Start(store); err != nil {
		t.Fatal(err)
	}
	if err := author.Bulk(store, n); err != nil {
		t.Fatal(err)
	}
	return author, store
}

func openReader(t testing.TB, dir string) *lineage.Reader {
	t.Helper()
	r, err := lineage.OpenReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// openRaw is SQLite without us, as a tamperer has it.
func openRaw(t testing.TB, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: path}).String())
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { db.Close() })
	return db
}

// must takes the answer of a question that cannot fail here.
func must[T any](answer T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
}

func wantIntact(t testing.TB, path string, options lineage.Options) lineage.Report {
	t.Helper()
	report := must(lineage.Verify(path, options))(t)
	if err := report.Err(); err != nil {
		t.Fatalf("want an intact file: %v", err)
	}
	return report
}

func TestCloseLeavesOneFile(t *testing.T) {
	dir := writeRun(t, 5)
	left := must(filepath.Glob(filepath.Join(dir, "*")))(t)
	if len(left) != 1 || filepath.Base(left[0]) != lineage.FileName {
		t.Errorf("a closed run leaves %v, want %s alone", left, lineage.FileName)
	}
	report := wantIntact(t, dir, lineage.Options{})
	if report.Trials != 6 || report.Blobs == 0 || report.Events != report.Head.Seq {
		t.Errorf("report %+v", report)
	}
}

func TestCreateNeverOverwrites(t *testing.T) {
	dir := writeRun(t, 1)
	before := must(os.ReadFile(filepath.Join(dir, lineage.FileName)))(t)
	if _, _, err := lineagetest.New(dir, 2); !errors.Is(err, fs.ErrExist) || research.Hint(err) == "" {
		t.Errorf("creating over a run: %v", err)
	}
	if after := must(os.ReadFile(filepath.Join(dir, lineage.FileName)))(t); string(before) != string(after) {
		t.Error("the run was changed")
	}
}

func TestCreateLeavesNothingWhenItFails(t *testing.T) {
	dir := t.TempDir()
	if _, err := lineage.Create(dir, lineagetest.Registration("no such tree")); err == nil {
		t.Fatal("a registration without its tree was accepted")
	}
	if left := must(os.ReadDir(dir))(t); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestReopenedRunGoesOn(t *testing.T) {
	dir := t.TempDir()
	author, store := openRun(t, dir, 3)
	head := must(store.Head())(t)
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Append(ctx, research.Stopped{}); err == nil {
		t.Error("a closed store accepted a fact")
	}
	again := must(lineage.Open(dir))(t)
	defer again.Close()
	if got := must(again.Head())(t); got != head {
		t.Errorf("reopened at %v, closed at %v", got, head)
	}
	event := must(again.Append(ctx, research.Supervised{PID: 2, Host: "host", Resumed: true}))(t)
	if event.Seq != head.Seq+1 {
		t.Errorf("event %d follows %d", event.Seq, head.Seq)
	}
	if got := must(again.NextTrial())(t); got != 4 {
		t.Errorf("next trial %s, want 004", got)
	}
	_ = author
	wantIntact(t, dir, lineage.Options{Head: head})
}

func TestEventsComeBackAsTheyWereAppended(t *testing.T) {
	dir := t.TempDir()
	_, store := openRun(t, dir, 0)
	after := must(store.Head())(t).Seq
	fact := research.BudgetChanged{Budgets: research.Budgets{Trials: 7}, By: "résumé <&> \u2028 \x00 \t"}
	appended := must(store.Append(ctx, fact))(t)
	read := must(store.Events(ctx, after, 10))(t)
	if diff := cmp.Diff([]research.Event{appended}, read); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(research.Fact(fact), read[0].Fact); diff != "" {
		t.Error(diff)
	}
	wantIntact(t, dir, lineage.Options{})
}

func TestWhatIsNotARunIsRefused(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "notes.txt")
	if err := os.WriteFile(text, []byte(strings.Repeat("not a database\n", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(dir, "other.db")
	if _, err := openRaw(t, other).Exec("CREATE TABLE a (b)"); err != nil {
		t.Fatal(err)
	}
	newer := filepath.Join(writeRun(t, 0), lineage.FileName)
	if _, err := openRaw(t, newer).Exec("PRAGMA user_version = 99"); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		text: "not a database", other: "not a run file", newer: "format is 99",
		filepath.Join(dir, "absent"): "there is no run", dir: "there is no run",
	} {
		if _, err := lineage.OpenReader(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
	for _, path := range []string{text, other, newer} {
		if report := must(lineage.Verify(path, lineage.Options{}))(t); report.Err() == nil {
			t.Errorf("%s: verified", path)
		}
	}
	if _, err := lineage.Verify(filepath.Join(dir, "absent"), lineage.Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("verify of nothing: %v", err)
	}
}
