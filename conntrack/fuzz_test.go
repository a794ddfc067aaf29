package conntrack

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/nfnetlink"
)

// addRecorded seeds f with the bodies of the messages that a kernel sent, in whole and
// cut off.
func addRecorded(f *testing.F, s nfnetlink.Subsystem) {
	f.Helper()
	for _, m := range recorded(f) {
		if body := m.Data[20:]; nfnetlink.Subsystem(m.Data[5]) == s {
			f.Add(body)
			f.Add(body[:len(body)*2/3])
		}
	}
	f.Add([]byte{})
	f.Add([]byte{4, 0, 3, 0})
}

// unset lists the fields of a flow that are not zero although their bit is missing.
func unset(f *flow.Flow) (names []string) {
	var zero flow.Flow
	for _, field := range []struct {
		name string
		bit  flow.Fields
		zero bool
	}{
		{"Reply", flow.HasReply, f.Reply == zero.Reply},
		{"Master", flow.HasMaster, f.Master == zero.Master},
		{"Status", flow.HasStatus, f.Status == 0},
		{"Timeout", flow.HasTimeout, f.Timeout == 0},
		{"Mark", flow.HasMark, f.Mark == 0},
		{"SecMark", flow.HasSecMark, f.SecMark == 0},
		{"SecCtx", flow.HasSecCtx, f.SecCtx == ""},
		{"Helper", flow.HasHelper, f.Helper == ""},
		{"Zone", flow.HasZone, f.Zone == 0},
		{"Use", flow.HasUse, f.Use == 0},
		{"ID", flow.HasID, f.ID == 0},
		{"OrigCounters", flow.HasOrigCounters, f.OrigCounters == zero.OrigCounters},
		{"ReplyCounters", flow.HasReplyCounters, f.ReplyCounters == zero.ReplyCounters},
		{"Start", flow.HasStart, f.Start == 0},
		{"Stop", flow.HasStop, f.Stop == 0},
		{"State", flow.HasState, f.State == 0},
		{"OrigWindow", flow.HasTCPWindow, f.OrigWindow == zero.OrigWindow},
		{"ReplyWindow", flow.HasTCPWindow, f.ReplyWindow == zero.ReplyWindow},
		{"VTags", flow.HasVTags, f.VTags == zero.VTags},
		{"DCCP", flow.HasDCCP, f.DCCP == zero.DCCP},
		{"Labels", flow.HasLabels, f.Labels == zero.Labels},
		{"OrigSeqAdj", flow.HasOrigSeqAdj, f.OrigSeqAdj == zero.OrigSeqAdj},
		{"ReplySeqAdj", flow.HasReplySeqAdj, f.ReplySeqAdj == zero.ReplySeqAdj},
		{"Synproxy", flow.HasSynproxy, f.Synproxy == zero.Synproxy},
	} {
		if !f.Has.Has(field.bit) && !field.zero {
			names = append(names, field.name)
		}
	}
	return names
}

// FuzzDecodeFlow states the laws: any bytes will do, what is not there is zero, and a
// second reading says the same.
func FuzzDecodeFlow(f *testing.F) {
	addRecorded(f, nfnetlink.Conntrack)
	f.Fuzz(func(t *testing.T, attrs []byte) {
		m := nfnetlink.Message{Type: 0x0100, Payload: append([]byte{2, 0, 0, 0}, attrs...)}
		var d decoder
		var got, again flow.Flow
		if err := d.flow(&m, &got); err != nil {
			return
		}
		if names := unset(&got); len(names) > 0 {
			t.Errorf("not there and not zero: %v", names)
		}
		again.Helper, again.Mark, again.Has = "old", 1, flow.AllFields
		if err := d.flow(&m, &again); err != nil || again != got {
			t.Errorf("the second time %+v, %v, want %+v", again, err, got)
		}
		// What can be told apart by its tuple can be asked for by it.
		if got.Orig.Src.IsValid() && got.Orig.Src.BitLen() == got.Orig.Dst.BitLen() {
			var b Batch
			b.Get(&got.Orig, got.Zone)
			m, _, err := nfnetlink.Next(b.Messages())
			if err != nil {
				t.Fatal(err)
			}
			var asked flow.Flow
			want := got.Orig
			if want.Proto.Shape() == flow.ShapeNone {
				want.SrcPort, want.DstPort = 0, 0
			}
			if err := d.flow(&m, &asked); err != nil || asked.Orig != want || asked.Zone != got.Zone {
				t.Errorf("asked for %+v in zone %d, %v, want %+v", asked.Orig, asked.Zone, err, want)
			}
		}
	})
}

// FuzzDecodeExpect states the same for expectations.
func FuzzDecodeExpect(f *testing.F) {
	addRecorded(f, nfnetlink.ConntrackExpect)
	f.Fuzz(func(t *testing.T, attrs []byte) {
		m := nfnetlink.Message{Type: 0x0200, Payload: append([]byte{2, 0, 0, 0}, attrs...)}
		var d decoder
		var got flow.Expect
		if err := d.expect(&m, &got); err != nil {
			return
		}
		again := flow.Expect{Helper: "old", NATReply: true}
		if err := d.expect(&m, &again); err != nil || again != got {
			t.Errorf("the second time %+v, %v, want %+v", again, err, got)
		}
		has, none := got.Has, flow.Tuple{}
		if !has.Has(flow.ExpectHasMask) && got.Mask != none || !has.Has(flow.ExpectHasMaster) && got.Master != none ||
			!has.Has(flow.ExpectHasNAT) && (got.NAT != none || got.NATReply) || !has.Has(flow.ExpectHasHelper) && got.Helper != "" ||
			!has.Has(flow.ExpectHasFunc) && got.Func != "" || !has.Has(flow.ExpectHasTimeout) && got.Timeout != 0 ||
			!has.Has(flow.ExpectHasFlags) && got.Flags != 0 || !has.Has(flow.ExpectHasClass) && got.Class != 0 ||
			!has.Has(flow.ExpectHasZone) && got.Zone != 0 || !has.Has(flow.ExpectHasID) && got.ID != 0 {
			t.Errorf("not there and not zero: %+v", got)
		}
	})
}

// draw makes values of a string of bytes; behind its end all are zero.
type draw struct{ rest []byte }

func (d *draw) bytes(n int) []byte {
	b := make([]byte, n)
	d.rest = d.rest[copy(b, d.rest):]
	return b
}
func (d *draw) u8() uint8   { return d.bytes(1)[0] }
func (d *draw) u16() uint16 { return binary.BigEndian.Uint16(d.bytes(2)) }
func (d *draw) u32() uint32 { return binary.BigEndian.Uint32(d.bytes(4)) }
func (d *draw) yes() bool   { return d.u8()&1 != 0 }

func (d *draw) addr(family flow.Family) netip.Addr {
	if family == flow.IPv6 {
		return netip.AddrFrom16([16]byte(d.bytes(16)))
	}
	return netip.AddrFrom4([4]byte(d.bytes(4)))
}

func (d *draw) tuple(family flow.Family, p flow.Proto) flow.Tuple {
	t := flow.Tuple{Src: d.addr(family), Dst: d.addr(family), Proto: p, Zone: d.u16()}
	if p.Shape() != flow.ShapeNone {
		t.SrcPort, t.DstPort = d.u16(), d.u16()
	}
	return t
}

// entry draws an entry, and the flow that is to be decoded of its message.
func (d *draw) entry() (*Entry, flow.Flow) {
	family := flow.IPv4
	if d.yes() {
		family = flow.IPv6
	}
	p := flow.Proto(d.u8())
	e := &Entry{Orig: d.tuple(family, p), Reply: d.tuple(family, p), Zone: d.u16()}
	f := flow.Flow{Has: flow.HasReply, Orig: e.Orig, Reply: e.Reply, Zone: e.Zone}
	if e.Zone != 0 {
		f.Has |= flow.HasZone
	}
	if d.yes() {
		e.Master = new(d.tuple(family, flow.TCP))
		f.Has, f.Master = f.Has|flow.HasMaster, *e.Master
	}
	if d.yes() {
		e.SrcNAT, e.DstNAT = &NAT{Addr: d.addr(family), Port: new(d.u16())}, &NAT{}
	}
	d.change(&e.Change, &f)
	return e, f
}

func (d *draw) change(c *Change, f *flow.Flow) {
	if d.yes() {
		c.Timeout = new(time.Duration(d.u32()) * time.Second)
		f.Has, f.Timeout = f.Has|flow.HasTimeout, *c.Timeout
	}
	if d.yes() {
		c.Status = new(flow.Status(d.u32()))
		f.Has, f.Status = f.Has|flow.HasStatus, *c.Status|flow.Confirmed
	}
	if d.yes() {
		c.Mark = new(d.u32())
		f.Has, f.Mark = f.Has|flow.HasMark, *c.Mark
		if d.yes() {
			c.MarkMask = new(d.u32())
			f.Mark &= *c.MarkMask
		}
	}
	if d.yes() {
		c.Labels = new(flow.Labels(d.bytes(16)))
		f.Has, f.Labels = f.Has|flow.HasLabels, *c.Labels
	}
	if d.yes() {
		c.Helper = new([]string{"", "ftp", "tftp"}[d.u8()%3])
		f.Has, f.Helper = f.Has|flow.HasHelper, *c.Helper
	}
	d.protocol(c, f)
	if d.yes() {
		c.OrigSeqAdj = &flow.SeqAdj{CorrectionPos: d.u32(), OffsetBefore: int32(d.u32()), OffsetAfter: int32(d.u32())}
		c.ReplySeqAdj = &flow.SeqAdj{OffsetAfter: int32(d.u32())}
		f.Has |= flow.HasOrigSeqAdj | flow.HasReplySeqAdj
		f.OrigSeqAdj, f.ReplySeqAdj = *c.OrigSeqAdj, *c.ReplySeqAdj
	}
	if d.yes() {
		c.Synproxy = &flow.Synproxy{ISN: d.u32(), ITS: d.u32(), TSOff: d.u32()}
		f.Has, f.Synproxy = f.Has|flow.HasSynproxy, *c.Synproxy
	}
}

func (d *draw) protocol(c *Change, f *flow.Flow) {
	state := d.u8()
	switch d.u8() % 4 {
	case 1:
		c.TCP = &TCP{State: &state, Orig: &TCPWindow{Flags: flow.TCPFlags(d.u8()), Mask: flow.TCPFlags(d.u8())},
			Reply: &TCPWindow{Scale: new(d.u8()), Flags: flow.TCPFlags(d.u8())}}
		f.Has |= flow.HasTCPWindow
		f.OrigWindow = flow.TCPWindow{Flags: c.TCP.Orig.Flags}
		f.ReplyWindow = flow.TCPWindow{Scale: *c.TCP.Reply.Scale, Flags: c.TCP.Reply.Flags}
	case 2:
		c.SCTP = &SCTP{State: &state, VTags: &flow.VTags{Orig: d.u32(), Reply: d.u32()}}
		f.Has |= flow.HasVTags
		f.VTags = *c.SCTP.VTags
	case 3:
		c.DCCP = &DCCP{State: &state, Role: new(flow.DCCPRole(d.u8())), HandshakeSeq: new(uint64(d.u32()) << 32)}
		f.Has |= flow.HasDCCP
		f.DCCP = flow.DCCPInfo{Role: *c.DCCP.Role, HandshakeSeq: *c.DCCP.HandshakeSeq}
	default:
		return
	}
	f.Has, f.State = f.Has|flow.HasState, state
}

// FuzzEntry states the law: what a Batch writes, the decoder reads.
func FuzzEntry(f *testing.F) {
	f.Add([]byte{})
	seed := make([]byte, 200)
	for i := range seed {
		seed[i] = byte(2*i + 1) // odd: everything is there
	}
	r := rand.New(rand.NewPCG(1, 2))
	for _, p := range append(flow.Protos(), 50) {
		for family := range byte(2) {
			f.Add(append([]byte{family, byte(p)}, seed...))
			for i := range seed { // some of it is there
				seed[i] = byte(r.Uint32())
			}
			f.Add(append([]byte{family, byte(p)}, seed...))
		}
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		e, want := (&draw{in}).entry()
		var b Batch
		b.Create(e)
		b.Put(e)
		b.Update(e)
		rest := b.Messages()
		for i := range 3 {
			m, next, err := nfnetlink.Next(rest)
			if err != nil {
				t.Fatal(err)
			}
			var d decoder
			var got flow.Flow
			if err := d.flow(&m, &got); err != nil {
				t.Fatal(err)
			}
			if i == 2 { // its original tuple says which flow to change
				want.Has, want.Reply = want.Has&^flow.HasReply, flow.Tuple{}
			}
			for _, diff := range differences(got, want) {
				t.Errorf("message %d: %s", i, diff)
			}
			if family := flow.Family(m.Family()); family != want.Orig.Family() || m.Seq != uint32(firstSeq+i) {
				t.Errorf("message %d: family %v, sequence number %d", i, family, m.Seq)
			}
			rest = next
		}
		if len(rest) != 0 {
			t.Errorf("%d bytes are left", len(rest))
		}
	})
}

// FuzzExpectation states the law: what is sent of an expectation is read.
func FuzzExpectation(f *testing.F) {
	f.Add([]byte{}, uint16(0))
	f.Add([]byte{0, 6, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}, uint16(1<<10-1))
	f.Fuzz(func(t *testing.T, in []byte, has uint16) {
		d := &draw{in}
		family := flow.IPv4
		if d.yes() {
			family = flow.IPv6
		}
		p := flow.Proto(d.u8())
		want := flow.Expect{Has: flow.ExpectHasMask | flow.ExpectHasMaster, Tuple: d.tuple(family, p), Mask: d.tuple(family, p),
			Master: d.tuple(family, flow.TCP), Zone: d.u16()}
		if want.Zone != 0 {
			want.Has |= flow.ExpectHasZone
		}
		for _, field := range []struct {
			bit flow.ExpectFields
			set func()
		}{
			{flow.ExpectHasTimeout, func() { want.Timeout = time.Duration(d.u32()) * time.Second }},
			{flow.ExpectHasHelper, func() { want.Helper = "ftp" }},
			{flow.ExpectHasFunc, func() { want.Func = "nat-follow-master" }},
			{flow.ExpectHasFlags, func() { want.Flags = flow.ExpectFlags(d.u32()) }},
			{flow.ExpectHasClass, func() { want.Class = d.u32() }},
			{flow.ExpectHasNAT, func() { want.NAT, want.NATReply = d.tuple(family, p), d.yes() }},
		} {
			if has&uint16(field.bit) != 0 {
				want.Has |= field.bit
				field.set()
			}
		}
		var b nfnetlink.Builder
		beginExpect(&b, msgExpectNew, nfnetlink.Create, 1, &want.Tuple, want.Zone)
		appendExpect(&b, &want)
		b.End()
		m, rest, err := nfnetlink.Next(b.Bytes())
		if err != nil || len(rest) != 0 {
			t.Fatalf("%v, %d bytes are left", err, len(rest))
		}
		var got flow.Expect
		if err := new(decoder).expect(&m, &got); err != nil {
			t.Fatal(err)
		}
		for _, diff := range differences(got, want) {
			t.Error(diff)
		}
	})
}
