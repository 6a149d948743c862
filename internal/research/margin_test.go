package research

import "testing"

func TestMarginsInWords(t *testing.T) {
	size := Bound{Name: "artifact_bytes", Unit: "B", Max: ptr(16_000_000.0)}
	accuracy := Bound{Name: "accuracy", Gate: true, Min: ptr(0.96)}
	train := Bound{Name: "train", Unit: "s", Max: ptr(20.0)}
	killed := MarginOf(train, 21.5)
	killed.AtLeast = true
	for want, m := range map[string]Margin{
		"2,056 bytes over":      MarginOf(size, 16_002_056),
		"10,000 bytes to spare": MarginOf(size, 15_990_000.4), // the mean of several
		"0 bytes to spare":      MarginOf(size, 16_000_000),
		"0.00044 short":         MarginOf(accuracy, 0.95956),
		"0.02 to spare":         MarginOf(accuracy, 0.98),
		"0.012346 s over":       MarginOf(train, 20.012345678),
		"18.01 s to spare":      MarginOf(train, 1.987654321),
		"at least 1.5 s over":   killed,
	} {
		if got := m.By(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got, want := MarginList([]Margin{MarginOf(accuracy, 0.95956), MarginOf(size, 16_002_056)}), "accuracy 0.00044 short, artifact_bytes 2,056 bytes over"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestNearMiss: the raw score beats the incumbent of that time, and a bound alone stopped it.
func TestNearMiss(t *testing.T) {
	better := func(status Status, score, incumbent float64) Trial {
		return Trial{Status: status, Measurement: &Measurement{Score: &score}, Verdict: &Verdict{Reference: &incumbent}}
	}
	minimize := ScoreRule{Direction: Minimize}
	for name, test := range map[string]struct {
		trial Trial
		rule  ScoreRule
		want  bool
	}{
		"disqualified":       {better("disqualified", 9, 10), minimize, true},
		"too large":          {better("size_blocked", 11, 10), ScoreRule{Direction: Maximize}, true},
		"not better":         {better("disqualified", 10, 10), minimize, false},
		"a crash is no miss": {better("crash", 9, 10), minimize, false},
		"kept":               {better(StatusKeep, 9, 10), minimize, false},
		"stopped, no score":  {Trial{Status: "train_budget_overrun", Measurement: &Measurement{}, Verdict: &Verdict{Reference: ptr(1.0)}}, minimize, false},
		"of the baseline":    {Trial{Status: "disqualified", Measurement: &Measurement{Score: ptr(1.0)}, Verdict: &Verdict{}}, minimize, false},
		"not judged":         {Trial{}, minimize, false},
	} {
		if test.trial.NearMiss(test.rule) != test.want {
			t.Errorf("%s: %v", name, !test.want)
		}
	}
}
