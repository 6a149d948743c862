package tool

import (
	"context"
	_ "embed"
	"fmt"
	"strings"
)

//go:embed search_files.md
var searchFilesAbout string

type searchFilesArgs struct {
	Pattern string `json:"pattern" jsonschema:"regular expression, RE2 syntax"`
	Files   string `json:"files,omitempty" jsonschema:"only files whose path or name matches, such as *.py"`
}

func searchFiles() Tool {
	return define("search_files", searchFilesAbout, func(_ context.Context, k Kit, args searchFilesArgs) (Answer, error) {
		const mostHits, longestLine = 200, 300
		hits, total, err := k.Workspace.Search(args.Pattern, args.Files, k.MayEdit, mostHits)
		if err != nil {
			return Answer{}, err
		}
		if total == 0 {
			return Answer{Text: "No line matches."}, nil
		}
		var b strings.Builder
		for _, h := range hits {
			text := h.Text
			if len(text) > longestLine {
				text = head(text, longestLine) + "…"
			}
			fmt.Fprintf(&b, "%s:%d: %s\n", h.Path, h.Line, text)
		}
		if total > len(hits) {
			fmt.Fprintf(&b, "[%d of %d matching lines shown; narrow the pattern, or give files]\n", len(hits), total)
		}
		return Answer{Text: clip(b.String(), "narrow the pattern, or give files")}, nil
	})
}
