package agent

import (
	"bufio"
	"encoding/hex"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/config"
	"github.com/spoor-project/spoor/internal/nfnetlink"
)

// tube is two sockets, of which the kernel has one filtered as it does the event socket.
type tube struct {
	t       testing.TB
	in, out int
}

type rawSocket int

func (s rawSocket) Control(f func(uintptr)) error  { f(uintptr(s)); return nil }
func (s rawSocket) Read(func(uintptr) bool) error  { return syscall.ENOTSUP }
func (s rawSocket) Write(func(uintptr) bool) error { return syscall.ENOTSUP }
func newTube(t testing.TB) *tube {
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(ends[0]); unix.Close(ends[1]) })
	return &tube{t, ends[0], ends[1]}
}

func (u *tube) attach(prog []unix.SockFilter) {
	u.t.Helper()
	if err := attach(rawSocket(u.out), prog); err != nil {
		u.t.Fatalf("%d instructions: %v", len(prog), err)
	}
}

// passes reports whether the kernel lets a message through.
func (u *tube) passes(message []byte) bool {
	u.t.Helper()
	if err := unix.Send(u.in, message, 0); err != nil {
		u.t.Fatal(err)
	}
	b := make([]byte, len(message)+1)
	n, err := unix.Read(u.out, b)
	if err == unix.EAGAIN {
		return false
	}
	if err != nil || !slices.Equal(b[:n], message) {
		u.t.Fatalf("came through as % x, %v", b[:max(n, 0)], err)
	}
	return true
}

// saidBy is what a message says as far as filters look at it. whole is that nothing of that is missing.
func saidBy(t testing.TB, b []byte) (f flow.Flow, typ flow.EventType, about, whole bool) {
	m, _, err := nfnetlink.Next(b)
	if err != nil {
		t.Fatal(err)
	}
	if about = m.Subsystem() == subsystem; !about {
		return
	}
	if typ = flow.Update; m.Kind() == msgDelete {
		typ = flow.Destroy
	}
	var proto bool
	for a := m.Attrs(); a.Next(); {
		switch a.Type {
		case ctaTupleOrig, ctaTupleReply:
			tuple := &f.Orig
			if a.Type == ctaTupleReply {
				tuple = &f.Reply
			}
			for x := a.Nested(); x.Next(); {
				for y := x.Nested(); y.Next(); {
					switch {
					case x.Type == ctaTupleIP && (y.Type == ctaIPv4Src || y.Type == ctaIPv6Src):
						tuple.Src, _ = netip.AddrFromSlice(y.Data)
					case x.Type == ctaTupleProto && y.Type == ctaProtoNum:
						n, _ := y.Uint8()
						tuple.Proto = flow.Proto(n)
						proto = proto || a.Type == ctaTupleOrig
					}
				}
			}
		case ctaProtoinfo:
			for x := a.Nested(); x.Next(); {
				for y := x.Nested(); y.Next(); {
					if x.Type == ctaInfoTCP && y.Type == ctaTCPState {
						f.State, _ = y.Uint8()
						f.Has |= flow.HasState
					}
				}
			}
		}
	}
	return f, typ, true, proto && f.Orig.Src.IsValid() && f.Reply.Src.IsValid()
}

// wantVerdict compares what the kernel does with what the filter of user space does.
func (u *tube) wantVerdict(c *config.Filter, message []byte) {
	u.t.Helper()
	f, typ, about, whole := saidBy(u.t, message)
	got, want := u.passes(message), !about || newFilter(c).passes(&f, typ)
	if got != want && (whole || !got) {
		u.t.Errorf("%+v\n% x\n%+v %v: the kernel passes %v, user space %v", c, message, f, typ, got, want)
	}
}

var (
	filterAddrs = []string{"10.0.0.1", "10.0.0.2", "10.1.0.1", "192.0.2.1", "0.0.0.0", "255.255.255.255", "2001:db8::1", "2001:db8::2", "2001:db8:0:1::1",
		"fd00::1", "::", "::ffff:10.0.0.1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"}
	filterNets = []string{"10.0.0.1/32", "10.0.0.77/8", "10.1.0.0/16", "10.0.0.0/31", "0.0.0.0/0", "192.0.2.0/24", "2001:db8::/32", "2001:db8::/63", "2001:db8::/64",
		"2001:db8::1/128", "::/0", "::ffff:0:0/96", "fd00::/7", "2001:db8:0:1::/65", "::1/127"}
	filterProtos = []uint8{1, 6, 17, 47, 58, 132}
)

func randomFilter(r *rand.Rand) *config.Filter {
	c := &config.Filter{Kernelspace: true}
	c.Protocols.Policy, c.Addresses.Policy, c.States.Policy = config.Policy(r.IntN(3)), config.Policy(r.IntN(3)), config.Policy(r.IntN(3))
	for _, n := range filterProtos {
		if c.Protocols.Policy != config.NoPolicy && r.IntN(2) == 0 {
			c.Protocols.List = append(c.Protocols.List, config.Protocol{Number: n})
		}
	}
	for range r.IntN(5) {
		if c.Addresses.Policy != config.NoPolicy {
			c.Addresses.List = append(c.Addresses.List, netip.MustParsePrefix(filterNets[r.IntN(len(filterNets))]))
		}
	}
	for s := config.SynSent; s <= config.Listen; s++ {
		if c.States.Policy != config.NoPolicy && r.IntN(3) == 0 {
			c.States.List = append(c.States.List, s)
		}
	}
	return c
}

// randomEvent builds a message as the kernel does, now and then without something.
func randomEvent(r *rand.Rand) []byte {
	var b nfnetlink.Builder
	sometimes := func(one int) bool { return r.IntN(one) == 0 }
	proto := filterProtos[r.IntN(len(filterProtos))]
	system := nfnetlink.Subsystem(subsystem)
	if sometimes(20) {
		system = nfnetlink.ConntrackExpect
	}
	b.Begin(system, []uint8{0, msgDelete}[r.IntN(2)], 0, 0, 0, 0)
	tuple := func(t uint16) {
		at := b.Nest(t)
		if !sometimes(20) {
			ip := b.Nest(ctaTupleIP)
			src := netip.MustParseAddr(filterAddrs[r.IntN(len(filterAddrs))])
			switch {
			case sometimes(20):
			case src.Is4():
				b.Raw(ctaIPv4Src, src.AsSlice())
				b.Raw(ctaIPv4Src+1, []byte{10, 0, 0, 1})
			default:
				b.Raw(ctaIPv6Src, src.AsSlice())
				b.Raw(ctaIPv6Src+1, make([]byte, 16))
			}
			b.Close(ip)
		}
		if !sometimes(20) {
			l4 := b.Nest(ctaTupleProto)
			if !sometimes(20) {
				b.Uint8(ctaProtoNum, proto)
			}
			b.Uint16(2, uint16(r.Uint32()))
			b.Close(l4)
		}
		b.Close(at)
	}
	if !sometimes(20) {
		tuple(ctaTupleOrig)
	}
	if !sometimes(20) {
		tuple(ctaTupleReply)
	}
	b.Uint32(12, r.Uint32()) // the id
	b.Uint32(3, r.Uint32())
	if info := b.Nest(ctaProtoinfo); proto != 6 || sometimes(10) {
		at := b.Nest(3) // SCTP
		b.Uint8(1, uint8(r.IntN(10)))
		b.Close(at)
		b.Close(info)
	} else {
		at := b.Nest(ctaInfoTCP)
		if !sometimes(10) {
			b.Uint8(ctaTCPState, uint8(r.IntN(10)))
		}
		b.Uint8(2, 7)
		b.Close(at)
		b.Close(info)
	}
	b.End()
	return b.Bytes()
}

// TestTheKernelFiltersAsUserSpaceDoes: the kernel runs the programs. What is whole has the same verdict, and nothing is dropped that
// user space would pass.
func TestTheKernelFiltersAsUserSpaceDoes(t *testing.T) {
	u := newTube(t)
	dropped := 0
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 7))
		c := randomFilter(r)
		u.attach(eventProgram(c))
		for range 50 {
			m := randomEvent(r)
			u.wantVerdict(c, m)
			if !u.passes(m) {
				dropped++
			}
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	if dropped < 5000 {
		t.Errorf("only %d dropped", dropped)
	}
}

// TestTheKernelFiltersWhatItHasSaid: messages of real kernels.
func TestTheKernelFiltersWhatItHasSaid(t *testing.T) {
	file, err := os.Open("../../conntrack/testdata/messages.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var messages [][]byte
	for in := bufio.NewScanner(file); in.Scan(); {
		fields := strings.Fields(in.Text())
		if b, err := hex.DecodeString(fields[len(fields)-1]); err == nil && len(b) > 20 {
			messages = append(messages, b)
		}
	}
	if len(messages) < 20 {
		t.Fatalf("%d messages", len(messages))
	}
	u := newTube(t)
	dropped := 0
	for seed := range uint64(300) {
		c := randomFilter(rand.New(rand.NewPCG(seed, 8)))
		u.attach(eventProgram(c))
		for _, m := range messages {
			if first, _, err := nfnetlink.Next(m); err != nil || !first.Data() {
				continue
			}
			u.wantVerdict(c, m)
			if !u.passes(m) {
				dropped++
			}
		}
	}
	if dropped < 1000 {
		t.Errorf("only %d dropped", dropped)
	}
}

func TestWhatAProgramCannotSayIsLeftToUserSpace(t *testing.T) {
	u := newTube(t)
	for _, c := range []*config.Filter{nil, {}, {Kernelspace: true}, {Protocols: config.ProtocolSet{Policy: config.Accept}}} {
		if prog := eventProgram(c); len(prog) > 0 {
			t.Errorf("%+v: %d instructions", c, len(prog))
		}
		u.attach(nil)
	}
	// A list that is too long is not checked; the rest is.
	long := &config.Filter{Kernelspace: true, Protocols: config.ProtocolSet{Policy: config.Accept, List: []config.Protocol{{Number: 17}}}}
	for n := range 5000 {
		long.Addresses.Policy = config.Ignore
		long.Addresses.List = append(long.Addresses.List, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}), 32))
		if n == 300 { // still fits
			prog := eventProgram(long)
			u.attach(prog)
			if len(prog) < 900 || u.passes(event(17, "10.0.1.44")) || !u.passes(event(17, "10.0.1.45")) || u.passes(event(6, "10.0.1.45")) {
				t.Errorf("a list of %d", n)
			}
		}
	}
	u.attach(eventProgram(long))
	if !u.passes(event(17, "10.0.1.44")) || u.passes(event(6, "10.0.200.1")) {
		t.Error("a list that is too long")
	}
	// Several messages in one, garbage, and what is short.
	u.attach(eventProgram(&config.Filter{Kernelspace: true, Protocols: config.ProtocolSet{Policy: config.Accept}}))
	one := event(17, "10.0.0.1")
	if u.passes(one) {
		t.Error("a message that should not pass")
	}
	for what, b := range map[string][]byte{"two messages": append(slices.Clone(one), one...), "no tuples": nlmsg(1, nil), "garbage": []byte("0123456789abcdef0123456789abcdef")} {
		if !u.passes(b) {
			t.Errorf("%s: dropped", what)
		}
	}
}

func nlmsg(kind uint8, fill func(*nfnetlink.Builder)) []byte {
	var b nfnetlink.Builder
	b.Begin(subsystem, kind, 0, 0, 2, 0)
	if fill != nil {
		fill(&b)
	}
	b.End()
	return b.Bytes()
}

func event(proto uint8, src string) []byte {
	return nlmsg(0, func(b *nfnetlink.Builder) {
		for i, addr := range []string{src, "192.0.2.77"} {
			at := b.Nest(uint16(i + 1))
			ip := b.Nest(ctaTupleIP)
			b.Raw(ctaIPv4Src, netip.MustParseAddr(addr).AsSlice())
			b.Close(ip)
			l4 := b.Nest(ctaTupleProto)
			b.Uint8(ctaProtoNum, proto)
			b.Close(l4)
			b.Close(at)
		}
	})
}
