package research

// Usage counts the tokens of model calls, as the provider reports them.
type Usage struct {
	Input      int64 `json:"input"`                 // neither read from a cache nor written to one
	CacheRead  int64 `json:"cache_read,omitempty"`  // input that the provider had cached
	CacheWrite int64 `json:"cache_write,omitempty"` // input that it cached for later calls
	Output     int64 `json:"output"`                // thinking included
	Thinking   int64 `json:"thinking,omitempty"`    // of the output, where the provider says
}

// Plus adds two counts.
func (u Usage) Plus(v Usage) Usage {
	return Usage{
		Input: u.Input + v.Input, CacheRead: u.CacheRead + v.CacheRead, CacheWrite: u.CacheWrite + v.CacheWrite,
		Output: u.Output + v.Output, Thinking: u.Thinking + v.Thinking,
	}
}

// Tokens is all that was read and written.
func (u Usage) Tokens() int64 { return u.Input + u.CacheRead + u.CacheWrite + u.Output }

// CacheShare is the share of the input that came from the provider's cache, 0 to 1; false when
// there was no input.
func (u Usage) CacheShare() (float64, bool) {
	input := u.Input + u.CacheRead + u.CacheWrite
	if input == 0 {
		return 0, false
	}
	return float64(u.CacheRead) / float64(input), true
}

// A Charge is what a run pays for model calls: their tokens, and their price where it is known.
type Charge struct {
	Tokens int64   `json:"tokens"`
	USD    float64 `json:"usd"`
}

// ModelAsked sets the worst case of a model call aside, before the call is made. An external
// agent's whole session is one such call.
type ModelAsked struct {
	Session SessionID `json:"session"`
	Call    int       `json:"call"`  // counts from 1 within the session
	Model   string    `json:"model"` // as the proposer is named: "anthropic:claude-…"
	Worst   Charge    `json:"worst"`
}

// ModelAnswered settles a model call and frees what was set aside for it.
type ModelAnswered struct {
	Session SessionID `json:"session"`
	Call    int       `json:"call"`
	Usage   Usage     `json:"usage"`
	Charge  Charge    `json:"charge"`
	Priced  bool      `json:"priced"` // whether Charge.USD is known; false counts as 0
	// Estimated says that the provider did not report usage, or that the call was cut off: the
	// charge is then the worst that it can have been.
	Estimated bool    `json:"estimated,omitempty"`
	Wall      Seconds `json:"wall_s"`
	Retries   int     `json:"retries,omitempty"`
	Error     string  `json:"error,omitempty"`
}

// Kind is [KindModelAsked].
func (ModelAsked) Kind() FactKind { return KindModelAsked }

// Kind is [KindModelAnswered].
func (ModelAnswered) Kind() FactKind { return KindModelAnswered }

// A LedgerRow sums up the model calls of one role with one model. A session counts for the
// model that it asked first.
type LedgerRow struct {
	Role     string `json:"role"`
	Model    string `json:"model"`
	Sessions int    `json:"sessions"`
	Calls    int    `json:"calls"`
	Usage    Usage  `json:"usage"`
	Charge   Charge `json:"charge"`
	Unpriced int    `json:"unpriced,omitempty"` // calls whose price is unknown
	Failed   int    `json:"failed,omitempty"`   // calls that ended with an error
}
