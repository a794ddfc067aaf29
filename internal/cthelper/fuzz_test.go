package cthelper

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spoor-project/spoor/flow"
)

// fuzzFlow makes a flow, to a host or to a group.
func fuzzFlow(transport flow.Proto, six, translated bool, group bool) flow.Flow {
	src, dst, hidden := netip.MustParseAddr("10.1.0.2"), netip.MustParseAddr("10.2.0.2"), netip.MustParseAddr("192.0.2.9")
	if six {
		src, dst, hidden = netip.MustParseAddr("fd01::2"), netip.MustParseAddr("fd02::2"), netip.MustParseAddr("2001:db8::9")
	}
	if group {
		if dst = ssdpGroups[0]; six {
			dst = ssdpGroups[1]
		}
	}
	f := flow.Flow{Orig: flow.Tuple{Src: src, SrcPort: 40000, Dst: dst, DstPort: 21, Proto: transport}}
	f.Reply, _ = f.Orig.Inverse()
	if translated {
		f.Reply.Dst, f.Status = hidden, flow.SrcNAT
	}
	return f
}

// FuzzParse: whatever a packet says, its parser neither fails nor changes it, and what it expects is something that its
// protocol can announce.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		f.Fatal(err)
	}
	for i, pr := range protocols {
		for _, file := range files {
			if helperOf(file) != pr.Name {
				continue
			}
			text, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			for _, payload := range payloadsOf(f, text) {
				for state := range uint8(5) {
					f.Add(uint8(i), state, uint8(i), []byte{}, payload)
				}
			}
		}
	}
	f.Fuzz(func(t *testing.T, which, state, shape uint8, memory, payload []byte) {
		pr := &protocols[int(which)%len(protocols)]
		fl := fuzzFlow(pr.Transport, shape&1 != 0, shape&2 != 0, shape&4 != 0)
		p := Packet{Flow: &fl, State: State(state % 5), Seq: 1000, Payload: payload}
		private := make([]byte, pr.PrivateLen)
		copy(private, memory) // the kernel gives back what another version may have written
		before := string(payload)
		r := pr.Parse(&p, private)
		if string(payload) != before {
			t.Fatal("the payload was changed")
		}
		if len(r.Announced) > int(pr.ExpectMax) {
			t.Fatalf("%d expectations, at most %d can be", len(r.Announced), pr.ExpectMax)
		}
		var first []Patch
		for _, a := range r.Announced {
			checkExpect(t, &p, &a.Expect)
			if a.Rewrite == nil {
				continue
			}
			if !p.translated() {
				t.Fatal("an untranslated flow has nothing to be rewritten")
			}
			first = append(first, a.Rewrite(a.Expect.Tuple.DstPort)...)
		}
		end := 0
		rewritten := apply(payload, first)
		for _, patch := range first { // apply has sorted them
			if patch.At < end || patch.Len < 0 || patch.At+patch.Len > len(payload) {
				t.Fatalf("patches overlap or lie outside: %+v", first)
			}
			end = patch.At + patch.Len
		}
		if len(rewritten) > len(payload)+256 {
			t.Fatalf("%d bytes became %d", len(payload), len(rewritten))
		}
	})
}

func checkExpect(t *testing.T, p *Packet, e *flow.Expect) {
	t.Helper()
	o := &p.Flow.Orig
	switch {
	case !e.Tuple.Dst.IsValid(), e.Tuple.Dst.IsUnspecified(), e.Tuple.Dst.IsMulticast() && e.Tuple.Dst != o.Dst:
		t.Fatalf("expects a flow to nobody: %+v", e)
	case e.Tuple.Src.Is4() != o.Src.Is4(), e.Tuple.Dst.Is4() != o.Src.Is4(), e.Mask.Src.Is4() != o.Src.Is4():
		t.Fatalf("families differ: %+v", e)
	case e.Tuple.DstPort == 0, e.Mask.DstPort != 0xffff:
		t.Fatalf("expects a flow to any port: %+v", e)
	case e.Tuple.Proto != flow.TCP && e.Tuple.Proto != flow.UDP:
		t.Fatalf("neither TCP nor UDP: %+v", e)
	case e.Has.Has(flow.ExpectHasNAT) != e.Has.Has(flow.ExpectHasFunc), e.Has.Has(flow.ExpectHasNAT) && !p.translated():
		t.Fatalf("translated by halves: %+v", e)
	case e.Master != *o:
		t.Fatalf("another flow's: %+v", e)
	}
}

// payloadsOf reads the packets of a play.
func payloadsOf(t testing.TB, text []byte) (all [][]byte) {
	p := play{t: t}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.HasPrefix(line, "  "):
			p.read(line)
		case strings.HasPrefix(line, "send") && p.payload != nil:
			all = append(all, p.payload)
			p.payload = nil
		}
	}
	return append(all, p.payload)
}

// FuzzPrivate: nonsense in the memory that the kernel keeps does not upset a parser either.
func FuzzPrivate(f *testing.F) {
	f.Add([]byte{}, []byte("PORT 10,1,0,2,7,208\r\n"), []byte("220 ready\r\n"))
	f.Fuzz(func(t *testing.T, memory, one, other []byte) {
		for i := range protocols {
			pr := &protocols[i]
			fl := fuzzFlow(pr.Transport, false, false, false)
			private := make([]byte, pr.PrivateLen)
			copy(private, memory)
			for j := range 4 {
				p := Packet{Flow: &fl, State: Established, Seq: 1000, Payload: one}
				if j%2 == 1 {
					p.State, p.Payload = EstablishedReply, other
				}
				for _, a := range pr.Parse(&p, private).Announced {
					checkExpect(t, &p, &a.Expect)
				}
			}
		}
	})
}
