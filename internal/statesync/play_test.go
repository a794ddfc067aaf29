package statesync

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/mirror"
	"github.com/spoor-project/spoor/internal/statesync/wire"
)

// A play is two nodes and the line between them, in a time of its own.
type play struct {
	t     *testing.T
	now   Moment
	rand  *rand.Rand
	nodes [2]*actor
	// What the line does to datagrams.
	loss, reorder, duplicate float64
	cut                      bool
	passed                   int // datagrams that arrived
}

// actor is a node with the kernel's table that it stands before.
type actor struct {
	*Engine
	opts   Options
	kernel map[flow.Tuple]flow.Flow
	inbox  [][]byte
	log    []string
}

func newPlay(t *testing.T, o Options) *play {
	p := &play{t: t, rand: rand.New(rand.NewPCG(1, uint64(o.Mode)))}
	for i := range p.nodes {
		o.FirstSeq = uint32(1000 * (i + 1))
		o.Random = rand.New(rand.NewPCG(uint64(i), 9))
		p.nodes[i] = &actor{Engine: New(o), opts: o, kernel: make(map[flow.Tuple]flow.Flow)}
	}
	return p
}

// pass lets time pass, in steps of 20 ms.
func (p *play) pass(d time.Duration) {
	for end := p.now + Moment(d); p.now < end; {
		p.now += Moment(20 * time.Millisecond)
		for i, a := range p.nodes {
			inbox := a.inbox
			a.inbox = nil
			for _, b := range inbox {
				a.Datagram(p.now, b)
			}
			a.Run(p.now)
			out := a.Take()
			for _, l := range out.Log {
				a.log = append(a.log, l.Text)
			}
			for _, op := range out.Kernel {
				a.inject(&op)
			}
			for b := range out.Datagrams {
				p.carry(p.nodes[1-i], b)
			}
			a.Done()
		}
	}
}

func (p *play) carry(to *actor, b []byte) {
	if len(b) > 1472 {
		p.t.Errorf("a datagram of %d bytes", len(b))
	}
	if p.cut || p.rand.Float64() < p.loss {
		return
	}
	p.passed++
	b = slices.Clone(b)
	to.inbox = append(to.inbox, b)
	if p.rand.Float64() < p.duplicate {
		to.inbox = append(to.inbox, b)
	}
	if n := len(to.inbox); n > 1 && p.rand.Float64() < p.reorder {
		to.inbox[n-1], to.inbox[n-2] = to.inbox[n-2], to.inbox[n-1]
	}
}

func (a *actor) inject(op *Operation) {
	if op.Type == wire.CTDelete {
		delete(a.kernel, op.Flow.Orig)
	} else {
		a.kernel[op.Flow.Orig] = op.Flow
	}
}

// tcp is flow number i in some state.
func tcp(i int, state uint8) flow.Flow {
	f := flow.Flow{Has: flow.HasReply | flow.HasStatus | flow.HasTimeout | flow.HasState | flow.HasMark,
		Orig: flow.Tuple{Src: netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), Dst: netip.MustParseAddr("198.51.100.1"),
			SrcPort: 4000, DstPort: 80, Proto: flow.TCP},
		Status: flow.SeenReply | flow.Confirmed, Timeout: 100 * time.Second, State: state, Mark: uint32(i)}
	f.Reply, _ = f.Orig.Inverse()
	return f
}

// happen makes something happen in the kernel of a node.
func (p *play) happen(node int, typ flow.EventType, f flow.Flow) {
	a := p.nodes[node]
	if typ == flow.Destroy {
		delete(a.kernel, f.Orig)
	} else {
		a.kernel[f.Orig] = f
	}
	a.Event(p.now, &flow.Event{Type: typ, Flow: f}, Others)
}

// cached is what a cache holds, in a form that can be compared.
func (p *play) cached(node int, external bool) map[flow.Tuple]string {
	a := p.nodes[node]
	all := make(map[flow.Tuple]string)
	visit := func(c *Cached) {
		all[c.Flow.Orig] = fmt.Sprint(c.Flow.State, c.Flow.Mark, c.Flow.Status, c.Flow.Reply)
	}
	if external {
		a.External(p.now, 0, 1<<30, visit)
	} else {
		a.Internal(p.now, 0, 1<<30, visit)
	}
	return all
}

// inStep reports whether the kernel of a node, its internal cache and its peer's external cache are the same.
func (p *play) inStep(node int) error {
	kernel := make(map[flow.Tuple]string)
	for k, f := range p.nodes[node].kernel {
		kernel[k] = fmt.Sprint(f.State, f.Mark, f.Status, f.Reply)
	}
	in, ex := p.cached(node, false), p.cached(1-node, true)
	if !maps.Equal(kernel, in) {
		return fmt.Errorf("node %d: %d flows in the kernel, %d in the internal cache", node, len(kernel), len(in))
	}
	if !maps.Equal(kernel, ex) {
		for k, v := range kernel {
			if ex[k] != v {
				return fmt.Errorf("node %d has %v %s, its peer %q (%d and %d flows)", node, k, v, ex[k], len(kernel), len(ex))
			}
		}
		return fmt.Errorf("node %d: %d flows in the kernel, %d in the peer's external cache", node, len(kernel), len(ex))
	}
	return nil
}

func (p *play) mustBeInStep() {
	p.t.Helper()
	for i := range p.nodes {
		if err := p.inStep(i); err != nil {
			p.t.Error(err)
		}
	}
}

// bustle has flows come, change and go at a node.
func (p *play) bustle(node, n int) {
	for range n {
		i := p.rand.IntN(200) + 1000*node
		f := tcp(i, uint8(1+p.rand.IntN(8)))
		switch _, there := p.nodes[node].kernel[f.Orig]; {
		case !there:
			p.happen(node, flow.New, f)
		case p.rand.IntN(3) == 0:
			p.happen(node, flow.Destroy, f)
		default:
			p.happen(node, flow.Update, f)
		}
		if p.rand.IntN(5) == 0 {
			p.pass(20 * time.Millisecond)
		}
	}
}

func TestQuietLine(t *testing.T) {
	for _, mode := range []Mode{FTFW, ALARM, NOTRACK} {
		t.Run(mode.String(), func(t *testing.T) {
			p := newPlay(t, Options{Mode: mode})
			p.bustle(0, 500)
			p.bustle(1, 500)
			p.pass(100 * time.Millisecond)
			p.mustBeInStep()
		})
	}
}

// FTFW makes good whatever the line does.
func TestBadLine(t *testing.T) {
	for seed := range uint64(20) {
		p := newPlay(t, Options{AckWindow: 20})
		p.rand = rand.New(rand.NewPCG(seed, 7))
		p.loss, p.reorder, p.duplicate = 0.05, 0.2, 0.05
		p.bustle(0, 1000)
		p.bustle(1, 300)
		p.loss, p.reorder, p.duplicate = 0, 0, 0
		p.pass(5 * time.Second)
		p.mustBeInStep()
		for i, a := range p.nodes {
			if _, r := a.Queues(); r.Len > 5 {
				t.Errorf("seed %d: node %d still has %d messages to be acknowledged", seed, i, r.Len)
			}
		}
	}
}

func TestPartition(t *testing.T) {
	p := newPlay(t, Options{})
	p.bustle(0, 300)
	p.pass(time.Second)
	p.cut = true
	p.bustle(0, 300)
	p.pass(10 * time.Second)
	p.cut = false
	p.pass(4 * time.Second)
	p.mustBeInStep()
}

// What the resend queue could not hold is lost until somebody asks for everything.
func TestPartitionLongerThanTheResendQueue(t *testing.T) {
	p := newPlay(t, Options{ResendQueue: 50})
	p.pass(2 * time.Second)
	p.cut = true
	for i := range 200 {
		p.happen(0, flow.New, tcp(i, 3))
		p.pass(20 * time.Millisecond)
	}
	p.cut = false
	p.pass(4 * time.Second)
	if _, r := p.nodes[0].Queues(); r.Overflows == 0 {
		t.Error("nothing was dropped")
	}
	p.nodes[1].RequestResync(p.now)
	p.pass(10 * time.Second) // a queue's worth a second
	p.mustBeInStep()
	if !slices.Contains(p.nodes[0].log, "resync requested by other node") || !slices.Contains(p.nodes[0].log, "sending bulk update") {
		t.Errorf("log: %q", p.nodes[0].log)
	}
}

// A node that starts anew may number its messages higher or lower than before.
func TestRestart(t *testing.T) {
	for _, mode := range []Mode{FTFW, NOTRACK} {
		for _, seq := range []uint32{5, 1 << 30, 0xfffffff0} {
			p := newPlay(t, Options{Mode: mode})
			p.bustle(0, 300)
			p.bustle(1, 100)
			p.pass(time.Second)
			old := p.nodes[1]
			o := old.opts
			o.FirstSeq = seq
			p.nodes[1] = &actor{Engine: New(o), opts: o, kernel: old.kernel}
			for _, f := range old.kernel {
				p.nodes[1].Read(p.now, &f, false, true)
			}
			p.pass(time.Second)
			p.nodes[1].RequestResync(p.now)
			p.nodes[1].SendBulk(p.now)
			p.pass(3 * time.Second)
			p.bustle(0, 100)
			p.bustle(1, 100)
			p.pass(3 * time.Second)
			p.mustBeInStep()
		}
	}
}

// A bulk does not keep back what happens meanwhile, and is complete.
func TestBulkAndLiveUpdates(t *testing.T) {
	p := newPlay(t, Options{})
	a := p.nodes[0]
	for i := range 20000 {
		f := tcp(i, 3)
		a.kernel[f.Orig] = f
		a.Read(p.now, &f, false, true)
	}
	p.pass(time.Second)
	if n := len(p.cached(1, true)); n != 0 {
		t.Errorf("%d flows were sent at the start", n)
	}
	a.SendBulk(p.now)
	p.happen(0, flow.New, tcp(70000, 5))
	p.pass(60 * time.Millisecond)
	if _, ok := p.cached(1, true)[tcp(70000, 5).Orig]; !ok {
		t.Error("a new flow waits for the bulk")
	}
	p.pass(5 * time.Second)
	p.mustBeInStep()
}

// ALARM repeats, so that a lost message is made good, and forgets what is not repeated.
func TestAlarmRepeatsAndForgets(t *testing.T) {
	p := newPlay(t, Options{Mode: ALARM, Refresh: 5, CacheTimeout: 15})
	p.loss = 1
	p.happen(0, flow.New, tcp(1, 3))
	p.happen(0, flow.New, tcp(2, 3))
	p.pass(time.Second)
	p.loss = 0
	p.pass(7 * time.Second)
	p.mustBeInStep()
	p.loss = 1
	p.happen(0, flow.Destroy, tcp(1, 3))
	p.pass(time.Second)
	p.loss = 0
	p.pass(5 * time.Second)
	if n := len(p.cached(1, true)); n != 2 {
		t.Errorf("%d external flows, want 2", n)
	}
	p.pass(12 * time.Second)
	p.mustBeInStep()
	for range 20 {
		p.pass(7 * time.Second)
		p.mustBeInStep()
	}
}

func TestOwnChangesAreNotTold(t *testing.T) {
	p := newPlay(t, Options{})
	a := p.nodes[0]
	f, g := tcp(1, 3), tcp(2, 3)
	a.Event(p.now, &flow.Event{Type: flow.New, Flow: f}, Commit)
	a.Event(p.now, &flow.Event{Type: flow.New, Flow: g}, Injector)
	p.pass(2 * time.Second)
	if in, ex := p.cached(0, false), p.cached(1, true); len(in) != 1 || len(ex) != 0 {
		t.Errorf("%d internal flows and %d at the peer, want 1 and 0", len(in), len(ex))
	}
	p.happen(0, flow.Update, f)
	p.pass(time.Second)
	a.Event(p.now, &flow.Event{Type: flow.Destroy, Flow: f}, Flush)
	p.pass(2 * time.Second)
	if in, ex := p.cached(0, false), p.cached(1, true); len(in) != 0 || len(ex) != 1 {
		t.Errorf("%d internal flows and %d at the peer, want 0 and 1", len(in), len(ex))
	}
}

// What a commit has made is taken in and not told of, whatever the cache knows of the flow, and as far as there is room.
func TestMade(t *testing.T) {
	p := newPlay(t, Options{HashLimit: 10})
	for i := range 10 {
		p.happen(1, flow.New, tcp(i, 7))
	}
	known, ended := tcp(1, 3), tcp(2, 3)
	for _, f := range []flow.Flow{known, ended, tcp(50, 3), tcp(51, 3), tcp(52, 3)} {
		p.happen(0, flow.New, f)
	}
	p.pass(5 * time.Second)
	p.happen(0, flow.Destroy, ended) // which is not told of yet

	a := p.nodes[0]
	for done := false; !done; done = a.MakeRoom() {
	}
	var parcel mirror.Parcel
	at, silent := a.Parcel(p.now, 0, 4, &parcel, nil)
	if at == 0 || parcel.Len() != 4 || len(silent) != 4 {
		t.Fatalf("%d flows in a parcel of 4, %v", parcel.Len(), silent)
	}
	if at, silent = a.Parcel(p.now, at, 100, &parcel, silent); at != 0 || parcel.Len() != 10 || len(silent) != 10 || silent[9] < 4 {
		t.Fatalf("%d flows in all, silent for %v", parcel.Len(), silent)
	}
	refused := tcp(0, 7).Orig
	var numbers []int
	var f flow.Flow
	for i := range parcel.Len() {
		if parcel.Load(i, &f); f.Orig != refused {
			numbers = append(numbers, i)
		}
	}
	before := a.Stats().Internal
	a.Made(p.now, &parcel, numbers)
	if s := a.Stats().Internal; s.Active != 10 || s.Created-before.Created != 6 || s.Failed-before.Failed != 2 {
		t.Errorf("%+v, before %+v", s, before)
	}
	in := p.cached(0, false)
	want := func(f flow.Flow) string { return fmt.Sprint(f.State, f.Mark, f.Status, f.Reply) }
	if _, there := in[refused]; there || in[known.Orig] != want(known) || in[ended.Orig] != want(tcp(2, 7)) {
		t.Errorf("the internal cache has %v", in)
	}
	peer := p.cached(1, true)
	p.pass(2 * time.Second)
	if now := p.cached(1, true); len(peer) != 5 || !maps.Equal(now, peer) {
		t.Errorf("the peer knows %d flows, %d before", len(now), len(peer))
	}
	none := New(Options{NoInternalCache: true})
	if none.Made(0, &parcel, numbers); !none.MakeRoom() || none.Stats().Internal.Active != 0 {
		t.Errorf("without a cache: %+v", none.Stats().Internal)
	}
}

func TestInjection(t *testing.T) {
	for _, mode := range []Mode{FTFW, NOTRACK} {
		p := newPlay(t, Options{Mode: mode})
		o := p.nodes[1].opts
		o.NoExternalCache = true
		p.nodes[1] = &actor{Engine: New(o), opts: o, kernel: make(map[flow.Tuple]flow.Flow)}
		p.bustle(0, 300)
		p.pass(time.Second)
		a, b := p.nodes[0].kernel, p.nodes[1].kernel
		if len(a) != len(b) || len(p.cached(1, true)) != 0 {
			t.Errorf("%v: %d flows in one kernel, %d in the other", mode, len(a), len(b))
		}
	}
}

func TestBypass(t *testing.T) {
	p := newPlay(t, Options{Mode: NOTRACK, NoInternalCache: true})
	p.bustle(0, 300)
	p.pass(100 * time.Millisecond)
	if a, b := p.nodes[0].kernel, p.cached(1, true); len(a) != len(b) {
		t.Errorf("%d flows in the kernel, %d at the peer", len(a), len(b))
	}
	p.nodes[1].RequestResync(p.now)
	p.nodes[1].Run(p.now)
	for b := range p.nodes[1].Take().Datagrams {
		p.nodes[0].Datagram(p.now, b)
	}
	if !p.nodes[0].Take().DumpKernel {
		t.Error("the kernel's table is not asked for")
	}
}

// Several changes between two runs are one message.
func TestChangesAreMerged(t *testing.T) {
	p := newPlay(t, Options{})
	p.pass(2 * time.Second)
	seq := p.nodes[0].seq
	for state := range uint8(5) {
		typ := flow.Update
		if state == 0 {
			typ = flow.New
		}
		p.happen(0, typ, tcp(1, state))
	}
	p.pass(20 * time.Millisecond)
	if n := p.nodes[0].seq - seq; n != 1 {
		t.Errorf("%d messages for a flow", n)
	}
	p.mustBeInStep()
}

func TestFullCache(t *testing.T) {
	p := newPlay(t, Options{HashLimit: 10})
	for i := range 30 {
		p.happen(0, flow.New, tcp(i, 3))
	}
	p.pass(time.Second)
	if s := p.nodes[0].Stats().Internal; s.Active != 10 || s.Failed != 20 {
		t.Errorf("%+v", s)
	}
}

// An idle pair exchanges about a message a second each way, and nothing piles up.
func TestIdlePair(t *testing.T) {
	p := newPlay(t, Options{})
	p.pass(10 * time.Second)
	before := p.passed
	p.pass(100 * time.Second)
	if n := p.passed - before; n < 150 || n > 250 {
		t.Errorf("%d datagrams in 100 s", n)
	}
	for i, a := range p.nodes {
		if _, r := a.Queues(); r.Len > 3 || len(a.controls) > 20 {
			t.Errorf("node %d: %d in the resend queue, %d control messages", i, r.Len, len(a.controls))
		}
		if s := a.Stats().Network; s.Malformed+s.Lost+s.Before != 0 {
			t.Errorf("node %d: %+v", i, s)
		}
	}
}
