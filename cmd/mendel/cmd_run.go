package main

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"mendel/internal/lineage"
	"mendel/internal/research"
)

// runFlags are the flags of `mendel run` as they were typed.
type runFlags struct {
	state         string
	resume        bool
	trials        int
	hours         float64
	noImprovement float64
	parallel      int
	agents        string
	noLineage     bool
	roles         []string
	seed          int64
	site          string
	recipe        string
	unsandboxed   bool
	plain         bool
	keep          keepFlags

	config      string
	proposers   []string
	baseURL     string
	temperature float64
	thinking    int
	maxOutput   int
	webSearch   bool
	maxTurns    int
	sessionUSD  float64
	usd         float64
	tokens      int64
	prices      string
}

func runCommand() *cobra.Command {
	var f runFlags
	c := &cobra.Command{
		Use:   "run TASK | run --resume [DIR]",
		Short: "Search for a better recipe until a budget is used or you stop it",
		Long: `Measures the task's starting recipe, then lets specialists improve it, one measured trial after
another, until a budget is used, nobody has anything more to propose, or you stop it.

TASK is a task's directory, or the name of one in ./tasks. Ctrl-C, SIGHUP and ` + "`mendel stop`" + `
begin no new work and let running trials finish; a second Ctrl-C kills them. Nothing that was
measured is lost, and --resume goes on: without new budgets under the old ones, with them under
the new.

The starting recipe is measured several times first, so that it is known which differences are
noise; once where ` + "`mendel calibrate`" + ` has a record for this very machine.

--proposer says who the specialists are: mutate, which needs no key, language models, coding
agents, or you. Keys are read from ANTHROPIC_API_KEY, OPENAI_API_KEY and GEMINI_API_KEY. --usd and
--tokens are hard: a call that could pass them is not made.`,
		Example: `  mendel run tasks/airbench-cpu --trials 24
  mendel run tasks/golf-cpu --hours 8 --parallel 2 --roles opt,arch
  mendel run tasks/golf-cpu --proposer anthropic:claude-opus-5-5 --usd 5
  mendel run tasks/golf-cpu --proposer openai:qwen3-coder --base-url http://localhost:11434/v1
  mendel run tasks/golf-cpu --proposer mutate --proposer opt=gemini:gemini-3.8-flash --usd 5
  mendel run tasks/golf-cpu --proposer 'command:claude -p' --usd 20 --session-usd 2
  mendel run --resume --trials 48`,
		Args: between(0, 1, "one task, or --resume with at most one run directory"),
		RunE: func(c *cobra.Command, args []string) error {
			if f.resume {
				return resumeRun(c, f, args)
			}
			if len(args) == 0 {
				return research.Hinted(usageError{errors.New("mendel run needs a task")}, "mendel run tasks/airbench-cpu, or mendel run --resume")
			}
			return startRun(c, f, args[0])
		},
	}
	f.bind(c)
	return c
}

// bind adds the flags to a command.
func (f *runFlags) bind(c *cobra.Command) {
	flags := c.Flags()
	flags.SortFlags = false
	flags.StringVar(&f.state, "state", "", "directory for the run (default: runs/<task>-<date>-<n>)")
	flags.BoolVar(&f.resume, "resume", false, "go on with a run: the one named, or the newest")
	flags.IntVar(&f.trials, "trials", 0, "stop after this many submitted trials in all; measuring one again to confirm it counts too")
	flags.Float64Var(&f.hours, "hours", 0, "stop after this many hours of supervision")
	flags.Float64Var(&f.noImprovement, "no-improvement", 0, "stop after this many hours without a keep")
	flags.Float64Var(&f.usd, "usd", 0, "stop before model calls cost more than this many US dollars in all")
	flags.Int64Var(&f.tokens, "tokens", 0, "stop before model calls read and write more than this many tokens in all")
	flags.IntVar(&f.parallel, "parallel", 0, "trials at a time (default: as many as the task's resources fit)")
	f.keep.bind(c)
	flags.StringVar(&f.agents, "agents", "specialists", "specialists, generic:N or single")
	flags.BoolVar(&f.noLineage, "no-lineage", false, "control arm: no session may see history")
	flags.StringSliceVar(&f.roles, "roles", nil, "only these roles (default: all)")
	flags.StringVar(&f.config, "config", "", "the run's configuration file (docs/run-configuration.md); flags win over it")
	flags.StringArrayVar(&f.proposers, "proposer", nil, "who proposes, for all or as ROLE=PROPOSER; repeatable (default: mutate);\n"+proposerKinds)
	flags.StringVar(&f.baseURL, "base-url", "", "address of a models' server of your own, such as http://localhost:8000/v1")
	flags.Float64Var(&f.temperature, "temperature", 0, "temperature of the models (default: the provider's)")
	flags.IntVar(&f.thinking, "thinking", 0, "tokens that a model call may think")
	flags.IntVar(&f.maxOutput, "max-output", 0, "tokens that a model call may write, thinking included")
	flags.BoolVar(&f.webSearch, "web-search", false, "let the provider search the web for the model")
	flags.IntVar(&f.maxTurns, "max-turns", 0, "model calls in one session (default: 80)")
	flags.Float64Var(&f.sessionUSD, "session-usd", 0, "US dollars that one session may cost; coding agents are told it")
	flags.StringVar(&f.prices, "prices", "", "price table that goes before the built-in one (docs/providers.md)")
	flags.Int64Var(&f.seed, "seed", 1, "seed of the search and of the trials' seeds")
	flags.StringVar(&f.site, "site", "", "what differs on this machine (default: <task>.site.yaml beside the task, or the user's)")
	bindRecipe(c, &f.recipe)
	flags.BoolVar(&f.unsandboxed, "allow-unsandboxed", false, "run below the sandbox level that the task asks for; every report shows it")
	flags.BoolVar(&f.plain, "plain", false, "plain lines also on a terminal")
	c.MarkFlagDirname("state")
	c.MarkFlagFilename("config", "yaml", "yml")
	c.MarkFlagFilename("prices", "yaml", "yml")
}

// budgets are those that were typed. Zero means that a flag was not given, or lifts a cap.
func (f runFlags) budgets(c *cobra.Command) (research.Budgets, error) {
	typed, err := f.typed(c.Flags().Changed)
	if err != nil {
		return research.Budgets{}, err
	}
	return typed.budgets()
}

// startRun registers a new run and supervises it.
func startRun(c *cobra.Command, f runFlags, name string) error {
	typed, err := f.typed(c.Flags().Changed)
	if err != nil {
		return err
	}
	t, err := openTask(c.Context(), name, f.recipe, f.site)
	if err != nil {
		return err
	}
	cfg, err := configure(t, f, typed)
	if err != nil {
		return err
	}
	taken := takeKeys(cfg.agents)
	bench, err := prepare(c.Context(), t, f.site, f.parallel, f.unsandboxed)
	if err != nil {
		return err
	}
	reg, blobs, err := registration(t, bench, f, cfg)
	if err != nil {
		return err
	}
	reg.Calibration = storedCalibration(reg)
	hired, err := hiring{
		task: t, bench: bench, agents: reg.Agents, budgets: reg.Budgets, caps: reg.Caps, prices: reg.Prices,
		hidden: cmp.Or(f.state, runsDir), unboxed: f.unsandboxed, baseline: reg.BaselineTree, keys: taken,
	}.hire()
	if err != nil {
		return err
	}
	defer hired.Close()
	hired.warn(reg)
	dir := f.state
	if dir == "" {
		if dir, err = newRunDir(runsDir, t.Name, time.Now()); err != nil {
			return err
		}
	}
	if _, err := os.Stat(filepath.Join(dir, lineage.FileName)); err == nil {
		return research.Hinted(fmt.Errorf("%s holds a run already", dir), "go on with it: mendel run --resume "+dir+"; or choose another --state")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return research.Hinted(fmt.Errorf("make the run's directory: %w", err), "choose a directory that you may write with --state")
	}
	lock, err := lineage.Lock(dir)
	if err != nil {
		return err
	}
	defer lock.Release()
	store, err := lineage.Create(dir, reg, blobs...)
	if err != nil {
		return err
	}
	return supervise(c, dir, store, t, bench, hired, f, false)
}

// resumeRun goes on with a run as it was registered.
func resumeRun(c *cobra.Command, f runFlags, args []string) error {
	for _, flag := range []string{
		"agents", "no-lineage", "roles", "config", "proposer", "base-url", "temperature", "thinking", "max-output", "web-search",
		"max-turns", "session-usd", "seed", "allow-unsandboxed", "recipe", "keep", "alpha", "pairs",
	} {
		if c.Flags().Changed(flag) {
			return research.Hinted(usageError{fmt.Errorf("--%s cannot change on --resume: the run registered it", flag)},
				"start a new run for another arm; budgets and --parallel may change")
		}
	}
	budgets, err := f.budgets(c)
	if err != nil {
		return err
	}
	dir, err := chosenRun(append(args, f.state)...)
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, "task.yaml")); err == nil {
		return research.Hinted(usageError{fmt.Errorf("%s is a task; --resume takes a run's directory", dir)}, "mendel run --resume goes on with the newest run")
	}
	if _, err := os.Stat(filepath.Join(dir, lineage.FileName)); err != nil {
		return research.Hinted(fmt.Errorf("%s: there is no run", dir), "give a run's directory; the newest ones are under runs/")
	}
	lock, err := lineage.Lock(dir)
	if err != nil {
		return err
	}
	defer lock.Release()
	store, err := lineage.Open(dir)
	if err != nil {
		return err
	}
	reg, err := store.Registration()
	if err != nil {
		return errors.Join(err, store.Close())
	}
	taken := takeKeys(reg.Agents)
	t, err := registeredTask(reg)
	if err != nil {
		return errors.Join(err, store.Close())
	}
	site := f.site
	if site == "" {
		site = reg.Site
	}
	if f.parallel == 0 {
		f.parallel = reg.Parallel
	}
	bench, err := prepare(c.Context(), t, site, f.parallel, reg.Unsandboxed)
	if err != nil {
		return errors.Join(err, store.Close())
	}
	if err := bench.sameAs(t, reg); err != nil {
		return errors.Join(err, store.Close())
	}
	now, err := store.Budgets()
	if err != nil {
		return errors.Join(err, store.Close())
	}
	if budgets, err = changedBudgets(c, store, now, budgets); err != nil {
		return errors.Join(err, store.Close())
	}
	hired, err := hiring{
		task: t, bench: bench, agents: reg.Agents, budgets: budgets, caps: reg.Caps, prices: cmp.Or(f.prices, reg.Prices),
		hidden: dir, unboxed: reg.AgentsUnconfined, submitted: store.Reader, baseline: reg.BaselineTree, keys: taken,
	}.hire()
	if err != nil {
		return errors.Join(err, store.Close())
	}
	defer hired.Close()
	if budgets != now { // once nothing refuses them any more
		if _, err := store.Append(c.Context(), research.BudgetChanged{Budgets: budgets, By: "resume"}); err != nil {
			return errors.Join(err, store.Close())
		}
	}
	return supervise(c, dir, store, t, bench, hired, f, true)
}

// changedBudgets are those in force with the ones that were typed in their place. A typed 0
// lifts a cap.
func changedBudgets(c *cobra.Command, store *lineage.Store, now, typed research.Budgets) (research.Budgets, error) {
	changed := now
	if c.Flags().Changed("trials") {
		changed.Trials = typed.Trials
	}
	if c.Flags().Changed("hours") {
		changed.Time = typed.Time
	}
	if c.Flags().Changed("no-improvement") {
		changed.NoImprovement = typed.NoImprovement
	}
	if c.Flags().Changed("usd") {
		changed.USD = typed.USD
	}
	if c.Flags().Changed("tokens") {
		changed.Tokens = typed.Tokens
	}
	if changed == now {
		return now, nil
	}
	spend, err := store.Spend()
	if err != nil {
		return now, err
	}
	if c.Flags().Changed("trials") && typed.Trials > 0 && typed.Trials <= spend.OfTrials() {
		return now, research.Hinted(usageError{fmt.Errorf("--trials %d: the run has %d trials already, and the number is a total", typed.Trials, spend.OfTrials())},
			fmt.Sprintf("--trials %d for ten more", spend.OfTrials()+10))
	}
	if c.Flags().Changed("usd") && typed.USD > 0 && typed.USD <= spend.Charge.USD {
		return now, research.Hinted(usageError{fmt.Errorf("--usd %g: the run has spent $%.2f already, and the number is a total", typed.USD, spend.Charge.USD)},
			fmt.Sprintf("--usd %.0f for five dollars more", math.Ceil(spend.Charge.USD+5)))
	}
	if c.Flags().Changed("tokens") && typed.Tokens > 0 && typed.Tokens <= spend.Charge.Tokens {
		return now, research.Hinted(usageError{fmt.Errorf("--tokens %d: the run has used %d tokens already, and the number is a total", typed.Tokens, spend.Charge.Tokens)},
			fmt.Sprintf("--tokens %d for a million more", spend.Charge.Tokens+1_000_000))
	}
	return changed, nil
}

// registeredTask loads the task of a run, and refuses it when it is not the same any more.
func registeredTask(reg research.Registration) (*taskPackage, error) {
	if err := reg.Remeasurable(); err != nil {
		return nil, err
	}
	t, err := loadTask(reg.Task.Dir)
	if err != nil {
		return nil, err
	}
	if t.Hash == reg.Task.Hash {
		return t, nil
	}
	changed := "the task"
	if t.EvaluatorHash != reg.Task.Evaluator {
		changed = "its evaluator"
	}
	return nil, research.Hinted(fmt.Errorf("%s changed since this run was registered (%s, now %s): old and new scores could not be compared",
		changed, reg.Task.Hash.Short(), t.Hash.Short()),
		"put "+reg.Task.Dir+" back as it was, or start a new run")
}
