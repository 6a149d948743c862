package research

import "time"

// A Fact is one thing that happened, as an event's payload. The lineage stores facts in order
// and never changes one; what tables show is projected from them.
type Fact interface{ Kind() FactKind }

// A FactKind names a fact in the store. Values are stored: add, never rename.
type FactKind string

// The kinds of fact.
const (
	KindRegistered    FactKind = "registered"
	KindSupervised    FactKind = "supervised"
	KindBudgetChanged FactKind = "budget_changed"
	KindSessionOpened FactKind = "session_opened"
	KindToolCalled    FactKind = "tool_called"
	KindModelAsked    FactKind = "model_asked"
	KindModelAnswered FactKind = "model_answered"
	KindSessionClosed FactKind = "session_closed"
	KindSubmitted     FactKind = "submitted"
	KindDispatched    FactKind = "dispatched"
	KindMeasured      FactKind = "measured"
	KindAttemptLost   FactKind = "attempt_lost"
	KindCalibrated    FactKind = "calibrated"
	KindConfirming    FactKind = "confirming"
	KindJudged        FactKind = "judged"
	KindCertifying    FactKind = "certifying"
	KindRecertifying  FactKind = "recertifying"
	KindRecertified   FactKind = "recertified"
	KindCertified     FactKind = "certified"
	KindStopped       FactKind = "stopped"
	KindTrialImported FactKind = "trial_imported"
)

// Registered is event 1 and no other.
type Registered struct{ Registration }

// Supervised says that a supervisor took the run in hand (also after a crash).
type Supervised struct {
	PID     int    `json:"pid"`
	Host    string `json:"host"`
	Resumed bool   `json:"resumed"`
}

// BudgetChanged replaces the budgets from here on.
type BudgetChanged struct {
	Budgets Budgets `json:"budgets"`
	By      string  `json:"by"` // "resume", "control"
}

// SessionOpened starts a specialist's episode.
type SessionOpened struct {
	Session SessionID `json:"session"`
	Agent   Agent     `json:"agent"`
	Base    TrialID   `json:"base"` // the trial that its workspace starts from
	Prompt  Hash      `json:"prompt,omitempty"`
}

// ToolCalled journals one tool call of a session.
type ToolCalled struct {
	Session SessionID `json:"session"`
	Tool    string    `json:"tool"`
	Digest  Hash      `json:"args_digest"`
	Wall    Seconds   `json:"wall_s"`
	CPU     Seconds   `json:"cpu_s,omitempty"`
	Bytes   int       `json:"bytes"`
	Error   string    `json:"error,omitempty"`
}

// SessionClosed ends an episode.
type SessionClosed struct {
	Session    SessionID `json:"session"`
	Ending     string    `json:"ending"` // as in SessionRow
	Error      string    `json:"error,omitempty"`
	Transcript Hash      `json:"transcript,omitempty"`
}

// Submitted freezes a proposal and gives it its id.
type Submitted struct {
	Trial    TrialID  `json:"trial"`
	Proposal Proposal `json:"proposal"`
}

// Dispatched says that an attempt was handed to an executor. It is recorded before the executor hears of it.
type Dispatched struct {
	Attempt  Attempt `json:"attempt"`
	Executor string  `json:"executor"`
	Bundle   string  `json:"bundle"` // relative to the run's directory where it lies inside it
	// Of is the trial whose tree is measured where it is not the attempt's own: the incumbent, in a confirmation.
	Of *TrialID `json:"of,omitempty"`
}

// Measured accepts the result of an attempt.
type Measured struct {
	Attempt     Attempt     `json:"attempt"`
	Measurement Measurement `json:"measurement"`
}

// AttemptLost says that an attempt will have no result, and what was spent on it.
type AttemptLost struct {
	Attempt Attempt `json:"attempt"`
	Reason  string  `json:"reason"`
	Wall    Seconds `json:"wall_s"`
}

// Calibrated records the noise of the baseline's score.
type Calibrated struct {
	Noise Noise  `json:"noise"`
	Host  string `json:"host"`
	// From is the run whose stored calibration lends N and SD; empty where this run measured them.
	From string `json:"from,omitempty"`
	// Drift is how far the first measurement lies from the registered calibration's mean. Beyond that
	// one's noise floor, the calibration is not used.
	Drift *float64 `json:"drift,omitempty"`
}

// Judged ends a trial.
type Judged struct {
	Trial   TrialID `json:"trial"`
	Outcome Outcome `json:"outcome"`
	Verdict Verdict `json:"verdict"`
	Status  Status  `json:"status"`
}

// Stopped says that the supervisor ended on its own terms.
type Stopped struct {
	Reason string `json:"reason"`
	Early  bool   `json:"early,omitempty"` // work was left undone: a resume goes on with it
}

// Kind is [KindRegistered].
func (Registered) Kind() FactKind { return KindRegistered }

// Kind is [KindSupervised].
func (Supervised) Kind() FactKind { return KindSupervised }

// Kind is [KindBudgetChanged].
func (BudgetChanged) Kind() FactKind { return KindBudgetChanged }

// Kind is [KindSessionOpened].
func (SessionOpened) Kind() FactKind { return KindSessionOpened }

// Kind is [KindToolCalled].
func (ToolCalled) Kind() FactKind { return KindToolCalled }

// Kind is [KindSessionClosed].
func (SessionClosed) Kind() FactKind { return KindSessionClosed }

// Kind is [KindSubmitted].
func (Submitted) Kind() FactKind { return KindSubmitted }

// Kind is [KindDispatched].
func (Dispatched) Kind() FactKind { return KindDispatched }

// Kind is [KindMeasured].
func (Measured) Kind() FactKind { return KindMeasured }

// Kind is [KindAttemptLost].
func (AttemptLost) Kind() FactKind { return KindAttemptLost }

// Kind is [KindCalibrated].
func (Calibrated) Kind() FactKind { return KindCalibrated }

// Kind is [KindJudged].
func (Judged) Kind() FactKind { return KindJudged }

// Kind is [KindStopped].
func (Stopped) Kind() FactKind { return KindStopped }

// An Event is a stored fact.
type Event struct {
	Seq  int64     `json:"seq"`
	At   time.Time `json:"at"`
	Fact Fact      `json:"fact"`
	Hash Hash      `json:"hash"`
}
