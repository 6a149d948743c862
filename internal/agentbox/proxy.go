package agentbox

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// A proxy is the only way out of one box: it connects to port 443 of the hosts of a list, and
// hands bytes on without looking into them.
type proxy struct {
	box    *Box
	hosts  []string
	http   *http.Server
	served chan error

	mu    sync.Mutex
	open  map[net.Conn]bool // both ends of each tunnel
	ended bool
	busy  sync.WaitGroup
}

func (b *Box) openProxy(socket string, hosts []string) (*proxy, error) {
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return nil, fmt.Errorf("open the agent's proxy: %w", err)
	}
	if err := os.Chmod(socket, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("open the agent's proxy: %w", err), listener.Close())
	}
	p := &proxy{box: b, served: make(chan error, 1), open: map[net.Conn]bool{}}
	for _, h := range hosts {
		p.hosts = append(p.hosts, canonical(h))
	}
	p.http = &http.Server{Handler: p, ReadHeaderTimeout: 10 * time.Second}
	go func() { p.served <- p.http.Serve(listener) }()
	return p, nil
}

// Close cuts every connection.
func (p *proxy) Close() error {
	p.mu.Lock()
	p.ended = true
	for c := range p.open {
		c.Close()
	}
	p.mu.Unlock()
	err := p.http.Close()
	<-p.served
	p.busy.Wait()
	return err
}

// ServeHTTP answers one CONNECT.
func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	out, err := p.connect(r)
	if err != nil {
		p.box.options.Log.Warn("agent: connection refused", "method", r.Method, "host", r.Host, "reason", err.Error())
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	conn, buffered, err := w.(http.Hijacker).Hijack()
	if err != nil {
		out.Close()
		return
	}
	if !p.hold(conn, out) {
		return
	}
	defer p.release(conn, out)
	if _, err := conn.Write([]byte("HTTP/1.1 200 Connection established\r\n\r\n")); err != nil {
		conn.Close()
		out.Close()
		return
	}
	// What the client sent ahead lies in the reader already.
	if early, _ := buffered.Reader.Peek(buffered.Reader.Buffered()); len(early) > 0 {
		if _, err := out.Write(early); err != nil {
			conn.Close()
			out.Close()
			return
		}
	}
	splice(conn, out)
}

func (p *proxy) hold(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		if p.ended {
			c.Close()
			continue
		}
		p.open[c] = true
	}
	if !p.ended {
		p.busy.Add(1)
	}
	return !p.ended
}

func (p *proxy) release(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		delete(p.open, c)
	}
	p.busy.Done()
}

// connect opens the connection that a request asks for, or says why it is not allowed.
func (p *proxy) connect(r *http.Request) (net.Conn, error) {
	if r.Method != http.MethodConnect {
		return nil, errors.New("only CONNECT is served")
	}
	host, port, err := net.SplitHostPort(r.Host)
	if err != nil {
		return nil, errors.New("the address has no port")
	}
	host = canonical(host)
	switch _, err := netip.ParseAddr(strings.Trim(host, "[]")); {
	case port != "443":
		return nil, fmt.Errorf("port %s is closed: only 443 is open", port)
	case err == nil:
		return nil, errors.New("addresses are refused: name the host")
	case !slices.Contains(p.hosts, host):
		return nil, fmt.Errorf("%s is not on the list of hosts", host)
	}
	ctx, cancel := context.WithTimeout(r.Context(), 30*time.Second)
	defer cancel()
	addresses, err := p.box.options.Resolve(ctx, host)
	if err != nil {
		return nil, fmt.Errorf("look up %s: %w", host, err)
	}
	for _, ip := range addresses {
		if !public(ip) {
			return nil, fmt.Errorf("%s leads to %s, which is not a public address", host, ip)
		}
	}
	// The address that was looked at, not the name: a second look-up might say something else.
	err = fmt.Errorf("%s has no address", host)
	for _, ip := range addresses {
		var conn net.Conn
		if conn, err = p.box.options.Dial(ctx, net.JoinHostPort(ip.String(), port)); err == nil {
			return conn, nil
		}
	}
	return nil, fmt.Errorf("connect to %s: %w", host, err)
}

func canonical(host string) string { return strings.ToLower(strings.TrimSuffix(host, ".")) }

// closed are the networks that no provider is in, beside those that netip knows.
var closed = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), // RFC 1122, RFC 6598
	netip.MustParsePrefix("192.0.0.0/24"), netip.MustParsePrefix("198.18.0.0/15"), // RFC 6890, RFC 2544
	netip.MustParsePrefix("240.0.0.0/4"),                                           // RFC 1112
	netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"), // RFC 6052, RFC 8215: IPv4 in disguise
	netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("2001::/32"), // RFC 3056, RFC 4380: the same
}

// public reports whether an address belongs to the open internet.
func public(ip net.IP) bool {
	a, ok := netip.AddrFromSlice(ip)
	a = a.Unmap()
	return ok && a.IsGlobalUnicast() && !a.IsPrivate() &&
		!slices.ContainsFunc(closed, func(p netip.Prefix) bool { return p.Contains(a) })
}
