package lineage

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"mendel/internal/research"
)

// TestViewsFollowIndexes asks SQLite how it would answer each view: one that reads a whole table,
// or sorts what it found, would cost more with every trial.
func TestViewsFollowIndexes(t *testing.T) {
	root, blobs, err := NewTree([]File{{Path: "a", Data: []byte("a")}})
	if err != nil {
		t.Fatal(err)
	}
	store, err := Create(t.TempDir(), research.Registration{VerdictVersion: research.VerdictVersion, BaselineTree: root.Hash}, blobs...)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	one := research.TrialID(1)
	for name, c := range map[string]struct {
		ask  func(*Reader) error
		path string // how SQLite must find the rows
	}{
		"incumbent":     {func(r *Reader) error { _, _, err := r.Incumbent(); return err }, "t USING INTEGER PRIMARY KEY"},
		"baseline":      {func(r *Reader) error { _, _, err := r.Baseline(); return err }, "t USING INTEGER PRIMARY KEY"},
		"leaderboard":   {func(r *Reader) error { _, err := r.Leaderboard(5); return err }, "trials_ranked"},
		"near misses":   {func(r *Reader) error { _, err := r.NearMisses(1, 5); return err }, "trials_stopped (order_score<?)"},
		"recent":        {func(r *Reader) error { _, err := r.Recent(5); return err }, "trials_telling"},
		"own":           {func(r *Reader) error { _, err := r.Own("a", 5); return err }, "trials_telling_by_role (role=?)"},
		"children":      {func(r *Reader) error { _, err := r.Children(1, 5); return err }, "trials_telling_by_parent (parent=?)"},
		"last crash":    {func(r *Reader) error { _, err := r.LastCrash("a"); return err }, "trials_crashed (role=?)"},
		"pending":       {func(r *Reader) error { _, err := r.Pending(); return err }, "trials_by_status (status=?)"},
		"attempts":      {func(r *Reader) error { _, err := r.Attempts(1); return err }, "attempts USING PRIMARY KEY (trial=?)"},
		"by tokens":     {func(r *Reader) error { _, err := r.ByTokens("t"); return err }, "trials_by_tokens (tokens=?)"},
		"by key":        {func(r *Reader) error { _, _, err := r.ByKey(1, "k"); return err }, "trials_by_session (session=?)"},
		"newest":        {func(r *Reader) error { _, err := r.Trials(Filter{}); return err }, "t USING INTEGER PRIMARY KEY"},
		"after":         {func(r *Reader) error { _, err := r.Trials(Filter{After: &one}); return err }, "t USING INTEGER PRIMARY KEY"},
		"by role":       {func(r *Reader) error { _, err := r.Trials(Filter{Role: "a"}); return err }, "trials_by_role (role=?"},
		"by status":     {func(r *Reader) error { _, err := r.Trials(Filter{Status: "crash"}); return err }, "trials_by_status (status=?"},
		"by parent":     {func(r *Reader) error { _, err := r.Trials(Filter{Parent: &one}); return err }, "trials_by_parent (parent=?"},
		"best so far":   {func(r *Reader) error { _, err := r.BestSoFar(); return err }, "trials_improving"},
		"sessions":      {func(r *Reader) error { _, err := r.Sessions(9, 5); return err }, "sessions USING INTEGER PRIMARY KEY (rowid<?)"},
		"ledger":        {func(r *Reader) error { _, err := r.Ledger(); return err }, "SCAN ledger"},
		"open calls":    {func(r *Reader) error { _, err := r.OpenCalls(); return err }, "SCAN open_calls"},
		"open sessions": {func(r *Reader) error { _, err := r.OpenSessions(); return err }, "sessions_open"},
		"events":        {func(r *Reader) error { _, err := r.Events(t.Context(), 1, 5); return err }, "events USING INTEGER PRIMARY KEY (rowid>?)"},
	} {
		err := store.Snapshot(func(r *Reader) error {
			clear(r.held.prepared)
			if err := c.ask(r); err != nil {
				return err
			}
			if len(r.held.prepared) != 1 {
				t.Errorf("%s asked %d questions of an empty run, want 1", name, len(r.held.prepared))
			}
			for _, query := range slices.Collect(maps.Keys(r.held.prepared)) {
				if plan := explain(t, r.held, query); !strings.Contains(plan, c.path) || strings.Contains(plan, "TEMP B-TREE") {
					t.Errorf("%s: want a way by %q, and no sorting:\n%s\t%s", name, c.path, plan, query)
				}
			}
			return nil
		})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func explain(t *testing.T, s *session, query string) string {
	t.Helper()
	args := make([]any, strings.Count(query, "?"))
	if strings.Contains(query, "?1") {
		args = make([]any, 2)
	}
	steps, err := collect(s, func(row scanner) (string, error) {
		var id, parent, unused int
		var detail string
		err := row.Scan(&id, &parent, &unused, &detail)
		return detail, err
	}, "EXPLAIN QUERY PLAN "+query, args...)
	if err != nil {
		t.Fatal(fmt.Errorf("%s: %w", query, err))
	}
	return strings.Join(steps, "\n") + "\n"
}
