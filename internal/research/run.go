package research

import (
	"slices"
	"time"
)

// An Arm is how a run's agents are organized.
type Arm struct {
	Agents  AgentPlan `json:"agents"`
	N       int       `json:"n,omitempty"` // number of generic agents
	Lineage bool      `json:"lineage"`     // whether sessions may see history
}

// An AgentPlan names the kind of team. Values are stored.
type AgentPlan string

// The kinds of team.
const (
	Specialists AgentPlan = "specialists"
	Generic     AgentPlan = "generic"
	Single      AgentPlan = "single"
)

// Budgets are hard; the zero value of each means no such cap.
type Budgets struct {
	Trials        int      `json:"trials,omitempty"` // submitted, the baseline not counted, and replicates of confirmations
	Time          Duration `json:"time,omitempty"`   // supervised wall-clock
	NoImprovement Duration `json:"no_improvement,omitempty"`
	USD           float64  `json:"usd,omitempty"`    // model calls
	Tokens        int64    `json:"tokens,omitempty"` // model calls, input and output
}

// Caps bound one session; the zero value of each means no such cap, except where a default is
// documented.
type Caps struct {
	Calls   int      `json:"calls,omitempty"`   // free tool calls; default 200
	Submits int      `json:"submits,omitempty"` // default 3
	Turns   int      `json:"turns,omitempty"`   // model calls; default 80
	Time    Duration `json:"time,omitempty"`    // wall-clock, waiting for verdicts not counted; default 1h
	USD     float64  `json:"usd,omitempty"`
	Tokens  int64    `json:"tokens,omitempty"`
}

// A Registration is what event 1 fixes before anything is measured.
type Registration struct {
	Run            string           `json:"run"` // random id of the run
	Mendel         string           `json:"mendel"`
	VerdictVersion int              `json:"verdict_version"`
	Task           TaskIdentity     `json:"task"`
	Score          ScoreRule        `json:"score"`
	Bounds         []Bound          `json:"bounds"`
	NoiseKind      NoiseKind        `json:"noise"`
	Keep           KeepRule         `json:"keep"`
	Arm            Arm              `json:"arm"`
	Agents         []Agent          `json:"agents"`
	Budgets        Budgets          `json:"budgets"`
	Caps           Caps             `json:"session_caps"`
	Replicates     int              `json:"baseline_replicates"`
	Seeds          int              `json:"seeds"`
	Seed           int64            `json:"seed"`
	Certificate    *CertificatePlan `json:"certificate,omitempty"`
	Sandbox        SandboxNote      `json:"sandbox"`
	SandboxRequire string           `json:"sandbox_require"`
	Unsandboxed    bool             `json:"allow_unsandboxed,omitempty"`
	// AgentsUnconfined allows coding agents to run where nothing confines them.
	AgentsUnconfined bool           `json:"agents_unconfined,omitempty"`
	Parallel         int            `json:"parallel"`
	Prices           string         `json:"prices,omitempty"`      // path of a price table that goes before the built-in one
	Site             string         `json:"site,omitempty"`        // path of site.yaml
	SiteDigest       Hash           `json:"site_digest,omitempty"` // of its content
	Environment      string         `json:"environment,omitempty"` // one line: interpreter and packages
	BaselineTree     Hash           `json:"baseline_tree"`
	Remeasures       *Remeasurement `json:"remeasures,omitempty"`
	// Machine is nil in runs of before it was recorded.
	Machine *Machine `json:"machine,omitempty"`
	// Calibration is a stored one of this task on this machine, where there is one.
	Calibration *Calibration `json:"calibration,omitempty"`
	// Imported is set where the run was not made here but read from a record: it then has no trees.
	Imported *Provenance `json:"imported,omitempty"`
}

// TimesMatter says whether another machine would give other scores: the clock is the score, or
// training has a budget of time.
func (r Registration) TimesMatter() bool {
	return r.NoiseKind == Timing || slices.ContainsFunc(r.Bounds, func(b Bound) bool { return b.Outcome == TrainBudgetOverrun })
}

// A Remeasurement names the trial of another run whose tree stands as the baseline of this one. Nobody
// proposes in such a run, and every replicate is measured, whatever the ones before it showed.
type Remeasurement struct {
	Run   string  `json:"run"` // its random id
	Trial TrialID `json:"trial"`
}

// A CertificatePlan pre-registers how certify will decide.
type CertificatePlan struct {
	Margin float64 `json:"margin"` // > 0, in the score's unit
	N      int     `json:"n"`      // pairs
	Alpha  float64 `json:"alpha"`
}

// TaskIdentity says which task a run is about, to the byte.
type TaskIdentity struct {
	Name      string `json:"name"`
	Title     string `json:"title"`
	Dir       string `json:"dir"` // where it was found; not part of any hash
	Hash      Hash   `json:"hash"`
	Evaluator Hash   `json:"evaluator_hash"`
	// Upstream pins a recipe that is someone else's. The tree that came of it is BaselineTree.
	Upstream *UpstreamPins `json:"upstream,omitempty"`
}

// UpstreamPins say which files of which commit became the starting recipe. The patches themselves
// are part of the task's hash.
type UpstreamPins struct {
	Repo    string        `json:"repo"`
	Commit  string        `json:"commit"`
	Files   []UpstreamPin `json:"files"`
	Patches int           `json:"patches,omitempty"` // how many
}

// An UpstreamPin is one file, or the files of one glob.
type UpstreamPin struct {
	Path   string `json:"path"`
	SHA256 string `json:"sha256,omitempty"`
}

// An Agent is one member of the team: a role and who plays it.
type Agent struct {
	Name     string `json:"name"` // "arch", "generic-3", "single"
	Role     string `json:"role"` // role id, or "generic"
	Proposer string `json:"proposer"`
	// Options are of a proposer that is a model or an agent; nil means all defaults.
	Options *ProposerOptions `json:"options,omitempty"`
}

// ProposerOptions are how a model is asked, and what an agent gets. No key is among them.
type ProposerOptions struct {
	BaseURL     string   `json:"base_url,omitempty" yaml:"base_url"`
	KeyEnv      string   `json:"key_env,omitempty" yaml:"key_env"` // the environment variable that holds the key
	Temperature *float64 `json:"temperature,omitempty" yaml:"temperature"`
	Thinking    int      `json:"thinking,omitempty" yaml:"thinking"`     // tokens a call may think; 0: no extended thinking
	MaxOutput   int      `json:"max_output,omitempty" yaml:"max_output"` // tokens a call may write, thinking included
	WebSearch   bool     `json:"web_search,omitempty" yaml:"web_search"` // let the provider search the web

	PassEnv []string `json:"pass_env,omitempty" yaml:"pass_env"` // environment variables that an agent gets
	Hosts   []string `json:"hosts,omitempty" yaml:"hosts"`       // that an agent may reach beside its provider's
}

// A Role is one specialist's share of the recipe's surface.
type Role struct {
	ID       string   `json:"id"`
	Title    string   `json:"title"`
	Preamble string   `json:"preamble"`
	MayEdit  []string `json:"may_edit"` // globs
}

// A Knob is one declared, mutable value of the recipe.
type Knob struct {
	Name    string   `json:"name" yaml:"name"`
	Role    string   `json:"role" yaml:"role"`
	About   string   `json:"about,omitempty" yaml:"about"`
	Type    KnobType `json:"type" yaml:"type"`
	Min     *float64 `json:"min,omitempty" yaml:"min"`
	Max     *float64 `json:"max,omitempty" yaml:"max"`
	Scale   string   `json:"scale,omitempty" yaml:"scale"` // "linear" (default) or "log"
	Step    float64  `json:"step,omitempty" yaml:"step"`   // first step: added (linear) or multiplied (log)
	Choices []string `json:"choices,omitempty" yaml:"choices"`
	Place   Place    `json:"place" yaml:"place"`
}

// A KnobType is what values a knob takes.
type KnobType string

// The types of knob.
const (
	IntKnob    KnobType = "int"
	FloatKnob  KnobType = "float"
	ChoiceKnob KnobType = "choice"
	BoolKnob   KnobType = "bool" // True or False, as Python writes them
)

// A Place finds a knob: a multi-line regular expression with one group, the value's text.
type Place struct {
	File    string `json:"file" yaml:"file"`
	Pattern string `json:"pattern" yaml:"pattern"`
}

// Spend counts what a run has used; it is durable.
type Spend struct {
	Trials int `json:"trials"` // submitted, the baseline not counted
	// Replicates are measurements that confirmations took. A trial budget counts each as a trial.
	Replicates    int     `json:"replicates,omitempty"`
	ReplicateWall Seconds `json:"replicate_s,omitempty"` // of these; part of TrialWall
	// ReservedReplicates are set aside for the confirmation under way.
	ReservedReplicates int     `json:"reserved_replicates,omitempty"`
	TrialWall          Seconds `json:"trial_s"`     // accepted attempts
	LostWall           Seconds `json:"lost_s"`      // attempts whose result was not accepted
	CheckCPU           Seconds `json:"check_cpu_s"` // free checks and bash
	Sessions           int     `json:"sessions"`
	Supervised         Seconds `json:"supervised_s"`
	Usage              Usage   `json:"usage"`              // model calls, as reported
	Charge             Charge  `json:"charge"`             // model calls that were settled
	Reserved           Charge  `json:"reserved"`           // set aside for calls that are not settled
	ModelCalls         int     `json:"model_calls"`        // settled
	Unpriced           int     `json:"unpriced,omitempty"` // settled calls whose price is unknown
}

// OfTrials is what counts against a budget of trials.
func (s Spend) OfTrials() int { return s.Trials + s.Replicates }

// A SessionRow is one session as the lineage knows it.
type SessionRow struct {
	ID       SessionID `json:"id"`
	Agent    string    `json:"agent"`
	Role     string    `json:"role"`
	Proposer string    `json:"proposer"`
	OpenedAt time.Time `json:"opened_at"`
	ClosedAt time.Time `json:"closed_at,omitzero"`
	Prompt   Hash      `json:"prompt,omitempty"`
	Ending   string    `json:"ending,omitempty"` // "submitted", "no_submit", "capped", "misbehaved", "error", "stopped", "lost"
	Error    string    `json:"error,omitempty"`
	Calls    int       `json:"calls"`       // of tools
	Turns    int       `json:"model_calls"` // settled
	Usage    Usage     `json:"usage"`
	Charge   Charge    `json:"charge"`
	Trials   []TrialID `json:"trials,omitempty"`
}
