package task

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"mendel/internal/research"
)

const (
	defaultCheckTimeout = research.Duration(20 * time.Second)
	defaultMaxFrame     = research.Bytes(64 << 20)
	longestPhase        = research.Duration(14 * 24 * time.Hour)
)

func (l *loader) phases() {
	if l.doc.has("phases") && len(l.raw.Phases) == 0 {
		l.fail("phases", "add at least one: `- {name: train, run: [python3, train.py], budget: 60s}`", "phases: there is nothing to measure")
	}
	seen := map[string]bool{}
	for i, raw := range l.raw.Phases {
		at := fmt.Sprintf("phases[%d]", i)
		if l.given(at+".name", raw.Name) {
			switch {
			case !phaseName.MatchString(raw.Name):
				l.fail(at+".name", "write lower-case letters, digits, - and _", "%q is not a phase's name", raw.Name)
			case raw.Name == ForEvaluator || raw.Name == ForCertifier:
				l.fail(at+".name", "call it evaluate, for example", "phases: %q already names a reader of data", raw.Name)
			case seen[raw.Name]:
				l.fail(at+".name", "give each phase a name of its own", "phases: there are two phases named %q", raw.Name)
			}
			seen[raw.Name] = true
		}
		for j, part := range raw.Parts {
			where := fmt.Sprintf("%s.parts[%d].name", at, j)
			if l.given(where, part.Name) && (seen[part.Name] || !phaseName.MatchString(part.Name)) {
				l.fail(where, "give it a name of its own, in lower-case letters, digits, - and _", "%q is taken, or is not a part's name", part.Name)
			}
			seen[part.Name] = true
		}
		l.task.Phases = append(l.task.Phases, l.phase(at, raw))
	}
}

func (l *loader) phase(at string, raw phaseSection) Phase {
	p := Phase{
		Name: raw.Name, Run: raw.Run, Trusted: raw.Trusted, Evaluator: raw.Evaluator, Subject: raw.Subject, Once: raw.Once,
		Timeout: duration(raw.Timeout), Budget: duration(raw.Budget), Grace: duration(raw.Grace), KillAfter: duration(raw.KillAfter),
		OnFail: research.Outcome(orDefault(raw.OnFail, failOutcome(research.Crash))), OnOverrun: research.Outcome(raw.OnOverrun),
		MaxFrame: defaultMaxFrame, Env: plain(raw.Env),
	}
	l.variables(at+".env", raw.Env)
	l.phaseCommands(at, raw)
	l.phaseTimes(at, &p)
	if raw.MaxFrame != nil {
		p.MaxFrame = *raw.MaxFrame
		if p.MaxFrame < 1<<10 || p.MaxFrame > 1<<30 {
			l.fail(at+".max_frame", "", "%s.max_frame: %d is not between 1KiB and 1GiB", at, p.MaxFrame)
		}
	}
	for i := range raw.Parts {
		part := l.part(fmt.Sprintf("%s.parts[%d]", at, i), i, raw.Parts[i])
		p.Parts = append(p.Parts, part)
		p.KillAfter += part.KillAfter
		most := (part.Budget + part.Grace).Std().Seconds()
		l.task.Bounds = append(l.task.Bounds, research.Bound{
			Name: part.Name, Metric: "wall(" + part.Name + ")", Unit: "s", Max: &most, Outcome: part.OnOverrun,
		})
	}
	if p.Budget > 0 {
		most := (p.Budget + p.Grace).Std().Seconds()
		l.task.Bounds = append(l.task.Bounds, research.Bound{
			Name: p.Name, Metric: "wall(" + p.Name + ")", Unit: "s", Max: &most, Outcome: p.OnOverrun,
		})
	}
	return p
}

func (l *loader) phaseCommands(at string, raw phaseSection) {
	switch {
	case l.doc.has(at+".run") && (l.doc.has(at+".evaluator") || l.doc.has(at+".subject")):
		l.fail(at+".run", "keep `run`, or `evaluator` and `subject`", "%s: a phase either runs the recipe or questions it", at)
	case l.doc.has(at + ".run"):
		if raw.Trusted && l.raw.Evaluator == nil {
			l.fail(at+".trusted", "add `evaluator: {dir: evaluator}`, or remove `trusted`", "%s: a trusted phase runs the evaluator's code, and the task has none", at)
		}
		l.command(at+".run", raw.Run, raw.Trusted)
	case l.doc.has(at+".evaluator") && l.doc.has(at+".subject"):
		if l.raw.Evaluator == nil {
			l.fail(at+".evaluator", "add `evaluator: {dir: evaluator}`", "%s: the task has no evaluator's directory", at)
		}
		if raw.Once {
			l.fail(at+".once", "remove it", "%s: a phase with an evaluator runs for each seed, because each seed has its own artifact", at)
		}
		l.command(at+".evaluator", raw.Evaluator, true)
		l.command(at+".subject", raw.Subject, false)
	case l.doc.has(at + ".evaluator"):
		l.fail(at+".evaluator", "add `subject: [python3, …]`, the recipe's command that answers", "%s: nobody answers the evaluator", at)
	case l.doc.has(at + ".subject"):
		l.fail(at+".subject", `add `+"`evaluator: [python3, \"{evaluator}/score.py\"]`", "%s: nobody questions the subject", at)
	default:
		l.fail(at, "add `run: [python3, train.py]`, or `evaluator` and `subject`", "%s (%s) does nothing", at, raw.Name)
	}
}

func (l *loader) phaseTimes(at string, p *Phase) {
	for key, d := range map[string]research.Duration{"timeout": p.Timeout, "budget": p.Budget, "kill_after": p.KillAfter} {
		if l.doc.has(at+"."+key) && (d <= 0 || d > longestPhase) {
			l.fail(at+"."+key, "", "%s.%s: %s is not between 0 and 14 days", at, key, d.Std())
		}
	}
	switch {
	case l.doc.has(at + ".parts"):
		for _, key := range []string{"budget", "timeout", "grace", "kill_after", "on_overrun", "evaluator", "trusted", "once"} {
			if l.doc.has(at + "." + key) {
				l.fail(at+"."+key, "remove it: each part has its own budget, and only a phase that runs the recipe for each seed has parts", "%s has parts and %s", at, key)
			}
		}
	case l.doc.has(at+".budget") && l.doc.has(at+".timeout"):
		l.fail(at+".timeout", "keep one: a budget makes a long run an over-run, a time-out makes it a failure", "%s has both a budget and a time-out", at)
	case l.doc.has(at + ".budget"):
		otherwise := research.TrainBudgetOverrun
		if p.Evaluator != nil {
			otherwise = research.EvalBudgetOverrun
		}
		p.OnOverrun = orDefault(p.OnOverrun, otherwise)
		tolerated := p.Budget + p.Grace
		p.KillAfter = orDefault(p.KillAfter, tolerated)
		if p.KillAfter < tolerated {
			l.fail(at+".kill_after", fmt.Sprintf("write at least %s, or leave it out", tolerated.Std()), "%s.kill_after: %s is before budget and grace are over", at, p.KillAfter.Std())
		}
	case l.doc.has(at + ".timeout"):
		for _, key := range []string{"grace", "on_overrun", "kill_after"} {
			if l.doc.has(at + "." + key) {
				l.fail(at+"."+key, "replace the time-out by a budget, or remove it", "%s.%s goes with a budget, and this phase has a time-out", at, key)
			}
		}
		p.KillAfter = p.Timeout
	default:
		l.fail(at, "add `budget: 60s` (running longer is an over-run) or `timeout: 60s` (running longer is a failure)", "%s (%s) could run for ever", at, p.Name)
	}
}

// part reads one share of a phase's time.
func (l *loader) part(at string, i int, raw partSection) Part {
	p := Part{
		Name: raw.Name, From: raw.From, Budget: duration(raw.Budget), Grace: duration(raw.Grace), KillAfter: duration(raw.KillAfter),
		OnOverrun: research.Outcome(orDefault(raw.OnOverrun, overrunOutcome(research.TrainBudgetOverrun))),
	}
	if l.doc.has(at+".budget") && (p.Budget <= 0 || p.Budget > longestPhase) {
		l.fail(at+".budget", "", "%s.budget: %s is not between 0 and 14 days", at, p.Budget.Std())
	}
	tolerated := p.Budget + p.Grace
	if p.KillAfter = orDefault(p.KillAfter, tolerated); p.KillAfter < tolerated {
		l.fail(at+".kill_after", fmt.Sprintf("write at least %s, or leave it out", tolerated.Std()), "%s.kill_after: %s is before budget and grace are over", at, p.KillAfter.Std())
	}
	if (i == 0) != (raw.From == "") {
		l.fail(at, "the first part begins with the process and has no `from`; each later one has the line that begins it", "%s: it is not said where %q begins", at, raw.Name)
	}
	if _, err := regexp.Compile(raw.From); err != nil {
		l.fail(at+".from", "Go's syntax of regular expressions holds; use single quotes in YAML so that \\ stays", "%s.from: %v", at, err)
	}
	return p
}

func duration(d *research.Duration) research.Duration {
	if d == nil {
		return 0
	}
	return *d
}

// toolNames are taken by the tools that every session has.
var toolNames = []string{
	"read_file", "edit_file", "list_files", "search_files", "bash", "read_trial", "diff_trials", "list_trials",
	"rebase_to", "read_knowledge", "submit_trial", "await_trial",
}

func (l *loader) checks() {
	seen := map[string]bool{}
	for i, raw := range l.raw.Checks {
		at := fmt.Sprintf("checks[%d]", i)
		if l.given(at+".name", raw.Name) {
			switch {
			case !snakeName.MatchString(raw.Name) || len(raw.Name) > 60:
				l.fail(at+".name", "write lower-case letters, digits and _: specialists call it by this name", "%q is not a check's name", raw.Name)
			case slices.Contains(toolNames, raw.Name):
				l.fail(at+".name", "choose another name", "checks: every session already has a tool named %q", raw.Name)
			case seen[raw.Name]:
				l.fail(at+".name", "give each check a name of its own", "checks: there are two checks named %q", raw.Name)
			}
			seen[raw.Name] = true
		}
		c := Check{Name: raw.Name, About: raw.About, Run: raw.Run, Trusted: raw.Trusted, Timeout: defaultCheckTimeout, OnFail: research.Outcome(raw.OnFail)}
		if raw.Timeout != nil {
			c.Timeout = *raw.Timeout
			if c.Timeout <= 0 || c.Timeout > research.Duration(10*time.Minute) {
				l.fail(at+".timeout", "checks are free, so they must be short", "%s.timeout: %s is not between 0 and 10 minutes", at, c.Timeout.Std())
			}
		}
		if raw.Trusted && l.raw.Evaluator == nil {
			l.fail(at+".trusted", "add `evaluator: {dir: evaluator}`, or remove `trusted`", "%s: a trusted check runs the evaluator's code, and the task has none", at)
		}
		l.command(at+".run", raw.Run, raw.Trusted)
		l.task.Checks = append(l.task.Checks, c)
	}
}

var placeholder = regexp.MustCompile(`^\{(evaluator|recipe)\}/(.+)$`)

// command checks that a command can be found: its program is allowed, and the files that it
// names are there. A trusted one works in the evaluator's directory, others in the recipe's.
func (l *loader) command(at string, argv []string, trusted bool) {
	if len(argv) == 0 {
		if l.doc.has(at) {
			l.fail(at, "write a list: [python3, train.py]", "%s is empty", at)
		}
		return
	}
	l.program(at+"[0]", argv[0], trusted)
	scriptSeen := strings.HasSuffix(argv[0], ".py")
	for i, arg := range argv {
		where := fmt.Sprintf("%s[%d]", at, i)
		if strings.Contains(arg, "{evaluator}") && !trusted {
			l.fail(where, "let the evaluator, or a check with `trusted: true`, run it", "%s: the recipe's processes never see the evaluator's files", at)
			continue
		}
		if m := placeholder.FindStringSubmatch(arg); m != nil {
			l.commandFile(where, m[2], m[1] == "evaluator")
			continue
		}
		script := strings.HasSuffix(arg, ".py") || strings.HasSuffix(arg, ".sh")
		if script && !scriptSeen && i > 0 && !strings.HasPrefix(arg, "-") && !strings.ContainsAny(arg, "{=* ") {
			scriptSeen = true
			l.commandFile(where, arg, trusted)
		}
	}
}

func (l *loader) program(at, name string, trusted bool) {
	env := l.task.Environment
	switch {
	case name == "" || strings.HasPrefix(name, "{"):
	case path.IsAbs(name):
		l.fail(at, "write the bare name, and list it in environment.programs", "%s: %s is an absolute path, which other machines do not have", at, name)
	case strings.Contains(name, "/"):
		l.commandFile(at, name, trusted)
	case name == "python3":
		if env.Python == nil {
			l.fail(at, "add `environment: {python: {packages: []}}`", "%s: the environment has no Python", at)
		}
	case name == "python":
		l.fail(at, "write python3: it stands for the interpreter of the site", "%s: %q is not a program of the environment", at, name)
	case !slices.Contains(env.Programs, name):
		l.fail(at, fmt.Sprintf("add it: `environment: {programs: [%s]}`", name), "%s: %q is not a program of the environment", at, name)
	}
}

// commandFile reports a file of a command that is not there.
func (l *loader) commandFile(at, name string, ofEvaluator bool) {
	if ofEvaluator {
		if l.task.Evaluator.Dir != "" && !fileExists(l.task.Evaluator.Dir, name) {
			l.fail(at, "create it there, or correct the name", "%s: the evaluator's directory has no %s", at, name)
		}
		return
	}
	clean := path.Clean(name)
	if len(l.files) > 0 && !slices.Contains(l.fileNames(), clean) {
		hint := "create it there, or correct the name"
		if near := didYouMean(clean, l.fileNames()); near != "" {
			hint = near
		}
		l.fail(at, hint, "%s: the recipe has no %s", at, clean)
	}
}
