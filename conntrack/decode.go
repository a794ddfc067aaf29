package conntrack

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"net/netip"
	"time"

	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/nfnetlink"
)

var errNoTuple = fmt.Errorf("%w: an entry without its original tuple", nfnetlink.ErrMalformed)

// decoder turns messages into values. It remembers the few strings that recur
// (helper names, security contexts), so that decoding does not allocate.
type decoder struct {
	names map[string]string
}

// maxNames bounds the memory for names; real systems have a handful.
const maxNames = 1024

func (d *decoder) name(b []byte) string {
	if s, ok := d.names[string(b)]; ok { // does not copy b
		return s
	}
	s := string(b)
	if d.names == nil {
		d.names = make(map[string]string)
	}
	if len(d.names) < maxNames {
		d.names[s] = s
	}
	return s
}

// flow decodes an entry. An attribute that is unknown, or too short for what it
// should be, is passed over as if it were absent; of a repeated one the last
// counts. Only an entry without an original tuple is an error.
//
// An empty attribute is never one of ours, whatever its number: machines that align
// 64-bit values send the pad of CTA_TIMESTAMP_EVENT with the number of CTA_STATUS.
func (d *decoder) flow(m *nfnetlink.Message, f *flow.Flow) error {
	_, err := d.flowAt(m, f)
	return err
}

// flowAt is flow, and returns the kernel's time stamp of the event.
func (d *decoder) flowAt(m *nfnetlink.Message, f *flow.Flow) (at flow.Timestamp, err error) {
	return d.flowOf(m.Attrs(), f)
}

func (d *decoder) flowOf(a nfnetlink.Attrs, f *flow.Flow) (at flow.Timestamp, err error) {
	*f = flow.Flow{}
	haveTuple := false
	for a.Next() {
		if len(a.Data) == 0 {
			continue
		}
		switch a.Type {
		case ctaTupleOrig:
			f.Orig, haveTuple = decodeTuple(a.Nested()), true
		case ctaTupleReply:
			f.Reply = decodeTuple(a.Nested())
			f.Has |= flow.HasReply
		case ctaTupleMaster:
			f.Master = decodeTuple(a.Nested())
			f.Has |= flow.HasMaster
		case ctaStatus:
			if v, ok := a.Uint32(); ok {
				f.Status = flow.Status(v)
				f.Has |= flow.HasStatus
			}
		case ctaTimeout:
			if v, ok := a.Uint32(); ok {
				f.Timeout = time.Duration(v) * time.Second
				f.Has |= flow.HasTimeout
			}
		case ctaMark:
			f.Has |= decode32(&a, &f.Mark, flow.HasMark)
		case ctaSecMark:
			f.Has |= decode32(&a, &f.SecMark, flow.HasSecMark)
		case ctaUse:
			f.Has |= decode32(&a, &f.Use, flow.HasUse)
		case ctaID:
			f.Has |= decode32(&a, &f.ID, flow.HasID)
		case ctaZone:
			if v, ok := a.Uint16(); ok {
				f.Zone = v
				f.Has |= flow.HasZone
			}
		case ctaProtoinfo:
			decodeProtoinfo(a.Nested(), f)
		case ctaCountersOrig:
			if decodeCounters(a.Nested(), &f.OrigCounters) {
				f.Has |= flow.HasOrigCounters
			}
		case ctaCountersReply:
			if decodeCounters(a.Nested(), &f.ReplyCounters) {
				f.Has |= flow.HasReplyCounters
			}
		case ctaTimestamp:
			decodeTimestamps(a.Nested(), f)
		case ctaHelp:
			for h := a.Nested(); h.Next(); {
				if h.Type == ctaHelpName && len(h.Data) > 0 {
					f.Helper = d.name(h.Text())
					f.Has |= flow.HasHelper
				}
			}
		case ctaSecCtx:
			for s := a.Nested(); s.Next(); {
				if s.Type == ctaSecCtxName && len(s.Data) > 0 {
					f.SecCtx = d.name(s.Text())
					f.Has |= flow.HasSecCtx
				}
			}
		case ctaLabels:
			f.Labels = labelsOf(a.Data)
			f.Has |= flow.HasLabels
		case ctaSeqAdjOrig:
			f.OrigSeqAdj = decodeSeqAdj(a.Nested())
			f.Has |= flow.HasOrigSeqAdj
		case ctaSeqAdjReply:
			f.ReplySeqAdj = decodeSeqAdj(a.Nested())
			f.Has |= flow.HasReplySeqAdj
		case ctaSynproxy:
			f.Synproxy = decodeSynproxy(a.Nested())
			f.Has |= flow.HasSynproxy
		case ctaTimestampEvent:
			if v, ok := a.Uint64(); ok {
				at = flow.Timestamp(v)
			}
		}
	}
	if !haveTuple {
		return 0, errNoTuple
	}
	return at, nil
}

// decode32 reads a number and returns its bit if it was there.
func decode32[B flow.Fields | flow.ExpectFields](a *nfnetlink.Attrs, to *uint32, bit B) B {
	v, ok := a.Uint32()
	if !ok {
		return 0
	}
	*to = v
	return bit
}

func decodeTuple(a nfnetlink.Attrs) (t flow.Tuple) {
	if decodeUsualTuple(a.Rest(), &t) {
		return t
	}
	return decodeAnyTuple(a)
}

func decodeAnyTuple(a nfnetlink.Attrs) (t flow.Tuple) {
	for a.Next() {
		switch a.Type {
		case ctaTupleIP:
			for ip := a.Nested(); ip.Next(); {
				switch ip.Type {
				case ctaIPv4Src:
					decodeIPv4(ip.Data, &t.Src)
				case ctaIPv4Dst:
					decodeIPv4(ip.Data, &t.Dst)
				case ctaIPv6Src:
					decodeIPv6(ip.Data, &t.Src)
				case ctaIPv6Dst:
					decodeIPv6(ip.Data, &t.Dst)
				}
			}
		case ctaTupleProto:
			decodeProto(a.Nested(), &t)
		case ctaTupleZone:
			if v, ok := a.Uint16(); ok {
				t.Zone = v
			}
		}
	}
	return t
}

func decodeIPv4(b []byte, to *netip.Addr) {
	if len(b) >= 4 {
		*to = netip.AddrFrom4([4]byte(b))
	}
}

func decodeIPv6(b []byte, to *netip.Addr) {
	if len(b) >= 16 {
		*to = netip.AddrFrom16([16]byte(b))
	}
}

func decodeProto(a nfnetlink.Attrs, t *flow.Tuple) {
	for a.Next() {
		switch a.Type {
		case ctaProtoNum:
			if v, ok := a.Uint8(); ok {
				t.Proto = flow.Proto(v)
			}
		case ctaProtoSrcPort, ctaProtoICMPID, ctaProtoICMPv6ID:
			if v, ok := a.Uint16(); ok {
				t.SrcPort = v
			}
		case ctaProtoDstPort:
			if v, ok := a.Uint16(); ok {
				t.DstPort = v
			}
		case ctaProtoICMPType, ctaProtoICMPv6Type:
			if v, ok := a.Uint8(); ok {
				t.SetICMP(v, t.ICMPCode(), t.ICMPID())
			}
		case ctaProtoICMPCode, ctaProtoICMPv6Code:
			if v, ok := a.Uint8(); ok {
				t.SetICMP(t.ICMPType(), v, t.ICMPID())
			}
		}
	}
}

func decodeProtoinfo(a nfnetlink.Attrs, f *flow.Flow) {
	for a.Next() {
		switch a.Type {
		case ctaProtoinfoTCP:
			decodeTCP(a.Nested(), f)
		case ctaProtoinfoSCTP:
			decodeSCTP(a.Nested(), f)
		case ctaProtoinfoDCCP:
			decodeDCCP(a.Nested(), f)
		}
	}
}

func decodeState(a *nfnetlink.Attrs, f *flow.Flow) {
	if v, ok := a.Uint8(); ok {
		f.State = v
		f.Has |= flow.HasState
	}
}

func decodeCounters(a nfnetlink.Attrs, c *flow.Counters) bool {
	seen := false
	for a.Next() {
		v, ok := a.Uint64()
		switch {
		case !ok:
		case a.Type == ctaCountersPackets:
			c.Packets, seen = v, true
		case a.Type == ctaCountersBytes:
			c.Bytes, seen = v, true
		}
	}
	return seen
}

func decodeTimestamps(a nfnetlink.Attrs, f *flow.Flow) {
	for a.Next() {
		v, ok := a.Uint64()
		switch {
		case !ok:
		case a.Type == ctaTimestampStart:
			f.Start = flow.Timestamp(v)
			f.Has |= flow.HasStart
		case a.Type == ctaTimestampStop:
			f.Stop = flow.Timestamp(v)
			f.Has |= flow.HasStop
		}
	}
}

func decodeSeqAdj(a nfnetlink.Attrs) (s flow.SeqAdj) {
	for a.Next() {
		v, _ := a.Uint32()
		switch a.Type {
		case ctaSeqAdjCorrectionPos:
			s.CorrectionPos = v
		case ctaSeqAdjOffsetBefore:
			s.OffsetBefore = int32(v)
		case ctaSeqAdjOffsetAfter:
			s.OffsetAfter = int32(v)
		}
	}
	return s
}

func decodeSynproxy(a nfnetlink.Attrs) (s flow.Synproxy) {
	for a.Next() {
		v, _ := a.Uint32()
		switch a.Type {
		case ctaSynproxyISN:
			s.ISN = v
		case ctaSynproxyITS:
			s.ITS = v
		case ctaSynproxyTSOff:
			s.TSOff = v
		}
	}
	return s
}

// labelsOf reads a bitmap that the kernel keeps in machine words: on a big-endian
// machine the bytes of each word stand the other way round. More labels than a
// flow can hold are cut off, fewer leave the rest clear.
func labelsOf(b []byte) (l flow.Labels) {
	copy(l[:], b)
	swapLabelWords(&l)
	return l
}

func swapLabelWords(l *flow.Labels) {
	if binary.NativeEndian.Uint16([]byte{0, 1}) != 1 {
		return
	}
	for w := l[:]; len(w) > 0; w = w[bits.UintSize/8:] {
		if bits.UintSize == 64 {
			binary.LittleEndian.PutUint64(w, binary.BigEndian.Uint64(w))
		} else {
			binary.LittleEndian.PutUint32(w, binary.BigEndian.Uint32(w))
		}
	}
}

// event decodes a message of a conntrack multicast group. ok is false for one that
// is no such event.
func (d *decoder) event(m *nfnetlink.Message, e *flow.Event) (ok bool, err error) {
	if m.Subsystem() != nfnetlink.Conntrack {
		return false, nil
	}
	t, ok := eventType(m, msgNew, msgDelete)
	if !ok {
		return false, nil
	}
	e.Type, e.PortID, e.Dropped = t, m.PortID, 0
	e.Time, err = d.flowAt(m, &e.Flow)
	return err == nil, err
}

// eventType tells events apart: a new entry and an update are the same kind of
// message, told apart by the flags.
func eventType(m *nfnetlink.Message, newKind, deleteKind uint8) (t flow.EventType, ok bool) {
	switch {
	case m.Kind() == deleteKind:
		return flow.Destroy, true
	case m.Kind() != newKind:
		return 0, false
	case m.Flags&(nfnetlink.Create|nfnetlink.Excl) != 0:
		return flow.New, true
	}
	return flow.Update, true
}

var errNoExpectTuple = fmt.Errorf("%w: an expectation without its tuple", nfnetlink.ErrMalformed)

// expect decodes an expectation, by the rules of flow.
func (d *decoder) expect(m *nfnetlink.Message, e *flow.Expect) error { return d.expectOf(m.Attrs(), e) }

func (d *decoder) expectOf(a nfnetlink.Attrs, e *flow.Expect) error {
	*e = flow.Expect{}
	haveTuple := false
	for a.Next() {
		if len(a.Data) == 0 {
			continue
		}
		switch a.Type {
		case ctaExpectTuple:
			e.Tuple, haveTuple = decodeTuple(a.Nested()), true
		case ctaExpectMask:
			e.Mask = decodeTuple(a.Nested())
			e.Has |= flow.ExpectHasMask
		case ctaExpectMaster:
			e.Master = decodeTuple(a.Nested())
			e.Has |= flow.ExpectHasMaster
		case ctaExpectTimeout:
			if v, ok := a.Uint32(); ok {
				e.Timeout = time.Duration(v) * time.Second
				e.Has |= flow.ExpectHasTimeout
			}
		case ctaExpectID:
			e.Has |= decode32(&a, &e.ID, flow.ExpectHasID)
		case ctaExpectClass:
			e.Has |= decode32(&a, &e.Class, flow.ExpectHasClass)
		case ctaExpectFlags:
			if v, ok := a.Uint32(); ok {
				e.Flags = flow.ExpectFlags(v)
				e.Has |= flow.ExpectHasFlags
			}
		case ctaExpectZone:
			if v, ok := a.Uint16(); ok {
				e.Zone = v
				e.Has |= flow.ExpectHasZone
			}
		case ctaExpectHelpName:
			e.Helper = d.name(a.Text())
			e.Has |= flow.ExpectHasHelper
		case ctaExpectFN:
			e.Func = d.name(a.Text())
			e.Has |= flow.ExpectHasFunc
		case ctaExpectNAT:
			decodeExpectNAT(a.Nested(), e)
		}
	}
	if !haveTuple {
		return errNoExpectTuple
	}
	return nil
}

func decodeExpectNAT(a nfnetlink.Attrs, e *flow.Expect) {
	reply := false
	for a.Next() {
		switch a.Type {
		case ctaExpectNATDir:
			v, _ := a.Uint32()
			reply = v != 0
		case ctaExpectNATTuple:
			e.NAT = decodeTuple(a.Nested())
			e.Has |= flow.ExpectHasNAT
		}
	}
	e.NATReply = reply && e.Has.Has(flow.ExpectHasNAT)
}
