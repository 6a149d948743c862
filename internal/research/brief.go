package research

import "time"

// A Brief is all that one session may know: the task, its role, and the part of the lineage
// that its arm allows, chosen by role. A prompt is a rendering of it, and mutate reads the same
// one. Every list has a fixed cap, so that a brief costs the same however long the history is.
type Brief struct {
	Task      TaskCard  `json:"task"`
	Arm       Arm       `json:"arm"`
	Agent     Agent     `json:"agent"`
	Role      Role      `json:"role"`
	Roles     []Role    `json:"roles"`
	Session   SessionID `json:"session"`
	Seed      int64     `json:"seed"`                // of this session's random choices
	Workspace string    `json:"workspace,omitempty"` // as the agent names it
	MaxSubmit int       `json:"max_submit"`

	// Incumbent is always there, in a no-lineage arm reduced to id and score.
	Incumbent Trial     `json:"incumbent"`
	Budgets   Budgets   `json:"budgets"`
	Spend     Spend     `json:"spend"`
	Now       time.Time `json:"now"`

	// History is nil in a no-lineage arm: then nothing else is known of other trials.
	History *History `json:"history,omitempty"`
}

// History is what the lineage teaches one session.
type History struct {
	Baseline    Trial   `json:"baseline"`
	Noise       *Noise  `json:"noise,omitempty"`
	Leaderboard []Trial `json:"leaderboard"` // ranking trials, best first
	Chain       []Trial `json:"chain"`       // root → incumbent; a long one keeps its root and newest links
	Children    []Trial `json:"children"`    // of the incumbent, newest first
	NearMisses  []Trial `json:"near_misses"` // best raw score first
	Recent      []Trial `json:"recent"`      // all roles, newest first, harness aborts left out
	Own         []Trial `json:"own"`         // this agent's role, newest first, harness aborts left out
	// Saturated says that the role's last 5 judged trials all stayed within the noise floor or were invalid.
	Saturated bool     `json:"saturated,omitempty"`
	LastCrash *CrashOf `json:"last_crash,omitempty"` // of this role
}

// CrashOf ties an excerpt to its trial.
type CrashOf struct {
	Trial TrialID      `json:"trial"`
	Crash CrashExcerpt `json:"crash"`
}

// A TaskCard is the part of a task that sessions may know.
type TaskCard struct {
	Name     string      `json:"name"`
	Title    string      `json:"title"`
	Summary  string      `json:"summary"`
	Language string      `json:"language"`
	Editable []string    `json:"editable"`
	Score    ScoreRule   `json:"score"`
	Bounds   []Bound     `json:"bounds"`
	Keep     KeepRule    `json:"keep"`
	Seeds    int         `json:"seeds"`
	Phases   []string    `json:"phases"`
	Checks   []CheckCard `json:"checks"`
	Pinned   []Document  `json:"pinned"`    // knowledge that every prompt carries
	OnDemand []Document  `json:"on_demand"` // knowledge that read_knowledge serves
	Knobs    []Knob      `json:"knobs,omitempty"`
}

// A CheckCard is one free check as a tool.
type CheckCard struct {
	Name  string `json:"name"`
	About string `json:"about"`
}

// A Document is one knowledge file.
type Document struct {
	Name string `json:"name"`
	Text string `json:"text"`
}
