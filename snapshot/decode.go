package snapshot

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"time"

	"github.com/spoor-project/spoor/flow"
)

// A record is what the program copied of one entry: a header (struct record in
// bpf/snapshot.c), the entry, its extensions. Only little-endian machines get here.
const (
	recordCT     = 0
	recordBucket = 8
	recordConn   = 12
	recordExt    = 14
	recordMaster = 16
	recordHelper = 56
	recordHeader = 72
	helperSize   = 16
)

var (
	le         = binary.LittleEndian
	errRecord  = errors.New("snapshot: a record is cut off")
	errFamily  = errors.New("snapshot: an entry of an unknown family")
	errExtends = errors.New("snapshot: an extension lies outside its entry's memory")
)

func align8(n int) int { return (n + 7) &^ 7 }

// decoder turns records into flows.
type decoder struct {
	*layout
	hz      uint32
	jiffies uint32
	names   map[[helperSize]byte]string
	id      *idKey // nil: not known
	err     error  // of the extensions of the record
}

// next splits the first record off b.
func (d *decoder) next(b []byte) (rec, rest []byte, err error) {
	if len(b) < recordHeader {
		return nil, nil, errRecord
	}
	conn, ext := int(le.Uint16(b[recordConn:])), int(le.Uint16(b[recordExt:]))
	n := recordHeader + align8(conn) + align8(ext)
	if conn < int(d.ConnSize) || n > len(b) {
		return nil, nil, errRecord
	}
	return b[:n], b[n:], nil
}

// flow decodes a record that next has checked. The values are those that a netlink dump
// would give, except that the security mark comes as a number.
func (d *decoder) flow(rec []byte, f *flow.Flow) error {
	*f = flow.Flow{}
	c := rec[recordHeader:]
	if !decodeTuple(c[d.Orig:], &f.Orig) || !decodeTuple(c[d.Reply:], &f.Reply) {
		return errFamily
	}
	status := flow.Status(le.Uint32(c[d.Status:]))
	f.Status = status
	f.Use = le.Uint32(c[d.Use:])
	f.Has = flow.HasReply | flow.HasStatus | flow.HasUse
	if status&flow.Offload == 0 {
		f.Timeout = time.Duration((le.Uint32(c[d.Timeout:])-d.jiffies)/d.hz) * time.Second
		f.Has |= flow.HasTimeout
		d.protocol(c, f)
	}
	if d.Mark != absent {
		f.Mark = le.Uint32(c[d.Mark:])
		f.Has |= flow.HasMark
	}
	if d.SecMark != absent {
		if v := le.Uint32(c[d.SecMark:]); v != 0 {
			f.SecMark = v
			f.Has |= flow.HasSecMark
		}
	}
	if d.Zone != absent {
		d.zone(c, f)
	}
	if status&flow.Expected != 0 {
		if decodeTuple(rec[recordMaster:], &f.Master) {
			f.Has |= flow.HasMaster
		}
	}
	if d.id != nil {
		f.ID = d.id.of(rec, d.layout)
		f.Has |= flow.HasID
	}
	if n := int(le.Uint16(rec[recordExt:])); n > 0 {
		return d.extensions(rec, c[align8(int(le.Uint16(rec[recordConn:]))):][:n], f)
	}
	return nil
}

func decodeTuple(b []byte, t *flow.Tuple) bool {
	_ = b[tupleSize-1]
	switch flow.Family(b[18]) {
	case flow.IPv4:
		t.Src = netip.AddrFrom4([4]byte(b))
		t.Dst = netip.AddrFrom4([4]byte(b[20:]))
	case flow.IPv6:
		t.Src = netip.AddrFrom16([16]byte(b))
		t.Dst = netip.AddrFrom16([16]byte(b[20:]))
	default:
		return false
	}
	t.SrcPort = binary.BigEndian.Uint16(b[16:])
	t.DstPort = binary.BigEndian.Uint16(b[36:])
	t.Proto = flow.Proto(b[38])
	return true
}

func (d *decoder) protocol(c []byte, f *flow.Flow) {
	switch f.Orig.Proto {
	case flow.TCP:
		f.State = c[d.TCPState]
		orig := c[d.TCPSeen:]
		reply := orig[d.TCPSeenSize:]
		f.OrigWindow = flow.TCPWindow{Scale: orig[d.TCPScale], Flags: flow.TCPFlags(orig[d.TCPFlags])}
		f.ReplyWindow = flow.TCPWindow{Scale: reply[d.TCPScale], Flags: flow.TCPFlags(reply[d.TCPFlags])}
		f.Has |= flow.HasState | flow.HasTCPWindow
	case flow.SCTP:
		if d.SCTPState == absent {
			return
		}
		f.State = c[d.SCTPState]
		f.VTags.Orig = binary.BigEndian.Uint32(c[d.SCTPVTag:])
		f.VTags.Reply = binary.BigEndian.Uint32(c[d.SCTPVTag+4:])
		f.Has |= flow.HasState | flow.HasVTags
	case flow.DCCP:
		if d.DCCPState == absent {
			return
		}
		f.State = c[d.DCCPState]
		f.DCCP = flow.DCCPInfo{Role: flow.DCCPRole(c[d.DCCPRole]), HandshakeSeq: le.Uint64(c[d.DCCPSeq:])}
		f.Has |= flow.HasState | flow.HasDCCP
	}
}

// Directions of a zone, of include/net/netfilter/nf_conntrack_zones.h.
const (
	zoneOrig  = 1
	zoneReply = 2
	zoneBoth  = zoneOrig | zoneReply
)

func (d *decoder) zone(c []byte, f *flow.Flow) {
	zone, dir := le.Uint16(c[d.Zone:]), c[d.ZoneDir]
	if zone == 0 {
		return
	}
	switch dir {
	case zoneBoth:
		f.Zone = zone
		f.Has |= flow.HasZone
	case zoneOrig:
		f.Orig.Zone = zone
	case zoneReply:
		f.Reply.Zone = zone
	}
}

// extension returns n bytes of the extension of that number; nil if the entry has none.
func (d *decoder) extension(x []byte, number uint16, n int) []byte {
	at := int(d.ExtOffset) + int(number)
	if at >= len(x) || x[at] == 0 {
		return nil // also where number is absent
	}
	off := int(x[at])
	if off+n > len(x) {
		d.err = errExtends
		return nil
	}
	return x[off : off+n]
}

func (d *decoder) extensions(rec, x []byte, f *flow.Flow) error {
	if int(d.ExtOffset) >= len(x) {
		return errExtends
	}
	d.err = nil
	if b := d.extension(x, d.Acct, 32); b != nil {
		f.OrigCounters = flow.Counters{Packets: le.Uint64(b), Bytes: le.Uint64(b[8:])}
		f.ReplyCounters = flow.Counters{Packets: le.Uint64(b[16:]), Bytes: le.Uint64(b[24:])}
		f.Has |= flow.HasOrigCounters | flow.HasReplyCounters
	}
	if b := d.extension(x, d.Tstamp, 16); b != nil {
		f.Start, f.Has = flow.Timestamp(le.Uint64(b)), f.Has|flow.HasStart
		if stop := le.Uint64(b[8:]); stop != 0 {
			f.Stop, f.Has = flow.Timestamp(stop), f.Has|flow.HasStop
		}
	}
	if b := d.extension(x, d.Labels, 16); b != nil {
		if f.Labels = flow.Labels(b); f.Labels != (flow.Labels{}) { // as netlink does
			f.Has |= flow.HasLabels
		}
	}
	if b := d.extension(x, d.Synproxy, 12); b != nil {
		f.Synproxy = flow.Synproxy{ISN: le.Uint32(b), ITS: le.Uint32(b[4:]), TSOff: le.Uint32(b[8:])}
		f.Has |= flow.HasSynproxy
	}
	if f.Status&flow.SeqAdjust != 0 {
		if b := d.extension(x, d.SeqAdj, 24); b != nil {
			f.OrigSeqAdj, f.ReplySeqAdj = decodeSeqAdj(b), decodeSeqAdj(b[12:])
			f.Has |= flow.HasOrigSeqAdj | flow.HasReplySeqAdj
		}
	}
	if name := rec[recordHelper : recordHelper+helperSize]; name[0] != 0 {
		f.Helper, f.Has = d.name([helperSize]byte(name)), f.Has|flow.HasHelper
	}
	return d.err
}

func decodeSeqAdj(b []byte) flow.SeqAdj {
	return flow.SeqAdj{
		CorrectionPos: le.Uint32(b), OffsetBefore: int32(le.Uint32(b[4:])), OffsetAfter: int32(le.Uint32(b[8:])),
	}
}

// maxNames bounds the memory for names; there are a dozen helpers.
const maxNames = 256

// name returns a helper's name, of which the same string is made once.
func (d *decoder) name(b [helperSize]byte) string {
	if s, ok := d.names[b]; ok {
		return s
	}
	text, _, _ := bytes.Cut(b[:], []byte{0})
	s := string(text)
	if d.names == nil {
		d.names = make(map[[helperSize]byte]string)
	}
	if len(d.names) < maxNames {
		d.names[b] = s
	}
	return s
}
