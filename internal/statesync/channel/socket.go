//go:build linux

package channel

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spoor-project/spoor/internal/netns"
)

// patience is how long sending waits for a full device, and Close for a full peer.
const patience = 100 * time.Millisecond

// site is where a channel is opened: its options, and what the kernel says about them.
type site struct {
	Options
	family        int        // AF_INET or AF_INET6
	local, remote netip.Addr // both of this family
	index         int        // of the device
	mtu           int        // bytes
}

func (o *Options) resolve() (*site, error) {
	if o == nil {
		o = &Options{}
	}
	s := &site{Options: *o, family: unix.AF_INET, local: o.Local.WithZone(""), remote: o.Remote.WithZone("")}
	switch {
	case !o.Kind.known():
		return nil, fmt.Errorf("kind of channel: %w", unix.EINVAL)
	case o.Interface == "":
		return nil, fmt.Errorf("channel without device: %w", unix.ENOENT)
	case s.local.IsValid() && s.remote.IsValid() && s.local.Is4() != s.remote.Is4():
		return nil, fmt.Errorf("channel from %s to %s: %w", s.local, s.remote, unix.EAFNOSUPPORT)
	case o.Kind == Multicast && !s.remote.IsMulticast():
		return nil, fmt.Errorf("multicast group %s: %w", s.remote, unix.EINVAL)
	}
	unspecified := netip.IPv4Unspecified()
	if s.local.Is6() || s.remote.Is6() {
		s.family, unspecified = unix.AF_INET6, netip.IPv6Unspecified()
	}
	if !s.local.IsValid() {
		s.local = unspecified
	}
	if !s.remote.IsValid() {
		s.remote = unspecified
	}
	return s, s.readDevice()
}

// readDevice asks any socket, because a socket knows its namespace.
func (s *site) readDevice() error {
	fd, err := s.socket(unix.SOCK_DGRAM)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	get := func(request uint) int {
		req, e := unix.NewIfreq(s.Interface)
		if e != nil {
			e = unix.ENODEV // the name is too long for one
		} else {
			e = unix.IoctlIfreq(fd, request, req)
		}
		if e != nil {
			err = fmt.Errorf("device %s: %w", s.Interface, e)
			return 0
		}
		return int(req.Uint32())
	}
	s.index, s.mtu = get(unix.SIOCGIFINDEX), get(unix.SIOCGIFMTU)
	return err
}

// socket makes a non-blocking socket of the family in the namespace.
func (s *site) socket(kind int) (fd int, err error) {
	err = netns.Do(s.NetNS, func() (err error) {
		fd, err = unix.Socket(s.family, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		return os.NewSyscallError("socket", err)
	})
	return fd, err
}

// sockaddr is the address with the channel's port, and over IPv6 with its device.
func (s *site) sockaddr(a netip.Addr) unix.Sockaddr {
	if s.family == unix.AF_INET {
		return &unix.SockaddrInet4{Port: int(s.Port), Addr: a.As4()}
	}
	return &unix.SockaddrInet6{Port: int(s.Port), ZoneId: uint32(s.index), Addr: a.As16()}
}

// rawSockaddr is the same as the kernel reads it: struct sockaddr_in or sockaddr_in6.
func (s *site) rawSockaddr(a netip.Addr) []byte {
	b := binary.NativeEndian.AppendUint16(nil, uint16(s.family))
	b = binary.BigEndian.AppendUint16(b, s.Port)
	if s.family == unix.AF_INET {
		return append(append(b, a.AsSlice()...), make([]byte, 8)...)
	}
	b = append(b, 0, 0, 0, 0) // flow label
	b = append(b, a.AsSlice()...)
	return binary.NativeEndian.AppendUint32(b, uint32(s.index))
}

// option is a socket option that is a number.
type option struct {
	level, number, value int
	name                 string
}

func setOptions(fd int, options ...option) error {
	for _, o := range options {
		if err := unix.SetsockoptInt(fd, o.level, o.number, o.value); err != nil {
			return os.NewSyscallError("setsockopt "+o.name, err)
		}
	}
	return nil
}

// setBuffer sizes a socket's buffer, beyond the system's limit if the caller may; zero
// leaves it.
func setBuffer(fd, force, ordinary, size int) error {
	if size == 0 {
		return nil
	}
	err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, force, size)
	if err == unix.EPERM {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, ordinary, size)
	}
	return os.NewSyscallError("setsockopt buffer size", err)
}

// sendOptions and receiveOptions are what all kinds have in common.
func (s *site) sendOptions(fd int) error {
	return setBuffer(fd, unix.SO_SNDBUFFORCE, unix.SO_SNDBUF, s.SendBuffer)
}

func (s *site) receiveOptions(fd int) error {
	if err := setOptions(fd, option{unix.SOL_SOCKET, unix.SO_REUSEADDR, 1, "SO_REUSEADDR"}); err != nil {
		return err
	}
	return setBuffer(fd, unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, s.ReceiveBuffer)
}

// socket is a non-blocking socket for which the runtime waits.
type socket struct {
	file   *os.File
	raw    syscall.RawConn
	closed atomic.Bool
}

// newSocket takes over fd, also when it fails.
func newSocket(fd int, name string) (*socket, error) {
	s := &socket{file: os.NewFile(uintptr(fd), name)}
	var err error
	if s.raw, err = s.file.SyscallConn(); err != nil {
		s.file.Close()
		return nil, err
	}
	return s, nil
}

func (s *socket) close() error {
	s.closed.Store(true)
	return s.file.Close()
}

// read and write run attempt until it returns true; in between they wait.
func (s *socket) read(attempt func(fd uintptr) bool) error  { return s.named(s.raw.Read(attempt)) }
func (s *socket) write(attempt func(fd uintptr) bool) error { return s.named(s.raw.Write(attempt)) }

// named names the error of a closed file, which is one of a package internal to the
// standard library.
func (s *socket) named(err error) error {
	if err != nil && s.closed.Load() {
		return os.ErrClosed
	}
	return err
}
