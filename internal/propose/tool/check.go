package tool

import (
	"context"
	_ "embed"

	"mendel/internal/research"
)

//go:embed check.md
var checkAbout string

type checkArgs struct{}

// check makes a tool of one of the task's checks.
func check(name string, card research.CheckCard) Tool {
	about := card.About
	if about != "" {
		about += " "
	}
	return define(name, about+checkAbout, func(ctx context.Context, k Kit, _ checkArgs) (Answer, error) {
		r, err := k.Runner.Check(ctx, card.Name, k.Workspace.Dir())
		return resultOf(r, name), err
	})
}
