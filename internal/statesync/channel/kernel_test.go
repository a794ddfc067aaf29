//go:build linux

package channel_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spoor-project/spoor/internal/nstest"
	"github.com/spoor-project/spoor/internal/statesync/channel"
	"github.com/spoor-project/spoor/internal/statesync/channel/channeltest"
)

func TestMain(m *testing.M) { os.Exit(nstest.Main(m)) }

// link is two nodes with a cable between them; nodes[0] has the addresses 10.0.0.1 and
// fd00::1, nodes[1] those with 2.
type link struct {
	nodes [2]*nstest.NS
	files [2]*os.File // their namespaces
	local [2]netip.Addr
	port  *atomic.Uint32 // last one used
}

func newLink(t testing.TB) *link {
	t.Helper()
	l := &link{port: new(atomic.Uint32)}
	l.port.Store(3780)
	l.nodes[0], l.nodes[1] = nstest.Pair(t)
	for i, ns := range l.nodes {
		l.files[i] = namespace(t, ns)
		l.local[i] = linkLocal(t, ns, "eth0")
	}
	return l
}

// linkLocal is the device's link-local address.
func linkLocal(t testing.TB, ns *nstest.NS, device string) (found netip.Addr) {
	t.Helper()
	ns.Do(func() {
		dev, err := net.InterfaceByName(device)
		if err != nil {
			t.Fatal(err)
		}
		addrs, err := dev.Addrs()
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range addrs {
			if addr := netip.MustParsePrefix(a.String()).Addr(); addr.IsLinkLocalUnicast() {
				found = addr
			}
		}
	})
	if !found.IsValid() {
		t.Fatalf("%s has no link-local address", device)
	}
	return found
}

func namespace(t testing.TB, ns *nstest.NS) *os.File {
	t.Helper()
	file, err := os.Open(ns.Path())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return file
}

// options are those of one side of a channel over a kind of address: "4", "6", and
// "link-local".
func (l *link) options(kind channel.Kind, over string, side int) *channel.Options {
	o := &channel.Options{Kind: kind, Port: uint16(l.port.Load()), Interface: "eth0", NetNS: l.files[side], Split: channeltest.Split}
	addr := func(side int) netip.Addr {
		switch over {
		case "4":
			return netip.MustParseAddr(fmt.Sprintf("10.0.0.%d", side+1))
		case "6":
			return netip.MustParseAddr(fmt.Sprintf("fd00::%d", side+1))
		}
		return l.local[side]
	}
	switch {
	case kind != channel.Multicast:
		o.Local, o.Remote = addr(side), addr(1-side)
	case over == "4":
		o.Local, o.Remote = addr(side), netip.MustParseAddr("225.0.0.50")
	case over == "6":
		o.Remote = netip.MustParseAddr("ff05::50")
	default:
		o.Remote = netip.MustParseAddr("ff02::50")
	}
	return o
}

func open(t testing.TB, o *channel.Options) *channel.Channel {
	t.Helper()
	var c *channel.Channel
	var err error
	// A child that another test is just starting may have the port's last owner open.
	wait(t, "a free port", func() bool {
		c, err = channel.Open(o)
		return !errors.Is(err, unix.EADDRINUSE)
	})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// forAll runs a test for every kind over every kind of address, in parallel.
func forAll(t *testing.T, test func(t *testing.T, l *link, kind channel.Kind, over string)) {
	for _, kind := range []channel.Kind{channel.UDP, channel.Multicast, channel.TCP} {
		for _, over := range []string{"4", "6", "link-local"} {
			t.Run(fmt.Sprintf("%v-%s", kind, over), func(t *testing.T) {
				t.Parallel()
				test(t, newLink(t), kind, over)
			})
		}
	}
}

func TestTransportsConform(t *testing.T) {
	t.Parallel()
	forAll(t, func(t *testing.T, l *link, kind channel.Kind, over string) {
		if kind == channel.TCP && over == "link-local" {
			t.Skip("like over 6, and slow; TestTCPReachesLinkLocalPeers")
		}
		channeltest.Run(t, func(t *testing.T) channeltest.Setup {
			l.port.Add(1) // what is left of the last test's connections is elsewhere
			return channeltest.Setup{
				Open:   func(side int) channeltest.Transport { return open(t, l.options(kind, over, side)) },
				Inject: func(side int, b []byte) { l.inject(t, l.options(kind, over, side), b) },
			}
		})
	})
}

// inject sends bytes to the side with these options, from a socket of the other node that
// belongs to no channel.
func (l *link) inject(t *testing.T, to *channel.Options, b []byte) {
	t.Helper()
	node := l.nodes[0]
	if to.NetNS == l.files[0] {
		node = l.nodes[1]
	}
	network, addr := "udp", to.Local
	switch to.Kind {
	case channel.Multicast:
		addr = to.Remote
	case channel.TCP:
		network = "tcp"
	}
	var index int
	node.Do(func() {
		if dev, err := net.InterfaceByName("eth0"); err == nil {
			index = dev.Index
		}
	})
	if addr.Is6() {
		// The name would be looked up in a cache that all namespaces share.
		addr = addr.WithZone(strconv.Itoa(index))
	}
	dialer := net.Dialer{Timeout: 10 * time.Second, Control: func(_, _ string, raw syscall.RawConn) (err error) {
		raw.Control(func(fd uintptr) {
			switch {
			case to.Kind != channel.Multicast:
			case addr.Is4():
				err = unix.SetsockoptIPMreqn(int(fd), unix.IPPROTO_IP, unix.IP_MULTICAST_IF, &unix.IPMreqn{Ifindex: int32(index)})
			default:
				err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_IF, index)
			}
		})
		return err
	}}
	var conn net.Conn
	var err error
	node.Do(func() { conn, err = dialer.Dial(network, netip.AddrPortFrom(addr, to.Port).String()) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := conn.Write(b); err != nil {
		t.Fatal(err)
	}
}

// receiver hands out what a channel receives, until it is closed.
func receiver(t *testing.T, c *channel.Channel) <-chan []byte {
	heard := make(chan []byte, 10000)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for b := new(channel.Batch); c.Receive(b) == nil; {
			for _, d := range b.Datagrams {
				heard <- append([]byte(nil), d...)
			}
		}
	}()
	t.Cleanup(func() {
		c.Close()
		<-done
	})
	return heard
}

func wait(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited too long for: %s", what)
		}
	}
}

func next(t *testing.T, heard <-chan []byte) []byte {
	t.Helper()
	select {
	case b := <-heard:
		return b
	case <-time.After(20 * time.Second):
		t.Fatal("nothing was received")
		return nil
	}
}

func nothing(t *testing.T, heard <-chan []byte) {
	t.Helper()
	select {
	case b := <-heard:
		t.Fatalf("received %d bytes, want nothing", len(b))
	case <-time.After(100 * time.Millisecond):
	}
}

func TestOpenTellsTheCause(t *testing.T) {
	t.Parallel()
	l := newLink(t)
	type options = channel.Options
	for _, tt := range []struct {
		name  string
		kind  channel.Kind
		over  string
		spoil func(*options)
		want  syscall.Errno
	}{
		{"no kind", channel.UDP, "4", func(o *options) { o.Kind = 0 }, unix.EINVAL},
		{"unknown kind", channel.UDP, "4", func(o *options) { o.Kind = 200 }, unix.EINVAL},
		{"no device", channel.UDP, "4", func(o *options) { o.Interface = "" }, unix.ENOENT},
		{"unknown device", channel.UDP, "4", func(o *options) { o.Interface = "eth7" }, unix.ENODEV},
		{"device with a long name", channel.UDP, "4", func(o *options) { o.Interface = "0123456789abcdefg" }, unix.ENODEV},
		{"UDP address of somebody else", channel.UDP, "4", func(o *options) { o.Local = o.Remote }, unix.EADDRNOTAVAIL},
		{"UDP address of somebody else, IPv6", channel.UDP, "6", func(o *options) { o.Local = o.Remote }, unix.EADDRNOTAVAIL},
		{"TCP address of somebody else", channel.TCP, "4", func(o *options) { o.Local = o.Remote }, unix.EADDRNOTAVAIL},
		{"TCP address of somebody else, IPv6", channel.TCP, "6", func(o *options) { o.Local = o.Remote }, unix.EADDRNOTAVAIL},
		{"two families", channel.UDP, "4", func(o *options) { o.Remote = netip.MustParseAddr("fd00::2") }, unix.EAFNOSUPPORT},
		{"TCP peer nowhere", channel.TCP, "4", func(o *options) { o.Remote = netip.MustParseAddr("192.0.2.1") }, unix.ENETUNREACH},
		{"TCP peer nowhere, IPv6", channel.TCP, "6", func(o *options) { o.Remote = netip.MustParseAddr("2001:db8::1") }, unix.ENETUNREACH},
		{"no group", channel.Multicast, "4", func(o *options) { o.Remote = netip.Addr{} }, unix.EINVAL},
		{"group that is none", channel.Multicast, "4", func(o *options) { o.Remote = netip.MustParseAddr("10.0.0.2") }, unix.EINVAL},
		{"group on the address of somebody else", channel.Multicast, "4", func(o *options) { o.Local = netip.MustParseAddr("10.0.0.2") }, unix.ENODEV},
	} {
		o := l.options(tt.kind, tt.over, 0)
		tt.spoil(o)
		c, err := channel.Open(o)
		if err == nil {
			c.Close()
		}
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, err, tt.want)
		}
	}
	if _, err := channel.Open(nil); !errors.Is(err, unix.EINVAL) {
		t.Errorf("no options: %v", err)
	}
}

func TestZeroAddressesAreTheHosts(t *testing.T) {
	t.Parallel()
	l := newLink(t)
	for _, kind := range []channel.Kind{channel.UDP, channel.TCP} {
		c := open(t, &channel.Options{Kind: kind, Interface: "eth0", Port: 3780, NetNS: l.files[0]})
		heard := receiver(t, c)
		if err := c.Send([]byte("to myself")); err != nil {
			t.Fatal(err)
		}
		if got := next(t, heard); string(got) != "to myself" {
			t.Errorf("%v: got %q", kind, got)
		}
	}
}

// The address of the device is not told: the group is joined where Interface says.
func TestMulticastWithoutLocalAddressUsesTheDevice(t *testing.T) {
	t.Parallel()
	l := newLink(t)
	var heard [2]<-chan []byte
	var ends [2]*channel.Channel
	for side := range ends {
		o := l.options(channel.Multicast, "4", side)
		o.Local = netip.Addr{}
		ends[side] = open(t, o)
		heard[side] = receiver(t, ends[side])
	}
	if err := ends[0].Send([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if got := next(t, heard[1]); string(got) != "hello" {
		t.Errorf("got %q", got)
	}
	nothing(t, heard[0])
}

// Two channels of a node with the same group and port, on different devices, are two.
func TestMulticastIsHeardOnItsOwnDeviceAlone(t *testing.T) {
	t.Parallel()
	for _, over := range []string{"4", "6", "link-local"} {
		l := newLink(t)
		nstest.Link(t, nstest.End{NS: l.nodes[0], Dev: "eth1", Addrs: []string{"10.0.1.1/24"}},
			nstest.End{NS: l.nodes[1], Dev: "eth1", Addrs: []string{"10.0.1.2/24"}})
		var heard []<-chan []byte
		for _, dev := range []string{"eth0", "eth1"} {
			o := l.options(channel.Multicast, over, 1)
			o.Interface, o.Local = dev, netip.Addr{}
			heard = append(heard, receiver(t, open(t, o)))
		}
		if err := open(t, l.options(channel.Multicast, over, 0)).Send([]byte("eth0")); err != nil {
			t.Fatal(err)
		}
		if got := next(t, heard[0]); string(got) != "eth0" {
			t.Errorf("%s: got %q", over, got)
		}
		nothing(t, heard[1])
	}
}

// Both devices lead to addresses of the same prefix, and the routes do not tell which.
func TestLinkLocalPeersAreReachedThroughTheDevice(t *testing.T) {
	t.Parallel()
	l := twoCables(t)
	for _, kind := range []channel.Kind{channel.UDP, channel.TCP} {
		for _, device := range []string{"eth0", "eth1"} {
			l.port.Add(1)
			l.local = [2]netip.Addr{linkLocal(t, l.nodes[0], device), linkLocal(t, l.nodes[1], device)}
			var ends [2]*channel.Channel
			for side := range ends {
				o := l.options(kind, "link-local", side)
				o.Interface = device
				ends[side] = open(t, o)
			}
			heard := receiver(t, ends[1])
			if err := ends[0].Send(channeltest.Message(50, 1)); err != nil {
				t.Fatalf("%v over %s: %v", kind, device, err)
			}
			next(t, heard)
		}
	}
}

// sniffer hears the packets of one protocol that come to nodes[1]. It gives the next one, until the
// following call; the test fails when none comes for 20 seconds.
func (l *link) sniffer(t *testing.T, protocol uint16) (sniff func() (packet []byte)) {
	t.Helper()
	var fd int
	l.nodes[1].Do(func() {
		var err error
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, int(protocol<<8|protocol>>8)); err != nil {
			t.Fatal(err)
		}
	})
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 20}); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 2000)
	return func() []byte {
		t.Helper()
		for {
			n, _, err := unix.Recvfrom(fd, buf, 0)
			// With a time limit the kernel does not go on by itself after a signal,
			// and the runtime sends itself some.
			if err == unix.EINTR {
				continue
			}
			if err != nil {
				t.Fatalf("no packet came: %v", err)
			}
			return buf[:n]
		}
	}
}

// sniffed is the packet in which nodes[1] gets a datagram that a channel sends.
func (l *link) sniffed(t *testing.T, o *channel.Options) (packet []byte) {
	t.Helper()
	protocol := uint16(unix.ETH_P_IP)
	if o.Remote.Is6() {
		protocol = unix.ETH_P_IPV6
	}
	sniff := l.sniffer(t, protocol)
	const words = "mark my words"
	if err := open(t, o).Send([]byte(words)); err != nil {
		t.Fatal(err)
	}
	for {
		if packet := sniff(); bytes.HasSuffix(packet, []byte(words)) {
			return packet
		}
	}
}

func TestPacketsLookAsTheyShould(t *testing.T) {
	t.Parallel()
	l := newLink(t)
	const header4, header6 = 20, 40
	for _, tt := range []struct {
		kind       channel.Kind
		over       string
		noChecksum bool
		ttl        byte
	}{
		{channel.UDP, "4", false, 64}, {channel.UDP, "4", true, 64}, {channel.UDP, "6", true, 64},
		{channel.Multicast, "4", false, 1}, {channel.Multicast, "4", true, 1}, {channel.Multicast, "6", true, 1},
	} {
		o := l.options(tt.kind, tt.over, 0)
		o.NoChecksum = tt.noChecksum
		p := l.sniffed(t, o)
		header, ttl := header4, p[8]
		if o.Remote.Is6() {
			header, ttl = header6, p[7]
		}
		udp := p[header:]
		if ttl != tt.ttl {
			t.Errorf("%v over %s: TTL %d, want %d", tt.kind, tt.over, ttl, tt.ttl)
		}
		if source, to := uint16(udp[0])<<8|uint16(udp[1]), uint16(udp[2])<<8|uint16(udp[3]); source == o.Port || to != o.Port {
			t.Errorf("%v over %s: from port %d to %d, want another one and %d", tt.kind, tt.over, source, to, o.Port)
		}
		if zero, want := udp[6] == 0 && udp[7] == 0, tt.noChecksum && tt.over == "4"; zero != want {
			t.Errorf("%v over %s, no checksum %t: it is %x", tt.kind, tt.over, tt.noChecksum, udp[6:8])
		}
	}
}

func TestBuffersHaveTheSizeAskedFor(t *testing.T) {
	t.Parallel()
	forAll(t, func(t *testing.T, l *link, kind channel.Kind, over string) {
		peer := open(t, l.options(kind, over, 1))
		o := l.options(kind, over, 0)
		o.SendBuffer, o.ReceiveBuffer = 10<<20, 9<<20 // more than net.core's limits
		c := open(t, o)
		receive, rerr := c.Option(true, unix.SOL_SOCKET, unix.SO_RCVBUF)
		send, serr := c.Option(false, unix.SOL_SOCKET, unix.SO_SNDBUF)
		if rerr != nil || serr != nil || send != 2*o.SendBuffer || receive != 2*o.ReceiveBuffer {
			t.Errorf("got %d, %d, %v, %v, want double of %d, %d", send, receive, serr, rerr, o.SendBuffer, o.ReceiveBuffer)
		}
		peer.Close()
	})
}

func TestRoomIsWhatFitsIntoOnePacket(t *testing.T) {
	t.Parallel()
	l := newLink(t)
	for _, tt := range []struct {
		kind channel.Kind
		over string
		want int
	}{
		{channel.UDP, "4", 1472}, {channel.UDP, "6", 1452}, {channel.Multicast, "4", 1472}, {channel.Multicast, "6", 1452},
		{channel.TCP, "4", 1460}, {channel.TCP, "6", 1460},
	} {
		c := open(t, l.options(tt.kind, tt.over, 0))
		if got := c.Room(); got != tt.want {
			t.Errorf("%v over %s: got %d, want %d", tt.kind, tt.over, got, tt.want)
		}
		for mtu, want := range map[int]int{9000: tt.want + 7500, 576: tt.want - 924, 10: 0, 1 << 20: 65507} {
			if c.SetMTU(mtu); c.Room() != want {
				t.Errorf("%v over %s, MTU %d: got %d, want %d", tt.kind, tt.over, mtu, c.Room(), want)
			}
		}
	}
	o := l.options(channel.UDP, "4", 0)
	o.Interface = "lo"
	if got := open(t, o).Room(); got != 65507 {
		t.Errorf("loopback: got %d, want the largest datagram", got)
	}
}

// A datagram of that size is one packet, one byte more makes two.
func TestRoomAvoidsFragments(t *testing.T) {
	t.Parallel()
	l := newLink(t)
	for over, counter := range map[string]string{"4": "IpFragCreates", "6": "Ip6FragCreates"} {
		c := open(t, l.options(channel.UDP, over, 0))
		for extra, want := range []string{"0", "2"} {
			if err := c.Send(make([]byte, c.Room()+extra)); err != nil {
				t.Fatal(err)
			}
			if got := l.counter(t, counter); got != want {
				t.Errorf("over %s, %d bytes more than there is room: %s is %s, want %s", over, extra, counter, got, want)
			}
		}
	}
}

// counter reads one of the kernel's counters in nodes[0].
func (l *link) counter(t *testing.T, name string) string {
	t.Helper()
	protocol, key := "snmp6", name
	if name, ok := strings.CutPrefix(name, "Ip6"); !ok {
		protocol, key = "snmp", strings.TrimPrefix(name, "Ip")
	}
	var text []byte
	var err error
	l.nodes[0].Do(func() { text, err = os.ReadFile("/proc/thread-self/net/" + protocol) })
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		switch {
		case protocol == "snmp6" && f[0] == key:
			return f[1]
		case protocol == "snmp" && f[0] == "Ip:" && names == nil:
			names = f
		case protocol == "snmp" && f[0] == "Ip:":
			return f[slices.Index(names, key)]
		}
	}
	t.Fatalf("no counter %s", name)
	return ""
}

// noLeaks fails the test if, in the end, there are more goroutines or open files than at
// its beginning. Not for parallel tests.
func noLeaks(t *testing.T) {
	t.Helper()
	goroutines, files := runtime.NumGoroutine(), openFiles(t)
	t.Cleanup(func() {
		for end := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > goroutines || openFiles(t) > files; {
			if time.Now().After(end) {
				stacks := make([]byte, 1<<16)
				t.Fatalf("%d goroutines, %d open files, want %d and %d\n%s", runtime.NumGoroutine(), openFiles(t),
					goroutines, files, stacks[:runtime.Stack(stacks, true)])
			}
			time.Sleep(time.Millisecond)
		}
	})
}

func openFiles(t *testing.T) int {
	t.Helper()
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}

func TestNothingIsLeftBehind(t *testing.T) {
	l := newLink(t)
	open(t, l.options(channel.UDP, "4", 0)).Close() // the runtime's poller opens files once
	for _, kind := range []channel.Kind{channel.UDP, channel.Multicast, channel.TCP} {
		t.Run(kind.String(), func(t *testing.T) {
			noLeaks(t)
			for range 20 {
				a, b := open(t, l.options(kind, "4", 0)), open(t, l.options(kind, "4", 1))
				for _, c := range []*channel.Channel{a, b} {
					receiver(t, c)
					c.Send(channeltest.Message(100, 1))
				}
				a.Close()
				b.Send(channeltest.Message(100, 1))
				b.Close()
				// Neither do attempts that fail halfway.
				bad := l.options(kind, "4", 0)
				bad.Local = netip.MustParseAddr("10.0.0.9")
				if _, err := channel.Open(bad); err == nil {
					t.Fatal("a wrong address is accepted")
				}
			}
		})
	}
	t.Run("TCP peer nowhere", func(t *testing.T) {
		noLeaks(t)
		o := l.options(channel.TCP, "4", 0)
		o.Remote = netip.MustParseAddr("192.0.2.1")
		for range 5 {
			if _, err := channel.Open(o); err == nil {
				t.Fatal("no error")
			}
		}
	})
	t.Run("links", func(t *testing.T) {
		noLeaks(t)
		for range 5 {
			links, err := channel.OpenLinks(l.files[0])
			if err != nil {
				t.Fatal(err)
			}
			links.Close()
		}
	})
}

func TestSendingAndReceivingAllocateNothing(t *testing.T) {
	l := newLink(t)
	a, b := open(t, l.options(channel.UDP, "4", 0)), open(t, l.options(channel.UDP, "4", 1))
	batch, list := new(channel.Batch), [][]byte{make([]byte, 1000), make([]byte, 1000)}
	got := 0
	allocs := testing.AllocsPerRun(100, func() {
		if err := a.Send(list...); err != nil {
			t.Fatal(err)
		}
		if err := b.Receive(batch); err != nil {
			t.Fatal(err)
		}
		got += len(batch.Datagrams)
	})
	if allocs != 0 || got == 0 {
		t.Errorf("%v allocations for %d datagrams", allocs, got)
	}
}

// The neighbour's address is asked for, for some seconds, and until then what is sent lies
// in our buffer.
func TestFullBufferIsWaitedForOnce(t *testing.T) {
	t.Parallel()
	l := newLink(t)
	o := l.options(channel.UDP, "4", 0)
	o.Remote, o.SendBuffer = netip.MustParseAddr("10.0.0.77"), 5000
	c := open(t, o)
	const total = 100
	var batch [][]byte
	for range total {
		batch = append(batch, make([]byte, 1000))
	}
	began := time.Now()
	if err := c.Send(batch...); !errors.Is(err, unix.EAGAIN) {
		t.Errorf("got %v, want %v", err, unix.EAGAIN)
	}
	// Waiting for each would take twice as long.
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	s := c.Stats()
	if s.SentPackets == 0 || s.SendErrors == 0 || s.SentPackets+s.SendErrors != total {
		t.Errorf("%+v, want some of both", s)
	}
	wait(t, "room in the buffer", func() bool { return c.Send(batch[0]) == nil })
}

// BenchmarkUDP sends datagrams of 1400 bytes through a virtual cable, and receives them.
func BenchmarkUDP(b *testing.B) {
	for _, size := range []int{1, 8, 32} {
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			l := newLink(b)
			o := l.options(channel.UDP, "4", 1)
			o.ReceiveBuffer = 32 << 20
			out, in := open(b, l.options(channel.UDP, "4", 0)), open(b, o)
			list := make([][]byte, size)
			for i := range list {
				list[i] = make([]byte, 1400)
			}
			batch := new(channel.Batch)
			b.ReportAllocs()
			b.SetBytes(1400)
			for n := 0; n < b.N; n += size {
				if err := out.Send(list...); err != nil {
					b.Fatal(err)
				}
				for got := 0; got < size; got += len(batch.Datagrams) {
					if err := in.Receive(batch); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
