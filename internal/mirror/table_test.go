package mirror

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/spoor-project/spoor/flow"
)

// meta stands for what a daemon keeps with each flow.
type meta struct{ a, b, c, d, e, f uint32 }

func address(r *rand.Rand, family flow.Family) netip.Addr {
	if family == flow.IPv4 {
		return netip.AddrFrom4([4]byte{10, 0, byte(r.IntN(3)), byte(r.IntN(20))})
	}
	return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: byte(r.IntN(30))})
}

func somePorts(r *rand.Rand, t *flow.Tuple) {
	switch t.Proto.Shape() {
	case flow.ShapePorts, flow.ShapeKeys:
		t.SrcPort, t.DstPort = uint16(r.IntN(50)), 80
	case flow.ShapeICMP:
		t.SetICMP(8, 0, uint16(r.IntN(50)))
	}
}

// random is any flow whose attributes fit its protocol or not, with nothing in fields that it does not have.
func random(r *rand.Rand) flow.Flow {
	f := flow.Flow{Has: flow.Fields(r.Uint32()) & flow.AllFields}
	family := []flow.Family{flow.IPv4, flow.IPv6}[r.IntN(2)]
	tuple := func() (t flow.Tuple) {
		t = flow.Tuple{Src: address(r, family), Dst: address(r, family),
			Proto: []flow.Proto{flow.TCP, flow.UDP, flow.ICMP, flow.GRE, flow.SCTP, 50}[r.IntN(6)]}
		somePorts(r, &t)
		if r.IntN(9) == 0 {
			t.Zone = 7
		}
		return t
	}
	f.Orig = tuple()
	if f.Has.Has(flow.HasReply) {
		if f.Reply, _ = f.Orig.Inverse(); r.IntN(3) == 0 {
			f.Reply = tuple()
		}
	}
	if f.Has.Has(flow.HasMaster) {
		f.Master = tuple()
	}
	if f.Has.Has(flow.HasZone) {
		f.Zone = uint16(1 + r.IntN(3))
	}
	fill := func(bit flow.Fields, set func()) {
		if f.Has.Has(bit) {
			set()
		}
	}
	fill(flow.HasStatus, func() { f.Status = flow.Status(r.Uint32()) })
	fill(flow.HasTimeout, func() { f.Timeout = time.Duration(r.Uint32()) * time.Second })
	fill(flow.HasState, func() { f.State = uint8(r.Uint32()) })
	fill(flow.HasTCPWindow, func() { f.OrigWindow, f.ReplyWindow = flow.TCPWindow{Scale: 7, Flags: 3}, flow.TCPWindow{Scale: 2} })
	fill(flow.HasVTags, func() { f.VTags = flow.VTags{Orig: r.Uint32(), Reply: r.Uint32()} })
	fill(flow.HasDCCP, func() { f.DCCP = flow.DCCPInfo{Role: 1, HandshakeSeq: r.Uint64()} })
	fill(flow.HasMark, func() { f.Mark = r.Uint32() })
	fill(flow.HasSecMark, func() { f.SecMark = r.Uint32() })
	fill(flow.HasUse, func() { f.Use = r.Uint32() })
	fill(flow.HasID, func() { f.ID = r.Uint32() })
	fill(flow.HasSecCtx, func() { f.SecCtx = "system_u:object_r:unlabeled_t:s0"[:r.IntN(32)] })
	fill(flow.HasHelper, func() { f.Helper = []string{"", "ftp", "sip-5060"}[r.IntN(3)] })
	fill(flow.HasOrigCounters, func() { f.OrigCounters = flow.Counters{Packets: r.Uint64(), Bytes: r.Uint64()} })
	fill(flow.HasReplyCounters, func() { f.ReplyCounters = flow.Counters{Packets: r.Uint64(), Bytes: r.Uint64()} })
	fill(flow.HasStart, func() { f.Start = flow.Timestamp(r.Int64()) })
	fill(flow.HasStop, func() { f.Stop = flow.Timestamp(r.Int64()) })
	fill(flow.HasLabels, func() { f.Labels = flow.Labels{1, 15: byte(r.Uint32())} })
	fill(flow.HasOrigSeqAdj, func() { f.OrigSeqAdj = flow.SeqAdj{CorrectionPos: r.Uint32(), OffsetBefore: -4, OffsetAfter: 9} })
	fill(flow.HasReplySeqAdj, func() { f.ReplySeqAdj = flow.SeqAdj{CorrectionPos: r.Uint32(), OffsetAfter: int32(r.Uint32())} })
	fill(flow.HasSynproxy, func() { f.Synproxy = flow.Synproxy{ISN: r.Uint32(), ITS: r.Uint32(), TSOff: r.Uint32()} })
	return f
}

func TestPackedIsTheSameFlow(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	var s slabs
	var n names
	for range 20000 {
		want := random(r)
		b := pack(s.space(), &want)
		var got flow.Flow
		unpack(b, &got, &n)
		if got != want {
			t.Fatalf("%+v\nbecame\n%+v", want, got)
		}
		if id := appendIdentity(nil, &want); string(identityOf(b)) != string(id) {
			t.Fatalf("%+v: begins with % x, not with its identity, % x", want, identityOf(b), id)
		}
	}
}

// identity is what the table shall tell flows apart by, said in another way.
func identity(f *flow.Flow) flow.Key {
	k := f.Key()
	if s := f.Orig.Proto.Shape(); s != flow.ShapePorts && s != flow.ShapeICMP {
		k.SrcPort, k.DstPort = 0, 0
	}
	return k
}

// The table does what a map does, through growing, shrinking and growing again.
func TestTableIsAMap(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 3))
	tab := New[meta](0, 0)
	type known struct {
		ref  Ref
		flow flow.Flow
		mark uint32
	}
	want := make(map[flow.Key]known)
	step := func(remove int) {
		f := random(r)
		k := identity(&f)
		old, ok := want[k]
		if ref := tab.Find(&f); ref != old.ref {
			t.Fatalf("%+v: found as %d, want %d", k, ref, old.ref)
		}
		switch {
		case !ok:
			ref := tab.Add(&f)
			mark := r.Uint32()
			tab.Meta(ref).c = mark
			want[k] = known{ref, f, mark}
		case r.IntN(10) < remove:
			tab.Remove(old.ref)
			delete(want, k)
		default:
			tab.Store(old.ref, &f)
			want[k] = known{old.ref, f, old.mark}
		}
	}
	check := func() {
		if tab.Len() != len(want) {
			t.Fatalf("%d flows, want %d", tab.Len(), len(want))
		}
		var f flow.Flow
		n := 0
		for ref := range tab.All() {
			n++
			tab.Load(ref, &f)
			k, ok := want[identity(&f)]
			if !ok || k.ref != ref || k.flow != f || k.mark != tab.Meta(ref).c {
				t.Fatalf("%d: %+v, want %+v", ref, f, k)
			}
		}
		if n != len(want) {
			t.Fatalf("%d flows come up, want %d", n, len(want))
		}
	}
	for _, phase := range []struct{ steps, remove int }{{60000, 1}, {60000, 9}, {60000, 3}} {
		for range phase.steps {
			step(phase.remove)
		}
		check()
	}
	tab.Clear()
	clear(want)
	check()
}

// parcel is some flows, each twice: the numbers of the second half are those to be used.
func parcel(flows []flow.Flow) (p *Parcel, numbers []int) {
	p = new(Parcel)
	from := New[meta](0, 0)
	for i := range flows {
		from.Pack(from.Add(&flows[i]), p)
	}
	for i := range flows {
		from.Pack(from.Find(&flows[i]), p)
		numbers = append(numbers, len(flows)+i)
	}
	return p, numbers
}

func TestParcel(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 1))
	var flows []flow.Flow
	tab := New[meta](0, 0)
	for len(flows) < 500 {
		if f := random(r); tab.Find(&f) == 0 {
			tab.Add(&f)
			flows = append(flows, f)
		}
	}
	p, numbers := parcel(flows)
	var got flow.Flow
	for i, n := range numbers {
		if p.Load(n, &got); got != flows[i] {
			t.Fatalf("%+v\nbecame\n%+v", flows[i], got)
		}
	}
	if p.Len() != 1000 {
		t.Errorf("%d flows", p.Len())
	}
	if p.Reset(); p.Len() != 0 {
		t.Errorf("%d flows are left", p.Len())
	}
	tab.Pack(tab.Find(&flows[7]), p)
	if p.Load(0, &got); got != flows[7] || p.Len() != 1 {
		t.Errorf("%+v", got)
	}
}

// Many flows at once come to the same as one after the other, until the table is full and further.
func TestAddMissing(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	const limit = 9000 // it grows on the way
	one, many := New[meta](limit, 0), New[meta](limit, 0)
	for full := 0; full < 10; {
		var flows []flow.Flow
		seen := map[flow.Key]bool{}
		for range r.IntN(3 * together) {
			if f := random(r); !seen[identity(&f)] {
				seen[identity(&f)] = true
				flows = append(flows, f)
			}
		}
		var want, got []bool
		for i := range flows {
			found := one.Find(&flows[i]) != 0
			if want = append(want, found); !found && one.Add(&flows[i]) == 0 {
				full++
			}
		}
		p, numbers := parcel(flows)
		many.AddMissing(p, numbers, func(n int, ref Ref) {
			f := &flows[len(got)]
			if n != len(flows)+len(got) || ref == 0 || ref != many.Find(f) {
				t.Fatalf("flow %d was found as %d", n, ref)
			}
			got = append(got, true)
			// The others are found all the same.
			if r.IntN(8) == 0 {
				many.Remove(ref)
				many.Add(f)
			}
		}, func(n int, ref Ref) {
			f := &flows[len(got)]
			if n != len(flows)+len(got) || ref != many.Find(f) || ref == 0 && many.Len() != limit {
				t.Fatalf("flow %d was added as %d, to %d", n, ref, many.Len())
			}
			var there flow.Flow
			if ref != 0 {
				if many.Load(ref, &there); there != *f {
					t.Fatalf("%+v\nwas added as\n%+v", f, there)
				}
			}
			got = append(got, false)
		})
		if !slices.Equal(got, want) || many.Len() != one.Len() {
			t.Fatalf("of %d flows these were found:\n%v, want\n%v; %d are there, want %d", len(flows), got, want, many.Len(), one.Len())
		}
	}
}

// Room is made in steps, as much as there may be flows at most, and loses none.
func TestReserve(t *testing.T) {
	tab := New[meta](300_000, 0)
	var flows []flow.Flow
	for i := range 20_000 {
		flows = append(flows, usual(i))
		tab.Add(&flows[i])
	}
	calls := 1
	for ; !tab.Reserve(1 << 30); calls++ {
		if calls > 10 {
			t.Fatal("it does not end")
		}
	}
	if calls < 4 || int(tab.round+tab.split) != 300_000 {
		t.Errorf("%d buckets after %d calls", tab.round+tab.split, calls)
	}
	for i := range flows {
		if tab.Find(&flows[i]) == 0 {
			t.Fatalf("flow %d is gone", i)
		}
	}
	before := len(tab.heads)
	if !tab.Reserve(100) || len(tab.heads) != before {
		t.Error("room is made that there is")
	}
}

func TestFullTable(t *testing.T) {
	tab := New[meta](2, 0)
	f := usual(0)
	for i := range 3 {
		f := usual(i)
		if ref := tab.Add(&f); (ref != 0) != (i < 2) {
			t.Errorf("flow %d of 2: %d", i, ref)
		}
	}
	tab.Remove(tab.Find(&f))
	if f := usual(2); tab.Add(&f) == 0 {
		t.Error("no room after a removal")
	}
}

// usual is a TCP flow through a source NAT.
func usual(i int) flow.Flow {
	f := flow.Flow{Has: flow.HasReply | flow.HasStatus | flow.HasTimeout | flow.HasState | flow.HasMark | flow.HasID | flow.HasTCPWindow,
		Orig: flow.Tuple{Src: netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), Dst: netip.AddrFrom4([4]byte{198, 51, 100, 1}),
			SrcPort: 40000, DstPort: 443, Proto: flow.TCP},
		Status: flow.SeenReply | flow.Assured | flow.SrcNAT | flow.SrcNATDone, Timeout: time.Hour, State: flow.TCPEstablished, ID: uint32(i)}
	f.Reply, _ = f.Orig.Inverse()
	f.Reply.Dst = netip.AddrFrom4([4]byte{203, 0, 113, 7})
	return f
}

// What a flow costs is a promise: at most 0.4 of the original daemon's 540 bytes.
func TestMemoryOfAFlow(t *testing.T) {
	const n = 200_000
	tab := New[meta](0, 0)
	for i := range n {
		f := usual(i)
		tab.Add(&f)
	}
	if each := tab.Bytes() / n; each > 130 {
		t.Errorf("%d bytes for a flow", each)
	} else {
		t.Logf("%d bytes for a flow", each)
	}
}

func TestNoAllocations(t *testing.T) {
	tab := New[meta](0, 0)
	for i := range 1000 {
		f := usual(i)
		f.Has |= flow.HasHelper
		f.Helper = "ftp"
		tab.Add(&f)
	}
	f, first, none := usual(7), []int{0}, func(int, Ref) {}
	var p Parcel
	var got flow.Flow
	n := testing.AllocsPerRun(1000, func() {
		ref := tab.Find(&f)
		tab.Load(ref, &got)
		got.Mark++
		tab.Store(ref, &got)
		p.Reset()
		tab.Pack(ref, &p)
		p.Load(0, &got)
		tab.Remove(ref)
		tab.AddMissing(&p, first, none, none)
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// However flows come and go, memory does not grow.
func TestMemoryIsFlat(t *testing.T) {
	tab := New[meta](0, 0)
	r := rand.New(rand.NewPCG(5, 6))
	var flows [1000]flow.Flow
	turn := func() {
		for i := range flows {
			if ref := tab.Find(&flows[i]); ref != 0 {
				tab.Remove(ref)
			}
			flows[i] = random(r)
			if tab.Find(&flows[i]) == 0 {
				tab.Add(&flows[i])
			}
		}
	}
	for range 20 {
		turn()
	}
	before := tab.Bytes()
	for range 100 {
		turn()
	}
	if after := tab.Bytes(); after > before+before/4 {
		t.Errorf("%d bytes became %d", before, after)
	}
}

func TestRemovalWhileGoingThrough(t *testing.T) {
	tab := New[meta](0, 0)
	for i := range 10 {
		f := usual(i)
		tab.Add(&f)
	}
	n := 0
	for ref := range tab.All() {
		tab.Remove(ref)
		n++
	}
	if n != 10 || tab.Len() != 0 {
		t.Errorf("%d came up, %d are left", n, tab.Len())
	}
}

// A program of additions, changes and removals, whatever it is, leaves what it says.
func FuzzTable(f *testing.F) {
	f.Add(uint64(1), []byte("abcdefgabc"))
	f.Fuzz(func(t *testing.T, seed uint64, program []byte) {
		tab := New[meta](0, 0)
		r := rand.New(rand.NewPCG(seed, 0))
		var flows [16]flow.Flow
		for i := range flows {
			flows[i] = random(r)
			flows[i].Orig.Src = netip.AddrFrom4([4]byte{1, 2, 3, byte(i)})
			flows[i].Orig.Dst = flows[i].Orig.Src
			flows[i].Has &^= flow.HasReply
			flows[i].Reply = flow.Tuple{}
		}
		there := make(map[int]bool)
		for _, op := range program {
			i := int(op & 15)
			ref := tab.Find(&flows[i])
			if (ref != 0) != there[i] {
				t.Fatalf("flow %d: %d", i, ref)
			}
			switch {
			case ref == 0:
				tab.Add(&flows[i])
				there[i] = true
			case op&16 != 0:
				tab.Remove(ref)
				delete(there, i)
			default:
				var got flow.Flow
				if tab.Load(ref, &got); got != flows[i] {
					t.Fatalf("%+v became %+v", flows[i], got)
				}
			}
		}
		if tab.Len() != len(there) {
			t.Fatalf("%d flows, want %d", tab.Len(), len(there))
		}
	})
}

func BenchmarkUpdate(b *testing.B) {
	tab := New[meta](0, 0)
	const n = 1 << 18
	flows := make([]flow.Flow, n)
	for i := range flows {
		flows[i] = usual(i)
		tab.Add(&flows[i])
	}
	var got flow.Flow
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		ref := tab.Find(&flows[i*7919&(n-1)])
		tab.Load(ref, &got)
		tab.Store(ref, &got)
		i++
	}
}
