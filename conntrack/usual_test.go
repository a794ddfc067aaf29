package conntrack

import (
	"testing"

	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/nfnetlink"
)

func usualTuple(v6 bool) []byte {
	var b nfnetlink.Builder
	at := b.Nest(ctaTupleIP)
	if v6 {
		b.Raw(ctaIPv6Src, []byte{0x20, 1, 0xd, 0xb8, 4: 1, 15: 1})
		b.Raw(ctaIPv6Dst, []byte{0x20, 1, 0xd, 0xb8, 4: 2, 15: 2})
	} else {
		b.Raw(ctaIPv4Src, []byte{192, 0, 2, 1})
		b.Raw(ctaIPv4Dst, []byte{198, 51, 100, 2})
	}
	b.Close(at)
	at = b.Nest(ctaTupleProto)
	b.Uint8(ctaProtoNum, 6)
	b.Uint16(ctaProtoSrcPort, 0x1234)
	b.Uint16(ctaProtoDstPort, 80)
	b.Close(at)
	return b.Bytes()
}

func TestUsualTupleIsRecognised(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		b := usualTuple(v6)
		var got flow.Tuple
		if !decodeUsualTuple(b, &got) {
			t.Fatalf("IPv6 %v: not recognised", v6)
		}
		if want := decodeAnyTuple(nfnetlink.Walk(b)); got != want || got.DstPort != 80 {
			t.Errorf("IPv6 %v: %+v, by walking %+v", v6, got, want)
		}
	}
}

// Whatever the quick way accepts, walking sees too.
func FuzzUsualTuple(f *testing.F) {
	f.Add(usualTuple(false))
	f.Add(usualTuple(true))
	f.Fuzz(func(t *testing.T, b []byte) {
		var got flow.Tuple
		if !decodeUsualTuple(b, &got) {
			if got != (flow.Tuple{}) {
				t.Errorf("refused, and changed %+v", got)
			}
			return
		}
		if want := decodeAnyTuple(nfnetlink.Walk(b)); got != want {
			t.Errorf("%x: %+v, by walking %+v", b, got, want)
		}
	})
}
