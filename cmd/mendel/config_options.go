package main

import (
	"cmp"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"mendel/internal/research"
)

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
