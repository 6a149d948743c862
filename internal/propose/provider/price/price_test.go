package price_test

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mendel/internal/propose/provider/model"
	"mendel/internal/propose/provider/price"
	"mendel/internal/research"
)

var _ model.Pricer = price.Price{}

func load(t *testing.T, override string) (*price.Table, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "prices.yaml")
	if err := os.WriteFile(file, []byte(override), 0o600); err != nil {
		t.Fatal(err)
	}
	return price.Load(file)
}

func TestNamesOfModels(t *testing.T) {
	table, err := price.Load("")
	if err != nil {
		t.Fatal(err)
	}
	if table.Date == "" {
		t.Error("the table has no date")
	}
	for proposer, input := range map[string]float64{
		"anthropic:claude-opus-5-5":           4,
		"anthropic:claude-opus-5":             5,
		"anthropic:claude-haiku-4-5-20251001": 1,
		"openai:gpt-5":                        1.25,
		"openai:gpt-5-mini":                   0.25,
		"openai:gpt-5-mini-2025-08-07":        0.25,
		"gemini:gemini-3-flash-preview":       0.50,
		"gemini:gemini-2.5-pro-preview-05-06": 1.25,
	} {
		if p, ok := table.Of(proposer); !ok || p.Input != input {
			t.Errorf("%s: input is %v, %v; want %v", proposer, p.Input, ok, input)
		}
	}
	// A name that only begins like a known one is another model.
	for _, proposer := range []string{
		"openai:gpt-5-pro", "openai:gpt-5.9", "openai:gpt-5-turbo-2025-08-07", "anthropic:claude-opus-5-9",
		"gemini:gemini-3-flash-image-preview", "openai:claude-opus-5", "mutate", "",
	} {
		if p, ok := table.Of(proposer); ok {
			t.Errorf("%s has a price: %+v", proposer, p)
		}
	}
}

func TestCostOfACall(t *testing.T) {
	table, err := price.Load("")
	if err != nil {
		t.Fatal(err)
	}
	opus, _ := table.Of("anthropic:claude-opus-5-5")
	usage := research.Usage{Input: 1_000_000, CacheRead: 10_000_000, CacheWrite: 2_000_000, Output: 100_000, Thinking: 50_000}
	same(t, opus.USD(usage), 4+10*0.20+2*5+0.1*20)
	same(t, opus.Worst(1_000_000, 100_000), 5+2)

	sol, _ := table.Of("openai:gpt-6-sol")
	same(t, sol.USD(research.Usage{Input: 200_000, CacheRead: 72_000, Output: 1000}), 0.2*2+0.072*0.20+0.001*10)
	same(t, sol.USD(research.Usage{Input: 200_000, CacheRead: 72_001, Output: 1000}), 0.2*4+0.072001*0.40+0.001*15)
	same(t, sol.Worst(272_001, 1000), 0.272001*5+0.001*15)
}

func same(t *testing.T, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > 1e-9 {
		t.Errorf("$%v, want $%v", got, want)
	}
}

// The reservation must cover whatever the settlement can come to.
func TestWorstCoversEveryUsage(t *testing.T) {
	table, err := price.Load("")
	if err != nil {
		t.Fatal(err)
	}
	for _, proposer := range []string{"anthropic:claude-haiku-5-5", "openai:gpt-5.5", "gemini:gemini-2.5-pro"} {
		p, ok := table.Of(proposer)
		if !ok {
			t.Fatalf("%s has no price", proposer)
		}
		for _, n := range []int64{1, 100_000, 300_000} {
			for _, u := range []research.Usage{{Input: n, Output: n}, {CacheRead: n, Output: n}, {CacheWrite: n, Output: n}, {Input: n}} {
				if worst := p.Worst(n, n); p.USD(u) > worst+1e-12 {
					t.Errorf("%s: %+v costs %v, above the worst case %v", proposer, u, p.USD(u), worst)
				}
			}
		}
	}
}

func TestOverride(t *testing.T) {
	table, err := load(t, "models:\n  openai:gpt-5: {input: 9, output: 10}\n  openai:qwen3: {free: true}\n")
	if err != nil {
		t.Fatal(err)
	}
	if p, ok := table.Of("openai:gpt-5"); !ok || p.Input != 9 || p.CacheRead != 9 || p.CacheWrite != 9 {
		t.Errorf("gpt-5: %+v, %v", p, ok)
	}
	if p, ok := table.OfServer("openai:qwen3"); !ok || p.Worst(1e9, 1e9) != 0 {
		t.Errorf("qwen3: %+v, %v", p, ok)
	}
	if _, ok := table.Of("openai:gpt-5-mini"); !ok {
		t.Error("the built-in price of gpt-5-mini is gone")
	}
	// Somebody else's server may call its models as it likes.
	if p, ok := table.OfServer("openai:gpt-5-mini"); ok {
		t.Errorf("gpt-5-mini of another server costs %+v", p)
	}
}

// What the documentation shows must work as it stands.
func TestDocumentedExample(t *testing.T) {
	page, err := os.ReadFile("../../../../docs/providers.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```yaml\n")
	example, _, _ := strings.Cut(rest, "```")
	table, err := load(t, example)
	if err != nil {
		t.Fatal(err)
	}
	for _, proposer := range []string{"anthropic:claude-new", "openai:gpt-new", "openai:qwen3-coder"} {
		if _, ok := table.OfServer(proposer); !ok {
			t.Errorf("%s has no price", proposer)
		}
	}
}

func TestFaultyOverride(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"models:\n  openai:a: {input: 1, outptu: 2}\n", ":2:24: unknown field \"outptu\""},
		{"models:\n  openai:a: {input: one, output: 2}\n", ":2:21: "},
		{"models:\n  openai:a: {input: 1}\n", ":2:3: openai:a: input and output are needed"},
		{"models:\n  openai:a: {input: -1, output: 2}\n", ":2:3: openai:a: -1 is not a price"},
		{"models:\n  openai:a: {input: .inf, output: 2}\n", ":2:3: openai:a: +Inf is not a price"},
		{"models:\n  openai:a: {free: true, input: 1}\n", ":2:3: openai:a: what is free has no prices"},
		{"models:\n  gpt-5: {free: true}\n", ":2:3: gpt-5: the name wants its provider"},
		{"models:\n  openai:a: {input: 1, output: 1, long: {input: 2, output: 2}}\n", ":2:3: openai:a: long wants `above`"},
		{"models:\n  openai:a: {free: true}\n  openai:a: {free: true}\n", ":3:3: "},
		{"models: [\n", ":1:9: "},
		{"", "there are no prices in it"},
	} {
		_, err := load(t, c.text)
		switch {
		case err == nil:
			t.Errorf("%q is accepted", c.text)
		case !strings.Contains(err.Error(), c.want):
			t.Errorf("%q: %v; want %s", c.text, err, c.want)
		case research.Hint(err) == "":
			t.Errorf("%q: no hint", c.text)
		}
	}
	if _, err := price.Load(filepath.Join(t.TempDir(), "none.yaml")); err == nil || research.Hint(err) == "" {
		t.Errorf("a missing file: %v", err)
	}
}
