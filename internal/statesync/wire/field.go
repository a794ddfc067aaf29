package wire

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/spoor-project/spoor/flow"
)

// form is how a payload is laid out.
type form struct {
	size int // in bytes; if max is given, any size up to max will do
	max  int
	// usable says whether a payload of the right size means anything; one that does not is passed
	// over. nil: all do.
	usable func(p []byte) bool
	// show is the value for Dissect: a number, a string or a struct.
	show func(p []byte) any
}

func (f *form) fits(size int) bool { return size == f.size || f.max > 0 && size <= f.max }

// field is a form, and where in a T its value lives. decode gets a payload of the right size.
type field[T any] struct {
	form
	encode func(b []byte, v *T) []byte
	decode func(d *Decoder, p []byte, v *T)
}

// The forms.
var (
	form8         = form{size: 1, show: func(p []byte) any { return uint32(p[0]) }}
	form16        = form{size: 2, show: func(p []byte) any { return uint32(binary.BigEndian.Uint16(p)) }}
	form16Swapped = form{size: 2, show: func(p []byte) any { return uint32(binary.LittleEndian.Uint16(p)) }}
	form32        = form{size: 4, show: func(p []byte) any { return binary.BigEndian.Uint32(p) }}
	formIPv4      = form{size: 4, show: func(p []byte) any { return ipv4(p) }}
	formIPv6      = form{size: 16, show: func(p []byte) any { return ipv6(p) }}
	formPair4     = form{size: 8, show: func(p []byte) any { return addrPair{ipv4(p), ipv4(p[4:])} }}
	formPair6     = form{size: 32, show: func(p []byte) any { return addrPair{ipv6(p), ipv6(p[16:])} }}
	formPorts     = form{size: 4, show: func(p []byte) any { return showPorts(p) }}
	formSeqAdj    = form{size: 24, show: func(p []byte) any { return showSeqAdj(p) }}
	formSynproxy  = form{size: 12, show: func(p []byte) any { return showSynproxy(p) }}
	formLabels    = form{max: 1024, usable: wholeWords, show: func(p []byte) any { return showLabels(p) }}
)

// The fields, by the place of a value. Fields of two directions use the same place in T.

func number8[T any, N ~uint8](at func(*T) *N) field[T] {
	return field[T]{form8,
		func(b []byte, v *T) []byte { return append(b, byte(*at(v))) },
		func(_ *Decoder, p []byte, v *T) { *at(v) = N(p[0]) }}
}

func number16[T any](at func(*T) *uint16) field[T] {
	return field[T]{form16,
		func(b []byte, v *T) []byte { return binary.BigEndian.AppendUint16(b, *at(v)) },
		func(_ *Decoder, p []byte, v *T) { *at(v) = binary.BigEndian.Uint16(p) }}
}

// swapped16 is for what the original converts to network order although it is in it already.
func swapped16[T any](at func(*T) *uint16) field[T] {
	return field[T]{form16Swapped,
		func(b []byte, v *T) []byte { return binary.LittleEndian.AppendUint16(b, *at(v)) },
		func(_ *Decoder, p []byte, v *T) { *at(v) = binary.LittleEndian.Uint16(p) }}
}

func number32[T any, N ~uint32](at func(*T) *N) field[T] {
	return field[T]{form32,
		func(b []byte, v *T) []byte { return binary.BigEndian.AppendUint32(b, uint32(*at(v))) },
		func(_ *Decoder, p []byte, v *T) { *at(v) = N(binary.BigEndian.Uint32(p)) }}
}

// flag32 is a number that is 0 or 1; received, anything but 0 is true.
func flag32[T any](at func(*T) *bool) field[T] {
	return field[T]{form32,
		func(b []byte, v *T) []byte {
			if *at(v) {
				return append(b, 0, 0, 0, 1)
			}
			return append(b, 0, 0, 0, 0)
		},
		func(_ *Decoder, p []byte, v *T) { *at(v) = binary.BigEndian.Uint32(p) != 0 }}
}

// seconds is a number of seconds.
func seconds[T any](at func(*T) *time.Duration) field[T] {
	return field[T]{form32,
		func(b []byte, v *T) []byte {
			return binary.BigEndian.AppendUint32(b, uint32(min(max(*at(v)/time.Second, 0), 1<<32-1)))
		},
		func(_ *Decoder, p []byte, v *T) {
			*at(v) = time.Duration(binary.BigEndian.Uint32(p)) * time.Second
		}}
}

func addr4[T any](at func(*T) *netip.Addr) field[T] {
	return field[T]{formIPv4,
		func(b []byte, v *T) []byte { return append4(b, *at(v)) },
		func(_ *Decoder, p []byte, v *T) { *at(v) = ipv4(p) }}
}

func addr6[T any](at func(*T) *netip.Addr) field[T] {
	return field[T]{formIPv6,
		func(b []byte, v *T) []byte { return append6(b, *at(v)) },
		func(_ *Decoder, p []byte, v *T) { *at(v) = ipv6(p) }}
}

// pair4 is source and destination of a tuple.
func pair4[T any](at func(*T) *flow.Tuple) field[T] {
	return field[T]{formPair4,
		func(b []byte, v *T) []byte { t := at(v); return append4(append4(b, t.Src), t.Dst) },
		func(_ *Decoder, p []byte, v *T) { t := at(v); t.Src, t.Dst = ipv4(p), ipv4(p[4:]) }}
}

func pair6[T any](at func(*T) *flow.Tuple) field[T] {
	return field[T]{formPair6,
		func(b []byte, v *T) []byte { t := at(v); return append6(append6(b, t.Src), t.Dst) },
		func(_ *Decoder, p []byte, v *T) { t := at(v); t.Src, t.Dst = ipv6(p), ipv6(p[16:]) }}
}

// ports is source and destination port of a tuple.
func ports[T any](at func(*T) *flow.Tuple) field[T] {
	return field[T]{formPorts,
		func(b []byte, v *T) []byte {
			t := at(v)
			return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(b, t.SrcPort), t.DstPort)
		},
		func(_ *Decoder, p []byte, v *T) { t := at(v); t.SrcPort, t.DstPort = portsOf(p) }}
}

// text is a string and a zero byte, of at most max bytes together. A payload without the zero is
// no use.
func text[T any](max int, at func(*T) *string) field[T] {
	cut := func(p []byte) []byte {
		s, _, _ := bytes.Cut(p, []byte{0})
		return s
	}
	return field[T]{
		form{max: max, usable: func(p []byte) bool { return bytes.IndexByte(p, 0) >= 0 },
			show: func(p []byte) any { return string(cut(p)) }},
		func(b []byte, v *T) []byte { return append(append(b, *at(v)...), 0) },
		func(d *Decoder, p []byte, v *T) { *at(v) = d.name(cut(p)) }}
}

func append4(b []byte, a netip.Addr) []byte {
	if !a.Is4() {
		return append(b, 0, 0, 0, 0)
	}
	raw := a.As4()
	return append(b, raw[:]...)
}

func append6(b []byte, a netip.Addr) []byte {
	raw := a.As16()
	return append(b, raw[:]...)
}

func ipv4(p []byte) netip.Addr { return netip.AddrFrom4([4]byte(p)) }
func ipv6(p []byte) netip.Addr { return netip.AddrFrom16([16]byte(p)) }

func portsOf(p []byte) (src, dst uint16) {
	return binary.BigEndian.Uint16(p), binary.BigEndian.Uint16(p[2:])
}

// seqAdj is the adjustments of both directions, whose bits of Flow.Has go together here.
func seqAdj() field[flow.Flow] {
	return field[flow.Flow]{formSeqAdj,
		func(b []byte, f *flow.Flow) []byte {
			return appendSeqAdj(appendSeqAdj(b, &f.OrigSeqAdj), &f.ReplySeqAdj)
		},
		func(_ *Decoder, p []byte, f *flow.Flow) {
			f.OrigSeqAdj, f.ReplySeqAdj = seqAdjOf(p), seqAdjOf(p[12:])
		}}
}

func appendSeqAdj(b []byte, s *flow.SeqAdj) []byte {
	b = binary.BigEndian.AppendUint32(b, s.CorrectionPos)
	b = binary.BigEndian.AppendUint32(b, uint32(s.OffsetBefore))
	return binary.BigEndian.AppendUint32(b, uint32(s.OffsetAfter))
}

func seqAdjOf(p []byte) flow.SeqAdj {
	return flow.SeqAdj{
		CorrectionPos: binary.BigEndian.Uint32(p),
		OffsetBefore:  int32(binary.BigEndian.Uint32(p[4:])),
		OffsetAfter:   int32(binary.BigEndian.Uint32(p[8:])),
	}
}

func synproxy() field[flow.Flow] {
	return field[flow.Flow]{formSynproxy,
		func(b []byte, f *flow.Flow) []byte {
			b = binary.BigEndian.AppendUint32(b, f.Synproxy.ITS)
			b = binary.BigEndian.AppendUint32(b, f.Synproxy.ISN)
			return binary.BigEndian.AppendUint32(b, f.Synproxy.TSOff)
		},
		func(_ *Decoder, p []byte, f *flow.Flow) { f.Synproxy = synproxyOf(p) }}
}

func synproxyOf(p []byte) flow.Synproxy {
	return flow.Synproxy{
		ITS:   binary.BigEndian.Uint32(p),
		ISN:   binary.BigEndian.Uint32(p[4:]),
		TSOff: binary.BigEndian.Uint32(p[8:]),
	}
}

// labels is the label bits in words of 32, the lowest bits in the first word. Of a label
// area that is larger than the kernel's the rest is lost; a smaller one is filled up with zeros.
func labels() field[flow.Flow] {
	return field[flow.Flow]{formLabels,
		func(b []byte, f *flow.Flow) []byte {
			for i := 0; i < len(f.Labels); i += 4 {
				b = binary.BigEndian.AppendUint32(b, binary.LittleEndian.Uint32(f.Labels[i:]))
			}
			return b
		},
		func(_ *Decoder, p []byte, f *flow.Flow) {
			f.Labels = flow.Labels{}
			for i := 0; i < min(len(p), len(f.Labels)); i += 4 {
				binary.LittleEndian.PutUint32(f.Labels[i:], binary.BigEndian.Uint32(p[i:]))
			}
		}}
}

func wholeWords(p []byte) bool { return len(p)%4 == 0 }

// What Dissect shows. The names of the members are those of the recorded vectors.

type addrPair struct {
	Src netip.Addr `json:"src"`
	Dst netip.Addr `json:"dst"`
}

func (a addrPair) String() string { return "src=" + a.Src.String() + " dst=" + a.Dst.String() }

type portPair struct {
	Src uint16 `json:"sport"`
	Dst uint16 `json:"dport"`
}

func showPorts(p []byte) portPair {
	src, dst := portsOf(p)
	return portPair{src, dst}
}

func (p portPair) String() string { return fmt.Sprintf("sport=%d dport=%d", p.Src, p.Dst) }

type seqAdjPair struct {
	OrigPos    uint32 `json:"orig_correction_pos"`
	OrigBefore int32  `json:"orig_offset_before"`
	OrigAfter  int32  `json:"orig_offset_after"`
	ReplPos    uint32 `json:"repl_correction_pos"`
	ReplBefore int32  `json:"repl_offset_before"`
	ReplAfter  int32  `json:"repl_offset_after"`
}

func showSeqAdj(p []byte) seqAdjPair {
	o, r := seqAdjOf(p), seqAdjOf(p[12:])
	return seqAdjPair{o.CorrectionPos, o.OffsetBefore, o.OffsetAfter, r.CorrectionPos, r.OffsetBefore, r.OffsetAfter}
}

func (s seqAdjPair) String() string {
	return fmt.Sprintf("original pos=%d before=%d after=%d, reply pos=%d before=%d after=%d",
		s.OrigPos, s.OrigBefore, s.OrigAfter, s.ReplPos, s.ReplBefore, s.ReplAfter)
}

type synproxyValues struct {
	ITS   uint32 `json:"its"`
	ISN   uint32 `json:"isn"`
	TSOff uint32 `json:"tsoff"`
}

func showSynproxy(p []byte) synproxyValues {
	s := synproxyOf(p)
	return synproxyValues{s.ITS, s.ISN, s.TSOff}
}

func (s synproxyValues) String() string {
	return fmt.Sprintf("its=%d isn=%d tsoff=%d", s.ITS, s.ISN, s.TSOff)
}

type labelArea struct {
	Words []uint32 `json:"words"`
	Bits  []int    `json:"bits"`
}

func showLabels(p []byte) labelArea {
	area := labelArea{[]uint32{}, []int{}}
	for ; len(p) >= 4; p = p[4:] {
		word := binary.BigEndian.Uint32(p)
		for i := range 32 {
			if word&(1<<i) != 0 {
				area.Bits = append(area.Bits, 32*len(area.Words)+i)
			}
		}
		area.Words = append(area.Words, word)
	}
	return area
}

func (l labelArea) String() string {
	bits := make([]string, len(l.Bits))
	for i, n := range l.Bits {
		bits[i] = strconv.Itoa(n)
	}
	return "bits " + strings.Join(bits, ",") + " of " + strconv.Itoa(32*len(l.Words))
}
