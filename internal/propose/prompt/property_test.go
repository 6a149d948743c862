package prompt

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"mendel/internal/research"
)

// words draws text as hostile as a proposer can make it: long, of one line or many, not always
// valid UTF-8.
func words(most int) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		piece := rapid.SampledFrom([]string{"", "\n# Your session\n", "- 999 keep\n", "é", "\xff\xfe", "word ", "\r\n", "x", "a longer piece, with commas. "})
		text := piece.Draw(t, "piece") + piece.Draw(t, "more")
		return strings.Repeat(text, rapid.IntRange(0, 1+most/(1+len(text))).Draw(t, "times"))
	})
}

func anyTrial(lo, hi int) *rapid.Generator[research.Trial] {
	return rapid.Custom(func(t *rapid.T) research.Trial {
		value := rapid.Float64Range(-1e12, 1e12)
		x := trial(rapid.IntRange(lo, hi).Draw(t, "id"), rapid.IntRange(0, hi).Draw(t, "parent"),
			rapid.SampledFrom([]string{"opt", "arch", "quant"}).Draw(t, "role"), rapid.SampledFrom(research.Statuses()).Draw(t, "status"),
			value.Draw(t, "score"), value.Draw(t, "difference"), [3]float64{value.Draw(t, "a"), value.Draw(t, "b"), value.Draw(t, "c")},
			words(1200).Draw(t, "hypothesis"))
		x.Proposal.Notes = words(500).Draw(t, "notes")
		switch rapid.IntRange(0, 3).Draw(t, "shape") {
		case 0:
			x.Measurement = &research.Measurement{Outcome: research.Crash, Crash: &research.CrashExcerpt{
				Phase: "train", Exception: words(3000).Draw(t, "exception"), Frame: words(400).Draw(t, "frame"), Code: words(800).Draw(t, "code")}}
			x.Verdict.Difference = nil
		case 1:
			x.Measurement, x.Verdict, x.Status = nil, nil, ""
		}
		return x
	})
}

func anyBrief() *rapid.Generator[research.Brief] {
	return rapid.Custom(func(t *rapid.T) research.Brief {
		b := brief()
		trials := func(label string, most int) []research.Trial {
			return rapid.SliceOfN(anyTrial(1, 100_000), 0, most).Draw(t, label)
		}
		b.Task.Title, b.Task.Summary = words(400).Draw(t, "title"), words(12_000).Draw(t, "summary")
		for range rapid.IntRange(0, 4).Draw(t, "documents") {
			b.Task.Pinned = append(b.Task.Pinned, research.Document{Name: words(60).Draw(t, "name"), Text: words(40_000).Draw(t, "text")})
		}
		b.Role.Preamble = words(12_000).Draw(t, "preamble")
		b.Workspace = words(500).Draw(t, "workspace")
		b.Incumbent = anyTrial(1, 100_000).Draw(t, "incumbent")
		b.Now = b.Incumbent.EndedAt.Add(time.Duration(rapid.Int64Range(0, 1e15).Draw(t, "since")))
		h := b.History
		h.Leaderboard, h.Chain, h.Children = trials("leaderboard", 25), trials("chain", 30), trials("children", 20)
		h.NearMisses, h.Recent, h.Own = trials("near", 10), trials("recent", 12), trials("own", 30)
		h.Saturated = rapid.Bool().Draw(t, "saturated")
		if len(h.Own) > 0 && h.Own[0].Measurement != nil && h.Own[0].Measurement.Crash != nil {
			h.LastCrash = &research.CrashOf{Trial: h.Own[0].ID, Crash: *h.Own[0].Measurement.Crash}
		}
		b.Arm.Lineage = rapid.IntRange(0, 5).Draw(t, "arm") > 0
		return b
	})
}

func TestAnyBriefStaysInsideItsBudgets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := anyBrief().Draw(t, "brief")
		p := Render(b)
		whole := wholeLines(b)
		for _, s := range append(p.System, p.User...) {
			if len(s.Text) > s.Budget {
				t.Fatalf("section %s has %d bytes, of %d", s.Name, len(s.Text), s.Budget)
			}
			if !utf8.ValidString(s.Text) || !strings.HasSuffix(s.Text, "\n") {
				t.Fatalf("section %s is not whole text: %q", s.Name, s.Text[max(0, len(s.Text)-80):])
			}
			if s.Name != "leaderboard" && s.Name != "lineage" {
				continue
			}
			for _, l := range strings.Split(strings.TrimSuffix(s.Text, "\n"), "\n") {
				if strings.HasPrefix(l, "- ") && !whole[l] {
					t.Fatalf("section %s has a line that is no trial's whole line: %q", s.Name, l)
				}
			}
		}
		if again := Render(b).String(); again != p.String() {
			t.Fatal("the same brief gave another text")
		}
	})
}

// wholeLines are all the lines that the lists of a brief's trials can hold.
func wholeLines(b research.Brief) map[string]bool {
	whole := map[string]bool{}
	for _, list := range [][]research.Trial{b.History.Leaderboard, b.History.Chain, b.History.Children} {
		for _, x := range list {
			whole[line(x, b.Task.Score, fully)], whole[line(x, b.Task.Score, briefly)] = true, true
		}
	}
	return whole
}

// TestChoosesByWhatTeaches fills the lineage section beyond its budget and looks for what must
// survive: the root, the newest links, near misses, own role, one of each idea.
func TestChoosesByWhatTeaches(t *testing.T) {
	b := rich()
	h := b.History
	long := strings.Repeat("a long story about why this ought to work in the end ", 6)
	h.Chain = []research.Trial{baseline()}
	for id := 1; id <= 24; id++ {
		h.Chain = append(h.Chain, trial(id, id-1, "arch", research.StatusKeep, 2.4, -0.01, [3]float64{1, 1, 1}, long))
	}
	b.Incumbent = h.Chain[24]
	h.Children, h.NearMisses = nil, nil
	for id := 60; id > 30; id-- {
		h.Children = append(h.Children, trial(id, 24, "arch", research.StatusDiscard, 2.5, 0.1, [3]float64{1, 1, 1}, long))
	}
	near := trial(29, 24, "quant", research.Status(research.SizeBlocked), 2.2, -0.1, [3]float64{1, 65000, 1}, "NEAR miss by another role entirely")
	h.Children = append(h.Children,
		trial(30, 24, "opt", research.StatusDiscard, 2.5, 0.1, [3]float64{1, 1, 1}, "OWN idea of the optimizer role, quite short"),
		near, trial(28, 24, "quant", research.StatusDiscard, 2.5, 0.1, [3]float64{1, 1, 1}, "DISTINCT and never told before"))
	h.NearMisses = []research.Trial{near}
	text := lineage(b, *h)
	for _, want := range []string{"- 000 baseline", "- 024 keep", "- 023 keep", "(older links left out)", "OWN idea", "NEAR miss", "DISTINCT and", "left out: list_trials parent=024"} {
		if !strings.Contains(text, want) {
			t.Errorf("the lineage section of %d bytes lacks %q", len(text), want)
		}
	}
}

func TestSharedTextIsTheSameForAllRolesAndSessions(t *testing.T) {
	first := Render(brief()).SharedText()
	b := rich()
	for i, r := range b.Roles {
		b.Role, b.Agent, b.Session, b.Seed = r, research.Agent{Name: r.ID, Role: r.ID}, research.SessionID(i+5), int64(i)
		p := Render(b)
		if p.SharedText() != first {
			t.Errorf("role %s has other shared bytes", r.ID)
		}
		if !strings.Contains(p.RoleText(), r.Title) || strings.Contains(p.SharedText(), r.Preamble) {
			t.Errorf("role %s: its preamble does not stand in its own part", r.ID)
		}
		if !strings.HasPrefix(p.String(), first) {
			t.Errorf("role %s: the shared bytes do not stand first", r.ID)
		}
	}
}

// TestNoLineageShowsNothingElse renders a brief that wrongly carries history in an arm that
// must not see it: the prompt is a second lock.
func TestNoLineageShowsNothingElse(t *testing.T) {
	b := rich()
	b.Arm.Lineage = false
	b.Incumbent.Proposal.Hypothesis = "MARK-HYPOTHESIS"
	text := Render(b).String()
	for _, leak := range []string{"MARK", "cosine", "bits/byte (", "2.4531", "eaderboard", "list_trials", "read_trial", "diff_trials", "banlist", "of 200", "018", "004", "13.3"} {
		if strings.Contains(text, leak) {
			t.Errorf("the prompt holds %q", leak)
		}
	}
	if !strings.Contains(text, "trial 017, val_bpb 2.3297 bits/byte") {
		t.Error("the prompt lacks the incumbent's id and score")
	}
}

func TestHarnessAbortsAreNoEvidence(t *testing.T) {
	if text := Render(rich()).String(); strings.Contains(text, "MARK-ABORTED") || strings.Contains(text, "harness_abort") {
		t.Error("a trial that the harness failed to measure is shown")
	}
}

func TestWhatTheSubjectPrintedIsNotShown(t *testing.T) {
	b := rich()
	crash := b.History.Own[1]
	crash.Measurement = &research.Measurement{
		Outcome: research.Crash,
		Crash:   &research.CrashExcerpt{Phase: "evaluate", Exception: "ValueError: SECRET-QUESTION", Frame: "train.py:9 SECRET-FRAME", Code: "SECRET-CODE"},
		Phases:  []research.PhaseRun{{Phase: "evaluate", OperatorOnly: true, Tail: "SECRET-TAIL"}},
	}
	b.History.Own[1] = crash
	b.History.LastCrash = &research.CrashOf{Trial: crash.ID, Crash: *crash.Measurement.Crash}
	if text := Render(b).String(); strings.Contains(text, "SECRET") {
		t.Error("what a process printed that had seen the questions is in the prompt")
	}
}

func TestMargin(t *testing.T) {
	for want, m := range map[string]research.Margin{
		"2,056 bytes over artifact_bytes (66,056 bytes, at most 64,000 bytes)": research.MarginOf(bounds()[1], 66056),
		"0.00044 short of accuracy (0.95956, at least 0.96)":                   research.MarginOf(bounds()[2], 0.95956),
		"1.5 s under train (18.5 s, at most 20 s)":                             research.MarginOf(bounds()[0], 18.5),
		"0.01 above accuracy (0.97, at least 0.96)":                            research.MarginOf(bounds()[2], 0.97),
		"at least 1 s over train (stopped at 21 s, at most 20 s)":              {Bound: bounds()[0], Value: 21, Slack: -1, AtLeast: true},
	} {
		if got := Margin(m); got != want {
			t.Errorf("margin reads %q, want %q", got, want)
		}
	}
}

// BenchmarkRender fills every list to the caps that a run's supervisor sets.
func BenchmarkRender(b *testing.B) {
	full := rich()
	long := strings.Repeat("why this ought to work, in the words of someone who likes words ", 15)
	for id := 100; id < 160; id++ {
		x := trial(id, 17, "opt", research.StatusDiscard, 2.5, 0.1, [3]float64{1, 1, 1}, long)
		full.History.Own = append(full.History.Own, x)
	}
	full.History.Children = append(full.History.Children, full.History.Own[:16]...)
	full.History.Leaderboard = append(full.History.Leaderboard, full.History.Own[20:40]...)
	for b.Loop() {
		Render(full)
	}
}

// TestABanlistSparesWhatWasBuiltUpon: a near miss that was mended and kept is no road to nowhere.
func TestABanlistSparesWhatWasBuiltUpon(t *testing.T) {
	b := rich()
	stopped := b.History.Own[0]
	stopped.ID, stopped.Status = 90, research.Status(research.SizeBlocked)
	stopped.Proposal.Hypothesis = "a wider table"
	b.History.Own = append([]research.Trial{stopped}, b.History.Own...)
	if text := banlist(b, *b.History); !strings.Contains(text, "a wider table") {
		t.Fatalf("a trial that was stopped is not banned:\n%s", text)
	}
	mended := b.Incumbent
	mended.ID, mended.Status, mended.Proposal.Parent = 91, research.StatusKeep, 90
	b.History.Recent = append([]research.Trial{mended}, b.History.Recent...)
	if text := banlist(b, *b.History); strings.Contains(text, "a wider table") {
		t.Errorf("it is banned although 091, which was kept, is built on it:\n%s", text)
	}
}
