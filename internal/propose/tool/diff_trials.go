package tool

import (
	"context"
	_ "embed"

	"mendel/internal/propose/workspace"
)

//go:embed diff_trials.md
var diffTrialsAbout string

type diffTrialsArgs struct {
	From string `json:"from" jsonschema:"trial id, such as 007"`
	To   string `json:"to,omitempty" jsonschema:"trial id; your workspace when it is left out"`
}

func diffTrials() Tool {
	return define("diff_trials", diffTrialsAbout, func(ctx context.Context, k Kit, args diffTrialsArgs) (Answer, error) {
		from, err := trialID(args.From)
		if err != nil {
			return Answer{}, err
		}
		to, err := optionalTrialID(args.To)
		if err != nil {
			return Answer{}, err
		}
		before, err := k.Archive.Tree(ctx, from)
		if err != nil {
			return Answer{}, err
		}
		var after workspace.Tree
		if to == nil {
			after, err = k.Workspace.Snapshot(k.MayEdit)
		} else {
			after, err = k.Archive.Tree(ctx, *to)
		}
		if err != nil {
			return Answer{}, err
		}
		diff := workspace.Diff(before, after)
		if diff == "" {
			return Answer{Text: "The two are the same."}, nil
		}
		return Answer{Text: clip(diff, "read_trial with file shows a whole file")}, nil
	})
}
