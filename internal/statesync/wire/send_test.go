package wire_test

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/statesync/wire"
)

func send(f *flow.Flow, o wire.Options) []byte {
	return wire.AppendFlow(nil, wire.Header{Type: wire.CTNew, Seq: 1}, f, o)
}

func sendExpect(e *flow.Expect, o wire.Options) []byte {
	return wire.AppendExpect(nil, wire.Header{Type: wire.ExpectNew, Seq: 1}, e, o)
}

func TestAttributesGoOutInTheOriginalsOrder(t *testing.T) {
	f := everything()
	want := strings.Fields(`IPV6 STATUS L4PROTO PORT TCP_STATE TCP_WSCALE_ORIG TCP_WSCALE_REPL TIMEOUT MARK MASTER_IPV6
		MASTER_L4PROTO MASTER_PORT SNAT_IPV6 DNAT_IPV6 SPAT_PORT DPAT_PORT NAT_SEQ_ADJ HELPER_NAME LABELS SYNPROXY ZONE`)
	b := send(&f, wire.Options{TCPWindowTracking: true})
	if got := names(b); !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if len(b) > wire.MaxSize {
		t.Errorf("%d bytes, more than MaxSize", len(b))
	}
	want = strings.Fields(`MASTER_IPV4 MASTER_L4PROTO MASTER_PORT EXPECT_IPV4 EXPECT_L4PROTO EXPECT_PORT MASK_IPV4 MASK_L4PROTO
		MASK_PORT TIMEOUT FLAGS CLASS NAT_IPV4 NAT_L4PROTO NAT_PORT NAT_DIR HELPER_NAME FN`)
	e := expectation("192.0.2.1", "192.0.2.2")
	if got := names(sendExpect(&e, wire.Options{})); !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	e = expectation("2001:db8::1", "2001:db8::2")
	b = sendExpect(&e, wire.Options{})
	for i, name := range want {
		want[i] = strings.Replace(name, "IPV4", "IPV6", 1)
	}
	want = slices.DeleteFunc(want, func(name string) bool { return name == "NAT_IPV6" })
	if got := names(b); !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if len(b) > wire.MaxSize {
		t.Errorf("%d bytes, more than MaxSize", len(b))
	}
}

// What conntrackd sends by default of an ordinary flow is no longer than what it has been seen to send.
func TestSizesAreTheOriginals(t *testing.T) {
	udp := simple()
	tcp := udp
	tcp.Orig.Proto, tcp.Reply.Proto, tcp.State, tcp.Has = flow.TCP, flow.TCP, flow.TCPEstablished, tcp.Has|flow.HasState
	translated := tcp
	translated.Reply.Dst, translated.Reply.DstPort = addr("203.0.113.1"), 999
	six := tcp
	six.Orig.Src, six.Orig.Dst = addr("2001:db8::1"), addr("2001:db8::2")
	six.Reply, _ = six.Orig.Inverse()
	for _, c := range []struct {
		name string
		f    flow.Flow
		size int
	}{{"UDP", udp, 52}, {"TCP", tcp, 60}, {"TCP with source NAT", translated, 76}, {"TCP over IPv6", six, 84}} {
		if b := send(&c.f, wire.Options{}); len(b) != c.size {
			t.Errorf("%s: %d bytes, want %d: %v", c.name, len(b), c.size, names(b))
		}
	}
}

// TestWhatIsSentWhen: what a change to a flow does to the list of its attributes.
func TestWhatIsSentWhen(t *testing.T) {
	const plain = "IPV4 STATUS L4PROTO PORT TIMEOUT"
	icmp := func(f *flow.Flow) {
		f.Orig.Proto = flow.ICMP
		f.Orig.SetICMP(8, 0, 0x1234)
		f.Reply, _ = f.Orig.Inverse()
	}
	proto := func(p flow.Proto) func(*flow.Flow) {
		return func(f *flow.Flow) { f.Orig.Proto, f.Reply.Proto = p, p }
	}
	all := func(changes ...func(*flow.Flow)) func(*flow.Flow) {
		return func(f *flow.Flow) {
			for _, change := range changes {
				change(f)
			}
		}
	}
	known := func(bits flow.Fields) func(*flow.Flow) { return func(f *flow.Flow) { f.Has |= bits } }
	for _, c := range []struct {
		name   string
		change func(*flow.Flow)
		o      wire.Options
		want   string
	}{
		{"nothing special", func(*flow.Flow) {}, wire.Options{}, plain},
		{"unknown status is sent as 0", func(f *flow.Flow) { f.Has, f.Status = flow.HasTimeout, 0 }, wire.Options{}, plain},
		{"no timeout known", func(f *flow.Flow) { f.Has &^= flow.HasTimeout }, wire.Options{}, "IPV4 STATUS L4PROTO PORT"},
		{"CommitTimeout", func(*flow.Flow) {}, wire.Options{OmitTimeout: true}, "IPV4 STATUS L4PROTO PORT"},
		{"mark 0", known(flow.HasMark), wire.Options{}, plain + " MARK"},
		{"TCP without state", all(proto(flow.TCP), known(flow.HasTCPWindow)), wire.Options{TCPWindowTracking: true}, plain},
		{"TCP, scale not asked for", all(proto(flow.TCP), known(flow.HasState|flow.HasTCPWindow)), wire.Options{},
			"IPV4 STATUS L4PROTO PORT TCP_STATE TIMEOUT"},
		{"TCP, scale not known", all(proto(flow.TCP), known(flow.HasState)), wire.Options{TCPWindowTracking: true},
			"IPV4 STATUS L4PROTO PORT TCP_STATE TIMEOUT"},
		{"TCP with scale", all(proto(flow.TCP), known(flow.HasState|flow.HasTCPWindow)), wire.Options{TCPWindowTracking: true},
			"IPV4 STATUS L4PROTO PORT TCP_STATE TCP_WSCALE_ORIG TCP_WSCALE_REPL TIMEOUT"},
		{"SCTP without state", all(proto(flow.SCTP), known(flow.HasVTags)), wire.Options{}, plain},
		{"SCTP", all(proto(flow.SCTP), known(flow.HasState|flow.HasVTags)), wire.Options{},
			"IPV4 STATUS L4PROTO PORT SCTP_STATE SCTP_VTAG_ORIG SCTP_VTAG_REPL TIMEOUT"},
		{"DCCP without state", all(proto(flow.DCCP), known(flow.HasDCCP)), wire.Options{}, plain},
		{"DCCP", all(proto(flow.DCCP), known(flow.HasState|flow.HasDCCP)), wire.Options{},
			"IPV4 STATUS L4PROTO PORT DCCP_STATE DCCP_ROLE TIMEOUT"},
		{"GRE", proto(flow.GRE), wire.Options{}, "IPV4 STATUS L4PROTO TIMEOUT"},
		{"UDP-Lite", proto(flow.UDPLite), wire.Options{}, "IPV4 STATUS L4PROTO TIMEOUT"},
		{"ESP", func(f *flow.Flow) {
			f.Orig.Proto, f.Orig.SrcPort, f.Orig.DstPort = 50, 0, 0
			f.Reply, _ = f.Orig.Inverse()
		}, wire.Options{}, "IPV4 STATUS L4PROTO TIMEOUT"},
		{"ICMP, looked at by NAT", icmp, wire.Options{},
			"IPV4 STATUS L4PROTO ICMP_TYPE ICMP_CODE ICMP_ID TIMEOUT SPAT_PORT DPAT_PORT"},
		{"ICMP without NAT", all(icmp, func(f *flow.Flow) { f.Status = flow.Confirmed }), wire.Options{},
			"IPV4 STATUS L4PROTO ICMP_TYPE ICMP_CODE ICMP_ID TIMEOUT"},
		{"source translated", func(f *flow.Flow) { f.Reply.Dst = addr("203.0.113.1") }, wire.Options{}, plain + " SNAT_IPV4"},
		{"source port translated", func(f *flow.Flow) { f.Reply.DstPort++ }, wire.Options{}, plain + " SPAT_PORT"},
		{"destination translated", func(f *flow.Flow) { f.Reply.Src = addr("203.0.113.1") }, wire.Options{}, plain + " DNAT_IPV4"},
		{"destination port translated", func(f *flow.Flow) { f.Reply.SrcPort++ }, wire.Options{}, plain + " DPAT_PORT"},
		{"source not decided", func(f *flow.Flow) { f.Reply.Dst, f.Status = addr("203.0.113.1"), flow.DstNATDone }, wire.Options{}, plain},
		{"destination not decided", func(f *flow.Flow) { f.Reply.SrcPort, f.Status = 1, flow.SrcNATDone }, wire.Options{}, plain},
		{"no reply tuple", func(f *flow.Flow) { f.Has, f.Reply = f.Has&^flow.HasReply, flow.Tuple{} }, wire.Options{}, plain},
		{"empty reply tuple", func(f *flow.Flow) { f.Reply = flow.Tuple{SrcPort: 53, DstPort: 1000} }, wire.Options{}, plain},
		{"adjusted one way", known(flow.HasOrigSeqAdj), wire.Options{}, plain},
		{"adjusted both ways", known(flow.HasOrigSeqAdj | flow.HasReplySeqAdj), wire.Options{}, plain + " NAT_SEQ_ADJ"},
		{"empty helper", known(flow.HasHelper), wire.Options{}, plain},
		{"helper of 11 bytes", all(known(flow.HasHelper), func(f *flow.Flow) { f.Helper = "netbios-ns1" }), wire.Options{}, plain + " HELPER_NAME"},
		{"helper of 12 bytes", all(known(flow.HasHelper), func(f *flow.Flow) { f.Helper = "netbios-ns12" }), wire.Options{}, plain},
		{"no label set", known(flow.HasLabels), wire.Options{}, plain},
		{"a label", all(known(flow.HasLabels), func(f *flow.Flow) { f.Labels.Set(70) }), wire.Options{}, plain + " LABELS"},
		{"zone", all(known(flow.HasZone), func(f *flow.Flow) { f.Zone = 1 }), wire.Options{}, plain + " ZONE"},
		{"SYNPROXY", known(flow.HasSynproxy), wire.Options{}, plain + " SYNPROXY"},
		{"master without addresses", known(flow.HasMaster), wire.Options{}, plain},
		{"master over GRE", all(known(flow.HasMaster), func(f *flow.Flow) { f.Master, f.Master.Proto = f.Orig, flow.GRE }),
			wire.Options{}, plain + " MASTER_IPV4 MASTER_L4PROTO MASTER_PORT"},
		{"master without ports", all(known(flow.HasMaster), func(f *flow.Flow) { f.Master, f.Master.Proto = f.Orig, 50 }),
			wire.Options{}, plain + " MASTER_IPV4 MASTER_L4PROTO"},
		{"what is never sent", all(known(flow.HasSecMark|flow.HasSecCtx|flow.HasUse|flow.HasID|flow.HasOrigCounters|
			flow.HasReplyCounters|flow.HasStart|flow.HasStop), func(f *flow.Flow) { f.SecCtx, f.ID = "x", 1 }), wire.Options{}, plain},
	} {
		f := simple()
		c.change(&f)
		b := send(&f, c.o)
		if got := strings.Join(names(b), " "); got != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", c.name, got, c.want)
		}
		var d wire.Decoder
		var back wire.Flow
		if fault := d.Flow(first(b), &back); fault != 0 {
			t.Errorf("%s: %s", c.name, fault)
		} else if again := back.Append(nil, first(b).Header); !bytes.Equal(again, b) {
			t.Errorf("%s: sent again\n%x\nwas\n%x", c.name, again, b)
		}
	}
}

func TestWhatNoPeerCouldTakeIsNotSent(t *testing.T) {
	for name, change := range map[string]func(*flow.Flow){
		"no addresses":   func(f *flow.Flow) { f.Orig.Src, f.Orig.Dst = netip.Addr{}, netip.Addr{} },
		"no destination": func(f *flow.Flow) { f.Orig.Dst = netip.Addr{} },
		"two families":   func(f *flow.Flow) { f.Orig.Dst = addr("2001:db8::1") },
	} {
		f := simple()
		change(&f)
		if b := wire.AppendFlow([]byte{1}, wire.Header{}, &f, wire.Options{}); len(b) != 1 {
			t.Errorf("%s: %x", name, b)
		}
	}
	for name, change := range map[string]func(*flow.Expect){
		"no master":    func(e *flow.Expect) { e.Has &^= flow.ExpectHasMaster },
		"no mask":      func(e *flow.Expect) { e.Has &^= flow.ExpectHasMask },
		"no tuple":     func(e *flow.Expect) { e.Tuple.Src = netip.Addr{} },
		"two families": func(e *flow.Expect) { e.Tuple.Src, e.Tuple.Dst = addr("::1"), addr("::2") },
	} {
		e := expectation("192.0.2.1", "192.0.2.2")
		change(&e)
		if b := wire.AppendExpect([]byte{1}, wire.Header{}, &e, wire.Options{}); len(b) != 1 {
			t.Errorf("%s: %x", name, b)
		}
	}
}

func TestWhatIsSentOfExpectations(t *testing.T) {
	const least = "MASTER_IPV4 MASTER_L4PROTO MASTER_PORT EXPECT_IPV4 EXPECT_L4PROTO EXPECT_PORT MASK_IPV4 MASK_L4PROTO MASK_PORT FLAGS"
	for _, c := range []struct {
		name   string
		change func(*flow.Expect)
		want   string
	}{
		{"the least", func(*flow.Expect) {}, least},
		{"expected protocol without ports", func(e *flow.Expect) { e.Tuple.Proto = flow.GRE },
			"MASTER_IPV4 MASTER_L4PROTO MASTER_PORT EXPECT_IPV4 EXPECT_L4PROTO MASK_IPV4 MASK_L4PROTO FLAGS"},
		{"names too long", func(e *flow.Expect) {
			e.Has |= flow.ExpectHasHelper | flow.ExpectHasFunc
			e.Helper, e.Func = "twelve-bytes", "nat-follow-master-in-28-byte"
		}, least},
		{"empty names", func(e *flow.Expect) {
			e.Has |= flow.ExpectHasHelper | flow.ExpectHasFunc
			e.Helper, e.Func = "", ""
		}, least},
		{"class 0", func(e *flow.Expect) { e.Has |= flow.ExpectHasClass }, least + " CLASS"},
	} {
		e := expectation("192.0.2.1", "192.0.2.2")
		e.Has = flow.ExpectHasMaster | flow.ExpectHasMask
		c.change(&e)
		if got := strings.Join(names(sendExpect(&e, wire.Options{})), " "); got != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", c.name, got, c.want)
		}
	}
	e := expectation("192.0.2.1", "192.0.2.2")
	if slices.Contains(names(sendExpect(&e, wire.Options{OmitTimeout: true})), "TIMEOUT") {
		t.Error("the timeout is sent although it is to be omitted")
	}
}

func TestTimeoutsFitTheWire(t *testing.T) {
	for timeout, want := range map[time.Duration]time.Duration{
		-time.Second:              0,
		1999 * time.Millisecond:   time.Second,
		1 << 33 * time.Second:     (1<<32 - 1) * time.Second,
		(1<<32 - 1) * time.Second: (1<<32 - 1) * time.Second,
	} {
		f := simple()
		f.Timeout = timeout
		var d wire.Decoder
		var back wire.Flow
		if d.Flow(first(send(&f, wire.Options{})), &back); back.Timeout != want {
			t.Errorf("%v became %v, want %v", timeout, back.Timeout, want)
		}
	}
}

func TestControlMessages(t *testing.T) {
	r := wire.Range{From: 0x6b011feb, To: 0x6b011fec}
	for _, c := range []struct {
		h    wire.Header
		want string
	}{
		{wire.Header{Flags: wire.Ack, Seq: 0x6b011fe9}, "1a0800106b011fe96b011feb6b011fec"},
		{wire.Header{Flags: wire.Nack | wire.Hello, Seq: 1}, "1a240010000000016b011feb6b011fec"},
		{wire.Header{Flags: wire.Resync, Seq: 1}, "1a020010000000016b011feb6b011fec"},
		{wire.Header{Flags: wire.Alive | wire.Hello, Seq: 0xfffffffe}, "1a300008fffffffe"},
		{wire.Header{Type: wire.CTNew, Flags: wire.Alive, Length: 77, Seq: 1}, "1a10000800000001"},
	} {
		b := wire.AppendControl(nil, c.h, r)
		if want := unhex(t, c.want); !bytes.Equal(b, want) {
			t.Errorf("%+v: %x, want %x", c.h, b, want)
		}
		m := first(b)
		if c.h.Flags.Has(wire.Alive) != (m.Range == wire.Range{}) || m.Type != wire.Control || m.Seq != c.h.Seq ||
			m.Flags != c.h.Flags || int(m.Length) != len(b) {
			t.Errorf("%x read as %+v", b, m)
		}
	}
}

func TestStampChangesFlagsAndNumberAlone(t *testing.T) {
	f := everything()
	h := wire.Header{Type: wire.CTUpdate, Flags: wire.Hello, Seq: 17}
	b := wire.AppendFlow(nil, h, &f, wire.Options{})
	h.Flags, h.Seq = wire.HelloBack, 1<<31
	want := wire.AppendFlow(nil, h, &f, wire.Options{})
	wire.Stamp(b, h.Flags, h.Seq)
	if !bytes.Equal(b, want) {
		t.Errorf("%x, want %x", b, want)
	}
}

// Messages are built one behind the other in the same buffer.
func TestAppendingKeepsWhatIsThere(t *testing.T) {
	f, e := everything(), expectation("192.0.2.1", "192.0.2.2")
	b := []byte{0xff} // so that nothing is aligned
	b = wire.AppendFlow(b, wire.Header{Type: wire.CTNew, Seq: 1}, &f, wire.Options{})
	b = wire.AppendExpect(b, wire.Header{Type: wire.ExpectNew, Seq: 2}, &e, wire.Options{})
	b = wire.AppendControl(b, wire.Header{Flags: wire.Alive, Seq: 3}, wire.Range{})
	var seqs []uint32
	for r := wire.Datagram(b[1:]); r.Next(); {
		if r.Fault != 0 || r.Message.Length%4 != 0 {
			t.Errorf("%s, length %d", r.Fault, r.Message.Length)
		}
		seqs = append(seqs, r.Message.Seq)
	}
	if b[0] != 0xff || !slices.Equal(seqs, []uint32{1, 2, 3}) || binary.BigEndian.Uint16(b[3:]) == 0 {
		t.Error(b[0], seqs)
	}
}

func TestNames(t *testing.T) {
	for got, want := range map[string]string{
		wire.CTNew.String(): "CT_NEW", wire.ExpectDelete.String(): "EXP_DEL", wire.Control.String(): "CTL",
		wire.Type(7).String(): "type 7", wire.Flags(0).String(): "", wire.Flags(0xff).String(): "0x01|RESYNC|NACK|ACK|ALIVE|HELLO|HELLO_BACK|0x80",
		wire.Fault(0).String(): "", wire.BadHeader.String(): "malformed header", wire.Fault(99).String(): "unknown fault",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
