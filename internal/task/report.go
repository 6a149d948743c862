package task

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"mendel/internal/research"
)

// A Dryrun runs parts of a task on its starting recipe. What it cannot do is nil.
type Dryrun struct {
	// Check runs one check as a specialist would.
	Check func(ctx context.Context, t *Task, c Check) (CheckRun, error)
	// Baseline measures the starting recipe once, as trial 000 would be.
	Baseline func(ctx context.Context, t *Task) (research.Measurement, error)
}

// A CheckRun says how a check went.
type CheckRun struct {
	Check  string           `json:"check"`
	OK     bool             `json:"ok"`
	CPU    research.Seconds `json:"cpu_s"`
	Output string           `json:"output,omitempty"` // of one that failed
}

// A Report is what `mendel task check` found out about a package.
type Report struct {
	Dir      string                `json:"dir"`
	OK       bool                  `json:"ok"`
	Name     string                `json:"name,omitempty"`
	Title    string                `json:"title,omitempty"`
	Hash     research.Hash         `json:"hash,omitempty"`
	Facts    []string              `json:"facts,omitempty"` // one line each
	Error    string                `json:"error,omitempty"` // when there is no package to look at
	Hint     string                `json:"hint,omitempty"`  // to Error
	Problems Problems              `json:"problems,omitempty"`
	Warnings Problems              `json:"warnings,omitempty"`
	Pending  string                `json:"pending,omitempty"` // what could not be looked at, and what to type
	Checks   []CheckRun            `json:"checks,omitempty"`
	Baseline *research.Measurement `json:"baseline,omitempty"`
}

// Inspect validates the package in dir and, when it is valid, tries what dry can do. Of a recipe
// that is someone else's it takes what fetch finds; fetch may be nil.
func Inspect(ctx context.Context, dir string, fetch func(context.Context, *Task) (*Task, error), dry Dryrun) Report {
	r := Report{Dir: dir}
	t, err := Load(dir)
	if err == nil && fetch != nil {
		t, err = fetch(ctx, t)
	}
	if err != nil {
		var problems Problems
		if errors.As(err, &problems) {
			r.Problems = problems
		} else {
			r.Error, r.Hint = err.Error(), research.Hint(err)
		}
		return r
	}
	r.OK, r.Name, r.Title, r.Hash, r.Facts, r.Warnings = true, t.Name, t.Title, t.Hash, facts(t), t.Warnings
	if t.NeedsRecipe() {
		missing := t.Upstream.missing()
		r.Pending = fmt.Sprintf("not checked, because %v: the recipe itself, what is editable, knobs, checks and baseline. %s", missing, research.Hint(missing))
		return r
	}
	if dry.Check != nil {
		for _, c := range t.Checks {
			run, err := dry.Check(ctx, t, c)
			if err != nil {
				r.OK, r.Error, r.Hint = false, fmt.Sprintf("check %s could not run: %v", c.Name, err), research.Hint(err)
				return r
			}
			run.Check = c.Name
			if r.OK && !run.OK {
				r.OK, r.Error = false, fmt.Sprintf("the recipe does not pass %s, which every trial would begin with", c.Name)
				if c.OnFail == "" {
					r.Error = fmt.Sprintf("the recipe does not pass %s, a tool of its specialists", c.Name)
				}
				r.Hint = "mend the recipe where the output above says, or the command in `checks` of " + fileName
			}
			r.Checks = append(r.Checks, run)
		}
	}
	if dry.Baseline != nil && r.OK {
		m, err := dry.Baseline(ctx, t)
		if err != nil {
			r.OK, r.Error, r.Hint = false, fmt.Sprintf("the baseline could not be measured: %v", err), research.Hint(err)
			return r
		}
		r.Baseline, r.OK = &m, m.Outcome == research.Valid
		if !r.OK {
			r.Error, r.Hint = "a run would refuse to start from this recipe", "mend it where the lines above say, or the limit that it misses in "+fileName
		}
	}
	return r
}

// facts sum up a task, so that its author sees what was understood.
func facts(t *Task) []string {
	score := fmt.Sprintf("score      %s, %s", quantityName(t.Score.Metric, t.Score.Unit), t.Score.Direction)
	if t.Score.SelfReported {
		score += " — SELF-REPORTED by the recipe"
	}
	lines := []string{score}
	for _, b := range t.Bounds {
		kind, sign, most := "limit", "≤", b.Max
		if b.Gate {
			kind = "gate"
		}
		if b.Min != nil {
			sign, most = "≥", b.Min
		}
		lines = append(lines, fmt.Sprintf("%-10s %s %s %s, else %s", kind, b.Name, sign, research.Quantity(*most, b.Unit), b.Outcome))
	}
	if u := t.Upstream; u.provides() {
		lines = append(lines, fmt.Sprintf("recipe     %s at %.12s, %d patch(es)", u.Repo, u.Commit, len(u.Patches)))
	}
	var roles, phases, data []string
	for _, r := range t.Roles {
		roles = append(roles, r.ID)
	}
	for _, p := range t.Phases {
		phases = append(phases, p.Name)
	}
	for _, d := range t.Data {
		data = append(data, fmt.Sprintf("%s → %s", d.Name, strings.Join(d.VisibleTo, ", ")))
	}
	lines = append(lines, "phases     "+strings.Join(phases, " → ")+fmt.Sprintf("; %d seed(s)", t.Seeds))
	if len(data) > 0 {
		lines = append(lines, "data       "+strings.Join(data, "; "))
	}
	knobs := map[string]int{}
	for _, k := range t.Knobs {
		knobs[k.Role]++
	}
	lines = append(lines, fmt.Sprintf("roles      %s; %d knob(s)", strings.Join(roles, ", "), len(t.Knobs)))
	var without []string
	for _, r := range roles {
		if knobs[r] == 0 {
			without = append(without, r)
		}
	}
	if len(t.Knobs) > 0 && len(without) > 0 {
		lines = append(lines, "           without a knob, so that mutate has nothing to turn: "+strings.Join(without, ", "))
	}
	return lines
}

func quantityName(name, unit string) string {
	if unit == "" {
		return name
	}
	return name + " in " + unit
}

// WriteText writes the report for a terminal.
func (r Report) WriteText(w io.Writer, colour bool) error {
	p := painter{colour}
	var b strings.Builder
	for _, problem := range r.Problems {
		b.WriteString(p.problem(r.Dir, problem, "error", red))
	}
	for _, problem := range r.Warnings {
		b.WriteString(p.problem(r.Dir, problem, "warning", yellow))
	}
	if r.Name != "" {
		fmt.Fprintf(&b, "%s  %s (%s)\n", p.paint(bold, r.Name), r.Title, r.Hash.Short())
		for _, f := range r.Facts {
			fmt.Fprintf(&b, "  %s\n", f)
		}
	}
	if r.Pending != "" {
		fmt.Fprintf(&b, "%s %s\n", p.paint(yellow, "note:"), r.Pending)
	}
	for _, c := range r.Checks {
		mark := p.paint(green, "ok    ")
		if !c.OK {
			mark = p.paint(red, "failed")
		}
		fmt.Fprintf(&b, "%s  check %s (%.2f s CPU)\n", mark, c.Check, float64(c.CPU))
		if !c.OK && strings.TrimSpace(c.Output) != "" {
			b.WriteString(indented(c.Output))
		}
	}
	if r.Baseline != nil {
		b.WriteString(r.baselineText(p))
	}
	if r.Error != "" {
		fmt.Fprintf(&b, "%s %s\n", p.paint(red, "error:"), r.Error)
		if r.Hint != "" {
			fmt.Fprintf(&b, "%s %s\n", p.paint(cyan, "hint:"), r.Hint)
		}
	}
	fmt.Fprintln(&b, r.summary(p))
	_, err := io.WriteString(w, b.String())
	return err
}

func (r Report) baselineText(p painter) string {
	m := r.Baseline
	var b strings.Builder
	mark := p.paint(green, "ok    ")
	if m.Outcome != research.Valid {
		mark = p.paint(red, "failed")
	}
	fmt.Fprintf(&b, "%s  baseline: %s in %.1f s, sandbox %s\n", mark, m.Outcome, float64(m.Wall), m.Sandbox.Level)
	if m.Reason != "" {
		b.WriteString(indented(m.Reason))
	}
	if m.Crash != nil && m.Crash.Exception != "" {
		b.WriteString(indented(m.Crash.Exception))
	}
	for _, name := range slices.Sorted(maps.Keys(m.Metrics)) {
		v := m.Metrics[name]
		fmt.Fprintf(&b, "        %s = %s\n", name, research.Quantity(v.Value, v.Unit))
	}
	for _, margin := range m.Margins {
		fmt.Fprintf(&b, "        %s: %s to spare\n", margin.Bound.Name, research.Quantity(margin.Slack, margin.Bound.Unit))
	}
	return b.String()
}

func (r Report) summary(p painter) string {
	switch n := len(r.Problems); {
	case n == 1:
		return p.paint(red, "1 problem") + " in " + r.Dir
	case n > 1:
		return p.paint(red, fmt.Sprintf("%d problems", n)) + " in " + r.Dir
	case !r.OK:
		return p.paint(red, "not ready: ") + r.Dir
	case r.Pending != "" && len(r.Warnings) == 0:
		return p.paint(green, "valid") + ", as far as can be said without the recipe"
	case len(r.Warnings) > 0:
		return p.paint(green, "valid") + fmt.Sprintf(", with %d warning(s)", len(r.Warnings))
	default:
		return p.paint(green, "valid")
	}
}

func indented(text string) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return "        " + strings.Join(lines, "\n        ") + "\n"
}

// A painter marks text with ANSI colours, or leaves it plain.
type painter struct{ colour bool }

const (
	bold   = "1"
	red    = "31"
	green  = "32"
	yellow = "33"
	cyan   = "36"
)

func (p painter) paint(code, text string) string {
	if !p.colour {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// problem names the file so that an editor or a terminal can open it.
func (p painter) problem(dir string, q Problem, word, code string) string {
	where := filepath.Join(dir, filepath.FromSlash(q.File))
	if q.Line > 0 {
		where = fmt.Sprintf("%s:%d:%d", where, q.Line, q.Col)
	}
	text := fmt.Sprintf("%s: %s %s\n", p.paint(bold, where), p.paint(code, word+":"), q.Message)
	if q.Excerpt != "" {
		text += q.Excerpt + "\n"
	}
	if q.Hint != "" {
		text += fmt.Sprintf("%s %s\n", p.paint(cyan, "  hint:"), q.Hint)
	}
	return text + "\n"
}
