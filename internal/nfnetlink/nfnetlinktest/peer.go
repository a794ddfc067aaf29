//go:build linux

package nfnetlinktest

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/spoor-project/spoor/internal/nfnetlink"
)

// Peer is the kernel's end of a Conn.
type Peer struct{ file *os.File }

// Pipe returns a Conn and its other end. Close both.
func Pipe() (*nfnetlink.Conn, *Peer, error) {
	// Unlike with datagrams, either end learns here that the other was closed.
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	peer := &Peer{os.NewFile(uintptr(fds[1]), "fake kernel")}
	conn, err := nfnetlink.FromPeer(fds[0])
	if err != nil {
		peer.Close()
		return nil, nil, err
	}
	return conn, peer, nil
}

// Send sends one datagram. It waits while more than a few lie unread.
func (p *Peer) Send(datagram []byte) error {
	_, err := p.file.Write(datagram)
	return err
}

// Recv receives one datagram; at the end, when the Conn is closed, it returns [io.EOF].
func (p *Peer) Recv(buf []byte) (n int, err error) { return p.file.Read(buf) }

// Close closes the kernel's end.
func (p *Peer) Close() error { return p.file.Close() }

// Handler answers a request with any number of datagrams; none is silence. A Conn's
// requests come one after the other, those of several Conns at the same time.
type Handler func(*Request) [][]byte

// Dial returns a Conn whose requests are answered by h, on a goroutine which
// ends when the Conn is closed, or when it sends something that is not netlink.
func Dial(h Handler) (*nfnetlink.Conn, error) {
	conn, peer, err := Pipe()
	if err != nil {
		return nil, err
	}
	go func() {
		defer peer.Close()
		buf := make([]byte, maxSend)
		for {
			n, err := peer.Recv(buf)
			if err != nil || !peer.answer(buf[:n], h) {
				return
			}
		}
	}()
	return conn, nil
}

// maxSend is more than a socket's usual send buffer takes.
const maxSend = 256 << 10

// answer carries out the requests of one datagram. It returns false when there is no
// use in going on.
func (p *Peer) answer(datagram []byte, h Handler) bool {
	for rest := datagram; len(rest) > 0; {
		m, next, err := nfnetlink.Next(rest)
		if err != nil {
			return false
		}
		m.Payload = append([]byte(nil), m.Payload...)
		for _, answer := range h(&Request{m}) {
			if p.Send(answer) != nil {
				return false
			}
		}
		rest = next
	}
	return true
}
