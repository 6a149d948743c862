package lineage

import (
	"mendel/internal/research"
)

// What one model call can at most come to. Beyond it a number is a provider's mistake, and sums of
// millions of calls must not overflow.
const (
	maxCallTokens = 1e12
	maxCallUSD    = 1e9
)

// modelAsked sets a call's worst case aside until it is answered. Only an open session may ask.
func (p *projector) modelAsked(f research.ModelAsked) error {
	if err := p.openSession(f, f.Session); err != nil {
		return err
	}
	var asked int
	if err := p.s.row(`SELECT asked FROM sessions WHERE id = ?`, []any{int64(f.Session)}, &asked); err != nil {
		return err
	}
	switch {
	case f.Call != asked+1:
		return misfit(f, "call %d of session %d does not follow: the next one is %d", f.Call, f.Session, asked+1)
	case f.Model == "":
		return misfit(f, "call %d of session %d names no model", f.Call, f.Session)
	case !chargeable(f.Worst):
		return misfit(f, "call %d of session %d may cost %d tokens and $%g: no call does", f.Call, f.Session, f.Worst.Tokens, f.Worst.USD)
	}
	if err := p.s.exec(`INSERT INTO open_calls (session, call, model, tokens, usd) VALUES (?, ?, ?, ?, ?)`,
		int64(f.Session), f.Call, f.Model, f.Worst.Tokens, f.Worst.USD); err != nil {
		return err
	}
	if err := p.s.exec(`UPDATE sessions SET asked = asked + 1 WHERE id = ?`, int64(f.Session)); err != nil {
		return err
	}
	// A session counts for the model that it asks first.
	first := 0
	if f.Call == 1 {
		first = 1
	}
	return p.s.exec(`INSERT INTO ledger (role, model, sessions, calls, failed, unpriced, input, cache_read, cache_write, output, thinking, tokens, usd)
		SELECT role, ?, ?, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 FROM sessions WHERE id = ?
		ON CONFLICT DO UPDATE SET sessions = sessions + excluded.sessions`, f.Model, first, int64(f.Session))
}

// modelAnswered settles a call that was asked. It is accepted for a closed session too: a call may
// end after its session was stopped, and what it cost must be counted.
func (p *projector) modelAnswered(f research.ModelAnswered) error {
	var role, model string
	err := p.s.row(`SELECT role, model FROM open_calls JOIN sessions ON id = session WHERE session = ? AND call = ?`,
		[]any{int64(f.Session), f.Call}, &role, &model)
	switch u := f.Usage; {
	case isNone(err):
		return misfit(f, "call %d of session %d is not open: it was never asked, or is answered already", f.Call, f.Session)
	case err != nil:
		return err
	case !countable(u.Input, u.CacheRead, u.CacheWrite, u.Output, u.Thinking):
		return misfit(f, "call %d of session %d used %+v tokens: no call does", f.Call, f.Session, u)
	case !chargeable(f.Charge):
		return misfit(f, "call %d of session %d cost %d tokens and $%g: no call does", f.Call, f.Session, f.Charge.Tokens, f.Charge.USD)
	case !(f.Wall >= 0) || f.Retries < 0:
		return misfit(f, "call %d of session %d took %v s and %d retries", f.Call, f.Session, float64(f.Wall), f.Retries)
	}
	usd, unpriced, failed := f.Charge.USD, 0, 0
	if !f.Priced {
		usd, unpriced = 0, 1
	}
	if f.Error != "" {
		failed = 1
	}
	sums := []any{f.Usage.Input, f.Usage.CacheRead, f.Usage.CacheWrite, f.Usage.Output, f.Usage.Thinking, f.Charge.Tokens, usd}
	const add = `input = input + ?, cache_read = cache_read + ?, cache_write = cache_write + ?, output = output + ?, thinking = thinking + ?,
		tokens = tokens + ?, usd = usd + ?`
	if err := p.s.exec(`DELETE FROM open_calls WHERE session = ? AND call = ?`, int64(f.Session), f.Call); err != nil {
		return err
	}
	if err := p.s.exec(`UPDATE sessions SET `+add+`, turns = turns + 1 WHERE id = ?`, append(sums, int64(f.Session))...); err != nil {
		return err
	}
	return p.s.exec(`UPDATE ledger SET `+add+`, calls = calls + 1, failed = failed + ?, unpriced = unpriced + ? WHERE role = ? AND model = ?`,
		append(sums, failed, unpriced, role, model)...)
}

func countable(tokens ...int64) bool {
	for _, n := range tokens {
		if n < 0 || n > maxCallTokens {
			return false
		}
	}
	return true
}

// chargeable also refuses what is not a number.
func chargeable(c research.Charge) bool {
	return countable(c.Tokens) && c.USD >= 0 && c.USD <= maxCallUSD
}
