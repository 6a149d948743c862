package mutate

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"mendel/internal/propose/session"
	"mendel/internal/propose/tool"
	"mendel/internal/research"
)

// hands are the session's tools as mutate uses them.
type hands struct {
	ctx     context.Context
	session *session.Session
	base    research.TrialID // of which the workspace is a copy, but for edits
	edited  bool
}

// call runs a tool. ok is false when the session answered that the call was a misuse, or had
// no data of the kind that was wanted.
func call[T any](h hands, name string, args map[string]any) (data T, ok bool, err error) {
	raw, err := json.Marshal(args)
	if err != nil {
		return data, false, fmt.Errorf("arguments of %s: %w", name, err)
	}
	answer, err := h.session.Call(h.ctx, name, raw)
	if err != nil || answer.IsError {
		return data, false, err
	}
	data, ok = answer.Data.(T)
	return data, ok, nil
}

// rebase makes the workspace a clean copy of a trial.
func (h *hands) rebase(id research.TrialID) error {
	if id == h.base && !h.edited {
		return nil
	}
	raw, err := json.Marshal(map[string]string{"trial": id.String()})
	if err != nil {
		return fmt.Errorf("arguments of rebase_to: %w", err)
	}
	answer, err := h.session.Call(h.ctx, "rebase_to", raw)
	if err != nil {
		return err
	}
	if answer.IsError {
		return fmt.Errorf("start again from trial %s: %s", id, answer.Text)
	}
	h.base, h.edited = id, false
	return nil
}

// A value is where a knob stands in the workspace.
type value struct {
	knob       research.Knob
	file       string // the whole text
	start, end int    // of the value in it
}

func (v value) text() string { return v.file[v.start:v.end] }

// read finds the values of all knobs that can be found: exactly once in their file, and of
// their type.
func (h *hands) read(knobs []research.Knob) (map[string]value, error) {
	files := map[string]string{}
	values := map[string]value{}
	for _, k := range knobs {
		text, ok := files[k.Place.File]
		if !ok {
			var err error
			if text, err = h.file(k.Place.File); err != nil {
				return nil, err
			}
			files[k.Place.File] = text
		}
		pattern, err := regexp.Compile("(?m)" + k.Place.Pattern)
		if err != nil {
			continue
		}
		at := pattern.FindAllStringSubmatchIndex(text, 2)
		if len(at) != 1 || len(at[0]) < 4 || at[0][2] < 0 {
			continue
		}
		v := value{knob: k, file: text, start: at[0][2], end: at[0][3]}
		if _, ok := axisOf(k, v.text()); ok {
			values[k.Name] = v
		}
	}
	return values, nil
}

// file reads a file page by page; a file that cannot be read is empty.
func (h *hands) file(path string) (string, error) {
	var b strings.Builder
	for line := 1; ; {
		page, ok, err := call[tool.FileText](*h, "read_file", map[string]any{"path": path, "from_line": line})
		if err != nil || !ok {
			return "", err
		}
		b.WriteString(page.Text)
		if line = page.To + 1; line > page.Lines {
			return b.String(), nil
		}
	}
}

// edit writes a new value in place of the old one. The text around it grows until it stands in
// the file only once. Where an earlier edit of this attempt touched that text, it is refused.
func (h *hands) edit(v value, to string) (bool, error) {
	start, end := v.start, v.end
	for strings.Count(v.file, v.file[start:end]) != 1 || start == end {
		if start == 0 && end == len(v.file) {
			return false, nil
		}
		start, end = wider(v.file, start, end)
	}
	h.edited = true
	raw, err := json.Marshal(map[string]string{
		"path": v.knob.Place.File, "old": v.file[start:end], "new": v.file[start:v.start] + to + v.file[v.end:end],
	})
	if err != nil {
		return false, fmt.Errorf("arguments of edit_file: %w", err)
	}
	answer, err := h.session.Call(h.ctx, "edit_file", raw)
	return err == nil && !answer.IsError, err
}

// wider grows a range of text to whole lines, and whole lines by one on either side.
func wider(text string, start, end int) (int, int) {
	if start > 0 {
		start = strings.LastIndexByte(text[:start-1], '\n') + 1
	}
	if end < len(text) && text[end] == '\n' {
		end++
	}
	if next := strings.IndexByte(text[end:], '\n'); next >= 0 {
		return start, end + next
	}
	return start, len(text)
}

// checked runs all free checks of the task; a trial that one of them would stop is not worth
// submitting.
func (h *hands) checked() (bool, error) {
	tools := h.session.Tools()
	for _, c := range h.session.Brief().Task.Checks {
		name := "check_" + c.Name
		if !slices.ContainsFunc(tools, func(d tool.Definition) bool { return d.Name == name }) {
			name = c.Name
		}
		result, ok, err := call[tool.Result](*h, name, nil)
		if err != nil || !ok || !result.OK {
			return false, err
		}
	}
	return true, nil
}
