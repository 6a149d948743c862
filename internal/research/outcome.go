package research

// An Outcome says how a trial's measurement ended, and who is to blame. Values are stored:
// add, never rename.
type Outcome string

// The outcomes, in the order of precedence of their causes: see package runner.
const (
	Valid              Outcome = "valid"                // measured under the task's rules
	PreflightCrash     Outcome = "preflight_crash"      // stopped by a cheap check, no training spent
	TrainBudgetOverrun Outcome = "train_budget_overrun" // the recipe trained for too long
	EvalBudgetOverrun  Outcome = "eval_budget_overrun"  // the recipe answered too slowly
	SizeBlocked        Outcome = "size_blocked"         // the recipe broke a size limit
	Crash              Outcome = "crash"                // the recipe failed at run time
	Disqualified       Outcome = "disqualified"         // the recipe missed a quality gate
	Aborted            Outcome = "harness_abort"        // we failed; no evidence about the idea
	Unclassified       Outcome = "unclassified"         // an imported record calls it by a word that we do not know
)

// A Status is what people read in tables; it is stored. It derives from an outcome and a
// verdict. Values are stored: add, never rename.
type Status string

// The statuses that no outcome has by itself.
const (
	StatusBaseline Status = "baseline"
	StatusKeep     Status = "keep"
	StatusDiscard  Status = "discard" // valid, not better
)

// Statuses lists every status in the order in which tables show them.
func Statuses() []Status {
	return []Status{
		StatusBaseline, StatusKeep, StatusDiscard, Status(Disqualified), Status(SizeBlocked),
		Status(TrainBudgetOverrun), Status(EvalBudgetOverrun), Status(Crash), Status(PreflightCrash), Status(Aborted),
	}
}

// StatusOf derives the status of a judged trial.
func StatusOf(id TrialID, o Outcome, v Verdict) Status {
	switch {
	case o != Valid:
		return Status(o)
	case id == Baseline:
		return StatusBaseline
	case v.Keep:
		return StatusKeep
	default:
		return StatusDiscard
	}
}

// Stopped says whether a limit or a gate, rather than a failure, kept the trial from ranking.
func (s Status) Stopped() bool {
	switch Outcome(s) {
	case Disqualified, SizeBlocked, TrainBudgetOverrun, EvalBudgetOverrun:
		return true
	}
	return false
}

// Ranks says whether a trial of this status may stand on the leaderboard.
func (s Status) Ranks() bool { return s == StatusBaseline || s == StatusKeep }
