package wire_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/statesync/wire"
)

func TestEveryAttributeHasItsRowAndIsTested(t *testing.T) {
	seen := map[bool]map[string]bool{false: {}, true: {}}
	note := func(datagram []byte) {
		for _, m := range wire.Dissect(datagram).Messages {
			for _, a := range m.Attrs {
				seen[m.Type.IsExpect()][a.Name] = true
			}
		}
	}
	for _, v := range vectors(t) {
		note(v.payload(t))
	}
	f := everything() // SYNPROXY and ZONE, which no recorded datagram has
	note(send(&f, wire.Options{TCPWindowTracking: true}))
	note(unhex(t, dccp))

	flowNames, expectNames, flowNumbers, expectNumbers := wire.Rows()
	for _, table := range []struct {
		expect  bool
		count   int
		names   []string
		numbers []uint8
	}{{false, 33, flowNames, flowNumbers}, {true, 21, expectNames, expectNumbers}} {
		slices.Sort(table.numbers)
		for i, n := range table.numbers {
			if i != int(n) {
				t.Fatalf("no row for %d, or two", i)
			}
		}
		if len(table.numbers) != table.count {
			t.Errorf("%d rows, want %d", len(table.numbers), table.count)
		}
		for _, name := range table.names {
			if !seen[table.expect][name] {
				t.Errorf("%s is not in any test", name)
			}
		}
	}
}

// dccp is a message that conntrackd 1.4.9 took as it should, though it was made by hand.
const dccp = "1000003c000003e8000c00000102030405060708000800050000000e000500022100000000080003001e005000050014040000000005001501000000"

func TestDCCP(t *testing.T) {
	b := unhex(t, dccp)
	var d wire.Decoder
	var f wire.Flow
	if fault := d.Flow(first(b), &f); fault != 0 {
		t.Fatal(fault)
	}
	want := flow.Flow{
		Has:    flow.HasReply | flow.HasStatus | flow.HasState | flow.HasDCCP,
		Orig:   flow.Tuple{Src: addr("1.2.3.4"), Dst: addr("5.6.7.8"), SrcPort: 30, DstPort: 80, Proto: flow.DCCP},
		Reply:  flow.Tuple{Src: addr("5.6.7.8"), Dst: addr("1.2.3.4"), SrcPort: 80, DstPort: 30, Proto: flow.DCCP},
		Status: flow.SeenReply | flow.Assured | flow.Confirmed, State: flow.DCCPOpen,
		DCCP: flow.DCCPInfo{Role: flow.DCCPServer},
	}
	if f.Flow != want {
		t.Errorf("got  %+v\nwant %+v", f.Flow, want)
	}
	if again := wire.AppendFlow(nil, first(b).Header, &want, wire.Options{}); !bytes.Equal(again, b) {
		t.Errorf("sent as %x", again)
	}
}

// What the peer learns is the flow itself, but for what is not sent.
func TestWhatIsSentArrives(t *testing.T) {
	var d wire.Decoder
	sent := everything()
	var got wire.Flow
	if fault := d.Flow(first(send(&sent, wire.Options{TCPWindowTracking: true})), &got); fault != 0 {
		t.Fatal(fault)
	}
	sent.Has &^= flow.HasSecMark | flow.HasSecCtx | flow.HasUse | flow.HasID | flow.HasOrigCounters | flow.HasReplyCounters |
		flow.HasStart | flow.HasStop | flow.HasVTags | flow.HasDCCP
	sent.OrigWindow.Flags = 0
	if got.Flow != sent {
		t.Errorf("flow:\ngot  %+v\nwant %+v", got.Flow, sent)
	}
	announced := expectation("192.0.2.1", "192.0.2.2")
	var e wire.Expect
	if fault := d.Expect(first(sendExpect(&announced, wire.Options{})), &e); fault != 0 {
		t.Fatal(fault)
	}
	announced.Has &^= flow.ExpectHasID | flow.ExpectHasZone
	if e.Expect != announced {
		t.Errorf("expectation:\ngot  %+v\nwant %+v", e.Expect, announced)
	}
}

// TestMalformed: which faults a datagram has, message by message; 0 is a good message.
func TestMalformed(t *testing.T) {
	good := message(wire.CTNew, identity(flow.UDP)...)
	alive := []byte{0x1a, 0x10, 0, 8, 0, 0, 0, 1}
	ack := []byte{0x1a, 0x08, 0, 16, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3}
	length := func(b []byte, n byte) []byte {
		b = bytes.Clone(b)
		b[3] = n
		return b
	}
	other := bytes.Clone(good)
	other[0] = 0x20
	payload := func(attrs ...[]byte) []byte { return message(wire.CTUpdate, join(attrs...)...) }
	udp := identity(flow.UDP)
	v6 := attribute(1, make([]byte, 32)...)

	for _, c := range []struct {
		name   string
		b      []byte
		faults []wire.Fault
	}{
		{"empty", nil, nil},
		{"good", good, []wire.Fault{0}},
		{"less than a header", good[:7], []wire.Fault{wire.Truncated}},
		{"less than a header behind good ones", join(good, ack, alive[:3]), []wire.Fault{0, 0, wire.Truncated}},
		{"length 0", join(good, length(good, 0), good), []wire.Fault{0, wire.BadSize}},
		{"more than there is", join(good, good[:len(good)-1]), []wire.Fault{0, wire.BadSize}},
		{"shorter than a header", join(length(good, 7), good), []wire.Fault{wire.BadSize}},
		{"ALIVE shorter than a header", join(length(alive, 4), good), []wire.Fault{wire.BadSize}},
		{"ACK cut off", length(ack[:12], 12), []wire.Fault{wire.Truncated}},
		{"ACK cut off, with its length", ack[:12], []wire.Fault{wire.BadSize}},
		{"ACK too short", join(length(ack, 12), good), []wire.Fault{wire.BadSize}},
		{"NACK too short", join([]byte{0x1a, 4, 0, 8, 0, 0, 0, 1}, good), []wire.Fault{wire.BadSize}},
		{"RESYNC alone and too short", []byte{0x1a, 2, 0, 8, 0, 0, 0, 1}, []wire.Fault{wire.Truncated}},
		{"ACK longer than needed", join(length(ack, 20), []byte{9, 9, 9, 9}, good), []wire.Fault{0, 0}},
		{"another version", join(other, good), []wire.Fault{wire.BadVersion, 0}},
		{"another version and length 0", join(length(other, 0), good), []wire.Fault{wire.BadSize}},
		{"unknown type", join(message(6, udp...), message(15, udp...), good), []wire.Fault{wire.BadType, wire.BadType, 0}},
		{"any flags", []byte{0x1a, 0x81, 0, 8, 0, 0, 0, 1}, []wire.Fault{0}},

		{"no attributes", payload(), []wire.Fault{wire.BadPayload}},
		{"no addresses", payload(attribute(2, 17)), []wire.Fault{wire.BadPayload}},
		{"no protocol", payload(udp[:12]), []wire.Fault{wire.BadPayload}},
		{"both families", payload(udp, v6), []wire.Fault{wire.BadPayload}},
		{"IPv6", payload(v6, udp[12:]), []wire.Fault{0}},
		{"attribute longer than what is left", payload(udp, []byte{0, 9, 0, 5, 0, 0, 0, 0}), []wire.Fault{wire.BadPayload}},
		{"attribute shorter than its header", payload(udp, []byte{0, 3, 0, 5, 0, 0, 0, 0}), []wire.Fault{wire.BadPayload}},
		{"labels shorter than their header", payload(udp, []byte{0, 3, 0, 28, 0, 0, 0, 0}), []wire.Fault{wire.BadPayload}},
		{"attribute of length 0", payload(udp, make([]byte, 8)), []wire.Fault{wire.BadPayload}},
		{"unknown attribute", join(payload(udp, attribute(33, 0, 0, 0, 0)), good), []wire.Fault{wire.BadPayload, 0}},
		{"attribute too short", payload(udp, attribute(5, 0, 0, 0)), []wire.Fault{wire.BadPayload}},
		{"attribute too long", payload(udp, attribute(7, 0, 0, 0, 0, 0)), []wire.Fault{wire.BadPayload}},
		{"trailing attribute header", payload(udp, []byte{0xff, 0xff, 0xff, 0xff}), []wire.Fault{0}},
		{"trailing bytes", payload(udp, []byte{1, 2, 3}), []wire.Fault{0}},
		{"last attribute without padding", payload(udp, []byte{0, 5, 0, 4, 1}), []wire.Fault{0}},
		{"helper name with room for 11", payload(udp, attribute(27, []byte("elevenbytes\x00")...)), []wire.Fault{0}},
		{"helper name too long", payload(udp, attribute(27, []byte("twelve-bytes\x00")...)), []wire.Fault{wire.BadPayload}},
		{"labels as long as can be", payload(udp, attribute(28, make([]byte, 1024)...)), []wire.Fault{0}},
		{"labels too long", payload(udp, attribute(28, make([]byte, 1025)...)), []wire.Fault{wire.BadPayload}},
		{"empty labels", payload(attribute(28), udp), []wire.Fault{0}},
		{"expectation of nothing", message(wire.ExpectNew, udp...), []wire.Fault{wire.BadPayload}},
		{"expectation with an unknown attribute", expecting(attribute(21, 0)), []wire.Fault{wire.BadPayload}},
		{"expectation with an unknown attribute at its end", expecting(attribute(21)), []wire.Fault{0}},
		{"function name with room for 27", expecting(attribute(20, append(make([]byte, 27), 0)...)), []wire.Fault{0}},
		{"function name too long", expecting(attribute(20, append(make([]byte, 28), 0)...)), []wire.Fault{wire.BadPayload}},
		{"expectation's helper too long", expecting(attribute(19, make([]byte, 13)...)), []wire.Fault{wire.BadPayload}},
		{"expectation with both families", expecting(attribute(9, make([]byte, 32)...)), []wire.Fault{wire.BadPayload}},
	} {
		var got []wire.Fault
		var x receiver
		for r := wire.Datagram(c.b); r.Next(); {
			got = append(got, x.fault(&r))
		}
		if !slices.Equal(got, c.faults) {
			t.Errorf("%s: %v, want %v", c.name, got, c.faults)
		}
		dissected := wire.Dissect(c.b).Messages
		if len(dissected) != len(c.faults) {
			t.Errorf("%s: %d messages dissected", c.name, len(dissected))
			continue
		}
		for i, m := range dissected {
			counter := ""
			if m.Error != nil {
				counter = m.Error.Counter
			}
			if counter != c.faults[i].String() {
				t.Errorf("%s: dissected as %q, want %q", c.name, counter, c.faults[i])
			}
		}
	}
}

// expecting is an expectation with an attribute more.
func expecting(more []byte) []byte {
	e := expectation("192.0.2.1", "192.0.2.2")
	e.Has &^= flow.ExpectHasHelper | flow.ExpectHasFunc
	return message(wire.ExpectNew, join(sendExpect(&e, wire.Options{})[8:], more)...)
}

// receiver decodes whatever comes.
type receiver struct {
	d wire.Decoder
	f wire.Flow
	e wire.Expect
}

// fault decodes the current message and returns what is wrong with it.
func (x *receiver) fault(r *wire.Reader) wire.Fault {
	m := &r.Message
	switch {
	case r.Fault != 0 || m.Type == wire.Control:
		return r.Fault
	case m.Type.IsExpect():
		return x.d.Expect(m, &x.e)
	}
	return x.d.Flow(m, &x.f)
}

func TestRejectedMessagesChangeNothing(t *testing.T) {
	var d wire.Decoder
	var f wire.Flow
	whole := everything()
	d.Flow(first(send(&whole, wire.Options{})), &f)
	was := f
	bad := first(message(wire.CTUpdate, join(identity(flow.UDP), attribute(7, 1, 2, 3, 4), attribute(99, 1))...))
	if d.Flow(bad, &f) != wire.BadPayload || d.Merge(bad, &f) != wire.BadPayload || f != was {
		t.Errorf("changed to %+v", f)
	}
	e := expectation("192.0.2.1", "192.0.2.2")
	if m := first(sendExpect(&e, wire.Options{})); d.Flow(m, &f) != wire.BadType || d.Merge(m, &f) != wire.BadType || f != was {
		t.Error("an expectation taken for a flow")
	}
	if d.Expect(bad, new(wire.Expect)) != wire.BadType {
		t.Error("a flow taken for an expectation")
	}
}

// TestOddities: what is accepted though the original would not send it, and what becomes of it.
func TestOddities(t *testing.T) {
	udp, tcp := identity(flow.UDP), identity(flow.TCP)
	for _, c := range []struct {
		name  string
		attrs []byte
		ok    func(*wire.Flow) bool
	}{
		{"of a repeated attribute the last counts", join(udp, attribute(7, 0, 0, 0, 1), attribute(7, 0, 0, 0, 2)),
			func(f *wire.Flow) bool { return f.Mark == 2 && f.Has.Has(flow.HasMark) }},
		{"the order does not matter", join(attribute(3, 0, 1, 0, 2), attribute(4, 3), tcp[12:], tcp[:12]),
			func(f *wire.Flow) bool { return f.Orig.SrcPort == 1 && f.Reply.SrcPort == 2 && f.State == 3 }},
		{"labels of half a word are ignored", join(udp, attribute(28, 1, 2, 3, 4, 5)),
			func(f *wire.Flow) bool { return !f.Has.Has(flow.HasLabels) }},
		{"a usable one counts before an unusable one", join(udp, attribute(28, 0, 0, 0, 1), attribute(28, 1, 2, 3, 4, 5)),
			func(f *wire.Flow) bool { return f.Labels.Bit(0) }},
		{"a small label area", join(udp, attribute(28, 0x80, 0, 0, 1)),
			func(f *wire.Flow) bool { return f.Labels.Bit(0) && f.Labels.Bit(31) && !f.Labels.Bit(32) }},
		{"a large label area", join(udp, attribute(28, append(make([]byte, 16), 1, 2, 3, 4)...)),
			func(f *wire.Flow) bool { return f.Labels == flow.Labels{} && f.Has.Has(flow.HasLabels) }},
		{"a name without an end is ignored", join(udp, attribute(27, 'f', 't', 'p', 'x')),
			func(f *wire.Flow) bool { return !f.Has.Has(flow.HasHelper) && f.Helper == "" }},
		{"a name ends at its zero", join(udp, attribute(27, 'f', 't', 'p', 0, 'x')),
			func(f *wire.Flow) bool { return f.Helper == "ftp" }},
		{"another protocol's state is ignored", join(udp, attribute(4, 3), attribute(17, 2), attribute(22, 8)),
			func(f *wire.Flow) bool { return f.Has == flow.HasReply && f.State == 0 && f.Orig.DstPort == 0 }},
		{"another family's translation is ignored", join(udp, attribute(29, make([]byte, 16)...)),
			func(f *wire.Flow) bool { return f.Reply.Dst == addr("192.0.2.1") }},
		{"a master without addresses is ignored", join(udp, attribute(10, 6), attribute(11, 0, 1, 0, 2)),
			func(f *wire.Flow) bool { return !f.Has.Has(flow.HasMaster) && f.Master == flow.Tuple{} && !f.Related() }},
		{"keys of GRE, which nobody sends", join(identity(flow.GRE), attribute(3, 0, 1, 0, 2)),
			func(f *wire.Flow) bool { return f.Orig.SrcPort == 1 && f.Orig.DstPort == 2 }},
		{"ICMP has no translated ports", join(identity(flow.ICMP), attribute(22, 8), attribute(23, 0), attribute(24, 0x34, 0x12),
			attribute(14, 7, 7), attribute(15, 7, 7)), func(f *wire.Flow) bool {
			_, _, src := f.SrcNAT()
			_, _, dst := f.DstNAT()
			return f.Orig.ICMPType() == 8 && f.Orig.ICMPID() == 0x1234 && f.Reply.ICMPType() == 0 && f.Reply.ICMPID() == 0x1234 &&
				!src && !dst
		}},
	} {
		var d wire.Decoder
		var f wire.Flow
		if fault := d.Flow(first(message(wire.CTNew, c.attrs...)), &f); fault != 0 || !c.ok(&f) {
			t.Errorf("%s: %v, %+v", c.name, fault, f)
		}
	}
}

// An expectation may have what means nothing for its protocol or family; it is not taken over.
func TestOdditiesOfExpectations(t *testing.T) {
	var d wire.Decoder
	for name, change := range map[string]func(*flow.Expect){
		"expected over ICMP": func(e *flow.Expect) { e.Tuple.Proto = flow.ICMP },
		"master over ICMP":   func(e *flow.Expect) { e.Master.Proto = flow.ICMP },
		"IPv6": func(e *flow.Expect) {
			*e = expectation("2001:db8::1", "2001:db8::2")
			e.NAT.Src, e.NAT.Dst = netip.Addr{}, netip.Addr{}
		},
	} {
		e := expectation("192.0.2.1", "192.0.2.2")
		change(&e)
		plain := sendExpect(&e, wire.Options{})
		more := []byte{}
		for _, n := range []int{3, 7, 11, 15, 16} {
			there := func(a wire.DissectedAttr) bool { return a.Number == n }
			if slices.ContainsFunc(wire.Dissect(plain).Messages[0].Attrs, there) {
				continue
			}
			size := 4
			if n == 15 {
				size = 8
			}
			more = append(more, attribute(n, make([]byte, size)...)...)
		}
		if len(more) == 0 {
			t.Fatalf("%s: nothing to add", name)
		}
		var want, got wire.Expect
		if d.Expect(first(plain), &want) != 0 || d.Expect(first(message(wire.ExpectNew, join(more, plain[8:])...)), &got) != 0 || got != want {
			t.Errorf("%s:\ngot  %+v\nwant %+v", name, got, want)
		}
	}
}

// The layout of what no recorded datagram has.
func TestUnrecordedLayouts(t *testing.T) {
	f := everything()
	want := map[string]string{
		"SYNPROXY":    "0506070801020304090a0b0c", // time stamp, sequence number, offset
		"ZONE":        "1234",
		"SPAT_PORT":   "50c3", // 50000, swapped
		"LABELS":      "00000001000000000000000080000000",
		"NAT_SEQ_ADJ": "80000000ffffffff000000020000000300000004fffffffb",
		"HELPER_NAME": "656c6576656e627974657300",
		"MARK":        "deadbeef",
	}
	for _, a := range wire.Dissect(send(&f, wire.Options{})).Messages[0].Attrs {
		if hex, ok := want[a.Name]; ok && hex != a.Hex {
			t.Errorf("%s is %s, want %s", a.Name, a.Hex, hex)
		}
		delete(want, a.Name)
	}
	if len(want) != 0 {
		t.Errorf("not sent: %v", want)
	}
}

func TestTranslationsToAskFor(t *testing.T) {
	type nat struct {
		addr netip.Addr
		port uint16
		ok   bool
	}
	to := addr("203.0.113.7")
	snat, dnat := attribute(12, 203, 0, 113, 7), attribute(13, 203, 0, 113, 7)
	spat, dpat := attribute(14, 0x92, 0x1f), attribute(15, 0x92, 0x1f)
	for _, c := range []struct {
		name     string
		proto    flow.Proto
		attrs    []byte
		src, dst nat
	}{
		{"none", flow.TCP, nil, nat{}, nat{}},
		{"source address", flow.TCP, snat, nat{to, 0, true}, nat{}},
		{"source port", flow.UDP, spat, nat{port: 8082, ok: true}, nat{}},
		{"source", flow.TCP, join(snat, spat), nat{to, 8082, true}, nat{}},
		{"destination address", flow.TCP, dnat, nat{}, nat{to, 0, true}},
		{"destination port", flow.UDP, dpat, nat{}, nat{port: 8082, ok: true}},
		{"destination", flow.TCP, join(dnat, dpat), nat{}, nat{to, 8082, true}},
		{"ports of other protocols", flow.SCTP, join(snat, spat, dpat), nat{to, 0, true}, nat{}},
		{"address that stays", flow.TCP, attribute(12, 192, 0, 2, 1), nat{addr("192.0.2.1"), 0, true}, nat{}},
	} {
		var d wire.Decoder
		var f wire.Flow
		d.Flow(first(message(wire.CTNew, join(identity(c.proto), c.attrs)...)), &f)
		var src, dst nat
		src.addr, src.port, src.ok = f.SrcNAT()
		dst.addr, dst.port, dst.ok = f.DstNAT()
		if src != c.src || dst != c.dst {
			t.Errorf("%s: %v %v, want %v %v", c.name, src, dst, c.src, c.dst)
		}
	}
}

// An update replaces what it has and keeps the rest.
func TestMerge(t *testing.T) {
	var d wire.Decoder
	var f wire.Flow
	port := attribute(3, 0, 80, 0, 81)
	d.Flow(first(message(wire.CTNew, join(identity(flow.TCP), port, attribute(5, 0, 0, 0, 8), attribute(4, 1),
		attribute(12, 203, 0, 113, 7), attribute(7, 0, 0, 0, 5))...)), &f)
	if fault := d.Merge(first(message(wire.CTUpdate, join(identity(flow.TCP), port, attribute(5, 0, 0, 0, 0x8e), attribute(4, 3),
		attribute(14, 1, 0), attribute(32, 0, 9))...)), &f); fault != 0 {
		t.Fatal(fault)
	}
	want := flow.Flow{
		Has:    flow.HasReply | flow.HasStatus | flow.HasState | flow.HasMark | flow.HasZone,
		Orig:   flow.Tuple{Src: addr("192.0.2.1"), Dst: addr("192.0.2.2"), SrcPort: 80, DstPort: 81, Proto: flow.TCP},
		Reply:  flow.Tuple{Src: addr("192.0.2.2"), Dst: addr("203.0.113.7"), SrcPort: 81, DstPort: 1, Proto: flow.TCP},
		Status: 0x8e, State: 3, Mark: 5, Zone: 9,
	}
	if f.Flow != want {
		t.Errorf("got  %+v\nwant %+v", f.Flow, want)
	}
	if to, port, ok := f.SrcNAT(); !ok || to != addr("203.0.113.7") || port != 1 {
		t.Error(to, port, ok)
	}
	var unknown wire.Flow
	if fault := d.Merge(first(message(wire.CTUpdate, identity(flow.TCP)...)), &unknown); fault != 0 || !unknown.Has.Has(flow.HasReply) {
		t.Errorf("an update of nothing: %v, %+v", fault, unknown)
	}
}

func TestRelated(t *testing.T) {
	master := join(attribute(8, 192, 0, 2, 3, 192, 0, 2, 4), attribute(10, 6), attribute(11, 0, 1, 0, 21))
	for name, c := range map[string]struct {
		attrs []byte
		want  bool
	}{
		"no master":         {nil, false},
		"master":            {master, true},
		"without ports":     {master[:20], false},
		"without addresses": {master[12:], false},
	} {
		var d wire.Decoder
		var f wire.Flow
		d.Flow(first(message(wire.CTNew, join(identity(flow.TCP), c.attrs)...)), &f)
		if f.Related() != c.want {
			t.Errorf("%s: %v", name, f.Related())
		}
	}
}

// However a stream is cut into pieces, its messages are the same.
func TestStreams(t *testing.T) {
	var whole []byte
	for _, v := range vectors(t)[:40] {
		whole = append(whole, v.payload(t)...)
	}
	want := split(whole, len(whole))
	if len(want) < 40 {
		t.Fatalf("%d messages", len(want))
	}
	for _, piece := range []int{1, 2, 3, 7, 8, 9, 15, 16, 17, 64, 1000} {
		if got := split(whole, piece); !slices.Equal(got, want) {
			t.Errorf("in pieces of %d bytes: %d messages, want %d", piece, len(got), len(want))
		}
	}
}

// split reads a stream piece by piece, as a receiver does, and returns what it finds.
func split(stream []byte, piece int) (found []string) {
	var buf []byte
	for len(stream) > 0 {
		n := min(piece, len(stream))
		buf, stream = append(buf, stream[:n]...), stream[n:]
		r := wire.Stream(buf)
		for r.Next() {
			found = append(found, fmt.Sprintf("%v %v %x", r.Message.Header, r.Fault, r.Message.Range))
		}
		buf = append(buf[:0], buf[r.Consumed():]...)
	}
	return found
}

func TestBrokenStreams(t *testing.T) {
	alive := []byte{0x1a, 0x10, 0, 8, 0, 0, 0, 1}
	for _, c := range []struct {
		name     string
		b        []byte
		faults   []wire.Fault
		consumed int
	}{
		{"nothing", nil, nil, 0},
		{"part of a header", join(alive, alive[:7]), []wire.Fault{0}, 8},
		{"part of a message", []byte{0x10, 0, 0, 12, 0, 0, 0, 1}, nil, 0},
		{"part of an ACK", []byte{0x1a, 8, 0, 16, 0, 0, 0, 1, 0, 0, 0, 1}, nil, 0},
		{"part of an ACK that is too short", []byte{0x1a, 8, 0, 8, 0, 0, 0, 1}, nil, 0},
		{"an ACK that is too short", join([]byte{0x1a, 8, 0, 8, 0, 0, 0, 1}, alive, alive), []wire.Fault{wire.BadSize}, 24},
		{"length 0", join(alive, make([]byte, 20)), []wire.Fault{0, wire.BadSize}, 28},
		{"length 7", join([]byte{0x10, 0, 0, 7}, make([]byte, 20)), []wire.Fault{wire.BadSize}, 24},
		{"another version", join([]byte{0x00, 0, 0, 8, 0, 0, 0, 1}, alive), []wire.Fault{wire.BadVersion, 0}, 16},
	} {
		r := wire.Stream(c.b)
		var got []wire.Fault
		for r.Next() {
			got = append(got, r.Fault)
		}
		if !slices.Equal(got, c.faults) || r.Consumed() != c.consumed || r.Next() {
			t.Errorf("%s: %v, %d bytes, want %v, %d", c.name, got, r.Consumed(), c.faults, c.consumed)
		}
	}
}

// Anybody can send names; those that are remembered are limited.
func TestNamesDoNotFillTheMemory(t *testing.T) {
	var d wire.Decoder
	var f wire.Flow
	for i := range 3000 {
		name := fmt.Sprintf("h%d", i)
		m := first(message(wire.CTNew, join(identity(flow.TCP), attribute(27, append([]byte(name), 0)...))...))
		if d.Flow(m, &f); f.Helper != name {
			t.Fatalf("%q, want %q", f.Helper, name)
		}
	}
	if have, most := d.Names(); have > most {
		t.Errorf("%d names remembered", have)
	}
}

func TestNothingAllocates(t *testing.T) {
	f, e, o := everything(), expectation("192.0.2.1", "192.0.2.2"), wire.Options{TCPWindowTracking: true}
	buf := make([]byte, 0, 2*wire.MaxSize+16)
	build := func() {
		buf = wire.AppendFlow(buf[:0], wire.Header{Type: wire.CTUpdate}, &f, o)
		buf = wire.AppendExpect(buf, wire.Header{Type: wire.ExpectNew}, &e, o)
		buf = wire.AppendControl(buf, wire.Header{Flags: wire.Ack}, wire.Range{From: 1, To: 2})
		wire.Stamp(buf, wire.Hello, 3)
	}
	if n := testing.AllocsPerRun(100, build); n != 0 {
		t.Errorf("%v allocations to build messages", n)
	}
	var d wire.Decoder
	var got wire.Flow
	var exp wire.Expect
	read := func() {
		for r := wire.Datagram(buf); r.Next(); {
			switch m := &r.Message; {
			case m.Type.IsFlow():
				if d.Flow(m, &got) != 0 || d.Merge(m, &got) != 0 {
					t.Error("rejected")
				}
			case m.Type.IsExpect():
				if d.Expect(m, &exp) != 0 {
					t.Error("rejected")
				}
			}
		}
	}
	read() // learns the names
	if n := testing.AllocsPerRun(100, read); n != 0 {
		t.Errorf("%v allocations to read messages", n)
	}
	if got.Helper != f.Helper || exp.Func != e.Func {
		t.Error("nothing was read")
	}
	if n := testing.AllocsPerRun(100, func() { buf = got.Append(buf[:0], wire.Header{}) }); n != 0 {
		t.Errorf("%v allocations to send again", n)
	}
	garbage := join(message(6, 1), message(wire.CTNew, attribute(99, 1)...), []byte{1, 2, 3})
	var x receiver
	if n := testing.AllocsPerRun(100, func() {
		for r := wire.Datagram(garbage); r.Next(); {
			x.fault(&r)
		}
	}); n != 0 {
		t.Errorf("%v allocations to reject messages", n)
	}
}
