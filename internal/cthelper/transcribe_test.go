package cthelper

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/capture"
)

// testdata/README.md tells how these two are used.
var (
	captured      = flag.String("capture", "", "`file` of a packet sniffer, which is printed as a play of the helper -as")
	capturedWhose = flag.String("as", "", "`name` of the helper that -capture is of")
)

// TestTranscribe makes a play of what a sniffer has recorded. Without -capture it is the recording that testdata keeps.
func TestTranscribe(t *testing.T) {
	file, helper := "testdata/tftp-hpa.pcap", "tftp"
	if *captured != "" {
		file, helper = *captured, *capturedWhose
	}
	recording, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer recording.Close()
	got, err := transcribe(recording, helper)
	if err != nil {
		t.Fatal(err)
	}
	if *captured != "" {
		os.Stdout.Write(got)
		return
	}
	want, err := os.ReadFile("testdata/tftp-hpa.txt")
	if err != nil {
		t.Fatal(err)
	}
	_, want, _ = bytes.Cut(want, []byte("\n")) // says where it is from
	if !bytes.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// scribe writes a play flow by flow.
type scribe struct {
	helper   string
	flows    map[flow.Tuple]*scribed // nil: a flow without the helper
	order    []*scribed
	expected []promise
}

type scribed struct {
	head    string
	flow    flow.Flow
	helper  Protocol
	private []byte
	seq     [2]uint32
	related bool
	replied bool
	text    bytes.Buffer
}

// promise is an expectation and the flow that has it.
type promise struct {
	flow.Expect
	of *scribed
}

// transcribe keeps the order within a flow, and flows in the order in which they began. What no helper of that name reads is left out.
func transcribe(recording io.Reader, helper string) ([]byte, error) {
	c, err := capture.Open(recording, capture.Options{Split: func(b []byte) int { return len(b) }})
	if err != nil {
		return nil, err
	}
	s := scribe{helper: helper, flows: make(map[flow.Tuple]*scribed)}
	for p, err := range c.Payloads() {
		if err != nil {
			return nil, err
		}
		if f, d := s.find(p.Proto, p.Src, p.Dst); f != nil {
			s.say(f, d, p.Data)
		}
	}
	var out bytes.Buffer
	for _, f := range s.order {
		fmt.Fprintf(&out, "%s\n%s", f.head, &f.text)
	}
	return out.Bytes(), nil
}

// find returns the flow of a packet, which may begin with it.
func (s *scribe) find(proto uint8, src, dst netip.AddrPort) (*scribed, Direction) {
	t := flow.Tuple{Src: src.Addr(), Dst: dst.Addr(), SrcPort: src.Port(), DstPort: dst.Port(), Proto: flow.Proto(proto)}
	back, _ := t.Inverse()
	if f, ok := s.flows[t]; ok {
		return f, Original
	}
	if f, ok := s.flows[back]; ok {
		return f, Reply
	}
	s.flows[t] = nil
	f := &scribed{head: fmt.Sprintf("flow %v %v %v", t.Proto, src, dst), seq: [2]uint32{1000, 5000}}
	for _, e := range s.expected {
		came := t
		if !fits(&e.Expect, &t) {
			came = back // the first who says something may be the one that was called
		}
		if fits(&e.Expect, &came) {
			fmt.Fprintf(&e.of.text, "then %s\n", describeFlow(&came))
			if !e.Has.Has(flow.ExpectHasHelper) {
				return nil, Original
			}
			f.related = true
			break
		}
	}
	var ok bool
	if f.helper, ok = Lookup(s.helper, t.Proto); !ok {
		return nil, Original
	}
	f.private = make([]byte, f.helper.PrivateLen)
	f.flow = flow.Flow{Has: flow.HasReply | flow.HasStatus, Orig: t, Reply: back}
	s.flows[t], s.order = f, append(s.order, f)
	return f, Original
}

func (s *scribe) say(f *scribed, d Direction, payload []byte) {
	p := Packet{Flow: &f.flow, Seq: f.seq[d], Payload: payload}
	f.seq[d] += uint32(len(payload))
	f.replied = f.replied || d == Reply
	line := "send " + map[Direction]string{Original: "original", Reply: "reply"}[d]
	switch {
	case d == Reply:
		p.State = EstablishedReply
	case f.flow.Orig.Proto == flow.TCP || f.replied:
		p.State = Established
	case f.related:
		p.State, line = Related, line+" related"
	default:
		p.State, line = New, line+" new"
	}
	fmt.Fprintf(&f.text, "%s\n%s", line, payloadLines(payload))
	result := f.helper.Parse(&p, f.private)
	for i := range result.Announced {
		s.expected = append(s.expected, promise{result.Announced[i].Expect, f})
	}
	for _, line := range describe(&p, result) {
		fmt.Fprintln(&f.text, line)
	}
}

// payloadLines are those of a payload: text by line if it is text, else words of 4 bytes.
func payloadLines(payload []byte) string {
	var b strings.Builder
	if bytes.ContainsFunc(payload, func(r rune) bool { return r != '\r' && r != '\n' && r != '\t' && (r < ' ' || r > '~') }) {
		for len(payload) > 0 {
			b.WriteString(" ")
			for range 8 {
				n := min(4, len(payload))
				if n > 0 {
					b.WriteString(" " + hex.EncodeToString(payload[:n]))
				}
				payload = payload[n:]
			}
			b.WriteString("\n")
		}
		return b.String()
	}
	for line := range bytes.Lines(payload) {
		b.WriteString("  " + strconv.Quote(string(line)) + "\n")
	}
	return b.String()
}
