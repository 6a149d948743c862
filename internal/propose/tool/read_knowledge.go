package tool

import (
	"context"
	_ "embed"
	"slices"
	"strings"

	"mendel/internal/research"
)

//go:embed read_knowledge.md
var readKnowledgeAbout string

type readKnowledgeArgs struct {
	Name     string `json:"name,omitempty" jsonschema:"which document"`
	FromLine int    `json:"from_line,omitempty" jsonschema:"first line to show, counted from 1"`
}

func readKnowledge() Tool {
	return define("read_knowledge", readKnowledgeAbout, func(_ context.Context, k Kit, args readKnowledgeArgs) (Answer, error) {
		var names []string
		for _, d := range slices.Concat(k.Brief.Task.OnDemand, k.Brief.Task.Pinned) {
			if d.Name == args.Name {
				return excerptOf(d.Name, d.Text, args.FromLine, 0)
			}
			names = append(names, d.Name)
		}
		list := "Documents: " + strings.Join(names, ", ") + "."
		if args.Name != "" {
			return Answer{}, research.Misuse(list, "there is no document %q", args.Name)
		}
		return Answer{Text: clip(list, "give one of these names")}, nil
	})
}
