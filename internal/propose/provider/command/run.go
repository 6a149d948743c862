package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"mendel/internal/propose/session"
	"mendel/internal/research"
)

// A run is one agent process from start to end.
type run struct {
	proposer *Proposer
	session  *session.Session
	stay     *stay
	meter    *meter
	worst    research.Charge
}

// play runs the agent and says how the session ended.
func (r *run) play(ctx context.Context, program string) error {
	p := r.proposer
	stdin, err := os.Open(r.stay.prompt)
	if err != nil {
		return fmt.Errorf("open the agent's prompt: %w", err)
	}
	defer stdin.Close()
	words := slices.Clone(p.argv[1:])
	if p.agent.argv != nil {
		server := mcpServer{Command: p.options.Self, Args: []string{"mcp", "--socket", r.stay.socket}}
		words = p.agent.argv(words, arguments{config: r.stay.config, server: server, worst: r.worst})
	}
	stdout := &lines{name: "stdout", session: r.session, secret: r.stay.secret}
	stderr := &lines{name: "stderr", session: r.session, secret: r.stay.secret}
	bounded, cancel := r.session.Bounded(ctx)
	defer cancel()
	life, end := context.WithCancelCause(bounded)
	defer end(nil)
	if p.agent.report != nil {
		stdout.report = func(line []byte) {
			p.agent.report(line, r.meter)
			if most := r.worst.Tokens; most > 0 && !r.meter.final && r.meter.withNext() > most {
				end(fmt.Errorf("%w: %d of %d tokens are used, and the next reply could pass that", session.ErrCapped, r.meter.usage.Tokens(), most))
			}
		}
	}
	process, err := p.options.Box.Start(life, Spec{
		Argv: append([]string{program}, words...), Env: r.environment(),
		Workspace: r.session.WorkspaceDir(), Home: r.stay.home,
		Readable: []string{r.stay.socket, r.stay.config, r.stay.prompt, p.options.Self},
		Hosts:    append(slices.Clone(p.agent.hosts), p.options.Hosts...),
		Stdin:    stdin, Stdout: stdout, Stderr: stderr,
	})
	if err != nil {
		return startFailure(p.agent.name, err)
	}
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		r.watch(life, end)
	}()
	exit := process.Wait()
	why := context.Cause(life) // before we end it ourselves
	end(nil)
	<-watched
	stdout.flush()
	stderr.flush()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if why == nil {
		why = r.guardError()
	}
	if why != nil {
		return why
	}
	return r.conclude(exit, stdout, stderr)
}

// environment is all of the agent's but what its box adds.
func (r *run) environment() []string {
	y := r.stay
	env := []string{
		"HOME=" + y.home, "TMPDIR=" + y.home + "/tmp", "LANG=C.UTF-8", "TERM=dumb", "NO_COLOR=1",
		"MENDEL_SOCKET=" + y.socket, "MENDEL_MCP_CONFIG=" + y.config, "MENDEL_PROMPT_FILE=" + y.prompt,
	}
	return append(append(env, r.proposer.agent.env...), y.keys...)
}

// watch ends the agent when its session can answer no more.
func (r *run) watch(ctx context.Context, end context.CancelCauseFunc) {
	select {
	case <-ctx.Done():
	case <-r.stay.guard.failed:
		end(r.stay.guard.err)
	}
}

// guardError is what ended the session, when the agent ended by itself just after.
func (r *run) guardError() error {
	select {
	case <-r.stay.guard.failed:
		return r.stay.guard.err
	default:
		return nil
	}
}

// conclude judges an agent that ended by itself.
func (r *run) conclude(exit Exit, stdout, stderr *lines) error {
	m, name := r.meter, r.proposer.agent.name
	said := r.stay.secret.clean(m.complaint)
	switch {
	case m.ending != nil:
		return fmt.Errorf("%w: %s stopped itself", m.ending, name)
	case exit.Err == nil && exit.Code == 0 && said == "":
		return nil
	}
	if said == "" {
		if said = stderr.last(); said == "" {
			said = stdout.last()
		}
	}
	how := fmt.Sprintf("exit status %d", exit.Code)
	if exit.Err != nil {
		how = exit.Err.Error()
	}
	err := fmt.Errorf("agent %s ended with %s: %s", name, how, brief(said))
	// What a model said and read is no word of the agent's own; only an unknown agent mixes them.
	words := append(slices.Clone(stderr.tail), said)
	if r.proposer.agent.report == nil {
		words = append(words, stdout.tail...)
	}
	return classify(err, r.proposer.agent, exit.Code, strings.ToLower(strings.Join(words, "\n")))
}

// brief is a text's first line, short enough for an error.
func brief(text string) string {
	text, _, _ = strings.Cut(strings.TrimSpace(text), "\n")
	if len(text) > 300 {
		text = strings.ToValidUTF8(text[:300], "") + "…"
	}
	if text == "" {
		return "it said nothing"
	}
	return text
}

// The words in which agents and their providers complain.
var (
	badLogin = regexp.MustCompile(`not logged in|please run /login|(invalid|incorrect) api key|authentication_error|invalid_api_key|api key not valid|set an auth method|` + status("401"))
	noCredit = regexp.MustCompile(`credit balance is too low|insufficient_quota`)
	busy     = regexp.MustCompile(`rate.?limit|overloaded|usage limit|resource_exhausted|` + status("429|529|503"))
)

// status matches an HTTP status where one is spoken of, and no other number.
func status(codes string) string {
	return `(?m:^|\b(?:http|status|code|error):? +)(?:` + codes + `)\b`
}

// classify decides what a failure means for the run.
func classify(err error, a agent, code int, said string) error {
	const authenticationError = 41 // Gemini CLI
	switch {
	case badLogin.MatchString(said) || a.name == "gemini" && code == authenticationError:
		return &session.Failure{Class: session.Misconfigured, Err: err, Hint: loginHint(a)}
	case noCredit.MatchString(said):
		return &session.Failure{Class: session.Misconfigured, Err: err, Hint: "add credit to the account"}
	case busy.MatchString(said):
		return &session.Failure{Class: session.Unavailable, Err: err}
	}
	return err
}

func loginHint(a agent) string {
	if len(a.keys) == 0 {
		return "the agent finds no credential in its fresh home; name the environment variables that it needs with pass_env (docs/agents.md)"
	}
	return fmt.Sprintf("set %s, or log in with `%s` so that ~/%s is there", strings.Join(a.keys, " or "), a.name, a.file)
}

// startFailure is an agent that did not come up at all.
func startFailure(name string, err error) error {
	err = fmt.Errorf("start agent %s: %w", name, err)
	if hint := research.Hint(err); hint != "" && !errors.Is(err, context.Canceled) {
		return &session.Failure{Class: session.Misconfigured, Err: err, Hint: hint}
	}
	return err
}
