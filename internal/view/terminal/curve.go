package terminal

import (
	"math"
	"strings"

	"mendel/internal/lineage"
	"mendel/internal/research"
)

var bars = []rune("▁▂▃▄▅▆▇█")

// newest is the last trial that a curve has to reach: the numbers of an imported run may have gaps.
func (o Overview) newest() research.TrialID {
	newest := research.TrialID(o.Trials)
	for _, p := range o.Best {
		newest = max(newest, p.Trial)
	}
	return newest
}

// Curve draws the best score so far over the trials as one line of bars, at most columns wide.
// The bar falls or rises as the score does; points are in the order of their trials.
func Curve(points []lineage.Point, last research.TrialID, columns int) string {
	low, high := math.Inf(1), math.Inf(-1)
	for _, p := range points {
		low, high = math.Min(low, p.Score), math.Max(high, p.Score)
	}
	if len(points) == 0 || columns < 1 {
		return ""
	}
	first := points[0].Trial
	span := int(last-first) + 1
	columns = min(columns, max(span, 1))
	var b strings.Builder
	next, score := 0, points[0].Score
	for c := range columns {
		upTo := first + research.TrialID((c+1)*span/columns) - 1
		for next < len(points) && points[next].Trial <= upTo {
			score = points[next].Score
			next++
		}
		level := len(bars) - 1
		if high > low {
			level = int(math.Round((score - low) / (high - low) * float64(len(bars)-1)))
		}
		b.WriteRune(bars[level])
	}
	return b.String()
}
