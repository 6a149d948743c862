// Package wire carries requests to model providers and their streamed answers back: HTTP,
// server-sent events, time-outs, and what a failure means. It knows no provider's message format.
//
// It is written on net/http alone, because blocks of a reply have to be handed back to the
// provider byte for byte, and client libraries drop or rewrite what they do not know.
// Start reading at [Client.Stream].
package wire

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"mendel/internal/propose/provider/model"
	"mendel/internal/research"
)

// Options say whom a client talks to.
type Options struct {
	BaseURL  string        // without the path of a request: "https://api.anthropic.com"
	Key      string        // may be empty; never leaves the process but in Header
	KeyEnv   string        // the environment variable that the key came from, for hints
	Idle     time.Duration // silence after which a call is given up; default 3 min
	MaxReply int64         // bytes of a reply; default 8 MB
	// Header is sent with each request; it is where the key goes.
	Header http.Header
	Now    func() time.Time // for Retry-After dates; default time.Now
}

const (
	defaultIdle     = 3 * time.Minute
	defaultMaxReply = 8 << 20
	maxErrorBody    = 64 << 10
	// maxTrailer is read after the last event, so that the connection can be used again.
	maxTrailer = 4 << 10
)

// A Client sends requests to one server. It may be used by several goroutines.
type Client struct {
	options Options
	http    *http.Client
	redact  redactor
}

// New makes a client. The address must be http or https.
func New(o Options) (*Client, error) {
	o.Idle = cmp.Or(o.Idle, defaultIdle)
	o.MaxReply = cmp.Or(o.MaxReply, defaultMaxReply)
	if o.Now == nil {
		o.Now = time.Now
	}
	u, err := url.Parse(o.BaseURL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil {
		return nil, research.Hinted(fmt.Errorf("base URL %q is not an address", redactor(o.Key).clean(o.BaseURL)),
			"write it as https://host or http://host:port, with the path that the server's documentation gives, and without a key")
	}
	if strings.ContainsAny(o.Key, "\r\n") || strings.TrimSpace(o.Key) != o.Key {
		return nil, research.Hinted(errors.New("the API key has white space around it or in it"), "set "+cmp.Or(o.KeyEnv, "the key")+" to the key alone")
	}
	o.BaseURL = strings.TrimRight(o.BaseURL, "/")
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 128 // as many sessions may talk to one server
	return &Client{
		options: o, redact: redactor(o.Key),
		http: &http.Client{
			Transport: transport,
			// The key goes to nobody but the server that it was given for.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// Close gives idle connections back. The client can still be used.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Stream posts body as JSON to a path below the base URL and hands on each event of the answer
// until each says that the reply is complete. A stream that ends before that was cut.
//
// The error is an [*model.Error], the one that each returned, or ctx's.
func (c *Client) Stream(ctx context.Context, path string, body any, each func(Event) (done bool, err error)) error {
	payload, err := json.Marshal(body)
	if err != nil {
		return c.fail(model.Error{Class: model.BadRequest, Message: "the request cannot be written as JSON: " + err.Error(), Err: err})
	}
	call, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(c.options.Idle, func() { cancel(errSilence) })
	defer silence.Stop()

	request, err := http.NewRequestWithContext(call, http.MethodPost, c.options.BaseURL+path, bytes.NewReader(payload))
	if err != nil {
		return c.fail(model.Error{Class: model.Misconfigured, Message: err.Error(), Err: err})
	}
	for name, values := range c.options.Header {
		request.Header[name] = values
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "text/event-stream")
	request.Header.Set("User-Agent", "mendel")

	response, err := c.http.Do(request)
	if err != nil {
		return c.lost(ctx, call, err, false)
	}
	defer response.Body.Close()
	incoming := &heard{from: response.Body, silence: silence, idle: c.options.Idle, left: c.options.MaxReply}
	if response.StatusCode != http.StatusOK {
		text, err := io.ReadAll(io.LimitReader(incoming, maxErrorBody))
		if err != nil && ctx.Err() != nil {
			return ctx.Err()
		}
		return c.refused(response, text)
	}
	if kind, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type")); kind != "text/event-stream" {
		text, _ := io.ReadAll(io.LimitReader(incoming, maxErrorBody))
		return c.notAStream(kind, text)
	}
	err = events(incoming, func(e Event) (bool, error) {
		e.Data = c.redact.wholeKey(e.Data)
		return each(e)
	})
	var broken *brokenError
	if errors.As(err, &broken) {
		return c.lost(ctx, call, broken.cause, true)
	}
	if err != nil {
		return err
	}
	silence.Reset(time.Second)
	_, _ = io.CopyN(io.Discard, response.Body, maxTrailer)
	return nil
}

// errSilence is why a call was given up.
var errSilence = errors.New("silence")

// errTooLong says that a reply passed MaxReply.
var errTooLong = errors.New("the reply is too long")

// heard reads an answer, puts the end of patience off with each byte, and stops at the cap.
type heard struct {
	from    io.Reader
	silence *time.Timer
	idle    time.Duration
	left    int64
}

func (h *heard) Read(p []byte) (int, error) {
	if h.left <= 0 {
		return 0, errTooLong
	}
	if int64(len(p)) > h.left {
		p = p[:h.left]
	}
	n, err := h.from.Read(p)
	if n > 0 {
		h.silence.Reset(h.idle)
		h.left -= int64(n)
	}
	return n, err
}
