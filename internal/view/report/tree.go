package report

import (
	"fmt"
	"html/template"
	"math"
	"slices"

	"mendel/internal/research"
)

// mostColumns is how many trials with children the tree draws; of more, the newest are left out, and
// the caption says so.
const mostColumns = 60

// tree draws who descends from whom: each trial that was kept or built upon has a column, an arc leads
// to it from its parent, and below it stand its children that led to nothing. What leads from the
// baseline to the incumbent is drawn strong.
func tree(trials []research.Trial, path map[research.TrialID]bool, score research.ScoreRule) (svg template.HTML, left int) {
	children := childrenOf(trials)
	var nodes []research.Trial
	for _, t := range trials {
		if t.Status.Ranks() || len(children[t.ID]) > 0 {
			nodes = append(nodes, t)
		}
	}
	if len(nodes) > mostColumns {
		left = len(nodes) - mostColumns
		nodes = nodes[:mostColumns]
	}
	if len(nodes) == 0 {
		return "", 0
	}
	column := map[research.TrialID]int{}
	for i, n := range nodes {
		column[n.ID] = i
	}
	const margin, bottom = 30.0, 34.0
	p := &picture{width: 860}
	x := scale{0, float64(max(len(nodes)-1, 1)), margin, p.width - margin}
	gap := min((x.to-x.from)/float64(max(len(nodes)-1, 1)), 90)
	x.to = x.from + gap*float64(max(len(nodes)-1, 1))
	at := func(id research.TrialID) float64 { return x.at(float64(column[id])) }

	axis := 24.0
	for _, n := range nodes {
		if n.ID != research.Baseline {
			axis = max(axis, 24+arcHeight(at(n.ID)-at(n.Proposal.Parent)))
		}
	}
	wide := max(int(min(gap*0.8, 2*margin)/8), 1) // leaves side by side; those of the first column stay on the picture
	deepest := 0
	for _, n := range nodes {
		leaves := leavesOf(children[n.ID], column)
		deepest = max(deepest, (len(leaves)+wide-1)/wide)
	}
	p.height = axis + 30 + 8*float64(deepest) + bottom
	used := map[research.Status]bool{}
	for _, strong := range []bool{false, true} { // the strong ones above the others
		for _, n := range nodes {
			if on := path[n.ID] && path[n.Proposal.Parent]; n.ID != research.Baseline && on == strong {
				p.arc(at(n.Proposal.Parent), at(n.ID), axis, strong)
			}
		}
	}
	for _, n := range nodes {
		used[n.Status] = true
		p.mark(at(n.ID), axis, n.Status, !path[n.ID] && n.Status.Ranks(), trialTitle(n, score))
		if gap >= 22 || path[n.ID] && gap >= 14 {
			p.text(at(n.ID), axis+19, "middle", `font-size="10"`, n.ID.String())
		}
		leaves := leavesOf(children[n.ID], column)
		row := min(wide, len(leaves))
		for i, leaf := range leaves {
			used[leaf.Status] = true
			p.mark(at(n.ID)+8*(float64(i%wide)-float64(row-1)/2), axis+30+8*float64(i/wide), leaf.Status, false, trialTitle(leaf, score))
		}
	}
	p.legend(margin, p.height-8, used)
	return p.svg(fmt.Sprintf("Lineage: %d trials that were kept or built upon, and their children", len(nodes))), left
}

// childrenOf lists each trial's children, in the order of their ids.
func childrenOf(trials []research.Trial) map[research.TrialID][]research.Trial {
	children := map[research.TrialID][]research.Trial{}
	for _, t := range trials {
		if t.ID != research.Baseline {
			children[t.Proposal.Parent] = append(children[t.Proposal.Parent], t)
		}
	}
	return children
}

func leavesOf(children []research.Trial, column map[research.TrialID]int) []research.Trial {
	return slices.DeleteFunc(slices.Clone(children), func(t research.Trial) bool {
		_, own := column[t.ID]
		return own
	})
}

func arcHeight(span float64) float64 { return min(14+math.Abs(span)*0.22, 120) }

func (p *picture) arc(from, to, y float64, strong bool) {
	colour, width := grey, 1.0
	if strong {
		colour, width = blue, 2.2
	}
	h := arcHeight(to-from) * 4 / 3 // a cubic curve reaches three quarters of its control points' height
	p.add(`<path d="M%.1f %.1fC%.1f %.1f %.1f %.1f %.1f %.1f" fill="none" stroke="%s" stroke-width="%g"/>`,
		from, y, from+(to-from)*0.15, y-h, to-(to-from)*0.15, y-h, to, y, colour, width)
}
