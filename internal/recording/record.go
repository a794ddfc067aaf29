package recording

import (
	"bytes"
	"math"
	"math/bits"
	"net/netip"
	"time"

	"github.com/spoor-project/spoor/flow"
)

// record reads a line. told is false if it tells of no flow and of no loss: it is empty, or says only how many there were.
func (s *scanner) record(line []byte, r *Record) (told bool, bad *Error) {
	s.line, s.at, s.bad = line, 0, nil
	*r = Record{}
	if s.peek() == '\n' {
		return false, nil
	}
	e := &r.Event
	d := draft{scanner: s, flow: &e.Flow}
	told = true
	for key := s.open(); key != nil; key = s.next() {
		switch string(key) {
		case "type":
			e.Type, told = s.eventType()
		case "time":
			r.Time = s.time()
		case "dropped":
			e.Dropped = s.number(math.MaxUint64)
		case "portid":
			e.PortID = s.uint32()
		default:
			d.member(key)
		}
	}
	if s.peek() != '\n' {
		s.fail(s.at, "end of line expected")
	}
	switch {
	case s.bad != nil:
	case e.Type == flow.Lost || !told:
		e.Flow = flow.Flow{}
	default:
		d.finish()
	}
	return told && s.bad == nil, s.bad
}

// eventType reads what happened. told is false of the note how much a new reading of the table has brought to light.
func (s *scanner) eventType() (t flow.EventType, told bool) {
	s.peek()
	begin := s.at
	switch string(s.text()) {
	case "new":
		return flow.New, true
	case "update":
		return flow.Update, true
	case "destroy":
		return flow.Destroy, true
	case "lost":
		return flow.Lost, true
	case "present":
		return 0, true
	case "caught_up":
		return 0, false
	}
	s.fail(begin, "not a type of events")
	return 0, true
}

func (s *scanner) uint8() uint8   { return uint8(s.number(math.MaxUint8)) }
func (s *scanner) uint16() uint16 { return uint16(s.number(math.MaxUint16)) }
func (s *scanner) uint32() uint32 { return uint32(s.number(math.MaxUint32)) }

func (s *scanner) timestamp() flow.Timestamp { return flow.Timestamp(s.time().UnixNano()) }

// draft is a flow of which members are still to come: what some mean depends on others.
type draft struct {
	*scanner
	flow                *flow.Flow
	numbered            bool   // the protocol is known
	state               []byte // its name
	stateAt             int
	orig, reply, master members // of the tuples
}

// members of a tuple that were there.
type members uint8

const (
	addresses members = 1 << iota
	ports
	keys
	icmp
	zone
)

func (d *draft) member(key []byte) {
	f := d.flow
	switch string(key) {
	case "protonum":
		f.Orig.Proto, d.numbered = flow.Proto(d.uint8()), true
	case "state":
		d.peek()
		d.stateAt = d.at
		d.state = d.text()
	case "timeout":
		f.Timeout = time.Duration(d.uint32()) * time.Second
		f.Has |= flow.HasTimeout
	case "orig":
		d.direction(&d.orig, &f.Orig, &f.OrigCounters, &f.OrigWindow, &f.VTags.Orig, &f.OrigSeqAdj, flow.HasOrigCounters, flow.HasOrigSeqAdj)
	case "reply":
		d.direction(&d.reply, &f.Reply, &f.ReplyCounters, &f.ReplyWindow, &f.VTags.Reply, &f.ReplySeqAdj, flow.HasReplyCounters, flow.HasReplySeqAdj)
	case "status":
		f.Status = d.status()
		f.Has |= flow.HasStatus
	case "mark":
		f.Mark = d.uint32()
		f.Has |= flow.HasMark
	case "secmark":
		f.SecMark = d.uint32()
		f.Has |= flow.HasSecMark
	case "secctx":
		f.SecCtx = d.str()
		f.Has |= flow.HasSecCtx
	case "zone":
		f.Zone = d.uint16()
		f.Has |= flow.HasZone
	case "labels":
		f.Labels = flow.Labels{}
		d.each(func() { f.Labels.Set(int(d.number(flow.LabelBits - 1))) })
		f.Has |= flow.HasLabels
	case "helper":
		f.Helper = d.str()
		f.Has |= flow.HasHelper
	case "use":
		f.Use = d.uint32()
		f.Has |= flow.HasUse
	case "id":
		f.ID = d.uint32()
		f.Has |= flow.HasID
	case "start":
		f.Start = d.timestamp()
		f.Has |= flow.HasStart
	case "stop":
		f.Stop = d.timestamp()
		f.Has |= flow.HasStop
	default:
		d.rareMember(key)
	}
}

// rareMember reads what few flows have.
func (d *draft) rareMember(key []byte) {
	f := d.flow
	switch string(key) {
	case "master":
		f.Has |= flow.HasMaster
		for key := d.open(); key != nil; key = d.next() {
			if string(key) == "protonum" {
				f.Master.Proto = flow.Proto(d.uint8())
			} else if !d.tupleMember(key, &f.Master, &d.master) {
				d.skip()
			}
		}
	case "dccp":
		f.Has |= flow.HasDCCP
		for key := d.open(); key != nil; key = d.next() {
			switch string(key) {
			case "role":
				f.DCCP.Role = d.role()
			case "handshake_seq":
				f.DCCP.HandshakeSeq = d.number(math.MaxUint64)
			default:
				d.skip()
			}
		}
	case "synproxy":
		f.Has |= flow.HasSynproxy
		for key := d.open(); key != nil; key = d.next() {
			switch string(key) {
			case "isn":
				f.Synproxy.ISN = d.uint32()
			case "its":
				f.Synproxy.ITS = d.uint32()
			case "tsoff":
				f.Synproxy.TSOff = d.uint32()
			default:
				d.skip()
			}
		}
	default:
		d.skip()
	}
}

func (d *draft) role() flow.DCCPRole {
	d.peek()
	begin := d.at
	switch string(d.text()) {
	case "client":
		return flow.DCCPClient
	case "server":
		return flow.DCCPServer
	}
	d.fail(begin, "client or server expected")
	return 0
}

// direction reads what belongs to one direction.
func (d *draft) direction(seen *members, t *flow.Tuple, c *flow.Counters, w *flow.TCPWindow, vtag *uint32, adj *flow.SeqAdj, hasCounters, hasSeqAdj flow.Fields) {
	f := d.flow
	for key := d.open(); key != nil; key = d.next() {
		switch string(key) {
		case "packets":
			c.Packets = d.number(math.MaxUint64)
			f.Has |= hasCounters
		case "bytes":
			c.Bytes = d.number(math.MaxUint64)
			f.Has |= hasCounters
		case "wscale":
			w.Scale = d.uint8()
			f.Has |= flow.HasTCPWindow
		case "tcpflags":
			w.Flags = flow.TCPFlags(d.bits(tcpFlagBit))
			f.Has |= flow.HasTCPWindow
		case "vtag":
			*vtag = d.uint32()
			f.Has |= flow.HasVTags
		case "seqadj":
			f.Has |= hasSeqAdj
			for key := d.open(); key != nil; key = d.next() {
				switch string(key) {
				case "pos":
					adj.CorrectionPos = d.uint32()
				case "before":
					adj.OffsetBefore = d.signed()
				case "after":
					adj.OffsetAfter = d.signed()
				default:
					d.skip()
				}
			}
		default:
			if !d.tupleMember(key, t, seen) {
				d.skip()
			}
		}
	}
}

// tupleMember reads a member of a tuple, and reports false for a key that is none.
func (s *scanner) tupleMember(key []byte, t *flow.Tuple, seen *members) bool {
	switch string(key) {
	case "src":
		t.Src = s.addr()
		*seen |= addresses
	case "dst":
		t.Dst = s.addr()
		*seen |= addresses
	case "sport":
		t.SrcPort = s.uint16()
		*seen |= ports
	case "dport":
		t.DstPort = s.uint16()
		*seen |= ports
	case "srckey":
		t.SrcPort = s.uint16()
		*seen |= keys
	case "dstkey":
		t.DstPort = s.uint16()
		*seen |= keys
	case "type":
		t.DstPort = t.DstPort&0x00ff | uint16(s.uint8())<<8
		*seen |= icmp
	case "code":
		t.DstPort = t.DstPort&0xff00 | uint16(s.uint8())
		*seen |= icmp
	case "id":
		t.SrcPort = s.uint16()
		*seen |= icmp
	case "zone":
		t.Zone = s.uint16()
		*seen |= zone
	default:
		return false
	}
	return true
}

// bits reads an array of names of bits.
func (s *scanner) bits(named func(name []byte) uint32) (set uint32) {
	if !s.take('[', "[ expected") {
		return 0
	}
	if s.peek() == ']' {
		s.at++
		return 0
	}
	for {
		s.peek()
		begin := s.at
		bit := named(s.text())
		if bit == 0 {
			s.fail(begin, "not the name of a bit")
			return 0
		}
		set |= bit
		if s.peek() == ']' {
			s.at++
			return set
		}
		if !s.take(',', ", or ] expected") {
			return 0
		}
	}
}

// status reads the bits of a flow. There are few sets of them in use, so that they are remembered by their text.
func (s *scanner) status() flow.Status {
	s.peek()
	length := bytes.IndexByte(s.line[s.at:], ']') + 1
	text := s.line[s.at : s.at+length]
	if set, ok := s.sets[string(text)]; ok {
		s.at += length
		return set
	}
	set := flow.Status(s.bits(statusBit))
	if s.bad == nil && len(text) < mostTexts && len(s.sets) < mostTexts {
		if s.sets == nil {
			s.sets = make(map[string]flow.Status)
		}
		s.sets[string(text)] = set
	}
	return set
}

func statusBit(name []byte) uint32 {
	for _, bit := range statusBits {
		if bit.Name() == string(name) {
			return uint32(bit)
		}
	}
	return unnamedBit(name, 32)
}

var statusBits = flow.StatusBits()

// tcpFlags has the names of flow.TCPFlags, by bit.
var tcpFlags = [8]string{"WINDOW_SCALE", "SACK_PERM", "CLOSE_INIT", "BE_LIBERAL", "DATA_UNACKNOWLEDGED", "MAXACK_SET", "CHALLENGE_ACK", "SIMULTANEOUS_OPEN"}

func tcpFlagBit(name []byte) uint32 {
	for i, flag := range &tcpFlags {
		if flag == string(name) {
			return 1 << i
		}
	}
	return 0
}

// unnamedBit is a bit that is called by its position, BIT20; 0 if it is none of that many.
func unnamedBit(name []byte, count int64) uint32 {
	if len(name) > 3 && len(name) < 6 && string(name[:3]) == "BIT" {
		if n, ok := decimal(name[3:]); ok && n < count {
			return 1 << n
		}
	}
	return 0
}

// finish makes of what was read a flow, or says why it is none.
func (d *draft) finish() {
	f := d.flow
	switch {
	case d.orig&addresses == 0:
		d.fail(0, "not a flow: orig is missing")
	case !d.numbered:
		d.fail(0, "not a flow: protonum is missing")
	}
	d.fits(d.orig, &f.Orig, &f.Orig)
	if d.reply != 0 {
		f.Has |= flow.HasReply
		f.Reply.Proto = f.Orig.Proto
		d.fits(d.reply, &f.Reply, &f.Orig)
	}
	d.fits(d.master, &f.Master, &f.Orig)
	if d.state != nil {
		f.Has |= flow.HasState
		f.State = d.stateNumber()
	}
}

// shapes has the members that tuples of a shape have beside addresses.
var shapes = [...]members{flow.ShapePorts: ports, flow.ShapeKeys: keys, flow.ShapeICMP: icmp}

// fits checks a tuple against its protocol, and against the family of the original one.
func (d *draft) fits(seen members, t, orig *flow.Tuple) {
	if seen&^(addresses|zone|shapes[t.Proto.Shape()]) != 0 {
		d.fail(0, "a tuple has members of another protocol")
	}
	family := orig.Family()
	if !inFamily(t.Src, family) || !inFamily(t.Dst, family) {
		d.fail(0, "addresses of different families")
	}
}

func inFamily(a netip.Addr, family flow.Family) bool {
	return !a.IsValid() || a.Is4() == (family == flow.IPv4)
}

// stateNumber is the number of the state that was named; one without a name is written as its number.
func (d *draft) stateNumber() uint8 {
	proto := d.flow.Orig.Proto
	if proto == flow.TCP {
		switch string(d.state) { // the frequent ones
		case "ESTABLISHED":
			return flow.TCPEstablished
		case "SYN_SENT":
			return flow.TCPSynSent
		case "SYN_RECV":
			return flow.TCPSynRecv
		case "TIME_WAIT":
			return flow.TCPTimeWait
		}
	}
	if n, ok := proto.ParseState(string(d.state)); ok {
		return n
	}
	n, ok := decimal(d.state)
	if !ok || len(d.state) > 3 || bits.Len64(uint64(n)) > 8 {
		d.fail(d.stateAt, "not a state of the protocol")
		return 0
	}
	return uint8(n)
}
