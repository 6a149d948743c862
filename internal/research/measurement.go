package research

import "time"

// A Source says who establishes a metric, and so how far it can be trusted. Values are stored.
type Source string

// The sources of a metric.
const (
	FromHarness   Source = "harness"    // the runner's own clock, file sizes and exit codes
	FromEvaluator Source = "evaluator"  // the task's trusted program
	FromRecipeLog Source = "recipe-log" // what the recipe printed: self-reported
	FromRecord    Source = "record"     // what an imported record says, whoever measured it
)

// A Direction says which scores are better.
type Direction string

// The directions of a score.
const (
	Minimize Direction = "minimize"
	Maximize Direction = "maximize"
)

// Better says whether a is strictly better than b.
func (d Direction) Better(a, b float64) bool {
	if d == Maximize {
		return a > b
	}
	return a < b
}

// ScoreRule names the metric that is the score.
type ScoreRule struct {
	Metric       string    `json:"metric"`
	Unit         string    `json:"unit"`
	Direction    Direction `json:"direction"`
	SelfReported bool      `json:"self_reported,omitempty"`
}

// A Bound is a limit (what a valid trial must not exceed) or a gate (a quality that it must
// reach). Phase budgets are bounds too. Exactly one of Max and Min is set.
type Bound struct {
	Name    string   `json:"name"` // as shown: "train", "artifact_bytes", "accuracy"
	Gate    bool     `json:"gate,omitempty"`
	Metric  string   `json:"metric"`
	Unit    string   `json:"unit"`
	Max     *float64 `json:"max,omitempty"`
	Min     *float64 `json:"min,omitempty"`
	Outcome Outcome  `json:"outcome"` // what missing it makes of the trial
}

// A Margin is how far a trial was from one bound, in the bound's own unit.
type Margin struct {
	Bound Bound   `json:"bound"`
	Value float64 `json:"value"`
	// Slack is positive inside the bound and negative beyond it: -2056 B is 2,056 bytes over.
	Slack float64 `json:"slack"`
	// AtLeast says that the tree was killed there, so that the true value is further out.
	AtLeast bool `json:"at_least,omitempty"`
}

// Holds says whether the bound is met.
func (m Margin) Holds() bool { return m.Slack >= 0 && !m.AtLeast }

// MarginOf measures value against a bound.
func MarginOf(b Bound, value float64) Margin {
	m := Margin{Bound: b, Value: value}
	switch {
	case b.Max != nil:
		m.Slack = *b.Max - value
	case b.Min != nil:
		m.Slack = value - *b.Min
	}
	return m
}

// A MetricValue is one established number.
type MetricValue struct {
	Value  float64   `json:"value"` // aggregated over seeds
	Seeds  []float64 `json:"seeds,omitempty"`
	Unit   string    `json:"unit,omitempty"`
	Source Source    `json:"source"`
}

// A Measurement is what evaluator and harness established about one attempt (or, pooled,
// about several replicates). It is made only by package runner, and by [Pool].
type Measurement struct {
	Outcome Outcome `json:"outcome"`
	// Score is in the task's unit; nil when nothing was measured. It is present also for a
	// trial that a limit or gate stopped: only valid trials rank.
	Score   *float64               `json:"score,omitempty"`
	Metrics map[string]MetricValue `json:"metrics,omitempty"`
	Margins []Margin               `json:"margins,omitempty"`
	// Reason is one line that says what ended the trial, when it did not end well.
	Reason  string        `json:"reason,omitempty"`
	Crash   *CrashExcerpt `json:"crash,omitempty"`
	Phases  []PhaseRun    `json:"phases,omitempty"`
	Seeds   []int64       `json:"seeds,omitempty"`
	Sandbox SandboxNote   `json:"sandbox"`
	Host    string        `json:"host,omitempty"`
	// Harness is the time spent on the trial outside the recipe's and evaluator's own processes.
	Harness    Seconds `json:"harness_s"`
	Wall       Seconds `json:"wall_s"`
	Replicates int     `json:"replicates,omitempty"` // how many were pooled; 0 and 1 mean one
}

// Seconds is a duration as a number, for records that people and scripts read.
type Seconds float64

// SecondsOf converts a duration.
func SecondsOf(d time.Duration) Seconds { return Seconds(d.Seconds()) }

// Std is the standard library's type of the same length.
func (s Seconds) Std() time.Duration { return time.Duration(float64(s) * float64(time.Second)) }

// A CrashExcerpt is what a specialist needs to repair a crash.
type CrashExcerpt struct {
	Phase     string `json:"phase"`
	Exception string `json:"exception"`       // the deepest exception line
	Frame     string `json:"frame,omitempty"` // the deepest frame in the recipe's own file: train.py:41 in step
	Code      string `json:"code,omitempty"`  // the source line of that frame
}

// A PhaseRun is one execution of one phase.
type PhaseRun struct {
	Phase    string  `json:"phase"`
	Seed     int     `json:"seed"` // index into Measurement.Seeds; -1 for a phase that runs once
	Wall     Seconds `json:"wall_s"`
	CPU      Seconds `json:"cpu_s"`
	MaxRSS   int64   `json:"max_rss_bytes"`
	ExitCode int     `json:"exit_code"`
	Signal   string  `json:"signal,omitempty"`
	Ended    string  `json:"ended"` // "ok", "exit", "timeout", "killed", "oom", "output", "disk", "protocol"
	Log      Hash    `json:"log,omitempty"`
	LogBytes int64   `json:"log_bytes,omitempty"` // before the cap
	// OperatorOnly marks a log of a process that has seen questions: it never reaches a prompt.
	OperatorOnly bool `json:"operator_only,omitempty"`
	// Tail is the end of the log that specialists may read, at most 2 KB.
	Tail string `json:"tail,omitempty"`
}

// A SandboxNote records how the recipe was isolated.
type SandboxNote struct {
	Level     string `json:"level"`
	Memory    string `json:"memory,omitempty"`    // who enforced it: cgroup2, cgroup1, rlimit, watchdog, none
	Processes string `json:"processes,omitempty"` // likewise
	Disk      string `json:"disk,omitempty"`
}
