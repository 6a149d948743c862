package task

import (
	"fmt"
	"math"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"mendel/internal/research"
)

// reservedRoles name agents that hold no role of the task.
var reservedRoles = []string{"generic", "single", "baseline"}

func (l *loader) roles() {
	if l.doc.has("roles") && len(l.raw.Roles) == 0 {
		l.fail("roles", "add at least one: `- {id: arch, title: Architecture, preamble: roles/arch.md, may_edit: [\"train.py\"]}`", "roles: nobody would work on the recipe")
	}
	seen := map[string]bool{}
	for i, raw := range l.raw.Roles {
		at := fmt.Sprintf("roles[%d]", i)
		if l.given(at+".id", raw.ID) {
			switch {
			case !phaseName.MatchString(raw.ID) || len(raw.ID) > 32:
				l.fail(at+".id", "write lower-case letters, digits, - and _", "%q is not a role's id", raw.ID)
			case slices.Contains(reservedRoles, raw.ID):
				l.fail(at+".id", "choose another id", "roles: %q has a meaning of its own", raw.ID)
			case seen[raw.ID]:
				l.fail(at+".id", "give each role an id of its own", "roles: there are two roles with the id %q", raw.ID)
			}
			seen[raw.ID] = true
		}
		l.given(at+".title", raw.Title)
		preamble, _ := l.text(at+".preamble", raw.Preamble)
		l.edits(at, raw)
		l.task.Roles = append(l.task.Roles, research.Role{ID: raw.ID, Title: raw.Title, Preamble: preamble, MayEdit: raw.MayEdit})
	}
}

// edits checks that a role's globs reach at least one editable file each.
func (l *loader) edits(at string, raw roleSection) {
	if l.doc.has(at+".may_edit") && len(raw.MayEdit) == 0 {
		l.fail(at+".may_edit", "name at least one editable file", "%s.may_edit is empty, so that the role could change nothing", at)
	}
	var editable []string
	for _, name := range l.fileNames() {
		if matchAny(l.task.Recipe.Editable, name) {
			editable = append(editable, name)
		}
	}
	for j, glob := range raw.MayEdit {
		where := fmt.Sprintf("%s.may_edit[%d]", at, j)
		if !l.glob(where, glob) || len(editable) == 0 {
			continue
		}
		if !slices.ContainsFunc(editable, func(f string) bool { return matchGlob(glob, f) }) {
			l.fail(where, known(glob, editable), "%s: %q reaches no editable file", where, glob)
		}
	}
}

func (l *loader) knowledge() {
	seen := map[string]bool{}
	read := func(at string, names []string) []research.Document {
		var documents []research.Document
		for i, name := range names {
			where := fmt.Sprintf("%s[%d]", at, i)
			text, ok := l.text(where, name)
			if !ok {
				continue
			}
			base := path.Base(name)
			if seen[base] {
				l.fail(where, "rename one: specialists ask for them by file name", "knowledge: there are two documents named %s", base)
			}
			seen[base] = true
			documents = append(documents, research.Document{Name: base, Text: text})
		}
		return documents
	}
	k := &l.task.Knowledge
	k.Pinned = read("knowledge.pinned", l.raw.Knowledge.Pinned)
	k.OnDemand = read("knowledge.on_demand", l.raw.Knowledge.OnDemand)
	const much = 48 << 10
	total := 0
	for _, d := range k.Pinned {
		total += len(d.Text)
	}
	if total > much {
		l.warn("knowledge.pinned", "move what is not needed in every session to on_demand", "the pinned knowledge has %d bytes, and every prompt carries it", total)
	}
}

func (l *loader) knobs() {
	if !l.doc.has("knobs") {
		return
	}
	file, ok := l.inside("knobs", l.raw.Knobs, false)
	if !ok {
		return
	}
	source, err := os.ReadFile(file)
	if err != nil {
		l.fail("knobs", "name a file", "knobs: %v", err)
		return
	}
	var raws []knobSection
	doc := decode(l.raw.Knobs, source, &raws)
	if doc.empty {
		doc.report(nil, "list at least one knob, or remove `knobs` from task.yaml", "the file is empty")
	}
	l.problems = append(l.problems, doc.problems...)
	rolesHold := !l.reported("roles") && !l.reported("recipe.editable")
	seen := map[string]bool{}
	for i, raw := range raws {
		at := fmt.Sprintf("[%d]", i)
		if seen[raw.Name] && raw.Name != "" {
			l.failIn(doc, at+".name", "give each knob a name of its own", "there are two knobs named %q", raw.Name)
		}
		seen[raw.Name] = true
		k := research.Knob{
			Name: raw.Name, Role: raw.Role, About: raw.About, Type: raw.Type, Min: raw.Min, Max: raw.Max,
			Scale: orDefault(string(raw.Scale), "linear"), Place: research.Place(raw.Place),
		}
		for _, c := range raw.Choices {
			k.Choices = append(k.Choices, string(c))
		}
		if raw.Step != nil {
			k.Step = *raw.Step
		}
		l.knob(doc, at, k, rolesHold)
		l.task.Knobs = append(l.task.Knobs, k)
	}
}

func (l *loader) knob(doc *document, at string, k research.Knob, rolesHold bool) {
	fail := func(key, hint, format string, args ...any) {
		l.failIn(doc, at+key, hint, "knob %s: %s", k.Name, fmt.Sprintf(format, args...))
	}
	l.knobRange(doc, at, k)
	role, ok := l.role(k.Role)
	if !ok && k.Role != "" && rolesHold {
		fail(".role", known(k.Role, l.roleIDs()), "there is no role %q", k.Role)
	}
	i := slices.IndexFunc(l.files, func(f File) bool { return f.Path == k.Place.File })
	switch {
	case k.Place.File == "" || len(l.files) == 0:
		return
	case i < 0:
		fail(".place.file", known(k.Place.File, l.fileNames()), "the recipe has no file %q", k.Place.File)
		return
	case ok && rolesHold && !l.task.MayEdit(role, k.Place.File):
		fail(".place.file", "give the knob to a role that may, or extend the role's may_edit", "role %s may not edit %s", k.Role, k.Place.File)
	}
	pattern := l.oneGroup(doc, at+".place.pattern", k.Place.Pattern)
	if pattern == nil || k.Place.Pattern == "" {
		return
	}
	matches := pattern.FindAllSubmatchIndex(l.files[i].Data, 3)
	switch {
	case len(matches) == 0:
		fail(".place.pattern", "compare it with the line in the file, and mind the spaces", "its pattern is not found in %s", k.Place.File)
	case len(matches) > 1:
		lines := make([]string, len(matches))
		for j, m := range matches {
			lines[j] = strconv.Itoa(1 + strings.Count(string(l.files[i].Data[:m[0]]), "\n"))
		}
		fail(".place.pattern", "make it more exact: begin with ^ and end with $, for example", "its pattern is found more than once in %s (lines %s)", k.Place.File, strings.Join(lines, ", "))
	case matches[0][2] < 0:
		fail(".place.pattern", "let the group always take part", "its pattern matches %s without its group", k.Place.File)
	default:
		l.knobValue(fail, k, string(l.files[i].Data[matches[0][2]:matches[0][3]]))
	}
}

func (l *loader) knobRange(doc *document, at string, k research.Knob) {
	fail := func(key, hint, format string, args ...any) {
		l.failIn(doc, at+key, hint, "knob %s: %s", k.Name, fmt.Sprintf(format, args...))
	}
	switch k.Type {
	case research.IntKnob, research.FloatKnob:
		switch {
		case k.Min == nil || k.Max == nil:
			fail("", "add `min` and `max`", "a number needs a range")
			return
		case *k.Min >= *k.Max:
			fail(".min", "", "min %v is not below max %v", *k.Min, *k.Max)
		case k.Scale == "log" && *k.Min <= 0:
			fail(".min", "write a positive min, or `scale: linear`", "a logarithmic scale begins above 0")
		}
		if doc.has(at+".step") && (k.Step <= 0 || k.Scale == "log" && k.Step <= 1) {
			fail(".step", "write a step above 0, or on a log scale a factor above 1", "a step of %v leads nowhere", k.Step)
		}
		if len(k.Choices) > 0 {
			fail(".choices", "remove it, or write `type: choice`", "a number has a range, not choices")
		}
	case research.ChoiceKnob:
		if len(k.Choices) < 2 {
			fail("", "add `choices: [a, b]`", "a choice needs at least two values")
		}
		for i, c := range k.Choices {
			if slices.Contains(k.Choices[:i], c) {
				fail(fmt.Sprintf(".choices[%d]", i), "", "the choice %q is listed twice", c)
			}
		}
	}
}

var (
	intText   = regexp.MustCompile(`^[+-]?[0-9]+(_[0-9]+)*$`)
	floatText = regexp.MustCompile(`^[+-]?([0-9][0-9_]*\.?[0-9_]*|\.[0-9][0-9_]*)([eE][+-]?[0-9]+)?$`)
)

// knobValue checks that the value that stands in the recipe is one that the knob can take.
func (l *loader) knobValue(fail func(key, hint, format string, args ...any), k research.Knob, text string) {
	bare := strings.ReplaceAll(text, "_", "")
	switch k.Type {
	case research.IntKnob, research.FloatKnob:
		v, err := strconv.ParseFloat(bare, 64)
		whole := k.Type == research.IntKnob
		if err != nil || math.IsInf(v, 0) || whole && !intText.MatchString(text) || !whole && !floatText.MatchString(text) {
			fail(".place.pattern", "let the group hold the bare number, without brackets, units or comments", "%q in %s is not a number of type %s", text, k.Place.File, k.Type)
			return
		}
		if k.Min != nil && k.Max != nil && (v < *k.Min || v > *k.Max) {
			fail("", "widen the range, or change the recipe", "the value %s in %s is outside %v … %v", text, k.Place.File, *k.Min, *k.Max)
		}
	case research.ChoiceKnob:
		if len(k.Choices) >= 2 && !slices.Contains(k.Choices, text) {
			fail(".choices", "write the choices exactly as they stand in the file, quotes included", "the value %s in %s is not among the choices", text, k.Place.File)
		}
	case research.BoolKnob:
		if text != "True" && text != "False" {
			fail(".place.pattern", "let the group hold True or False alone", "%q in %s is neither True nor False", text, k.Place.File)
		}
	}
}

func (l *loader) role(id string) (research.Role, bool) {
	i := slices.IndexFunc(l.task.Roles, func(r research.Role) bool { return r.ID == id })
	if i < 0 {
		return research.Role{}, false
	}
	return l.task.Roles[i], true
}

func (l *loader) roleIDs() []string {
	ids := make([]string, len(l.task.Roles))
	for i, r := range l.task.Roles {
		ids[i] = r.ID
	}
	return ids
}
