package research

import (
	"testing"
	"time"
)

func TestDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{"20s": 20 * time.Second, "1m30s": 90 * time.Second, "0.5": 500 * time.Millisecond, "90": 90 * time.Second} {
		var d Duration
		if err := d.UnmarshalText([]byte(text)); err != nil || d.Std() != want {
			t.Errorf("%q: %v, %v", text, d.Std(), err)
		}
		again, _ := d.MarshalText()
		var back Duration
		if err := back.UnmarshalText(again); err != nil || back != d {
			t.Errorf("%q is written as %q, which reads as %v", text, again, back)
		}
	}
	for _, text := range []string{"", "20 parsecs", "-1s", "-3", "Inf", "NaN"} {
		var d Duration
		if err := d.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was read as %v", text, d.Std())
		}
	}
}

func TestBytes(t *testing.T) {
	for text, want := range map[string]Bytes{"64000": 64000, "16MB": 16e6, "2GiB": 2 << 30, "1.5 KiB": 1536, "16_000_000": 16e6, "7B": 7} {
		var b Bytes
		if err := b.UnmarshalText([]byte(text)); err != nil || b != want {
			t.Errorf("%q: %d, %v; want %d", text, b, err, want)
		}
	}
	for _, text := range []string{"", "many", "-1", "9e30", "5 PB", "NaN"} {
		var b Bytes
		if err := b.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was read as %d", text, b)
		}
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{
		16_002_056: "16,002,056", -2056: "-2,056", 0: "0", 1.07214: "1.07214", 0.00044: "0.00044",
		0.0000001: "1e-07", 26.356: "26.356", 123.45678: "123.4568", 1234.56: "1234.6", 0.96: "0.96",
	} {
		if got := Number(v); got != want {
			t.Errorf("%v is printed as %q, want %q", v, got, want)
		}
	}
}

func TestTrialID(t *testing.T) {
	for text, want := range map[string]TrialID{"7": 7, "007": 7, "exp_014": 14, "1234": 1234} {
		if id, err := ParseTrialID(text); err != nil || id != want {
			t.Errorf("%q: %v, %v", text, id, err)
		}
	}
	for _, text := range []string{"", "-1", "seven", "exp_", "7a"} {
		if id, err := ParseTrialID(text); err == nil {
			t.Errorf("%q was read as %s", text, id)
		}
	}
	if got := TrialID(7).String(); got != "007" {
		t.Errorf("7 is written %q", got)
	}
}
