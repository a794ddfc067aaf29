package nfnetlink

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/spoor-project/spoor/internal/netns"
)

// Options says how a socket is opened. The zero value is an ordinary socket for
// requests in the caller's network namespace.
type Options struct {
	// NetNS is an open network namespace file; nil means the namespace of the
	// calling thread. It is not closed.
	NetNS *os.File
	// Groups are the multicast groups to join. CAP_NET_ADMIN is needed.
	Groups []Group
	// NoENOBUFS asks the kernel not to report lost multicast messages
	// (NETLINK_NO_ENOBUFS, Linux 2.6.30).
	NoENOBUFS bool
	// BroadcastError makes the sender of a multicast message learn that this
	// socket missed it (NETLINK_BROADCAST_ERROR, Linux 2.6.30).
	BroadcastError bool
	// Gather is for a receiver that lets messages gather before it takes them: it is woken up when
	// there is something for the first time, and not by what comes until it waits again.
	Gather bool
	// Room is the size of the largest datagram to come, for RecvMany and RecvQueued; 0 is the constant Room.
	Room int
}

// Conn is a NETLINK_NETFILTER socket.
type Conn struct {
	file   *os.File
	raw    syscall.RawConn
	portID uint32
	recv   receiver
	alarm  *alarm // nil: the runtime's poller watches the socket itself
	peer   bool   // other end is a test's, not the kernel
	room   int    // Options.Room
	closed atomic.Bool
}

// Dial opens a socket. No goroutine is started.
func Dial(opts *Options) (*Conn, error) {
	if opts == nil {
		opts = &Options{}
	}
	fd := -1
	kind := unix.SOCK_RAW | unix.SOCK_CLOEXEC
	if !opts.Gather {
		kind |= unix.SOCK_NONBLOCK // so that the runtime's poller watches it
	}
	err := netns.Do(opts.NetNS, func() (err error) {
		fd, err = unix.Socket(unix.AF_NETLINK, kind, unix.NETLINK_NETFILTER)
		return os.NewSyscallError("socket", err)
	})
	if err != nil {
		return nil, err
	}
	// Explanations of errors and short acknowledgements: Linux 4.12 and 4.3; an
	// older kernel does without.
	unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_EXT_ACK, 1)
	unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1)
	if err := bind(fd, opts); err != nil {
		unix.Close(fd)
		return nil, err
	}
	c, err := newConn(fd)
	if err == nil && opts.Room > 0 {
		c.room = opts.Room
	}
	if err != nil || !opts.Gather {
		return c, err
	}
	if c.alarm, err = newAlarm(fd); err != nil {
		c.file.Close()
		return nil, err
	}
	return c, nil
}

func bind(fd int, opts *Options) error {
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return os.NewSyscallError("bind", err)
	}
	for _, g := range opts.Groups {
		if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, int(g)); err != nil {
			return os.NewSyscallError("bind", err)
		}
	}
	if opts.NoENOBUFS {
		if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_NO_ENOBUFS, 1); err != nil {
			return os.NewSyscallError("setsockopt NETLINK_NO_ENOBUFS", err)
		}
	}
	if opts.BroadcastError {
		if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_BROADCAST_ERROR, 1); err != nil {
			return os.NewSyscallError("setsockopt NETLINK_BROADCAST_ERROR", err)
		}
	}
	return nil
}

func newConn(fd int) (*Conn, error) {
	c := &Conn{room: Room}
	if sa, err := unix.Getsockname(fd); err == nil {
		if nl, ok := sa.(*unix.SockaddrNetlink); ok {
			c.portID = nl.Pid
		}
	}
	c.file = os.NewFile(uintptr(fd), "netlink")
	raw, err := c.file.SyscallConn()
	if err != nil {
		c.file.Close()
		return nil, err
	}
	c.raw = raw
	c.recv.attempt = c.recv.try
	c.recv.conn = c
	return c, nil
}

// FromPeer makes a Conn whose other end is not the kernel but a program, over any
// datagram socket. It is for tests: see package nfnetlinktest. The Conn owns fd,
// which must be non-blocking.
func FromPeer(fd int) (*Conn, error) {
	c, err := newConn(fd)
	if err == nil {
		c.peer = true
	}
	return c, err
}

// PortID is the socket's address: the kernel puts it on events that its requests cause.
func (c *Conn) PortID() uint32 { return c.portID }

// SyscallConn gives access to the socket, for options that have no method here.
func (c *Conn) SyscallConn() (syscall.RawConn, error) { return c.raw, nil }

// Close closes the socket and unblocks Send and Recv, which return [os.ErrClosed].
func (c *Conn) Close() error {
	c.closed.Store(true)
	if c.alarm != nil {
		// First, since whoever waits there does so without the socket.
		return errors.Join(c.alarm.file.Close(), c.file.Close())
	}
	return c.file.Close()
}

// failed names the error of a raw operation: that of a closed file is one of a package
// internal to the standard library.
func (c *Conn) failed(err error) error {
	if err != nil && c.closed.Load() {
		return os.ErrClosed
	}
	return err
}

// SetDeadline makes Recv and Send fail with [os.ErrDeadlineExceeded] from t on; the zero
// time removes the deadline.
func (c *Conn) SetDeadline(t time.Time) error {
	if c.alarm != nil {
		return c.alarm.file.SetDeadline(t)
	}
	return c.file.SetDeadline(t)
}

// Send hands messages to the kernel, which carries requests out before Send
// returns.
func (c *Conn) Send(b []byte) error {
	var errno error
	err := c.failed(c.raw.Write(func(fd uintptr) bool {
		for {
			errno = unix.Send(int(fd), b, unix.MSG_NOSIGNAL)
			if errno != unix.EINTR {
				return errno != unix.EAGAIN
			}
		}
	}))
	if err == nil && errno != nil {
		err = os.NewSyscallError("send", errno)
	}
	return err
}

// Room is the space that Recv wants for one datagram. The kernel fills dump
// datagrams up to this size if it is given so much, never more (Linux 4.4).
const Room = 32 << 10

// receiver is the state of a receive call; it lives in the Conn so that its
// method value is made once and receiving does not allocate.
type receiver struct {
	conn    *Conn
	attempt func(fd uintptr) bool
	buf     []byte
	mode    mode
	n       int
	err     error
	pending error // met behind data that was returned first
}

// mode is how a receive call goes about an empty queue.
type mode uint8

const (
	one    mode = iota // wait for one datagram
	many               // wait for one, then take what else is queued
	queued             // take what is queued, do not wait
)

// Recv reads one datagram into buf, which should have [Room], and waits for it. It
// returns [syscall.ENOBUFS], wrapped, when multicast messages were lost.
func (c *Conn) Recv(buf []byte) (n int, err error) { return c.receive(buf, one) }

// RecvMany waits for a datagram and takes as many as are queued and fit: reading
// goes on while buf has at least Room left (Options.Room). Datagrams follow each other without
// a gap, like messages in one datagram do.
func (c *Conn) RecvMany(buf []byte) (n int, err error) { return c.receive(buf, many) }

// RecvQueued is RecvMany without the wait: n is 0 if the queue is empty.
func (c *Conn) RecvQueued(buf []byte) (n int, err error) { return c.receive(buf, queued) }

func (c *Conn) receive(buf []byte, how mode) (int, error) {
	r := &c.recv
	if err := r.pending; err != nil {
		r.pending = nil
		return 0, err
	}
	r.buf, r.mode, r.n, r.err = buf, how, 0, nil
	err := c.failed(c.attempt())
	r.buf = nil
	if err == nil {
		err = r.err
	}
	if r.n > 0 && err != nil {
		// The kernel tells an error once only.
		r.pending, err = err, nil
	}
	return r.n, err
}

// attempt tries until there was something.
func (c *Conn) attempt() error {
	if c.alarm == nil {
		return c.raw.Read(c.recv.attempt)
	}
	for {
		done := false
		if err := c.raw.Control(func(fd uintptr) { done = c.recv.try(fd) }); done || err != nil {
			return err
		}
		if err := c.alarm.wait(); err != nil {
			return err
		}
	}
}

// try reads what is there; false means that there was nothing and one should wait.
func (r *receiver) try(fd uintptr) bool {
	for {
		room := r.buf[r.n:]
		if len(room) == 0 {
			r.err = fmt.Errorf("receive: %w: empty buffer", syscall.EINVAL)
			return true
		}
		var from unix.RawSockaddrNetlink
		size := uint32(unix.SizeofSockaddrNetlink)
		n, _, errno := unix.Syscall6(unix.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(&room[0])), uintptr(len(room)),
			unix.MSG_TRUNC|unix.MSG_DONTWAIT, uintptr(unsafe.Pointer(&from)), uintptr(unsafe.Pointer(&size)))
		switch {
		case errno == unix.EINTR:
			continue
		case errno == unix.EAGAIN:
			return r.n > 0 || r.mode == queued
		case errno != 0:
			r.err = os.NewSyscallError("recv", errno)
			return true
		case int(n) > len(room):
			r.err = fmt.Errorf("receive: %w: %d bytes do not fit in %d", ErrMalformed, n, len(room))
			return true
		case n == 0 && r.conn.peer:
			r.err = io.EOF
			return true
		case from.Pid != 0 && !r.conn.peer:
			continue // another process wrote to this socket; only the kernel is believed
		}
		r.n = min(r.n+align4(int(n)), len(r.buf))
		if r.mode == one || len(r.buf)-r.n < r.conn.room {
			return true
		}
	}
}

// SetGroup joins a multicast group or leaves it, also while others receive.
func (c *Conn) SetGroup(g Group, member bool) error {
	option := unix.NETLINK_DROP_MEMBERSHIP
	if member {
		option = unix.NETLINK_ADD_MEMBERSHIP
	}
	var err error
	cerr := c.raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_NETLINK, option, int(g)) })
	return errors.Join(c.failed(cerr), os.NewSyscallError("setsockopt NETLINK_ADD_MEMBERSHIP", err))
}

// SetReadBuffer sets the size of the receive queue in bytes, beyond
// net.core.rmem_max if the caller may (CAP_NET_ADMIN in the initial user
// namespace). It returns the size in force, which the kernel counts double.
func (c *Conn) SetReadBuffer(n int) (size int, err error) {
	cerr := c.raw.Control(func(fd uintptr) {
		if err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, n); err != nil {
			err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, n)
		}
		if err == nil {
			size, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF)
		}
	})
	return size, errors.Join(cerr, os.NewSyscallError("setsockopt SO_RCVBUF", err))
}

// SetWriteBuffer sets how many bytes one Send may have, like SetReadBuffer.
func (c *Conn) SetWriteBuffer(n int) error {
	var err error
	cerr := c.raw.Control(func(fd uintptr) {
		if err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, n); err != nil {
			err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF, n)
		}
	})
	return errors.Join(cerr, os.NewSyscallError("setsockopt SO_SNDBUF", err))
}

// Queue is the state of a socket's receive queue.
type Queue struct {
	Used    int    // bytes queued, as the kernel counts them
	Size    int    // bytes that may be queued
	Dropped uint32 // messages dropped since the socket was opened; wraps around
}

// Queue reads the state of the receive queue (SO_MEMINFO, Linux 4.12).
func (c *Conn) Queue() (q Queue, err error) {
	var info [9]uint32 // SK_MEMINFO_VARS
	size := uint32(unsafe.Sizeof(info))
	var errno syscall.Errno
	cerr := c.raw.Control(func(fd uintptr) {
		_, _, errno = unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_MEMINFO,
			uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	})
	if cerr != nil {
		return q, cerr
	}
	if errno != 0 {
		return q, os.NewSyscallError("getsockopt SO_MEMINFO", errno)
	}
	return Queue{
		Used:    int(info[unix.SK_MEMINFO_RMEM_ALLOC]),
		Size:    int(info[unix.SK_MEMINFO_RCVBUF]),
		Dropped: info[unix.SK_MEMINFO_DROPS],
	}, nil
}
