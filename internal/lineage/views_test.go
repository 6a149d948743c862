package lineage_test

import (
	"cmp"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"mendel/internal/lineage"
	"mendel/internal/lineage/lineagetest"
	"mendel/internal/research"
)

// TestViewsAgreeWithAPlainScan compares each view with the definition of it, applied to all trials.
func TestViewsAgreeWithAPlainScan(t *testing.T) {
	dir := t.TempDir()
	_, store := openRun(t, dir, 300)
	all := scanAll(t, store)
	if len(all) != 301 {
		t.Fatalf("%d trials", len(all))
	}
	keep := func(chosen func(research.Trial) bool) (ids []research.TrialID) {
		for _, trial := range all {
			if chosen(trial) {
				ids = append(ids, trial.ID)
			}
		}
		return ids
	}
	bestFirst := func(ids []research.TrialID) []research.TrialID {
		slices.SortStableFunc(ids, func(a, b research.TrialID) int {
			return cmp.Compare(*all[a].Measurement.Score, *all[b].Measurement.Score)
		})
		return ids
	}
	newest := func(n int, ids []research.TrialID) []research.TrialID {
		slices.Reverse(ids)
		return ids[:min(n, len(ids))]
	}
	telling := func(trial research.Trial) bool {
		return trial.Status != "" && trial.Status != research.Status(research.Aborted)
	}
	best := bestFirst(keep(func(trial research.Trial) bool { return trial.Status.Ranks() }))
	incumbent, ok, err := store.Incumbent()
	if err != nil || !ok || incumbent.ID != best[0] {
		t.Fatalf("incumbent %s, want %s (%v)", incumbent.ID, best[0], err)
	}
	var chain []research.TrialID
	for id := incumbent.ID; ; id = all[id].Proposal.Parent {
		chain = append(chain, id)
		if id == research.Baseline {
			break
		}
	}
	slices.Reverse(chain)
	if len(chain) < 4 {
		t.Fatalf("chain %v is too short to tell anything", chain)
	}
	score, _ := incumbent.Score()
	score += 0.2 // more near misses than a lucky last keep leaves
	parent := all[incumbent.ID].Proposal.Parent

	for name, c := range map[string]struct {
		got  []research.Trial
		want []research.TrialID
	}{
		"leaderboard":       {must(store.Leaderboard(4))(t), best[:4]},
		"whole leaderboard": {must(store.Leaderboard(1000))(t), best},
		"near misses": {must(store.NearMisses(score, 5))(t), bestFirst(keep(func(trial research.Trial) bool {
			s, ok := trial.Score()
			return trial.Status.Stopped() && ok && s < score
		}))[:5]},
		"recent": {must(store.Recent(10))(t), newest(10, keep(telling))},
		"own":    {must(store.Own("opt", 10))(t), newest(10, keep(func(trial research.Trial) bool { return telling(trial) && trial.Proposal.Role == "opt" }))},
		"children": {must(store.Children(parent, 3))(t), newest(3, keep(func(trial research.Trial) bool {
			return telling(trial) && trial.ID != 0 && trial.Proposal.Parent == parent
		}))},
		"chain":         {must(store.Chain(incumbent.ID, 100))(t), chain},
		"cut chain":     {must(store.Chain(incumbent.ID, 3))(t), append([]research.TrialID{0}, chain[len(chain)-2:]...)},
		"chain of 000":  {must(store.Chain(0, 5))(t), []research.TrialID{0}},
		"by status":     {must(store.Trials(lineage.Filter{Status: "crash", Limit: 3}))(t), newest(3, keep(func(trial research.Trial) bool { return trial.Status == "crash" }))},
		"role + status": {must(store.Trials(lineage.Filter{Role: "arch", Status: "discard", Limit: 3}))(t), newest(3, keep(func(trial research.Trial) bool { return trial.Status == "discard" && trial.Proposal.Role == "arch" }))},
		"by parent":     {must(store.Trials(lineage.Filter{Parent: new(parent), Limit: 3}))(t), newest(3, keep(func(trial research.Trial) bool { return trial.ID != 0 && trial.Proposal.Parent == parent }))},
		"by text":       {must(store.Trials(lineage.Filter{Text: "COSINE", Limit: 3}))(t), newest(3, keep(func(trial research.Trial) bool { return strings.Contains(trial.Proposal.Hypothesis, "cosine") }))},
		"percent sign":  {must(store.Trials(lineage.Filter{Text: "%"}))(t), nil},
		"after":         {must(store.Trials(lineage.Filter{After: new(research.TrialID(7)), Limit: 2}))(t), []research.TrialID{8, 9}},
		"before":        {must(store.Trials(lineage.Filter{Before: new(research.TrialID(7)), Limit: 2}))(t), []research.TrialID{6, 5}},
		"by tokens":     {must(store.ByTokens(all[9].Proposal.Tokens))(t), []research.TrialID{9}},
	} {
		if diff := gocmp.Diff(c.want, ids(c.got)); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", name, diff)
		}
		for _, trial := range c.got {
			if diff := gocmp.Diff(all[trial.ID], trial); diff != "" {
				t.Errorf("%s: trial %s is another than when asked for alone:\n%s", name, trial.ID, diff)
			}
		}
	}

	counts := map[research.Status]int{}
	for _, trial := range all {
		counts[trial.Status]++
	}
	if diff := gocmp.Diff(counts, must(store.Statuses(""))(t)); diff != "" {
		t.Errorf("statuses: %s", diff)
	}
	ofRole := 0
	for _, n := range must(store.Statuses("opt"))(t) {
		ofRole += n
	}
	if want := len(keep(func(trial research.Trial) bool { return trial.Proposal.Role == "opt" })); ofRole != want {
		t.Errorf("%d trials of a role, want %d", ofRole, want)
	}
	points := must(store.BestSoFar())(t)
	for i, p := range points {
		if i > 0 && (p.Score >= points[i-1].Score || p.At.Before(points[i-1].At)) {
			t.Errorf("point %d does not improve: %+v", i, points)
		}
	}
	if len(points) != len(best) {
		t.Errorf("%d points, want one for each of %d ranking trials", len(points), len(best))
	}
	last := must(store.LastCrash("data"))(t)
	crashes := keep(func(trial research.Trial) bool {
		return trial.Proposal.Role == "data" && (trial.Status == "crash" || trial.Status == "preflight_crash")
	})
	if last == nil || last.Trial != crashes[len(crashes)-1] || last.Crash.Exception == "" {
		t.Errorf("last crash %+v, want of %v", last, crashes)
	}
	if _, err := store.Trial(301); err == nil || !strings.Contains(err.Error(), "there is no trial 301") {
		t.Errorf("a trial that does not exist: %v", err)
	}
}

func scanAll(t *testing.T, store *lineage.Store) (all []research.Trial) {
	t.Helper()
	for id := range must(store.Count())(t) {
		all = append(all, must(store.Trial(research.TrialID(id)))(t))
	}
	return all
}

func ids(trials []research.Trial) (ids []research.TrialID) {
	for _, t := range trials {
		ids = append(ids, t.ID)
	}
	return ids
}

// TestMaximize: with a score of which more is better, the best trial is the highest.
func TestMaximize(t *testing.T) {
	dir := t.TempDir()
	root, blobs, err := lineage.NewTree([]lineage.File{{Path: "a.py", Mode: 0o600, Data: []byte("a = 1\n")}})
	if err != nil {
		t.Fatal(err)
	}
	reg := lineagetest.Registration(root.Hash)
	reg.Score.Direction, reg.Bounds = research.Maximize, nil
	store := must(lineage.Create(dir, reg, blobs...))(t)
	defer store.Close()
	write := lineagetest.Live(store)
	for id, m := range []research.Measurement{
		{Outcome: research.Valid, Score: new(0.5)}, {Outcome: research.Valid, Score: new(0.4)}, {Outcome: research.Valid, Score: new(0.7)},
		{Outcome: research.Disqualified, Score: new(0.9)}, {Outcome: research.Disqualified, Score: new(0.6)}, {Outcome: research.SizeBlocked, Score: new(0.8)},
	} {
		trial := research.TrialID(id)
		attempt := research.Attempt{Trial: trial, Number: 1, Token: "t"}
		for _, err := range []error{
			write(research.Submitted{Trial: trial, Proposal: research.Proposal{Tree: root.Hash}}),
			write(research.Dispatched{Attempt: attempt}), write(research.Measured{Attempt: attempt, Measurement: m}),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		j := must(store.Judgement(trial))(t)
		v := research.Judge(j)
		if err := write(research.Judged{Trial: trial, Outcome: m.Outcome, Verdict: v, Status: research.StatusOf(trial, m.Outcome, v)}); err != nil {
			t.Fatal(err)
		}
	}
	if got := ids(must(store.Leaderboard(9))(t)); !slices.Equal(got, []research.TrialID{2, 0}) {
		t.Errorf("leaderboard %v", got)
	}
	if got := ids(must(store.NearMisses(0.7, 9))(t)); !slices.Equal(got, []research.TrialID{3, 5}) {
		t.Errorf("near misses %v", got)
	}
	wantIntact(t, dir, lineage.Options{})
}

// TestBaselineIsPooled over its replicates, and its noise is theirs.
func TestBaselineIsPooled(t *testing.T) {
	_, store := openRun(t, t.TempDir(), 1)
	baseline, ok, err := store.Baseline()
	if err != nil || !ok || baseline.Measurement.Replicates != 3 {
		t.Fatalf("baseline %+v, %v", baseline.Measurement, err)
	}
	noise := must(store.Noise())(t)
	if score, _ := baseline.Score(); noise.N != 3 || noise.Mean-score > 1e-12 || score-noise.Mean > 1e-12 {
		t.Errorf("score %v is not the mean of %+v", score, noise)
	}
	trial := must(store.Trial(1))(t)
	if trial.Verdict.Reference == nil || *trial.Verdict.Reference != *baseline.Measurement.Score {
		t.Errorf("trial 001 was compared with %v", trial.Verdict.Reference)
	}
}

// TestSpendAndTime: supervised time is counted while a supervisor is there, and survives pauses.
func TestSpendAndTime(t *testing.T) {
	_, store, err := lineagetest.New(t.TempDir(), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	at := func(minute int, fact research.Fact) {
		t.Helper()
		err := store.Batch(ctx, func(b *lineage.Batch) error {
			_, err := b.Append(time.Date(2026, 1, 1, 0, minute, 0, 0, time.UTC), fact)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	at(0, research.BudgetChanged{By: "before any supervisor"})
	at(10, research.Supervised{PID: 1})
	at(11, research.Submitted{Proposal: research.Proposal{Tree: must(store.Registration())(t).BaselineTree}})
	at(13, research.SessionOpened{Session: 1, Agent: research.Agent{Name: "a", Role: "opt", Proposer: "mutate"}})
	at(12, research.ToolCalled{Session: 1, Tool: "bash", CPU: 1.5}) // the clock was set back
	at(15, research.ToolCalled{Session: 1, Tool: "bash", CPU: 0.5})
	at(500, research.Supervised{PID: 2, Resumed: true}) // killed in between
	at(502, research.SessionClosed{Session: 1, Ending: "lost"})
	at(504, research.Stopped{Reason: "done"})
	at(900, research.BudgetChanged{Budgets: research.Budgets{Trials: 9}, By: "resume"})

	spend := must(store.Spend())(t)
	want := research.Spend{CheckCPU: 2, Sessions: 1, Supervised: research.SecondsOf((3 + 3 + 4) * time.Minute)}
	if spend != want {
		t.Errorf("spend %+v, want %+v", spend, want)
	}
	if got := must(store.SinceKeep())(t); got != want.Supervised {
		t.Errorf("since the start %v", got)
	}
	if at := must(store.LastKeepAt())(t); !at.IsZero() {
		t.Errorf("a keep at %v in a run without trials", at)
	}
	if b := must(store.Budgets())(t); b.Trials != 9 {
		t.Errorf("budgets %+v", b)
	}
	sessions := must(store.Sessions(0, 10))(t)
	if len(sessions) != 1 || sessions[0].Calls != 2 || sessions[0].Ending != "lost" || sessions[0].ClosedAt.IsZero() {
		t.Errorf("sessions %+v", sessions)
	}
	wantIntact(t, store.Path(), lineage.Options{})
}

func TestPendingAndSessions(t *testing.T) {
	dir := t.TempDir()
	author, store := openRun(t, dir, 4)
	write := lineagetest.Live(store)
	opened, prompt := author.Opened()
	submitted, blobs, err := author.Submitted()
	if err != nil {
		t.Fatal(err)
	}
	attempt := author.Attempt(submitted.Trial, 0, 1)
	for _, err := range []error{write(opened, prompt), write(submitted, blobs...), write(research.Dispatched{Attempt: attempt, Executor: "local", Bundle: "b/5"})} {
		if err != nil {
			t.Fatal(err)
		}
	}
	pending := must(store.Pending())(t)
	if len(pending) != 1 || pending[0].Trial.ID != 5 || len(pending[0].Attempts) != 1 {
		t.Fatalf("pending %+v", pending)
	}
	a := pending[0].Attempts[0]
	if diff := gocmp.Diff(attempt, a.Attempt); diff != "" || a.State != lineage.AttemptOpen || a.Bundle != "b/5" {
		t.Errorf("attempt %+v\n%s", a, diff)
	}
	if id, ok, err := store.ByKey(opened.Session, submitted.Proposal.Key); err != nil || !ok || id != 5 {
		t.Errorf("by key: %v, %v, %v", id, ok, err)
	}
	if _, ok, err := store.ByKey(1, submitted.Proposal.Key); err != nil || ok {
		t.Errorf("another session's key: %v, %v", ok, err)
	}
	open := must(store.OpenSessions())(t)
	if len(open) != 1 || open[0].ID != opened.Session || !slices.Equal(open[0].Trials, []research.TrialID{5}) {
		t.Errorf("open sessions %+v", open)
	}
	if got := must(store.Sessions(opened.Session, 2))(t); len(got) != 2 || got[0].ID != opened.Session-1 {
		t.Errorf("sessions before %d: %+v", opened.Session, got)
	}
	tree := must(store.Tree(submitted.Proposal.Tree))(t)
	for i, f := range tree {
		found := false
		for _, b := range blobs {
			found = found || string(b.Data) == string(f.Data)
		}
		if !found {
			t.Errorf("file %d, %s, is not what was submitted", i, f.Path)
		}
	}
	if len(tree) != 3 || tree[0].Path != "lib/net.py" || tree[1].Mode != 0o755 {
		t.Errorf("tree %v", tree)
	}
}

// TestSnapshotStandsStill while the run goes on.
func TestSnapshotStandsStill(t *testing.T) {
	dir := t.TempDir()
	author, store := openRun(t, dir, 3)
	r := openReader(t, dir)
	err := r.Snapshot(func(r *lineage.Reader) error {
		before := must(r.Head())(t)
		if err := author.Bulk(store, 3); err != nil {
			return err
		}
		if after := must(r.Head())(t); after != before {
			t.Errorf("the head moved from %v to %v", before, after)
		}
		if n := must(r.Count())(t); n != 4 {
			t.Errorf("%d trials, want 4", n)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := must(r.Count())(t); n != 7 {
		t.Errorf("%d trials after the snapshot, want 7", n)
	}
}
