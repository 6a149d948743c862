// Package study compares arms: which runs a study consists of, what each of them came to, and what
// the difference between arms supports. Start reading at [Load], then [Study.Cells] and [Compare].
//
// It plans and reckons. Who starts the runs is cmd/mendel, and what a run says of itself is package
// analysis's.
package study

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"

	"mendel/internal/task"
)

// FileName is how a study's file is called unless its user wants otherwise.
const FileName = "study.yaml"

// EnoughReplicates is how many runs an arm needs before a study draws a conclusion from it. With 8
// against 8 the smallest p that an exact permutation test can give is 2/12,870; with 3 against 3 it
// is 0.1, and nothing could ever be found.
const EnoughReplicates = 8

// A Study is several arms with the same budget, each run several times.
type Study struct {
	Name       string `json:"name" jsonschema:"lower-case words joined by dashes"`
	Question   string `json:"question,omitempty" jsonschema:"what the study is to find out, in a sentence"`
	Task       string `json:"task" jsonschema:"the task's directory, relative to this file"`
	Budget     Budget `json:"budget" jsonschema:"what every run of every arm may use"`
	Replicates int    `json:"replicates,omitempty" jsonschema:"runs of each arm; default 8"`
	Parallel   int    `json:"parallel,omitempty" jsonschema:"runs at a time; default 1"`
	Slots      int    `json:"slots,omitempty" jsonschema:"trials at a time in each run; default: as many as fit"`
	Seed       int    `json:"seed,omitempty" jsonschema:"of the runs' seeds; default 1"`
	Alpha      Level  `json:"alpha,omitempty" jsonschema:"chance of any false finding in the whole study; default 0.05"`
	Finals     int    `json:"finals,omitempty" jsonschema:"fresh measurements of each run's best recipe once all runs have ended; default 5"`
	Arms       []Arm  `json:"arms" jsonschema:"two or more ways to organize the agents"`

	Dir string // where the file is, and the runs go
}

// A Level is a probability that a test may be wrong.
type Level float64

// A Budget is the same for every run: trials, hours or both.
type Budget struct {
	Trials int     `json:"trials,omitempty" jsonschema:"submitted trials of each run"`
	Hours  float64 `json:"hours,omitempty" jsonschema:"supervised hours of each run"`
}

// An Arm is how the runs of one side are organized.
type Arm struct {
	Name     string `json:"name" jsonschema:"lower-case words joined by dashes"`
	Agents   string `json:"agents,omitempty" jsonschema:"specialists (default), generic:N or single"`
	Lineage  *bool  `json:"lineage,omitempty" jsonschema:"whether sessions may see history; default true"`
	Proposer string `json:"proposer,omitempty" jsonschema:"who proposes; default mutate"`
	Config   string `json:"config,omitempty" jsonschema:"a run's configuration file, relative to this one"`
}

// SeesLineage says whether the arm's sessions may see history.
func (a Arm) SeesLineage() bool { return a.Lineage == nil || *a.Lineage }

// Load reads a study's file. When it is at fault, the error is [task.Problems].
func Load(file string) (*Study, error) {
	s := &Study{Dir: filepath.Dir(file)}
	if err := task.ReadYAML(file, s, s.check); err != nil {
		return nil, err
	}
	s.defaults()
	return s, nil
}

func (s *Study) defaults() {
	orInt := func(v *int, otherwise int) {
		if *v == 0 {
			*v = otherwise
		}
	}
	orInt(&s.Replicates, EnoughReplicates)
	orInt(&s.Parallel, 1)
	orInt(&s.Seed, 1)
	orInt(&s.Finals, 5)
	if s.Alpha == 0 {
		s.Alpha = 0.05
	}
}

var dashed = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)

// check reports what the types cannot say.
func (s *Study) check(fault task.Fault) {
	if !dashed.MatchString(s.Name) {
		fault("name", "lineage-on-golf, say", "name: %q is not lower-case words joined by dashes", s.Name)
	}
	if s.Budget.Trials <= 0 && s.Budget.Hours <= 0 || s.Budget.Trials < 0 || s.Budget.Hours < 0 {
		fault("budget", "budget: {trials: 40}", "budget: every run needs the same number of trials or hours, above 0")
	}
	for _, n := range []struct {
		key   string
		value int
	}{{"replicates", s.Replicates}, {"parallel", s.Parallel}, {"slots", s.Slots}, {"finals", s.Finals}} {
		if n.value < 0 {
			fault(n.key, "leave it out for the default", "%s: %d is below 0", n.key, n.value)
		}
	}
	if s.Alpha < 0 || s.Alpha >= 0.5 {
		fault("alpha", "0.05 is usual", "alpha: %v is no level of a test", float64(s.Alpha))
	}
	if len(s.Arms) < 2 {
		fault("arms", "add another one: what is the first compared with?", "arms: a study needs at least two")
	}
	s.checkArms(fault)
}

func (s *Study) checkArms(fault task.Fault) {
	seen := map[string]string{} // what an arm is → its name
	named := map[string]bool{}
	for i, a := range s.Arms {
		at := fmt.Sprintf("arms[%d]", i)
		switch {
		case !dashed.MatchString(a.Name):
			fault(at+".name", "with-lineage, say", "%s.name: %q is not lower-case words joined by dashes", at, a.Name)
		case named[a.Name]:
			fault(at+".name", "choose another one", "%s.name: two arms are called %s", at, a.Name)
		}
		named[a.Name] = true
		like := fmt.Sprint(orText(a.Agents, "specialists"), a.SeesLineage(), orText(a.Proposer, "mutate"), a.Config)
		if other, twice := seen[like]; twice {
			fault(at, "change agents, lineage, proposer or config of one of them", "%s: %s is the same as %s", at, a.Name, other)
		}
		seen[like] = a.Name
		if strings.HasPrefix(a.Proposer, "external") || strings.HasPrefix(a.Proposer, "replay:") {
			fault(at+".proposer", "a study runs by itself: mutate, a model, or command:…", "%s.proposer: %s does not search by itself", at, a.Proposer)
		}
	}
}

func orText(v, otherwise string) string {
	if v == "" {
		return otherwise
	}
	return v
}
