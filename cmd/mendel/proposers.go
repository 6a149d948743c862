package main

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"mendel/internal/agentbox"
	"mendel/internal/lineage"
	"mendel/internal/propose/provider/anthropic"
	"mendel/internal/propose/provider/command"
	"mendel/internal/propose/provider/model"
	"mendel/internal/propose/provider/mutate"
	"mendel/internal/propose/provider/openai"
	"mendel/internal/propose/provider/price"
	"mendel/internal/propose/provider/replay"
	"mendel/internal/propose/session"
	"mendel/internal/propose/workspace"
	"mendel/internal/research"
)

// A company is who plays the agents of a run.
type company struct {
	players map[string]session.Proposer // by agent name; agents that are played from outside are not in it
	replay  *replay.Plan                // nil unless the run replays another
	log     *lateLog                    // of agents
	clients []interface{ Close() }
}

// Close gives connections back.
func (c *company) Close() {
	for _, client := range c.clients {
		client.Close()
	}
}

// A hiring is what is known when a company is put together.
type hiring struct {
	task      *taskPackage
	bench     *workbench
	agents    []research.Agent
	budgets   research.Budgets
	caps      research.Caps
	prices    string          // file that goes before the built-in prices
	hidden    string          // the run's directory, or the one that new runs are made in
	unboxed   bool            // agents may run without a sandbox where there is none
	submitted *lineage.Reader // of a run that is resumed; nil for a new one
	baseline  research.Hash   // tree of the starting recipe
	keys      keys

	table *price.Table
}

// hire finds a player for every agent. What it refuses, it refuses before anything is spent.
func (c hiring) hire() (_ *company, err error) {
	if c.table, err = price.Load(c.prices); err != nil {
		return nil, err
	}
	all := &company{players: map[string]session.Proposer{}, log: &lateLog{}}
	defer func() {
		if err != nil {
			all.Close()
		}
	}()
	same := map[string]session.Proposer{} // agents that are asked alike share connections
	for _, a := range c.agents {
		kind, rest := splitProposer(a.Proposer)
		if kind == kindExternal {
			continue
		}
		id := fmt.Sprintf("%s %+v", a.Proposer, optionsOf(a))
		if same[id] == nil {
			if same[id], err = c.player(all, a, kind, rest); err != nil {
				return nil, research.Hinted(fmt.Errorf("agent %s, %s: %w", a.Name, a.Proposer, err), research.Hint(err))
			}
		}
		all.players[a.Name] = same[id]
	}
	return all, nil
}

func optionsOf(a research.Agent) research.ProposerOptions {
	if a.Options == nil {
		return research.ProposerOptions{}
	}
	return *a.Options
}

func (c hiring) player(all *company, a research.Agent, kind, rest string) (session.Proposer, error) {
	switch kind {
	case kindMutate:
		return mutate.Proposer{}, nil
	case kindAnthropic, kindOpenAI, kindGemini:
		return c.model(all, a, kind, rest)
	case kindCommand:
		return c.command(rest, optionsOf(a), slog.New(slog.NewTextHandler(all.log, nil)))
	case kindReplay:
		var err error
		if all.replay == nil {
			all.replay, err = c.replay(rest)
		}
		if err != nil {
			return nil, err
		}
		return all.replay.Proposer(), nil
	}
	return nil, research.Hinted(errors.New("there is no such proposer"), proposerKinds)
}

// model makes a player of a model behind an API.
func (c hiring) model(all *company, a research.Agent, kind, name string) (session.Proposer, error) {
	o := optionsOf(a)
	var client interface {
		model.Client
		Close()
	}
	var err error
	switch kind {
	case kindAnthropic:
		env := cmp.Or(o.KeyEnv, "ANTHROPIC_API_KEY")
		if err = anthropic.Check(name, o); err == nil {
			client, err = anthropic.New(anthropic.Options{BaseURL: o.BaseURL, Key: c.keys.getenv(env), KeyEnv: env})
		}
	case kindOpenAI:
		env := cmp.Or(o.KeyEnv, openai.KeyEnv)
		if err = openai.Check(o); err == nil {
			client, err = openai.New(openai.Options{BaseURL: o.BaseURL, Key: c.keys.getenv(env), KeyEnv: env})
		}
	default:
		env := cmp.Or(o.KeyEnv, openai.GeminiKeyEnv)
		key := c.keys.getenv(env)
		if key == "" && o.KeyEnv == "" {
			key = c.keys.getenv(openai.GeminiKeyEnvToo)
		}
		if err = openai.CheckGemini(o); err == nil {
			client, err = openai.NewGemini(openai.Options{BaseURL: o.BaseURL, Key: key, KeyEnv: env})
		}
	}
	if err != nil {
		return nil, err
	}
	all.clients = append(all.clients, client)
	find := c.table.Of
	if o.BaseURL != "" {
		find = c.table.OfServer
	}
	var pricer model.Pricer
	if p, ok := find(a.Proposer); ok {
		pricer = p
	} else if c.budgets.USD > 0 || c.caps.USD > 0 {
		return nil, research.Hinted(errors.New("its price is not known, so a cap in dollars could not be kept"),
			"name its price in a file for --prices (docs/providers.md), or cap --tokens instead")
	}
	return model.New(model.Options{Client: client, Name: a.Proposer, Model: name, ProposerOptions: o, Price: pricer}), nil
}

// command makes a player of an external agent.
func (c hiring) command(line string, o research.ProposerOptions, log *slog.Logger) (session.Proposer, error) {
	home, _ := os.UserHomeDir() // without one there are no credentials to hand on
	hidden := []string{c.task.Dir, c.bench.cacheDir}
	for _, d := range c.task.Data {
		hidden = append(hidden, d.Path)
	}
	for _, dir := range []string{c.hidden, runsDir} {
		absolute, err := filepath.Abs(dir)
		if err != nil {
			return nil, err
		}
		hidden = append(hidden, absolute)
	}
	hidden = slices.DeleteFunc(hidden, func(dir string) bool { _, err := os.Stat(dir); return dir == "" || err != nil })
	p, err := command.New(command.Options{
		Line: line, Self: c.bench.self, Home: home, Getenv: c.keys.getenv, Pass: o.PassEnv, Hosts: o.Hosts, Log: log,
		Box: agentbox.New(agentbox.Options{Host: c.bench.host, Self: c.bench.self, Unconfined: c.unboxed, Hidden: hidden, Log: log}),
	})
	if err != nil {
		return nil, err
	}
	return p, c.affordable(p)
}

// affordable refuses an agent whose spending the run's caps would not bind. What a session may
// cost is set aside before its agent starts, so it must be a number, and one that is kept to.
func (c hiring) affordable(p *command.Proposer) error {
	const other = ", cap --trials or --hours, or use an agent that can (claude)"
	fits := "give --session-usd, a share of the run's budget"
	fitsTokens := "give it in the file for --config, a share of the run's budget: session: {tokens: 400000}"
	if c.submitted != nil { // session caps are registered
		fits = "lift the run's cap with --usd 0, or start a new run with --session-usd"
		fitsTokens = "lift the run's cap with --tokens 0, or start a new run with session: {tokens: 400000} in the file for --config"
	}
	budgets, caps := c.budgets, c.caps
	switch {
	case (budgets.USD > 0 || caps.USD > 0) && !p.CanCap():
		return research.Hinted(errors.New("this agent cannot keep to a number of dollars"), "leave the cap in dollars out"+other)
	case (budgets.Tokens > 0 || caps.Tokens > 0) && !p.CanCapTokens():
		return research.Hinted(errors.New("this agent says only at its end how many tokens it used, so a cap could not be kept"), "leave the cap in tokens out"+other)
	case budgets.USD > 0 && caps.USD == 0:
		return research.Hinted(errors.New("a cap in dollars does not bind an agent without one for each session"), fits)
	case budgets.Tokens > 0 && caps.Tokens == 0:
		return research.Hinted(errors.New("a cap in tokens does not bind an agent without one for each session"), fitsTokens)
	case budgets.USD > 0 && caps.USD > budgets.USD:
		return research.Hinted(fmt.Errorf("the $%g of one session are more than the $%g of the run, so none could begin", caps.USD, budgets.USD), fits)
	case budgets.Tokens > 0 && caps.Tokens > budgets.Tokens:
		return research.Hinted(fmt.Errorf("the %d tokens of one session are more than the %d of the run, so none could begin", caps.Tokens, budgets.Tokens), fitsTokens)
	}
	return nil
}

// replay plans the repetition of an earlier run.
func (c hiring) replay(dir string) (*replay.Plan, error) {
	old, err := lineage.OpenReader(dir)
	if err != nil {
		return nil, err
	}
	defer old.Close()
	reg, err := old.Registration()
	if err != nil {
		return nil, err
	}
	if err := reg.Remeasurable(); err != nil {
		return nil, err
	}
	if reg.BaselineTree != c.baseline {
		return nil, research.Hinted(fmt.Errorf("%s began with another recipe (%s) than this task has (%s)", dir, reg.BaselineTree.Short(), c.baseline.Short()),
			"replay it on the task as it was: "+reg.Task.Dir)
	}
	steps, err := stepsOf(old)
	if err != nil {
		return nil, err
	}
	replayed, err := c.replayed()
	if err != nil {
		return nil, err
	}
	roles := make([]string, len(c.agents))
	for i, a := range c.agents {
		roles[i] = a.Role
	}
	plan := replay.New(steps, roles, replayed)
	if plan.Exhausted() {
		return nil, research.Hinted(fmt.Errorf("%s has nothing left to replay for the roles of this run", dir), "`mendel log --state "+dir+"` lists its trials")
	}
	return plan, nil
}

// stepsOf lists the submissions of a run, in their order.
func stepsOf(old *lineage.Reader) ([]replay.Step, error) {
	var steps []replay.Step
	err := eachTrial(old, func(t research.Trial) error {
		files, err := old.Tree(t.Proposal.Tree)
		if err != nil {
			return fmt.Errorf("tree of trial %s: %w", t.ID, err)
		}
		step := replay.Step{
			Old: t.ID, Parent: t.Proposal.Parent, Role: t.Proposal.Role, Proposer: t.Proposal.Proposer,
			Hypothesis: t.Proposal.Hypothesis, Notes: t.Proposal.Notes, Expected: t.Proposal.Expected, OldStatus: t.Status,
		}
		if score, ok := t.Score(); ok {
			step.OldScore = &score
		}
		for _, f := range files {
			step.Tree = append(step.Tree, workspace.File{Path: f.Path, Mode: os.FileMode(f.Mode), Data: f.Data})
		}
		steps = append(steps, step)
		return nil
	})
	return steps, err
}

// replayed maps the steps that this run has submitted already.
func (c hiring) replayed() (map[research.TrialID]research.TrialID, error) {
	done := map[research.TrialID]research.TrialID{}
	if c.submitted == nil {
		return done, nil
	}
	err := eachTrial(c.submitted, func(t research.Trial) error {
		if old, ok := replay.OldOf(t.Proposal.Key); ok {
			done[old] = t.ID
		}
		return nil
	})
	return done, err
}

// eachTrial visits the trials of a run but the baseline, oldest first.
func eachTrial(r *lineage.Reader, visit func(research.Trial) error) error {
	return r.Each(func(t research.Trial) error {
		if t.ID == research.Baseline {
			return nil
		}
		return visit(t)
	})
}

// warn says what this machine cannot hold of the arm that was asked for.
func (c *company) warn(reg research.Registration) {
	if reg.Arm.Lineage {
		return
	}
	for _, a := range reg.Agents {
		kind, _ := splitProposer(a.Proposer)
		if confined, ok := c.players[a.Name].(session.Confined); kind == kindExternal || ok && confined.Confinement() == agentbox.None {
			fmt.Fprintf(os.Stderr, "mendel: warning: nothing confines who plays %s: that it does not read the history on this disk rests on trust, and its trials record it\n", a.Name)
		}
	}
}

// report prints old against new, when a run was replayed.
func (c *company) report(r *lineage.Reader) error {
	if c.replay == nil {
		return nil
	}
	rows, err := c.replay.Report(r.Trial)
	if err != nil {
		return err
	}
	fmt.Println("\nreplayed: old against new")
	return replay.WriteReport(os.Stdout, rows)
}
