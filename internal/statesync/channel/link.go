//go:build linux

package channel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/spoor-project/spoor/internal/netns"
)

// Link is what the kernel says about a network device.
type Link struct {
	Index int // never used again in a namespace before the kernel has counted round
	Name  string
	State LinkState
	MTU   int // bytes

	gone bool // it was removed, or has another name now
}

// Links follows the state of all network devices of a namespace, through rtnetlink(7).
// Next is for one goroutine, the other methods are for any.
type Links struct {
	sock    *socket
	port    uint32
	seq     uint32
	buf     []byte
	pending []Link // for Next

	mu    sync.Mutex
	links map[int]Link // by index
}

// OpenLinks reads the state of the devices and begins to follow it. A nil namespace file
// is the namespace of the calling thread; it is not needed any more afterwards.
func OpenLinks(ns *os.File) (*Links, error) {
	l := &Links{buf: make([]byte, 1<<16), links: map[int]Link{}}
	err := netns.Do(ns, func() (err error) {
		l.sock, l.port, err = openRoute()
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := l.readAll(); err != nil {
		l.Close()
		return nil, err
	}
	l.pending = nil
	return l, nil
}

func openRoute() (*socket, uint32, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, 0, os.NewSyscallError("socket", err)
	}
	own, err := unix.Sockaddr(nil), unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: unix.RTMGRP_LINK})
	if err == nil {
		own, err = unix.Getsockname(fd)
	}
	if err != nil {
		unix.Close(fd)
		return nil, 0, os.NewSyscallError("bind", err)
	}
	sock, err := newSocket(fd, "rtnetlink")
	return sock, own.(*unix.SockaddrNetlink).Pid, err
}

// Close unblocks Next, which returns [os.ErrClosed].
func (l *Links) Close() error { return l.sock.close() }

// Get returns the device of that name; there is none if the index is 0.
func (l *Links) Get(name string) Link {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, link := range l.links {
		if link.Name == name {
			return link
		}
	}
	return Link{}
}

// Next waits for the kernel to tell something about a device, and returns what the device
// is like now; it need not have changed. One that was removed is down and has no MTU.
// When news were lost all devices are returned, one by one.
//
// An error other than [os.ErrClosed] will come again.
func (l *Links) Next() (Link, error) {
	for len(l.pending) == 0 {
		messages, err := l.read()
		if errors.Is(err, unix.ENOBUFS) {
			err = l.readAll()
		}
		if err != nil {
			return Link{}, err
		}
		for i := range messages {
			if link, ok := parseLink(&messages[i]); ok {
				if old := l.links[link.Index]; old.Name != "" && old.Name != link.Name {
					l.pending = append(l.pending, old.removed())
				}
				l.note(link)
				l.pending = append(l.pending, link)
			}
		}
	}
	link := l.pending[0]
	l.pending = l.pending[1:]
	return link, nil
}

// note remembers what a message says. Only Next's goroutine writes, so that it reads
// without lock.
func (l *Links) note(link Link) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if link.gone {
		delete(l.links, link.Index)
	} else {
		l.links[link.Index] = link
	}
}

func (l Link) removed() Link { return Link{Index: l.Index, Name: l.Name, gone: true} }

// read waits for a datagram. The error is ENOBUFS if messages were lost.
func (l *Links) read() ([]syscall.NetlinkMessage, error) {
	var n int
	var from unix.RawSockaddrNetlink
	var errno syscall.Errno
	err := l.sock.read(func(fd uintptr) bool {
		size := uint32(unix.SizeofSockaddrNetlink)
		var got uintptr
		got, _, errno = unix.Syscall6(unix.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(&l.buf[0])), uintptr(len(l.buf)),
			unix.MSG_DONTWAIT|unix.MSG_TRUNC, uintptr(unsafe.Pointer(&from)), uintptr(unsafe.Pointer(&size)))
		n = int(got)
		return errno != unix.EAGAIN && errno != unix.EINTR
	})
	switch {
	case err != nil:
		return nil, err
	case errno != 0:
		return nil, os.NewSyscallError("recv", errno)
	case from.Pid != 0:
		return nil, nil // another process wrote to this socket; only the kernel is believed
	case n > len(l.buf):
		// A device with very many virtual functions; the dump will say it again.
		l.buf = make([]byte, 2*n)
		return nil, unix.ENOBUFS
	}
	messages, err := syscall.ParseNetlinkMessage(l.buf[:n])
	if err != nil {
		return nil, fmt.Errorf("read links: %w", err)
	}
	return messages, nil
}

// readAll asks for all devices, and leaves what there is to say about them in pending.
func (l *Links) readAll() error {
	old := l.links
	for again := true; again; {
		l.mu.Lock()
		l.links = map[int]Link{}
		l.mu.Unlock()
		var err error
		if again, err = l.dump(); err != nil {
			return err
		}
	}
	// What is gone comes first: its name may be that of another device by now.
	l.pending = nil
	for index, link := range old {
		if l.links[index].Name != link.Name {
			l.pending = append(l.pending, link.removed())
		}
	}
	for _, link := range l.links {
		l.pending = append(l.pending, link)
	}
	return nil
}

// dump says true if it must be done again because something was changed or lost.
func (l *Links) dump() (again bool, err error) {
	l.seq++
	request := make([]byte, unix.SizeofNlMsghdr+unix.SizeofIfInfomsg)
	binary.NativeEndian.PutUint32(request, uint32(len(request)))
	binary.NativeEndian.PutUint16(request[4:], unix.RTM_GETLINK)
	binary.NativeEndian.PutUint16(request[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	binary.NativeEndian.PutUint32(request[8:], l.seq)
	var errno error
	err = l.sock.write(func(fd uintptr) bool {
		errno = unix.Send(int(fd), request, unix.MSG_NOSIGNAL)
		return errno != unix.EAGAIN && errno != unix.EINTR
	})
	if err == nil {
		err = os.NewSyscallError("send", errno)
	}
	if err != nil {
		return false, err
	}
	for {
		messages, err := l.read()
		if errors.Is(err, unix.ENOBUFS) {
			again = true
			continue
		}
		if err != nil {
			return false, err
		}
		for i := range messages {
			m := &messages[i]
			answer := m.Header.Pid == l.port && m.Header.Seq == l.seq
			switch {
			case answer && m.Header.Flags&unix.NLM_F_DUMP_INTR != 0:
				again = true
			case answer && m.Header.Type == unix.NLMSG_ERROR:
				return false, fmt.Errorf("read links: %w", messageError(m))
			}
			if answer && m.Header.Type == unix.NLMSG_DONE {
				return again, nil
			}
			if link, ok := parseLink(m); ok {
				l.note(link)
			}
		}
	}
}

// messageError is what an NLMSG_ERROR tells.
func messageError(m *syscall.NetlinkMessage) error {
	if len(m.Data) < 4 {
		return unix.EBADMSG
	}
	return unix.Errno(-int32(binary.NativeEndian.Uint32(m.Data)))
}

// parseLink reads what a message says about a device, if it says anything. The bytes of
// a struct ifinfomsg: family, 1 unused, type (2), index (4), flags (4), change (4).
func parseLink(m *syscall.NetlinkMessage) (l Link, ok bool) {
	l.gone = m.Header.Type == unix.RTM_DELLINK
	if m.Header.Type != unix.RTM_NEWLINK && !l.gone || len(m.Data) < unix.SizeofIfInfomsg {
		return l, false
	}
	// A bridge tells about its ports in messages of its own family: that a port was removed
	// from it looks like the end of the device.
	if m.Data[0] != unix.AF_UNSPEC {
		return l, false
	}
	l.Index = int(int32(binary.NativeEndian.Uint32(m.Data[4:])))
	// Not syscall.ParseNetlinkRouteAttr, which panics when the last one is not padded.
	for b := m.Data[unix.SizeofIfInfomsg:]; len(b) >= unix.SizeofRtAttr; {
		n := int(binary.NativeEndian.Uint16(b))
		if n < unix.SizeofRtAttr || n > len(b) {
			return l, false
		}
		value := b[unix.SizeofRtAttr:n]
		switch typ := binary.NativeEndian.Uint16(b[2:]); {
		case typ == unix.IFLA_IFNAME:
			l.Name = unix.ByteSliceToString(value)
		case typ == unix.IFLA_MTU && len(value) >= 4 && !l.gone:
			l.MTU = int(binary.NativeEndian.Uint32(value))
		}
		b = b[min((n+3)&^3, len(b)):]
	}
	if !l.gone {
		l.State = linkState(binary.NativeEndian.Uint32(m.Data[8:]))
	}
	return l, l.Name != ""
}

// linkState reads the flags of a device, netdevice(7).
func linkState(flags uint32) LinkState {
	switch {
	case flags&unix.IFF_UP == 0:
		return Down
	case flags&unix.IFF_RUNNING == 0:
		return NoCarrier
	default:
		return Running
	}
}
