package tool

import (
	"context"
	_ "embed"
	"fmt"
	"strings"

	"mendel/internal/propose/workspace"
	"mendel/internal/research"
)

//go:embed edit_file.md
var editFileAbout string

type editFileArgs struct {
	Path string `json:"path" jsonschema:"file, relative to the workspace"`
	Old  string `json:"old" jsonschema:"exact text to replace, which stands once in the file; empty to make a new file"`
	New  string `json:"new" jsonschema:"text to put in its place"`
}

func editFile() Tool {
	return define("edit_file", editFileAbout, func(_ context.Context, k Kit, args editFileArgs) (Answer, error) {
		path, err := workspace.Clean(args.Path)
		if err != nil {
			return Answer{}, err
		}
		if !k.MayEdit(path) {
			return Answer{}, outsideRadius(k.Brief, path)
		}
		line, err := k.Workspace.Edit(path, args.Old, args.New)
		if err != nil {
			return Answer{}, err
		}
		if args.Old == "" {
			return Answer{Text: fmt.Sprintf("%s is made (%d lines).", path, strings.Count(args.New, "\n"))}, nil
		}
		return Answer{Text: fmt.Sprintf("%s is edited at line %d.", path, line)}, nil
	})
}

func outsideRadius(b research.Brief, path string) error {
	mend := "Nothing here may be edited by your role."
	if radius := b.Role.MayEdit; len(radius) > 0 {
		mend = fmt.Sprintf("Your role may edit %s.", strings.Join(radius, ", "))
	} else if len(b.Task.Editable) > 0 {
		mend = fmt.Sprintf("What may change is %s.", strings.Join(b.Task.Editable, ", "))
	}
	return research.Misuse(mend, "%s can be read but not edited by your role", path)
}
