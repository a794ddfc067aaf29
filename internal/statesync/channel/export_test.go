//go:build linux

package channel

import (
	"errors"

	"golang.org/x/sys/unix"
)

// Option reads an option of the socket that receives, or of the one that sends.
func (c *Channel) Option(receiving bool, level, number int) (n int, err error) {
	var in, out *socket
	switch carrier := c.carrier.(type) {
	case *datagrams:
		in, out = carrier.in, carrier.out
	case *stream:
		carrier.out.mu.Lock()
		in, out = carrier.in.listener, carrier.out.conn
		carrier.out.mu.Unlock()
	}
	if !receiving {
		in = out
	}
	cerr := in.raw.Control(func(fd uintptr) { n, err = unix.GetsockoptInt(int(fd), level, number) })
	return n, errors.Join(cerr, err)
}

// Backlog reads how many connections of a TCP channel's peer may wait to be accepted.
func (c *Channel) Backlog() (n int, err error) {
	cerr := c.carrier.(*stream).in.listener.raw.Control(func(fd uintptr) {
		var info *unix.TCPInfo
		if info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			n = int(info.Sacked) // what it means for a listening socket (tcp_get_info)
		}
	})
	return n, errors.Join(cerr, err)
}

// Reset makes Close reset the connection that a TCP channel accepted, like the end of a
// process that has not read everything.
func (c *Channel) Reset() error {
	in := &c.carrier.(*stream).in
	in.mu.Lock()
	defer in.mu.Unlock()
	var err error
	return errors.Join(in.conn.raw.Control(func(fd uintptr) {
		err = unix.SetsockoptLinger(int(fd), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	}), err)
}
