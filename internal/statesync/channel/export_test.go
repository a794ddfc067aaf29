//go:build linux

package channel

import (
	"errors"

	"golang.org/x/sys/unix"
)

// Buffers reads the sizes of the sockets' buffers.
func (c *Channel) Buffers() (send, receive int, err error) {
	var in, out *socket
	switch carrier := c.carrier.(type) {
	case *datagrams:
		in, out = carrier.in, carrier.out
	case *stream:
		in, out = carrier.in.listener, carrier.out.conn
	}
	read := func(s *socket, option int) (n int) {
		var e error
		err = errors.Join(err, s.raw.Control(func(fd uintptr) { n, e = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, option) }), e)
		return n
	}
	return read(out, unix.SO_SNDBUF), read(in, unix.SO_RCVBUF), err
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
