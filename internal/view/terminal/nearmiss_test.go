package terminal

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"mendel/internal/lineage"
	"mendel/internal/lineage/lineagetest"
	"mendel/internal/research"
)

// TestNearMissesReachPeople: what a limit or gate stopped shows with its exact amount in the status, for
// people and for scripts, and in the tree.
func TestNearMissesReachPeople(t *testing.T) {
	author, store, err := lineagetest.New(t.TempDir(), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if err := author.Start(store); err != nil {
		t.Fatal(err)
	}
	if err := author.Bulk(store, 60); err != nil {
		t.Fatal(err)
	}
	o, err := Collect(store.Reader, "run", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	if len(o.NearMisses) == 0 {
		t.Fatal("the run has no near miss that beats its incumbent")
	}
	var status bytes.Buffer
	WriteStatus(&status, o, noon, Style{Width: 80})
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	var read Overview
	if err := json.Unmarshal(text, &read); err != nil {
		t.Fatal(err)
	}
	for i, miss := range o.NearMisses {
		if want := research.MarginList(miss.Missed()); !strings.Contains(status.String(), want) {
			t.Errorf("near miss %s: the status lacks %q:\n%s", miss.ID, want, status.String())
		}
		if got := read.NearMisses[i].Missed(); !slices.EqualFunc(got, miss.Missed(), func(a, b research.Margin) bool { return a.Slack == b.Slack }) {
			t.Errorf("near miss %s: its margin is not in the JSON", miss.ID)
		}
	}
	trials, err := store.Trials(lineage.Filter{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	var tree bytes.Buffer
	WriteTree(&tree, trials, nil, o.Score, Style{Width: 80})
	for _, trial := range trials {
		want := "near miss: " + research.MarginList(trial.Missed())
		if trial.NearMiss(o.Score) && !strings.Contains(tree.String(), want) {
			t.Errorf("near miss %s: the tree lacks %q", trial.ID, want)
		}
	}
}
