// Package terminal shows a run to a person at a terminal: status, one trial, one session, the tree,
// and the live view of a run at work. It reads the lineage and what the supervisor tells through
// control; it writes nothing. Start reading at [Collect].
package terminal

import (
	"mendel/internal/control"
	"mendel/internal/lineage"
	"mendel/internal/research"
)

// An Overview is what `mendel status` knows of a run. Its JSON is stable.
type Overview struct {
	Dir        string                  `json:"dir"`
	Run        string                  `json:"run"`
	Task       research.TaskIdentity   `json:"task"`
	Score      research.ScoreRule      `json:"score"`
	Arm        research.Arm            `json:"arm"`
	Keep       research.KeepRule       `json:"keep"`
	Sandbox    research.SandboxNote    `json:"sandbox"`
	Unsafe     bool                    `json:"allow_unsandboxed,omitempty"`
	Bounds     []research.Bound        `json:"bounds"`
	Baseline   *research.Trial         `json:"baseline,omitempty"`
	Incumbent  *research.Trial         `json:"incumbent,omitempty"`
	Noise      *research.Noise         `json:"noise,omitempty"`
	NoiseFloor *float64                `json:"noise_floor,omitempty"`
	Statuses   map[research.Status]int `json:"status"`
	Trials     int                     `json:"trials"` // submitted, the baseline not counted
	Budgets    research.Budgets        `json:"budgets"`
	Spend      research.Spend          `json:"spend"`
	Ledger     []research.LedgerRow    `json:"ledger,omitempty"` // model calls by role and model
	Best       []lineage.Point         `json:"best_so_far"`      // the baseline and each keep, oldest first
	Recent     []research.Trial        `json:"recent"`
	NearMisses []research.Trial        `json:"near_misses"`
	// Certificates are the attempts that were decided, oldest first.
	Certificates []research.Certificate `json:"certificates,omitempty"`
	Head         string                 `json:"head"`
	Live         *control.Live          `json:"live,omitempty"`  // nil when no supervisor is running
	Ended        string                 `json:"ended,omitempty"` // why the supervisor ended, where it was not killed
}

// Collect reads an overview. live may be nil.
func Collect(r *lineage.Reader, dir string, live *control.Live, recent int) (Overview, error) {
	o := Overview{Dir: dir, Live: live}
	reg, err := r.Registration()
	if err != nil {
		return o, err
	}
	o.Run, o.Task, o.Score, o.Arm, o.Keep = reg.Run, reg.Task, reg.Score, reg.Arm, reg.Keep
	o.Sandbox, o.Bounds, o.Unsafe = reg.Sandbox, reg.Bounds, reg.Unsandboxed
	if o.Budgets, err = r.Budgets(); err != nil {
		return o, err
	}
	if o.Spend, err = r.Spend(); err != nil {
		return o, err
	}
	if o.Ledger, err = r.Ledger(); err != nil {
		return o, err
	}
	o.Trials = o.Spend.Trials
	if o.Certificates, err = r.Certificates(); err != nil {
		return o, err
	}
	if o.Statuses, err = r.Statuses(""); err != nil {
		return o, err
	}
	if reg.Imported != nil { // whose numbers may have gaps
		o.Trials = -o.Statuses[research.StatusBaseline]
		for _, n := range o.Statuses {
			o.Trials += n
		}
	}
	if o.Noise, err = r.Noise(); err != nil {
		return o, err
	}
	if floor, known := o.Noise.Floor(); known {
		o.NoiseFloor = &floor
	}
	if o.Recent, err = r.Recent(recent); err != nil {
		return o, err
	}
	incumbent, ok, err := r.Incumbent()
	if err != nil {
		return o, err
	}
	baseline, submitted, err := r.Baseline()
	if err != nil {
		return o, err
	}
	if submitted {
		o.Baseline = &baseline
	}
	if ok {
		o.Incumbent = &incumbent
		if o.Best, err = r.BestSoFar(); err != nil {
			return o, err
		}
		if score, ok := incumbent.Score(); ok {
			if o.NearMisses, err = r.NearMisses(score, 5); err != nil {
				return o, err
			}
		}
	}
	stopped, _, err := r.Stopped()
	if err != nil {
		return o, err
	}
	o.Ended = stopped.Reason
	head, err := r.Head()
	o.Head = head.String()
	return o, err
}
