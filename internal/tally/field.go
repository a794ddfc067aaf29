package tally

import (
	"encoding/binary"
	"net/netip"
	"strconv"

	"github.com/spoor-project/spoor/flow"
)

// Field is what flows can be counted by.
type Field uint8

const (
	Family  Field = iota // IPv4 or IPv6
	Proto                // transport protocol
	State                // name of the tracker's state; none for protocols without states
	Zone                 // of both directions
	Mark                 // ctmark
	Helper               // name of the helper; none without
	Src                  // original source
	Dst                  // original destination
	SrcPort              // original source port, key of GRE; none for other protocols
	DstPort              // original destination port, likewise
	NATSrc               // what the source is translated into; none if it is not
	NATDst               // what the destination is translated into; none if it is not
	lastField
)

// fields has a row for each Field.
var fields = [lastField]struct {
	name string
	of   func(*flow.Flow) Value
}{
	Family:  {"family", func(f *flow.Flow) Value { return number(uint64(f.Orig.Family())) }},
	Proto:   {"proto", func(f *flow.Flow) Value { return number(uint64(f.Orig.Proto)) }},
	State:   {"state", stateOf},
	Zone:    {"zone", func(f *flow.Flow) Value { return number(uint64(f.Zone)) }},
	Mark:    {"mark", func(f *flow.Flow) Value { return number(uint64(f.Mark)) }},
	Helper:  {"helper", func(f *flow.Flow) Value { return Value{Name: f.Helper} }},
	Src:     {"src", func(f *flow.Flow) Value { return Value{Addr: f.Orig.Src} }},
	Dst:     {"dst", func(f *flow.Flow) Value { return Value{Addr: f.Orig.Dst} }},
	SrcPort: {"sport", func(f *flow.Flow) Value { return portOf(&f.Orig, f.Orig.SrcPort) }},
	DstPort: {"dport", func(f *flow.Flow) Value { return portOf(&f.Orig, f.Orig.DstPort) }},
	NATSrc:  {"nat-src", natSource},
	NATDst:  {"nat-dst", natDestination},
}

// String is the field's name: family, proto, state, zone, mark, helper, src, dst, sport,
// dport, nat-src, nat-dst.
func (f Field) String() string {
	if f < lastField {
		return fields[f].name
	}
	return "field " + strconv.Itoa(int(f))
}

// FieldNamed returns the field of that name.
func FieldNamed(name string) (f Field, ok bool) {
	for i := range fields {
		if fields[i].name == name {
			return Field(i), true
		}
	}
	return 0, false
}

// Value is what a group's flows have in common in one field. Which member counts depends on the
// field; a Value of which none is set says that those flows have nothing there.
type Value struct {
	Field  Field
	Addr   netip.Addr
	Name   string
	Number uint64
	Is     bool // Number counts, even if 0
}

func number(n uint64) Value { return Value{Number: n, Is: true} }

// None reports whether the flows have nothing in this field.
func (v Value) None() bool { return !v.Is && v.Name == "" && !v.Addr.IsValid() }

// String is the value as text: "tcp", "ESTABLISHED", "192.0.2.1", "443"; "-" for none.
func (v Value) String() string {
	switch {
	case v.None():
		return "-"
	case v.Addr.IsValid():
		return v.Addr.String()
	case !v.Is:
		return v.Name
	case v.Field == Family:
		return flow.Family(v.Number).String()
	case v.Field == Proto:
		return flow.Proto(v.Number).String()
	}
	return strconv.FormatUint(v.Number, 10)
}

func stateOf(f *flow.Flow) Value {
	if !f.Has.Has(flow.HasState) {
		return Value{}
	}
	return Value{Name: f.Orig.Proto.StateName(f.State)}
}

func portOf(t *flow.Tuple, port uint16) Value {
	if s := t.Proto.Shape(); s != flow.ShapePorts && s != flow.ShapeKeys {
		return Value{}
	}
	return number(uint64(port))
}

func natSource(f *flow.Flow) Value {
	if n := f.NAT(); n.SrcAddr || n.SrcPort && portOf(&f.Orig, 0).Is {
		return Value{Addr: f.Reply.Dst}
	}
	return Value{}
}

func natDestination(f *flow.Flow) Value {
	if n := f.NAT(); n.DstAddr || n.DstPort && portOf(&f.Orig, 0).Is {
		return Value{Addr: f.Reply.Src}
	}
	return Value{}
}

// pack appends f's value: a byte that says how long it is, and it. Values of the same length
// compare as their bytes do.
func (f Field) pack(b []byte, of *flow.Flow) []byte {
	v := fields[f].of(of)
	switch {
	case v.Addr.Is4():
		a := v.Addr.As4()
		return append(append(b, 4), a[:]...)
	case v.Addr.IsValid():
		a := v.Addr.As16()
		return append(append(b, 16), a[:]...)
	case v.Is:
		return binary.BigEndian.AppendUint32(append(b, numberLength), uint32(v.Number))
	}
	name := v.Name[:min(len(v.Name), maxName)]
	return append(append(b, byte(len(name))), name...)
}

// numberLength is the length byte of a number; no address or name is as long.
const (
	numberLength = 255
	maxName      = 254
)

// unpack is the reverse of pack.
func (f Field) unpack(s string) (v Value, rest string) {
	n, s := int(s[0]), s[1:]
	switch {
	case n == numberLength:
		v, n = number(uint64(binary.BigEndian.Uint32([]byte(s[:4])))), 4
	case f >= Src && n > 0:
		v.Addr, _ = netip.AddrFromSlice([]byte(s[:n]))
	default:
		v.Name = s[:n]
	}
	v.Field = f
	return v, s[n:]
}
