package report

import (
	"math"
	"strconv"
)

// A scale takes values to places on a picture.
type scale struct{ low, high, from, to float64 }

func (s scale) at(v float64) float64 {
	if s.high == s.low {
		return (s.from + s.to) / 2
	}
	return s.from + (v-s.low)/(s.high-s.low)*(s.to-s.from)
}

// inside moves a value that is off the picture to its edge, and says whether it had to.
func (s scale) inside(v float64) (float64, bool) {
	low, high := min(s.low, s.high), max(s.low, s.high)
	return min(max(v, low), high), v >= low && v <= high
}

// ticks are round values between the ends, about n of them, and how to print them.
func (s scale) ticks(n int) (values []float64, print func(float64) string) {
	low, high := min(s.low, s.high), max(s.low, s.high)
	step := math.Pow(10, math.Floor(math.Log10((high-low)/float64(n))))
	for _, factor := range []float64{1, 2, 5, 10} {
		if (high-low)/(step*factor) <= float64(n) {
			step *= factor
			break
		}
	}
	for i := math.Ceil(low / step); i*step <= high+step*1e-9; i++ {
		values = append(values, i*step)
	}
	digits := max(0, int(math.Ceil(-math.Log10(step)-1e-9)))
	return values, func(v float64) string {
		if math.Abs(v) < step*1e-9 {
			v = 0
		}
		return strconv.FormatFloat(v, 'f', digits, 64)
	}
}
