package tool

import (
	"context"
	_ "embed"
	"fmt"
	"strings"

	"mendel/internal/research"
)

//go:embed read_file.md
var readFileAbout string

type readFileArgs struct {
	Path     string `json:"path" jsonschema:"file, relative to the workspace"`
	FromLine int    `json:"from_line,omitempty" jsonschema:"first line to show, counted from 1"`
	Lines    int    `json:"lines,omitempty" jsonschema:"how many lines to show at most"`
}

// FileText is the data of a read: the lines From to To of Lines.
type FileText struct {
	Path  string `json:"path"`
	Text  string `json:"text"`
	From  int    `json:"from"`
	To    int    `json:"to"`
	Lines int    `json:"lines"`
}

func readFile() Tool {
	return define("read_file", readFileAbout, func(_ context.Context, k Kit, args readFileArgs) (Answer, error) {
		text, err := k.Workspace.Read(args.Path)
		if err != nil {
			return Answer{}, err
		}
		return excerptOf(args.Path, text, args.FromLine, args.Lines)
	})
}

// excerptOf answers with a range of a text's lines, as many as fit.
func excerptOf(name, text string, from, count int) (Answer, error) {
	lines := strings.SplitAfter(text, "\n")
	if last := len(lines) - 1; lines[last] == "" && last > 0 {
		lines = lines[:last]
	}
	from = max(from, 1)
	if from > len(lines) {
		return Answer{}, research.Misuse(fmt.Sprintf("Give from_line from 1 to %d.", len(lines)), "%s has %d lines", name, len(lines))
	}
	end := len(lines)
	if count > 0 {
		end = min(end, from-1+count)
	}
	var b strings.Builder
	to := from - 1
	for _, line := range lines[from-1 : end] {
		if b.Len()+len(line) > MaxAnswer-markerReserve {
			break
		}
		b.WriteString(line)
		to++
	}
	if to < from { // one line that is longer than an answer
		to = from
		b.WriteString(head(lines[from-1], MaxAnswer-markerReserve))
		return Answer{
			Text: b.String() + fmt.Sprintf("\n[line %d is cut: it has %d bytes; search_files or bash can show parts of it]", from, len(lines[from-1])),
			Data: FileText{Path: name, Text: b.String(), From: from, To: to, Lines: len(lines)},
		}, nil
	}
	data := FileText{Path: name, Text: b.String(), From: from, To: to, Lines: len(lines)}
	answer := data.Text
	if from > 1 || to < len(lines) {
		answer = strings.TrimSuffix(answer, "\n") + fmt.Sprintf("\n[lines %d to %d of %d", from, to, len(lines))
		if to < len(lines) {
			answer += fmt.Sprintf("; read on with from_line=%d", to+1)
		}
		answer += "]"
	}
	return Answer{Text: answer, Data: data}, nil
}
