package tool

import (
	"context"
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strings"

	"mendel/internal/propose/workspace"
	"mendel/internal/research"
)

//go:embed read_trial.md
var readTrialAbout string

type readTrialArgs struct {
	Trial    string `json:"trial" jsonschema:"trial id, such as 007"`
	File     string `json:"file,omitempty" jsonschema:"a file of that trial's recipe"`
	FromLine int    `json:"from_line,omitempty" jsonschema:"first line of the file to show, counted from 1"`
}

// howToReadOn is for an answer that was cut.
const howToReadOn = "read_trial with file= shows a file of it, diff_trials its edit"

func readTrial() Tool {
	return define("read_trial", readTrialAbout, func(ctx context.Context, k Kit, args readTrialArgs) (Answer, error) {
		id, err := trialID(args.Trial)
		if err != nil {
			return Answer{}, err
		}
		if args.File != "" {
			return trialFile(ctx, k, id, args)
		}
		t, err := k.Archive.Trial(ctx, id)
		if err != nil {
			return Answer{}, err
		}
		text := proposalText(t)
		if t.Status == "" {
			return Answer{Text: clip(text+"It is being measured.\n", howToReadOn)}, nil
		}
		text += describe(t, k.Brief.Task.Score) + metricsText(t) + trainOutput(t)
		return Answer{Text: clip(text, howToReadOn), Data: dataOf(t, k.Brief.Task.Score)}, nil
	})
}

func trialFile(ctx context.Context, k Kit, id research.TrialID, args readTrialArgs) (Answer, error) {
	path, err := workspace.Clean(args.File)
	if err != nil {
		return Answer{}, err
	}
	tree, err := k.Archive.Tree(ctx, id)
	if err != nil {
		return Answer{}, err
	}
	f, ok := tree.Get(path)
	if !ok {
		var names []string
		for _, f := range tree {
			names = append(names, f.Path)
		}
		return Answer{}, research.Misuse("It has "+head(strings.Join(names, ", "), 2000)+".", "trial %s has no file %s", id, path)
	}
	return excerptOf(path, strings.ToValidUTF8(string(f.Data), "?"), args.FromLine, 0)
}

func proposalText(t research.Trial) string {
	if t.ID == research.Baseline {
		return "Trial 000 is the baseline, the recipe as the run found it.\n"
	}
	p := t.Proposal
	text := fmt.Sprintf("Trial %s by %s, built on %s.\nHypothesis: %s\n", t.ID, p.Role, p.Parent, p.Hypothesis)
	if p.Notes != "" {
		text += "Notes: " + p.Notes + "\n"
	}
	return text
}

// metricsText lists the metrics, and what the phases took. Of a process that has seen the
// evaluator's questions it tells only whether it ended well: its times, its memory and the way it
// ended are for it to choose, and could spell out what it saw.
func metricsText(t research.Trial) string {
	m := t.Measurement
	if m == nil || aborted(t) {
		return ""
	}
	var b strings.Builder
	for i, name := range slices.Sorted(maps.Keys(m.Metrics)) {
		if i == 0 {
			b.WriteString("Metrics:\n")
		}
		v := m.Metrics[name]
		fmt.Fprintf(&b, "- %s: %s", name, research.Quantity(v.Value, v.Unit))
		if v.Source == research.FromRecipeLog {
			b.WriteString(" (self-reported)")
		}
		b.WriteString("\n")
	}
	for _, run := range m.Phases {
		if run.OperatorOnly {
			ended := "did not end well"
			if run.Ended == "ok" {
				ended = "ended ok"
			}
			fmt.Fprintf(&b, "Phase %s: %s\n", run.Phase, ended)
			continue
		}
		fmt.Fprintf(&b, "Phase %s: %s s wall, %s s CPU, %s MB at most, ended %s\n", run.Phase, research.Number(round3(float64(run.Wall))),
			research.Number(round3(float64(run.CPU))), research.Number(float64(run.MaxRSS/1e6)), run.Ended)
	}
	return b.String()
}

// round3 drops what is below a thousandth: times do not mean more.
func round3(v float64) float64 { return float64(int64(v*1000+0.5)) / 1000 }
