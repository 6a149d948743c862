package tool

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	"mendel/internal/research"
)

//go:embed await_trial.md
var awaitTrialAbout string

type awaitTrialArgs struct {
	Trial   string `json:"trial" jsonschema:"trial id, such as 007"`
	Seconds int    `json:"seconds,omitempty" jsonschema:"how long to wait at most; until the verdict unless given"`
}

func awaitTrial() Tool {
	return define("await_trial", awaitTrialAbout, func(ctx context.Context, k Kit, args awaitTrialArgs) (Answer, error) {
		id, err := trialID(args.Trial)
		if err != nil {
			return Answer{}, err
		}
		if args.Seconds < 0 {
			return Answer{}, research.Misuse("Leave it out to wait for the verdict.", "seconds must not be negative")
		}
		t, done, err := k.Episode.Await(ctx, id, time.Duration(args.Seconds)*time.Second)
		if err != nil {
			return Answer{}, err
		}
		if !done {
			return Answer{Text: fmt.Sprintf("Trial %s is still being measured. Call await_trial again.", id)}, nil
		}
		text := describe(t, k.Brief.Task.Score)
		if t.Measurement != nil && t.Measurement.Crash != nil {
			text += trainOutput(t)
		}
		how := "read_trial has its metrics, and with file= a file as it was"
		if !k.Brief.Arm.Lineage {
			how = "the rest cannot be shown"
		}
		return Answer{Text: clip(text, how), Data: dataOf(t, k.Brief.Task.Score)}, nil
	})
}
