package report

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"mendel/internal/research"
	"mendel/internal/view/analysis"
	"mendel/internal/view/terminal"
)

// How much is shown of one text, in characters: models write some of them, and a page is to be read.
const (
	mostText  = 2000
	mostCell  = 400
	mostTitle = 160
)

// short is a text without what could change how it is shown, cut where it is too long for its place.
func short(text string, most int) string {
	text = terminal.Printable(text)
	n := 0
	for i := range text {
		if n++; n > most {
			return text[:i] + "…"
		}
	}
	return text
}

func (g *gathering) quantity(v float64) string { return research.Quantity(v, g.reg.Score.Unit) }

func (g *gathering) scoreOf(t research.Trial) string {
	if v, ok := t.Score(); ok {
		return g.quantity(v)
	}
	return "–"
}

// gainOf is the difference to the incumbent of the trial's time.
func (g *gathering) gainOf(t research.Trial) string {
	if t.Verdict == nil || t.Verdict.Difference == nil {
		return ""
	}
	return terminal.Signed(*t.Verdict.Difference, g.reg.Score.Unit)
}

// inNoise says whether a trial's difference is more than chance would make.
func (g *gathering) inNoise(t research.Trial) string {
	if t.Verdict == nil || t.Verdict.Difference == nil {
		return ""
	}
	floor, known := g.noise.Floor()
	switch {
	case !known:
		return ""
	case floor == 0:
		return "no noise"
	case g.noise.Inside(*t.Verdict.Difference):
		return "inside the noise floor"
	}
	return fmt.Sprintf("%.1f times the noise floor", math.Abs(*t.Verdict.Difference)/floor)
}

// headline is what was found, and how far it can be believed.
func (g *gathering) headline() string {
	a := g.analysis
	if a.Baseline == nil || a.Best == nil {
		return "The baseline has no valid measurement, so there is nothing to compare with."
	}
	if a.Best.Trial == a.Baseline.Trial {
		return fmt.Sprintf("Nothing better than the baseline (%s) was found in %s.", g.quantity(a.Baseline.Score), trialsText(a.Trials))
	}
	change := ""
	if a.Change != nil {
		change = fmt.Sprintf(" (%s %%)", terminal.Signed(math.Round(*a.Change*1e4)/100, ""))
	}
	text := fmt.Sprintf("%s went from %s to %s%s in %s, at trial %s", g.reg.Score.Metric, g.quantity(a.Baseline.Score), g.quantity(a.Best.Score),
		change, trialsText(a.Trials), a.Best.Trial)
	certificate, ofBest := g.ofBest()
	switch {
	case ofBest && certificate.Decision != research.Inconclusive:
		return text + fmt.Sprintf(". On data that the search never saw it is %s: %s.", certificate.Decision, certificate.Reason)
	case g.reg.NoiseKind == research.None:
		return text + ". The tree alone decides this score: there is no noise in it."
	case g.reg.Keep.Rule == research.Confirmed:
		return text + fmt.Sprintf(". Each step was confirmed against the incumbent of its time; the chance of any false one is at most %s.", research.Number(g.reg.Keep.Alpha))
	}
	return text + ". It is unconfirmed: the best of many noisy measurements looks better than it is."
}

func trialsText(n int) string {
	if n == 1 {
		return "1 trial"
	}
	return research.Number(float64(n)) + " trials"
}

// caveats are what a reader must know first.
func (g *gathering) caveats() (list []string) {
	if g.reg.Score.SelfReported {
		list = append(list, "The score is self-reported: the recipe printed it, and nothing but the recipe vouches for it.")
	}
	if g.reg.Imported != nil {
		list = append(list, "This run was imported from a record made elsewhere: there is no code in it, and nothing in it can be measured again.")
	}
	if g.reg.Unsandboxed {
		list = append(list, fmt.Sprintf("Recipes ran below the isolation that the task asks for (%s, wanted %s).", g.reg.Sandbox.Level, g.reg.SandboxRequire))
	}
	unconfined := 0
	for _, t := range g.trials {
		if t.Proposal.Confinement == "none" {
			unconfined++
		}
	}
	if unconfined > 0 {
		list = append(list, fmt.Sprintf("%s came from agents that nothing confined.", trialsText(unconfined)))
	}
	if g.analysis.Pending > 0 {
		list = append(list, fmt.Sprintf("The run goes on: %s not judged yet.", trialsText(g.analysis.Pending)))
	}
	return list
}

// asked is what was fixed before anything was measured.
func (g *gathering) asked() []Row {
	direction := "lower is better"
	if g.reg.Score.Direction == research.Maximize {
		direction = "higher is better"
	}
	rows := []Row{{"Score", strings.TrimSuffix(g.reg.Score.Metric+", "+g.reg.Score.Unit, ", ") + ", " + direction}}
	for _, b := range g.reg.Bounds {
		name, text := "Limit", ""
		if b.Gate {
			name = "Gate"
		}
		if b.Max != nil {
			text = fmt.Sprintf("%s at most %s", b.Name, research.Quantity(*b.Max, b.Unit))
		} else {
			text = fmt.Sprintf("%s at least %s", b.Name, research.Quantity(*b.Min, b.Unit))
		}
		rows = append(rows, Row{name, text + ", or " + string(b.Outcome)})
	}
	rows = append(rows, Row{"Agents", g.agentsText()}, Row{"Keep rule", g.ruleText()})
	if text := g.budgetText(); text != "" {
		rows = append(rows, Row{"Budget", text})
	}
	if c := g.reg.Certificate; c != nil {
		rows = append(rows, Row{"Certificate", fmt.Sprintf("planned: margin %s, %d pairs, alpha %s", g.quantity(c.Margin), c.N, research.Number(c.Alpha))})
	}
	return rows
}

func (g *gathering) agentsText() string {
	if g.reg.Imported != nil {
		names := make([]string, len(g.reg.Agents))
		for i, a := range g.reg.Agents {
			names[i] = a.Name
		}
		return "as recorded: " + strings.Join(names, ", ")
	}
	by := map[string][]string{}
	for _, a := range g.reg.Agents {
		by[a.Proposer] = append(by[a.Proposer], a.Name)
	}
	var parts []string
	for _, proposer := range slices.Sorted(maps.Keys(by)) {
		names := by[proposer]
		if len(names) > 12 {
			names = append(names[:11:11], "…")
		}
		parts = append(parts, fmt.Sprintf("%s (%s)", proposer, strings.Join(names, ", ")))
	}
	text := fmt.Sprintf("%s: %s", g.reg.Arm.Agents, strings.Join(parts, "; "))
	if !g.reg.Arm.Lineage {
		text += "; without access to history"
	}
	return text
}

func (g *gathering) ruleText() string {
	switch g.reg.Keep.Rule {
	case research.Strict:
		return "strict: any improvement is kept"
	case research.AsImported:
		return "not known: verdicts are the record's"
	case research.Confirmed:
		return fmt.Sprintf("confirmed: what looks better is measured again beside the incumbent; alpha %s for the whole run", research.Number(g.reg.Keep.Alpha))
	}
	return string(g.reg.Keep.Rule)
}

func (g *gathering) budgetText() string {
	var parts []string
	add := func(given bool, text string) {
		if given {
			parts = append(parts, text)
		}
	}
	add(g.budgets.Trials > 0, trialsText(g.budgets.Trials))
	add(g.budgets.Time > 0, g.budgets.Time.Std().String())
	add(g.budgets.NoImprovement > 0, g.budgets.NoImprovement.Std().String()+" without improvement")
	add(g.budgets.USD > 0, fmt.Sprintf("$%.2f", g.budgets.USD))
	add(g.budgets.Tokens > 0, research.Number(float64(g.budgets.Tokens))+" tokens")
	return strings.Join(parts, ", ")
}

func (g *gathering) found() []Row {
	a := g.analysis
	var rows []Row
	if n := g.noise; n != nil && n.N >= 2 {
		text := fmt.Sprintf("%s ± %s, mean and standard deviation of %d measurements", g.quantity(research.Significant(n.Mean, 5)), g.quantity(research.Significant(n.SD, 3)), n.N)
		rows = append(rows, Row{"Baseline", text})
		if floor, known := n.Floor(); known && floor > 0 {
			rows = append(rows, Row{"Noise floor", g.quantity(research.Significant(floor, 3)) + ": what chance alone puts between two measurements of one recipe, one time in twenty"})
		}
	}
	rows = append(rows, Row{"Improvements", fmt.Sprintf("%d of %s", a.Improvements, trialsText(a.Trials))})
	rows = append(rows, append(g.confirmations(), g.certified()...)...)
	if a.CrossRole.Of > 0 {
		rows = append(rows, Row{"Built on another role's keep", fmt.Sprintf("%d of the %d keeps whose parent is not the baseline", a.CrossRole.N, a.CrossRole.Of)})
	}
	if a.EffectiveClusters > 0 {
		rows = append(rows, Row{"Diversity", fmt.Sprintf("%.1f effective clusters of proposals, the largest %.1f %%, near-duplicates %.1f %%",
			a.EffectiveClusters, 100*a.LargestClusterShare, 100*a.NearDuplicateShare)})
	}
	if text := g.forecastText(a.Forecasts); text != "" {
		rows = append(rows, Row{"Forecasts", text})
	}
	return rows
}

func (g *gathering) forecastText(f analysis.Forecasts) string {
	if f.SignAgreement == nil || f.Bias == nil {
		return ""
	}
	return fmt.Sprintf("the sign was right in %.0f %% of %d; on average measured %s and expected %s", 100**f.SignAgreement, f.N,
		terminal.Signed(research.Significant(*f.Measured, 3), g.reg.Score.Unit), terminal.Signed(research.Significant(*f.Expected, 3), g.reg.Score.Unit))
}

// roles are the outcome profiles, and the statuses that occur in them.
func (g *gathering) roles() (statuses []research.Status, rows []RoleRow) {
	for _, s := range research.Statuses() {
		if g.analysis.Status[s] > 0 {
			statuses = append(statuses, s)
		}
	}
	for _, r := range g.analysis.Roles {
		row := RoleRow{Role: r.Role, Trials: r.Trials, Improvements: r.Improvements}
		for _, s := range statuses {
			text := ""
			if n := r.Status[s]; n > 0 {
				text = fmt.Sprintf("%d (%.0f %%)", n, 100*r.Shares[s])
			}
			row.Counts = append(row.Counts, text)
		}
		if r.Gain > 0 {
			row.Gain = g.quantity(research.Significant(r.Gain, 4))
		}
		if f := r.Forecasts; f.SignAgreement != nil {
			row.Forecast = fmt.Sprintf("%.0f %% of %d", 100**f.SignAgreement, f.N)
		}
		rows = append(rows, row)
	}
	return statuses, rows
}

func (g *gathering) costs() []Row {
	a := g.analysis
	var rows []Row
	if s := g.spend.Supervised; s > 0 {
		rows = append(rows, Row{"Supervised", s.Std().Round(time.Second).String()})
	}
	rows = append(rows, Row{"Trials", fmt.Sprintf("%s of measuring", research.Seconds(a.Costs.TrialSeconds).Std().Round(time.Second))})
	if g.spend.LostWall > 0 {
		rows = append(rows, Row{"Lost", g.spend.LostWall.Std().Round(time.Second).String() + " with attempts that left no result"})
	}
	if g.spend.CheckCPU > 0 {
		rows = append(rows, Row{"Free checks", g.spend.CheckCPU.Std().Round(time.Second).String() + " of processor time"})
	}
	if g.spend.ModelCalls > 0 {
		unknown := ""
		if g.spend.Unpriced > 0 {
			unknown = fmt.Sprintf(", and %d calls of unknown price", g.spend.Unpriced)
		}
		rows = append(rows, Row{"Models", fmt.Sprintf("$%.2f and %s tokens in %d calls%s", a.Costs.USD, research.Number(float64(a.Costs.Tokens)), g.spend.ModelCalls, unknown)})
	}
	if p := a.Costs.PerImprovement; p != nil {
		text := fmt.Sprintf("%.1f trials, %s of measuring", p.Trials, research.Seconds(p.TrialSeconds).Std().Round(time.Second))
		if p.USD > 0 {
			text += fmt.Sprintf(", $%.2f", p.USD)
		}
		rows = append(rows, Row{"Each improvement", text})
	}
	if h := a.Pace.PerHour; h != nil {
		rows = append(rows, Row{"Pace", fmt.Sprintf("%.1f trials an hour", *h)})
	}
	return rows
}

// trust says what the figures rest on.
func (g *gathering) trust() []Row {
	source := "the task's evaluator and the harness's own clock and sizes"
	if g.reg.Score.SelfReported {
		source = "the recipe's own output: self-reported"
	}
	rows := []Row{{"Scores come from", source}}
	if g.reg.Sandbox.Level != "" {
		rows = append(rows, Row{"Sandbox", fmt.Sprintf("%s (memory: %s, processes: %s, disk: %s)", g.reg.Sandbox.Level, g.reg.Sandbox.Memory, g.reg.Sandbox.Processes, g.reg.Sandbox.Disk)})
	}
	if g.reg.Environment != "" {
		rows = append(rows, Row{"Environment", g.reg.Environment})
	}
	for _, row := range []Row{
		{"Task", string(g.reg.Task.Hash)}, {"Evaluator", string(g.reg.Task.Evaluator)}, {"Chain's head", g.head}, {"Written by", "mendel " + g.reg.Mendel},
	} {
		if row.Text != "" {
			rows = append(rows, row)
		}
	}
	return rows
}

func (g *gathering) again() []string {
	commands := append([]string{fmt.Sprintf("mendel verify %s --head %s", g.dir, g.head)}, g.verifications()...)
	if g.incumbent != nil && g.incumbent.ID != research.Baseline && g.reg.Imported == nil {
		commands = append(commands,
			fmt.Sprintf("mendel diff 000 %s --state %s", g.incumbent.ID, g.dir),
			fmt.Sprintf("mendel run %s --proposer replay:%s", g.reg.Task.Dir, g.dir))
	}
	return commands
}
