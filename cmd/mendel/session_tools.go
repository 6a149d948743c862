package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"mendel/internal/control"
	"mendel/internal/propose/tool"
	"mendel/internal/research"
	"mendel/internal/view/terminal"
)

// A toolAnswer is a [tool.Answer] with its data as it came.
type toolAnswer struct {
	Text    string          `json:"text"`
	Data    json.RawMessage `json:"data,omitempty"`
	IsError bool            `json:"is_error,omitempty"`
}

func callTool(ctx context.Context, client *control.Client, id research.SessionID, name string, args json.RawMessage) (toolAnswer, error) {
	raw, err := client.CallTool(ctx, id, name, args)
	if err != nil {
		return toolAnswer{}, err
	}
	var answer toolAnswer
	return answer, json.Unmarshal(raw, &answer)
}

func printAnswer(a toolAnswer, asJSON bool) error {
	switch {
	case asJSON:
		if err := writeJSON(a); err != nil {
			return err
		}
	case a.IsError:
		fmt.Fprintln(os.Stderr, "mendel:", a.Text)
	default:
		fmt.Print(a.Text)
		if !strings.HasSuffix(a.Text, "\n") {
			fmt.Println()
		}
	}
	if a.IsError {
		return exitCode(exitFailed)
	}
	return nil
}

func describeTools(tools []tool.Definition, asJSON bool) error {
	if asJSON {
		return writeJSON(tools)
	}
	s := terminal.StyleFor(os.Stdout)
	for _, t := range tools {
		fmt.Printf("%s\n  %s\n", s.Strong(t.Name), strings.TrimSpace(t.Description))
		for _, p := range parameters(t) {
			fmt.Printf("  --arg %s=…  %s\n", p.name, p.about)
		}
	}
	return nil
}

// A parameter is one argument of a tool.
type parameter struct{ name, kind, about string }

// parameters reads a tool's schema, required ones first.
func parameters(t tool.Definition) []parameter {
	var schema struct {
		Properties map[string]struct {
			Type        any    `json:"type"`
			Description string `json:"description"`
		} `json:"properties"`
		Required []string `json:"required"`
	}
	if json.Unmarshal(t.Schema, &schema) != nil {
		return nil
	}
	var list []parameter
	add := func(name string, optional bool) {
		p := schema.Properties[name]
		about := p.Description
		if optional {
			about += " (optional)"
		}
		list = append(list, parameter{name, fmt.Sprint(p.Type), about})
	}
	for _, name := range schema.Required {
		add(name, false)
		delete(schema.Properties, name)
	}
	for _, name := range slices.Sorted(maps.Keys(schema.Properties)) {
		add(name, true)
	}
	return list
}

// toolArguments makes the JSON object of a call from what was typed.
func toolArguments(tools []tool.Definition, name string, pairs []string, raw string) (json.RawMessage, error) {
	if raw != "" {
		if len(pairs) > 0 {
			return nil, usageError{errors.New("--arg and --args exclude each other")}
		}
		text, err := fileOrText(raw)
		if err == nil && !json.Valid([]byte(text)) {
			err = usageError{errors.New("--args is not JSON")}
		}
		return json.RawMessage(text), err
	}
	kinds := map[string]string{}
	for _, t := range tools {
		if t.Name == name {
			for _, p := range parameters(t) {
				kinds[p.name] = p.kind
			}
		}
	}
	object := map[string]any{}
	for _, pair := range pairs {
		key, typed, ok := strings.Cut(pair, "=")
		if !ok {
			return nil, usageError{fmt.Errorf("--arg %s: want KEY=VALUE", pair)}
		}
		text, err := fileOrText(typed)
		if err != nil {
			return nil, err
		}
		object[key] = text
		if kind := kinds[key]; strings.Contains(kind, "integer") || strings.Contains(kind, "number") || strings.Contains(kind, "boolean") {
			if json.Valid([]byte(text)) {
				object[key] = json.RawMessage(text)
			}
		}
	}
	return json.Marshal(object)
}

// fileOrText reads @FILE and @-.
func fileOrText(typed string) (string, error) {
	name, isFile := strings.CutPrefix(typed, "@")
	switch {
	case !isFile:
		return typed, nil
	case strings.HasPrefix(name, "@"):
		return name, nil
	case name == "-":
		data, err := io.ReadAll(os.Stdin)
		return string(data), err
	}
	data, err := os.ReadFile(name)
	return string(data), err
}
