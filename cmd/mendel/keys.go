package main

import (
	"cmp"
	"fmt"
	"os"

	"mendel/internal/propose/provider/command"
	"mendel/internal/propose/provider/openai"
	"mendel/internal/research"
)

// keys are API keys by the environment variables that they came in.
type keys map[string]string

// takeKeys moves every key that a run's agents may need from the environment into memory, and
// has to be called before any other program is started: interpreters, runners and checks, which
// inherit the environment, have no business with it.
func takeKeys(agents []research.Agent) keys {
	names := append(command.KeyEnvs(), "ANTHROPIC_API_KEY", openai.KeyEnv, openai.GeminiKeyEnv, openai.GeminiKeyEnvToo)
	for _, a := range agents {
		names = append(append(names, optionsOf(a).KeyEnv), optionsOf(a).PassEnv...)
	}
	taken := keys{}
	for _, name := range names {
		if key := os.Getenv(name); key != "" {
			taken[name] = key
			os.Unsetenv(name)
		}
	}
	if len(taken) > 0 {
		if err := forgetInitial(taken); err != nil {
			fmt.Fprintf(os.Stderr, "mendel: warning: other processes of this user can read the keys in /proc/%d/environ: %v\n", os.Getpid(), err)
		}
	}
	return taken
}

// getenv is the environment as this process found it.
func (k keys) getenv(name string) string { return cmp.Or(k[name], os.Getenv(name)) }
