package tool

import (
	"context"
	_ "embed"
	"fmt"
	"strings"

	"mendel/internal/research"
)

//go:embed submit_trial.md
var submitTrialAbout string

type submitTrialArgs struct {
	Hypothesis    string  `json:"hypothesis" jsonschema:"what changes, why it should help, what it may cost"`
	ExpectedDelta float64 `json:"expected_delta" jsonschema:"forecast of score minus the incumbent's score, signed, in the score's unit"`
	Parent        string  `json:"parent,omitempty" jsonschema:"the trial that the workspace is built on; it is known and may be left out"`
	Notes         string  `json:"notes,omitempty" jsonschema:"anything that helps whoever reads this trial later"`
	Key           string  `json:"key,omitempty" jsonschema:"any text; a call that repeats it gets the first call's trial"`
}

// Submitted is the data of a submit.
type Submitted struct {
	Trial research.TrialID `json:"trial"`
}

func submitTrial() Tool {
	return define("submit_trial", submitTrialAbout, func(ctx context.Context, k Kit, args submitTrialArgs) (Answer, error) {
		const longestHypothesis, longestNotes, longestKey = 2000, 4000, 200
		s := Submission{
			Hypothesis: strings.TrimSpace(args.Hypothesis), Expected: args.ExpectedDelta,
			Notes: strings.TrimSpace(args.Notes), Key: args.Key,
		}
		switch {
		case s.Hypothesis == "":
			return Answer{}, research.Misuse("Say what changes and why it should help.", "the hypothesis is empty")
		case len(s.Hypothesis) > longestHypothesis:
			return Answer{}, research.Misuse("Put the rest into notes.", "the hypothesis has %d bytes, more than %d", len(s.Hypothesis), longestHypothesis)
		case len(s.Notes) > longestNotes:
			return Answer{}, research.Misuse("Keep what the next reader needs.", "the notes have %d bytes, more than %d", len(s.Notes), longestNotes)
		case len(s.Key) > longestKey:
			return Answer{}, research.Misuse("Any short text will do.", "the key has %d bytes, more than %d", len(s.Key), longestKey)
		}
		var err error
		if s.Parent, err = optionalTrialID(args.Parent); err != nil {
			return Answer{}, err
		}
		id, repeated, err := k.Episode.Submit(ctx, s)
		if err != nil {
			return Answer{}, err
		}
		text := fmt.Sprintf("Submitted as trial %s. await_trial gives the verdict.", id)
		if repeated {
			text = fmt.Sprintf("This was submitted before as trial %s; nothing new is spent.", id)
		}
		return Answer{Text: text, Data: Submitted{Trial: id}}, nil
	})
}
