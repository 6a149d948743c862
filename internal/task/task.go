// Package task loads, validates and explains task packages: the directory with task.yaml, the
// starting recipe, its evaluator, data, roles and knowledge. It also scaffolds new ones, and
// reads the site file that says how a task finds its interpreter and data on one machine.
//
// It knows how a task is written, not how one is measured or searched: commands stand in a Task
// as text, and nothing here starts them. Start reading at [Load].
package task

import (
	"io/fs"

	"mendel/internal/research"
)

// A Task is a valid task package, with defaults filled in and texts read. It is plain data.
type Task struct {
	Dir                  string // absolute
	Name, Title, Summary string
	Recipe               Recipe
	Evaluator            Evaluator // zero when the task has none
	Data                 []Data    // by name
	Environment          Environment
	Checks               []Check
	Phases               []Phase
	Artifact             Artifact
	Cache                *Cache // nil when phases share nothing
	Seeds                int
	Baseline             Baseline
	Metrics              map[string]Metric
	Score                research.ScoreRule
	NoiseKind            research.NoiseKind
	// Bounds are the phase budgets in the order of the phases, then limits and gates in the order
	// of the file. The bound of a phase has the metric wall(PHASE) and tolerates budget plus grace.
	Bounds      []research.Bound
	Resources   Resources
	Sandbox     string // isolated, confined, limited or none
	Keep        research.KeepRule
	Certificate *research.CertificatePlan // nil when nothing was fixed beforehand
	Knowledge   Knowledge
	Roles       []research.Role
	Knobs       []research.Knob
	Upstream    *Upstream

	Hash          research.Hash // of everything that can influence a run; see [PackageHash]
	EvaluatorHash research.Hash // of the evaluator's directory; empty without one

	Warnings Problems // what is no error but deserves a look

	taken []File // the recipe, where it was taken from upstream
}

// Recipe is the program that the agents edit.
type Recipe struct {
	Dir      string // absolute; of a recipe from upstream: what the task adds to it, or empty
	Editable []string
	Language string
}

// Evaluator is the trusted code that measures.
type Evaluator struct {
	Dir string // absolute
}

// Data is mounted read-only at /data/NAME for those who may see it.
type Data struct {
	Name      string
	Path      string // absolute; empty when only a site file can say where it is
	VisibleTo []string
}

// The readers of data that are not phases.
const (
	ForEvaluator = "evaluator"
	ForCertifier = "certifier"
)

// Environment is the allow-list of what a recipe's process sees of the host.
type Environment struct {
	Python   *Python // nil when the task runs none
	Programs []string
	Env      map[string]string
}

// Python says which interpreter environment a recipe needs.
type Python struct {
	Packages []string
	Threads  int
}

// A Check is a free tool for specialists.
type Check struct {
	Name, About string
	Run         []string
	Trusted     bool
	Timeout     research.Duration
	OnFail      research.Outcome // empty when the check is only a tool
}

// A Phase is one measured step of a trial. It has either Run, or Evaluator and Subject.
type Phase struct {
	Name      string
	Run       []string
	Trusted   bool   // Run is the evaluator's code
	Parts     []Part // of Run's time; then Budget and Timeout are 0
	Evaluator []string
	Subject   []string
	Once      bool
	Timeout   research.Duration // 0 for a phase with a budget
	Budget    research.Duration // 0 for a phase with a time-out
	Grace     research.Duration
	KillAfter research.Duration // always positive
	OnOverrun research.Outcome  // empty for a phase without a budget
	OnFail    research.Outcome
	MaxFrame  research.Bytes
	Env       map[string]string
}

// A Part is a share of one command's time: from a line that it prints to the next part's.
type Part struct {
	Name      string
	From      string // empty for the first
	Budget    research.Duration
	Grace     research.Duration
	KillAfter research.Duration
	OnOverrun research.Outcome
}

// Artifact is what training leaves for evaluation.
type Artifact struct {
	Files      []string // globs relative to MENDEL_OUT
	CountsCode bool
}

// A Cache is compiled code that one phase, which sees no data, leaves for the trial's other phases.
type Cache struct {
	From  string   // a phase that runs once
	Files []string // globs relative to MENDEL_OUT
}

// Baseline says how the starting recipe is measured.
type Baseline struct {
	Replicates int
}

// A Metric is one number of a trial.
type Metric struct {
	Source    research.Source
	Unit      string
	Measure   string // see [ParseMeasure]
	Aggregate string // mean, max, min, last
	Pattern   string
	Phase     string
	Take      string // last, first
}

// Resources are what one trial may use of the machine.
type Resources struct {
	CPUs, GPUs   int
	Memory, Disk research.Bytes
	Processes    int
	Exclusive    string // "" or "host"
}

// Knowledge is what specialists are told.
type Knowledge struct {
	Pinned, OnDemand []research.Document
}

// A File is one regular file of the recipe.
type File struct {
	Path string // slash-separated, relative to the recipe
	Mode fs.FileMode
	Data []byte
}

// Card is the part of the task that sessions may know.
func (t *Task) Card() research.TaskCard {
	card := research.TaskCard{
		Name: t.Name, Title: t.Title, Summary: t.Summary,
		Language: t.Recipe.Language, Editable: t.Recipe.Editable,
		Score: t.Score, Bounds: t.Bounds, Keep: t.Keep, Seeds: t.Seeds,
		Pinned: t.Knowledge.Pinned, OnDemand: t.Knowledge.OnDemand, Knobs: t.Knobs,
	}
	for _, p := range t.Phases {
		card.Phases = append(card.Phases, p.Name)
	}
	for _, c := range t.Checks {
		card.Checks = append(card.Checks, research.CheckCard{Name: c.Name, About: c.About})
	}
	return card
}

// MayEdit says whether a role may change (or create) a file of the recipe.
func (t *Task) MayEdit(role research.Role, path string) bool {
	return matchAny(t.Recipe.Editable, path) && matchAny(role.MayEdit, path)
}

// RecipeFiles reads the starting recipe, sorted by path.
func (t *Task) RecipeFiles() ([]File, error) {
	if t.Upstream.provides() {
		if t.taken == nil {
			return nil, t.Upstream.missing()
		}
		return t.taken, nil
	}
	files, problems := readRecipe(t.Recipe.Dir)
	if len(problems) > 0 {
		return nil, problems
	}
	return files, nil
}
