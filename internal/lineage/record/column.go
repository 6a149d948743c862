package record

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"mendel/internal/research"
)

// The columns that mean something here, by the name that other names are read as.
const (
	idColumn       = "exp_id"
	commitColumn   = "commit"
	timeColumn     = "timestamp"
	roleColumn     = "specialist"
	domainColumn   = "domain"
	parentColumn   = "parent_exp"
	againstColumn  = "baseline_exp"
	textColumn     = "hypothesis"
	expectedColumn = "expected_delta"
	statusColumn   = "status"
	deltaColumn    = "delta_vs_best"
	totalColumn    = "total_s"
	notesColumn    = "notes"
	reportedColumn = "self_reported"
	depthColumn    = "depth"
	pathColumn     = "path"
)

var otherNames = map[string]string{
	"id": idColumn, "trial": idColumn, "exp": idColumn, "experiment": idColumn,
	"role": roleColumn, "agent": roleColumn, "parent": parentColumn, "incumbent": againstColumn,
	"description": textColumn, "idea": textColumn, "note": notesColumn, "time": timeColumn, "expected": expectedColumn,
}

// A kind is what cells of a column look like.
type kind int

const (
	kindAny kind = iota
	kindID
	kindCommit
	kindTime
	kindWord
	kindTrial // another trial, or nothing
	kindText
	kindNumber
	kindStatus
)

var kinds = map[string]kind{
	idColumn: kindID, commitColumn: kindCommit, timeColumn: kindTime, roleColumn: kindWord, domainColumn: kindWord, parentColumn: kindTrial, againstColumn: kindTrial,
	textColumn: kindText, notesColumn: kindText, expectedColumn: kindNumber, deltaColumn: kindNumber, statusColumn: kindStatus, depthColumn: kindNumber,
}

// A column is one column of a table.
type column struct {
	name string
	kind kind
	set  bool // the kind is known by the name, and not to be learned
	// seen are the shapes that cells of whole rows have: digits and letters by runs, words as they are.
	seen map[string]bool
}

func columnOf(name string) column {
	name = strings.ToLower(name)
	if known, ok := otherNames[name]; ok {
		name = known
	}
	k, ok := kinds[name]
	return column{name: name, kind: k, set: ok}
}

// learn looks at the lines that have every column: columns that hold nothing but numbers are
// numeric, and a column whose cells mostly do not look as its name says may hold anything. What
// shapes they have tells the place of a cell in a row that is not whole.
func (t *table) learn(lines []string) {
	numbers, others, misfits := make([]int, len(t.columns)), make([]int, len(t.columns)), make([]int, len(t.columns))
	for _, line := range lines {
		cells, _ := literal(line)
		if len(cells) != len(t.columns) {
			continue
		}
		for i, cell := range cells {
			c := &t.columns[i]
			if c.seen == nil {
				c.seen = map[string]bool{}
			}
			c.seen[c.shape(cell)] = true
			if isNothing(cell) {
				continue
			}
			if t.columns[i].fits(cell) >= misfit {
				misfits[i]++
			}
			if _, ok := number(cell); ok {
				numbers[i]++
			} else {
				others[i]++
			}
		}
	}
	for i := range t.columns {
		c := &t.columns[i]
		if !c.set && numbers[i] > 0 && others[i]*20 <= numbers[i] {
			c.kind = kindNumber
		}
		if c.kind != kindID && misfits[i]*2 > numbers[i]+others[i] {
			c.kind = kindAny
		}
	}
}

// What it costs to take a cell for a column's: nothing, or that it has a shape which no whole row
// has there, or that its form is doubtful or wrong.
const (
	unusual = 1
	doubt   = 3
	misfit  = 9
)

var runs = regexp.MustCompile(`[0-9]+|[A-Za-z]+`)

// shape reduces a cell to what cells of its column have in common.
func (c column) shape(cell string) string {
	cell = strings.TrimSpace(cell)
	switch {
	case isNothing(cell):
		return ""
	case c.kind == kindWord || c.kind == kindStatus:
		return cell
	case c.kind == kindTrial || c.kind == kindID:
		return strings.TrimLeft(cell, "0123456789")
	}
	return runs.ReplaceAllStringFunc(cell, func(run string) string {
		if run[0] <= '9' {
			if run[0] == '0' && len(run) > 1 {
				return "0"
			}
			return "9"
		}
		return "a"
	})
}

// costs is what it costs to take a cell for the column's.
func (c column) costs(cell string) int {
	cost := c.fits(cell)
	if c.kind != kindText && c.kind != kindTime && cost == 0 && len(c.seen) > 0 && !c.seen[c.shape(cell)] {
		return unusual
	}
	return cost
}

var (
	commitForm = regexp.MustCompile(`^[0-9a-f]{7,40}$`)
	idForm     = regexp.MustCompile(`^(?:[A-Za-z]{1,12}[_-]?)?([0-9]{1,6})$`)
	wordForm   = regexp.MustCompile(`^[A-Za-z][\w .:/+-]{0,39}$`)
	statusForm = regexp.MustCompile(`^[A-Za-z][A-Za-z_ -]{0,39}$`)
)

// fits says how well a cell looks like one of the column.
func (c column) fits(cell string) int {
	cell = strings.TrimSpace(cell)
	empty := isNothing(cell)
	_, isNumber := number(cell)
	_, isTrial := parseID(cell)
	ok := false
	switch c.kind {
	case kindAny:
		return 0
	case kindCommit:
		if !commitForm.MatchString(cell) {
			return doubt
		}
		return 0
	case kindID:
		ok = isTrial
	case kindTime:
		_, isTime := parseTime(cell)
		ok = isTime
	case kindWord:
		ok = wordForm.MatchString(cell)
	case kindTrial:
		ok = isTrial || empty
	case kindNumber:
		ok = isNumber || empty
	case kindStatus:
		if _, known := knownStatus(cell); known {
			return 0
		}
		if statusForm.MatchString(cell) {
			return doubt
		}
	case kindText:
		_, isTime := parseTime(cell)
		_, isStatus := knownStatus(cell)
		if isNumber || isTime || isStatus {
			return doubt
		}
		return 0
	}
	switch {
	case ok:
		return 0
	case empty && c.kind != kindID && c.kind != kindStatus:
		return doubt
	}
	return misfit
}

// isNothing says whether a cell says that there is nothing.
func isNothing(cell string) bool {
	switch strings.ToLower(strings.TrimSpace(cell)) {
	case "", "-", "–", "na", "n/a", "nan", "none", "null":
		return true
	}
	return false
}

// number reads a finite number, also one with a typographic minus.
func number(cell string) (float64, bool) {
	v, err := strconv.ParseFloat(strings.ReplaceAll(strings.TrimSpace(cell), "\u2212", "-"), 64)
	return v, err == nil && !math.IsNaN(v) && !math.IsInf(v, 0)
}

// parseID reads a trial's number: 014, 14, exp_014.
func parseID(cell string) (research.TrialID, bool) {
	m := idForm.FindStringSubmatch(strings.TrimSpace(cell))
	if m == nil {
		return 0, false
	}
	n, err := strconv.Atoi(m[1])
	return research.TrialID(n), err == nil
}

// parseTime reads the times that records have; one without a zone is UTC.
func parseTime(cell string) (time.Time, bool) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02 15:04"} {
		if t, err := time.Parse(layout, strings.TrimSpace(cell)); err == nil && t.Year() >= 1970 {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}

// knownStatus reads one of our statuses, however it is written.
func knownStatus(cell string) (research.Status, bool) {
	status := research.Status(strings.NewReplacer(" ", "_", "-", "_").Replace(strings.ToLower(strings.TrimSpace(cell))))
	for _, known := range research.Statuses() {
		if status == known {
			return status, true
		}
	}
	return "", false
}
