package agentbox_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"mendel/internal/propose/outlet"
)

// beAgent plays the part of a coding agent. args name what it does.
func beAgent(args []string) (int, error) {
	switch args[0] {
	case "improve":
		return 0, improve()
	case "spy":
		return 0, spy(args[1:])
	case "tunnel":
		return 0, tunnel(args[1], args[2])
	case "leak":
		return 0, leak()
	}
	return 1, errors.New("unknown part")
}

// improve edits, checks and submits over MCP, as any agent would that reads the configuration.
func improve() error {
	prompt, err := io.ReadAll(os.Stdin)
	if err != nil || !strings.Contains(string(prompt), "submit_trial") {
		return fmt.Errorf("the prompt is %.200q, %v", prompt, err)
	}
	var config struct {
		Servers map[string]struct {
			Command string
			Args    []string
		} `json:"mcpServers"`
	}
	data, err := os.ReadFile(os.Getenv("MENDEL_MCP_CONFIG"))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, &config); err != nil {
		return err
	}
	server := config.Servers["mendel"]
	ctx := context.Background()
	c, err := sdk.NewClient(&sdk.Implementation{Name: "agent"}, nil).Connect(ctx,
		&sdk.CommandTransport{Command: exec.Command(server.Command, server.Args...)}, nil)
	if err != nil {
		return err
	}
	defer c.Close()
	for _, call := range []*sdk.CallToolParams{
		{Name: "edit_file", Arguments: map[string]any{"path": "train.py", "old": "1000", "new": "10"}},
		{Name: "syntax", Arguments: map[string]any{}},
		{Name: "submit_trial", Arguments: map[string]any{"hypothesis": "narrower", "expected_delta": -2}},
		{Name: "await_trial", Arguments: map[string]any{"trial": "1"}},
	} {
		r, err := c.CallTool(ctx, call)
		if err != nil {
			return err
		}
		fmt.Println(call.Name, r.Content[0].(*sdk.TextContent).Text)
		if r.IsError {
			return errors.New(call.Name + " failed")
		}
	}
	return nil
}

// spy tries each path, connects to each address, and prints what it got.
func spy(targets []string) error {
	for _, t := range targets {
		kind, what, _ := strings.Cut(t, "=")
		var got string
		switch kind {
		case "read":
			if data, err := os.ReadFile(what); err == nil {
				got = string(data)
			} else if entries, err := os.ReadDir(what); err == nil {
				for _, e := range entries {
					got += e.Name() + " "
				}
			}
		case "dial":
			network, address, _ := strings.Cut(what, ",")
			if conn, err := net.Dial(network, address); err == nil {
				got = "connected"
				conn.Close()
			}
		case "write":
			if os.WriteFile(what, []byte("was here"), 0o644) == nil {
				got = "written"
			}
		}
		fmt.Printf("%s -> %q\n", t, got)
	}
	fmt.Printf("environment -> %q\n", strings.Join(os.Environ(), " "))
	return nil
}

// tunnel asks the proxy in the environment for an address, and prints what it says and sends.
func tunnel(address, hello string) error {
	conn, err := net.Dial("tcp", strings.TrimPrefix(os.Getenv("HTTPS_PROXY"), "http://"))
	if err != nil {
		return err
	}
	defer conn.Close()
	fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n%s\n", address, address, hello)
	reader := bufio.NewReader(conn)
	r, err := http.ReadResponse(reader, &http.Request{Method: http.MethodConnect})
	if err != nil {
		return err
	}
	defer r.Body.Close()
	body := io.Reader(reader)
	if r.StatusCode != http.StatusOK {
		body = r.Body
	}
	line, _ := bufio.NewReader(body).ReadString('\n')
	fmt.Printf("%d %s\n", r.StatusCode, strings.TrimSpace(line))
	return nil
}

// leak tries to have its key stored in every place that it can reach.
func leak() error {
	key := os.Getenv("AGENT_KEY")
	fmt.Println("my key is", key)
	fmt.Fprintln(os.Stderr, "again:", key)
	ctx := context.Background()
	c, err := outlet.Dial(ctx, os.Getenv("MENDEL_SOCKET"))
	if err != nil {
		return err
	}
	defer c.Close()
	_, _ = c.Call(ctx, "list_trials", json.RawMessage(`{"text":"`+key+`"}`))
	if err := os.WriteFile("train.py", []byte("# "+key), 0o644); err != nil {
		return err
	}
	a, err := c.Call(ctx, "submit_trial", json.RawMessage(`{"hypothesis":"x","expected_delta":1}`))
	fmt.Println(a.Text)
	return err
}
