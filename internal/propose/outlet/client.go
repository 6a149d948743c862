package outlet

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"syscall"

	"mendel/internal/propose/tool"
)

// A Client is the far end of an outlet. It implements [Toolset].
type Client struct {
	http  http.Client
	tools []tool.Definition
}

// Dial connects to the outlet at path and learns its tools.
func Dial(ctx context.Context, path string) (*Client, error) {
	c := &Client{}
	c.http.Transport = &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			name, done, err := shorten(path)
			if err != nil {
				return nil, err
			}
			conn, err := (&net.Dialer{}).DialContext(ctx, "unix", name)
			return conn, errors.Join(err, done())
		},
	}
	if err := c.ask(ctx, http.MethodGet, toolsPath, nil, &c.tools); err != nil {
		return nil, fmt.Errorf("ask for the session's tools: %w", err)
	}
	return c, nil
}

// Close lets go of the connection.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Tools lists what can be called.
func (c *Client) Tools() []tool.Definition { return c.tools }

// Call runs a tool. The answer's data is a [json.RawMessage].
func (c *Client) Call(ctx context.Context, name string, args json.RawMessage) (tool.Answer, error) {
	if len(args) > 0 && !json.Valid(args) {
		return tool.Answer{Text: "The arguments are not JSON.", IsError: true}, nil
	}
	body, err := json.Marshal(call{Name: name, Args: args})
	if err != nil {
		return tool.Answer{}, err
	}
	var r reply
	if err := c.ask(ctx, http.MethodPost, callPath, body, &r); err != nil {
		return tool.Answer{}, err
	}
	a := tool.Answer{Text: r.Text, IsError: r.IsError}
	if r.Data != nil {
		a.Data = r.Data
	}
	return a, nil
}

func (c *Client) ask(ctx context.Context, method, path string, body []byte, into any) error {
	r, err := http.NewRequestWithContext(ctx, method, "http://session"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	response, err := c.http.Do(r)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case nobodyThere(err):
		return ErrEnded
	case err != nil:
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxReply))
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if response.StatusCode == http.StatusOK {
		return json.Unmarshal(text, into)
	}
	if response.StatusCode == http.StatusGone {
		return ErrEnded
	}
	var why refusal
	if json.Unmarshal(text, &why) != nil || why.Error == "" {
		return fmt.Errorf("the session's socket answers %s", response.Status)
	}
	return errors.New(why.Error)
}

// nobodyThere reports whether an error says that the outlet is closed.
func nobodyThere(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.EOF)
}
