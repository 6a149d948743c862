package mutate

import "testing"

func TestTrace(t *testing.T) {
	r := newRun(true, landscape)
	search(t, r, 45, 3)
	for _, x := range r.All()[1:] {
		v, _ := x.Score()
		t.Logf("%s<-%s %s %.4f exp %+.4f  %s", x.ID, x.Proposal.Parent, x.Status, v, *x.Proposal.Expected, x.Proposal.Hypothesis)
	}
}
