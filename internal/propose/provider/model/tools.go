package model

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"mendel/internal/propose/session"
	"mendel/internal/propose/tool"
)

// A model's calls have no time-out of their own, so submitting and waiting for the verdict are
// one call for it.
const (
	submit = "submit_trial"
	await  = "await_trial"
)

// The words of submit_trial that are different for a model.
const (
	givesID      = "The answer is the trial's id; await_trial gives the verdict."
	givesVerdict = "The answer comes when the trial has been measured: its status, score and margins, and the crash excerpt if it failed."
	thenAwait    = " await_trial gives the verdict."
)

// offered is what a model sees of the session's tools.
func offered(all []tool.Definition) []tool.Definition {
	list := slices.DeleteFunc(slices.Clone(all), func(t tool.Definition) bool { return t.Name == await })
	for i := range list {
		if list[i].Name == submit {
			list[i].Description = strings.Replace(list[i].Description, givesID, givesVerdict, 1)
		}
	}
	return list
}

// answer runs one call.
func (e *episode) answer(ctx context.Context, c Call, torn bool) (tool.Answer, error) {
	if torn {
		text := fmt.Sprintf("Your reply was cut off at %d tokens, in the midst of this call, so nothing was done. Make the call again with less in it, one small edit at a time.",
			e.request.MaxOutput)
		e.session.Note(session.Entry{Kind: session.ToolCall, Turn: e.turn, Name: c.Name, Args: c.Args})
		e.session.Note(session.Entry{Kind: session.ToolAnswer, Turn: e.turn, Name: c.Name, Text: text, Error: true})
		return tool.Answer{IsError: true, Text: text}, nil
	}
	if c.Name == submit {
		return e.submit(ctx, c.Args)
	}
	bounded, cancel := e.session.Bounded(ctx)
	defer cancel()
	answer, err := e.session.Call(bounded, c.Name, c.Args)
	return answer, capped(ctx, bounded, err)
}

// submit submits and waits for the verdict, which the session's time does not count.
func (e *episode) submit(ctx context.Context, args json.RawMessage) (tool.Answer, error) {
	first, err := e.session.Call(ctx, submit, args)
	made, ok := first.Data.(tool.Submitted)
	if err != nil || !ok {
		return first, err
	}
	wait, err := json.Marshal(map[string]string{"trial": made.Trial.String()})
	if err != nil {
		return tool.Answer{}, err
	}
	for {
		verdict, err := e.session.Call(ctx, await, wait)
		if err != nil {
			return verdict, err
		}
		if verdict.IsError || verdict.Data != nil {
			verdict.Text = strings.TrimSuffix(first.Text, thenAwait) + "\n" + verdict.Text
			return verdict, nil
		}
	}
}

func isObject(args json.RawMessage) bool {
	trimmed := bytes.TrimSpace(args)
	return len(trimmed) > 0 && trimmed[0] == '{' && json.Valid(trimmed)
}
