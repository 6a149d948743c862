package tool

import (
	"context"
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"mendel/internal/propose/prompt"
	"mendel/internal/research"
)

//go:embed list_trials.md
var listTrialsAbout string

type listTrialsArgs struct {
	Role   string `json:"role,omitempty" jsonschema:"only trials of this role"`
	Status string `json:"status,omitempty" jsonschema:"only trials of this status"`
	Parent string `json:"parent,omitempty" jsonschema:"only trials built on this one"`
	Text   string `json:"text,omitempty" jsonschema:"only trials whose hypothesis or notes hold this text"`
	Before string `json:"before,omitempty" jsonschema:"only trials with a smaller id than this"`
	Limit  int    `json:"limit,omitempty" jsonschema:"how many at most; 20 unless given, up to 100"`
}

func listTrials() Tool {
	return define("list_trials", listTrialsAbout, func(ctx context.Context, k Kit, args listTrialsArgs) (Answer, error) {
		q := Query{Role: args.Role, Status: research.Status(args.Status), Text: args.Text, Limit: 20}
		if args.Limit > 0 {
			q.Limit = min(args.Limit, 100)
		}
		if q.Status != "" && !slices.Contains(research.Statuses(), q.Status) {
			return Answer{}, research.Misuse("Statuses are "+statusList()+".", "there is no status %q", args.Status)
		}
		var err error
		if q.Parent, err = optionalTrialID(args.Parent); err != nil {
			return Answer{}, err
		}
		if q.Before, err = optionalTrialID(args.Before); err != nil {
			return Answer{}, err
		}
		trials, err := k.Archive.Trials(ctx, q)
		if err != nil {
			return Answer{}, err
		}
		full := len(trials) == q.Limit
		trials = slices.DeleteFunc(slices.Clone(trials), func(t research.Trial) bool {
			return aborted(t) || q.Parent != nil && t.ID == research.Baseline // it has no parent
		})
		if len(trials) == 0 {
			return Answer{Text: "No trial matches."}, nil
		}
		var b strings.Builder
		for _, t := range trials {
			b.WriteString(prompt.Line(t, k.Brief.Task.Score) + "\n")
		}
		if full && trials[len(trials)-1].ID > research.Baseline {
			fmt.Fprintf(&b, "[there may be more: before=%s]\n", trials[len(trials)-1].ID)
		}
		return Answer{Text: clip(b.String(), "narrow with role, status, parent, text, or a smaller limit")}, nil
	})
}

func statusList() string {
	var names []string
	for _, s := range research.Statuses() {
		if s != research.Status(research.Aborted) {
			names = append(names, string(s))
		}
	}
	return strings.Join(names, ", ")
}
