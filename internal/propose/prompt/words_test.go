package prompt_test

import (
	"testing"

	"mendel/internal/propose/prompt"
	"mendel/internal/research"
)

func TestMarginsInBytesAreWhole(t *testing.T) {
	most := 64_000.0
	bound := research.Bound{Name: "artifact_bytes", Metric: "artifact_bytes", Unit: "B", Max: &most, Outcome: research.SizeBlocked}
	for value, want := range map[float64]string{
		46147.3: "17,853 bytes under artifact_bytes (46,147 bytes, at most 64,000 bytes)",
		63999.5: "0.5 bytes under artifact_bytes (64,000 bytes, at most 64,000 bytes)",
		64001:   "1 bytes over artifact_bytes (64,001 bytes, at most 64,000 bytes)",
	} {
		if got := prompt.Margin(research.MarginOf(bound, value)); got != want {
			t.Errorf("%v reads %q, want %q", value, got, want)
		}
	}
}
