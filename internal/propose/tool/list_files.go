package tool

import (
	"context"
	_ "embed"
	"fmt"
	"strings"
)

//go:embed list_files.md
var listFilesAbout string

type listFilesArgs struct {
	Under string `json:"under,omitempty" jsonschema:"only files whose path begins so, such as src/"`
}

func listFiles() Tool {
	return define("list_files", listFilesAbout, func(_ context.Context, k Kit, args listFilesArgs) (Answer, error) {
		entries, err := k.Workspace.List()
		if err != nil {
			return Answer{}, err
		}
		prefix := strings.TrimPrefix(strings.TrimPrefix(args.Under, "/recipe/"), "./")
		var b strings.Builder
		for _, e := range entries {
			if !strings.HasPrefix(e.Path, prefix) {
				continue
			}
			fmt.Fprintf(&b, "%s  %d", e.Path, e.Size)
			if k.MayEdit(e.Path) {
				b.WriteString("  (may be edited)")
			}
			b.WriteString("\n")
		}
		if b.Len() == 0 {
			return Answer{Text: "There are no such files."}, nil
		}
		return Answer{Text: clip(b.String(), "narrow with under=DIRECTORY/")}, nil
	})
}
