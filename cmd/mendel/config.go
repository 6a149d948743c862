package main

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

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

// optionSettings are how models are asked, as far as that was said.
type optionSettings struct {
	baseURL, keyEnv     setting[string]
	temperature         setting[float64]
	thinking, maxOutput setting[int]
	webSearch           setting[bool]
}

func (o optionSettings) or(other optionSettings) optionSettings {
	return optionSettings{
		baseURL: o.baseURL.or(other.baseURL), keyEnv: o.keyEnv.or(other.keyEnv),
		temperature: o.temperature.or(other.temperature), thinking: o.thinking.or(other.thinking),
		maxOutput: o.maxOutput.or(other.maxOutput), webSearch: o.webSearch.or(other.webSearch),
	}
}

// first is the place of an option that was given; false when none was.
func (o optionSettings) first() (place, bool) {
	for _, at := range []place{o.baseURL.at, o.keyEnv.at, o.temperature.at, o.thinking.at, o.maxOutput.at, o.webSearch.at} {
		if at != (place{}) {
			return at, true
		}
	}
	return place{}, false
}

// registered are the options as the run stores them; nil when none was given.
func (o optionSettings) registered() (*research.ProposerOptions, error) {
	if _, any := o.first(); !any {
		return nil, nil
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	r := &research.ProposerOptions{
		BaseURL: o.baseURL.value, KeyEnv: o.keyEnv.value, Thinking: o.thinking.value,
		MaxOutput: o.maxOutput.value, WebSearch: o.webSearch.value,
	}
	if o.temperature.given() {
		r.Temperature = &o.temperature.value
	}
	return r, nil
}

// passSettings are what coding agents get beside what they are known to need.
type passSettings struct {
	env   setting[[]string] // names of environment variables
	hosts setting[[]string]
}

func (p passSettings) or(other passSettings) passSettings {
	return passSettings{env: p.env.or(other.env), hosts: p.hosts.or(other.hosts)}
}

// first is the place of one that was given; false when none was.
func (p passSettings) first() (place, bool) {
	at := cmp.Or(p.env.at, p.hosts.at)
	return at, at != place{}
}

// registered are the settings as the run stores them; nil when none was given.
func (p passSettings) registered() (*research.ProposerOptions, error) {
	if _, any := p.first(); !any {
		return nil, nil
	}
	for _, name := range p.env.value {
		switch {
		case !variableName.MatchString(name):
			return nil, p.env.at.fault("write the variables' names, such as [MY_PROVIDER_KEY], never a key: a run stores its configuration",
				"this is not a list of names of environment variables")
		case slices.Contains([]string{"PATH", "HOME", "TMPDIR"}, name) || strings.HasPrefix(name, "MENDEL_"):
			return nil, p.env.at.fault("leave it out", "an agent gets a %s of its own", name)
		}
	}
	for _, host := range p.hosts.value {
		if !hostName.MatchString(host) {
			return nil, p.hosts.at.fault("such as [api.example.com]: names alone, without https://, port, path or *; addresses are refused",
				"this is not a list of names of hosts")
		}
	}
	return &research.ProposerOptions{PassEnv: p.env.value, Hosts: p.hosts.value}, nil
}

// hostName matches a name whose last part is no number: an address has no certificate to trust.
var hostName = regexp.MustCompile(`^([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z][A-Za-z0-9-]*$`)

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

func (o optionSettings) check() error {
	const mostTokens = 10_000_000
	switch {
	case o.keyEnv.given() && !variableName.MatchString(o.keyEnv.value):
		return o.keyEnv.at.fault("write the variable's name, such as ANTHROPIC_API_KEY, never the key: a run stores its configuration",
			"this is not the name of an environment variable")
	case o.temperature.given() && !(o.temperature.value >= 0 && o.temperature.value <= 2):
		return o.temperature.at.fault("temperatures go from 0 to 2", "%g is no temperature", o.temperature.value)
	case o.thinking.given() && (o.thinking.value < 0 || o.thinking.value > mostTokens):
		return o.thinking.at.fault("0 switches extended thinking off", "%d is no number of tokens", o.thinking.value)
	case o.maxOutput.given() && (o.maxOutput.value < 1 || o.maxOutput.value > mostTokens):
		return o.maxOutput.at.fault("leave it out for the default", "%d is no number of tokens", o.maxOutput.value)
	case o.maxOutput.given() && o.thinking.value >= o.maxOutput.value:
		return o.maxOutput.at.fault("max output counts what is thought and what is said",
			"%d tokens of output leave nothing beside %d of thinking", o.maxOutput.value, o.thinking.value)
	case o.baseURL.given():
		return checkBaseURL(o.baseURL)
	}
	return nil
}

// checkBaseURL refuses an address that could not be called, or that would store a secret.
func checkBaseURL(s setting[string]) error {
	u, err := url.Parse(s.value)
	const hint = "such as http://localhost:8000/v1"
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return s.at.fault(hint, "this is not the address of an HTTP server")
	case u.User != nil, u.RawQuery != "", u.ForceQuery, u.Fragment != "":
		return s.at.fault("name a variable of the environment that holds the key with key_env: a run stores its addresses",
			"an address must hold no user, password, query or fragment")
	}
	return nil
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

// readSettings reads a run's configuration file.
func readSettings(file string) (runSettings, error) {
	if file == "" {
		return runSettings{}, nil
	}
	source, err := os.ReadFile(file)
	if err != nil {
		return runSettings{}, research.Hinted(fmt.Errorf("read the run's configuration: %w", err), "correct --config, or leave it out")
	}
	return parseSettings(file, source)
}

func parseSettings(file string, source []byte) (s runSettings, err error) {
	r := settingsReader{file: file}
	root, err := r.parse(source)
	if err != nil || root == nil {
		return s, err
	}
	fields := choiceFields(r, &s.choice)
	fields["roles"] = func(pair *ast.MappingValueNode) error { return r.roles(pair, &s.roles) }
	fields["prices"] = field(r, &s.prices)
	fields["session"] = r.group(map[string]reading{
		"turns": field(r, &s.turns), "calls": field(r, &s.calls), "submits": field(r, &s.submits),
		"minutes": field(r, &s.minutes), "usd": field(r, &s.sessionUSD), "tokens": field(r, &s.sessionTokens),
	})
	fields["budgets"] = r.group(map[string]reading{
		"trials": field(r, &s.trials), "hours": field(r, &s.hours), "no_improvement": field(r, &s.noImprovement),
		"usd": field(r, &s.usd), "tokens": field(r, &s.tokens),
	})
	return s, r.mapping(root, r.at(root.GetToken()), fields)
}

// A settingsReader turns YAML into settings that know where they stand.
type settingsReader struct{ file string }

// A reading takes in the value of one key.
type reading func(*ast.MappingValueNode) error

func (r settingsReader) at(t *token.Token) place {
	if t == nil || t.Position == nil {
		return place{file: r.file, line: 1, col: 1}
	}
	return place{file: r.file, line: t.Position.Line, col: t.Position.Column}
}

// parse gives the body of the file's only document; nil when there is nothing in it.
func (r settingsReader) parse(source []byte) (body ast.Node, err error) {
	defer func() {
		// The parser is not ours, and a file can hold anything.
		if recover() != nil {
			body, err = nil, r.at(nil).fault("check the file for stray control characters", "this cannot be read as YAML")
		}
	}()
	file, err := parser.ParseBytes(source, 0)
	if err != nil {
		var located yaml.Error
		if errors.As(err, &located) {
			return nil, r.at(located.GetToken()).fault("check the indentation, and put values that contain : # { } [ ] , in quotes", "%s", located.GetMessage())
		}
		return nil, r.at(nil).fault("", "%v", err)
	}
	for _, doc := range file.Docs {
		switch {
		case doc.Body == nil || doc.Body.Type() == ast.CommentType || doc.Body.Type() == ast.NullType:
		case body != nil:
			return nil, r.at(doc.Body.GetToken()).fault("remove the `---` and what follows it", "a second YAML document begins here")
		default:
			body = doc.Body
		}
	}
	return body, nil
}

func pairsOf(n ast.Node) ([]*ast.MappingValueNode, bool) {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, true
	}
	return nil, false
}

func (r settingsReader) mapping(n ast.Node, at place, fields map[string]reading) error {
	known := strings.Join(slices.Sorted(maps.Keys(fields)), ", ")
	pairs, ok := pairsOf(n)
	if !ok {
		return at.fault("known keys here: "+known, "keys and values are wanted here")
	}
	for _, pair := range pairs {
		name := pair.Key.GetToken()
		read, ok := fields[name.Value]
		if !ok {
			return r.at(name).fault("known keys here: "+known, "unknown key %q", name.Value)
		}
		if err := read(pair); err != nil {
			return err
		}
	}
	return nil
}

func (r settingsReader) group(fields map[string]reading) reading {
	return func(pair *ast.MappingValueNode) error {
		return r.mapping(pair.Value, r.at(pair.Key.GetToken()), fields)
	}
}

func choiceFields(r settingsReader, c *choice) map[string]reading {
	return map[string]reading{
		"proposer": field(r, &c.proposer),
		"base_url": field(r, &c.options.baseURL), "key_env": field(r, &c.options.keyEnv),
		"temperature": field(r, &c.options.temperature), "thinking": field(r, &c.options.thinking),
		"max_output": field(r, &c.options.maxOutput), "web_search": field(r, &c.options.webSearch),
		"pass_env": list(r, &c.passes.env), "hosts": list(r, &c.passes.hosts),
	}
}

// roles reads choices by role: `arch: mutate`, or `arch: {proposer: …, temperature: 1}`.
func (r settingsReader) roles(pair *ast.MappingValueNode, into *[]roleChoice) error {
	pairs, ok := pairsOf(pair.Value)
	if !ok {
		return r.at(pair.Key.GetToken()).fault("write `ROLE: PROPOSER` lines below it", "roles and their proposers are wanted here")
	}
	for _, pair := range pairs {
		name := pair.Key.GetToken()
		role := roleChoice{name: setting[string]{name.Value, r.at(name)}}
		read := field(r, &role.proposer)
		if _, several := pairsOf(pair.Value); several {
			read = r.group(choiceFields(r, &role.choice))
		}
		if err := read(pair); err != nil {
			return err
		}
		*into = append(*into, role)
	}
	return nil
}

// field reads a single value.
func field[T string | int | int64 | float64 | bool](r settingsReader, into *setting[T]) reading {
	return func(pair *ast.MappingValueNode) error {
		name := pair.Key.GetToken().Value
		into.at = r.at(pair.Value.GetToken())
		switch pair.Value.(type) {
		case *ast.StringNode, *ast.LiteralNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
			// The decoder would cut a fraction off.
			whole := pair.Value.Type() != ast.FloatType || wanted(into.value) != wholeNumber
			if whole && yaml.NodeToValue(pair.Value, &into.value) == nil {
				return nil
			}
		default:
			into.at = r.at(pair.Key.GetToken())
		}
		return into.at.fault("", "%s wants %s", name, wanted(into.value))
	}
}

// list reads a list of texts.
func list(r settingsReader, into *setting[[]string]) reading {
	return func(pair *ast.MappingValueNode) error {
		into.at = r.at(pair.Key.GetToken())
		name := pair.Key.GetToken().Value
		items, ok := pair.Value.(*ast.SequenceNode)
		if !ok {
			return into.at.fault(name+": [ONE, ANOTHER]", "%s wants a list", name)
		}
		for _, item := range items.Values {
			text, ok := item.(*ast.StringNode)
			if !ok {
				return into.at.fault("", "%s wants a list of names", name)
			}
			into.value = append(into.value, text.Value)
		}
		return nil
	}
}

const wholeNumber = "a whole number"

func wanted(v any) string {
	switch v.(type) {
	case bool:
		return "true or false"
	case int, int64:
		return wholeNumber
	case float64:
		return "a number"
	default:
		return "one line of text"
	}
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
