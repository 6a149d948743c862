package command

import (
	"encoding/json"
	"strconv"

	"mendel/internal/research"
)

func codex() agent {
	return agent{
		name:  "codex",
		keys:  []string{"OPENAI_API_KEY", "CODEX_API_KEY"},
		file:  ".codex/auth.json",
		hosts: []string{"api.openai.com", "chatgpt.com", "auth.openai.com"},
		argv: func(words []string, a arguments) []string {
			if !has(words, "exec", "e") {
				words = append([]string{"exec"}, words...)
			}
			server := "mcp_servers." + serverName
			words = append(words, "--json", "--skip-git-repo-check", "--sandbox", "read-only",
				"-c", "features.shell_tool=false",
				"-c", server+".command="+quote(a.server.Command),
				"-c", server+".args="+quoteAll(a.server.Args),
				"-c", server+".tool_timeout_sec=120",
				// Without a person to ask, a tool that changes something is refused unless approved here.
				"-c", server+`.default_tools_approval_mode="approve"`)
			return append(words, "-") // the prompt comes by standard input
		},
		report: reportOfCodex,
	}
}

// quote writes a TOML string, and quoteAll a list of them: JSON's are valid TOML.
func quote(s string) string {
	data, _ := json.Marshal(s) // a string always encodes
	return string(data)
}

func quoteAll(list []string) string {
	data, _ := json.Marshal(list)
	return string(data)
}

// reportOfCodex adds up the turns.
func reportOfCodex(line []byte, m *meter) {
	var r struct {
		Type  string `json:"type"`
		Usage *struct {
			Input    int64 `json:"input_tokens"` // cached ones included
			Cached   int64 `json:"cached_input_tokens"`
			Output   int64 `json:"output_tokens"`
			Thinking int64 `json:"reasoning_output_tokens"`
		} `json:"usage"`
		Message string `json:"message"`
		Error   *struct {
			Message string `json:"message"`
		} `json:"error"`
	}
	if json.Unmarshal(line, &r) != nil {
		return
	}
	switch {
	case r.Type == "turn.completed" && r.Usage != nil:
		m.final = true
		m.usage = m.usage.Plus(research.Usage{
			Input: max(0, r.Usage.Input-r.Usage.Cached), CacheRead: r.Usage.Cached, Output: r.Usage.Output, Thinking: r.Usage.Thinking,
		})
		m.complaint = "" // an error before it was got over
	case r.Type == "turn.failed" && r.Error != nil:
		m.complaint = unwrapped(r.Error.Message)
	case r.Type == "error" && r.Message != "":
		m.complaint = unwrapped(r.Message)
	}
}

// unwrapped takes the message out of a provider's error, which codex hands on as it came.
func unwrapped(message string) string {
	var body struct {
		Status int `json:"status"`
		Error  struct {
			Message string `json:"message"`
		} `json:"error"`
	}
	if json.Unmarshal([]byte(message), &body) != nil || body.Error.Message == "" {
		return message
	}
	if body.Status == 0 {
		return body.Error.Message
	}
	return strconv.Itoa(body.Status) + " " + body.Error.Message
}
