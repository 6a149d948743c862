package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"mendel/internal/research"
)

// A Server answers on a run's socket until it is closed.
type Server struct {
	http *http.Server
	done chan struct{}
	path *shortPath
}

// Serve opens the socket in dir, replacing one that a killed supervisor left behind. The
// caller holds the run's writer lock, so that nobody else can be listening there.
func Serve(dir string, s Supervisor) (*Server, error) {
	path, err := shorten(dir)
	if err != nil {
		return nil, err
	}
	if err := os.Remove(path.name); err != nil && !errors.Is(err, os.ErrNotExist) {
		path.Close()
		return nil, fmt.Errorf("control socket: %w", err)
	}
	listener, err := net.Listen("unix", path.name)
	if err != nil {
		path.Close()
		return nil, fmt.Errorf("control socket: %w", err)
	}
	if err := os.Chmod(path.name, 0o600); err != nil {
		listener.Close()
		path.Close()
		return nil, fmt.Errorf("control socket: %w", err)
	}
	srv := &Server{
		http: &http.Server{Handler: handler(s), ReadHeaderTimeout: 10 * time.Second},
		done: make(chan struct{}),
		path: path,
	}
	go func() {
		defer close(srv.done)
		srv.http.Serve(ownerOnly{listener}) // returns ErrServerClosed at Close
	}()
	return srv, nil
}

// Close answers what is being asked, then removes the socket.
func (s *Server) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	err := s.http.Shutdown(ctx)
	<-s.done
	return errors.Join(err, s.path.Close())
}

func handler(s Supervisor) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/live", func(w http.ResponseWriter, r *http.Request) {
		live, err := s.Live(r.Context())
		answer(w, live, err)
	})
	mux.HandleFunc("POST /v1/stop", func(w http.ResponseWriter, r *http.Request) {
		var ask stopRequest
		if read(w, r, &ask) {
			answer(w, struct{}{}, s.Stop(r.Context(), ask.By))
		}
	})
	sessionRoutes(mux, s)
	return mux
}

type stopRequest struct {
	By string `json:"by"`
}

type failure struct {
	Error string `json:"error"`
	Hint  string `json:"hint,omitempty"`
}

func read(w http.ResponseWriter, r *http.Request, into any) bool {
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		json.NewEncoder(w).Encode(failure{Error: err.Error()})
		return false
	}
	return true
}

func answer(w http.ResponseWriter, value any, err error) {
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		w.WriteHeader(http.StatusConflict)
		json.NewEncoder(w).Encode(failure{Error: err.Error(), Hint: research.Hint(err)})
		return
	}
	json.NewEncoder(w).Encode(value)
}
