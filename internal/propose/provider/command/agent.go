package command

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"mendel/internal/research"
)

// serverName is what the session's MCP server is called, in agents' configurations and so in
// the names of its tools.
const serverName = "mendel"

// An agent is what is known of one coding agent: its switches, its credential, its words.
type agent struct {
	name string
	caps bool // keeps to a number of dollars itself
	// counts: it reports its tokens as it goes, and not only at its end.
	counts bool
	// keys are the environment variables, file the path below the home, that hold its credential.
	keys  []string
	file  string
	hosts []string // of its provider
	env   []string // switches, NAME=value
	// argv adds to the words after the program what plays a session without a person.
	argv func(words []string, a arguments) []string
	// prepare writes the agent's own configuration into its home.
	prepare func(home string, s mcpServer) error
	// report reads one line of its standard output.
	report func(line []byte, m *meter)
}

// arguments are what a command line may depend on.
type arguments struct {
	config string // path of the MCP configuration
	server mcpServer
	worst  research.Charge
}

// agentOf knows an agent by the name of its program.
func agentOf(program string) agent {
	switch name := filepath.Base(program); name {
	case "claude":
		return claude()
	case "codex":
		return codex()
	case "gemini":
		return gemini()
	default:
		return agent{name: name}
	}
}

// mcpConfig is a file of MCP servers in the form that most agents read.
type mcpConfig struct {
	Servers map[string]mcpServer `json:"mcpServers"`
}

type mcpServer struct {
	Command string   `json:"command"`
	Args    []string `json:"args"`
	Timeout int      `json:"timeout,omitempty"` // ms; Gemini CLI's
	Trust   bool     `json:"trust,omitempty"`   // Gemini CLI's: call its tools without asking
}

// has reports whether a command line names one of these options itself.
func has(words []string, options ...string) bool {
	for _, w := range words {
		name, _, _ := strings.Cut(w, "=")
		for _, o := range options {
			if name == o {
				return true
			}
		}
	}
	return false
}

// writeJSON writes a configuration file that only the present user may read.
func writeJSON(path string, value any) error {
	data, err := json.MarshalIndent(value, "", "  ")
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o700)
	}
	if err == nil {
		err = os.WriteFile(path, data, 0o600)
	}
	if err != nil {
		return fmt.Errorf("write the agent's configuration: %w", err)
	}
	return nil
}
