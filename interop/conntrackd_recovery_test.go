//go:build linux

package interop_test

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/agent"
	"github.com/spoor-project/spoor/internal/nstest"
)

// bustle makes flows come, change and go on a node.
type bustle struct {
	n     *node
	lib   *conntrack.Client
	rand  *rand.Rand
	net   byte // the flows' sources are in; 0 is 20
	most  int  // flows that live at the same time; 0 is any number
	brief bool // two of three flows come and end on their own, within some seconds
	live  []conntrack.Entry
	made  int
}

func newBustle(n *node) *bustle {
	return &bustle{n: n, lib: n.lib(), rand: rand.New(rand.NewPCG(1, 2))}
}

// flows makes some of them at once.
func (b *bustle) flows(count int) {
	b.n.t.Helper()
	for range count {
		b.must(b.create())
	}
}

// go on for some steps, each of which makes, changes or removes a flow.
func (b *bustle) steps(count int) {
	b.n.t.Helper()
	for range count {
		b.must(b.step())
	}
}

func (b *bustle) step() error {
	switch i := b.rand.IntN(10); {
	case len(b.live) == 0, i < 4 && (b.most == 0 || len(b.live) < b.most):
		return b.create()
	case 4 <= i && i < 8:
		return b.update()
	}
	return b.remove()
}

func (b *bustle) create() error {
	i := b.made
	b.made++
	life, mark, status := lifetime, uint32(0), flow.SeenReply|flow.Assured
	brief := b.brief && i%3 != 0
	if brief {
		life = time.Duration(1+b.rand.IntN(4)) * time.Second
	}
	e := conntrack.Entry{
		Orig: flow.Tuple{Src: netip.AddrFrom4([4]byte{cmp.Or(b.net, 20), byte(i >> 16), byte(i >> 8), byte(i)}), Dst: netip.MustParseAddr("198.51.100.1"),
			SrcPort: 1000, DstPort: 80, Proto: flow.UDP},
		Change: conntrack.Change{Timeout: &life, Mark: &mark, Status: &status},
	}
	if i%3 == 0 {
		state := uint8(flow.TCPEstablished)
		e.Orig.Proto, e.TCP = flow.TCP, &conntrack.TCP{State: &state}
	}
	e.Reply, _ = e.Orig.Inverse()
	if err := b.lib.Create(context.Background(), &e); err != nil {
		return err
	}
	if !brief {
		b.live = append(b.live, e)
	}
	return nil
}

func (b *bustle) update() error {
	e := &b.live[b.rand.IntN(len(b.live))]
	mark := b.rand.Uint32()
	return b.lib.Update(context.Background(), e.Orig, 0, conntrack.Change{Mark: &mark})
}

func (b *bustle) remove() error {
	i := b.rand.IntN(len(b.live))
	orig := b.live[i].Orig
	b.live[i] = b.live[len(b.live)-1]
	b.live = b.live[:len(b.live)-1]
	return b.lib.Delete(context.Background(), &flow.Flow{Orig: orig})
}

func (b *bustle) must(err error) {
	b.n.t.Helper()
	if err != nil {
		b.n.t.Fatal(err)
	}
}

// inStep waits until the internal cache of a node is its kernel's table, and the external cache of its peer is the same.
func inStep(t testing.TB, what string, from, to *node) bool {
	t.Helper()
	internal := func() string { return told(from.internal()) }
	kernel := func() string {
		table, _ := from.kernelTable()
		return told(table)
	}
	return agree(t, what+": internal cache", kernel, internal) && agree(t, what+": the peer's external cache", internal, to.external)
}

// castings are who is active, and who is passive.
func castings(t *testing.T) map[string][2]tool {
	their, our := theirDaemon(t), ourDaemon(t)
	return map[string][2]tool{"ours active": {our, their}, "theirs active": {their, our}, "ours both": {our, our}}
}

// TestConntrackdRecovery lets something go wrong, after which the tables have to be equal again.
func TestConntrackdRecovery(t *testing.T) {
	t.Parallel()
	udp, tcp, notrack := setup{}, setup{channel: "TCP"}, setup{mode: "NOTRACK"}
	multicast := setup{channel: "Multicast", v6: true}
	startup, startupNotrack := setup{timers: "StartupResync on"}, setup{mode: "NOTRACK", timers: "StartupResync on"}
	for _, test := range []struct {
		name   string
		setups []setup
		run    func(t *testing.T, p *pair)
	}{
		{"bulk", []setup{udp, tcp, multicast, notrack}, func(t *testing.T, p *pair) {
			newBustle(p.a).flows(300)
			p.start()
			p.a.client("-B")
			inStep(t, "after the bulk", p.a, p.b)
			p.a.client("-B")
			inStep(t, "after another", p.a, p.b)
		}},
		{"resync request", []setup{udp, tcp, multicast, notrack}, func(t *testing.T, p *pair) {
			newBustle(p.a).flows(300)
			p.start()
			p.b.client("-n")
			inStep(t, "after the request", p.a, p.b)
		}},
		{"resync at startup", []setup{startup, startupNotrack}, func(t *testing.T, p *pair) {
			newBustle(p.a).flows(300)
			p.a.start()
			p.b.start()
			inStep(t, "after the start", p.a, p.b)
		}},
		{"passive crashes", []setup{udp, tcp}, func(t *testing.T, p *pair) {
			p.start()
			b := newBustle(p.a)
			b.steps(200)
			inStep(t, "before", p.a, p.b)
			p.b.crash()
			b.steps(200)
			p.b.start()
			b.steps(20)
			p.b.client("-n")
			inStep(t, "afterwards", p.a, p.b)
			b.steps(100)
			inStep(t, "from then on", p.a, p.b)
		}},
		{"passive is stopped", []setup{udp, tcp}, func(t *testing.T, p *pair) {
			p.start()
			b := newBustle(p.a)
			b.steps(200)
			inStep(t, "before", p.a, p.b)
			p.b.stop()
			b.steps(200)
			p.b.start()
			p.a.client("-B")
			inStep(t, "afterwards", p.a, p.b)
			b.steps(100)
			inStep(t, "from then on", p.a, p.b)
		}},
		{"active crashes", []setup{udp, tcp}, func(t *testing.T, p *pair) {
			p.start()
			b := newBustle(p.a)
			b.steps(200)
			inStep(t, "before", p.a, p.b)
			p.a.crash()
			b.steps(100)
			p.a.start()
			// What went meanwhile nobody has told of: the peer has to forget.
			p.b.client("-f", "external")
			p.b.client("-n")
			inStep(t, "afterwards", p.a, p.b)
			b.steps(100)
			inStep(t, "from then on", p.a, p.b)
		}},
		{"active is stopped", []setup{udp, tcp}, func(t *testing.T, p *pair) {
			p.start()
			b := newBustle(p.a)
			b.steps(200)
			inStep(t, "before", p.a, p.b)
			p.a.stop()
			p.a.start()
			b.steps(100)
			inStep(t, "afterwards", p.a, p.b)
		}},
		{"link down", []setup{udp, tcp}, func(t *testing.T, p *pair) {
			testPartition(t, p, func(down bool) {
				p.b.must("ip", "link", "set", "eth0", map[bool]string{true: "down", false: "up"}[down])
			})
		}},
		{"packets dropped", []setup{udp, {v6: true}, tcp}, func(t *testing.T, p *pair) {
			testPartition(t, p, dropping(p))
		}},
	} {
		for i, s := range test.setups {
			for who, tools := range castings(t) {
				if i > 0 && tools[0] == tools[1] {
					continue // the pairs that matter are mixed
				}
				t.Run(fmt.Sprintf("%s/%v/%s", test.name, s, who), func(t *testing.T) {
					t.Parallel()
					test.run(t, idlePair(t, s, tools[0], tools[1]))
				})
			}
		}
	}
}

// dropping returns what has packets between the nodes dropped, or not any more.
func dropping(p *pair) func(down bool) {
	p.b.must("nft", `table inet cut { chain in { type filter hook input priority 0; }; chain out { type filter hook output priority 0; }; }`)
	return func(down bool) {
		if !down {
			p.b.must("nft", "flush chain inet cut in; flush chain inet cut out")
			return
		}
		p.b.must("nft", "add rule inet cut in th dport 3780 drop; add rule inet cut out th dport 3780 drop")
	}
}

// TestConntrackdMendsLosses: a passive node of ours asks for what it has missed in NOTRACK, where nothing is sent twice.
func TestConntrackdMendsLosses(t *testing.T) {
	t.Parallel()
	for who, tools := range castings(t) {
		if who == "ours active" {
			continue // the passive one is the original, which does not ask
		}
		for _, s := range []setup{{mode: "NOTRACK"}, {mode: "NOTRACK", v6: true, channel: "Multicast"}} {
			t.Run(fmt.Sprintf("%v/%s", s, who), func(t *testing.T) {
				t.Parallel()
				p := idlePair(t, s, tools[0], tools[1])
				testPartition(t, p, dropping(p))
				if log := p.b.must("cat", p.b.log); !strings.Contains(log, "messages of a peer were lost") {
					t.Error(log)
				}
			})
		}
	}
}

// partition is how long nothing gets through.
func partition(t *testing.T) time.Duration {
	if soak(t) > 0 {
		return 10 * time.Second
	}
	return 4 * time.Second
}

// soak is how long the tests that can run for any time shall, as SPOOR_SOAK says; 0 is as long as is needed to see that they work.
func soak(t testing.TB) time.Duration {
	t.Helper()
	text := os.Getenv("SPOOR_SOAK")
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("SPOOR_SOAK: %v", err)
	}
	return d
}

func testPartition(t *testing.T, p *pair, cut func(bool)) {
	p.start()
	p.greeted()
	b := newBustle(p.a)
	b.steps(200)
	inStep(t, "before", p.a, p.b)
	cut(true)
	for end := time.Now().Add(partition(t)); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		b.steps(10)
	}
	before := p.b.external()
	cut(false)
	if before == told(p.a.internal()) {
		t.Error("nothing was cut")
	}
	inStep(t, "afterwards", p.a, p.b)
	b.steps(100)
	inStep(t, "from then on", p.a, p.b)
}

// start starts both nodes.
func (p *pair) start() {
	p.b.t.Helper()
	p.b.start()
	p.a.start()
}

// greeted waits until both nodes have heard several messages of the other, so that neither greets any more: a greeting that comes
// late makes the original forget what it has not been acknowledged yet.
func (p *pair) greeted() {
	p.a.t.Helper()
	heard := func(n *node) int {
		m := packetsReceived.FindStringSubmatch(n.ask(agent.StatNetwork))
		if m == nil {
			return 0
		}
		count, _ := strconv.Atoi(m[1])
		return count
	}
	a, b := heard(p.a), heard(p.b)
	nstest.Wait(p.a.t, "greetings", func() bool { return heard(p.a) >= a+3 && heard(p.b) >= b+3 })
}

var packetsReceived = regexp.MustCompile(`(\d+) Pckts recv`)

// relay carries datagrams between two nodes as a bad line does.
type relay struct {
	near, far   net.PacketConn
	a, b        net.Addr
	rand        *rand.Rand
	bad         atomic.Bool
	loss, late  float64
	passed, cut atomic.Int64
	work        sync.WaitGroup
}

// newRelayedPair makes two nodes with a relay in a third namespace in between. Each takes the relay for its peer.
func newRelayedPair(t testing.TB, s setup, a, b tool) (*pair, *relay) {
	t.Helper()
	r := nstest.NewRouted(t)
	s.channels = `UDP Default {
		IPv4_address 10.%[1]d.0.2
		IPv4_Destination_Address 10.%[1]d.0.1
		Port 3780
		Interface eth0
	}
	`
	p := &pair{newNode(t, "a", r.Client, a), newNode(t, "b", r.Server, b)}
	p.a.configure(s, 1, 2)
	p.b.configure(s, 2, 1)
	y := &relay{rand: rand.New(rand.NewPCG(3, 4)), loss: 0.05, late: 0.1,
		a: &net.UDPAddr{IP: net.IPv4(10, 1, 0, 2), Port: 3780}, b: &net.UDPAddr{IP: net.IPv4(10, 2, 0, 2), Port: 3780}}
	r.Router.Do(func() {
		var err error
		if y.near, err = net.ListenPacket("udp", "10.1.0.1:3780"); err != nil {
			t.Fatal(err)
		}
		if y.far, err = net.ListenPacket("udp", "10.2.0.1:3780"); err != nil {
			t.Fatal(err)
		}
	})
	var mu sync.Mutex
	random := func() float64 {
		mu.Lock()
		defer mu.Unlock()
		return y.rand.Float64()
	}
	y.work.Go(func() { y.carry(y.near, y.far, y.b, random) })
	y.work.Go(func() { y.carry(y.far, y.near, y.a, random) })
	t.Cleanup(func() {
		y.near.Close()
		y.far.Close()
		y.work.Wait()
	})
	return p, y
}

func (y *relay) carry(from, by net.PacketConn, to net.Addr, random func() float64) {
	buf := make([]byte, 64<<10)
	for {
		n, _, err := from.ReadFrom(buf)
		if err != nil {
			if strings.Contains(err.Error(), "refused") {
				continue
			}
			return
		}
		if !y.bad.Load() {
			by.WriteTo(buf[:n], to)
			continue
		}
		if random() < y.loss {
			y.cut.Add(1)
			continue
		}
		y.passed.Add(1)
		packet := append([]byte(nil), buf[:n]...)
		send := func() { by.WriteTo(packet, to) }
		if random() < y.late {
			time.AfterFunc(time.Duration(random()*float64(30*time.Millisecond)), send)
			if random() < 0.5 {
				continue // late; otherwise twice
			}
		}
		send()
	}
}

// TestConntrackdBadLine loses one datagram in twenty, and delays or repeats one in ten. Traffic control would do so too, but
// not every kernel has netem.
func TestConntrackdBadLine(t *testing.T) {
	t.Parallel()
	for who, tools := range castings(t) {
		t.Run(who, func(t *testing.T) {
			t.Parallel()
			p, line := newRelayedPair(t, setup{}, tools[0], tools[1])
			p.start()
			p.greeted()
			b := newBustle(p.a)
			b.steps(200)
			inStep(t, "before", p.a, p.b)
			line.bad.Store(true)
			end := time.Now().Add(max(4*time.Second, soak(t)))
			for time.Now().Before(end) {
				for range 40 {
					b.steps(5)
					time.Sleep(50 * time.Millisecond)
				}
				line.bad.Store(false)
				if !inStep(t, "after some time", p.a, p.b) {
					return
				}
				line.bad.Store(true)
			}
			line.bad.Store(false)
			b.steps(100)
			inStep(t, "in the end", p.a, p.b)
			if line.cut.Load() == 0 {
				t.Errorf("the line was good: %d datagrams passed", line.passed.Load())
			}
		})
	}
}

// TestConntrackdReunion: flows that end while the active node's daemon is away are forgotten by our passive one, without being told to.
func TestConntrackdReunion(t *testing.T) {
	t.Parallel()
	for who, tools := range castings(t) {
		if who == "ours active" {
			continue // theirs keeps them
		}
		for _, s := range []setup{{}, {channel: "TCP"}} {
			t.Run(fmt.Sprintf("%v/%s", s, who), func(t *testing.T) {
				t.Parallel()
				p := idlePair(t, s, tools[0], tools[1])
				p.start()
				b := newBustle(p.a)
				b.flows(300)
				inStep(t, "before", p.a, p.b)
				p.a.crash()
				for range 100 {
					b.must(b.remove())
				}
				p.a.start()
				internal := func() string { return told(p.a.internal()) }
				settlesWithin(t, time.Minute, "afterwards: the peer's external cache", internal, p.b.external)
				b.steps(50)
				inStep(t, "from then on", p.a, p.b)
			})
		}
	}
}

// TestConntrackdHearsNothing: the kernel tells nothing of flows that were made while nobody listened. Their changes and their ends
// are found out all the same.
func TestConntrackdHearsNothing(t *testing.T) {
	t.Parallel()
	our := ourDaemon(t)
	for _, s := range []setup{{}, {mode: "NOTRACK"}} {
		t.Run(fmt.Sprint(s), func(t *testing.T) {
			t.Parallel()
			p := idlePair(t, s, our, our)
			// As it is made while nobody listens; but somebody may in the namespace of another test.
			p.a.ns.Sysctl("net/netfilter/nf_conntrack_events", "0")
			b := newBustle(p.a)
			b.flows(60)
			p.a.ns.Sysctl("net/netfilter/nf_conntrack_events", "2")
			p.start()
			p.a.client("-B")
			inStep(t, "at first", p.a, p.b)
			for range 20 {
				b.must(b.remove())
			}
			b.must(b.update())
			b.flows(5)
			inStep(t, "afterwards", p.a, p.b)
		})
	}
}
