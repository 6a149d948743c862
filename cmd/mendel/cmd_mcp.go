package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"mendel/internal/control"
	"mendel/internal/propose/mcp"
	"mendel/internal/propose/outlet"
	"mendel/internal/propose/tool"
	"mendel/internal/research"
)

func mcpCommand() *cobra.Command {
	var state, socket string
	var id int64
	var await time.Duration
	c := &cobra.Command{
		Use:   "mcp [ROLE]",
		Short: "Serve a session's tools over MCP, on standard input and output",
		Long: `Serves the tools of one session in the Model Context Protocol, for any coding agent. With a
ROLE it opens a session of a run that was started with --proposer external, and closes it when the
agent hangs up; --session takes one that is open. The prompt is what ` + "`mendel prompt ROLE`" + ` prints.
Agents that a run starts itself (--proposer command:…) are given a --socket.

Waits for a verdict are cut at --await-at-most, below the time after which clients give a tool up;
the answer then says to call again.`,
		Example: `  claude mcp add mendel -- mendel mcp arch --state runs/golf`,
		Args:    between(0, 1, "at most one role"),
		RunE: func(c *cobra.Command, args []string) error {
			ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			given := 0
			for _, is := range []bool{len(args) == 1, id != 0, socket != ""} {
				if is {
					given++
				}
			}
			if given != 1 {
				return research.Hinted(usageError{errors.New("which session is meant?")}, "give a ROLE, --session ID, or --socket PATH")
			}
			if await < time.Second {
				return usageError{fmt.Errorf("--await-at-most %s: at least 1s", await)}
			}
			options := mcp.Options{Version: programVersion(), AwaitAtMost: await}
			if socket != "" {
				client, err := outlet.Dial(ctx, socket)
				if err != nil {
					return err
				}
				defer client.Close()
				return mcp.Serve(ctx, client, os.Stdin, os.Stdout, options)
			}
			return serveRunSession(ctx, state, strings.Join(args, ""), research.SessionID(id), options)
		},
	}
	stateFlag(c, &state)
	flags := c.Flags()
	flags.Int64Var(&id, "session", 0, "a session that is open, by its id")
	flags.StringVar(&socket, "socket", "", "a socket that serves one session's tools, as MENDEL_SOCKET names it")
	flags.DurationVar(&await, "await-at-most", mcp.AwaitAtMost, "longest wait for a verdict in one call")
	return c
}

// serveRunSession serves a session of a live run: the one that is named, or a new one of a role.
func serveRunSession(ctx context.Context, state, role string, id research.SessionID, options mcp.Options) (err error) {
	client, err := dialRun(ctx, state)
	if err != nil {
		return err
	}
	defer client.Close()
	var opened control.Opened
	if id != 0 {
		opened, err = client.Session(ctx, id)
	} else {
		opened, err = client.OpenSession(ctx, role)
	}
	if err != nil {
		return err
	}
	if id == 0 {
		fmt.Fprintf(os.Stderr, "mendel: session %d for %s; workspace %s\n", opened.Session, opened.Agent.Name, opened.Workspace)
		warnUnconfined(opened)
		defer func() {
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			defer cancel()
			_, closeErr := closeSession(last, state, opened.Session)
			err = errors.Join(err, closeErr)
		}()
	}
	remote := &remoteSession{client: client, id: opened.Session}
	if err := json.Unmarshal(opened.Tools, &remote.tools); err != nil {
		return err
	}
	return mcp.Serve(ctx, remote, os.Stdin, os.Stdout, options)
}

// A remoteSession is a session of a live run, as a toolset.
type remoteSession struct {
	client *control.Client
	id     research.SessionID
	tools  []tool.Definition
}

func (r *remoteSession) Tools() []tool.Definition { return r.tools }

func (r *remoteSession) Call(ctx context.Context, name string, args json.RawMessage) (tool.Answer, error) {
	a, err := callTool(ctx, r.client, r.id, name, args)
	if err != nil {
		return tool.Answer{}, err
	}
	answer := tool.Answer{Text: a.Text, IsError: a.IsError}
	if len(a.Data) > 0 {
		answer.Data = a.Data
	}
	return answer, nil
}
