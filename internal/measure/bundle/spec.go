package bundle

import "mendel/internal/research"

// Version is the version of the layout and of the spec. A runner refuses any other.
const Version = 1

// A Spec is everything that a runner has to know about one attempt.
type Spec struct {
	Version       int              `json:"version"`
	Run           string           `json:"run"` // id of the run, for people who find the bundle
	Attempt       research.Attempt `json:"attempt"`
	TreeHash      research.Hash    `json:"tree_hash"`
	EvaluatorHash research.Hash    `json:"evaluator_hash,omitempty"` // empty for a task without an evaluator
	Task          Plan             `json:"task"`
	Site          Site             `json:"site"`
	// Self is the mendel binary that sandboxes re-execute where they must.
	Self string `json:"self"`
	// AllowUnsandboxed lets the trial run below the level that the task asks for.
	AllowUnsandboxed bool `json:"allow_unsandboxed,omitempty"`
	// CacheDir keeps prepared environments from trial to trial.
	CacheDir string `json:"cache_dir"`
}

// A Plan is the part of a task that measuring needs.
type Plan struct {
	Name        string             `json:"name"`
	Language    string             `json:"language"`
	Editable    []string           `json:"editable"` // globs; the files that bytes(code) counts
	Data        []Data             `json:"data,omitempty"`
	Environment Environment        `json:"environment"`
	Checks      []Check            `json:"checks,omitempty"`
	Phases      []Phase            `json:"phases"`
	Artifact    Artifact           `json:"artifact"`
	Cache       *Cache             `json:"cache,omitempty"`
	Metrics     map[string]Metric  `json:"metrics"`
	Score       research.ScoreRule `json:"score"`
	Bounds      []research.Bound   `json:"bounds,omitempty"`
	Resources   Resources          `json:"resources"`
	Sandbox     string             `json:"sandbox"` // the level below which the attempt is refused
}

// Data is an entry of the task's data, mounted at /data/NAME.
type Data struct {
	Name      string   `json:"name"`
	Path      string   `json:"path"`       // absolute
	VisibleTo []string `json:"visible_to"` // phases, ForEvaluator, ForCertifier
}

// The readers of data that are not phases.
const (
	ForEvaluator = "evaluator"
	ForCertifier = "certifier"
)

// Environment is the allow-list of what a process sees of the host.
type Environment struct {
	Python   *Python           `json:"python,omitempty"` // nil when the task runs none
	Programs []string          `json:"programs,omitempty"`
	Env      map[string]string `json:"env,omitempty"`
}

// Python says which interpreter environment a task needs.
type Python struct {
	Packages []string `json:"packages,omitempty"`
	Threads  int      `json:"threads"`
}

// A Check is a free tool for specialists, and a first step of a trial where it has OnFail.
type Check struct {
	Name    string            `json:"name"`
	Run     []string          `json:"run"`
	Trusted bool              `json:"trusted,omitempty"`
	Timeout research.Duration `json:"timeout"`
	OnFail  research.Outcome  `json:"on_fail,omitempty"`
}

// A Phase is one measured step. It has either Run, or Evaluator and Subject.
type Phase struct {
	Name      string            `json:"name"`
	Run       []string          `json:"run,omitempty"`
	Trusted   bool              `json:"trusted,omitempty"` // Run is the task's own program, and looks at what was left
	Parts     []Part            `json:"parts,omitempty"`   // of Run's time; then Budget and Timeout are 0
	Evaluator []string          `json:"evaluator,omitempty"`
	Subject   []string          `json:"subject,omitempty"`
	Once      bool              `json:"once,omitempty"`    // once in a trial, before all seeds
	Timeout   research.Duration `json:"timeout,omitempty"` // 0 for a phase with a budget
	Budget    research.Duration `json:"budget,omitempty"`  // 0 for a phase with a time-out
	Grace     research.Duration `json:"grace,omitempty"`   // tolerated beyond the budget
	KillAfter research.Duration `json:"kill_after"`        // when the tree is killed
	OnOverrun research.Outcome  `json:"on_overrun,omitempty"`
	OnFail    research.Outcome  `json:"on_fail"`
	MaxFrame  research.Bytes    `json:"max_frame,omitempty"`
	Env       map[string]string `json:"env,omitempty"`
}

// A Part is a share of the time of one command that does several things in one process. It begins
// where the command first prints a line that From matches, and ends where the next part begins.
type Part struct {
	Name      string            `json:"name"`
	From      string            `json:"from,omitempty"` // empty for the first, which begins with the command
	Budget    research.Duration `json:"budget"`
	Grace     research.Duration `json:"grace,omitempty"`
	KillAfter research.Duration `json:"kill_after"`
	OnOverrun research.Outcome  `json:"on_overrun"`
}

// Artifact is what passes from the phases that run the recipe to those after them.
type Artifact struct {
	Files      []string `json:"files,omitempty"` // globs relative to MENDEL_OUT
	CountsCode bool     `json:"counts_code,omitempty"`
}

// A Cache is what one phase prepares for the others of its trial, and which costs them no time:
// compiled code. Its phase runs once and sees no data, so that nothing learned can be in it.
type Cache struct {
	From  string   `json:"from"`  // the phase
	Files []string `json:"files"` // globs relative to MENDEL_OUT
}

// A Metric is one number of a trial, and who establishes it.
type Metric struct {
	Source    research.Source `json:"source"`
	Unit      string          `json:"unit,omitempty"`
	Measure   string          `json:"measure,omitempty"`   // harness: wall(train) + wall(evaluate)
	Aggregate string          `json:"aggregate,omitempty"` // over seeds: mean, max, min, last
	Pattern   string          `json:"pattern,omitempty"`   // recipe-log
	Phase     string          `json:"phase,omitempty"`     // recipe-log
	Take      string          `json:"take,omitempty"`      // recipe-log: last, first
}

// Resources are what the trial may use; zero means no limit of ours.
type Resources struct {
	CPUs      int            `json:"cpus"`
	GPUs      int            `json:"gpus,omitempty"`
	Memory    research.Bytes `json:"memory,omitempty"`
	Disk      research.Bytes `json:"disk,omitempty"`
	Output    research.Bytes `json:"output,omitempty"` // of stdout and stderr of one process tree
	Processes int            `json:"processes,omitempty"`
}

// Site is what differs from machine to machine.
type Site struct {
	Python  string            `json:"python,omitempty"` // interpreter or virtual environment; empty: the first that has the packages
	Mounts  []Mount           `json:"mounts,omitempty"` // extra, read-only
	Devices []string          `json:"devices,omitempty"`
	Env     map[string]string `json:"env,omitempty"`
	// Editable maps a checkout that the interpreter imports from (pip install -e) to the guest path
	// of the recipe's directory that stands for it.
	Editable map[string]string `json:"editable,omitempty"`
}

// A Mount shows a path of the host read-only to the guest.
type Mount struct {
	Host  string `json:"host"`
	Guest string `json:"guest"`
}

// A Placement is where an executor lets the attempt run.
type Placement struct {
	CPUs []int    `json:"cpus,omitempty"`
	GPUs []string `json:"gpus,omitempty"`
}
