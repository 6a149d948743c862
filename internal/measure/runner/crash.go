package runner

import (
	"cmp"
	"fmt"
	"path"
	"regexp"
	"strings"

	"mendel/internal/research"
)

// What a crash excerpt may hold, in bytes. Together with the tails it stays within what a
// specialist may see of a recipe's output.
const (
	maxException = 300
	maxFrame     = 120
	maxCode      = 160
)

var (
	// An exception group draws a tree of bars and pluses around its tracebacks.
	groupMargin = regexp.MustCompile(`^(?:\s*[|+](?:-[-+0-9. ]*)?)+ ?`)
	frameLine   = regexp.MustCompile(`^\s*File "([^"]+)", line (\d+)(?:,? in (.+))?$`)
	raisedLine  = regexp.MustCompile(`^[A-Za-z_][\w.<>]*(?::.*)?$`)
	caretLine   = regexp.MustCompile(`^[\s~^]*$`)
	// Below the strongest level a guest knows its directories by the names of their stand-ins.
	recipeFile = regexp.MustCompile(`^(?:.*/mendel-guest-[^/]+)?/recipe/(.+)$`)
	usualName  = regexp.MustCompile(`^[\w.]*(?:Error|Exception|Interrupt|Exit|Warning)(?::|$)`)
	complaint  = regexp.MustCompile(`(?i)error|panic|fatal|exception|not found|denied|abort|cannot|failed`)
)

const (
	ahead         = 20 // lines that stdout may put into a traceback
	codeIndent    = "    "
	tracebackHead = "Traceback (most recent call last):"
	fatalHead     = "Fatal Python error: "
)

// excerptOf finds what a specialist needs in the output of a phase that failed: the last
// exception (of a chain, Python prints the one that ended the program last), and the deepest
// frame under it that lies in a file of the recipe. ended says how the process ended; a crash that left
// no exception has nothing better. plainExit says that the program chose its end itself, so that
// what it printed explains it.
func excerptOf(phase, ended string, plainExit bool, output string) research.CrashExcerpt {
	e := research.CrashExcerpt{Phase: phase, Exception: oneLine(ended, maxException)}
	lines := strings.Split(cleaned(output), "\n")
	for i, line := range lines {
		lines[i] = groupMargin.ReplaceAllString(line, "")
	}
	at := lastTrace(lines)
	if at < 0 {
		if said := lastComplaint(lines); said != "" && plainExit {
			e.Exception = oneLine(ended+": "+said, maxException)
		}
		return e
	}
	raised := readTrace(&e, lines[at:])
	switch {
	case raised == "":
	case plainExit:
		e.Exception = oneLine(raised, maxException)
	default: // a signal or a limit ended it, whatever was printed before
		e.Exception = oneLine(ended+"; before that "+raised, maxException)
	}
	return e
}

// lastTrace finds where the last traceback begins, or -1.
func lastTrace(lines []string) int {
	at, heads := -1, false
	for i, line := range lines {
		switch {
		case strings.HasSuffix(line, tracebackHead), strings.HasPrefix(line, fatalHead):
			at, heads = i, true
		case !heads && frameLine.MatchString(line): // a syntax error has no head
			at = i
		}
	}
	return at
}

// readTrace reads one traceback into e, and returns the line that names the exception.
func readTrace(e *research.CrashExcerpt, lines []string) (raised string) {
	innermostFirst := strings.HasPrefix(lines[0], fatalHead)
	if innermostFirst {
		raised = lines[0]
	}
	codeDue := false // the line before was a frame's
	for i, line := range lines {
		if m := frameLine.FindStringSubmatch(line); m != nil {
			if e.Frame == "" || !innermostFirst {
				takeFrame(e, m, lines[i+1:])
			}
			codeDue = true
			continue
		}
		if codeDue && strings.HasPrefix(line, codeIndent) {
			codeDue = false
			continue
		}
		if !innermostFirst && i > 0 && raisedLine.MatchString(line) {
			if !goesOn(lines[i+1:], codeDue) {
				return likelier(lines[i:])
			}
			raised = cmp.Or(raised, line)
		}
	}
	return raised
}

// likelier is the first line, which could name the exception, unless one of the next ones has the usual name of one.
func likelier(lines []string) string {
	for _, line := range lines[:min(len(lines), ahead)] {
		if raisedLine.MatchString(line) && usualName.MatchString(line) {
			return line
		}
	}
	return lines[0]
}

// goesOn says whether the traceback has not ended yet: what stood before was printed to stdout meanwhile,
// and the two arrived in turns.
func goesOn(lines []string, codeDue bool) bool {
	for _, line := range lines[:min(len(lines), ahead)] {
		carets := caretLine.MatchString(line) && strings.TrimSpace(line) != ""
		if frameLine.MatchString(line) || carets || codeDue && strings.HasPrefix(line, codeIndent) {
			return true
		}
	}
	return false
}

// takeFrame keeps a frame if it lies in a file of the recipe.
func takeFrame(e *research.CrashExcerpt, frame, below []string) {
	file := frame[1]
	if m := recipeFile.FindStringSubmatch(file); m != nil {
		file = m[1]
	} else if path.IsAbs(file) || strings.HasPrefix(file, "<") {
		return
	}
	at := fmt.Sprintf("%s:%s", path.Clean(file), frame[2])
	if frame[3] != "" {
		at += " in " + frame[3]
	}
	e.Frame, e.Code = oneLine(at, maxFrame), ""
	if len(below) > 0 && strings.HasPrefix(below[0], codeIndent) && !caretLine.MatchString(below[0]) {
		e.Code = oneLine(below[0], maxCode)
	}
}

// lastComplaint is the last line that sounds like the reason of a failure, or the last line.
func lastComplaint(lines []string) string {
	last := ""
	for i := len(lines) - 1; i >= 0 && i > len(lines)-100; i-- {
		if strings.TrimSpace(lines[i]) == "" {
			continue
		}
		if complaint.MatchString(lines[i]) {
			return lines[i]
		}
		if last == "" {
			last = lines[i]
		}
	}
	return last
}
