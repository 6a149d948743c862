package command

import (
	"encoding/json"
	"strconv"

	"mendel/internal/propose/session"
	"mendel/internal/research"
)

// selfCap is the share of a session's dollars that Claude Code is told to keep to: it looks
// between its turns, so that the last one may pass what it was told.
const selfCap = 0.8

func claude() agent {
	return agent{
		name: "claude", caps: true, counts: true,
		keys:  []string{"ANTHROPIC_API_KEY", "CLAUDE_CODE_OAUTH_TOKEN"},
		file:  ".claude/.credentials.json",
		hosts: []string{"api.anthropic.com", "platform.claude.com", "console.anthropic.com"},
		env: []string{
			"DISABLE_AUTOUPDATER=1", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1",
			"MCP_TIMEOUT=30000", "MCP_TOOL_TIMEOUT=120000",
		},
		argv: func(words []string, a arguments) []string {
			if !has(words, "-p", "--print") {
				words = append(words, "-p")
			}
			if a.worst.USD > 0 { // of two, the last one holds
				words = append(words, "--max-budget-usd", strconv.FormatFloat(selfCap*a.worst.USD, 'f', 4, 64))
			}
			return append(words,
				"--output-format", "stream-json", "--verbose",
				"--mcp-config", a.config, "--strict-mcp-config",
				"--tools", "", "--allowedTools", "mcp__"+serverName+"__*",
				"--disallowedTools", "Bash,Edit,Write,NotebookEdit,Read,Glob,Grep,WebFetch,WebSearch,Task")
		},
		report: reportOfClaude,
	}
}

type usageOfClaude struct {
	Input      int64 `json:"input_tokens"`
	CacheRead  int64 `json:"cache_read_input_tokens"`
	CacheWrite int64 `json:"cache_creation_input_tokens"`
	Output     int64 `json:"output_tokens"`
}

func (u usageOfClaude) words() research.Usage {
	return research.Usage{Input: u.Input, CacheRead: u.CacheRead, CacheWrite: u.CacheWrite, Output: u.Output}
}

// reportOfClaude reads the model's replies, and the result, which is the last line of the stream.
func reportOfClaude(line []byte, m *meter) {
	var r struct {
		Type    string `json:"type"`
		Message struct {
			ID    string         `json:"id"`
			Usage *usageOfClaude `json:"usage"`
		} `json:"message"`

		Subtype string         `json:"subtype"`
		IsError bool           `json:"is_error"`
		Result  string         `json:"result"`
		USD     *float64       `json:"total_cost_usd"`
		Usage   *usageOfClaude `json:"usage"`
	}
	if json.Unmarshal(line, &r) != nil {
		return
	}
	if u := r.Message.Usage; r.Type == "assistant" && u != nil {
		m.reply(r.Message.ID, u.words())
	}
	if r.Type != "result" {
		return
	}
	if r.Usage != nil {
		m.usage = r.Usage.words()
	}
	if r.USD != nil {
		m.final, m.priced, m.usd = true, true, *r.USD
	}
	switch {
	case r.Subtype == "error_max_budget_usd" || r.Subtype == "error_max_turns":
		m.ending = session.ErrCapped
	case r.IsError:
		m.complaint = r.Result
	}
}
