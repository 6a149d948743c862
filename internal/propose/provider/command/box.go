package command

import (
	"context"
	"io"
	"os"
)

// A Box starts agents and keeps them inside what they are given.
type Box interface {
	// Start starts an agent. Ending ctx kills its whole process tree. An error with a
	// [research.Hint] is the operator's to mend.
	Start(ctx context.Context, s Spec) (Process, error)
	// Confinement is how well agents are kept in: "sandbox" or "none".
	Confinement() string
}

// A Process is a started agent.
type Process interface {
	// Wait returns once nothing of the agent's process tree is left.
	Wait() Exit
}

// An Exit says how an agent ended.
type Exit struct {
	Code int   // exit status, or 128 + signal
	Err  error // why it was ended, or why its ending is unknown; nil for a plain exit
}

// A Spec is an agent and all that it may see. Paths are of the host, and the agent sees them
// under the same names.
type Spec struct {
	Argv      []string // Argv[0] is an absolute path
	Env       []string // all but PATH and the proxy's address, which the box adds
	Workspace string   // writable; where the agent starts
	Home      string   // writable
	Readable  []string // files and sockets beside the program's own
	Hosts     []string // that the agent may reach, by TLS on port 443
	Stdin     *os.File
	Stdout    io.Writer // called from one goroutine each
	Stderr    io.Writer
}
