package runner_test

import (
	"testing"

	"mendel/internal/research"
)

func TestValidTrial(t *testing.T) {
	m, _ := newTrial().run(t)
	if m.Outcome != research.Valid || m.Score == nil || *m.Score != 0 {
		t.Fatalf("outcome %s (%s), score %v; want valid, 0", m.Outcome, m.Reason, m.Score)
	}
	t.Logf("%+v", m)
}
