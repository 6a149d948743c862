package lineage

import (
	"slices"
	"strings"
	"time"

	"mendel/internal/research"
)

// endings are the ways in which a session can end. Values are stored: add, never rename.
var endings = []string{"submitted", "no_submit", "capped", "misbehaved", "error", "stopped", "lost"}

func (p *projector) sessionOpened(st *state, at time.Time, f research.SessionOpened) error {
	if want := st.sessions + 1; f.Session != want {
		return misfit(f, "session %d does not follow: the next one is %d", f.Session, want)
	}
	if f.Base < 0 || f.Base >= st.trials {
		return misfit(f, "session %d starts from trial %s, which does not exist", f.Session, f.Base)
	}
	st.sessions = f.Session
	return p.s.exec(`INSERT INTO sessions (id, agent, role, proposer, base, prompt, opened_at, closed_at, ending, error, transcript, calls, check_cpu_s,
			asked, turns, input, cache_read, cache_write, output, thinking, tokens, usd)
		VALUES (?, ?, ?, ?, ?, ?, ?, '', '', '', '', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)`,
		int64(f.Session), f.Agent.Name, f.Agent.Role, f.Agent.Proposer, int64(f.Base), string(f.Prompt), formatTime(at))
}

// toolCalled is accepted for a closed session too: a call may end after its session was stopped,
// and what it cost must be counted.
func (p *projector) toolCalled(st *state, f research.ToolCalled) error {
	if f.Session < 1 || f.Session > st.sessions {
		return misfit(f, "session %d was never opened", f.Session)
	}
	if f.Wall < 0 || f.CPU < 0 || f.Bytes < 0 {
		return misfit(f, "a negative cost")
	}
	st.checkCPU += f.CPU
	return p.s.exec(`UPDATE sessions SET calls = calls + 1, check_cpu_s = check_cpu_s + ? WHERE id = ?`, float64(f.CPU), int64(f.Session))
}

func (p *projector) sessionClosed(at time.Time, f research.SessionClosed) error {
	if err := p.openSession(f, f.Session); err != nil {
		return err
	}
	if !slices.Contains(endings, f.Ending) {
		return misfit(f, "%q is not an ending: want one of %s", f.Ending, strings.Join(endings, ", "))
	}
	return p.s.exec(`UPDATE sessions SET closed_at = ?, ending = ?, error = ?, transcript = ? WHERE id = ?`,
		formatTime(at), f.Ending, f.Error, string(f.Transcript), int64(f.Session))
}

// openSession says whether a session was opened and is not closed.
func (p *projector) openSession(f research.Fact, id research.SessionID) error {
	var closedAt string
	err := p.s.row(`SELECT closed_at FROM sessions WHERE id = ?`, []any{int64(id)}, &closedAt)
	switch {
	case isNone(err):
		return misfit(f, "session %d was never opened", id)
	case err != nil:
		return err
	case closedAt != "":
		return misfit(f, "session %d is closed", id)
	}
	return nil
}
