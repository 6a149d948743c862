package tool

import (
	"context"
	_ "embed"
	"strings"

	"mendel/internal/research"
)

//go:embed bash.md
var bashAbout string

type bashArgs struct {
	Command string `json:"command" jsonschema:"command line for bash"`
}

func bash() Tool {
	return define("bash", bashAbout, func(ctx context.Context, k Kit, args bashArgs) (Answer, error) {
		if strings.TrimSpace(args.Command) == "" {
			return Answer{}, research.Misuse("Give the command line in command.", "the command is empty")
		}
		r, err := k.Runner.Shell(ctx, k.Workspace.Dir(), args.Command)
		return resultOf(r, "The command"), err
	})
}

// resultOf answers with how a program ended and what it printed.
func resultOf(r CheckResult, what string) Answer {
	verdict := what + " succeeded."
	if !r.OK {
		verdict = what + " failed."
	}
	text := strings.TrimRight(strings.ToValidUTF8(r.Output, "?"), "\n")
	if text != "" {
		verdict = "\n" + verdict
	}
	return Answer{
		Text: clipMiddle(text+verdict, "narrow it with grep, head or tail"),
		Data: Result{OK: r.OK}, CPU: r.CPU,
	}
}

// Result is the data of a check or command: whether it succeeded.
type Result struct {
	OK bool `json:"ok"`
}
