package control

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"mendel/internal/research"
)

// Opened is a session that another process plays.
type Opened struct {
	Session   research.SessionID `json:"session"`
	Agent     research.Agent     `json:"agent"`
	Workspace string             `json:"workspace"` // absolute
	Base      research.TrialID   `json:"base"`      // the trial that the workspace is a copy of
	Prompt    string             `json:"prompt"`
	Tools     json.RawMessage    `json:"tools"`   // as session.Session.Tools gives them
	Lineage   bool               `json:"lineage"` // whether this arm lets sessions see the history
	// Confinement is how the player is kept to workspace and tools, as the session's trials record it.
	Confinement string `json:"confinement"`
}

// Closed says what became of a session.
type Closed struct {
	Session research.SessionID `json:"session"`
	Trials  []research.TrialID `json:"trials"`
}

// Sessions is the part of a supervisor that lets other processes play sessions. Answers to
// tool calls are passed on as they are: what is in them is between tools and caller.
type Sessions interface {
	// OpenSession opens a session for an agent or role whose proposer is external; it waits for
	// the baseline.
	OpenSession(ctx context.Context, role string) (Opened, error)
	// Session describes an open session again.
	Session(ctx context.Context, id research.SessionID) (Opened, error)
	// CallTool calls a tool of an open session.
	CallTool(ctx context.Context, id research.SessionID, name string, args json.RawMessage) (json.RawMessage, error)
	// CloseSession ends a session. Its trials are measured all the same.
	CloseSession(ctx context.Context, id research.SessionID) (Closed, error)
}

type openRequest struct {
	Role string `json:"role"`
}

type callRequest struct {
	Name string          `json:"name"`
	Args json.RawMessage `json:"args,omitempty"`
}

// sessionRoutes adds what [Sessions] offers.
func sessionRoutes(mux *http.ServeMux, s Sessions) {
	mux.HandleFunc("POST /v1/sessions", func(w http.ResponseWriter, r *http.Request) {
		var ask openRequest
		if read(w, r, &ask) {
			opened, err := s.OpenSession(r.Context(), ask.Role)
			answer(w, opened, err)
		}
	})
	with := func(f func(w http.ResponseWriter, r *http.Request, id research.SessionID)) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			n, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
			if err != nil {
				answer(w, nil, fmt.Errorf("%q is not a session", r.PathValue("id")))
				return
			}
			f(w, r, research.SessionID(n))
		}
	}
	mux.HandleFunc("GET /v1/sessions/{id}", with(func(w http.ResponseWriter, r *http.Request, id research.SessionID) {
		opened, err := s.Session(r.Context(), id)
		answer(w, opened, err)
	}))
	mux.HandleFunc("POST /v1/sessions/{id}/call", with(func(w http.ResponseWriter, r *http.Request, id research.SessionID) {
		var ask callRequest
		if read(w, r, &ask) {
			result, err := s.CallTool(r.Context(), id, ask.Name, ask.Args)
			answer(w, result, err)
		}
	}))
	mux.HandleFunc("DELETE /v1/sessions/{id}", with(func(w http.ResponseWriter, r *http.Request, id research.SessionID) {
		closed, err := s.CloseSession(r.Context(), id)
		answer(w, closed, err)
	}))
}

// OpenSession asks for a session of a role.
func (c *Client) OpenSession(ctx context.Context, role string) (Opened, error) {
	var o Opened
	err := c.do(ctx, http.MethodPost, "/v1/sessions", openRequest{Role: role}, &o)
	return o, err
}

// Session asks for an open session.
func (c *Client) Session(ctx context.Context, id research.SessionID) (Opened, error) {
	var o Opened
	err := c.do(ctx, http.MethodGet, sessionPath(id), nil, &o)
	return o, err
}

// CallTool calls a tool of an open session.
func (c *Client) CallTool(ctx context.Context, id research.SessionID, name string, args json.RawMessage) (json.RawMessage, error) {
	var result json.RawMessage
	err := c.do(ctx, http.MethodPost, sessionPath(id)+"/call", callRequest{Name: name, Args: args}, &result)
	return result, err
}

// CloseSession ends a session.
func (c *Client) CloseSession(ctx context.Context, id research.SessionID) (Closed, error) {
	var closed Closed
	err := c.do(ctx, http.MethodDelete, sessionPath(id), nil, &closed)
	return closed, err
}

func sessionPath(id research.SessionID) string { return fmt.Sprintf("/v1/sessions/%d", id) }
