//go:build linux

package channel

import (
	"errors"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// datagrams carries a UDP or multicast channel.
type datagrams struct {
	count     *counters
	in, out   *socket
	received  vector
	sent      vector
	impatient bool // the device was full for too long, and nothing was sent since
}

func openDatagrams(s *site, count *counters) (carrier, error) {
	in, err := s.openReceiver()
	if err != nil {
		return nil, err
	}
	out, err := s.openSender()
	if err != nil {
		in.close()
		return nil, err
	}
	d := &datagrams{count: count, in: in, out: out}
	d.received.init(unix.SYS_RECVMMSG, nil)
	d.sent.init(unix.SYS_SENDMMSG, s.rawSockaddr(s.remote))
	return d, nil
}

func (s *site) openReceiver() (*socket, error) {
	fd, err := s.socket(unix.SOCK_DGRAM)
	if err != nil {
		return nil, err
	}
	own := s.local
	if err = s.receiveOptions(fd); err == nil && s.Kind == Multicast {
		own, err = s.remote, s.join(fd)
	}
	if err == nil {
		err = os.NewSyscallError("bind", unix.Bind(fd, s.sockaddr(own)))
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return newSocket(fd, "receive socket")
}

// join makes the socket a member of the group, and one that hears nothing but what comes
// in on its own device: another channel may use the same group and port on another.
func (s *site) join(fd int) error {
	if s.family == unix.AF_INET {
		if err := setOptions(fd, option{unix.IPPROTO_IP, unix.IP_MULTICAST_ALL, 0, "IP_MULTICAST_ALL"}); err != nil {
			return err
		}
		where := s.device4()
		where.Multiaddr = s.remote.As4()
		return os.NewSyscallError("setsockopt IP_ADD_MEMBERSHIP",
			unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_ADD_MEMBERSHIP, where))
	}
	// IPV6_MULTICAST_ALL does not look at the device (inet6_mc_check). Before Linux 5.7
	// this needs a privilege, and a node with one channel does well without.
	unix.BindToDevice(fd, s.Interface)
	return os.NewSyscallError("setsockopt IPV6_JOIN_GROUP", unix.SetsockoptIPv6Mreq(fd, unix.IPPROTO_IPV6,
		unix.IPV6_JOIN_GROUP, &unix.IPv6Mreq{Multiaddr: s.remote.As16(), Interface: uint32(s.index)}))
}

// device4 names the device of an IPv4 multicast channel: that with the local address,
// otherwise the channel's.
func (s *site) device4() *unix.IPMreqn {
	if s.local.IsUnspecified() {
		return &unix.IPMreqn{Ifindex: int32(s.index)}
	}
	return &unix.IPMreqn{Address: s.local.As4()}
}

// openSender opens a socket that is not bound, so that the kernel chooses a port and
// routes choose the source address, and not connected, so that an absent peer's ICMP
// messages cause no errors.
func (s *site) openSender() (*socket, error) {
	fd, err := s.socket(unix.SOCK_DGRAM)
	if err != nil {
		return nil, err
	}
	err = s.sendOptions(fd)
	if err == nil && s.NoChecksum && s.family == unix.AF_INET {
		err = setOptions(fd, option{unix.SOL_SOCKET, unix.SO_NO_CHECK, 1, "SO_NO_CHECK"})
	}
	if err == nil && s.Kind == Multicast {
		err = s.aim(fd)
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return newSocket(fd, "send socket")
}

// aim directs multicast to the device, no farther than its link, and not back to us.
func (s *site) aim(fd int) error {
	if s.family == unix.AF_INET6 {
		return setOptions(fd,
			option{unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_IF, s.index, "IPV6_MULTICAST_IF"},
			option{unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_LOOP, 0, "IPV6_MULTICAST_LOOP"},
			option{unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, 1, "IPV6_MULTICAST_HOPS"})
	}
	if err := unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_IF, s.device4()); err != nil {
		return os.NewSyscallError("setsockopt IP_MULTICAST_IF", err)
	}
	return setOptions(fd,
		option{unix.IPPROTO_IP, unix.IP_MULTICAST_LOOP, 0, "IP_MULTICAST_LOOP"},
		option{unix.IPPROTO_IP, unix.IP_MULTICAST_TTL, 1, "IP_MULTICAST_TTL"})
}

func (d *datagrams) close() error { return errors.Join(d.in.close(), d.out.close()) }

func (d *datagrams) stats(*Stats) {}

func (d *datagrams) receive(b *Batch) error {
	v := &d.received
	for i := range batchSize {
		v.place(i, b.buffer(i))
	}
	v.want, v.wait, v.done, v.errno = batchSize, true, 0, 0
	b.Datagrams = b.Datagrams[:0]
	if err := d.in.read(v.attempt); err != nil {
		return err
	}
	if v.errno != 0 {
		d.count.receivedErrors.Add(1)
		return os.NewSyscallError("recvmmsg", v.errno)
	}
	total := 0
	for i := range v.done {
		n := int(v.headers[i].Len)
		b.Datagrams = append(b.Datagrams, b.buffer(i)[:n:n])
		total += n
	}
	d.count.received(v.done, total)
	return nil
}

func (d *datagrams) send(list [][]byte) (first error) {
	for len(list) > 0 {
		n, err := d.transmit(list[:min(len(list), batchSize)])
		total := 0
		for _, b := range list[:n] {
			total += len(b)
		}
		d.count.sent(n, total)
		list = list[n:]
		if err == nil {
			continue
		}
		if errors.Is(err, os.ErrClosed) {
			return err
		}
		d.count.sendErrors.Add(1)
		list = list[1:] // the one that was refused
		if first == nil {
			first = err
		}
	}
	return first
}

// transmit sends the first n of the list; an error is that of the next one.
func (d *datagrams) transmit(list [][]byte) (n int, err error) {
	v := &d.sent
	for i, b := range list {
		v.place(i, b)
	}
	v.want, v.wait, v.done, v.errno = len(list), false, 0, 0
	err = d.out.write(v.attempt)
	if err == nil && v.errno == unix.EAGAIN && !d.impatient {
		v.wait = true
		d.out.file.SetWriteDeadline(time.Now().Add(patience))
		err = d.out.write(v.attempt)
		d.out.file.SetWriteDeadline(time.Time{})
	}
	d.impatient = v.errno == unix.EAGAIN
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = nil // EAGAIN tells it
	}
	if err == nil && v.errno != 0 {
		err = os.NewSyscallError("sendmmsg", v.errno)
	}
	return v.done, err
}

// vector is what sendmmsg(2) and recvmmsg(2) work on, and their result. It lives in its
// carrier, so that a call allocates nothing.
type vector struct {
	call    uintptr // number of the system call
	headers [batchSize]unix.Mmsghdr
	pieces  [batchSize]unix.Iovec // one for each header
	want    int                   // how many of the headers take part
	wait    bool                  // EAGAIN is waited out

	done    int // how many were carried
	errno   unix.Errno
	attempt func(fd uintptr) bool // try, bound once
}

// init is for sending to that address; to receive, it is nil.
func (v *vector) init(call uintptr, name []byte) {
	v.call = call
	v.attempt = v.try
	for i := range v.headers {
		h := &v.headers[i].Hdr
		h.Iov = &v.pieces[i]
		h.SetIovlen(1)
		h.Name, h.Namelen = unsafe.SliceData(name), uint32(len(name))
	}
}

func (v *vector) place(i int, b []byte) {
	v.pieces[i].Base = unsafe.SliceData(b)
	v.pieces[i].SetLen(len(b))
}

// try carries what can be carried; false means that one should wait. The kernel reports
// an error only if it is the first datagram's.
func (v *vector) try(fd uintptr) bool {
	for {
		n, _, errno := unix.Syscall6(v.call, fd, uintptr(unsafe.Pointer(&v.headers)), uintptr(v.want),
			unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
		if errno == unix.EINTR {
			continue
		}
		v.done, v.errno = int(n), errno
		if errno != 0 {
			v.done = 0
		}
		return errno != unix.EAGAIN || !v.wait
	}
}
