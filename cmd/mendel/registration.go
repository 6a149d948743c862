package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"mendel/internal/lineage"
	"mendel/internal/research"
)

// registration writes event 1: everything that is fixed before anything is measured.
func registration(t *taskPackage, b *workbench, f runFlags, c runConfig) (research.Registration, []lineage.Blob, error) {
	files, err := t.RecipeFiles()
	if err != nil {
		return research.Registration{}, nil, err
	}
	tree := make([]lineage.File, len(files))
	for i, file := range files {
		tree[i] = lineage.File{Path: file.Path, Mode: uint32(file.Mode.Perm()), Data: file.Data}
	}
	root, blobs, err := lineage.NewTree(tree)
	if err != nil {
		return research.Registration{}, nil, err
	}
	machine, err := b.machine(t)
	if err != nil {
		return research.Registration{}, nil, err
	}
	keep, replicates, err := f.keep.rule(t)
	if err != nil {
		return research.Registration{}, nil, err
	}
	reg := research.Registration{
		Run: newToken()[:12], Mendel: programVersion(), VerdictVersion: research.VerdictVersion,
		Task:  research.TaskIdentity{Name: t.Name, Title: t.Title, Dir: t.Dir, Hash: t.Hash, Evaluator: t.EvaluatorHash, Upstream: t.Pins()},
		Score: t.Score, Bounds: t.Bounds, NoiseKind: t.NoiseKind, Keep: keep,
		Arm: c.arm, Agents: c.agents, Budgets: c.budgets, Caps: c.caps, Replicates: replicates, Seeds: t.Seeds, Seed: f.seed,
		Certificate: t.Certificate, Sandbox: b.note, SandboxRequire: t.Sandbox, Unsandboxed: b.below && f.unsandboxed,
		Parallel: f.parallel, Prices: c.prices, Site: b.sitePath, SiteDigest: b.siteDigest, Environment: b.environment,
		BaselineTree: root.Hash, Machine: &machine, AgentsUnconfined: f.unsandboxed && slices.ContainsFunc(c.agents, isCommand),
	}
	return reg, blobs, nil
}

// team reads who takes part from --agents and --roles, and who plays them from what was typed
// and what the configuration file says.
func team(t *taskPackage, f runFlags, typed, file runSettings) (research.Arm, []research.Agent, error) {
	arm, agents, err := members(t, f)
	if err != nil {
		return arm, nil, err
	}
	if err := knownNames(t, arm, agents, typed.roles, file.roles); err != nil {
		return arm, nil, err
	}
	c := casting{typed: typed, file: file}
	for i := range agents {
		if err := c.cast(&agents[i]); err != nil {
			return arm, nil, err
		}
	}
	if err := cmp.Or(c.sharedOptions(), c.replays(arm)); err != nil {
		return arm, nil, err
	}
	agents, err = withKnobs(t, arm, agents)
	return arm, agents, err
}

// members are the agents, without their proposers.
func members(t *taskPackage, f runFlags) (research.Arm, []research.Agent, error) {
	arm := research.Arm{Lineage: !f.noLineage}
	plan, number, _ := strings.Cut(f.agents, ":")
	arm.Agents = research.AgentPlan(plan)
	if arm.Agents != research.Specialists && len(f.roles) > 0 {
		return arm, nil, usageError{fmt.Errorf("--roles chooses specialists: it does not go with --agents %s", f.agents)}
	}
	var agents []research.Agent
	switch {
	case arm.Agents == research.Specialists && number == "":
		for _, id := range f.roles {
			if !slices.Contains(roleIDs(t), id) {
				return arm, nil, research.Hinted(usageError{fmt.Errorf("the task has no role %q", id)}, "its roles: "+strings.Join(roleIDs(t), ", "))
			}
		}
		for _, r := range t.Roles {
			if len(f.roles) == 0 || slices.Contains(f.roles, r.ID) {
				agents = append(agents, research.Agent{Name: r.ID, Role: r.ID})
			}
		}
	case arm.Agents == research.Generic:
		n, err := strconv.Atoi(number)
		if err != nil || n < 1 || n > 1000 {
			return arm, nil, research.Hinted(usageError{fmt.Errorf("--agents %s: how many?", f.agents)}, "--agents generic:10")
		}
		arm.N = n
		for i := range n {
			agents = append(agents, research.Agent{Name: fmt.Sprintf("generic-%d", i+1), Role: "generic"})
		}
	case arm.Agents == research.Single && number == "":
		agents = []research.Agent{{Name: "single", Role: "generic"}}
	default:
		return arm, nil, research.Hinted(usageError{fmt.Errorf("--agents %s", f.agents)}, "want specialists, generic:N or single")
	}
	return arm, agents, nil
}

// knownNames refuses a choice for someone who does not exist. One for a role that --roles leaves
// out may stay: a configuration file serves several runs.
func knownNames(t *taskPackage, arm research.Arm, agents []research.Agent, choices ...[]roleChoice) error {
	known, hint := roleIDs(t), "its roles: "
	if arm.Agents != research.Specialists {
		hint = "a team of --agents " + string(arm.Agents) + " has no roles; its agents: "
		known = nil
		for _, a := range agents {
			known = append(known, a.Name)
		}
	}
	for _, c := range slices.Concat(choices...) {
		if slices.Contains(known, c.name.value) {
			continue
		}
		if len(known) > 12 {
			known = append(known[:10:10], "… "+known[len(known)-1])
		}
		what := "the task has no role %q"
		if arm.Agents != research.Specialists {
			what = "there is no agent %q"
		}
		return c.name.at.fault(hint+strings.Join(known, ", "), what, c.name.value)
	}
	return nil
}

// A casting gives agents their proposers, and remembers whom it gave what.
type casting struct {
	typed, file runSettings

	names      []string // of the proposers, one for each agent
	optioned   bool     // some agent takes options
	addressees []string // kinds of proposer that get the address that is given for all
	keepers    []string // kinds of proposer that get the key that is given for all
	commanded  bool     // some agent is a program
}

// cast chooses an agent's proposer and options. What was typed for an agent replaces what the
// file says of it; an option that was typed holds for every model.
func (c *casting) cast(a *research.Agent) error {
	own := choiceOf(c.typed.roles, a.Name)
	if !own.proposer.given() {
		own = choiceOf(c.file.roles, a.Name)
	}
	proposer := own.proposer.or(c.typed.proposer).or(c.file.proposer)
	if !proposer.given() {
		proposer.value = kindMutate
	}
	var err error
	if a.Proposer, err = proposerName(proposer); err != nil {
		return err
	}
	c.names = append(c.names, a.Proposer)
	kind, _ := splitProposer(a.Proposer)
	if kind == kindCommand {
		c.commanded = true
		if a.Options, err = own.passes.or(c.file.passes).registered(); err != nil {
			return err
		}
	} else if at, some := own.passes.first(); some {
		return at.fault(passesHint, "%s has no such option", kind)
	}
	if !takesOptions(kind) {
		if at, some := own.options.first(); some {
			return at.fault(noOptionsHint(kind), "%s has no such option", kind)
		}
		return nil
	}
	c.optioned = true
	// An address or a key that is meant for one provider must not reach another.
	shared := c.typed.options.or(c.file.options)
	if shared.baseURL.given() && (c.typed.options.baseURL.given() || !own.options.baseURL.given()) {
		c.addressees = append(c.addressees, kind)
	}
	if shared.keyEnv.given() && !own.options.keyEnv.given() {
		c.keepers = append(c.keepers, kind)
	}
	a.Options, err = c.typed.options.or(own.options).or(c.file.options).registered()
	return err
}

const passesHint = "pass_env and hosts are for coding agents: command:COMMAND LINE"

func isCommand(a research.Agent) bool {
	kind, _ := splitProposer(a.Proposer)
	return kind == kindCommand
}

func severalKinds(kinds []string) bool {
	return slices.ContainsFunc(kinds, func(k string) bool { return k != kinds[0] })
}

func choiceOf(choices []roleChoice, name string) choice {
	for _, c := range choices {
		if c.name.value == name {
			return c.choice
		}
	}
	return choice{}
}

func noOptionsHint(kind string) string {
	if kind == kindCommand {
		return "write the agent's own options into its command line"
	}
	return "options are for models: anthropic:MODEL, openai:MODEL, gemini:MODEL"
}

// sharedOptions refuses options for all that nobody takes, or that would take one provider's
// address or key to another.
func (c *casting) sharedOptions() error {
	shared := c.typed.options.or(c.file.options)
	useless, some := c.typed.options.first()
	if !some && !c.file.names(takesOptions) { // a model of a role that --roles leaves out is reason enough
		useless, some = c.file.options.first()
	}
	const hint = "write it below each role that it is for, in the configuration file"
	unpassed, passes := c.file.passes.first()
	switch {
	case passes && !c.commanded && !c.file.names(func(kind string) bool { return kind == kindCommand }):
		return unpassed.fault(passesHint, "no proposer of this run has such an option")
	case some && !c.optioned:
		kind, _ := splitProposer(c.names[0])
		return useless.fault(noOptionsHint(kind), "no proposer of this run has such an option")
	case severalKinds(c.addressees):
		return shared.baseURL.at.fault(hint, "an address for models of several providers")
	case severalKinds(c.keepers):
		return shared.keyEnv.at.fault(hint, "a key for models of several providers")
	}
	return nil
}

// replays refuses a replay beside other proposers, whose trials would come between, and one
// whose sessions could not go back to a trial's parent.
func (c *casting) replays(arm research.Arm) error {
	i := slices.IndexFunc(c.names, func(name string) bool {
		kind, _ := splitProposer(name)
		return kind == kindReplay
	})
	switch {
	case i < 0:
		return nil
	case slices.ContainsFunc(c.names, func(name string) bool { return name != c.names[i] }):
		return research.Hinted(usageError{errors.New("a replay is for all roles: no other proposer goes beside it")}, "--proposer replay:RUN, and nothing for single roles")
	case !arm.Lineage:
		return research.Hinted(usageError{errors.New("a replay needs history: without it, no session can go back to a trial's parent")}, "leave --no-lineage out")
	}
	return nil
}

// withKnobs leaves out the specialists for whom mutate would have nothing to turn.
func withKnobs(t *taskPackage, arm research.Arm, agents []research.Agent) ([]research.Agent, error) {
	var able []research.Agent
	for _, a := range agents {
		turns := func(k research.Knob) bool { return arm.Agents != research.Specialists || k.Role == a.Role }
		if a.Proposer != kindMutate || slices.ContainsFunc(t.Knobs, turns) {
			able = append(able, a)
		} else if arm.Agents == research.Specialists {
			fmt.Fprintf(os.Stderr, "mendel: role %s has no knob for mutate to turn: left out\n", a.Role)
		} else {
			return nil, noKnobs(t)
		}
	}
	if len(able) == 0 {
		return nil, noKnobs(t)
	}
	return able, nil
}

func noKnobs(t *taskPackage) error {
	return research.Hinted(fmt.Errorf("%s declares no knob that mutate could turn", t.Name),
		"declare some in knobs.yaml and name it in task.yaml (docs/task-format.md), or choose another --proposer")
}

func roleIDs(t *taskPackage) []string {
	ids := make([]string, len(t.Roles))
	for i, r := range t.Roles {
		ids[i] = r.ID
	}
	return ids
}
