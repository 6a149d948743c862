// Package control is the socket through which other processes ask a live run's supervisor, the
// only process that writes. It carries JSON over HTTP on a unix socket that only its owner may
// open. Start reading at [Serve] and [Dial].
//
// It knows neither the loop nor the lineage: the loop answers through [Supervisor].
package control

import (
	"context"
	"time"

	"mendel/internal/research"
)

// SocketName is the socket's file name inside a run's directory.
const SocketName = "control.sock"

// A Supervisor answers what other processes ask of a live run.
type Supervisor interface {
	// Live describes what the run is doing now.
	Live(ctx context.Context) (Live, error)
	// Stop asks for no new work; runners finish. It returns at once.
	Stop(ctx context.Context, by string) error
	Sessions
}

// Live is the part of a run's state that no file holds: who is doing what at this moment.
type Live struct {
	Run      string    `json:"run"`
	PID      int       `json:"pid"`
	Host     string    `json:"host"`
	State    State     `json:"state"`
	Since    time.Time `json:"since"` // when this supervisor began
	Executor string    `json:"executor"`
	Slots    int       `json:"slots"`
	Queued   int       `json:"queued"`
	Agents   []Agent   `json:"agents"`
	Running  []Running `json:"running"`
}

// A State says what the supervisor is about.
type State string

// The states of a supervisor.
const (
	Measuring State = "measuring the baseline"
	Searching State = "searching"
	Stopping  State = "stopping"
)

// An Agent is one member of the team at work.
type Agent struct {
	research.Agent
	Doing   Activity           `json:"doing"`
	Session research.SessionID `json:"session,omitempty"`
	Trial   *research.TrialID  `json:"trial,omitempty"`
	Since   time.Time          `json:"since"`
	Until   time.Time          `json:"until,omitzero"`    // of a back-off
	Problem string             `json:"problem,omitempty"` // why the last session failed, or the agent is parked
}

// An Activity is what an agent does.
type Activity string

// The activities of an agent.
const (
	Idle       Activity = "idle"
	Thinking   Activity = "thinking"
	Waiting    Activity = "waiting" // for its trial
	BackingOff Activity = "backing off"
	Parked     Activity = "parked" // misconfigured: the operator has to act
	ByHand     Activity = "open"   // for whoever opens a session from outside
)

// Running is one trial that occupies a slot.
type Running struct {
	Trial     research.TrialID `json:"trial"`
	Replicate int              `json:"replicate"`
	Role      string           `json:"role"`
	Phase     string           `json:"phase,omitempty"`
	Seed      int              `json:"seed"`  // index from 0
	Seeds     int              `json:"seeds"` // how many there are
	Since     time.Time        `json:"since"`
}
