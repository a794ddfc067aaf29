package guard_test

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/spoor-project/spoor/flow"
)

// world makes up what happens in a network, from a seed: actors open flows, and each flow lives by a script, as recordings of real ones show
// it. Only what is in the table, and what comes next of it, is in memory.
type world struct {
	*rand.Rand
	*stage
	start  time.Time
	now    time.Duration
	queue  []due // a heap
	actors []actor
	lives  []life
	free   []int32
	live   int
	ports  map[netip.Addr]uint16 // that were used last
	max    uint32                // entries of the table
	emit   func(at time.Time, e *flow.Event)
	ev     flow.Event
	events int
}

// actor does what it does and says how long it waits until the next time; less than 0: for ever.
type actor func() time.Duration

// due is what comes next: a step of a life, or an actor.
type due struct {
	at   time.Duration
	n    int32 // number of a life, or below 0 that of an actor's complement
	step uint8
}

// life is a flow in the table.
type life struct {
	orig     flow.Tuple
	nat      netip.AddrPort // what the source is translated to; zero: nothing
	script   []step
	rtt      time.Duration
	stay     time.Duration // of what is said; 0 for scripts that say nothing
	sent     uint64        // bytes of the opener until the end
	began    time.Duration
	last     time.Duration // event
	status   flow.Status
	state    uint8
	lifetime time.Duration // without a packet, from last on
	silent   bool          // nothing is said while it stays
	id       uint32
}

// step is an event of a life and when it comes after the one before.
type step struct {
	typ    flow.EventType
	state  uint8
	status flow.Status
	rtts   int8 // halves of the round trip
	stay   bool
	fixed  time.Duration
}

const assured = flow.SeenReply | flow.Assured

// The scripts are what the recordings of real flows show.
var (
	completed = []step{ // TCP, from the handshake to both FINs
		{typ: flow.New, state: flow.TCPSynSent}, {typ: flow.Update, state: flow.TCPSynRecv, status: flow.SeenReply, rtts: 1},
		{typ: flow.Update, state: flow.TCPEstablished, status: assured, rtts: 1}, {typ: flow.Update, state: flow.TCPFinWait, status: assured, stay: true},
		{typ: flow.Update, state: flow.TCPLastAck, status: assured, rtts: 1}, {typ: flow.Update, state: flow.TCPTimeWait, status: assured, rtts: 1},
		{typ: flow.Destroy, state: flow.TCPTimeWait, status: assured, fixed: 120 * time.Second}}
	aborted = []step{
		{typ: flow.New, state: flow.TCPSynSent}, {typ: flow.Update, state: flow.TCPSynRecv, status: flow.SeenReply, rtts: 1},
		{typ: flow.Update, state: flow.TCPEstablished, status: assured, rtts: 1}, {typ: flow.Update, state: flow.TCPClose, status: assured, stay: true},
		{typ: flow.Destroy, state: flow.TCPClose, status: assured, fixed: 10 * time.Second}}
	refusedTCP = []step{ // the kernel forgets at once what is answered by a reset
		{typ: flow.New, state: flow.TCPSynSent}, {typ: flow.Destroy, state: flow.TCPClose, rtts: 2}}
	unansweredTCP = []step{
		{typ: flow.New, state: flow.TCPSynSent}, {typ: flow.Destroy, state: flow.TCPSynSent, fixed: 120 * time.Second}}
	halfOpened = []step{ // the answer goes to somebody who has not asked
		{typ: flow.New, state: flow.TCPSynSent}, {typ: flow.Update, state: flow.TCPSynRecv, status: flow.SeenReply, rtts: 1},
		{typ: flow.Destroy, state: flow.TCPSynRecv, status: flow.SeenReply, fixed: 60 * time.Second}}
	query = []step{ // UDP and ICMP: a question, an answer
		{typ: flow.New}, {typ: flow.Update, status: flow.SeenReply, rtts: 2}, {typ: flow.Destroy, status: flow.SeenReply, fixed: 30 * time.Second}}
	stream = []step{
		{typ: flow.New}, {typ: flow.Update, status: flow.SeenReply, rtts: 2}, {typ: flow.Update, status: assured, fixed: 2 * time.Second},
		{typ: flow.Destroy, status: assured, stay: true, fixed: 120 * time.Second}}
	unanswered = []step{{typ: flow.New}, {typ: flow.Destroy, fixed: 30 * time.Second}}
)

func newWorld(t testing.TB, rules string, seed uint64) *world {
	w := &world{Rand: rand.New(rand.NewPCG(seed, seed)), stage: newStage(t, rules), start: time.Date(2030, 1, 1, 8, 0, 0, 0, time.UTC), ports: make(map[netip.Addr]uint16), max: 1 << 20}
	w.emit = w.event
	w.tick = w.each
	return w
}

// run lets time pass until end, counted from the start.
func (w *world) run(end time.Duration) {
	for len(w.queue) > 0 && w.queue[0].at < end {
		d := w.queue[0]
		w.now = d.at
		if d.n < 0 {
			w.pop()
			if wait := w.actors[-d.n-1](); wait >= 0 {
				w.push(due{at: w.now + wait, n: d.n})
			}
			continue
		}
		l := &w.lives[d.n]
		w.happens(l, &l.script[d.step])
		if int(d.step)+1 == len(l.script) {
			*l = life{}
			w.free = append(w.free, d.n)
			w.live--
			w.pop()
			continue
		}
		d.step++
		d.at += l.wait(&l.script[d.step])
		w.queue[0] = d
		w.sink(0)
	}
	w.now = end
	w.until(w.start.Add(end))
}

func (l *life) wait(s *step) time.Duration {
	wait := s.fixed + time.Duration(s.rtts)*l.rtt/2
	if s.stay {
		wait += l.stay
	}
	return wait
}

func (w *world) happens(l *life, s *step) {
	l.status, l.state, l.last = s.status, s.state, w.now
	next := time.Duration(0)
	if s.typ != flow.Destroy {
		next = timeoutOf(l.orig.Proto, s)
	}
	l.lifetime = next
	w.ev.Type = s.typ
	w.fill(l, &w.ev.Flow)
	if s.typ == flow.Destroy {
		w.ev.Flow.Has |= flow.HasOrigCounters | flow.HasReplyCounters
		w.ev.Flow.OrigCounters = flow.Counters{Packets: 1 + l.sent/1000, Bytes: 60 + l.sent}
		w.ev.Flow.ReplyCounters = flow.Counters{Packets: 1, Bytes: 60}
	}
	w.events++
	w.emit(w.start.Add(w.now), &w.ev)
}

// timeoutOf is what the kernel gives a flow after an event, by its defaults.
func timeoutOf(p flow.Proto, s *step) time.Duration {
	if p != flow.TCP {
		if s.status.Has(flow.Assured) {
			return 120 * time.Second
		}
		return 30 * time.Second
	}
	switch s.state {
	case flow.TCPSynSent, flow.TCPFinWait, flow.TCPTimeWait:
		return 120 * time.Second
	case flow.TCPSynRecv:
		return 60 * time.Second
	case flow.TCPLastAck:
		return 30 * time.Second
	case flow.TCPClose:
		return 10 * time.Second
	}
	return 432000 * time.Second
}

// fill tells of a flow what events and readings have in common.
func (w *world) fill(l *life, f *flow.Flow) {
	f.Has = flow.HasReply | flow.HasStatus | flow.HasTimeout | flow.HasID
	f.Orig = l.orig
	f.Reply, _ = l.orig.Inverse()
	f.Status = l.status | flow.Confirmed
	if l.nat.IsValid() {
		f.Reply.Dst, f.Reply.DstPort = l.nat.Addr(), l.nat.Port()
		f.Status |= flow.SrcNAT | flow.SrcNATDone | flow.DstNATDone
	}
	if l.orig.Proto == flow.TCP {
		f.Has |= flow.HasState
	}
	f.State, f.Timeout, f.ID = l.state, l.lifetime.Truncate(time.Second), l.id
}

// each is what the program does once a second beside judging: it tells how full the table is, and once a minute it reads the table.
func (w *world) each(now time.Time) {
	w.engine.Level(now, uint32(w.live), w.max)
	second := int(now.Sub(w.start) / time.Second)
	if second%60 == 0 {
		w.read(now)
	}
}

// read is a reading of the table.
func (w *world) read(now time.Time) {
	w.engine.BeginReading(now)
	at := now.Sub(w.start)
	var f flow.Flow
	for i := range w.lives {
		l := &w.lives[i]
		if l.script == nil {
			continue
		}
		w.fill(l, &f)
		f.Has |= flow.HasOrigCounters
		f.OrigCounters.Bytes = l.sent
		if l.stay > 0 && l.status.Has(flow.Assured) {
			f.OrigCounters.Bytes = uint64(float64(l.sent) * min(1, float64(at-l.began)/float64(l.stay)))
		}
		if l.silent || !l.status.Has(flow.Assured) { // otherwise packets come all the time
			f.Timeout = max(0, l.lifetime-(at-l.last)).Truncate(time.Second)
		}
		w.engine.Read(&f)
	}
	w.engine.EndReading(now)
}

// open begins a flow; its zero fields are filled in.
func (w *world) open(l life) {
	if l.rtt == 0 {
		l.rtt = time.Duration(20+w.IntN(80)) * time.Millisecond
	}
	if l.orig.SrcPort == 0 && l.orig.Proto.Shape() == flow.ShapePorts {
		p := w.ports[l.orig.Src] + 1
		if p < 1024 {
			p = 1024 + uint16(w.IntN(1000))
		}
		w.ports[l.orig.Src] = p
		l.orig.SrcPort = p
	}
	if l.nat.IsValid() && l.nat.Port() == 0 {
		p := w.ports[l.nat.Addr()] + 1
		w.ports[l.nat.Addr()] = max(1024, p)
		l.nat = netip.AddrPortFrom(l.nat.Addr(), max(1024, p))
	}
	l.began, l.id = w.now, w.Uint32()
	var n int32
	if last := len(w.free) - 1; last >= 0 {
		n, w.free = w.free[last], w.free[:last]
	} else {
		n = int32(len(w.lives))
		w.lives = append(w.lives, life{})
	}
	w.lives[n] = l
	w.live++
	w.push(due{at: w.now, n: n})
}

// acts has an actor begin at a time.
func (w *world) acts(at time.Duration, a actor) {
	w.actors = append(w.actors, a)
	w.push(due{at: at, n: -int32(len(w.actors))})
}

// often has something done again and again, on average so many times a second, at random times, from begin to end.
func (w *world) often(begin, end time.Duration, rate float64, do func()) {
	if rate == 0 {
		return
	}
	wait := func() time.Duration {
		return time.Duration(-math.Log(1-w.Float64()) / rate * float64(time.Second))
	}
	w.acts(begin+wait(), func() time.Duration {
		if w.now >= end {
			return -1
		}
		do()
		return wait()
	})
}

// every has something done at regular times, from begin to end.
func (w *world) every(begin, end, interval time.Duration, do func()) {
	w.acts(begin, func() time.Duration {
		if w.now >= end {
			return -1
		}
		do()
		return interval
	})
}

func (w *world) push(d due) {
	w.queue = append(w.queue, d)
	for i := len(w.queue) - 1; i > 0; {
		parent := (i - 1) / 4
		if w.queue[parent].at <= w.queue[i].at {
			return
		}
		w.queue[parent], w.queue[i] = w.queue[i], w.queue[parent]
		i = parent
	}
}

func (w *world) pop() {
	last := len(w.queue) - 1
	w.queue[0] = w.queue[last]
	w.queue = w.queue[:last]
	w.sink(0)
}

func (w *world) sink(i int) {
	for {
		least := i
		for c := 4*i + 1; c <= 4*i+4 && c < len(w.queue); c++ {
			if w.queue[c].at < w.queue[least].at {
				least = c
			}
		}
		if least == i {
			return
		}
		w.queue[least], w.queue[i] = w.queue[i], w.queue[least]
		i = least
	}
}

// nth is the n-th address from one on.
func nth(first netip.Addr, n int) netip.Addr {
	a := first.As4()
	binary.BigEndian.PutUint32(a[:], binary.BigEndian.Uint32(a[:])+uint32(n))
	return netip.AddrFrom4(a)
}

func tcpTo(src, dst netip.Addr, port uint16) flow.Tuple {
	return flow.Tuple{Src: src, Dst: dst, DstPort: port, Proto: flow.TCP}
}

func udpTo(src, dst netip.Addr, port uint16) flow.Tuple {
	return flow.Tuple{Src: src, Dst: dst, DstPort: port, Proto: flow.UDP}
}

// echoTo is a ping.
func echoTo(src, dst netip.Addr, id uint16) flow.Tuple {
	t := flow.Tuple{Src: src, Dst: dst, Proto: flow.ICMP}
	t.SetICMP(8, 0, id)
	return t
}

// Honest people and machines, and where they go.
var (
	public   = netip.MustParseAddr("198.51.100.1")
	web      = netip.MustParseAddr("203.0.113.10")
	resolver = netip.MustParseAddr("10.0.0.53")
	balancer = netip.MustParseAddr("10.0.0.9")
	monitor  = netip.MustParseAddr("10.0.0.20")
	keeper   = netip.MustParseAddr("10.0.0.30")
	desks    = netip.MustParseAddr("10.0.1.10")
	watched  = netip.MustParseAddr("10.0.2.10")
	sites    = netip.MustParseAddr("198.18.0.0")
	peers    = netip.MustParseAddr("198.18.16.0")
	clocks   = netip.MustParseAddr("198.18.17.0")
	homes    = netip.MustParseAddr("198.18.18.0")
	vault    = netip.MustParseAddr("198.18.19.0")
	visitors = netip.MustParseAddr("100.64.0.0")
	askers   = netip.MustParseAddr("100.80.0.0")
	zones    = netip.MustParseAddr("198.18.32.0")
)

// busy is how much goes on.
type busy struct {
	clients int  // of the office
	outside bool // the office is seen from the outside, as one address
	traffic []traffic
}

// traffic is how busy the web server and the resolver are from one time to another.
type traffic struct {
	begin, end time.Duration
	web        float64 // new connections a second
	dns        float64 // questions a second
}

// honest lets a network of middle size live for some time.
func (w *world) honest(b busy, end time.Duration) {
	for i := range b.clients {
		w.client(nth(desks, i), b.outside, end)
	}
	for _, x := range b.traffic {
		w.often(x.begin, min(end, x.end), x.web, w.visit)
		w.often(x.begin, min(end, x.end), x.dns, w.ask)
	}
	w.balance(end)
	w.watch(end)
	w.acts(end/4, func() time.Duration { // a backup of 5 GB
		w.open(life{orig: tcpTo(keeper, vault, 22), nat: netip.AddrPortFrom(public, 0), script: completed, stay: end / 3, sent: 5 << 30})
		return -1
	})
}

// client is somebody in the office, which has one public address.
func (w *world) client(me netip.Addr, outside bool, end time.Duration) {
	open := func(l life) {
		if !l.orig.Dst.IsPrivate() && !l.orig.Dst.IsMulticast() {
			l.nat = netip.AddrPortFrom(public, 0)
		}
		if outside {
			if !l.nat.IsValid() {
				return // it stays inside
			}
			l.orig.Src, l.nat = public, netip.AddrPort{}
		}
		w.open(l)
	}
	w.often(0, end, 1.0/60, func() { // a page
		for range 2 + w.IntN(4) {
			open(life{orig: udpTo(me, resolver, 53), script: query, rtt: 2 * time.Millisecond})
		}
		for range 10 + w.IntN(35) {
			n := w.IntN(400)
			l := life{orig: tcpTo(me, nth(sites, n), 443), script: completed, stay: time.Duration(w.ExpFloat64() * 5e9), sent: uint64(w.ExpFloat64() * 4000)}
			switch {
			case n%50 == 7: // 8 of the 400 are away
				l.script = unansweredTCP
			case w.IntN(10) == 0:
				l.orig.Proto, l.script = flow.UDP, stream
			case w.IntN(25) == 0:
				l.script = aborted
			}
			open(l)
		}
	})
	w.every(w.some(64), end, 64*time.Second, func() { // the time
		for i := range 4 {
			open(life{orig: udpTo(me, nth(clocks, i), 123), script: query})
		}
	})
	for i, port := range []uint16{22, 993, 443} { // what stays for hours
		w.acts(w.some(60), func() time.Duration {
			open(life{orig: tcpTo(me, nth(homes, i), port), script: completed, stay: 2 * end, silent: port == 993, sent: 100000})
			return -1
		})
	}
	known := w.IntN(200)
	w.every(w.some(30), end, 45*time.Second, func() { // a chat looks for others who have left
		for i := range 3 {
			open(life{orig: udpTo(me, nth(peers, known+i), uint16(20000+97*(known+i))), script: unanswered})
		}
	})
	w.every(w.some(120), end, 2*time.Minute, func() { // what goes to groups gets no answer
		open(life{orig: udpTo(me, netip.MustParseAddr("224.0.0.251"), 5353), script: unanswered})
		open(life{orig: udpTo(me, netip.MustParseAddr("239.255.255.250"), 1900), script: unanswered})
	})
}

// visit is one of many, of which some are in vain.
func (w *world) visit() {
	l := life{orig: tcpTo(nth(visitors, w.IntN(20000)), web, 443), script: completed, rtt: time.Duration(20+w.IntN(180)) * time.Millisecond, stay: time.Duration(w.ExpFloat64() * 2e9)}
	switch n := w.IntN(100); {
	case n < 3:
		l.script = aborted
	case n < 4:
		l.script = halfOpened // the visitor has gone out of reach
	}
	w.open(l)
}

// balance has the balancer look every second whether the server is well.
func (w *world) balance(end time.Duration) {
	w.every(0, end, time.Second, func() {
		for _, port := range []uint16{80, 443, 8443} {
			w.open(life{orig: tcpTo(balancer, web, port), script: aborted, rtt: time.Millisecond, stay: time.Millisecond})
		}
	})
}

// ask is a question to the resolver. One in twelve it has to pass on, and a fiftieth of those are about zones whose servers are away.
func (w *world) ask() {
	w.open(life{orig: udpTo(nth(askers, w.IntN(4000)), resolver, 53), script: query, rtt: time.Millisecond})
	if w.IntN(12) > 0 {
		return
	}
	n := w.IntN(5000)
	l := life{orig: udpTo(resolver, nth(zones, n), 53), script: query}
	if n%50 == 0 {
		l.script = unanswered
	}
	w.open(l)
}

// watch has 200 hosts probed each minute, of which 5 are down.
func (w *world) watch(end time.Duration) {
	w.every(7*time.Second, end, time.Minute, func() {
		for i := range 200 {
			probe, look := life{orig: echoTo(monitor, nth(watched, i), uint16(w.IntN(65536))), script: query}, life{orig: tcpTo(monitor, nth(watched, i), 22), script: completed, rtt: time.Millisecond, stay: time.Millisecond}
			if i%40 == 0 {
				probe.script, look.script = unanswered, unansweredTCP
			}
			w.open(probe)
			w.open(look)
		}
	})
}

func (w *world) some(seconds int) time.Duration {
	return time.Duration(w.Int64N(int64(seconds) * int64(time.Second)))
}
