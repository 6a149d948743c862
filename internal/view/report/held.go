package report

import (
	"fmt"
	"path/filepath"

	"mendel/internal/research"
	"mendel/internal/view/terminal"
)

// confirmed is what measuring a trial again showed; "" where that was not asked for.
func (g *gathering) confirmed(v *research.Verdict) string {
	if v == nil || v.Confirmation == nil {
		return ""
	}
	f := v.Confirmation
	text := fmt.Sprintf("measured again in %d pairs", f.Measured)
	if v.Keep {
		text = fmt.Sprintf("confirmed over %d pairs", f.Measured)
	}
	if f.Confidence == 0 {
		return text
	}
	unit := g.reg.Score.Unit
	return fmt.Sprintf("%s, %.3g %% interval %s to %s", text, 100*f.Confidence,
		terminal.Signed(research.Significant(f.Low, 3), unit), terminal.Signed(research.Significant(f.High, 3), unit))
}

// confirmations sums up what the keep rule had measured again.
func (g *gathering) confirmations() (rows []Row) {
	again, kept := 0, 0
	for _, t := range g.trials {
		if t.Verdict != nil && t.Verdict.Confirmation != nil {
			again++
			if t.Verdict.Keep {
				kept++
			}
		}
	}
	if again > 0 {
		rows = append(rows, Row{"Confirmations", fmt.Sprintf("%s looked better by more than the noise floor and were measured again beside the incumbent; %d held", trialsText(again), kept)})
	}
	return rows
}

// certified are the attempts at a certificate, oldest first.
func (g *gathering) certified() (rows []Row) {
	for _, c := range g.certificates {
		rows = append(rows, Row{fmt.Sprintf("Certificate %d", c.Number),
			fmt.Sprintf("%s, of trial %s against the baseline on data that the search never saw: %s", c.Decision, c.Incumbent, c.Reason)})
	}
	return rows
}

// ofBest is the newest certificate, where it is of the run's best trial.
func (g *gathering) ofBest() (research.Certificate, bool) {
	if len(g.certificates) == 0 || g.incumbent == nil {
		return research.Certificate{}, false
	}
	last := g.certificates[len(g.certificates)-1]
	return last, last.Incumbent == g.incumbent.ID
}

// verifications are the commands that check the certificates.
func (g *gathering) verifications() (commands []string) {
	for _, c := range g.certificates {
		commands = append(commands, fmt.Sprintf("mendel verify %s", filepath.Join(g.dir, fmt.Sprintf("certificate-%d.mendel", c.Number))))
	}
	return commands
}
