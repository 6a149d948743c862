package main

import (
	"strings"
	"testing"

	"mendel/internal/lineage"
	"mendel/internal/propose/provider/replay"
	"mendel/internal/research"
)

func TestReplayingARun(t *testing.T) {
	t.Parallel()
	const trials = 5
	l := newStage(t)
	l.mendel("run", "quick", "--state", "old", "--trials", "5", "--plain")
	old := trialsOf(t, l.dir+"/old")
	l.start("quick", "--state", "run", "--trials", "2", "--proposer", "replay:old")
	if code := l.ended(); code != exitOK {
		t.Fatalf("exit code %d\n%s", code, l.output)
	}
	l.intact(2)
	out := l.mendel("run", "--resume", "run", "--trials", "50")
	if !strings.Contains(out, "no agent has anything more to propose") || !strings.Contains(out, "replayed: old against new") {
		t.Errorf("the resumed replay says\n%s", out)
	}
	l.intact(trials)
	again := l.trials()
	ids := map[research.TrialID]research.TrialID{research.Baseline: research.Baseline}
	for i, o := range old {
		n := again[i]
		ids[o.ID] = n.ID
		if n.Proposal.Tree != o.Proposal.Tree || n.Proposal.Role != o.Proposal.Role || n.Proposal.Hypothesis != o.Proposal.Hypothesis {
			t.Errorf("trial %s was %+v, and is as %s %+v", o.ID, o.Proposal, n.ID, n.Proposal)
		}
		if want := ids[o.Proposal.Parent]; n.Proposal.Parent != want {
			t.Errorf("trial %s stood on %s; as %s it stands on %s, want %s", o.ID, o.Proposal.Parent, n.ID, n.Proposal.Parent, want)
		}
		if n.Proposal.Key != replay.KeyOf(o.ID) || !strings.Contains(n.Proposal.Notes, "replay of "+o.ID.String()) {
			t.Errorf("trial %s says %q, %q", n.ID, n.Proposal.Key, n.Proposal.Notes)
		}
		if !strings.Contains(out, o.ID.String()) {
			t.Errorf("the report leaves %s out:\n%s", o.ID, out)
		}
	}
	if out, err := l.try("run", "quick", "--state", "third", "--no-lineage", "--proposer", "replay:old"); err == nil || !strings.Contains(out, "hint:") {
		t.Errorf("a replay without history: %v\n%s", err, out)
	}
}

func trialsOf(t *testing.T, dir string) (list []research.Trial) {
	t.Helper()
	r, err := lineage.OpenReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := eachTrial(r, func(trial research.Trial) error { list = append(list, trial); return nil }); err != nil {
		t.Fatal(err)
	}
	return list
}
