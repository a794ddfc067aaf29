package filter

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/spoor-project/spoor/flow"
)

// String writes q so that [Parse] reads the same; the zero Query is "".
func (q *Query) String() string {
	if q.IsZero() {
		return ""
	}
	return string(q.root.append(nil, opOr))
}

// append appends n as it stands inside of an outer operation.
func (n *node) append(b []byte, outer op) []byte {
	switch n.op {
	case opTest:
		return n.test.append(b)
	case opNot:
		if word := n.kids[0].unword(); word != "" {
			return append(b, word...)
		}
		return n.kids[0].append(append(b, "not "...), opNot)
	}
	joint := " and "
	if n.op == opOr {
		joint = " or "
	}
	// Or binds less than and, which binds less than not.
	inner := n.op == opOr && outer == opAnd || outer == opNot
	if inner {
		b = append(b, '(')
	}
	for i := range n.kids {
		if i > 0 {
			b = append(b, joint...)
		}
		b = n.kids[i].append(b, n.op)
	}
	if inner {
		b = append(b, ')')
	}
	return b
}

// unword is the word that says the opposite of a test, if there is one.
func (n *node) unword() string {
	if n.op == opTest && n.test.field == fieldStatus {
		return word(n.test.status, true)
	}
	return ""
}

func word(status flow.Status, not bool) string {
	for i := range words {
		if words[i].status == status && words[i].not == not {
			return words[i].text
		}
	}
	return ""
}

func (t *test) append(b []byte) []byte {
	row := &fields[t.field]
	switch row.kind {
	case kindStatus:
		if w := word(t.status, false); w != "" {
			return append(b, w...)
		}
	case kindProto, kindFamily:
		if len(t.numbers) == 1 && t.numbers[0].lo == t.numbers[0].hi {
			if name := nameOf(row.kind, t.numbers[0].lo); name != "" {
				return append(b, name...)
			}
		}
	}
	switch t.dir {
	case original:
		b = append(b, "orig "...)
	case reply:
		b = append(b, "reply "...)
	}
	b = append(b, row.name...)
	if row.kind == kindNAT {
		if t.addrs == nil {
			return b
		}
		b = append(b, " to"...)
	}
	if len(t.numbers) == 1 && t.field.ordered() {
		switch s := t.numbers[0]; {
		case s.lo == 0 && s.hi == row.max, s.lo == s.hi:
		case s.lo == 0:
			return append(b, shorter(row.kind, " <= ", s.hi, " < ", s.hi+1)...)
		case s.hi == row.max:
			return append(b, shorter(row.kind, " >= ", s.lo, " > ", s.lo-1)...)
		}
	}
	return t.appendSet(append(b, ' '), row.kind)
}

// shorter says a bound with or without its own value: < 30s rather than <= 29999999999ns.
func shorter(k kind, with string, n uint64, without string, beyond uint64) []byte {
	a, b := appendNumber(nil, k, n), appendNumber(nil, k, beyond)
	if len(a) <= len(b) {
		return append([]byte(with), a...)
	}
	return append([]byte(without), b...)
}

func (t *test) appendSet(b []byte, k kind) []byte {
	list := list{b: b}
	for _, s := range t.numbers {
		list.next()
		list.b = appendNumber(list.b, k, s.lo)
		if s.hi != s.lo {
			list.b = appendNumber(append(list.b, '-'), k, s.hi)
		}
	}
	for _, s := range t.addrs {
		list.next()
		list.b = s.append(list.b)
	}
	for _, m := range t.marks {
		list.next()
		list.b = strconv.AppendUint(append(list.b, "0x"...), uint64(m.Value), 16)
		if m.Mask != ^uint32(0) {
			list.b = strconv.AppendUint(append(list.b, "/0x"...), uint64(m.Mask), 16)
		}
	}
	for i, s := range t.states {
		// A name stands for the states of all protocols that have it.
		name := s.Proto.StateName(s.N)
		if !stateNamed(t.states[:i], name) {
			list.next()
			list.b = append(list.b, strings.ToLower(name)...)
		}
	}
	for _, bit := range flow.StatusBits() {
		if t.status.Has(bit) {
			list.next()
			list.b = append(list.b, strings.ToLower(bit.Name())...)
		}
	}
	for bit := range flow.LabelBits {
		if t.labels.Bit(bit) {
			list.next()
			list.b = strconv.AppendInt(list.b, int64(bit), 10)
		}
	}
	for _, text := range t.texts {
		list.next()
		list.b = appendText(list.b, text)
	}
	return list.b
}

func stateNamed(states []State, name string) bool {
	for _, s := range states {
		if s.Proto.StateName(s.N) == name {
			return true
		}
	}
	return false
}

type list struct {
	b     []byte
	begun bool
}

func (l *list) next() {
	if l.begun {
		l.b = append(l.b, ',')
	}
	l.begun = true
}

// nameOf is the name of a protocol or family; "" if it has none.
func nameOf(k kind, n uint64) string {
	switch {
	case k == kindProto && flow.Proto(n).Known():
		return flow.Proto(n).String()
	case k == kindFamily && n == uint64(flow.IPv4), k == kindFamily && n == uint64(flow.IPv6):
		return flow.Family(n).String()
	}
	return ""
}

func appendNumber(b []byte, k kind, n uint64) []byte {
	switch k {
	case kindProto, kindFamily:
		if name := nameOf(k, n); name != "" {
			return append(b, name...)
		}
	case kindCount:
		return appendCount(b, n)
	case kindDuration:
		return appendDuration(b, n)
	}
	return strconv.AppendUint(b, n, 10)
}

// appendCount appends a number with the greatest unit that leaves no fraction.
func appendCount(b []byte, n uint64) []byte {
	for i := len(countUnits) - 1; i >= 0; i-- {
		if u := countUnits[i]; !u.binary && n != 0 && n%u.size == 0 {
			return append(strconv.AppendUint(b, n/u.size, 10), u.name...)
		}
	}
	return strconv.AppendUint(b, n, 10)
}

func appendDuration(b []byte, n uint64) []byte {
	if n == 0 {
		return append(b, "0s"...)
	}
	for _, u := range durationUnits {
		if n%uint64(u.size) == 0 {
			return append(strconv.AppendUint(b, n/uint64(u.size), 10), u.name...)
		}
	}
	return append(strconv.AppendUint(b, n, 10), "ns"...)
}

// durationUnits are the units of time, the greatest first.
var durationUnits = [...]struct {
	name string
	size time.Duration
}{
	{"w", 7 * 24 * time.Hour}, {"d", 24 * time.Hour}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second},
	{"ms", time.Millisecond}, {"us", time.Microsecond}, {"ns", 1},
}

// countUnits are the units of counts.
var countUnits = [...]struct {
	name   string
	size   uint64
	binary bool
}{
	{"k", 1e3, false}, {"M", 1e6, false}, {"G", 1e9, false}, {"T", 1e12, false},
	{"Ki", 1 << 10, true}, {"Mi", 1 << 20, true}, {"Gi", 1 << 30, true}, {"Ti", 1 << 40, true},
}

// append appends the span as an address, a network or a range.
func (s *addrSpan) append(b []byte) []byte {
	if s.lo == s.hi {
		return s.lo.AppendTo(b)
	}
	for bits := s.lo.BitLen() - 1; bits >= 0; bits-- {
		p := netip.PrefixFrom(s.lo, bits)
		if p.Masked().Addr() != s.lo {
			break
		}
		if lastOf(p) == s.hi {
			return p.AppendTo(b)
		}
	}
	return s.hi.AppendTo(append(s.lo.AppendTo(b), '-'))
}

// lastOf is the highest address of a network.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// appendText appends a word, in quotes if it could be read as something else.
func appendText(b []byte, text string) []byte {
	plain := text != "" && !reserved(text)
	for i := 0; i < len(text); i++ {
		plain = plain && isWord(text[i])
	}
	if plain {
		return append(b, text...)
	}
	return strconv.AppendQuote(b, text)
}
