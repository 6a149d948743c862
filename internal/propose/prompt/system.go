package prompt

import (
	"fmt"
	"strings"

	"mendel/internal/research"
)

// rules is who the specialist is, what a trial is judged by, and how to work: the same bytes
// for every role and session of a run.
func rules(b research.Brief) string {
	t := b.Task
	lines := []string{
		who(b.Arm.Agents),
		"You propose one change at a time: a hypothesis and an edit that tests it. A harness measures the edited recipe under fixed rules, and a fixed rule keeps or discards it. Nothing that you or the recipe say about the result counts; only the measurement does.",
		"",
		"# The task: " + shorten(t.Title, 200),
	}
	lines = append(lines, paragraphs(t.Summary)...)
	lines = append(lines, "", fmt.Sprintf("Score: %s. %s%s.", scoreWords(t.Score), seedWords(t.Seeds), phaseWords(t.Phases)))
	if t.Score.SelfReported {
		lines = append(lines, "The recipe reports this score itself; the harness does not establish it. Make the number true, not merely good.")
	}
	if len(t.Editable) > 0 {
		lines = append(lines, "Files that may change: "+shorten(strings.Join(t.Editable, ", "), 600)+". Everything else is there to be read.")
	}
	lines = append(lines, boundLines(t.Bounds)...)
	lines = append(lines, "", "# How a trial is judged")
	lines = append(lines, judgement(b)...)
	lines = append(lines, "", "# How to work")
	lines = append(lines, working(b)...)
	return section(rulesBudget, "# Your work", lines, "")
}

func who(plan research.AgentPlan) string {
	const loop = " a training recipe in a closed, measured loop."
	switch plan {
	case research.Specialists:
		return "You are one specialist of a team that improves" + loop
	case research.Generic:
		return "You are one of several agents that improve" + loop
	default:
		return "You improve" + loop
	}
}

func scoreWords(s research.ScoreRule) string {
	words := s.Metric
	if s.Unit != "" && s.Unit != s.Metric {
		words += " in " + s.Unit
	}
	if s.Direction == research.Maximize {
		return words + ", higher is better"
	}
	return words + ", lower is better"
}

func seedWords(n int) string {
	if n <= 1 {
		return "One measurement is one run in a cold process"
	}
	return fmt.Sprintf("One measurement repeats training and evaluation with %d seeds, each in a cold process, and takes the mean", n)
}

func phaseWords(phases []string) string {
	if len(phases) == 0 {
		return ""
	}
	return "; its phases are " + shorten(strings.Join(phases, ", "), 300)
}

func boundLines(bounds []research.Bound) []string {
	if len(bounds) == 0 {
		return nil
	}
	lines := []string{"", "Every valid trial stays inside these:"}
	for _, bound := range bounds {
		kind := "limit"
		if bound.Gate {
			kind = "gate"
		}
		lines = append(lines, fmt.Sprintf("- %s: %s; otherwise the trial is %s", kind, Bound(bound), bound.Outcome))
	}
	return lines
}

func judgement(b research.Brief) []string {
	lines := []string{"- keep: valid, and better than the incumbent, the best recipe kept so far. It becomes the incumbent, from which new sessions start."}
	if b.Task.Keep.Rule == research.Confirmed {
		lines[0] += " A trial that looks better by more than noise is measured again beside the incumbent first, and kept when that confirms it: luck keeps nothing."
	}
	return append(lines,
		"- discard: valid, not better. It costs a trial and still teaches: say in your hypothesis what you expect, so that a miss says something.",
		"- crash and preflight_crash: the recipe failed. The answer names the deepest line of the recipe that was involved.",
		"- any other status names the limit or gate that stopped the trial. Its score is kept where one was measured: a near miss, better than the incumbent but for one margin, is often the best start for the next trial.",
	)
}

func working(b research.Brief) []string {
	lines := []string{
		"- Read before you edit. Your workspace is a private copy; edits cost nothing until you submit.",
		"- Use the free checks before submit_trial: a trial that a check would have stopped is a wasted trial.",
		"- Change one thing for one reason. Write the hypothesis as a sentence that can turn out wrong: what changes, why it should help, what it may cost.",
		"- expected_delta is your honest forecast of score minus the incumbent's score, in the score's unit and with its sign. Forecasts are compared with results.",
		"- A recipe that was tried before, also with other comments, is refused free of charge.",
		"- Never make the score good by anything other than a better recipe: held-out data cannot be reached, and what a limit counts cannot be hidden.",
	}
	if docs := b.Task.OnDemand; len(docs) > 0 {
		names := make([]string, len(docs))
		for i, d := range docs {
			names[i] = d.Name
		}
		lines = append(lines, "- More is known about this recipe than is printed here: read_knowledge has "+shorten(strings.Join(names, ", "), 600)+".")
	}
	if b.Arm.Lineage {
		lines = append(lines, "- Every trial becomes part of the record, and the record is open to you: list_trials, read_trial and diff_trials show what was tried, and rebase_to starts your workspace from any trial of it.")
	}
	return lines
}

// knowledge is the pinned documents, each with an equal share of the budget; what a short one
// leaves is the next one's.
func knowledge(b research.Brief) string {
	docs := b.Task.Pinned
	var text strings.Builder
	free := knowledgeBudget
	for i, d := range docs {
		if share := free / (len(docs) - i); share > 512 {
			hint := ": read_knowledge has the whole"
			part := section(share-1, "# Knowledge: "+shorten(d.Name, 100), paragraphs(d.Text), hint)
			if text.Len() > 0 {
				part = "\n" + part
			}
			free -= len(part)
			text.WriteString(part)
		}
	}
	return text.String()
}

// role is the part of the system prompt that belongs to one role.
func role(b research.Brief) string {
	r := b.Role
	title := r.Title
	if title == "" {
		title = r.ID
	}
	lines := paragraphs(r.Preamble)
	if len(r.MayEdit) > 0 {
		lines = append(lines, "", "You may edit: "+shorten(strings.Join(r.MayEdit, ", "), 600)+". Other files can be read.")
	}
	if others := otherRoles(b); len(others) > 0 {
		lines = append(lines, "", "Others own the rest of the recipe; leave their share to them:")
		lines = append(lines, others...)
	}
	return section(roleBudget, "# Your role: "+shorten(title, 100), lines, "")
}

// otherRoles lists who else works on the recipe; a generalist shares it with nobody.
func otherRoles(b research.Brief) []string {
	if b.Arm.Agents != research.Specialists {
		return nil
	}
	var lines []string
	for _, r := range b.Roles {
		if r.ID != b.Role.ID {
			lines = append(lines, fmt.Sprintf("- %s: %s", r.ID, shorten(r.Title, 100)))
		}
	}
	return lines
}
