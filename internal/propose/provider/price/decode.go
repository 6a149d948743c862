package price

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"mendel/internal/research"
)

// file is the form of prices.yaml and of a user's file.
type file struct {
	Date   string           `yaml:"date"`
	Source string           `yaml:"source"`
	Models map[string]entry `yaml:"models"`
}

type entry struct {
	Rates ratesEntry `yaml:",inline"`
	Free  bool       `yaml:"free"`
	Long  *longEntry `yaml:"long"`
}

type longEntry struct {
	Rates ratesEntry `yaml:",inline"`
	Above int64      `yaml:"above"`
}

type ratesEntry struct {
	Input      *float64 `yaml:"input"`
	CacheRead  *float64 `yaml:"cache_read"`
	CacheWrite *float64 `yaml:"cache_write"`
	Output     *float64 `yaml:"output"`
}

type list struct {
	date   string
	prices map[string]Price
}

const hint = "write it as `anthropic:MODEL: {input: 3, cache_read: 0.3, cache_write: 3.75, output: 15}`, in dollars per million tokens, or as `openai:MODEL: {free: true}`"

func decode(name string, source []byte) (list, error) {
	root, err := parser.ParseBytes(source, 0)
	if err != nil {
		return list{}, located(name, err)
	}
	if len(root.Docs) != 1 || root.Docs[0].Body == nil {
		return list{}, research.Hinted(fmt.Errorf("%s: there are no prices in it", name), "begin it with `models:`; "+hint)
	}
	body := root.Docs[0].Body
	var f file
	if err := yaml.NodeToValue(body, &f, yaml.Strict()); err != nil {
		return list{}, located(name, err)
	}
	prices := map[string]Price{}
	for model, e := range f.Models {
		p, err := e.price(model)
		if err != nil {
			return list{}, research.Hinted(fmt.Errorf("%s:%s: %s: %w", name, placeOf(body, model), model, err), hint)
		}
		prices[model] = p
	}
	return list{date: f.Date, prices: prices}, nil
}

// located puts the place of a YAML error before it, as compilers do.
func located(name string, err error) error {
	var at yaml.Error
	if errors.As(err, &at) && at.GetToken() != nil {
		err = fmt.Errorf("%s:%s: %s", name, place(at.GetToken()), at.GetMessage())
	} else {
		err = fmt.Errorf("%s: %w", name, err)
	}
	return research.Hinted(err, hint)
}

func place(t *token.Token) string {
	return fmt.Sprintf("%d:%d", t.Position.Line, t.Position.Column)
}

// placeOf finds a model's line; decoded values no longer know theirs.
func placeOf(body ast.Node, model string) string {
	var found *token.Token
	ast.Walk(visitor(func(n ast.Node) {
		if pair, ok := n.(*ast.MappingValueNode); ok && pair.Key.GetToken().Value == model {
			found = cmp.Or(found, pair.Key.GetToken())
		}
	}), body)
	if found == nil {
		return "1:1"
	}
	return place(found)
}

type visitor func(ast.Node)

// Visit goes into every node.
func (v visitor) Visit(n ast.Node) ast.Visitor {
	v(n)
	return v
}

func (e entry) price(model string) (Price, error) {
	if provider, name, ok := strings.Cut(model, ":"); !ok || provider == "" || name == "" {
		return Price{}, errors.New("the name wants its provider before it, as in openai:gpt-5")
	}
	if e.Free {
		if e.Rates != (ratesEntry{}) || e.Long != nil {
			return Price{}, errors.New("what is free has no prices")
		}
		return Price{}, nil
	}
	rates, err := e.Rates.rates()
	if err != nil {
		return Price{}, err
	}
	p := Price{Rates: rates}
	if e.Long != nil {
		if e.Long.Above <= 0 {
			return Price{}, errors.New("long wants `above`, the tokens of input from which on it holds")
		}
		long, err := e.Long.Rates.rates()
		if err != nil {
			return Price{}, fmt.Errorf("long: %w", err)
		}
		p.Long = &LongRates{Rates: long, Above: e.Long.Above}
	}
	return p, nil
}

func (e ratesEntry) rates() (Rates, error) {
	if e.Input == nil || e.Output == nil {
		return Rates{}, errors.New("input and output are needed")
	}
	r := Rates{Input: *e.Input, CacheRead: *e.Input, CacheWrite: *e.Input, Output: *e.Output}
	if e.CacheRead != nil {
		r.CacheRead = *e.CacheRead
	}
	if e.CacheWrite != nil {
		r.CacheWrite = *e.CacheWrite
	}
	for _, usd := range []float64{r.Input, r.CacheRead, r.CacheWrite, r.Output} {
		if usd < 0 || math.IsInf(usd, 0) || math.IsNaN(usd) {
			return Rates{}, fmt.Errorf("%g is not a price", usd)
		}
	}
	return r, nil
}
