package price

import (
	_ "embed"
	"fmt"
	"maps"
	"os"
	"regexp"
	"strings"

	"mendel/internal/research"
)

//go:embed prices.yaml
var builtIn []byte

// A Table holds prices by proposer, as in "anthropic:claude-opus-5-5".
type Table struct {
	Date   string // when the built-in prices were read, as 2026-11-23
	listed map[string]Price
	own    map[string]Price // from the user's file
}

// Load reads the built-in table, and a user's file over it where overrideFile is not "".
func Load(overrideFile string) (*Table, error) {
	list, err := decode("prices.yaml", builtIn)
	if err != nil {
		return nil, fmt.Errorf("built-in prices: %w", err)
	}
	t := &Table{Date: list.date, listed: list.prices}
	if overrideFile == "" {
		return t, nil
	}
	source, err := os.ReadFile(overrideFile)
	if err != nil {
		return nil, research.Hinted(fmt.Errorf("read prices: %w", err), "docs/providers.md shows what the file looks like")
	}
	own, err := decode(overrideFile, source)
	if err != nil {
		return nil, err
	}
	t.own = own.prices
	return t, nil
}

// Of is the price of a proposer at its provider's own address; false where it is not known.
// What the user's file says goes before the built-in table.
func (t *Table) Of(proposer string) (Price, bool) {
	if p, ok := t.OfServer(proposer); ok {
		return p, true
	}
	return find(t.listed, proposer)
}

// OfServer is the price of a proposer at a base URL that the user gave. There a name says
// nothing about the price: only the user's file does.
func (t *Table) OfServer(proposer string) (Price, bool) { return find(t.own, proposer) }

// variant is how a provider names a dated or provisional variant of a model, which costs what the
// model costs. Any other ending ("-mini", "-pro") is another model at another price.
var variant = regexp.MustCompile(`^([-@]\d{8}|-\d{4}-\d{2}-\d{2}|-\d{3}|-latest|-preview(-\d{2}-\d{2,4})?)$`)

// find takes the entry whose name the proposer's begins with; the longest wins.
func find(prices map[string]Price, proposer string) (Price, bool) {
	if p, ok := prices[proposer]; ok {
		return p, true
	}
	best := ""
	for name := range maps.Keys(prices) {
		if rest, ok := strings.CutPrefix(proposer, name); ok && variant.MatchString(rest) && len(name) > len(best) {
			best = name
		}
	}
	p, ok := prices[best]
	return p, ok
}
