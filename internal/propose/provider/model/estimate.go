package model

import "mendel/internal/research"

// MaxSearches is how often a model may let its provider search the web during one call.
const MaxSearches = 3

// The worst case of a call is set aside before it is made, so it must not be less than what the
// call turns out to cost, and should not be so much more that caps bite early.
const (
	// bytesPerToken is less than what tokenizers take together: English and code have 3 to 4
	// bytes a token with most, 2.6 with the finest that providers publish; digits have fewer.
	bytesPerToken = 2
	// overheadTokens are for what a provider adds to tools and roles.
	overheadTokens = 1000
	// resultTokens are what one search of the web brings.
	resultTokens = 10_000
)

// A Pricer knows what a model costs, in US dollars.
type Pricer interface {
	// USD is the price of one call.
	USD(u research.Usage) float64
	// Worst is the most that one call of at most so many tokens can cost.
	Worst(inputTokens, outputTokens int64) float64
}

// sizeOf is how many bytes of a request the model reads.
func sizeOf(r Request) int64 {
	size := len(r.Shared) + len(r.Role)
	for _, t := range r.Tools {
		size += len(t.Name) + len(t.Description) + len(t.Schema)
	}
	for _, t := range r.Turns {
		size += len(t.User)
		if t.Reply != nil {
			size += sizeOfReply(*t.Reply)
		}
		for _, result := range t.Results {
			size += len(result.ID) + len(result.Text)
		}
	}
	return int64(size)
}

func sizeOfReply(r Reply) int { return max(len(r.Raw), len(r.Text)+len(r.Thinking)) }

// tokensIn is the most tokens that so many bytes are taken for.
func tokensIn(bytes int64) int64 { return (bytes + bytesPerToken - 1) / bytesPerToken }

// known is what a call told about the length of its conversation.
type known struct {
	bytes  int64 // of the request and the reply
	tokens int64
}

// learn takes a call's usage. What was read is counted by the provider; what was written is
// counted too, but read again next time in its written form.
func learn(r Request, reply Reply, u research.Usage) known {
	written := int64(sizeOfReply(reply))
	return known{
		bytes:  sizeOf(r) + written,
		tokens: u.Input + u.CacheRead + u.CacheWrite + max(u.Output, tokensIn(written)),
	}
}

// worstOf is the most that a request can cost: what is known of its beginning, and an estimate
// of the rest.
func worstOf(r Request, k known, price Pricer) research.Charge {
	input := k.tokens + tokensIn(max(sizeOf(r)-k.bytes, 0)) + overheadTokens
	if r.WebSearch { // the conversation is read again after each search
		input = (MaxSearches + 1) * (input + MaxSearches*resultTokens)
	}
	output := int64(r.MaxOutput)
	c := research.Charge{Tokens: input + output}
	if price != nil {
		c.USD = price.Worst(input, output)
	}
	return c
}
