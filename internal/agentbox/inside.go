package agentbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Verb is the hidden word after which [Inside] takes over the command line of [Options.Self].
const Verb = "agent-exec"

// proxyAddress is where an agent finds the proxy; inside the sandbox there is nothing else on the
// loopback interface.
const proxyAddress = "127.0.0.1:3128"

// What the sandbox passes to [Inside], as descriptors.
const (
	stdinFD  = 3 // the agent's standard input
	errandFD = 4
)

// An errand is what to run inside. It is passed as a file: the sandbox translates paths in
// command lines where it has no mounts, which is not for agents; and command lines can be read
// by others.
type errand struct {
	Argv, Env []string
	Dir       string
	Proxy     string // socket; empty for none
}

func (e errand) file() (*os.File, error) {
	data, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	fd, err := unix.MemfdCreate("errand", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memfd: %w", err)
	}
	f := os.NewFile(uintptr(fd), "what the agent is")
	// At an offset, so that it is read from the beginning.
	if _, err := f.WriteAt(data, 0); err != nil {
		f.Close()
		return nil, fmt.Errorf("pass the agent's command: %w", err)
	}
	return f, nil
}

// proxyEnvironment tells programs where the way out is, in each of the forms in use.
func proxyEnvironment() []string {
	const url = "http://" + proxyAddress
	return []string{
		"HTTPS_PROXY=" + url, "HTTP_PROXY=" + url, "https_proxy=" + url, "http_proxy=" + url,
		"NO_PROXY=localhost,127.0.0.1", "no_proxy=localhost,127.0.0.1", "NODE_USE_ENV_PROXY=1",
	}
}

// Inside runs an agent where the sandbox has just come up, with what [Box.Start] passes. It
// forwards the proxy's address to its socket while the agent runs, and returns the agent's exit status.
func Inside() (int, error) {
	unix.CloseOnExec(stdinFD)
	unix.CloseOnExec(errandFD)
	var e errand
	told := os.NewFile(errandFD, "what the agent is")
	if err := json.NewDecoder(told).Decode(&e); err != nil || len(e.Argv) == 0 {
		return 0, fmt.Errorf("%s: meant for mendel's own use", Verb)
	}
	told.Close()
	if e.Proxy != "" {
		listener, err := net.Listen("tcp", proxyAddress)
		if err != nil {
			return 0, fmt.Errorf("open the way out: %w", err)
		}
		defer listener.Close()
		go forward(listener, e.Proxy)
	}
	cmd := &exec.Cmd{Path: e.Argv[0], Args: e.Argv, Env: e.Env, Dir: e.Dir}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.NewFile(stdinFD, "prompt"), os.Stdout, os.Stderr
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0, nil
	case !errors.As(err, &exit):
		return 127, err // as a shell says it
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal()), nil
	}
	return exit.ExitCode(), nil
}

// forward hands each connection on to the socket, until the process ends.
func forward(listener net.Listener, socket string) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			out, err := net.Dial("unix", socket)
			if err != nil {
				conn.Close()
				return
			}
			splice(conn, out)
		}()
	}
}

// splice copies both ways until both are done, and closes both. Either side going away ends it.
func splice(a, b net.Conn) {
	var both sync.WaitGroup
	one := func(to, from net.Conn) {
		_, _ = io.Copy(to, from) // an end of either kind is the end of that direction
		if half, ok := to.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		}
	}
	both.Go(func() { one(a, b) })
	both.Go(func() { one(b, a) })
	both.Wait()
	a.Close()
	b.Close()
}
