package duty

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spoor-project/spoor/internal/guard"
	"github.com/spoor-project/spoor/internal/netns"
	"github.com/spoor-project/spoor/internal/session"
)

// Observer finds this machine's addresses, the gateways of its routes and who is logged in. It is for one goroutine, which is not the one that
// judges: a router with a million routes takes its time.
type Observer struct {
	netns string
	last  guard.Facts
	due   time.Time
}

// NewObserver returns an observer of the network namespace that the file netns is; "" is the caller's own.
func NewObserver(netns string) *Observer { return &Observer{netns: netns} }

// restFactor bounds the observer's share of a processor to one in so many.
const restFactor = 100

// Facts are the addresses as they are now: the machine's own with the broadcast addresses of its networks, the next hops of all routes in all tables, and the
// addresses that people are logged in from, see [session.Peers]. What could not be found out, as the error tells, is as it was the last time. To be
// called every few seconds; if finding out took long, the next calls return what is known.
func (o *Observer) Facts() (guard.Facts, error) {
	start := time.Now()
	if start.Before(o.due) {
		return o.last, nil
	}
	own, gateways := make(map[netip.Addr]struct{}), make(map[netip.Addr]struct{})
	err := netns.DoAt(o.netns, func() error {
		err1 := addOwn(own)
		if err1 != nil && o.last.Own != nil {
			own = o.last.Own
		}
		err2 := addNextHops(gateways)
		if err2 != nil {
			maps.Copy(gateways, o.last.Gateways)
		}
		return errors.Join(err1, err2)
	})
	if err != nil && len(own) == 0 {
		own = o.last.Own // not even the namespace was there
	}
	if err != nil && len(gateways) == 0 {
		gateways = o.last.Gateways
	}
	o.last = guard.Facts{Own: own, Gateways: gateways, Session: session.Peers()}
	o.due = time.Now().Add(restFactor * time.Since(start))
	return o.last, err
}

// addOwn adds the addresses of all devices.
func addOwn(to map[netip.Addr]struct{}) error {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return fmt.Errorf("own addresses: %w", err)
	}
	for _, a := range addresses {
		n, ok := a.(*net.IPNet)
		if !ok {
			continue
		}
		own, ok := netip.AddrFromSlice(n.IP)
		if !ok {
			continue
		}
		own = own.Unmap()
		to[own] = struct{}{}
		if ones, bits := n.Mask.Size(); own.Is4() && bits == 32 && ones < 31 {
			raw := own.As4()
			host := binary.BigEndian.Uint32(raw[:]) | (1<<(32-ones) - 1)
			binary.BigEndian.PutUint32(raw[:], host)
			to[netip.AddrFrom4(raw)] = struct{}{}
		}
	}
	return nil
}

// addNextHops adds the next hops of all routes. It reads the kernel's list piece by piece, as there may be a million routes by a few hops.
func addNextHops(to map[netip.Addr]struct{}) error {
	fail := func(err error) error { return fmt.Errorf("gateways: %w", err) }
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return fail(os.NewSyscallError("socket", err))
	}
	defer unix.Close(fd)
	patience := unix.Timeval{Sec: 5}
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &patience); err != nil {
		return fail(os.NewSyscallError("setsockopt", err))
	}
	const length = unix.SizeofNlMsghdr + unix.SizeofRtMsg
	request := make([]byte, length)
	binary.NativeEndian.PutUint32(request, length)
	binary.NativeEndian.PutUint16(request[4:], unix.RTM_GETROUTE)
	binary.NativeEndian.PutUint16(request[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	if err := unix.Sendto(fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fail(os.NewSyscallError("sendto", err))
	}
	for buffer := make([]byte, 64<<10); ; {
		n, _, err := unix.Recvfrom(fd, buffer, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fail(os.NewSyscallError("recvfrom", err))
		}
		done, err := routeMessages(buffer[:n], to)
		if err != nil {
			return fail(err)
		}
		if done {
			return nil
		}
	}
}

var errCutOff = errors.New("a message of the kernel is cut off")

// routeMessages takes the next hops out of a datagram of routing messages (rtnetlink(7)), and reports whether it was the last.
func routeMessages(b []byte, to map[netip.Addr]struct{}) (done bool, err error) {
	for len(b) > 0 {
		if len(b) < unix.SizeofNlMsghdr {
			return false, errCutOff
		}
		length, kind := int(binary.NativeEndian.Uint32(b)), binary.NativeEndian.Uint16(b[4:])
		if length < unix.SizeofNlMsghdr || length > len(b) {
			return false, errCutOff
		}
		body := b[unix.SizeofNlMsghdr:length]
		switch kind {
		case unix.NLMSG_DONE:
			return true, nil
		case unix.NLMSG_ERROR:
			if len(body) < 4 {
				return false, errCutOff
			}
			if code := int32(binary.NativeEndian.Uint32(body)); code != 0 {
				return false, unix.Errno(-code)
			}
		case unix.RTM_NEWROUTE:
			if len(body) < unix.SizeofRtMsg {
				return false, errCutOff
			}
			if err := nextHops(body[unix.SizeofRtMsg:], to); err != nil {
				return false, err
			}
		}
		b = b[min(align4(length), len(b)):]
	}
	return false, nil
}

func align4(n int) int { return (n + 3) &^ 3 }

// nextHops takes them out of a route's attributes.
func nextHops(b []byte, to map[netip.Addr]struct{}) error {
	add := func(raw []byte) {
		if a, ok := netip.AddrFromSlice(raw); ok && !a.IsUnspecified() {
			to[a.Unmap()] = struct{}{}
		}
	}
	for len(b) >= unix.SizeofRtAttr {
		length, kind := int(binary.NativeEndian.Uint16(b)), binary.NativeEndian.Uint16(b[2:])
		if length < unix.SizeofRtAttr || length > len(b) {
			return errCutOff
		}
		switch value := b[unix.SizeofRtAttr:length]; kind &^ unix.NLA_F_NESTED {
		case unix.RTA_GATEWAY:
			add(value)
		case unix.RTA_VIA: // a next hop of the other family
			if len(value) > 2 {
				add(value[2:])
			}
		case unix.RTA_MULTIPATH:
			for len(value) >= unix.SizeofRtNexthop {
				n := int(binary.NativeEndian.Uint16(value))
				if n < unix.SizeofRtNexthop || n > len(value) {
					return errCutOff
				}
				if err := nextHops(value[unix.SizeofRtNexthop:n], to); err != nil {
					return err
				}
				value = value[min(align4(n), len(value)):]
			}
		}
		b = b[min(align4(length), len(b)):]
	}
	return nil
}
