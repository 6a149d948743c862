// Package providertest is a model provider on the loopback interface: it speaks a provider's real
// protocol, refuses what the provider would refuse, and answers as a script says, also badly.
//
// It is for tests and benchmarks, and needs no testing.T. Start reading at [New].
package providertest

import (
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Key is what a server wants unless told otherwise. It is long enough to be looked for in logs.
const Key = "sk-test-7Qm2ZtVb9LwXy4RkHn8sPd3c"

// Options say how a server behaves.
type Options struct {
	Protocol Protocol
	Play     Script
	Key      string        // default Key
	Keyless  bool          // a server of one's own: it wants no key, and is given none
	Latency  time.Duration // before each answer
}

// A Script says what the model answers. It is called by several goroutines, and has all that it
// needs in the request, as a real model does.
type Script func(r Request) Reply

// A Request is what a model is asked, in the words of no protocol.
type Request struct {
	Number  int // of this server, from 1
	Model   string
	System  string
	Tools   []string
	Prompt  string   // the first thing that the user said
	Told    []string // all texts of the user since the last reply, tool results apart
	Results []Result // of the tool calls of the last reply
	Replies int      // of the model so far in this conversation
	Body    []byte   // as it came
}

// A Result is what a tool answered.
type Result struct {
	ID      string
	Text    string
	IsError bool
}

// A Reply is what the model answers, and how badly.
type Reply struct {
	Thinking string
	Text     string
	Calls    []Call
	Stop     string // in the protocol's words; by default it follows from the rest
	Usage    *Usage // by default it follows from the lengths of request and reply
	NoUsage  bool   // where the protocol lets a server not say

	// A Status other than 0 answers with an error instead, with this body or one in the
	// protocol's form.
	Status  int
	Header  map[string]string
	Body    string
	Message string // of an error in the protocol's form

	Frames      []string // these server-sent events instead of those that the protocol would write
	CutAfter    int      // drop the connection after so many events
	SilentAfter int      // say nothing more after so many events
	NeverBegin  bool     // accept the request and say nothing at all
}

// A Call is a tool that the model wants called.
type Call struct {
	Name string
	Args string // as it goes over the wire, perhaps not JSON
}

// A Usage is what a reply says about tokens.
type Usage struct{ Input, CacheRead, CacheWrite, Output int64 }

// A Protocol is how one provider speaks.
type Protocol struct {
	path string
	// key reads the key that a request came with.
	key func(h http.Header) string
	// parse checks a request as the provider documents it; the error says what it would refuse.
	parse func(h http.Header, body []byte) (Request, error)
	// refusal is the body of an error.
	refusal func(status int, message string) string
	// frames are the server-sent events of a reply, each with its final blank line.
	frames func(r Request, a Reply) []string
}

// A Server answers until it is closed.
type Server struct {
	URL string

	options Options
	http    *http.Server
	closing chan struct{}
	served  chan struct{}

	mu       sync.Mutex
	requests []Request
	refused  []string
}

// New starts a server on a free port of the loopback interface.
func New(o Options) (*Server, error) {
	if o.Key == "" {
		o.Key = Key
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &Server{URL: "http://" + listener.Addr().String(), options: o, closing: make(chan struct{}), served: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+o.Protocol.path, s.serve)
	s.http = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		defer close(s.served)
		_ = s.http.Serve(listener)
	}()
	return s, nil
}

// Close ends all connections.
func (s *Server) Close() {
	close(s.closing)
	_ = s.http.Close()
	<-s.served
}

// Requests lists the requests that were accepted, in order.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// Refused lists why requests were not accepted: none is what a client should aim at.
func (s *Server) Refused() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.refused)
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	p := s.options.Protocol
	wanted := s.options.Key
	if s.options.Keyless {
		wanted = ""
	}
	if key := p.key(r.Header); subtle.ConstantTimeCompare([]byte(key), []byte(wanted)) != 1 {
		s.refuse(w, http.StatusUnauthorized, "invalid x-api-key: "+key)
		return
	}
	request, err := p.parse(r.Header, body)
	if err != nil {
		s.refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	request.Body = body
	s.mu.Lock()
	request.Number = len(s.requests) + 1
	s.requests = append(s.requests, request)
	s.mu.Unlock()
	s.answer(w, r, request, s.options.Play(request))
}

func (s *Server) refuse(w http.ResponseWriter, status int, message string) {
	s.mu.Lock()
	s.refused = append(s.refused, message)
	s.mu.Unlock()
	s.fail(w, status, s.options.Protocol.refusal(status, message))
}

func (s *Server) fail(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request, request Request, a Reply) {
	if s.options.Latency > 0 && !s.pause(r, s.options.Latency) {
		return
	}
	if a.NeverBegin {
		s.hang(r)
		return
	}
	for name, value := range a.Header {
		w.Header().Set(name, value)
	}
	if a.Status != 0 {
		if a.Body == "" {
			a.Body = s.options.Protocol.refusal(a.Status, a.Message)
		}
		s.fail(w, a.Status, a.Body)
		return
	}
	frames := a.Frames
	if frames == nil {
		frames = s.options.Protocol.frames(request, a)
	}
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	out := http.NewResponseController(w)
	for i, frame := range frames {
		if _, err := io.WriteString(w, frame); err != nil || out.Flush() != nil {
			return
		}
		switch i + 1 {
		case a.CutAfter:
			panic(http.ErrAbortHandler) // the only way to drop a connection in the midst of an answer
		case a.SilentAfter:
			s.hang(r)
			return
		}
	}
}

// hang waits until the client gives up.
func (s *Server) hang(r *http.Request) {
	select {
	case <-r.Context().Done():
	case <-s.closing:
	}
}

func (s *Server) pause(r *http.Request, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
	case <-s.closing:
	}
	return false
}

// frame writes one server-sent event.
func frame(name string, data any) string {
	text, err := json.Marshal(data)
	if err != nil {
		panic(err) // a script that cannot be sent is a mistake of the test
	}
	if name == "" {
		return fmt.Sprintf("data: %s\n\n", text)
	}
	return fmt.Sprintf("event: %s\ndata: %s\n\n", name, text)
}

// pieces cuts a text as a stream does: into several parts, not at convenient places.
func pieces(text string) []string {
	var list []string
	for size := 7; len(text) > 0; size *= 4 {
		n := min(size, len(text))
		for n < len(text) && text[n]&0xC0 == 0x80 { // a JSON string holds whole characters
			n++
		}
		list = append(list, text[:n])
		text = text[n:]
	}
	return list
}
