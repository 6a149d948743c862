package command

import (
	"encoding/json"
	"path/filepath"

	"mendel/internal/research"
)

// toolTimeoutMS is above the time for which the session's server lets a tool wait.
const toolTimeoutMS = 120_000

func gemini() agent {
	return agent{
		name:  "gemini",
		keys:  []string{"GEMINI_API_KEY"},
		file:  ".gemini/oauth_creds.json",
		hosts: []string{"generativelanguage.googleapis.com", "oauth2.googleapis.com", "cloudcode-pa.googleapis.com"},
		env:   []string{"GEMINI_CLI_TRUST_WORKSPACE=true"},
		argv: func(words []string, _ arguments) []string {
			return append(words, "--output-format", "stream-json", "--allowed-mcp-server-names", serverName)
		},
		prepare: func(home string, s mcpServer) error {
			s.Timeout, s.Trust = toolTimeoutMS, true
			return writeJSON(filepath.Join(home, ".gemini", "settings.json"), map[string]any{
				"mcpServers": map[string]mcpServer{serverName: s},
				"mcp":        map[string]any{"allowed": []string{serverName}},
				// An allow-list that names no tool there is: an empty one means all.
				"tools":     map[string]any{"core": []string{"none"}},
				"coreTools": []string{"none"},
				"general":   map[string]any{"disableAutoUpdate": true},
				"privacy":   map[string]any{"usageStatisticsEnabled": false},
				"telemetry": map[string]any{"enabled": false},
			})
		},
		report: reportOfGemini,
	}
}

// reportOfGemini reads the result, which is the last line of the stream.
func reportOfGemini(line []byte, m *meter) {
	var r struct {
		Type  string `json:"type"`
		Stats *struct {
			Input  int64 `json:"input_tokens"` // cached ones included
			Output int64 `json:"output_tokens"`
			Cached int64 `json:"cached"`
			Total  int64 `json:"total_tokens"` // thinking included
		} `json:"stats"`
		Error *struct {
			Message string `json:"message"`
		} `json:"error"`
	}
	if json.Unmarshal(line, &r) != nil || r.Type != "result" {
		return
	}
	if s := r.Stats; s != nil {
		thinking := max(0, s.Total-s.Input-s.Output)
		m.final = true
		m.usage = research.Usage{Input: max(0, s.Input-s.Cached), CacheRead: s.Cached, Output: s.Output + thinking, Thinking: thinking}
	}
	if r.Error != nil {
		m.complaint = r.Error.Message
	}
}
