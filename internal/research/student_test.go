package research

import (
	"math"
	"testing"
)

// The values are those of printed tables of Student's t.
func TestStudentBound(t *testing.T) {
	for _, row := range []struct{ tail, freedom, want float64 }{
		{0.05, 1, 6.3138}, {0.05, 2, 2.9200}, {0.05, 10, 1.8125}, {0.025, 5, 2.5706}, {0.025, 30, 2.0423},
		{0.01, 7, 2.9980}, {0.005, 3, 5.8409}, {0.005, 23, 2.8073}, {0.0005, 5, 6.8688}, {0.0005, 20, 3.8495}, {0.001, 120, 3.1595},
	} {
		got := studentBound(row.tail, row.freedom)
		if math.Abs(got-row.want) > 5e-5*row.want {
			t.Errorf("t exceeded with %v at %v degrees of freedom: %v, tables say %v", row.tail, row.freedom, got, row.want)
		}
		if back := studentTail(got, row.freedom); math.Abs(back-row.tail) > 1e-12 {
			t.Errorf("the tail beyond %v is %v, not %v", got, back, row.tail)
		}
	}
	if got := studentTail(0, 4); got != 0.5 {
		t.Errorf("half lies above 0, not %v", got)
	}
	if got := studentTail(-2.1318, 4); math.Abs(got-0.95) > 1e-5 {
		t.Errorf("0.95 lies above -2.1318, not %v", got)
	}
	// With one degree of freedom t has Cauchy's distribution, which is known in closed form.
	if got, want := studentTail(1e6, 1), math.Atan(1e-6)/math.Pi; math.Abs(got/want-1) > 1e-9 {
		t.Errorf("the far tail is %v, not %v", got, want)
	}
}
