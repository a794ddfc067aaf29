package wire_test

import (
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/statesync/wire"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// everything is a TCP flow that has all there is, translated on both sides.
func everything() flow.Flow {
	f := flow.Flow{
		Has:    flow.AllFields,
		Orig:   flow.Tuple{Src: addr("2001:db8::1"), Dst: addr("2001:db8::2"), SrcPort: 40000, DstPort: 80, Proto: flow.TCP},
		Reply:  flow.Tuple{Src: addr("2001:db8::3"), Dst: addr("2001:db8::4"), SrcPort: 8082, DstPort: 50000, Proto: flow.TCP},
		Master: flow.Tuple{Src: addr("2001:db8::1"), Dst: addr("2001:db8::2"), SrcPort: 40001, DstPort: 21, Proto: flow.TCP},
		Status: flow.Assured | flow.SeenReply | flow.SrcNATDone | flow.DstNATDone, State: flow.TCPEstablished,
		Timeout: 432000 * time.Second, Mark: 0xdeadbeef, Helper: "elevenbytes", Zone: 0x1234,
		OrigWindow: flow.TCPWindow{Scale: 7, Flags: flow.TCPWindowScale}, ReplyWindow: flow.TCPWindow{Scale: 9},
		OrigSeqAdj:  flow.SeqAdj{CorrectionPos: 1 << 31, OffsetBefore: -1, OffsetAfter: 2},
		ReplySeqAdj: flow.SeqAdj{CorrectionPos: 3, OffsetBefore: 4, OffsetAfter: -5},
		Synproxy:    flow.Synproxy{ISN: 0x01020304, ITS: 0x05060708, TSOff: 0x090a0b0c},
	}
	f.Labels.Set(0)
	f.Labels.Set(127)
	return f
}

// simple is an untranslated UDP flow, with nothing that is not always there.
func simple() flow.Flow {
	f := flow.Flow{
		Has:  flow.HasReply | flow.HasStatus | flow.HasTimeout,
		Orig: flow.Tuple{Src: addr("192.0.2.1"), Dst: addr("192.0.2.2"), SrcPort: 1000, DstPort: 53, Proto: flow.UDP},
		// The hooks have looked at it and changed nothing.
		Status:  flow.Confirmed | flow.SrcNATDone | flow.DstNATDone,
		Timeout: 30 * time.Second,
	}
	f.Reply, _ = f.Orig.Inverse()
	return f
}

// expectation has all there is.
func expectation(src, dst string) flow.Expect {
	ones := netip.AddrFrom16([16]byte{0: 255, 15: 255})
	if addr(src).Is4() {
		ones = addr("255.255.255.255")
	}
	return flow.Expect{
		Has: flow.ExpectHasMaster | flow.ExpectHasMask | flow.ExpectHasTimeout | flow.ExpectHasID | flow.ExpectHasHelper |
			flow.ExpectHasZone | flow.ExpectHasFlags | flow.ExpectHasClass | flow.ExpectHasNAT | flow.ExpectHasFunc,
		Tuple:   flow.Tuple{Src: addr(src), Dst: addr(dst), DstPort: 40001, Proto: flow.UDP},
		Mask:    flow.Tuple{Src: ones, Dst: ones, DstPort: 65535, Proto: flow.UDP},
		Master:  flow.Tuple{Src: addr(src), Dst: addr(dst), SrcPort: 35000, DstPort: 5060, Proto: flow.TCP},
		NAT:     flow.Tuple{Src: addr(src), Dst: addr(dst), SrcPort: 40002, Proto: flow.UDP},
		Timeout: 300 * time.Second, Helper: "sip-5060-00", Flags: flow.ExpectPermanent | flow.ExpectUserspace, Class: 2,
		NATReply: true, Func: "nat-follow-master-in-27-byt",
	}
}

// message is a message of any type, with the given bytes behind its header.
func message(typ wire.Type, body ...byte) []byte {
	b := []byte{0x10 | byte(typ), 0, 0, 0, 0, 0, 0, 9}
	b = append(b, body...)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	return b
}

// attribute is an attribute with its padding.
func attribute(number int, payload ...byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(4+len(payload)))
	b = append(binary.BigEndian.AppendUint16(b, uint16(number)), payload...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

func join(parts ...[]byte) (all []byte) {
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

// identity is the attributes that every flow must have: 192.0.2.1 to 192.0.2.2, over protocol proto.
func identity(proto flow.Proto) []byte {
	return join(attribute(0, 192, 0, 2, 1, 192, 0, 2, 2), attribute(2, byte(proto)))
}

// first returns the first message of b, which must be a good one.
func first(b []byte) *wire.Message {
	r := wire.Datagram(b)
	if !r.Next() || r.Fault != 0 {
		panic("no message: " + r.Fault.String())
	}
	return &r.Message
}

// names returns the names of the attributes in the first message of b, in their order.
func names(b []byte) (list []string) {
	for _, a := range wire.Dissect(b).Messages[0].Attrs {
		list = append(list, a.Name)
	}
	return list
}
