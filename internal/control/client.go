package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"

	"mendel/internal/research"
)

// ErrNobody says that no supervisor is listening.
var ErrNobody = errors.New("no supervisor is running here")

// A Client asks one run's supervisor.
type Client struct {
	http *http.Client
	path *shortPath
}

// Dial finds the supervisor of the run in dir; the error is [ErrNobody] when there is none.
func Dial(ctx context.Context, dir string) (*Client, error) {
	path, err := shorten(dir)
	if err != nil {
		return nil, err
	}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path.name)
	}
	probe, err := dial(ctx, "", "")
	if err != nil {
		path.Close()
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
			return nil, ErrNobody
		}
		return nil, fmt.Errorf("control socket in %s: %w", dir, err)
	}
	probe.Close()
	return &Client{http: &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}, path: path}, nil
}

// Close lets go of the socket.
func (c *Client) Close() error { return c.path.Close() }

// Live asks what the run is doing.
func (c *Client) Live(ctx context.Context) (Live, error) {
	var live Live
	err := c.do(ctx, http.MethodGet, "/v1/live", nil, &live)
	return live, err
}

// Stop asks for no new work.
func (c *Client) Stop(ctx context.Context, by string) error {
	return c.do(ctx, http.MethodPost, "/v1/stop", stopRequest{By: by}, nil)
}

func (c *Client) do(ctx context.Context, method, path string, ask, into any) error {
	var body io.Reader
	if ask != nil {
		encoded, err := json.Marshal(ask)
		if err != nil {
			return err
		}
		body = bytes.NewReader(encoded)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://mendel"+path, body)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("ask the supervisor: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		var f failure
		if err := json.NewDecoder(resp.Body).Decode(&f); err != nil || f.Error == "" {
			return fmt.Errorf("the supervisor answered %s", resp.Status)
		}
		return research.Hinted(errors.New(f.Error), f.Hint)
	}
	if into == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(into)
}
