package main

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mendel/internal/research"
	"mendel/internal/task"
)

// A place is where someone wrote a setting: on the command line or in the configuration file.
type place struct {
	flag      string
	file      string
	line, col int
}

// fault is an error at this place. It never repeats what was written: that could hold a key.
func (p place) fault(hint, format string, args ...any) error {
	message := fmt.Sprintf(format, args...)
	if p.file != "" {
		return task.Problems{{File: p.file, Line: p.line, Col: p.col, Message: message, Hint: hint}}
	}
	if p.flag != "" {
		message = p.flag + ": " + message
	}
	return research.Hinted(usageError{errors.New(message)}, hint)
}

// path makes a path absolute. In the file, paths are relative to the file.
func (p place) path(name string) (string, error) {
	if p.file != "" && !filepath.IsAbs(name) {
		name = filepath.Join(filepath.Dir(p.file), name)
	}
	return filepath.Abs(name)
}

// A setting is a value and the place where it was given.
type setting[T any] struct {
	value T
	at    place
}

func (s setting[T]) given() bool { return s.at != place{} }

// or is the setting where it was given, and the other one elsewhere.
func (s setting[T]) or(other setting[T]) setting[T] {
	if s.given() {
		return s
	}
	return other
}

// A choice is who proposes, and how it is asked.
type choice struct {
	proposer setting[string]
	options  optionSettings
	passes   passSettings
}

// A roleChoice is a choice for one role, or for one agent of a team without roles.
type roleChoice struct {
	name setting[string]
	choice
}

// runSettings are what can be said about a run in its configuration file and by flags.
type runSettings struct {
	choice // for all that have none of their own
	roles  []roleChoice

	turns, calls, submits setting[int]
	minutes, sessionUSD   setting[float64]
	sessionTokens         setting[int64]

	trials                    setting[int]
	hours, noImprovement, usd setting[float64]
	tokens                    setting[int64]

	prices setting[string]
}

// or fills in what was not given. Choices stay apart: see [team].
func (s runSettings) or(other runSettings) runSettings {
	s.turns, s.calls, s.submits = s.turns.or(other.turns), s.calls.or(other.calls), s.submits.or(other.submits)
	s.minutes, s.sessionUSD, s.sessionTokens = s.minutes.or(other.minutes), s.sessionUSD.or(other.sessionUSD), s.sessionTokens.or(other.sessionTokens)
	s.trials, s.hours, s.noImprovement = s.trials.or(other.trials), s.hours.or(other.hours), s.noImprovement.or(other.noImprovement)
	s.usd, s.tokens, s.prices = s.usd.or(other.usd), s.tokens.or(other.tokens), s.prices.or(other.prices)
	return s
}

// names says whether any of the choices is of such a kind.
func (s runSettings) names(such func(kind string) bool) bool {
	is := func(c choice) bool {
		kind, _ := splitProposer(c.proposer.value)
		return such(kind)
	}
	return is(s.choice) || slices.ContainsFunc(s.roles, func(r roleChoice) bool { return is(r.choice) })
}

const (
	mostAmount = 1e6  // hours, dollars, trials, calls
	mostTokens = 1e15 // of a run or session
)

// caps are those of each session. What was not given is the session's to choose.
func (s runSettings) caps() (research.Caps, error) {
	err := cmp.Or(
		positive(s.turns, mostAmount), positive(s.calls, mostAmount), positive(s.submits, mostAmount),
		positive(s.minutes, mostAmount), positive(s.sessionUSD, mostAmount), positive(s.sessionTokens, mostTokens))
	if err != nil {
		return research.Caps{}, err
	}
	return research.Caps{
		Turns: s.turns.value, Calls: s.calls.value, Submits: s.submits.value, USD: s.sessionUSD.value, Tokens: s.sessionTokens.value,
		Time: research.Duration(s.minutes.value * float64(time.Minute)),
	}, nil
}

func positive[T int | int64 | float64](s setting[T], most float64) error {
	if s.given() && !(s.value > 0 && float64(s.value) <= most) {
		return s.at.fault("leave it out for the default", "%v is no cap", s.value)
	}
	return nil
}

// budgets are those of the run. A 0 stands for no cap: whether it may be said is for the caller.
func (s runSettings) budgets() (research.Budgets, error) {
	err := cmp.Or(
		budget(s.trials, mostAmount), budget(s.hours, mostAmount), budget(s.noImprovement, mostAmount),
		budget(s.usd, mostAmount), budget(s.tokens, mostTokens))
	if err != nil {
		return research.Budgets{}, err
	}
	hours := func(h float64) research.Duration { return research.Duration(h * float64(time.Hour)) }
	return research.Budgets{
		Trials: s.trials.value, Time: hours(s.hours.value), NoImprovement: hours(s.noImprovement.value),
		USD: s.usd.value, Tokens: s.tokens.value,
	}, nil
}

func budget[T int | int64 | float64](s setting[T], most float64) error {
	if s.given() && !(s.value >= 0 && float64(s.value) <= most) {
		return s.at.fault("", "%v is no budget", s.value)
	}
	return nil
}

// emptyBudget refuses a budget that leaves nothing to do.
func (s runSettings) emptyBudget() error {
	return cmp.Or(notZero(s.trials), notZero(s.hours), notZero(s.noImprovement), notZero(s.usd), notZero(s.tokens))
}

func notZero[T int | int64 | float64](s setting[T]) error {
	if s.given() && s.value == 0 {
		return s.at.fault("leave it out for a run without that cap", "0 leaves nothing to do")
	}
	return nil
}

// A runConfig is what a run registers of its configuration, and where its prices are.
type runConfig struct {
	arm     research.Arm
	agents  []research.Agent
	caps    research.Caps
	budgets research.Budgets
	prices  string // absolute path of a price table; empty: the built-in one
}

// configure puts together what the configuration file says and what was typed. Flags win.
func configure(t *taskPackage, f runFlags, typed runSettings) (runConfig, error) {
	file, err := readSettings(f.config)
	if err != nil {
		return runConfig{}, err
	}
	all := typed.or(file)
	var c runConfig
	if c.budgets, err = all.budgets(); err != nil {
		return runConfig{}, err
	}
	if err := all.emptyBudget(); err != nil {
		return runConfig{}, err
	}
	if c.caps, err = all.caps(); err != nil {
		return runConfig{}, err
	}
	if all.prices.given() {
		if all.prices.value == "" {
			return runConfig{}, all.prices.at.fault("leave it out for the built-in prices", "no file is named")
		}
		if c.prices, err = all.prices.at.path(all.prices.value); err != nil {
			return runConfig{}, err
		}
	}
	c.arm, c.agents, err = team(t, f, typed, file)
	return c, err
}

// The kinds of proposer.
const (
	kindMutate    = "mutate"
	kindAnthropic = "anthropic"
	kindOpenAI    = "openai"
	kindGemini    = "gemini"
	kindExternal  = "external"
	kindCommand   = "command"
	kindReplay    = "replay"
)

const proposerKinds = "there are: mutate, anthropic:MODEL, openai:MODEL, gemini:MODEL, external, command:COMMAND LINE, replay:RUN"

// splitProposer takes a proposer's name apart: "anthropic" and its model, "command" and its
// command line, "mutate" and nothing.
func splitProposer(name string) (kind, rest string) {
	kind, rest, _ = strings.Cut(name, ":")
	return kind, rest
}

func takesOptions(kind string) bool {
	return kind == kindAnthropic || kind == kindOpenAI || kind == kindGemini
}

// proposerName checks a proposer as it was given, and gives the name under which it is stored.
func proposerName(s setting[string]) (string, error) {
	text := strings.TrimSpace(s.value)
	kind, rest := splitProposer(text)
	switch kind {
	case kindMutate, kindExternal:
		if text != kind {
			return "", s.at.fault(proposerKinds, "%s stands alone", kind)
		}
		return text, nil
	case kindAnthropic, kindOpenAI, kindGemini:
		if rest == "" || strings.ContainsFunc(rest, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
			return "", s.at.fault(kind+":MODEL, with the model's name as its provider writes it", "%s needs a model's name", kind)
		}
		return text, nil
	case kindCommand:
		if strings.TrimSpace(rest) == "" {
			return "", s.at.fault("command:claude -p", "command needs a command line")
		}
		return text, nil
	case kindReplay:
		if rest == "" {
			return "", s.at.fault("replay:runs/golf-cpu-1", "replay needs a run's directory")
		}
		dir, err := s.at.path(rest) // a resume may start elsewhere
		return kindReplay + ":" + dir, err
	}
	return "", s.at.fault(proposerKinds, "no proposer %q", kind)
}

// typed are the settings that were given by flags.
func (f runFlags) typed(changed func(flag string) bool) (runSettings, error) {
	var s runSettings
	if f.parallel < 0 {
		return s, place{flag: "--parallel"}.fault("leave it out for as many trials as fit", "at least 1")
	}
	for _, text := range f.proposers {
		at := place{flag: "--proposer"}
		role, proposer, named := strings.Cut(text, "=")
		// In `command:agent --effort=high` the sign is the command's.
		if !named || strings.ContainsAny(role, ": ") {
			if s.proposer.given() {
				return s, at.fault("write ROLE=PROPOSER for the one that is for a role", "two proposers are given for all roles")
			}
			s.proposer = setting[string]{text, at}
			continue
		}
		if slices.ContainsFunc(s.roles, func(r roleChoice) bool { return r.name.value == role }) {
			return s, at.fault("keep one of the two", "%s is given twice", role)
		}
		s.roles = append(s.roles, roleChoice{name: setting[string]{role, at}, choice: choice{proposer: setting[string]{proposer, at}}})
	}
	from := func(flag string) place {
		if !changed(flag) {
			return place{}
		}
		return place{flag: "--" + flag}
	}
	s.options = optionSettings{
		baseURL: setting[string]{f.baseURL, from("base-url")}, temperature: setting[float64]{f.temperature, from("temperature")},
		thinking: setting[int]{f.thinking, from("thinking")}, maxOutput: setting[int]{f.maxOutput, from("max-output")},
		webSearch: setting[bool]{f.webSearch, from("web-search")},
	}
	s.turns, s.sessionUSD = setting[int]{f.maxTurns, from("max-turns")}, setting[float64]{f.sessionUSD, from("session-usd")}
	s.trials, s.hours = setting[int]{f.trials, from("trials")}, setting[float64]{f.hours, from("hours")}
	s.noImprovement = setting[float64]{f.noImprovement, from("no-improvement")}
	s.usd, s.tokens = setting[float64]{f.usd, from("usd")}, setting[int64]{f.tokens, from("tokens")}
	s.prices = setting[string]{f.prices, from("prices")}
	return s, nil
}
