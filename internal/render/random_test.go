package render

import (
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/spoor-project/spoor/flow"
)

// source turns fuzz input into values, zeros when it runs out.
type source struct{ data []byte }

func (s *source) bytes(n int) []byte {
	b := make([]byte, n)
	s.data = s.data[copy(b, s.data):]
	return b
}

func (s *source) u8() uint8   { return s.bytes(1)[0] }
func (s *source) u16() uint16 { return binary.BigEndian.Uint16(s.bytes(2)) }
func (s *source) u32() uint32 { return binary.BigEndian.Uint32(s.bytes(4)) }
func (s *source) u64() uint64 { return binary.BigEndian.Uint64(s.bytes(8)) }
func (s *source) str() string { return string(s.bytes(int(s.u8() % 20))) }

func (s *source) addr() netip.Addr {
	switch s.u8() % 4 {
	case 0:
		return netip.Addr{}
	case 1:
		return netip.AddrFrom4([4]byte(s.bytes(4)))
	case 2:
		return netip.AddrFrom16([16]byte(s.bytes(16)))
	}
	return netip.AddrFrom16([16]byte(s.bytes(16))).WithZone(s.str())
}

func (s *source) proto() flow.Proto {
	known := flow.Protos()
	if n := int(s.u8() % 16); n < len(known) {
		return known[n]
	}
	return flow.Proto(s.u8())
}

func (s *source) tuple() flow.Tuple {
	return flow.Tuple{Src: s.addr(), Dst: s.addr(), SrcPort: s.u16(), DstPort: s.u16(),
		Zone: s.u16() % 2, Proto: s.proto()}
}

func (s *source) flow() flow.Flow {
	return flow.Flow{
		Has: flow.Fields(s.u32()), Orig: s.tuple(), Reply: s.tuple(), Master: s.tuple(),
		Status: flow.Status(s.u32()), Timeout: time.Duration(s.u64()), Mark: s.u32(), SecMark: s.u32(),
		SecCtx: s.str(), Helper: s.str(), Zone: s.u16(), Use: s.u32(), ID: s.u32(),
		OrigCounters:  flow.Counters{Packets: s.u64(), Bytes: s.u64()},
		ReplyCounters: flow.Counters{Packets: s.u64(), Bytes: s.u64()},
		Start:         flow.Timestamp(s.u64()), Stop: flow.Timestamp(s.u64()),
		State:       s.u8(),
		OrigWindow:  flow.TCPWindow{Scale: s.u8(), Flags: flow.TCPFlags(s.u8())},
		ReplyWindow: flow.TCPWindow{Scale: s.u8(), Flags: flow.TCPFlags(s.u8())},
		VTags:       flow.VTags{Orig: s.u32(), Reply: s.u32()},
		DCCP:        flow.DCCPInfo{Role: flow.DCCPRole(s.u8()), HandshakeSeq: s.u64()},
		Labels:      flow.Labels(s.bytes(16)),
		OrigSeqAdj:  flow.SeqAdj{CorrectionPos: s.u32(), OffsetBefore: int32(s.u32()), OffsetAfter: int32(s.u32())},
		ReplySeqAdj: flow.SeqAdj{CorrectionPos: s.u32(), OffsetBefore: int32(s.u32()), OffsetAfter: int32(s.u32())},
		Synproxy:    flow.Synproxy{ISN: s.u32(), ITS: s.u32(), TSOff: s.u32()},
	}
}

func (s *source) event() flow.Event {
	return flow.Event{Type: flow.EventType(s.u8() % 7), PortID: s.u32() % 3, Time: flow.Timestamp(s.u64()),
		Dropped: s.u64() % 3, Flow: s.flow()}
}

func (s *source) expect() flow.Expect {
	return flow.Expect{
		Has: flow.ExpectFields(s.u16()), Tuple: s.tuple(), Mask: s.tuple(), Master: s.tuple(),
		Timeout: time.Duration(s.u64()), ID: s.u32(), Helper: s.str(), Func: s.str(), Zone: s.u16(),
		Flags: flow.ExpectFlags(s.u32()), Class: s.u32(), NAT: s.tuple(), NATReply: s.u8()%2 == 0,
	}
}

func (s *source) expectEvent() flow.ExpectEvent {
	return flow.ExpectEvent{Type: flow.EventType(s.u8() % 7), PortID: s.u32() % 3, Dropped: s.u64() % 3, Expect: s.expect()}
}

func (s *source) style(format Format, labels *flow.LabelMap) *Style {
	bits := s.u8()
	st := &Style{Format: format, Extended: bits&1 != 0, ID: bits&2 != 0, KernelTime: bits&4 != 0,
		Timestamp: bits&8 != 0, Verb: Verb(s.u8()), Envelope: Envelope(s.u8())}
	if bits&16 != 0 {
		st.Labels = labels
	}
	return st
}
