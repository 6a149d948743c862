package lineage_test

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mendel/internal/lineage"
	"mendel/internal/lineage/lineagetest"
	"mendel/internal/research"
)

// A lab is a run under the rule confirmed, written fact by fact. Its scores are seconds around 10.
type lab struct {
	t     *testing.T
	dir   string
	store *lineage.Store
	reg   research.Registration
	tick  int
}

// newLab makes a run whose baseline is judged, at 10 s with a standard deviation of about 0.1 s.
func newLab(t *testing.T, budget int) *lab {
	t.Helper()
	root, blobs, err := lineage.NewTree([]lineage.File{{Path: "train.py", Mode: 0o644, Data: []byte("print(1)\n")}})
	if err != nil {
		t.Fatal(err)
	}
	reg := lineagetest.Registration(root.Hash)
	reg.Keep = research.KeepRule{Rule: research.Confirmed, Alpha: 0.05, Pairs: 8}
	reg.Certificate = &research.CertificatePlan{Margin: 0.5, N: 6, Alpha: 0.05}
	reg.Bounds, reg.Seeds, reg.Replicates, reg.Budgets = nil, 2, 4, research.Budgets{Trials: budget}
	l := &lab{t: t, dir: t.TempDir(), reg: reg}
	if l.store, err = lineage.Create(l.dir, reg, blobs...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.store.Close() })
	l.must(research.Submitted{Trial: 0, Proposal: research.Proposal{Role: "baseline", Tree: root.Hash}})
	for i := range reg.Replicates {
		l.measure(research.Attempt{Trial: 0, Replicate: i, Number: 1, Token: "t", Seeds: []int64{1, 2}}, nil, 10+0.1*float64(i%2)-0.05)
	}
	calibrated, err := l.store.Calibration()
	if err != nil {
		t.Fatal(err)
	}
	l.must(calibrated)
	l.judge(0)
	return l
}

func (l *lab) try(f research.Fact) error {
	_, err := l.store.Append(context.Background(), f)
	return err
}

func (l *lab) must(f research.Fact) {
	l.t.Helper()
	if err := l.try(f); err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) refused(f research.Fact, because string) {
	l.t.Helper()
	if err := l.try(f); err == nil || !strings.Contains(err.Error(), because) {
		l.t.Errorf("%s: %v, want a refusal that says %q", f.Kind(), err, because)
	}
}

func (l *lab) measure(a research.Attempt, of *research.TrialID, score float64) {
	l.t.Helper()
	l.must(research.Dispatched{Attempt: a, Executor: "local", Bundle: "b", Of: of})
	l.must(research.Measured{Attempt: a, Measurement: research.Measurement{Outcome: research.Valid, Score: &score, Wall: 2}})
}

// propose submits a trial and makes its first measurement.
func (l *lab) propose(id research.TrialID, score float64) {
	l.t.Helper()
	l.must(research.Submitted{Trial: id, Proposal: research.Proposal{Role: "opt", Tree: l.reg.BaselineTree, Tokens: research.Hash(fmt.Sprint(id))}})
	l.measure(research.Attempt{Trial: id, Number: 1, Token: "t", Seeds: []int64{1, 2}}, nil, score)
}

// replicate is the dispatch of one half of a pair, as it has to be.
func (l *lab) replicate(id research.TrialID, replicate int) research.Dispatched {
	pair, ofIncumbent := research.PairOf(l.reg.Seed, id, replicate)
	d := research.Dispatched{Executor: "local", Bundle: "b", Attempt: research.Attempt{
		Trial: id, Replicate: replicate, Number: 1, Token: "t", Seeds: research.SeedsFor(l.reg.Seed, id, pair, l.reg.Seeds),
	}}
	if ofIncumbent {
		incumbent, _, err := l.store.Incumbent()
		if err != nil {
			l.t.Fatal(err)
		}
		d.Of = &incumbent.ID
	}
	return d
}

// wiggle is a deterministic deviation within 0.1 s.
func (l *lab) wiggle() float64 {
	l.tick++
	return 0.1 * math.Sin(float64(l.tick)*2.3)
}

// confirm begins the confirmation on offer and measures until a verdict is due.
func (l *lab) confirm(id research.TrialID, mine, theirs float64) {
	l.t.Helper()
	j := l.judgement(id)
	if research.Next(j) != research.ToConfirm {
		l.t.Fatalf("trial %s is not to be confirmed: step %d", id, research.Next(j))
	}
	l.must(research.Confirming{Confirmation: *j.Offer})
	for replicate := 1; research.Next(l.judgement(id)) == research.ToMeasure; replicate++ {
		d := l.replicate(id, replicate)
		score := mine + l.wiggle()
		if d.Of != nil {
			score = theirs + l.wiggle()
		}
		l.measure(d.Attempt, d.Of, score)
	}
}

func (l *lab) judgement(id research.TrialID) research.Judgement {
	l.t.Helper()
	j, err := l.store.Judgement(id)
	if err != nil {
		l.t.Fatal(err)
	}
	return j
}

func (l *lab) judge(id research.TrialID) research.Trial {
	l.t.Helper()
	j := l.judgement(id)
	v := research.Judge(j)
	l.must(research.Judged{Trial: id, Outcome: j.Outcome(), Verdict: v, Status: research.StatusOf(id, j.Outcome(), v)})
	trial, err := l.store.Trial(id)
	if err != nil {
		l.t.Fatal(err)
	}
	return trial
}

func TestConfirmation(t *testing.T) {
	l := newLab(t, 0)
	l.propose(1, 8)
	l.propose(2, 9.9)
	l.refused(research.Judged{Trial: 1}, "asks for more measurements")
	early := l.judgement(2)
	if got := l.judge(2); got.Status != research.StatusDiscard || !strings.Contains(got.Verdict.Reason, "within the noise floor") {
		t.Errorf("a gain within the noise: %s, %q", got.Status, got.Verdict.Reason)
	}
	if research.Next(early) != research.ToJudge {
		t.Error("a gain within the noise is to be measured again")
	}
	forged := *l.judgement(1).Offer
	forged.Alpha = 0.04
	l.refused(research.Confirming{Confirmation: forged}, "alpha follows as 0.025")
	l.refused(l.replicate(1, 1), "no confirmation of trial 001 is under way")

	// It looked 2 s better, and is 1 s better.
	l.confirm(1, 9, 10)
	kept := l.judge(1)
	f := kept.Verdict.Confirmation
	if kept.Status != research.StatusKeep || f == nil || !strings.HasPrefix(kept.Verdict.Reason, "confirmed: ") {
		t.Fatalf("a true gain: %s, %+v", kept.Status, kept.Verdict)
	}
	if score, _ := kept.Score(); math.Abs(score-9) > 0.1 {
		t.Errorf("the score %v is not the mean of what was measured again: the first one, 8, was chosen for being good", score)
	}
	if f.Alpha != 0.025 || f.High >= 0 || f.Low > f.Difference || f.Difference > f.High || math.Abs(f.Difference+1) > 0.2 {
		t.Errorf("alpha %v, difference %v in %v to %v; want 0.025 and about -1 in an interval below 0", f.Alpha, f.Difference, f.Low, f.High)
	}
	if want := 2 * f.Measured; len(kept.Verdict.Samples) != want || kept.Verdict.Samples[0] != "001/1" {
		t.Errorf("samples %v, want the %d measurements that came after the first", kept.Verdict.Samples, want)
	}

	// The second one, after a keep, gets what the first one spent as well. It is no better.
	l.propose(3, 7)
	l.propose(4, 7)
	if offer := l.judgement(3).Offer; math.Abs(offer.Alpha-(0.05/6+0.025)) > 1e-12 || offer.Incumbent != 1 || offer.Number != 2 {
		t.Errorf("the second confirmation: %+v", offer)
	}
	l.must(research.Confirming{Confirmation: *l.judgement(3).Offer})
	if research.Next(l.judgement(4)) != research.ToWait {
		t.Error("two confirmations at a time")
	}
	l.refused(research.Confirming{Confirmation: research.Confirmation{Number: 3, Trial: 4, Incumbent: 1, Alpha: 0.01, Pairs: 8}}, "not to be confirmed now")
	swapped := l.replicate(3, 1)
	if swapped.Of == nil {
		one := research.TrialID(1)
		swapped.Of = &one
	} else {
		swapped.Of = nil
	}
	l.refused(swapped, "wrong half of its pair")
	stale := l.replicate(3, 1)
	stale.Attempt.Seeds = []int64{1, 2}
	l.refused(stale, "other seeds")
	l.refused(l.replicate(3, 2), "not its turn")
	for replicate := 1; research.Next(l.judgement(3)) == research.ToMeasure; replicate++ {
		d := l.replicate(3, replicate)
		l.measure(d.Attempt, d.Of, 9+l.wiggle())
	}
	got := l.judge(3)
	if got.Status != research.StatusDiscard || !strings.HasPrefix(got.Verdict.Reason, "unconfirmed: it looked ") {
		t.Errorf("no gain: %s, %q", got.Status, got.Verdict.Reason)
	}
	if offer := l.judgement(4).Offer; offer.Number != 3 || math.Abs(offer.Alpha-0.05/12) > 1e-12 {
		t.Errorf("the third confirmation, after none was kept: %+v", offer)
	}
	spend, err := l.store.Spend()
	if err != nil || spend.Replicates != 2*f.Measured+2*got.Verdict.Confirmation.Measured || spend.ReplicateWall != research.Seconds(2*spend.Replicates) {
		t.Errorf("spend %+v, %v", spend, err)
	}
	if err := l.store.Close(); err != nil {
		t.Fatal(err)
	}
	wantIntact(t, filepath.Join(l.dir, lineage.FileName), lineage.Options{})
}

// writeConfirmedRun makes a closed run with a confirmation that kept its trial, a certificate of it, and a
// confirmation under way.
func writeConfirmedRun(t *testing.T) (path string) {
	l := newLab(t, 50)
	l.propose(1, 8)
	l.confirm(1, 9, 10)
	l.judge(1)
	l.certify(9, 10)
	l.propose(2, 7)
	l.must(research.Confirming{Confirmation: *l.judgement(2).Offer})
	if err := l.store.Close(); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(l.dir, lineage.FileName)
}

func TestConfirmationWithinTheTrialBudget(t *testing.T) {
	l := newLab(t, 12)
	l.propose(1, 8)
	if offer := l.judgement(1).Offer; offer.Pairs != 5 {
		t.Fatalf("11 trials are left, which make 5 pairs, not %d", offer.Pairs)
	}
	l.must(research.BudgetChanged{Budgets: research.Budgets{Trials: 5}})
	if got := l.judge(1); got.Status != research.StatusDiscard || !strings.Contains(got.Verdict.Reason, "2 pairs of measurements that it could have are too few") {
		t.Errorf("without the pairs for it: %s, %q", got.Status, got.Verdict.Reason)
	}
}

func TestBrokenConfirmation(t *testing.T) {
	l := newLab(t, 0)
	l.propose(1, 8)
	l.must(research.Confirming{Confirmation: *l.judgement(1).Offer})
	d := l.replicate(1, 1)
	l.must(d)
	if _, err := l.store.Judgement(1); err == nil {
		t.Error("a verdict is due while a measurement is open")
	}
	l.must(research.AttemptLost{Attempt: d.Attempt, Reason: "the machine went away"})
	if got := l.judge(1); got.Status != research.Status(research.Aborted) || !strings.Contains(got.Verdict.Reason, "the machine went away") {
		t.Errorf("%s, %q", got.Status, got.Verdict.Reason)
	}
	l.propose(2, 8)
	if offer := l.judgement(2).Offer; offer.Number != 2 {
		t.Errorf("what a broken confirmation spent comes back: %+v", offer)
	}
}

// A run file of format 2 has no table of confirmations, and verdicts of arithmetic 1.
func TestOlderFormat(t *testing.T) {
	data, err := os.ReadFile("testdata/format2.db")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	path := filepath.Join(dir, lineage.FileName)
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	head, err := lineage.ParseHead("57:f0ed831e5201113e9ad3f4ec6d8a58bbaafbab3a5ad595aeb749be516c6a352d")
	if err != nil {
		t.Fatal(err)
	}
	wantIntact(t, path, lineage.Options{Head: head})
	reader, err := lineage.OpenReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	if spend, err := reader.Spend(); err != nil || spend.Trials != 6 {
		t.Errorf("spend %+v, %v", spend, err)
	}
	if err := reader.Close(); err != nil {
		t.Fatal(err)
	}
	store, err := lineage.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Append(context.Background(), research.Stopped{Reason: "done"}); err != nil {
		t.Error(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	wantIntact(t, path, lineage.Options{Head: head})
}
