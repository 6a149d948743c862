// Package price knows what model calls cost: a dated table that is built in, and a user's own file
// over it. A model that is in neither has no price, which is not the same as costing nothing.
// Start reading at [Load].
package price

import "mendel/internal/research"

// A Price is what one model costs, in US dollars per million tokens.
type Price struct {
	Rates
	Long *LongRates // of calls with a long input; nil where its length does not matter
}

// Rates are US dollars per million tokens of each kind.
type Rates struct {
	Input      float64 // neither read from a cache nor written to one
	CacheRead  float64
	CacheWrite float64
	Output     float64 // thinking included
}

// LongRates replace the rates of a whole call whose input is longer than Above.
type LongRates struct {
	Rates
	Above int64 // tokens, cached ones included
}

const perMillion = 1e-6

// USD is the price of one call. The usage of several calls must be priced call by call, since
// the rates may depend on a call's length.
func (p Price) USD(u research.Usage) float64 {
	r := p.ratesFor(u.Input + u.CacheRead + u.CacheWrite)
	return perMillion * (float64(u.Input)*r.Input + float64(u.CacheRead)*r.CacheRead +
		float64(u.CacheWrite)*r.CacheWrite + float64(u.Output)*r.Output)
}

// Worst is the most that one call of at most so many tokens can cost, whatever is cached.
func (p Price) Worst(inputTokens, outputTokens int64) float64 {
	r := p.ratesFor(inputTokens)
	return perMillion * (float64(inputTokens)*max(r.Input, r.CacheRead, r.CacheWrite) + float64(outputTokens)*r.Output)
}

func (p Price) ratesFor(inputTokens int64) Rates {
	if p.Long != nil && inputTokens > p.Long.Above {
		return p.Long.Rates
	}
	return p.Rates
}
