//go:build linux

package nstest

import (
	"net"
	"strconv"
	"sync/atomic"
	"testing"
)

// End is one end of a cable: a device in a namespace and its addresses, each with prefix length.
type End struct {
	NS    *NS
	Dev   string
	Addrs []string
}

// lastIndex numbers the ends of cables; the kernel numbers interfaces from 1 up, so they begin at 100.
var lastIndex atomic.Int32

// Link joins two namespaces by a pair of veth devices and brings both up. IPv6 addresses are usable at once, without duplicate
// address detection, as is the cable: packets sent after Link arrive.
func Link(t testing.TB, a, b End) {
	t.Helper()
	NeedTool(t, "ip")
	// Duplicate address detection would keep even the link-local address from being used for a second or two.
	for _, end := range []End{a, b} {
		end.NS.Sysctl("net/ipv6/conf/default/accept_dad", "0")
	}
	// The kernel is quick to announce the carrier of a device whose peer has another index, and otherwise takes up to a second
	// (linkwatch_urgent_event). In two fresh namespaces both ends would get the same one.
	next := func() string { return strconv.Itoa(100 + int(lastIndex.Add(1))) }
	a.NS.MustRun(t, "ip", "link", "add", a.Dev, "index", next(), "type", "veth",
		"peer", "name", b.Dev, "index", next(), "netns", b.NS.Path())
	for _, end := range []End{a, b} {
		for _, addr := range end.Addrs {
			end.NS.MustRun(t, "ip", "address", "add", addr, "dev", end.Dev)
		}
		end.NS.MustRun(t, "ip", "link", "set", end.Dev, "up")
	}
	// Packets sent before are dropped, and asking for a neighbour again takes a second.
	for _, end := range []End{a, b} {
		Wait(t, "carrier of "+end.Dev, func() bool { return running(end) })
	}
}

func running(end End) bool {
	var dev *net.Interface
	var err error
	end.NS.Do(func() { dev, err = net.InterfaceByName(end.Dev) })
	return err == nil && dev.Flags&net.FlagRunning != 0
}

// Pair makes two namespaces joined by a cable, each with its loopback up. In both the device is "eth0"; a has 10.0.0.1/24 and
// fd00::1/64, b has 10.0.0.2/24 and fd00::2/64.
func Pair(t testing.TB) (a, b *NS) {
	t.Helper()
	a, b = New(t), New(t)
	a.LoopbackUp()
	b.LoopbackUp()
	Link(t,
		End{NS: a, Dev: "eth0", Addrs: []string{"10.0.0.1/24", "fd00::1/64"}},
		End{NS: b, Dev: "eth0", Addrs: []string{"10.0.0.2/24", "fd00::2/64"}})
	return a, b
}

// Routed is three namespaces in a row; what the client and the server say to each other passes through the router.
//
//	Client eth0 ── eth0 Router eth1 ── eth0 Server
//	10.1.0.2       10.1.0.1  10.2.0.1      10.2.0.2
//	fd01::2        fd01::1   fd02::1       fd02::2
type Routed struct {
	Client, Router, Server *NS
}

// NewRouted makes the three namespaces, with forwarding on and a default route at either end.
func NewRouted(t testing.TB) Routed {
	t.Helper()
	r := Routed{Client: New(t), Router: New(t), Server: New(t)}
	for _, ns := range []*NS{r.Client, r.Router, r.Server} {
		ns.LoopbackUp()
	}
	Link(t,
		End{NS: r.Client, Dev: "eth0", Addrs: []string{"10.1.0.2/24", "fd01::2/64"}},
		End{NS: r.Router, Dev: "eth0", Addrs: []string{"10.1.0.1/24", "fd01::1/64"}})
	Link(t,
		End{NS: r.Router, Dev: "eth1", Addrs: []string{"10.2.0.1/24", "fd02::1/64"}},
		End{NS: r.Server, Dev: "eth0", Addrs: []string{"10.2.0.2/24", "fd02::2/64"}})
	r.Router.Sysctl("net/ipv4/ip_forward", "1")
	r.Router.Sysctl("net/ipv6/conf/all/forwarding", "1")
	r.Client.MustRun(t, "ip", "route", "add", "default", "via", "10.1.0.1")
	r.Client.MustRun(t, "ip", "-6", "route", "add", "default", "via", "fd01::1")
	r.Server.MustRun(t, "ip", "route", "add", "default", "via", "10.2.0.1")
	r.Server.MustRun(t, "ip", "-6", "route", "add", "default", "via", "fd02::1")
	return r
}
