package task

import (
	"fmt"
	"strings"
)

// notes tell the user what a task from a repository takes for granted, the gravest first.
func (p *fromPlan) notes() []string {
	notes := []string{
		"The score is SELF-REPORTED: it is the number that the recipe prints, and an agent that is rewarded for it can print any number. " +
			"Every table says so, and such a score can never be certified. To own the score, write an evaluator: `mendel task new NAME` shows one.",
	}
	if p.GuessedDirection {
		notes = append(notes, "A lower score is taken to be better. If not: `direction: maximize` in task.yaml.")
	}
	if p.Modified {
		notes = append(notes, "The copy holds changes that are not committed.")
	}
	notes = append(notes, "While it runs, the recipe's directory is read-only: let it write checkpoints and logs below $MENDEL_OUT. It has no network.")
	for _, path := range p.Untracked {
		notes = append(notes, fmt.Sprintf("Not copied, because git does not track it: %s. If the recipe reads it, uncomment its mount in the site file; the recipe then finds it at that absolute path.", path))
	}
	if n := len(p.Knobs); n > 0 {
		notes = append(notes, fmt.Sprintf("knobs.yaml lists %d constants in capitals that mutate may turn; look through it.", n))
	} else {
		notes = append(notes, "No constants in capitals were found at the top level of the editable files: before mutate can work, declare knobs (docs/task-format.md).")
	}
	notes = append(notes, p.pythonNotes()...)
	return notes
}

func (p *fromPlan) pythonNotes() []string {
	var notes []string
	switch {
	case p.Python != "":
		notes = append(notes, fmt.Sprintf("Python is %s: %s.", p.Python, p.PythonWhy))
	case len(p.Packages) > 0:
		notes = append(notes, fmt.Sprintf("No virtual environment was found; the first python3 that has %s is taken. Add what else is imported to environment.python.packages.", strings.Join(p.Packages, ", ")))
	default:
		notes = append(notes, "No virtual environment was found; the first python3 is taken. Add what is imported to environment.python.packages.")
	}
	for _, dir := range p.Remapped {
		notes = append(notes, fmt.Sprintf("The environment imports from %s (an editable install): in a trial it imports the trial's own files instead.", dir))
	}
	for _, dir := range p.Foreign {
		notes = append(notes, fmt.Sprintf("The environment imports from %s, outside the repository: the site file mounts it.", dir))
	}
	return notes
}
