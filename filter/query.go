package filter

import (
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/spoor-project/spoor/flow"
)

// Query is a selection of flows as [Parse] reads it from text. The zero Query selects every flow. A Query is
// not changed by its methods and may be used by several goroutines.
type Query struct{ root *node } // nil: everything

// node is a condition, or several that are joined.
type node struct {
	op   op
	kids []node // of and, or: two and more; of not: one
	test test
}

type op uint8

const (
	opTest op = iota
	opAnd
	opOr
	opNot
)

// test compares one attribute, or several of one kind, with a set of values.
type test struct {
	field field
	dir   direction
	// The set: one of these, by the kind of the field.
	numbers []span
	addrs   []addrSpan // nil for a translation into any address
	marks   []Mark
	states  []State
	status  flow.Status
	labels  flow.Labels
	texts   []string
}

// direction says of which tuple, or of whose packets. What is meant without it depends on the field.
type direction uint8

const (
	noDirection direction = iota
	original
	reply
)

// span and addrSpan are ranges with both ends.
type span struct{ lo, hi uint64 }

type addrSpan struct { // of one family
	lo, hi   netip.Addr
	lo4, hi4 uint32 // IPv4: the same as numbers, which are compared in a fraction of the time
}

func spanOf(lo, hi netip.Addr) addrSpan {
	s := addrSpan{lo: lo, hi: hi}
	if lo.Is4() && hi.Is4() {
		s.lo4, s.hi4 = number(lo), number(hi)
	}
	return s
}

func number(ipv4 netip.Addr) uint32 {
	b := ipv4.As4()
	return binary.BigEndian.Uint32(b[:])
}

// Match reports whether f is selected. now is what the age of flows is counted to that have not ended.
// It does not allocate.
func (q *Query) Match(f *flow.Flow, now time.Time) bool {
	return q == nil || q.root == nil || q.root.match(f, now)
}

// IsZero reports whether q selects every flow because it has no condition.
func (q *Query) IsZero() bool { return q == nil || q.root == nil }

func (n *node) match(f *flow.Flow, now time.Time) bool {
	switch n.op {
	case opAnd:
		for i := range n.kids {
			k := &n.kids[i]
			if k.op == opTest { // nearly always, and one call less
				if !k.test.match(f, now) {
					return false
				}
			} else if !k.match(f, now) {
				return false
			}
		}
		return true
	case opOr:
		for i := range n.kids {
			if n.kids[i].match(f, now) {
				return true
			}
		}
		return false
	case opNot:
		return !n.kids[0].match(f, now)
	}
	return n.test.match(f, now)
}

func (t *test) match(f *flow.Flow, now time.Time) bool {
	if t.dir == reply && !f.Has.Has(flow.HasReply) && t.field != fieldBytes && t.field != fieldPackets {
		return false
	}
	switch t.field {
	case fieldFamily:
		return t.hasNumber(uint64(f.Orig.Family()))
	case fieldProto:
		return t.hasNumber(uint64(f.Orig.Proto))
	case fieldSrc:
		return t.hasAddr(t.tuple(f).Src)
	case fieldDst:
		return t.hasAddr(t.tuple(f).Dst)
	case fieldHost:
		return t.dir != reply && (t.hasAddr(f.Orig.Src) || t.hasAddr(f.Orig.Dst)) ||
			t.dir != original && (t.hasAddr(f.Reply.Src) || t.hasAddr(f.Reply.Dst))
	case fieldSrcPort:
		return hasPorts(f) && t.hasNumber(uint64(t.tuple(f).SrcPort))
	case fieldDstPort:
		return hasPorts(f) && t.hasNumber(uint64(t.tuple(f).DstPort))
	case fieldPort:
		return hasPorts(f) &&
			(t.dir != reply && (t.hasNumber(uint64(f.Orig.SrcPort)) || t.hasNumber(uint64(f.Orig.DstPort))) ||
				t.dir != original && f.Has.Has(flow.HasReply) &&
					(t.hasNumber(uint64(f.Reply.SrcPort)) || t.hasNumber(uint64(f.Reply.DstPort))))
	case fieldICMPType:
		return isICMP(f) && t.hasNumber(uint64(t.tuple(f).ICMPType()))
	case fieldICMPCode:
		return isICMP(f) && t.hasNumber(uint64(t.tuple(f).ICMPCode()))
	case fieldICMPID:
		return isICMP(f) && t.hasNumber(uint64(t.tuple(f).ICMPID()))
	case fieldZone:
		if t.dir == noDirection {
			return t.hasNumber(uint64(f.Zone))
		}
		return t.hasNumber(uint64(t.tuple(f).Zone))
	case fieldState:
		return f.Has.Has(flow.HasState) && t.hasState(f.Orig.Proto, f.State)
	case fieldStatus:
		return f.Has.Has(flow.HasStatus) && f.Status&t.status != 0
	case fieldMark:
		return f.Has.Has(flow.HasMark) && t.hasMark(f.Mark)
	case fieldLabel:
		return t.hasLabel(&f.Labels)
	case fieldHelper:
		return f.Has.Has(flow.HasHelper) && t.hasText(f.Helper)
	case fieldSecCtx:
		return f.Has.Has(flow.HasSecCtx) && t.hasText(f.SecCtx)
	case fieldID:
		return f.Has.Has(flow.HasID) && t.hasNumber(uint64(f.ID))
	case fieldUse:
		return f.Has.Has(flow.HasUse) && t.hasNumber(uint64(f.Use))
	case fieldBytes:
		c, ok := t.sum(f)
		return ok && t.hasNumber(c.Bytes)
	case fieldPackets:
		c, ok := t.sum(f)
		return ok && t.hasNumber(c.Packets)
	case fieldTimeout:
		return f.Has.Has(flow.HasTimeout) && t.hasNumber(uint64(max(0, f.Timeout)))
	case fieldAge:
		return f.Has.Has(flow.HasStart) && t.hasNumber(age(f, now))
	case fieldSNAT:
		src, _ := translated(f)
		return src && t.hasTarget(f.Reply.Dst)
	case fieldDNAT:
		_, dst := translated(f)
		return dst && t.hasTarget(f.Reply.Src)
	case fieldNAT:
		src, dst := translated(f)
		return src && t.hasTarget(f.Reply.Dst) || dst && t.hasTarget(f.Reply.Src)
	}
	return false
}

// tuple is the one that the test is about; without a direction the original one.
func (t *test) tuple(f *flow.Flow) *flow.Tuple {
	if t.dir == reply {
		return &f.Reply
	}
	return &f.Orig
}

func hasPorts(f *flow.Flow) bool {
	shape := f.Orig.Proto.Shape()
	return shape == flow.ShapePorts || shape == flow.ShapeKeys
}

func isICMP(f *flow.Flow) bool { return f.Orig.Proto.Shape() == flow.ShapeICMP }

func (t *test) hasNumber(n uint64) bool {
	for i := range t.numbers {
		if s := &t.numbers[i]; s.lo <= n && n <= s.hi {
			return true
		}
	}
	return false
}

// hasAddr is false for an address that is not known: it is less than all others.
func (t *test) hasAddr(a netip.Addr) bool {
	if a.Is4() {
		n := number(a)
		for i := range t.addrs {
			if s := &t.addrs[i]; s.lo4 <= n && n <= s.hi4 && s.lo.Is4() {
				return true
			}
		}
		return false
	}
	for i := range t.addrs {
		if s := &t.addrs[i]; s.lo.Compare(a) <= 0 && a.Compare(s.hi) <= 0 {
			return true
		}
	}
	return false
}

// hasTarget is about what an address has been translated into.
func (t *test) hasTarget(a netip.Addr) bool { return t.addrs == nil || t.hasAddr(a) }

func (t *test) hasState(p flow.Proto, n uint8) bool {
	for i := range t.states {
		if s := &t.states[i]; s.Proto == p && s.N == n {
			return true
		}
	}
	return false
}

func (t *test) hasMark(mark uint32) bool {
	for i := range t.marks {
		if m := &t.marks[i]; mark&m.Mask == m.Value {
			return true
		}
	}
	return false
}

func (t *test) hasLabel(set *flow.Labels) bool {
	for i := range set {
		if set[i]&t.labels[i] != 0 {
			return true
		}
	}
	return false
}

func (t *test) hasText(text string) bool {
	for i := range t.texts {
		if t.texts[i] == text {
			return true
		}
	}
	return false
}

// sum adds up the counters of the directions that are asked for; ok is false if there are none.
func (t *test) sum(f *flow.Flow) (c flow.Counters, ok bool) {
	if t.dir != reply && f.Has.Has(flow.HasOrigCounters) {
		c, ok = f.OrigCounters, true
	}
	if t.dir != original && f.Has.Has(flow.HasReplyCounters) {
		c.Bytes, c.Packets, ok = c.Bytes+f.ReplyCounters.Bytes, c.Packets+f.ReplyCounters.Packets, true
	}
	return c, ok
}

// age is for how long f has lasted, in nanoseconds.
func age(f *flow.Flow, now time.Time) uint64 {
	end := flow.Timestamp(now.UnixNano())
	if f.Has.Has(flow.HasStop) {
		end = f.Stop
	}
	return uint64(max(0, end-f.Start)) // clocks do step back
}

// translated reports whether NAT changes the source and the destination of f.
func translated(f *flow.Flow) (src, dst bool) {
	t := f.Translated()
	return t.SrcAddr || t.SrcPort, t.DstAddr || t.DstPort
}
