// Package report writes what a run or a study came to as one file that can be read offline, printed
// and passed on: HTML with its pictures inside, or Markdown. Start reading at [OfRun].
//
// It reads a lineage and draws; the figures are package analysis's and package study's.
package report

import (
	"cmp"
	"html/template"
	"strings"

	"mendel/internal/lineage"
	"mendel/internal/research"
	"mendel/internal/view/analysis"
	"mendel/internal/view/terminal"
	"mendel/internal/view/treediff"
)

// A Run is everything that the report of one run says.
type Run struct {
	Title    string
	Task     string
	Headline string   // what was found, in a sentence
	Caveats  []string // what a reader must know before believing it
	Asked    []Row
	Found    []Row
	Curve    template.HTML
	Tree     template.HTML
	TreeLeft int // columns that the tree leaves out
	Kept     []Kept
	Misses   []NearMiss
	Statuses []research.Status // columns of Roles
	Roles    []RoleRow
	Costs    []Row
	Trust    []Row
	Again    []string // commands
	Program  string   // that wrote this
}

// A Row is a name and what is to be said of it.
type Row struct{ Name, Text string }

// A Kept is one improvement, with what it changed.
type Kept struct {
	ID, Parent, Role, Proposer, Hypothesis   string
	Score, Gain, Evidence, Expected, Verdict string // Evidence says what the gain rests on
	Diff                                     []DiffLine
	DiffLeft                                 int // lines that are not shown
}

// A DiffLine is one line of a unified diff.
type DiffLine struct{ Class, Text string }

// A NearMiss beat the incumbent of its time, and a gate or limit stopped it.
type NearMiss struct {
	ID, Role, Hypothesis, Status, Score, Gain string
	Missed                                    []string // by how much
	Repaired                                  []string // ids of kept children
	Tried                                     int      // children
}

// A RoleRow is the outcome profile of one role.
type RoleRow struct {
	Role         string
	Trials       int
	Counts       []string // by status
	Improvements int
	Gain         string
	Forecast     string
}

// OfRun gathers the report of a run. dir is as the user names it, for commands that the report quotes.
func OfRun(r *lineage.Reader, dir, program string) (Run, error) {
	var out Run
	err := r.Snapshot(func(r *lineage.Reader) error {
		g := gathering{reader: r, dir: dir}
		if err := g.read(); err != nil {
			return err
		}
		var err error
		out, err = g.report()
		return err
	})
	out.Program = program
	return out, err
}

// A gathering holds what a report is made of.
type gathering struct {
	reader *lineage.Reader
	dir    string

	reg          research.Registration
	analysis     analysis.Analysis
	trials       []research.Trial // in the order of their ids, the baseline among them
	byID         map[research.TrialID]research.Trial
	path         map[research.TrialID]bool // from the baseline to the incumbent
	noise        *research.Noise
	spend        research.Spend
	certificates []research.Certificate
	budgets      research.Budgets
	head         string
	incumbent    *research.Trial
}

func (g *gathering) read() (err error) {
	if g.reg, err = g.reader.Registration(); err != nil {
		return err
	}
	if g.analysis, err = analysis.Of(g.reader); err != nil {
		return err
	}
	if g.noise, err = g.reader.Noise(); err != nil {
		return err
	}
	if g.spend, err = g.reader.Spend(); err != nil {
		return err
	}
	if g.budgets, err = g.reader.Budgets(); err != nil {
		return err
	}
	if g.certificates, err = g.reader.Certificates(); err != nil {
		return err
	}
	head, err := g.reader.Head()
	if err != nil {
		return err
	}
	g.head = head.String()
	return g.readTrials()
}

func (g *gathering) readTrials() error {
	g.byID, g.path = map[research.TrialID]research.Trial{}, map[research.TrialID]bool{}
	err := g.reader.Each(func(t research.Trial) error {
		g.byID[t.ID] = t
		g.trials = append(g.trials, t)
		return nil
	})
	if err != nil {
		return err
	}
	incumbent, found, err := g.reader.Incumbent()
	if err != nil || !found {
		return err
	}
	g.incumbent = &incumbent
	for id := incumbent.ID; !g.path[id]; id = g.byID[id].Proposal.Parent {
		g.path[id] = true
	}
	g.path[research.Baseline] = true
	return nil
}

func (g *gathering) report() (Run, error) {
	out := Run{
		Title: g.reg.Task.Title, Task: g.reg.Task.Name, Headline: g.headline(), Caveats: g.caveats(),
		Asked: g.asked(), Found: g.found(), Curve: curve(g.analysis, g.trials, g.noise), Misses: g.nearMisses(),
		Costs: g.costs(), Trust: g.trust(), Again: g.again(),
	}
	out.Tree, out.TreeLeft = tree(g.trials, g.path, g.reg.Score)
	out.Statuses, out.Roles = g.roles()
	var err error
	out.Kept, err = g.kept()
	return out, err
}

// kept are the improvements in the order in which they were found.
func (g *gathering) kept() ([]Kept, error) {
	var list []Kept
	for _, t := range g.trials {
		if t.Status != research.StatusKeep {
			continue
		}
		k := Kept{
			ID: t.ID.String(), Parent: t.Proposal.Parent.String(), Role: t.Proposal.Role, Proposer: t.Proposal.Proposer,
			Hypothesis: short(t.Proposal.Hypothesis, mostText), Score: g.scoreOf(t), Gain: g.gainOf(t), Evidence: cmp.Or(g.confirmed(t.Verdict), g.inNoise(t)),
		}
		if t.Proposal.Expected != nil {
			k.Expected = terminal.Signed(*t.Proposal.Expected, g.reg.Score.Unit)
		}
		if t.Verdict != nil {
			k.Verdict = t.Verdict.Reason
		}
		if t.Proposal.Tree != "" { // a record that was imported has no code
			text, err := treediff.Between(g.reader, g.byID[t.Proposal.Parent], t)
			if err != nil {
				return nil, err
			}
			k.Diff, k.DiffLeft = diffLines(text)
		}
		list = append(list, k)
	}
	return list, nil
}

// mostDiff bounds what is shown of one diff: beyond it, `mendel diff` is the better reader.
const mostDiff = 160 // lines

func diffLines(text string) (lines []DiffLine, left int) {
	for line := range strings.Lines(text) {
		if len(lines) == mostDiff {
			left++
			continue
		}
		line = short(strings.TrimSuffix(line, "\n"), mostCell)
		class := ""
		switch {
		case strings.HasPrefix(line, "+++"), strings.HasPrefix(line, "---"):
			class = "file"
		case strings.HasPrefix(line, "@@"):
			class = "place"
		case strings.HasPrefix(line, "+"):
			class = "plus"
		case strings.HasPrefix(line, "-"):
			class = "minus"
		}
		lines = append(lines, DiffLine{class, line})
	}
	return lines, left
}

// nearMisses are the trials that beat the incumbent of their time but for a gate or limit, best first.
func (g *gathering) nearMisses() []NearMiss {
	var list []NearMiss
	children := childrenOf(g.trials)
	for _, t := range g.trials {
		if !t.NearMiss(g.reg.Score) {
			continue
		}
		m := NearMiss{ID: t.ID.String(), Role: t.Proposal.Role, Hypothesis: short(t.Proposal.Hypothesis, mostCell), Status: string(t.Status), Score: g.scoreOf(t), Gain: g.gainOf(t)}
		for _, margin := range t.Missed() {
			m.Missed = append(m.Missed, margin.Bound.Name+" "+margin.By())
		}
		for _, child := range children[t.ID] {
			m.Tried++
			if child.Status == research.StatusKeep {
				m.Repaired = append(m.Repaired, child.ID.String())
			}
		}
		list = append(list, m)
	}
	return list
}
