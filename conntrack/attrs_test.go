package conntrack

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/nfnetlink"
)

func TestAnExpectationReadsBackAsItWasAppended(t *testing.T) {
	src, dst := netip.MustParseAddr("fd01::2"), netip.MustParseAddr("fd02::2")
	want := flow.Expect{
		Has: flow.ExpectHasMaster | flow.ExpectHasMask | flow.ExpectHasFlags | flow.ExpectHasClass | flow.ExpectHasHelper | flow.ExpectHasZone |
			flow.ExpectHasNAT | flow.ExpectHasFunc | flow.ExpectHasTimeout,
		Tuple:   flow.Tuple{Src: src, Dst: dst, DstPort: 2000, Proto: flow.TCP},
		Mask:    flow.Tuple{Src: src, Dst: dst, DstPort: 0xffff, Proto: flow.TCP},
		Master:  flow.Tuple{Src: src, Dst: dst, SrcPort: 40000, DstPort: 21, Proto: flow.TCP},
		Timeout: 300 * time.Second, Helper: "ftp", Func: "nat-follow-master", Zone: 7, Flags: flow.ExpectPermanent, Class: 1,
		NAT: flow.Tuple{Src: dst, Dst: netip.IPv6Unspecified(), SrcPort: 2000, Proto: flow.TCP}, NATReply: true,
	}
	const before = "what was there"
	b := AppendExpect([]byte(before), &want)
	if string(b[:len(before)]) != before {
		t.Fatalf("the beginning became %q", b[:len(before)])
	}
	var d Decoder
	got := flow.Expect{ID: 99}
	if err := d.Expect(b[len(before):], &got); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}

func TestDecoderReadsFlowsWithoutAMessage(t *testing.T) {
	var b nfnetlink.Builder
	e := Entry{Orig: flow.Tuple{Src: netip.MustParseAddr("10.0.0.1"), Dst: netip.MustParseAddr("10.0.0.2"), SrcPort: 40000, DstPort: 69, Proto: flow.UDP}}
	e.Reply, _ = e.Orig.Inverse()
	e.Helper = new("tftp")
	appendEntry(&b, &e, true)
	var d Decoder
	f := flow.Flow{Mark: 99}
	if err := d.Flow(b.Bytes(), &f); err != nil || f.Orig != e.Orig || f.Reply != e.Reply || f.Helper != "tftp" || f.Has != flow.HasReply|flow.HasHelper || f.Mark != 0 {
		t.Errorf("got %+v, %v", f, err)
	}
	if n := testing.AllocsPerRun(100, func() { d.Flow(b.Bytes(), &f) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
	for _, attrs := range [][]byte{nil, []byte("nonsense"), {4, 0, 1, 0}} {
		if err := d.Flow(attrs, &f); !errors.Is(err, nfnetlink.ErrMalformed) {
			t.Errorf("flow of %q: %v", attrs, err)
		}
		if err := d.Expect(attrs, &flow.Expect{}); !errors.Is(err, nfnetlink.ErrMalformed) {
			t.Errorf("expectation of %q: %v", attrs, err)
		}
	}
}
