package control

import (
	"fmt"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// A shortPath names the socket through an open descriptor of its directory, because a unix
// socket's address holds only 108 bytes and run directories can be longer.
type shortPath struct {
	dir  *os.File
	name string
}

func shorten(dir string) (*shortPath, error) {
	const longest = 100
	if direct := filepath.Join(dir, SocketName); len(direct) <= longest {
		return &shortPath{name: direct}, nil
	}
	f, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	return &shortPath{dir: f, name: fmt.Sprintf("/proc/self/fd/%d/%s", f.Fd(), SocketName)}, nil
}

func (p *shortPath) Close() error {
	if p.dir == nil {
		return nil
	}
	return p.dir.Close()
}

// ownerOnly turns away other users (root excepted), also where the file system ignores the
// socket's mode.
type ownerOnly struct{ net.Listener }

func (l ownerOnly) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if uid, err := peer(conn); err == nil && (uid == 0 || uid == os.Geteuid()) {
			return conn, nil
		}
		conn.Close()
	}
}

func peer(conn net.Conn) (int, error) {
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return 0, err
	}
	if credErr != nil {
		return 0, credErr
	}
	return int(cred.Uid), nil
}
