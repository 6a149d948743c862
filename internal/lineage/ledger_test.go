package lineage_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"mendel/internal/lineage"
	"mendel/internal/lineage/lineagetest"
	"mendel/internal/research"
)

// TestLedger: what is asked is reserved, what is answered is charged, and both are there after
// the run was opened again.
func TestLedger(t *testing.T) {
	dir := t.TempDir()
	_, store, err := lineagetest.New(dir, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	baseline := research.Proposal{Tree: must(store.Registration())(t).BaselineTree}
	usage := research.Usage{Input: 100, CacheRead: 1000, CacheWrite: 10, Output: 50, Thinking: 20}
	twice := usage.Plus(usage)
	worst := research.Charge{Tokens: 5000, USD: 0.1}
	opened := func(id research.SessionID, role string) research.SessionOpened {
		return research.SessionOpened{Session: id, Agent: research.Agent{Name: role, Role: role, Proposer: "a"}}
	}
	asked := func(session research.SessionID, call int, model string) research.ModelAsked {
		return research.ModelAsked{Session: session, Call: call, Model: model, Worst: worst}
	}
	answered := func(session research.SessionID, call int, usd float64) research.ModelAnswered {
		return research.ModelAnswered{Session: session, Call: call, Usage: usage, Charge: research.Charge{Tokens: usage.Tokens(), USD: usd}, Priced: true, Wall: 2}
	}
	unpriced := answered(1, 2, 7)
	unpriced.Priced, unpriced.Error = false, "cut off"
	said := lineage.NewBlob([]byte(`{"kind":"said","text":"wider"}` + "\n"))
	for i, fact := range []research.Fact{
		research.Submitted{Proposal: baseline}, opened(1, "opt"), opened(2, "arch"), opened(3, "opt"),
		asked(1, 1, "m"), asked(1, 2, "m"), asked(2, 1, "m"), asked(3, 1, "n"), asked(3, 2, "m"),
		answered(1, 1, 0.25), unpriced, answered(3, 2, 0.5),
		research.SessionClosed{Session: 1, Ending: "capped", Transcript: said.Hash}, research.SessionClosed{Session: 2, Ending: "stopped"},
	} {
		var blobs []lineage.Blob
		if c, ok := fact.(research.SessionClosed); ok && c.Transcript != "" {
			blobs = append(blobs, said)
		}
		if _, err := store.Append(ctx, fact, blobs...); err != nil {
			t.Fatalf("fact %d: %v", i, err)
		}
	}
	check := func(r *lineage.Reader) {
		t.Helper()
		spend := must(r.Spend())(t)
		spend.Supervised = 0
		thrice := twice.Plus(usage)
		want := research.Spend{Sessions: 3, Usage: thrice, Charge: research.Charge{Tokens: thrice.Tokens(), USD: 0.75},
			Reserved: research.Charge{Tokens: 10000, USD: 0.2}, ModelCalls: 3, Unpriced: 1}
		if diff := gocmp.Diff(want, spend); diff != "" {
			t.Errorf("spend: %s", diff)
		}
		if diff := gocmp.Diff([]research.LedgerRow{
			{Role: "arch", Model: "m", Sessions: 1},
			{Role: "opt", Model: "m", Sessions: 1, Calls: 3, Usage: thrice, Charge: research.Charge{Tokens: thrice.Tokens(), USD: 0.75}, Unpriced: 1, Failed: 1},
			{Role: "opt", Model: "n", Sessions: 1},
		}, must(r.Ledger())(t)); diff != "" {
			t.Errorf("ledger: %s", diff)
		}
		if diff := gocmp.Diff([]research.ModelAsked{asked(2, 1, "m"), asked(3, 1, "n")}, must(r.OpenCalls())(t)); diff != "" {
			t.Errorf("open calls: %s", diff)
		}
		session, ok, err := r.Session(1)
		if err != nil || !ok || session.Turns != 2 || session.Usage != twice || session.Charge != (research.Charge{Tokens: twice.Tokens(), USD: 0.25}) {
			t.Errorf("session %+v, %v, %v", session, ok, err)
		}
		if got := must(r.Transcript(1))(t); string(got) != string(said.Data) {
			t.Errorf("transcript %q", got)
		}
		if got := must(r.Transcript(3))(t); len(got) != 0 {
			t.Errorf("transcript of an open session %q", got)
		}
		if _, err := r.Transcript(4); err == nil || !strings.Contains(err.Error(), "there is no session 4") {
			t.Errorf("transcript of no session: %v", err)
		}
	}
	check(store.Reader)
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	check(openReader(t, dir))

	// A call may end after its session was stopped; it frees what it had reserved, to the cent.
	again := must(lineage.Open(dir))(t)
	t.Cleanup(func() { again.Close() })
	for _, fact := range []research.Fact{answered(2, 1, 0.25), answered(3, 1, 0)} {
		if _, err := again.Append(ctx, fact); err != nil {
			t.Fatal(err)
		}
		if _, err := again.Append(ctx, fact); err == nil {
			t.Error("a call was answered twice")
		}
	}
	spend := must(again.Spend())(t)
	if spend.Reserved != (research.Charge{}) || spend.Charge.USD != 1 || spend.ModelCalls != 5 {
		t.Errorf("spend after the last answer %+v", spend)
	}
	wantIntact(t, dir, lineage.Options{})
}

// TestOlderFormatIsRefused with words that say what to do.
func TestOlderFormatIsRefused(t *testing.T) {
	path := filepath.Join(writeRun(t, 0), lineage.FileName)
	if _, err := openRaw(t, path).Exec("PRAGMA user_version = 1"); err != nil {
		t.Fatal(err)
	}
	_, err := lineage.OpenReader(path)
	if err == nil || !strings.Contains(err.Error(), "its format is 1") || research.Hint(err) == "" {
		t.Errorf("an older file: %v (%s)", err, research.Hint(err))
	}
}

// TestConfinementComesBack with the trial that it is recorded on.
func TestConfinementComesBack(t *testing.T) {
	author, store := openRun(t, t.TempDir(), 0)
	opened, prompt := author.Opened()
	submitted, blobs, err := author.Submitted()
	if err != nil {
		t.Fatal(err)
	}
	submitted.Proposal.Confinement = "none"
	err = store.Batch(ctx, func(b *lineage.Batch) error {
		if _, err := b.Append(time.Now(), opened, prompt); err != nil {
			return err
		}
		_, err := b.Append(time.Now(), submitted, blobs...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := must(store.Trial(submitted.Trial))(t).Proposal; !gocmp.Equal(got, submitted.Proposal) {
		t.Errorf("%s", gocmp.Diff(submitted.Proposal, got))
	}
}
