//go:build !linux

package nfnetlink

import (
	"errors"
	"os"
	"syscall"
	"time"
)

// Room is the space that Recv wants for one datagram.
const Room = 32 << 10

// Options says how a socket is opened.
type Options struct {
	NetNS          *os.File
	Groups         []Group
	NoENOBUFS      bool
	BroadcastError bool
	Gather         bool
	Room           int
}

// Conn cannot be had outside Linux.
type Conn struct{}

// Queue is the state of a socket's receive queue.
type Queue struct {
	Used, Size int
	Dropped    uint32
}

// Dial fails with [errors.ErrUnsupported].
func Dial(*Options) (*Conn, error) { return nil, errors.ErrUnsupported }

func (*Conn) PortID() uint32                        { return 0 }
func (*Conn) Close() error                          { return errors.ErrUnsupported }
func (*Conn) SetDeadline(time.Time) error           { return errors.ErrUnsupported }
func (*Conn) Send([]byte) error                     { return errors.ErrUnsupported }
func (*Conn) Recv([]byte) (int, error)              { return 0, errors.ErrUnsupported }
func (*Conn) RecvMany([]byte) (int, error)          { return 0, errors.ErrUnsupported }
func (*Conn) RecvQueued([]byte) (int, error)        { return 0, errors.ErrUnsupported }
func (*Conn) SetGroup(Group, bool) error            { return errors.ErrUnsupported }
func (*Conn) SetReadBuffer(int) (int, error)        { return 0, errors.ErrUnsupported }
func (*Conn) SetWriteBuffer(int) error              { return errors.ErrUnsupported }
func (*Conn) SyscallConn() (syscall.RawConn, error) { return nil, errors.ErrUnsupported }
func (*Conn) Queue() (Queue, error)                 { return Queue{}, errors.ErrUnsupported }
