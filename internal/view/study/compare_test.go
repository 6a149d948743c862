package study

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"mendel/internal/research"
	"mendel/internal/view/analysis"
)

var seconds = research.ScoreRule{Metric: "seconds", Unit: "s", Direction: research.Minimize}

func plan(arms ...string) *Study {
	s := &Study{Name: "test", Task: "tasks/quick", Budget: Budget{Trials: 12}}
	for _, a := range arms {
		s.Arms = append(s.Arms, Arm{Name: a})
	}
	s.defaults()
	return s
}

// runsOf are runs whose final scores these are, and whose in-search bests look better than they are.
func runsOf(arm string, finals ...float64) (runs []Run) {
	for i, v := range finals {
		runs = append(runs, Run{Arm: arm, Replicate: i + 1, Final: &Final{Score: v}, Analysis: analysis.Analysis{
			Trials: 10, Improvements: 2, Status: map[research.Status]int{research.StatusKeep: 2, research.StatusDiscard: 8},
			Best: &analysis.Scored{Trial: "003", Score: v - 0.5}, CrossRole: analysis.CrossRole{N: 1, Of: 2},
		}})
	}
	return runs
}

func eight(around float64) []float64 {
	values := make([]float64, 8)
	for i := range values {
		values[i] = around + float64(i)/10
	}
	return values
}

func TestConclusions(t *testing.T) {
	for name, x := range map[string]struct {
		score   research.ScoreRule
		with    []float64
		without []float64
		verdict Verdict
		says    []string
	}{
		"better": {seconds, eight(2), eight(3), Differ, []string{"with found better recipes than without, by 1 s", "95 % interval 0.7", "exact", "The data support this."}},
		"worse":  {seconds, eight(3), eight(2), Differ, []string{"without found better recipes than with, by 1 s", "95 % interval 0.7"}},
		"higher is better": {research.ScoreRule{Direction: research.Maximize}, eight(3), eight(2), Differ,
			[]string{"with found better recipes than without, by 1 "}},
		"the same": {seconds, eight(2), eight(2.05), NotTold, []string{"do not tell with from without", "interval -0."}},
		"too few":  {seconds, eight(2)[:3], eight(3)[:3], Underpowered, []string{"underpowered", "3 and 3 runs", "8 of each arm"}},
		"one side": {seconds, eight(2), nil, Underpowered, []string{"nothing to compare yet"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := Compare(plan("with", "without"), x.score, append(runsOf("with", x.with...), runsOf("without", x.without...)...))
			if len(c.Findings) != 1 || c.Findings[0].Verdict != x.verdict {
				t.Fatalf("findings %+v, want %s", c.Findings, x.verdict)
			}
			for _, word := range x.says {
				if !strings.Contains(c.Findings[0].Sentence, word) {
					t.Errorf("%q is not in %q", word, c.Findings[0].Sentence)
				}
			}
			if missing := 16 - len(x.with) - len(x.without); c.Missing != missing {
				t.Errorf("%d runs are missing, want %d", c.Missing, missing)
			}
		})
	}
}

// TestManyArms: what one comparison alone would support, ten together may not.
func TestManyArms(t *testing.T) {
	near := eight(2.3) // p = 0.02 against eight(2)
	pair := Compare(plan("a", "b"), seconds, append(runsOf("a", eight(2)...), runsOf("b", near...)...))
	if pair.Findings[0].Verdict != Differ {
		t.Fatalf("a pair by itself: %+v", pair.Findings[0])
	}
	names, runs := []string{}, []Run{}
	for i := range 5 {
		name := fmt.Sprintf("arm-%d", i)
		values := eight(2)
		if i == 4 {
			values = near
		}
		names, runs = append(names, name), append(runs, runsOf(name, values...)...)
	}
	c := Compare(plan(names...), seconds, runs)
	if len(c.Findings) != 10 {
		t.Fatalf("%d findings of five arms", len(c.Findings))
	}
	for _, f := range c.Findings {
		if f.Verdict != NotTold {
			t.Errorf("ten comparisons: %+v", f)
		}
	}
}

// TestARecipeThatDoesNotHold leaves its run with the baseline.
func TestARecipeThatDoesNotHold(t *testing.T) {
	runs := runsOf("with", eight(2)...)
	runs[3].Final = &Final{NotHeld: "accuracy 0.97: 0.01 short"}
	runs[3].Analysis.Baseline = &analysis.Scored{Trial: "000", Score: 5}
	c := Compare(plan("with", "without"), seconds, runs)
	if c.Arms[0].NotHeld != 1 || c.Arms[0].Ready != 8 || c.Arms[0].Final.High != 5 {
		t.Errorf("the arm is %+v", c.Arms[0])
	}
}

func TestArmResults(t *testing.T) {
	c := Compare(plan("with", "without"), seconds, runsOf("with", 1, 2, 3))
	with := c.Arms[0]
	if with.Runs != 3 || with.Ready != 3 || math.Abs(with.Final.Mean-2) > 1e-9 || math.Abs(with.Final.SD-1) > 1e-9 ||
		math.Abs(with.InSearch.Mean-1.5) > 1e-9 || with.Final.Low > with.Final.High {
		t.Errorf("with is %+v", with)
	}
	if with.Shares[research.StatusKeep] != 0.2 || with.CrossRole != (analysis.CrossRole{N: 3, Of: 6}) {
		t.Errorf("shares %v, cross-role keeps %+v", with.Shares, with.CrossRole)
	}
	if c.Arms[1].Runs != 0 || c.Arms[1].Final.N != 0 {
		t.Errorf("an arm without runs is %+v", c.Arms[1])
	}
}
