package research

import "math"

// studentTail is the probability that Student's t with the given degrees of freedom exceeds t.
func studentTail(t, freedom float64) float64 {
	switch {
	case math.IsNaN(t):
		return math.NaN()
	case t < 0:
		return 1 - studentTail(-t, freedom)
	}
	return betaShare(freedom/(freedom+t*t), freedom/2, 0.5) / 2
}

// studentBound is the value that Student's t exceeds with the given probability, which is above 0 and
// at most one half.
func studentBound(probability, freedom float64) float64 {
	low, high := 0.0, 1.0
	for studentTail(high, freedom) > probability {
		low, high = high, 2*high
	}
	for {
		middle := low + (high-low)/2
		if middle == low || middle == high {
			return high
		}
		if studentTail(middle, freedom) > probability {
			low = middle
		} else {
			high = middle
		}
	}
}

// betaShare is the regularized incomplete beta function I_x(a, b): its continued fraction (DLMF 8.17.22)
// evaluated from the front by Lentz's method, on the side where it converges fast.
func betaShare(x, a, b float64) float64 {
	switch {
	case x <= 0:
		return 0
	case x >= 1:
		return 1
	case x > (a+1)/(a+b+2):
		return 1 - betaShare(1-x, b, a)
	}
	logGamma := func(v float64) float64 { l, _ := math.Lgamma(v); return l }
	front := math.Exp(logGamma(a+b)-logGamma(a)-logGamma(b)+a*math.Log(x)+b*math.Log1p(-x)) / a
	const tiny, enough = 1e-300, 1e-15
	away := func(v float64) float64 { // from zero, by which it will be divided
		if math.Abs(v) < tiny {
			return tiny
		}
		return v
	}
	value, c, d := 1.0, 1.0, 0.0
	for i := 0; i < 10_000; i++ {
		m := float64(i / 2)
		term := 1.0
		switch {
		case i == 0:
		case i%2 == 0:
			term = m * (b - m) * x / ((a + 2*m - 1) * (a + 2*m))
		default:
			term = -(a + m) * (a + b + m) * x / ((a + 2*m) * (a + 2*m + 1))
		}
		d = 1 / away(1+term*d)
		c = away(1 + term/c)
		value *= c * d
		if math.Abs(c*d-1) < enough {
			break
		}
	}
	return front * (value - 1)
}
