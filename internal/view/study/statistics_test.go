package study

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func random() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

func TestPermutationP(t *testing.T) {
	for name, x := range map[string]struct {
		a, b []float64
		want float64
	}{
		// Of the 20 ways to deal six values, the observed one and its mirror image are as extreme.
		"apart":               {[]float64{1, 2, 3}, []float64{4, 5, 6}, 2.0 / 20},
		"the same":            {[]float64{1, 1, 1}, []float64{1, 1, 1}, 1},
		"one against many":    {[]float64{9}, []float64{1, 2, 3, 4}, 1.0 / 5},
		"apart, eight a side": {[]float64{1, 2, 3, 4, 5, 6, 7, 8}, []float64{11, 12, 13, 14, 15, 16, 17, 18}, 2.0 / 12870},
		// Worked by hand: of the six sums 3 4 5 5 6 7, four are at least as far from 5 as 4 is.
		"mixed": {[]float64{1, 3}, []float64{2, 4}, 4.0 / 6},
	} {
		t.Run(name, func(t *testing.T) {
			p, exact := permutationP(x.a, x.b, random())
			if math.Abs(p-x.want) > 1e-12 || !exact {
				t.Errorf("p = %v (exact %v), want %v", p, exact, x.want)
			}
		})
	}
}

// TestPermutationDrawn compares the drawn test with the exact one, on sizes where the latter is possible.
func TestPermutationDrawn(t *testing.T) {
	var a, b []float64
	r := random()
	for range 12 {
		a, b = append(a, r.NormFloat64()), append(b, r.NormFloat64()+0.8)
	}
	p, exact := permutationP(a, b, r)
	if exact {
		t.Fatal("2,704,156 ways were all looked at")
	}
	all, extreme := 0, 0
	observed := math.Abs(mean(a) - mean(b))
	total := 12 * (mean(a) + mean(b))
	deal(slices.Concat(a, b), 12, func(sum float64) {
		all++
		if math.Abs(sum/12-(total-sum)/12) >= observed*(1-1e-12) {
			extreme++
		}
	})
	if want := float64(extreme) / float64(all); math.Abs(p-want) > 5*math.Sqrt(want/drawn) {
		t.Errorf("p = %v, exactly it is %v", p, want)
	}
}

// TestPermutationLevel: where there is no difference, p is at most x in at most the share x of cases.
func TestPermutationLevel(t *testing.T) {
	r := random()
	const studies = 2000
	hits := 0
	for range studies {
		a, b := make([]float64, 5), make([]float64, 5)
		for i := range a {
			a[i], b[i] = math.Exp(r.NormFloat64()), math.Exp(r.NormFloat64()) // skewed, as scores are
		}
		if p, _ := permutationP(a, b, r); p <= 0.05 {
			hits++
		}
	}
	if most := 0.05*studies + 4*math.Sqrt(0.05*0.95*studies); float64(hits) > most {
		t.Errorf("%d of %d studies find a difference where none is; at most %.0f can be chance", hits, studies, most)
	}
}

func TestSmallestP(t *testing.T) {
	for _, n := range []int{2, 3, 5} {
		a, b := make([]float64, n), make([]float64, n)
		for i := range n {
			a[i], b[i] = float64(i), float64(100+i)
		}
		if p, _ := permutationP(a, b, random()); math.Abs(p-smallestP(n, n)) > 1e-12 {
			t.Errorf("%d a side: the most extreme has p = %v, said to be %v", n, p, smallestP(n, n))
		}
	}
}

func TestShiftInterval(t *testing.T) {
	a := []float64{10.1, 10.4, 9.8, 10.0, 10.2, 9.9, 10.3, 10.1}
	b := []float64{12.0, 12.3, 11.7, 12.1, 11.9, 12.2, 11.8, 12.0}
	got := shiftInterval(a, b, 0.05, random)
	// Student's interval of the same values is −1.90 ± 0.21; the two agree where values look normal.
	if math.Abs(got.Low-(-2.11)) > 0.04 || math.Abs(got.High-(-1.69)) > 0.04 {
		t.Errorf("interval %+v", got)
	}
	if few := shiftInterval(a[:3], b[:3], 0.05, random); !math.IsInf(few.Low, -1) || !math.IsInf(few.High, 1) {
		t.Errorf("three a side can reject nothing at 0.05, yet the interval is %+v", few)
	}
	if same := shiftInterval([]float64{2, 2, 2, 2, 2}, []float64{1, 1, 1, 1, 1}, 0.05, random); same != (Interval{1, 1}) {
		t.Errorf("values without spread give %+v", same)
	}
}

// TestIntervalAndTestAgree: 0 lies outside the interval exactly where the test rejects.
func TestIntervalAndTestAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Float64Range(-10, 10), 5, 5)
		a, b := values.Draw(t, "a"), values.Draw(t, "b")
		p, _ := permutationP(a, b, random())
		in := shiftInterval(a, b, 0.05, random)
		if outside := in.Low > 1e-6 || in.High < -1e-6; outside && p > 0.05 {
			t.Fatalf("p = %v, interval %+v", p, in)
		}
		if inside := in.Low < -1e-6 && in.High > 1e-6; inside && p <= 0.05 {
			t.Fatalf("p = %v, interval %+v", p, in)
		}
	})
}

func TestHolm(t *testing.T) {
	// The example of many textbooks, worked by hand: 0.01·4, 0.02·3, 0.03·2, 0.04·1, never falling.
	got := holm([]float64{0.04, 0.01, 0.03, 0.02})
	want := []float64{0.06, 0.04, 0.06, 0.06}
	for i := range want {
		if math.Abs(got[i]-want[i]) > 1e-12 {
			t.Fatalf("holm gives %v, want %v", got, want)
		}
	}
}

// TestPermutationTies: scores far from zero have the same ties as those near it, though their sums are
// rounded. 4,164 of 12,870 ways are as extreme, counted in whole numbers.
func TestPermutationTies(t *testing.T) {
	for _, offset := range []float64{0, 1000, -25_000, 1e6} {
		var a, b []float64
		for i, v := range []float64{1, 2, 3, 4, 1, 2, 3, 4} {
			a, b = append(a, offset+v/1000), append(b, offset+[]float64{2, 3, 4, 5, 1, 4, 2, 6}[i]/1000)
		}
		if p, exact := permutationP(a, b, nil); !exact || p != 4164.0/12_870 {
			t.Errorf("around %v: p = %v, want %v", offset, p, 4164.0/12_870)
		}
	}
}
