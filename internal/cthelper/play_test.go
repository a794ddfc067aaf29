package cthelper

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spoor-project/spoor/flow"
)

// A play is a file of testdata: what the two ends of a flow send, and what comes of each packet.
//
//	flow tcp 10.1.0.2:40000 10.2.0.2:21 [reply 10.2.0.2:21 192.0.2.9:40000]
//	send original|reply [new|related] [seq=N]
//	  "text" or hexadecimal bytes, any number of lines
//	expect PROTO SRC -> DST [permanent] [helper=NAME] [nat original|reply ADDR:PORT]
//	rewrite "text"         with the port that was announced
//	rewrite+1 "text"       with the next one, because that was taken
//	timeout SECONDS, drop, note TEXT
//	then PROTO SRC:PORT -> DST:PORT
//
// Lines from "expect" on are what is expected; nothing is expected if there is none. A new flow begins with empty memory.
// "then" is a flow that came of what was said before: one of the expectations so far must let it in.
// A file is called like its helper, or like it and something behind a hyphen.
type play struct {
	t       testing.TB
	file    string
	line    int
	name    string
	helper  Protocol
	flow    flow.Flow
	private []byte
	seq     [2]uint32

	sent    bool
	packet  Packet
	payload []byte
	want    []string
	at      int // line of the packet

	expected []flow.Expect // by all flows
}

func TestPlays(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no plays: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { runPlay(t, file) })
	}
}

func TestEveryHelperHasAPlay(t *testing.T) {
	for p := range Protocols() {
		if _, err := os.Stat(filepath.Join("testdata", p.Name+".txt")); err != nil {
			t.Error(err)
		}
	}
}

func runPlay(t *testing.T, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	p := play{t: t, file: file, name: helperOf(file)}
	for i, line := range strings.Split(string(text), "\n") {
		p.line = i + 1
		p.read(line)
	}
	p.finish()
}

// helperOf is the name of the helper that the file is about.
func helperOf(file string) string {
	name, _, _ := strings.Cut(strings.TrimSuffix(filepath.Base(file), ".txt"), "-")
	return name
}

func (p *play) fatal(format string, args ...any) {
	p.t.Helper()
	p.t.Fatalf("%s:%d: %s", p.file, p.line, fmt.Sprintf(format, args...))
}

func (p *play) read(line string) {
	p.t.Helper()
	words := strings.Fields(line)
	switch {
	case len(words) == 0 || strings.HasPrefix(line, "#"):
	case strings.HasPrefix(line, "  \""):
		text, err := strconv.Unquote(strings.TrimSpace(line))
		if err != nil {
			p.fatal("%v", err)
		}
		p.payload = append(p.payload, text...)
	case strings.HasPrefix(line, "  "):
		text, _, _ := strings.Cut(line, "#")
		b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
		if err != nil {
			p.fatal("%v", err)
		}
		p.payload = append(p.payload, b...)
	case words[0] == "flow":
		p.finish()
		p.begin(words[1:])
	case words[0] == "send":
		p.finish()
		p.send(words[1:])
	case words[0] == "then":
		p.finish()
		came := p.tuple(words[1], words[2], words[4])
		if !slices.ContainsFunc(p.expected, func(e flow.Expect) bool { return fits(&e, &came) }) {
			p.t.Errorf("%s:%d: nothing expects this flow", p.file, p.line)
		}
	default:
		p.want = append(p.want, line)
	}
}

func (p *play) begin(words []string) {
	p.t.Helper()
	p.flow = flow.Flow{Has: flow.HasReply | flow.HasStatus, Orig: p.tuple(words[0], words[1], words[2])}
	p.flow.Reply, _ = p.flow.Orig.Inverse()
	if len(words) > 3 {
		p.flow.Reply = p.tuple(words[0], words[4], words[5])
		if p.flow.Reply.Dst != p.flow.Orig.Src || p.flow.Reply.DstPort != p.flow.Orig.SrcPort {
			p.flow.Status |= flow.SrcNAT
		}
		if p.flow.Reply.Src != p.flow.Orig.Dst || p.flow.Reply.SrcPort != p.flow.Orig.DstPort {
			p.flow.Status |= flow.DstNAT
		}
	}
	var ok bool
	if p.helper, ok = Lookup(p.name, p.flow.Orig.Proto); !ok {
		p.fatal("no helper %s for %s", p.name, words[0])
	}
	p.private = make([]byte, p.helper.PrivateLen)
	p.seq = [2]uint32{1000, 5000}
}

func (p *play) tuple(transport, src, dst string) flow.Tuple {
	p.t.Helper()
	s, err := netip.ParseAddrPort(src)
	if err != nil {
		p.fatal("%v", err)
	}
	d, err := netip.ParseAddrPort(dst)
	if err != nil {
		p.fatal("%v", err)
	}
	return flow.Tuple{Src: s.Addr(), Dst: d.Addr(), SrcPort: s.Port(), DstPort: d.Port(), Proto: map[string]flow.Proto{"tcp": flow.TCP, "udp": flow.UDP}[transport]}
}

func (p *play) send(words []string) {
	p.packet = Packet{Flow: &p.flow, State: Established}
	d := Original
	for _, w := range words {
		switch number, isSeq := strings.CutPrefix(w, "seq="); {
		case isSeq:
			seq, err := strconv.ParseUint(number, 10, 32)
			if err != nil {
				p.fatal("%v", err)
			}
			p.seq[d] = uint32(seq)
		case w == "reply":
			d, p.packet.State = Reply, EstablishedReply
		case w == "new":
			p.packet.State = New
		case w == "related":
			p.packet.State = Related
		case w != "original":
			p.fatal("what is %q?", w)
		}
	}
	p.packet.Seq = p.seq[d]
	p.sent, p.at, p.payload, p.want = true, p.line, nil, nil
}

// finish gives the packet to the helper.
func (p *play) finish() {
	p.t.Helper()
	if !p.sent {
		return
	}
	p.sent = false
	p.packet.Payload = p.payload
	p.seq[p.packet.direction()] = p.packet.Seq + uint32(len(p.payload))
	before := string(p.payload)
	result := p.helper.Parse(&p.packet, p.private)
	got := describe(&p.packet, result)
	for i := range result.Announced {
		p.expected = append(p.expected, result.Announced[i].Expect)
	}
	if before != string(p.payload) {
		p.t.Errorf("%s:%d: the parser changed the payload", p.file, p.at)
	}
	if a, b := strings.Join(got, "\n"), strings.Join(p.want, "\n"); a != b {
		p.t.Errorf("%s:%d: got\n%s\nwant\n%s", p.file, p.at, a, b)
	}
}

// fits reports whether a flow is the expected one.
func fits(e *flow.Expect, t *flow.Tuple) bool {
	return e.Tuple.Proto == t.Proto && (e.Mask.Src.IsUnspecified() || e.Tuple.Src == t.Src) && e.Tuple.Dst == t.Dst &&
		e.Tuple.SrcPort&e.Mask.SrcPort == t.SrcPort&e.Mask.SrcPort && e.Tuple.DstPort == t.DstPort
}

// describeFlow prints a flow like a play does.
func describeFlow(t *flow.Tuple) string {
	return fmt.Sprintf("%v %v -> %v", t.Proto, netip.AddrPortFrom(t.Src, t.SrcPort), netip.AddrPortFrom(t.Dst, t.DstPort))
}

// describe prints a result like a play does.
func describe(p *Packet, r Result) (lines []string) {
	var first, next []Patch
	for i := range r.Announced {
		a := &r.Announced[i]
		lines = append(lines, "expect "+describeExpect(&a.Expect))
		if a.Rewrite != nil {
			port := a.Expect.Tuple.DstPort
			first, next = append(first, a.Rewrite(port)...), append(next, a.Rewrite(port+1)...)
		}
	}
	if first != nil {
		lines = append(lines, "rewrite "+strconv.Quote(string(apply(p.Payload, first))), "rewrite+1 "+strconv.Quote(string(apply(p.Payload, next))))
	}
	if r.Timeout != 0 {
		lines = append(lines, fmt.Sprintf("timeout %d", r.Timeout/time.Second))
	}
	if r.Drop {
		lines = append(lines, "drop")
	}
	if r.Note != "" {
		lines = append(lines, "note "+r.Note)
	}
	return lines
}

func describeExpect(e *flow.Expect) string {
	end := func(addr, addrMask netip.Addr, port, portMask uint16) string {
		text := "*"
		if addrMask == fullMask[e.Master.Family()] {
			text = addr.String()
			if addr.Is6() {
				text = "[" + text + "]"
			}
		} else if !addrMask.IsUnspecified() || !addr.IsUnspecified() {
			text = fmt.Sprintf("%v/%v", addr, addrMask)
		}
		switch {
		case portMask == 0xffff:
			return text + ":" + strconv.Itoa(int(port))
		case portMask == 0 && port == 0:
			return text
		}
		return fmt.Sprintf("%s:%d/%x", text, port, portMask)
	}
	text := fmt.Sprintf("%v %s -> %s", e.Tuple.Proto, end(e.Tuple.Src, e.Mask.Src, e.Tuple.SrcPort, e.Mask.SrcPort),
		end(e.Tuple.Dst, e.Mask.Dst, e.Tuple.DstPort, e.Mask.DstPort))
	if e.Flags.Has(flow.ExpectPermanent) {
		text += " permanent"
	}
	if e.Has.Has(flow.ExpectHasHelper) {
		text += " helper=" + e.Helper
	}
	if e.Has.Has(flow.ExpectHasNAT) {
		direction := "original"
		if e.NATReply {
			direction = "reply"
		}
		text += fmt.Sprintf(" nat %s %v", direction, netip.AddrPortFrom(e.NAT.Src, e.NAT.SrcPort))
		if e.Func != followMaster {
			text += " without a function"
		}
	}
	return text
}
