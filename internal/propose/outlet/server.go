package outlet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"
)

// A Server is an open outlet.
type Server struct {
	toolset Toolset
	http    *http.Server
	path    string
	done    func() error
	ended   context.Context
	end     context.CancelFunc
	served  chan error
}

// Serve opens an outlet at path, which only the present user may use. It must be closed.
func Serve(path string, t Toolset) (*Server, error) {
	name, done, err := shorten(path)
	if err != nil {
		return nil, fmt.Errorf("open a session's socket: %w", err)
	}
	listener, err := net.Listen("unix", name)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open a session's socket: %w", err), done())
	}
	listener.(*net.UnixListener).SetUnlinkOnClose(false) // the name may be gone by then; Close removes the path
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("open a session's socket: %w", err), listener.Close(), done())
	}
	s := &Server{toolset: t, path: path, done: done, served: make(chan error, 1)}
	s.ended, s.end = context.WithCancel(context.Background())
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+toolsPath, s.tools)
	mux.HandleFunc("POST "+callPath, s.call)
	s.http = &http.Server{
		Handler:           mux,
		BaseContext:       func(net.Listener) context.Context { return s.ended },
		ReadHeaderTimeout: 10 * time.Second,
	}
	go func() { s.served <- s.http.Serve(listener) }()
	return s, nil
}

// Close ends the outlet: calls that run are cut off, further ones find nobody.
func (s *Server) Close() error {
	s.end()
	// Whoever is in a call gets its answer, which is [ErrEnded], before the connections go.
	grace, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if s.http.Shutdown(grace) != nil {
		s.http.Close()
	}
	err := <-s.served
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	if removed := os.Remove(s.path); !errors.Is(removed, os.ErrNotExist) {
		err = errors.Join(err, removed)
	}
	return errors.Join(err, s.done())
}

func (s *Server) tools(w http.ResponseWriter, _ *http.Request) {
	s.answer(w, http.StatusOK, s.toolset.Tools())
}

func (s *Server) call(w http.ResponseWriter, r *http.Request) {
	var c call
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxCall)).Decode(&c); err != nil {
		s.answer(w, http.StatusBadRequest, refusal{fmt.Sprintf("the call is not understood: %v", err)})
		return
	}
	a, err := s.toolset.Call(r.Context(), c.Name, c.Args)
	if s.ended.Err() != nil {
		s.answer(w, http.StatusGone, refusal{ErrEnded.Error()})
		return
	}
	if err != nil {
		s.answer(w, http.StatusInternalServerError, refusal{err.Error()})
		return
	}
	out := reply{Text: a.Text, IsError: a.IsError}
	if a.Data != nil {
		if out.Data, err = json.Marshal(a.Data); err != nil {
			s.answer(w, http.StatusInternalServerError, refusal{fmt.Sprintf("%s: encode the answer: %v", c.Name, err)})
			return
		}
	}
	s.answer(w, http.StatusOK, out)
}

// answer writes a reply. That the client has gone away is its own affair.
func (*Server) answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
