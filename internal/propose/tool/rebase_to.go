package tool

import (
	"context"
	_ "embed"
	"fmt"

	"mendel/internal/research"
)

//go:embed rebase_to.md
var rebaseToAbout string

type rebaseToArgs struct {
	Trial string `json:"trial" jsonschema:"trial id, such as 007"`
}

// rebaseTo moves a session to another trial. Without lineage the incumbent is the only other
// trial that a session knows of.
func rebaseTo(withLineage bool) Tool {
	about := rebaseToAbout
	if !withLineage {
		about = "Start again from the incumbent: your workspace becomes a copy of its recipe, and all edits are dropped."
	}
	return define("rebase_to", about, func(ctx context.Context, k Kit, args rebaseToArgs) (Answer, error) {
		id, err := trialID(args.Trial)
		if err != nil {
			return Answer{}, err
		}
		if !withLineage && id != k.Brief.Incumbent.ID {
			return Answer{}, research.Misuse("", "you can start again from %s, the incumbent, and from no other trial", k.Brief.Incumbent.ID)
		}
		if withLineage {
			t, err := k.Archive.Trial(ctx, id)
			if err != nil {
				return Answer{}, err
			}
			if t.Status == "" {
				return Answer{}, research.Misuse("Choose a trial with a verdict; list_trials shows them.", "trial %s is still being measured", id)
			}
		}
		tree, err := k.Archive.Tree(ctx, id)
		if err != nil {
			return Answer{}, err
		}
		if err := k.Episode.Rebase(id, tree); err != nil {
			return Answer{}, err
		}
		return Answer{Text: fmt.Sprintf("Your workspace is a copy of trial %s (%d files). Edits that were not submitted are gone.", id, len(tree))}, nil
	})
}
