package workspace

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"syscall"

	"mendel/internal/research"
)

// Edit replaces the one place where old stands in a file. With an empty old it makes a new
// file. It returns the line on which the change begins. What does not fit is a
// [research.MisuseError] that says how to mend the call.
func (w *Workspace) Edit(name, old, new string) (line int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if old == "" {
		return 1, w.create(name, new)
	}
	f, err := w.read(name)
	if err != nil {
		return 0, err
	}
	text := string(f.Data)
	if old == new {
		return 0, research.Misuse("Give in new what shall stand there instead.", "old and new are the same text, so nothing would change")
	}
	at := matches(text, old)
	switch len(at) {
	case 0:
		return 0, notFound(f.Path, text, old)
	case 1:
	default:
		return 0, research.Misuse("Add the lines before or after it to old, so that only one place matches.",
			"old stands in %s %d times, at %s", f.Path, len(at), linesOf(text, at))
	}
	if len(text)-len(old)+len(new) > maxFileBytes {
		return 0, research.Misuse("A recipe consists of code.", "%s would have more than %d bytes", f.Path, maxFileBytes)
	}
	f.Data = []byte(text[:at[0]] + new + text[at[0]+len(old):])
	if err := w.put(f); err != nil {
		return 0, err
	}
	return lineAt(text, at[0]), nil
}

func (w *Workspace) create(name, text string) error {
	clean, err := Clean(name)
	if err != nil {
		return err
	}
	if err := w.refuseLinks(clean); err != nil {
		return err
	}
	if _, err := w.root.Lstat(clean); err == nil {
		return research.Misuse("Give in old the exact text to replace; an empty old makes a new file.", "%s exists already", clean)
	}
	if len(text) > maxFileBytes {
		return research.Misuse("A recipe consists of code.", "%s would have more than %d bytes", clean, maxFileBytes)
	}
	if dir := path.Dir(clean); dir != "." {
		if err := w.root.MkdirAll(dir, 0o755); err != nil {
			return research.Misuse("Choose another path.", "there is no directory %s, and it cannot be made", dir)
		}
	}
	return w.put(File{Path: clean, Mode: fs.FileMode(0o644), Data: []byte(text)})
}

// put writes a file for a caller. A program beside us may have closed or replaced its directory;
// that is no reason to end the session.
func (w *Workspace) put(f File) error {
	err := w.write(f)
	for _, theirs := range []error{fs.ErrPermission, fs.ErrNotExist, fs.ErrExist, syscall.EISDIR, syscall.ENOTDIR} {
		if errors.Is(err, theirs) {
			return research.Misuse("Make its directory writable, or choose another path.", "%s cannot be written here", f.Path)
		}
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", f.Path, err)
	}
	return nil
}

// matches lists where old stands, also where two places overlap: an edit between them would
// be a guess.
func matches(text, old string) []int {
	var at []int
	for from := 0; ; {
		i := strings.Index(text[from:], old)
		if i < 0 {
			return at
		}
		at = append(at, from+i)
		from += i + 1
	}
}

// notFound says the most likely reason why old does not stand in a file.
func notFound(name, text, old string) error {
	const mend = "old must match exactly, with its indentation; copy it from read_file."
	if strings.Contains(text, "\r\n") && !strings.Contains(old, "\r\n") &&
		strings.Contains(strings.ReplaceAll(text, "\r\n", "\n"), old) {
		return research.Misuse(`Write the line ends of old and new as "\r\n".`, "%s ends its lines with CR LF, and old with LF", name)
	}
	if line := looseMatch(text, old); line > 0 {
		return research.Misuse(mend, "old does not stand in %s; a text that differs from it only in spaces begins in line %d", name, line)
	}
	first, _, _ := strings.Cut(strings.TrimLeft(old, "\n"), "\n")
	if first = strings.TrimSpace(first); len(first) > 3 && strings.Contains(old, "\n") {
		if at := matches(text, first); len(at) > 0 {
			return research.Misuse(mend, "old does not stand in %s; its first line does, at %s, so a later line differs", name, linesOf(text, at))
		}
	}
	return research.Misuse(mend, "old does not stand in %s (%d lines)", name, strings.Count(text, "\n")+1)
}

// looseMatch finds the line from which text equals old but for white space; 0 when none does.
func looseMatch(text, old string) int {
	want := strings.FieldsFunc(old, isBreak)
	for i := range want {
		want[i] = strings.Join(strings.Fields(want[i]), " ")
	}
	if len(want) == 0 {
		return 0
	}
	lines := strings.Split(text, "\n")
	for start := range lines {
		k := 0
		for n := start; n < len(lines) && k < len(want); n++ {
			have := strings.Join(strings.Fields(lines[n]), " ")
			if have == "" && k > 0 {
				continue
			}
			if have != want[k] {
				break
			}
			k++
		}
		if k == len(want) {
			return start + 1
		}
	}
	return 0
}

func isBreak(r rune) bool { return r == '\n' || r == '\r' }

func lineAt(text string, offset int) int { return strings.Count(text[:offset], "\n") + 1 }

// linesOf writes offsets as "line 3" or "lines 3, 9 and 12", the first ten of them.
func linesOf(text string, at []int) string {
	const shown = 10
	numbers := make([]string, 0, shown)
	for _, offset := range at[:min(len(at), shown)] {
		numbers = append(numbers, strconv.Itoa(lineAt(text, offset)))
	}
	if more := len(at) - shown; more > 0 {
		return fmt.Sprintf("lines %s and %d more", strings.Join(numbers, ", "), more)
	}
	if len(numbers) == 1 {
		return "line " + numbers[0]
	}
	last := len(numbers) - 1
	return "lines " + strings.Join(numbers[:last], ", ") + " and " + numbers[last]
}
