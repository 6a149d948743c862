package research

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// A Duration reads and writes as "20s" or "90m"; a bare number is seconds.
type Duration time.Duration

// UnmarshalText accepts Go durations and bare seconds.
func (d *Duration) UnmarshalText(text []byte) error {
	s := strings.TrimSpace(string(text))
	if n, err := strconv.ParseFloat(s, 64); err == nil && n >= 0 && !math.IsInf(n, 0) {
		*d = Duration(n * float64(time.Second))
		return nil
	}
	v, err := time.ParseDuration(s)
	if err != nil || v < 0 {
		return fmt.Errorf("%q is not a duration: write 20s, 1m30s or a number of seconds", s)
	}
	*d = Duration(v)
	return nil
}

// MarshalText writes the form that UnmarshalText reads.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// Std is the standard library's type of the same length.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// Bytes reads as 64000, 16MB or 2GiB.
type Bytes int64

var byteUnits = []struct {
	suffix string
	size   float64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1},
}

// UnmarshalText accepts a number with or without a unit.
func (b *Bytes) UnmarshalText(text []byte) error {
	s := strings.TrimSpace(strings.ReplaceAll(string(text), "_", ""))
	scale := 1.0
	number := s
	for _, u := range byteUnits {
		if rest, ok := strings.CutSuffix(s, u.suffix); ok {
			number, scale = strings.TrimSpace(rest), u.size
			break
		}
	}
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || !(n >= 0 && n*scale <= math.MaxInt64/2) {
		return fmt.Errorf("%q is not a size: write 64000, 16MB or 2GiB", s)
	}
	*b = Bytes(n * scale)
	return nil
}

// MarshalText writes a plain number of bytes.
func (b Bytes) MarshalText() ([]byte, error) { return strconv.AppendInt(nil, int64(b), 10), nil }

// Number prints a value as tables do: whole numbers with separators, others with up to six
// significant digits that matter.
func Number(v float64) string {
	if v == math.Trunc(v) && math.Abs(v) < 1e15 {
		return grouped(strconv.FormatInt(int64(v), 10))
	}
	var digits int
	switch a := math.Abs(v); {
	case a < 10:
		digits = 6
	case a < 1000:
		digits = 4
	default:
		digits = 1
	}
	s := strconv.FormatFloat(v, 'f', digits, 64)
	s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	if s == "0" || s == "-0" {
		return strconv.FormatFloat(v, 'g', 3, 64)
	}
	return s
}

// Significant keeps so many significant digits: more of a forecast or of noise would mislead.
func Significant(v float64, digits int) float64 {
	short, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', digits, 64), 64)
	if err != nil { // it rounds to more than the largest number
		return v
	}
	return short
}

// Quantity prints a value with its unit.
func Quantity(v float64, unit string) string {
	if unit == "" {
		return Number(v)
	}
	return Number(v) + " " + unit
}

// Amount is Quantity with bytes as a word. The mean of several measurements may have a part of a byte,
// which says nothing beside many.
func Amount(v float64, unit string) string {
	if unit == "B" {
		unit = "bytes"
		if math.Abs(v) >= 100 {
			v = math.Round(v)
		}
	}
	return Quantity(v, unit)
}

func grouped(digits string) string {
	sign := ""
	if strings.HasPrefix(digits, "-") {
		sign, digits = "-", digits[1:]
	}
	var b strings.Builder
	for i, r := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(r)
	}
	return sign + b.String()
}
