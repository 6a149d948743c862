package replay

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"mendel/internal/propose/session"
	"mendel/internal/propose/tool"
	"mendel/internal/research"
)

// Proposer plays the plan; one serves all agents. It also has Exhausted() bool, which says that
// there is nothing left to propose.
func (p *Plan) Proposer() session.Proposer { return p }

// Propose submits the next step of the session's role, once all steps before it are submitted,
// and waits for its verdict. A step that is refused is skipped. The session ends without a
// submission when its role has no step left, or when refusals have used up its tool calls.
func (p *Plan) Propose(ctx context.Context, s *session.Session) error {
	const callsPerStep = 4 // or less
	for range max(1, s.Caps().Calls/callsPerStep) {
		step, ok, err := p.claim(ctx, s.Brief().Agent.Role)
		if err != nil || !ok {
			return err
		}
		id, refusal, err := p.submit(ctx, s, step)
		switch {
		case err != nil:
			p.release()
			return fmt.Errorf("replay of %s: %w", step.Old, err)
		case refusal != "":
			note(s, "replay of %s: skipped: %s", step.Old, refusal)
			p.skip(step, refusal)
		default:
			p.submitted(step, id)
			_, err := call(ctx, s, "await_trial", map[string]any{"trial": id.String()})
			p.judged()
			return err
		}
	}
	return nil
}

// submit builds a step's tree on its parent and submits it. A refusal is why the run does not
// take it.
func (p *Plan) submit(ctx context.Context, s *session.Session, step Step) (id research.TrialID, refusal string, err error) {
	parent, why := p.parentOf(step)
	if why != "" {
		note(s, "replay of %s: %s", step.Old, why)
	}
	if err := p.rebase(ctx, s, parent); err != nil {
		return 0, "", err
	}
	if err := write(s.WorkspaceDir(), step.Tree); err != nil {
		return 0, "", err
	}
	notes := fmt.Sprintf("replay of %s: %s", step.Old, cmp.Or(step.Notes, "by "+step.Role+", "+step.Proposer))
	if why != "" {
		notes = fmt.Sprintf("replay of %s (%s): %s", step.Old, why, step.Notes)
	}
	args := map[string]any{
		"hypothesis": clip(cmp.Or(strings.TrimSpace(step.Hypothesis), "none was given"), 2000),
		"notes":      clip(notes, 4000),
		"key":        KeyOf(step.Old), "expected_delta": 0.0,
	}
	if step.Expected != nil {
		args["expected_delta"] = *step.Expected
	}
	answer, err := call(ctx, s, "submit_trial", args)
	if err != nil {
		return 0, "", err
	}
	if answer.IsError {
		return 0, answer.Text, nil
	}
	submitted, ok := answer.Data.(tool.Submitted)
	if !ok {
		return 0, "", fmt.Errorf("submit_trial gave no trial id: %s", answer.Text)
	}
	return submitted.Trial, "", nil
}

// rebase makes the workspace a copy of a trial, which may still be being measured. Where the run
// does not allow it, the workspace stays what it is: a copy of the incumbent.
func (p *Plan) rebase(ctx context.Context, s *session.Session, id research.TrialID) error {
	if err := p.untilJudged(ctx, s, id); err != nil {
		return err
	}
	answer, err := call(ctx, s, "rebase_to", map[string]any{"trial": id.String()})
	if err == nil && answer.IsError {
		note(s, "built on the incumbent: %s", answer.Text)
	}
	return err
}

// untilJudged waits for the verdict on a trial that another session awaits. A verdict that no
// session of this supervisor awaits, after a resume, is looked for from time to time.
func (p *Plan) untilJudged(ctx context.Context, s *session.Session, id research.TrialID) error {
	const first, most = time.Second, time.Minute
	for pause := first; ; pause = min(2*pause, most) {
		changed := p.change() // before looking, so that no verdict falls between
		answer, err := call(ctx, s, "read_trial", map[string]any{"trial": id.String()})
		if err != nil || answer.IsError || answer.Data != nil {
			return err // a trial that cannot be read is for rebase_to to refuse
		}
		timer := time.NewTimer(pause)
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

func call(ctx context.Context, s *session.Session, name string, args map[string]any) (tool.Answer, error) {
	raw, err := json.Marshal(args)
	if err != nil {
		return tool.Answer{}, fmt.Errorf("arguments of %s: %w", name, err)
	}
	return s.Call(ctx, name, raw)
}

func note(s *session.Session, format string, args ...any) {
	s.Note(session.Entry{Kind: session.Noted, Text: fmt.Sprintf(format, args...)})
}

// clip shortens a text to what submit_trial takes.
func clip(text string, most int) string {
	const mark = "…"
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most-len(mark)], "") + mark
}
