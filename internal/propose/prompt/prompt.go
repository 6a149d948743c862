// Package prompt renders a brief as the text that a specialist reads, inside a byte budget per
// section, and holds the words in which prompt and tools speak of trials and margins.
//
// It is pure: the same brief gives the same bytes. It shows what a brief holds and never asks
// for more, so that its cost does not grow with the history. Start reading at [Render].
package prompt

import (
	"strings"

	"mendel/internal/research"
)

// A Prompt is what one session reads before it acts.
type Prompt struct {
	System []Section
	User   []Section
}

// A Section is one part of a prompt with the bytes that it may use.
type Section struct {
	Name   string
	Text   string // ends with a line break
	Budget int    // bytes; len(Text) is never more
	// Shared marks text that is the same for every role and session of a run. It stands first,
	// so that a provider can cache everything up to its end.
	Shared bool
}

// The budget of each section, in bytes.
const (
	rulesBudget       = 8 << 10
	knowledgeBudget   = 32 << 10
	roleBudget        = 8 << 10
	standBudget       = 1 << 10
	leaderboardBudget = 4 << 10
	lineageBudget     = 8 << 10
	nearMissBudget    = 4 << 10
	marginsBudget     = 2 << 10
	recentBudget      = 4 << 10
	banlistBudget     = 4 << 10
	saturationBudget  = 512
	crashBudget       = 1 << 10
	taskBudget        = 2 << 10
)

// Render writes the prompt of one session.
func Render(b research.Brief) Prompt {
	p := Prompt{
		System: []Section{
			{Name: "rules", Text: rules(b), Budget: rulesBudget, Shared: true},
			{Name: "knowledge", Text: knowledge(b), Budget: knowledgeBudget, Shared: true},
			{Name: "role", Text: role(b), Budget: roleBudget},
		},
		User: []Section{{Name: "where we stand", Text: stand(b), Budget: standBudget}},
	}
	if h := b.History; h != nil && b.Arm.Lineage {
		p.User = append(p.User,
			Section{Name: "leaderboard", Text: leaderboard(b, *h), Budget: leaderboardBudget},
			Section{Name: "lineage", Text: lineage(b, *h), Budget: lineageBudget},
			Section{Name: "near misses", Text: nearMisses(b, *h), Budget: nearMissBudget},
			Section{Name: "margins", Text: margins(b, *h), Budget: marginsBudget},
			Section{Name: "recent activity", Text: recent(b, *h), Budget: recentBudget},
			Section{Name: "banlist", Text: banlist(b, *h), Budget: banlistBudget},
			Section{Name: "saturation", Text: saturation(b, *h), Budget: saturationBudget},
			Section{Name: "last crash", Text: lastCrash(*h), Budget: crashBudget},
		)
	}
	p.User = append(p.User, Section{Name: "your session", Text: yourSession(b), Budget: taskBudget})
	p.System, p.User = written(p.System), written(p.User)
	return p
}

// written drops the sections that have nothing to say.
func written(sections []Section) []Section {
	kept := sections[:0]
	for _, s := range sections {
		if s.Text != "" {
			kept = append(kept, s)
		}
	}
	return kept
}

// SharedText is the first part of the system prompt, the same bytes for every role.
func (p Prompt) SharedText() string {
	return join(p.System, func(s Section) bool { return s.Shared })
}

// RoleText is the rest of the system prompt.
func (p Prompt) RoleText() string { return join(p.System, func(s Section) bool { return !s.Shared }) }

// UserText is the message that opens the session.
func (p Prompt) UserText() string { return join(p.User, func(Section) bool { return true }) }

// String is the whole prompt, as it is stored with its session.
func (p Prompt) String() string { return p.SharedText() + "\n" + p.RoleText() + "\n" + p.UserText() }

func join(sections []Section, want func(Section) bool) string {
	var texts []string
	for _, s := range sections {
		if want(s) {
			texts = append(texts, s.Text)
		}
	}
	return strings.Join(texts, "\n")
}
