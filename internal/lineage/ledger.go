package lineage

import (
	"fmt"

	"mendel/internal/research"
)

// readModelSpend fills in what model calls have cost. It is one statement, so that a call which is
// settled meanwhile is counted either as reserved or as charged. There is one row for each role
// with each model, and one for each open call: history does not lengthen it.
func readModelSpend(s *session, spend *research.Spend) error {
	u := &spend.Usage
	err := s.row(`SELECT coalesce(sum(calls), 0), coalesce(sum(unpriced), 0), coalesce(sum(input), 0), coalesce(sum(cache_read), 0),
		coalesce(sum(cache_write), 0), coalesce(sum(output), 0), coalesce(sum(thinking), 0), coalesce(sum(tokens), 0), total(usd),
		(SELECT coalesce(sum(tokens), 0) FROM open_calls), (SELECT total(usd) FROM open_calls) FROM ledger`, nil,
		&spend.ModelCalls, &spend.Unpriced, &u.Input, &u.CacheRead, &u.CacheWrite, &u.Output, &u.Thinking,
		&spend.Charge.Tokens, &spend.Charge.USD, &spend.Reserved.Tokens, &spend.Reserved.USD)
	if err != nil {
		return fmt.Errorf("read ledger: %w", err)
	}
	return nil
}

// Ledger sums up the model calls by role and model, in the order of their names. A session counts
// for the model that it asked first; a call counts once it is settled.
func (r *Reader) Ledger() ([]research.LedgerRow, error) {
	return read(r, func(s *session) ([]research.LedgerRow, error) {
		return collect(s, func(row scanner) (l research.LedgerRow, err error) {
			err = row.Scan(&l.Role, &l.Model, &l.Sessions, &l.Calls, &l.Failed, &l.Unpriced, &l.Usage.Input, &l.Usage.CacheRead,
				&l.Usage.CacheWrite, &l.Usage.Output, &l.Usage.Thinking, &l.Charge.Tokens, &l.Charge.USD)
			return l, err
		}, `SELECT role, model, sessions, calls, failed, unpriced, input, cache_read, cache_write, output, thinking, tokens, usd
			FROM ledger ORDER BY role, model`)
	})
}

// OpenCalls lists the model calls that were asked and not answered, in the order of their sessions.
// After a crash nobody waits for them any more: whoever resumes the run settles them.
func (r *Reader) OpenCalls() ([]research.ModelAsked, error) {
	return read(r, func(s *session) ([]research.ModelAsked, error) {
		return collect(s, func(row scanner) (a research.ModelAsked, err error) {
			err = row.Scan(&a.Session, &a.Call, &a.Model, &a.Worst.Tokens, &a.Worst.USD)
			return a, err
		}, `SELECT session, call, model, tokens, usd FROM open_calls ORDER BY session, call`)
	})
}

// Transcript is what was said and done in a session, one JSON object a line. It is empty while the
// session is open, and for one that left no transcript.
func (r *Reader) Transcript(id research.SessionID) ([]byte, error) {
	return read(r, func(s *session) ([]byte, error) {
		var hash research.Hash
		err := s.row(`SELECT transcript FROM sessions WHERE id = ?`, []any{int64(id)}, &hash)
		switch {
		case isNone(err):
			return nil, fmt.Errorf("there is no session %d", id)
		case err != nil || hash == "":
			return nil, err
		}
		return readBlob(s, hash)
	})
}
