package record

import (
	"strings"

	"mendel/internal/research"
)

// Limit is a bound that a valid trial must not exceed. What missing it made of a trial goes by the
// name of the column, as the records' statuses do.
func Limit(column string, most float64) research.Bound {
	b := research.Bound{Name: column, Metric: column, Unit: unitOf(column), Max: &most, Outcome: research.Disqualified}
	switch {
	case strings.HasPrefix(column, "train"):
		b.Outcome = research.TrainBudgetOverrun
	case strings.HasPrefix(column, "eval"):
		b.Outcome = research.EvalBudgetOverrun
	case b.Unit == "B":
		b.Outcome = research.SizeBlocked
	}
	return b
}

// Gate is a quality that a valid trial must reach.
func Gate(column string, least float64) research.Bound {
	return research.Bound{Name: column, Gate: true, Metric: column, Unit: unitOf(column), Min: &least, Outcome: research.Disqualified}
}
