package flow

import (
	"math/bits"
	"net/netip"
	"reflect"
	"testing"
	"time"
)

// TestValuesAreComparable: a value that can be compared shares no mutable memory.
func TestValuesAreComparable(t *testing.T) {
	for _, v := range []any{Flow{}, Event{}, Expect{}, ExpectEvent{}, Tuple{}, Key{}} {
		if typ := reflect.TypeOf(v); !typ.Comparable() {
			t.Errorf("%v is not comparable", typ)
		}
	}
}

func TestAllFieldsHasEachBit(t *testing.T) {
	for f := HasReply; f < lastField; f <<= 1 {
		if !AllFields.Has(f) {
			t.Errorf("AllFields lacks bit %d", bits.TrailingZeros32(uint32(f)))
		}
	}
	if AllFields.Has(lastField) || Fields(0).Has(HasReply) || !Fields(0).Has(0) {
		t.Error("Has is wrong at the ends")
	}
	if (HasMark | HasZone).Has(HasMark | HasUse) {
		t.Error("Has is true when only one of two bits is there")
	}
}

func TestStatusNamesAreUnique(t *testing.T) {
	seen := map[string]bool{"": true}
	for i, bit := range StatusBits() {
		if bit != 1<<i {
			t.Errorf("StatusBits()[%d] = %#x", i, uint32(bit))
		}
		if name := bit.Name(); seen[name] {
			t.Errorf("bit %d has name %q, which is empty or taken", i, name)
		} else {
			seen[name] = true
		}
	}
	for _, s := range []Status{0, SeenReply | Assured, 1 << 16, 1 << 31} {
		if name := s.Name(); name != "" {
			t.Errorf("Status(%#x).Name() = %q, want none", uint32(s), name)
		}
	}
	if !(SeenReply | Assured).Has(Assured) || Assured.Has(SeenReply|Assured) {
		t.Error("Status.Has is wrong")
	}
}

func TestLabels(t *testing.T) {
	var l Labels
	for _, n := range []int{0, 7, 8, 77, 127} {
		if l.Bit(n) {
			t.Errorf("label %d is set before", n)
		}
		l.Set(n)
	}
	for n := -1; n <= LabelBits; n++ {
		want := n == 0 || n == 7 || n == 8 || n == 77 || n == 127
		if got := l.Bit(n); got != want {
			t.Errorf("Bit(%d) = %v, want %v", n, got, want)
		}
	}
	// Bit n is bit n%8 of byte n/8, as the kernel of a little endian machine has it.
	if l[0] != 0x81 || l[1] != 1 || l[9] != 1<<5 || l[15] != 0x80 {
		t.Errorf("labels are %x", l)
	}
}

func TestLabelsHas(t *testing.T) {
	var none, some, more Labels
	some.Set(5)
	more.Set(5)
	more.Set(100)
	for _, tt := range []struct {
		set, want *Labels
		has       bool
	}{{&none, &none, true}, {&some, &none, true}, {&none, &some, false}, {&more, &some, true}, {&some, &more, false}, {&more, &more, true}} {
		if got := tt.set.Has(tt.want); got != tt.has {
			t.Errorf("%x.Has(%x) = %v, want %v", *tt.set, *tt.want, got, tt.has)
		}
	}
}

func TestTimestampIsNanosecondsSinceTheEpoch(t *testing.T) {
	want := time.Date(2026, 11, 21, 4, 5, 27, 12345678, time.UTC)
	if got := Timestamp(want.UnixNano()).Time(); !got.Equal(want) || got.Location() != time.Local {
		t.Errorf("Time() = %v, want %v in the local zone", got, want)
	}
}

func TestNAT(t *testing.T) {
	const both = SrcNATDone | DstNATDone
	addr := netip.MustParseAddr("5.5.5.5")
	tests := []struct {
		name   string
		status Status
		change func(*Flow)
		want   Translation
	}{
		{"none", both, func(f *Flow) {}, Translation{}},
		{"source address", both, func(f *Flow) { f.Reply.Dst = addr }, Translation{SrcAddr: true}},
		{"source port", both, func(f *Flow) { f.Reply.DstPort = 99 }, Translation{SrcPort: true}},
		{"destination address", both, func(f *Flow) { f.Reply.Src = addr }, Translation{DstAddr: true}},
		{"destination port", both, func(f *Flow) { f.Reply.SrcPort = 99 }, Translation{DstPort: true}},
		{"all", both, func(f *Flow) { f.Reply = tuple(UDP, "5.5.5.5", "6.6.6.6", 1, 2) }, Translation{true, true, true, true}},
		{"only source is decided", SrcNATDone, func(f *Flow) { f.Reply = tuple(UDP, "5.5.5.5", "6.6.6.6", 1, 2) },
			Translation{SrcAddr: true, SrcPort: true}},
		{"only destination is decided", DstNATDone, func(f *Flow) { f.Reply = tuple(UDP, "5.5.5.5", "6.6.6.6", 1, 2) },
			Translation{DstAddr: true, DstPort: true}},
		{"nothing is decided", SrcNAT | DstNAT, func(f *Flow) { f.Reply = tuple(UDP, "5.5.5.5", "6.6.6.6", 1, 2) }, Translation{}},
		{"status was not reported", 0, func(f *Flow) { f.Has &^= HasStatus; f.Reply.Dst = addr }, Translation{SrcAddr: true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := Flow{Has: HasReply | HasStatus, Orig: tuple(UDP, "1.1.1.1", "2.2.2.2", 10, 20), Status: tt.status}
			f.Reply, _ = f.Orig.Inverse()
			tt.change(&f)
			if got := f.NAT(); got != tt.want {
				t.Errorf("NAT() = %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestNATOfICMPDiffersInThePortHalves(t *testing.T) {
	f := Flow{Has: HasReply | HasStatus, Orig: tuple(ICMP, "1.1.1.1", "2.2.2.2", 0, 0), Status: SrcNATDone | DstNATDone}
	f.Orig.SetICMP(8, 0, 99)
	f.Reply, _ = f.Orig.Inverse()
	if got, want := f.NAT(), (Translation{SrcPort: true, DstPort: true}); got != want {
		t.Errorf("NAT() = %+v, want %+v", got, want)
	}
}

func TestFlowKeyHasTheZone(t *testing.T) {
	f := Flow{Zone: 7, Orig: tuple(UDP, "1.1.1.1", "2.2.2.2", 10, 20)}
	if f.Key() != f.Orig.Key(7) || f.Key() == f.Orig.Key(0) {
		t.Error("zone is not part of the key")
	}
}

func TestExpectSets(t *testing.T) {
	x := ExpectHasMask | ExpectHasZone
	if !x.Has(ExpectHasMask) || x.Has(ExpectHasMask|ExpectHasID) {
		t.Error("ExpectFields.Has is wrong")
	}
	if fl := ExpectPermanent | ExpectUserspace; !fl.Has(ExpectUserspace) || fl.Has(ExpectInactive) {
		t.Error("ExpectFlags.Has is wrong")
	}
}
