package task

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"mendel/internal/research"
)

// constant is a number that a Python file gives a name at its top level, in capitals as is the
// custom for what one tunes: LEARNING_RATE = 3e-4.
var constant = regexp.MustCompile(`(?m)^([A-Z][A-Z0-9_]*)[ \t]*(?::[ \t]*(?:int|float)[ \t]*)?=[ \t]*([0-9][0-9_]*(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?)[ \t]*(?:#.*)?$`)

// maxGuessedKnobs bounds what is guessed: more than this is hardly all worth tuning.
const maxGuessedKnobs = 40

// guessKnobs takes named constants of the editable files for knobs, so that the search has
// something to turn before anyone has declared it. The range is a factor of four each way.
func (p *fromPlan) guessKnobs(files []File) {
	names := make(map[string]bool)
	for _, f := range files {
		role := p.roleOf(f.Path)
		if role == "" || !strings.HasSuffix(f.Path, ".py") {
			continue
		}
		text := string(f.Data)
		for _, m := range constant.FindAllStringSubmatch(text, -1) {
			k, ok := guessKnob(m[1], m[2])
			k.Place = research.Place{File: f.Path, Pattern: fmt.Sprintf(`^%s[ \t]*(?::[^=\n]*)?=[ \t]*([^\s#]+)`, m[1])}
			once := len(regexp.MustCompile("(?m)"+k.Place.Pattern).FindAllStringIndex(text, 2)) == 1
			if !ok || !once || names[k.Name] || len(p.Knobs) == maxGuessedKnobs {
				continue
			}
			names[k.Name] = true
			k.Role = role
			p.Knobs = append(p.Knobs, k)
		}
	}
}

func (p *fromPlan) roleOf(path string) string {
	for _, r := range p.Roles {
		if matchAny([]string{r.Glob}, path) {
			return r.ID
		}
	}
	return ""
}

// guessKnob makes a knob of a positive constant. Seeds are not for tuning.
func guessKnob(name, value string) (research.Knob, bool) {
	v, err := strconv.ParseFloat(strings.ReplaceAll(value, "_", ""), 64)
	if err != nil || v <= 0 || strings.Contains(name, "SEED") || strings.Contains(value, "_") {
		return research.Knob{}, false
	}
	const reach = 4
	k := research.Knob{Name: strings.ToLower(name), Type: research.FloatKnob, Scale: "log"}
	low, high := v/reach, v*reach
	if !strings.ContainsAny(value, ".eE") {
		k.Type, low, high = research.IntKnob, float64(max(1, int(v)/reach)), float64(int(v)*reach)
	}
	k.Min, k.Max = &low, &high
	return k, true
}
