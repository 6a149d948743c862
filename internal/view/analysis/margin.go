package analysis

import (
	"mendel/internal/research"
)

// A MarginSeries follows one limit or gate through the run.
type MarginSeries struct {
	Bound  research.Bound `json:"bound"`
	Points []MarginPoint  `json:"points"` // in the order of the verdicts
	Held   float64        `json:"held_share"`
	// Quarters are the median slacks of the run's quarters by number of points, earliest first;
	// fewer than 4 points make no quarters.
	Quarters []float64 `json:"quarters,omitempty"`
}

// A MarginPoint is how far one trial was from the bound: below 0 is beyond it.
type MarginPoint struct {
	Trial string  `json:"trial"`
	Slack float64 `json:"slack"`
	Kept  bool    `json:"kept,omitempty"`
}

func marginsOf(rec record) []MarginSeries {
	var all []MarginSeries
	for _, bound := range rec.reg.Bounds {
		s := MarginSeries{Bound: bound}
		held := 0
		for _, t := range rec.trials {
			if t.Measurement == nil {
				continue
			}
			for _, m := range t.Measurement.Margins {
				if m.Bound.Name != bound.Name {
					continue
				}
				s.Points = append(s.Points, MarginPoint{Trial: t.ID.String(), Slack: m.Slack, Kept: t.Status == research.StatusKeep})
				if m.Holds() {
					held++
				}
			}
		}
		n := len(s.Points)
		if n == 0 {
			continue
		}
		s.Held = *share(held, n)
		for q := 0; n >= 4 && q < 4; q++ {
			s.Quarters = append(s.Quarters, medianSlack(s.Points[q*n/4:(q+1)*n/4]))
		}
		all = append(all, s)
	}
	return all
}

func medianSlack(points []MarginPoint) float64 {
	slacks := make([]float64, len(points))
	for i, p := range points {
		slacks[i] = p.Slack
	}
	return research.Median(slacks)
}
