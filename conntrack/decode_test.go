package conntrack

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/nfnetlink"
)

// entryMessage is a message with the attributes that fill adds behind an original tuple.
func entryMessage(fill func(*nfnetlink.Builder)) *nfnetlink.Message {
	var b nfnetlink.Builder
	b.Begin(nfnetlink.Conntrack, msgNew, 0, 0, uint8(flow.IPv4), 0)
	appendTuple(&b, ctaTupleOrig, &someTuple)
	fill(&b)
	b.End()
	m, _, err := nfnetlink.Next(b.Bytes())
	if err != nil {
		panic(err)
	}
	return &m
}

var someTuple = flow.Tuple{Src: netip.MustParseAddr("192.0.2.1"), Dst: netip.MustParseAddr("192.0.2.2"),
	SrcPort: 1234, DstPort: 80, Proto: flow.TCP}

// differences lists the fields in which two structs differ.
func differences[T comparable](got, want T) (all []string) {
	if got == want {
		return nil
	}
	g, w := reflect.ValueOf(got), reflect.ValueOf(want)
	for i := range g.NumField() {
		if a, b := g.Field(i).Interface(), w.Field(i).Interface(); a != b {
			name := g.Type().Field(i).Name
			all = append(all, name+": got "+show(a)+", want "+show(b))
		}
	}
	return all
}

func show(v any) string { return fmt.Sprintf("%+v", v) }

// labelBytes are labels as the kernel of this machine sends them.
func labelBytes(l flow.Labels) []byte {
	swapLabelWords(&l)
	return l[:]
}

func TestAttributesOfAFlow(t *testing.T) {
	u32 := func(typ uint16, v uint32) func(*nfnetlink.Builder) {
		return func(b *nfnetlink.Builder) { b.Uint32(typ, v) }
	}
	raw := func(typ uint16, data ...byte) func(*nfnetlink.Builder) {
		return func(b *nfnetlink.Builder) { b.Raw(typ, data) }
	}
	nest := func(typ uint16, inside ...func(*nfnetlink.Builder)) func(*nfnetlink.Builder) {
		return func(b *nfnetlink.Builder) {
			at := b.Nest(typ)
			for _, fill := range inside {
				fill(b)
			}
			b.Close(at)
		}
	}
	all := func(fills ...func(*nfnetlink.Builder)) func(*nfnetlink.Builder) {
		return func(b *nfnetlink.Builder) {
			for _, fill := range fills {
				fill(b)
			}
		}
	}
	tests := []struct {
		name string
		fill func(*nfnetlink.Builder)
		want flow.Flow // besides the tuple
	}{
		{"nothing else", all(), flow.Flow{}},
		{"mark of zero is there", u32(ctaMark, 0), flow.Flow{Has: flow.HasMark}},
		{"unknown numbers are skipped", all(u32(200, 1), nest(201, u32(1, 2)), u32(ctaMark, 3)), flow.Flow{Has: flow.HasMark, Mark: 3}},
		{"of a repeated one the last counts", all(u32(ctaMark, 1), u32(ctaMark, 2)), flow.Flow{Has: flow.HasMark, Mark: 2}},
		{"one that is too short is absent", all(raw(ctaMark, 1, 2, 3), raw(ctaZone, 1), raw(ctaID), raw(ctaTimeout, 0, 0)), flow.Flow{}},
		{"and does not undo an earlier one", all(u32(ctaMark, 7), raw(ctaMark, 1)), flow.Flow{Has: flow.HasMark, Mark: 7}},
		{"one that is too long is read from the start", raw(ctaMark, 0, 0, 0, 5, 0, 0, 0, 6), flow.Flow{Has: flow.HasMark, Mark: 5}},
		{"the pad in front of a 64-bit value has the status's number", all(u32(ctaStatus, 8), raw(ctaStatus)),
			flow.Flow{Has: flow.HasStatus, Status: flow.Confirmed}},
		{"empty containers are absent", all(nest(ctaTupleReply), nest(ctaTupleMaster), nest(ctaProtoinfo), nest(ctaHelp),
			nest(ctaCountersOrig), nest(ctaCountersReply), nest(ctaSeqAdjOrig), nest(ctaSeqAdjReply), nest(ctaSecCtx),
			nest(ctaTimestamp), nest(ctaSynproxy), raw(ctaLabels)), flow.Flow{}},
		{"an empty tuple does not undo the one before", nest(ctaTupleOrig), flow.Flow{}},
		{"numbers", all(u32(ctaStatus, 0xe), u32(ctaTimeout, 120), u32(ctaUse, 2), u32(ctaID, 0xfeedbeef),
			u32(ctaSecMark, 4), raw(ctaZone, 1, 2)), flow.Flow{
			Has:    flow.HasStatus | flow.HasTimeout | flow.HasUse | flow.HasID | flow.HasSecMark | flow.HasZone,
			Status: flow.SeenReply | flow.Assured | flow.Confirmed, Timeout: 2 * time.Minute, Use: 2, ID: 0xfeedbeef, SecMark: 4, Zone: 0x102}},
		{"the longest timeout", u32(ctaTimeout, 1<<32-1), flow.Flow{Has: flow.HasTimeout, Timeout: (1<<32 - 1) * time.Second}},
		{"counters, with the pad of some machines", nest(ctaCountersOrig, raw(5), func(b *nfnetlink.Builder) { b.Uint64(ctaCountersPackets, 1<<40) },
			func(b *nfnetlink.Builder) { b.Uint64(ctaCountersBytes, 7) }),
			flow.Flow{Has: flow.HasOrigCounters, OrigCounters: flow.Counters{Packets: 1 << 40, Bytes: 7}}},
		{"short counters", nest(ctaCountersReply, u32(ctaCountersPackets, 1), u32(ctaCountersBytes, 1)), flow.Flow{}},
		{"time stamps", nest(ctaTimestamp, raw(3), func(b *nfnetlink.Builder) { b.Uint64(ctaTimestampStart, 5) },
			func(b *nfnetlink.Builder) { b.Uint64(ctaTimestampStop, 6) }),
			flow.Flow{Has: flow.HasStart | flow.HasStop, Start: 5, Stop: 6}},
		{"helper", nest(ctaHelp, func(b *nfnetlink.Builder) { b.Text(ctaHelpName, "ftp") }, raw(2, 1, 2, 3)),
			flow.Flow{Has: flow.HasHelper, Helper: "ftp"}},
		{"helper without a terminating zero", nest(ctaHelp, raw(ctaHelpName, 's', 'i', 'p')),
			flow.Flow{Has: flow.HasHelper, Helper: "sip"}},
		{"security context", nest(ctaSecCtx, func(b *nfnetlink.Builder) { b.Text(ctaSecCtxName, "a:b") }),
			flow.Flow{Has: flow.HasSecCtx, SecCtx: "a:b"}},
		{"all labels", raw(ctaLabels, labelBytes(flow.Labels{0: 1, 15: 0x80})...),
			flow.Flow{Has: flow.HasLabels, Labels: flow.Labels{0: 1, 15: 0x80}}},
		{"fewer labels", raw(ctaLabels, labelBytes(flow.Labels{3: 8})[:8]...), flow.Flow{Has: flow.HasLabels, Labels: flow.Labels{3: 8}}},
		{"more labels than a flow has", raw(ctaLabels, append(make([]byte, 16), 0xff, 0xff)...), flow.Flow{Has: flow.HasLabels}},
		{"sequence adjustment is signed", nest(ctaSeqAdjOrig, u32(ctaSeqAdjCorrectionPos, 1<<31), u32(ctaSeqAdjOffsetBefore, 1<<32-1),
			u32(ctaSeqAdjOffsetAfter, 5)), flow.Flow{Has: flow.HasOrigSeqAdj,
			OrigSeqAdj: flow.SeqAdj{CorrectionPos: 1 << 31, OffsetBefore: -1, OffsetAfter: 5}}},
		{"synproxy", nest(ctaSynproxy, u32(ctaSynproxyISN, 1), u32(ctaSynproxyITS, 2), u32(ctaSynproxyTSOff, 3)),
			flow.Flow{Has: flow.HasSynproxy, Synproxy: flow.Synproxy{ISN: 1, ITS: 2, TSOff: 3}}},
		{"TCP", nest(ctaProtoinfo, nest(ctaProtoinfoTCP, raw(ctaTCPState, 3), raw(ctaTCPWScaleOrig, 7), raw(ctaTCPWScaleReply, 6),
			raw(ctaTCPFlagsOrig, 0x23, 0), raw(ctaTCPFlagsReply, 0x21, 0))), flow.Flow{Has: flow.HasState | flow.HasTCPWindow,
			State: flow.TCPEstablished, OrigWindow: flow.TCPWindow{Scale: 7, Flags: 0x23}, ReplyWindow: flow.TCPWindow{Scale: 6, Flags: 0x21}}},
		{"TCP in a destroy event has a state alone", nest(ctaProtoinfo, nest(ctaProtoinfoTCP, raw(ctaTCPState, 8))),
			flow.Flow{Has: flow.HasState, State: flow.TCPClose}},
		{"SCTP", nest(ctaProtoinfo, nest(ctaProtoinfoSCTP, raw(ctaSCTPState, 4), u32(ctaSCTPVTagOrig, 1), u32(ctaSCTPVTagReply, 2))),
			flow.Flow{Has: flow.HasState | flow.HasVTags, State: flow.SCTPEstablished, VTags: flow.VTags{Orig: 1, Reply: 2}}},
		{"DCCP", nest(ctaProtoinfo, nest(ctaProtoinfoDCCP, raw(ctaDCCPState, 4), raw(ctaDCCPRole, 1),
			func(b *nfnetlink.Builder) { b.Uint64(ctaDCCPHandshakeSeq, 9) })),
			flow.Flow{Has: flow.HasState | flow.HasDCCP, State: flow.DCCPOpen, DCCP: flow.DCCPInfo{Role: flow.DCCPServer, HandshakeSeq: 9}}},
		{"an attribute that claims too much ends the walk", all(u32(ctaMark, 1), func(b *nfnetlink.Builder) {
			b.Raw(ctaID, []byte{1, 2, 3, 4})
			at := b.Bytes()[b.Len()-8:]
			binary.NativeEndian.PutUint16(at, 2000)
		}), flow.Flow{Has: flow.HasMark, Mark: 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.want.Orig = someTuple
			// What was in the target before must not shine through.
			got := flow.Flow{Has: flow.AllFields, Mark: 99, Helper: "old", State: 9, Labels: flow.Labels{1}}
			var d decoder
			if err := d.flow(entryMessage(tt.fill), &got); err != nil {
				t.Fatal(err)
			}
			for _, diff := range differences(got, tt.want) {
				t.Error(diff)
			}
		})
	}
}

func TestTuples(t *testing.T) {
	var four, six = []byte{192, 0, 2, 1}, netip.MustParseAddr("2001:db8::1").AsSlice()
	type fill = func(ip, proto *nfnetlink.Builder)
	tests := []struct {
		name string
		fill fill
		zone []byte
		want flow.Tuple
	}{
		{"short and empty addresses are not known", func(ip, proto *nfnetlink.Builder) {
			ip.Raw(ctaIPv4Src, four[:3])
			ip.Raw(ctaIPv6Dst, six[:15])
			ip.Raw(ctaIPv4Dst, nil)
		}, nil, flow.Tuple{}},
		{"long addresses are cut", func(ip, proto *nfnetlink.Builder) { ip.Raw(ctaIPv4Src, append(four, 9)) }, nil,
			flow.Tuple{Src: netip.AddrFrom4([4]byte(four))}},
		{"a mapped address stays one of IPv6", func(ip, proto *nfnetlink.Builder) {
			ip.Raw(ctaIPv6Src, netip.MustParseAddr("::ffff:1.2.3.4").AsSlice())
		}, nil, flow.Tuple{Src: netip.MustParseAddr("::ffff:1.2.3.4")}},
		{"ICMP in any order", func(ip, proto *nfnetlink.Builder) {
			proto.Uint8(ctaProtoICMPCode, 3)
			proto.Uint16(ctaProtoICMPID, 0x1234)
			proto.Uint8(ctaProtoICMPType, 8)
			proto.Uint8(ctaProtoNum, 1)
		}, nil, flow.Tuple{Proto: flow.ICMP, SrcPort: 0x1234, DstPort: 0x0803}},
		{"short ports are zero", func(ip, proto *nfnetlink.Builder) {
			proto.Uint8(ctaProtoNum, 6)
			proto.Uint8(ctaProtoSrcPort, 3)
			proto.Uint16(ctaProtoDstPort, 80)
		}, nil, flow.Tuple{Proto: flow.TCP, DstPort: 80}},
		{"zone of the direction", func(ip, proto *nfnetlink.Builder) {}, []byte{0, 7}, flow.Tuple{Zone: 7}},
		{"short zone", func(ip, proto *nfnetlink.Builder) {}, []byte{7}, flow.Tuple{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var ip, proto nfnetlink.Builder
			tt.fill(&ip, &proto)
			m := entryMessage(func(b *nfnetlink.Builder) {
				at := b.Nest(ctaTupleReply)
				b.Raw(ctaTupleIP, ip.Bytes())
				b.Raw(ctaTupleProto, proto.Bytes())
				b.Raw(77, []byte{1})
				if tt.zone != nil {
					b.Raw(ctaTupleZone, tt.zone)
				}
				b.Close(at)
			})
			var d decoder
			var f flow.Flow
			if err := d.flow(m, &f); err != nil || !f.Has.Has(flow.HasReply) || f.Reply != tt.want {
				t.Errorf("got %+v, %v, want %+v", f.Reply, err, tt.want)
			}
		})
	}
}

func TestAttributesOfAnExpectation(t *testing.T) {
	tuple := func(typ uint16) func(*nfnetlink.Builder) {
		return func(b *nfnetlink.Builder) { appendTuple(b, typ, &someTuple) }
	}
	u32 := func(typ uint16, v uint32) func(*nfnetlink.Builder) {
		return func(b *nfnetlink.Builder) { b.Uint32(typ, v) }
	}
	tests := []struct {
		name string
		fill []func(*nfnetlink.Builder)
		want flow.Expect // besides the tuple
	}{
		{"nothing else", nil, flow.Expect{}},
		{"tuples", []func(*nfnetlink.Builder){tuple(ctaExpectMask), tuple(ctaExpectMaster)},
			flow.Expect{Has: flow.ExpectHasMask | flow.ExpectHasMaster, Mask: someTuple, Master: someTuple}},
		{"numbers", []func(*nfnetlink.Builder){u32(ctaExpectTimeout, 300), u32(ctaExpectID, 5), u32(ctaExpectFlags, 3),
			u32(ctaExpectClass, 2), func(b *nfnetlink.Builder) { b.Uint16(ctaExpectZone, 9) }}, flow.Expect{
			Has:     flow.ExpectHasTimeout | flow.ExpectHasID | flow.ExpectHasFlags | flow.ExpectHasClass | flow.ExpectHasZone,
			Timeout: 5 * time.Minute, ID: 5, Flags: flow.ExpectPermanent | flow.ExpectInactive, Class: 2, Zone: 9}},
		{"names", []func(*nfnetlink.Builder){func(b *nfnetlink.Builder) { b.Text(ctaExpectHelpName, "ftp") },
			func(b *nfnetlink.Builder) { b.Text(ctaExpectFN, "nat-follow-master") }},
			flow.Expect{Has: flow.ExpectHasHelper | flow.ExpectHasFunc, Helper: "ftp", Func: "nat-follow-master"}},
		{"translation", []func(*nfnetlink.Builder){func(b *nfnetlink.Builder) {
			at := b.Nest(ctaExpectNAT)
			b.Uint32(ctaExpectNATDir, 1)
			appendTuple(b, ctaExpectNATTuple, &someTuple)
			b.Close(at)
		}}, flow.Expect{Has: flow.ExpectHasNAT, NAT: someTuple, NATReply: true}},
		{"a direction without a translation is none", []func(*nfnetlink.Builder){func(b *nfnetlink.Builder) {
			at := b.Nest(ctaExpectNAT)
			b.Uint32(ctaExpectNATDir, 1)
			b.Close(at)
		}}, flow.Expect{}},
		{"short and empty ones are absent", []func(*nfnetlink.Builder){func(b *nfnetlink.Builder) {
			for typ := ctaExpectMaster; typ <= ctaExpectFN; typ++ {
				b.Raw(typ, nil)
			}
			for _, typ := range []uint16{ctaExpectTimeout, ctaExpectID, ctaExpectZone, ctaExpectFlags, ctaExpectClass} {
				b.Uint8(typ, 1)
			}
		}}, flow.Expect{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.want.Tuple = someTuple
			m := entryMessage(func(b *nfnetlink.Builder) {
				b.Reset()
				b.Begin(nfnetlink.ConntrackExpect, msgExpectNew, 0, 0, uint8(flow.IPv4), 0)
				appendTuple(b, ctaExpectTuple, &someTuple)
				for _, fill := range tt.fill {
					fill(b)
				}
			})
			got := flow.Expect{Has: flow.ExpectHasNAT, ID: 99, Helper: "old", NATReply: true}
			var d decoder
			if err := d.expect(m, &got); err != nil {
				t.Fatal(err)
			}
			for _, diff := range differences(got, tt.want) {
				t.Error(diff)
			}
		})
	}
}

func TestAnEntryWithoutItsTupleIsMalformed(t *testing.T) {
	var d decoder
	for name, payload := range map[string][]byte{"nothing": nil, "a family": {2, 0, 0, 0}, "another attribute": {2, 0, 0, 0, 8, 0, 8, 0, 1, 2, 3, 4}} {
		m := nfnetlink.Message{Type: 0x0100, Payload: payload}
		var f flow.Flow
		if err := d.flow(&m, &f); !errors.Is(err, nfnetlink.ErrMalformed) {
			t.Errorf("%s: flow: %v, want %v", name, err, nfnetlink.ErrMalformed)
		}
		var e flow.Expect
		if err := d.expect(&m, &e); !errors.Is(err, nfnetlink.ErrMalformed) {
			t.Errorf("%s: expectation: %v, want %v", name, err, nfnetlink.ErrMalformed)
		}
	}
}

func TestEventsAreToldApart(t *testing.T) {
	tests := []struct {
		typ, flags uint16
		flow       flow.EventType // 0: no such event
		expect     flow.EventType
	}{
		{0x0100, nfnetlink.Create | nfnetlink.Excl, flow.New, 0},
		{0x0100, nfnetlink.Create, flow.New, 0},
		{0x0100, 0, flow.Update, 0},
		{0x0102, 0, flow.Destroy, 0},
		{0x0101, 0, 0, 0},
		{0x0105, 0, 0, 0},
		{0x0200, nfnetlink.Create | nfnetlink.Excl, 0, flow.New},
		{0x0200, 0, 0, flow.Update},
		{0x0202, 0, 0, flow.Destroy},
		{0x0300, 0, 0, 0},
		{0x0002, 0, 0, 0},
	}
	for _, tt := range tests {
		m := entryMessage(func(b *nfnetlink.Builder) {
			appendTuple(b, ctaExpectTuple, &someTuple)
			b.Uint64(ctaTimestampEvent, 123)
		})
		m.Type, m.Flags, m.PortID = tt.typ, tt.flags, 42
		var d decoder
		e := flow.Event{Dropped: 7}
		ok, err := d.event(m, &e)
		if ok != (tt.flow != 0) || err != nil || ok && (e.Type != tt.flow || e.PortID != 42 || e.Time != 123 || e.Dropped != 0) {
			t.Errorf("type %#x, flags %#x: flow event %v, %v, %+v, want %v", tt.typ, tt.flags, ok, err, e, tt.flow)
		}
		x := flow.ExpectEvent{Dropped: 7}
		ok, err = d.expectEvent(m, &x)
		if ok != (tt.expect != 0) || err != nil || ok && (x.Type != tt.expect || x.PortID != 42 || x.Dropped != 0) {
			t.Errorf("type %#x, flags %#x: expectation event %v, %v, %+v, want %v", tt.typ, tt.flags, ok, err, x, tt.expect)
		}
	}
}
