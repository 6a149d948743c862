package terminal

import (
	"fmt"
	"math"
	"strings"

	"mendel/internal/research"
)

// dollars prints an amount to the cent, and small ones to the hundredth of a cent.
func dollars(v float64) string {
	switch {
	case v == 0:
		return "$0"
	case v < 0.0001:
		return "<$0.0001"
	case v < 0.99995:
		return fmt.Sprintf("$%.4f", v)
	}
	whole := math.Floor(v)
	cents := int(math.Round((v - whole) * 100))
	if cents == 100 {
		whole, cents = whole+1, 0
	}
	return fmt.Sprintf("$%s.%02d", research.Number(whole), cents)
}

func tokens(n int64) string { return research.Number(float64(n)) }

// calls counts model calls in words.
func calls(n int) string { return plural(n, "model call") }

func plural(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%s %s", research.Number(float64(n)), what)
}

// modelSpendText is what a run has spent on models, against its caps; "" for a run without models.
func modelSpendText(o Overview) string {
	if o.Spend.ModelCalls == 0 && o.Spend.Reserved == (research.Charge{}) && o.Budgets.USD == 0 && o.Budgets.Tokens == 0 {
		return ""
	}
	usd := dollars(o.Spend.Charge.USD)
	if o.Budgets.USD > 0 {
		usd += " of " + dollars(o.Budgets.USD)
	}
	count := tokens(o.Spend.Charge.Tokens)
	if o.Budgets.Tokens > 0 {
		count += " of " + tokens(o.Budgets.Tokens)
	}
	return usd + ", " + count + " tokens"
}

// usageText counts a call's or a session's tokens.
func usageText(u research.Usage) string {
	text := tokens(u.Input) + " input"
	if u.CacheRead > 0 {
		text += ", " + tokens(u.CacheRead) + " cached"
	}
	if u.CacheWrite > 0 {
		text += ", " + tokens(u.CacheWrite) + " written to the cache"
	}
	text += ", " + tokens(u.Output) + " output"
	if u.Thinking > 0 {
		text += fmt.Sprintf(" (%s thinking)", tokens(u.Thinking))
	}
	return text
}

// ledgerLines sum up the model calls of a run; none when there were none.
func ledgerLines(o Overview, s Style) []string {
	if o.Spend.ModelCalls == 0 && o.Spend.Reserved == (research.Charge{}) {
		return nil
	}
	field := func(name, value string) string { return fmt.Sprintf("  %-8s %s", name, value) }
	lines := []string{"model calls", field("tokens", usageText(o.Spend.Usage))}
	if share, ok := o.Spend.Usage.CacheShare(); ok {
		lines = append(lines, field("cache", fmt.Sprintf("%.0f %% of the input came from the provider's cache", 100*share)))
	}
	usd := dollars(o.Spend.Charge.USD)
	if o.Budgets.USD > 0 {
		usd += " of " + dollars(o.Budgets.USD)
	}
	if o.Spend.Reserved != (research.Charge{}) {
		usd += fmt.Sprintf(", and %s (%s tokens) reserved for calls under way", dollars(o.Spend.Reserved.USD), tokens(o.Spend.Reserved.Tokens))
	}
	lines = append(lines, field("dollars", usd))
	count := research.Number(float64(o.Spend.ModelCalls))
	if n := failedCalls(o.Ledger); n > 0 {
		count += fmt.Sprintf(", %d failed", n)
	}
	lines = append(lines, field("calls", count))
	if o.Spend.Unpriced > 0 {
		lines = append(lines, field("", s.Bad("price unknown for "+calls(o.Spend.Unpriced))+": they count as $0"))
	}
	if len(o.Ledger) > 1 {
		lines = append(lines, table(ledgerCells(o.Ledger), "llrrrrrr", s)...)
	}
	return lines
}

func failedCalls(rows []research.LedgerRow) (n int) {
	for _, r := range rows {
		n += r.Failed
	}
	return n
}

func ledgerCells(rows []research.LedgerRow) [][]string {
	cells := [][]string{{"role", "model", "sessions", "calls", "input", "cached", "output", "dollars"}}
	for _, r := range rows {
		usd := dollars(r.Charge.USD)
		if r.Unpriced > 0 {
			usd += "+?"
		}
		cells = append(cells, []string{r.Role, r.Model, research.Number(float64(r.Sessions)), research.Number(float64(r.Calls)),
			tokens(r.Usage.Input + r.Usage.CacheWrite), tokens(r.Usage.CacheRead), tokens(r.Usage.Output), usd})
	}
	return cells
}

// maxCell is the widest that a cell of a table becomes.
const maxCell = 36

// table lays out rows under a faint header; align has an l or r for each column.
func table(rows [][]string, align string, s Style) []string {
	widths := make([]int, len(align))
	for _, row := range rows {
		for i := range row {
			row[i] = clip(row[i], maxCell)
			widths[i] = max(widths[i], len([]rune(row[i])))
		}
	}
	lines := make([]string, len(rows))
	for i, row := range rows {
		var b strings.Builder
		for c, cell := range row {
			pad := strings.Repeat(" ", widths[c]-len([]rune(cell)))
			if align[c] == 'r' {
				b.WriteString("  " + pad + cell)
			} else {
				b.WriteString("  " + cell + pad)
			}
		}
		lines[i] = strings.TrimRight(b.String(), " ")
		if i == 0 {
			lines[i] = s.Faint(lines[i])
		}
	}
	return lines
}
