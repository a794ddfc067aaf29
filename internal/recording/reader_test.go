package recording_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/recording"
	"github.com/spoor-project/spoor/internal/render"
)

var now = time.Date(2026, 11, 21, 4, 5, 27, 12345678, time.UTC)

// appendLine writes an event as programs do.
func appendLine(b []byte, e *flow.Event, at time.Time) []byte {
	return render.NewPrinter(render.Flows, &render.Style{Format: render.JSONL}).AppendEvent(b, e, "conntrack", at)
}

// all reads a recording to its end.
func all(t *testing.T, in io.Reader) (records []recording.Record, bad []string) {
	t.Helper()
	r := recording.NewReader(in)
	for {
		rec, err := r.Next()
		var line *recording.Error
		switch {
		case err == io.EOF:
			if _, again := r.Next(); again != io.EOF {
				t.Errorf("after the end: %v", again)
			}
			return records, bad
		case errors.As(err, &line):
			bad = append(bad, err.Error())
		case err != nil:
			return records, append(bad, err.Error())
		default:
			records = append(records, *rec)
		}
	}
}

// maker makes random flows such as the kernel can report.
type maker struct{ *rand.Rand }

func (m maker) chance() bool   { return m.IntN(2) == 0 }
func (m maker) port() uint16   { return uint16(m.Uint32()) }
func (m maker) number() uint64 { return m.Uint64() >> m.IntN(64) }

func (m maker) addr(six bool) netip.Addr {
	var a [16]byte
	for i := range a {
		if m.chance() {
			a[i] = byte(m.Uint32())
		}
	}
	if !six {
		return netip.AddrFrom4([4]byte(a[:4]))
	}
	if m.IntN(4) == 0 { // mapped
		copy(a[:], "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff")
	}
	return netip.AddrFrom16(a)
}

func (m maker) tuple(p flow.Proto, six bool) flow.Tuple {
	t := flow.Tuple{Src: m.addr(six), Dst: m.addr(six), Proto: p}
	if p.Shape() != flow.ShapeNone {
		t.SrcPort, t.DstPort = m.port(), m.port()
	}
	if m.IntN(4) == 0 {
		t.Zone = m.port()
	}
	return t
}

func (m maker) stamp() flow.Timestamp {
	return flow.Timestamp(now.UnixNano() + int64(m.Uint64()>>(4+m.IntN(50))))
}

func (m maker) name() string {
	return []string{"ftp", "", `q"\uote`, "line\n\t\x01", "héllo", "\ufffd", "a\u007f", "😀"}[m.IntN(8)]
}

func (m maker) flow() flow.Flow {
	protos := append(flow.Protos(), 0, 50, 255)
	p, six := protos[m.IntN(len(protos))], m.chance()
	f := flow.Flow{
		Has: flow.Fields(m.Uint32()) & flow.AllFields, Orig: m.tuple(p, six), Reply: m.tuple(p, six), Master: m.tuple(protos[m.IntN(len(protos))], six),
		Status: flow.Status(m.Uint32()), Timeout: time.Duration(m.Uint32()) * time.Second, Mark: m.Uint32(), SecMark: m.Uint32(), SecCtx: m.name(),
		Helper: m.name(), Zone: m.port(), Use: m.Uint32(), ID: m.Uint32(),
		OrigCounters:  flow.Counters{Packets: m.number(), Bytes: m.number()},
		ReplyCounters: flow.Counters{Packets: m.number(), Bytes: m.number()},
		Start:         m.stamp(), Stop: m.stamp(), State: uint8(m.IntN(256)),
		OrigWindow:  flow.TCPWindow{Scale: uint8(m.Uint32()), Flags: flow.TCPFlags(m.Uint32())},
		ReplyWindow: flow.TCPWindow{Scale: uint8(m.Uint32()), Flags: flow.TCPFlags(m.Uint32())},
		VTags:       flow.VTags{Orig: m.Uint32(), Reply: m.Uint32()},
		DCCP:        flow.DCCPInfo{Role: flow.DCCPRole(m.IntN(2)), HandshakeSeq: m.number()},
		OrigSeqAdj:  flow.SeqAdj{CorrectionPos: m.Uint32(), OffsetBefore: int32(m.Uint32()), OffsetAfter: int32(m.Uint32())},
		ReplySeqAdj: flow.SeqAdj{CorrectionPos: m.Uint32(), OffsetBefore: int32(m.Uint32()), OffsetAfter: int32(m.Uint32())},
		Synproxy:    flow.Synproxy{ISN: m.Uint32(), ITS: m.Uint32(), TSOff: m.Uint32()},
	}
	for range m.IntN(4) {
		f.Labels.Set(m.IntN(flow.LabelBits))
	}
	if m.chance() {
		f.State = uint8(m.IntN(10))
	}
	return reported(f)
}

// reported is f without what Has does not say.
func reported(f flow.Flow) flow.Flow {
	clear := []struct {
		bit  flow.Fields
		zero func()
	}{
		{flow.HasReply, func() { f.Reply = flow.Tuple{} }}, {flow.HasStatus, func() { f.Status = 0 }}, {flow.HasTimeout, func() { f.Timeout = 0 }},
		{flow.HasState, func() { f.State = 0 }}, {flow.HasTCPWindow, func() { f.OrigWindow, f.ReplyWindow = flow.TCPWindow{}, flow.TCPWindow{} }},
		{flow.HasVTags, func() { f.VTags = flow.VTags{} }}, {flow.HasDCCP, func() { f.DCCP = flow.DCCPInfo{} }}, {flow.HasMark, func() { f.Mark = 0 }},
		{flow.HasSecMark, func() { f.SecMark = 0 }}, {flow.HasSecCtx, func() { f.SecCtx = "" }}, {flow.HasZone, func() { f.Zone = 0 }},
		{flow.HasUse, func() { f.Use = 0 }}, {flow.HasID, func() { f.ID = 0 }}, {flow.HasMaster, func() { f.Master = flow.Tuple{} }},
		{flow.HasOrigCounters, func() { f.OrigCounters = flow.Counters{} }}, {flow.HasReplyCounters, func() { f.ReplyCounters = flow.Counters{} }},
		{flow.HasStart, func() { f.Start = 0 }}, {flow.HasStop, func() { f.Stop = 0 }}, {flow.HasHelper, func() { f.Helper = "" }},
		{flow.HasLabels, func() { f.Labels = flow.Labels{} }}, {flow.HasOrigSeqAdj, func() { f.OrigSeqAdj = flow.SeqAdj{} }},
		{flow.HasReplySeqAdj, func() { f.ReplySeqAdj = flow.SeqAdj{} }}, {flow.HasSynproxy, func() { f.Synproxy = flow.Synproxy{} }},
	}
	var known flow.Fields
	for _, c := range clear {
		known |= c.bit
		if !f.Has.Has(c.bit) {
			c.zero()
		}
	}
	if known != flow.AllFields {
		panic("an attribute has no row")
	}
	return f
}

func (m maker) event() (e flow.Event, at time.Time) {
	e = flow.Event{Type: flow.EventType(m.IntN(5)), Time: m.stamp()}
	at = e.Time.Time().UTC()
	if m.IntN(3) == 0 {
		e.PortID = m.Uint32()
	}
	if e.Type == flow.Lost {
		e.Dropped = m.number()
	} else {
		e.Flow = m.flow()
	}
	return e, at
}

func TestWhatIsWrittenIsReadBack(t *testing.T) {
	m := maker{rand.New(rand.NewPCG(1, 2))}
	var text []byte
	var want []recording.Record
	for range 20000 {
		e, at := m.event()
		text = appendLine(text, &e, now)
		e.Time = 0
		want = append(want, recording.Record{Time: at, Event: e})
	}
	got, bad := all(t, bytes.NewReader(text))
	if len(bad) > 0 || len(got) != len(want) {
		t.Fatalf("%d of %d records, errors: %q", len(got), len(want), bad)
	}
	lines := strings.Split(string(text), "\n")
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("%s\ngot  %+v\nwant %+v", lines[i], got[i], want[i])
		}
	}
}

func TestAListIsReadAsWhatWasThereBefore(t *testing.T) {
	f := maker{rand.New(rand.NewPCG(3, 4))}.flow()
	line := render.NewPrinter(render.Flows, &render.Style{Format: render.JSONL}).AppendFlow(nil, &f, now)
	present := `{"type":"present",` + string(line[1:])
	want := recording.Record{Event: flow.Event{Flow: f}}
	got, bad := all(t, strings.NewReader(string(line)+present))
	if len(bad) > 0 || !slices.Equal(got, []recording.Record{want, want}) {
		t.Errorf("%s\ngot  %+v, %q\nwant %+v", line, got, bad, want)
	}
}

// simple is a line with members in an order that is not ours, with white space and with members of a later release.
const simple = ` { "id" : 7 , "later":{"x":[1,-2.5e3,null,true,{"y":"}"}]},"reply":{"dport":1025,"sport":53,"dst":"10.0.0.1","src":"fd00::1"},` +
	`"state":"3","orig":{"zone":4,"dport":53,"bytes":60,"packets":1,"src":"fd00::2","dst":"fd00::1","sport":1025},"status":[ "ASSURED", "BIT20" ],` +
	"\"protonum\":17,\"time\":\"2026-11-21T05:05:27+01:00\",\"type\":\"update\"}\t\r\n"

func TestMembersComeInAnyOrder(t *testing.T) {
	want := recording.Record{Time: time.Date(2026, 11, 21, 4, 5, 27, 0, time.UTC), Event: flow.Event{Type: flow.Update, Flow: flow.Flow{
		Has:    flow.HasID | flow.HasReply | flow.HasState | flow.HasOrigCounters | flow.HasStatus,
		Orig:   flow.Tuple{Src: netip.MustParseAddr("fd00::2"), Dst: netip.MustParseAddr("fd00::1"), SrcPort: 1025, DstPort: 53, Zone: 4, Proto: flow.UDP},
		Reply:  flow.Tuple{Src: netip.MustParseAddr("fd00::1"), Dst: netip.MustParseAddr("fd00::3"), SrcPort: 53, DstPort: 1025, Proto: flow.UDP},
		Status: flow.Assured | 1<<20, ID: 7, State: 3, OrigCounters: flow.Counters{Packets: 1, Bytes: 60},
	}}}
	got, bad := all(t, strings.NewReader(strings.Replace(simple, "10.0.0.1", "fd00::3", 1)))
	if len(bad) > 0 || !slices.Equal(got, []recording.Record{want}) {
		t.Errorf("got  %+v, %q\nwant %+v", got, bad, want)
	}
}

func TestBadLinesAreToldAndPassed(t *testing.T) {
	const flowLine = `{"type":"new","time":"2026-11-21T04:05:27.012345678Z","protonum":6,"orig":{"src":"10.0.0.1","dst":"10.0.0.2","sport":1,"dport":2}}`
	for _, tt := range []struct{ line, want string }{
		{`hello`, "column 1: { expected"},
		{`[`, "column 1: { expected"},
		{`{`, "column 2: string expected"},
		{`{"type":"new"`, "column 14: , or } expected"},
		{`{"type":"new",}`, "column 15: string expected"},
		{`{"type":"new"} x`, "column 16: end of line expected"},
		{`{"type":"renew"}`, "column 9: not a type of events"},
		{`{"type":"new}`, "column 14: unfinished string"},
		{`{"type":"new\`, "column 14: unfinished string"},
		{`{"type" 1}`, "column 9: : expected"},
		{`{"time":"yesterday"}`, "column 9: not a time"},
		{`{"time":"2026-11-21T04:05:61.012345678Z"}`, "column 9: not a time"},
		{`{"time":"1226-11-21T04:05:01.012345678Z"}`, "column 9: not a time"},
		{`{"mark":-1}`, "column 9: number expected"},
		{`{"mark":1.5}`, "column 9: not a whole number"},
		{`{"mark":1e5}`, "column 9: not a whole number"},
		{`{"mark":01}`, "column 9: not a whole number"},
		{`{"mark":4294967296}`, "column 9: number too large"},
		{`{"dropped":18446744073709551616}`, "column 12: number too large"},
		{`{"labels":[128]}`, "column 12: number too large"},
		{`{"labels":[1 2]}`, "column 14: , or ] expected"},
		{`{"labels":1}`, "column 11: [ expected"},
		{`{"status":["MARRIED"]}`, "column 12: not the name of a bit"},
		{`{"status":["BIT32"]}`, "column 12: not the name of a bit"},
		{`{"status":["ASSURED" "ASSURED"]}`, "column 22: , or ] expected"},
		{`{"helper":"\x"}`, "column 11: not a string of JSON"},
		{`{"orig":{"src":"10.0.0.256"}}`, "column 16: not an address"},
		{`{"orig":{"src":"fe80::1%eth0"}}`, "column 16: not an address"},
		{`{"orig":{"sport":65536}}`, "column 18: number too large"},
		{`{"dccp":{"role":"waiter"}}`, "column 17: client or server expected"},
		{`{"x":nul}`, "column 6: value expected"},
		{`{"x":}`, "column 6: value expected"},
		{`{"x":` + strings.Repeat("[", 100) + `}`, "column 70: nested too deep"},
		{`{}`, "column 1: not a flow: orig is missing"},
		{`{"type":"new","tuple":{},"protonum":6}`, "column 1: not a flow: orig is missing"},
		{`{"orig":{"src":"10.0.0.1"}}`, "column 1: not a flow: protonum is missing"},
		{`{"orig":{"src":"10.0.0.1","sport":1},"protonum":1}`, "column 1: a tuple has members of another protocol"},
		{`{"orig":{"src":"10.0.0.1","dst":"::1"},"protonum":1}`, "column 1: addresses of different families"},
		{`{"state":"TIRED","orig":{"src":"10.0.0.1"},"protonum":6}`, "column 10: not a state of the protocol"},
		{`{"state":"256","orig":{"src":"10.0.0.1"},"protonum":6}`, "column 10: not a state of the protocol"},
		{strings.Repeat(" ", 1<<18) + `{}`, "column 262144: longer than 262144 bytes"},
	} {
		got, bad := all(t, strings.NewReader(flowLine+"\n\n"+tt.line+"\n"+flowLine+"\n"))
		if want := []string{"line 3, " + tt.want}; !slices.Equal(bad, want) || len(got) != 2 {
			t.Errorf("%.100s: %d records, %q, want %q", tt.line, len(got), bad, want)
		}
	}
}

func TestWhatTellsOfNoFlowIsPassed(t *testing.T) {
	const text = "\n \t\r\n" + `{"type":"lost","time":"2026-11-21T04:05:27.012345678Z","dropped":12}` + "\n" +
		`{"type":"caught_up","new":1,"update":2,"destroy":3}` + "\n"
	want := []recording.Record{{Time: now, Event: flow.Event{Type: flow.Lost, Dropped: 12}}}
	if got, bad := all(t, strings.NewReader(text)); !slices.Equal(got, want) || len(bad) > 0 {
		t.Errorf("got %+v, %q", got, bad)
	}
}

func TestCompressedRecordingsAreRead(t *testing.T) {
	var text []byte
	m := maker{rand.New(rand.NewPCG(5, 6))}
	for range 1000 {
		e, _ := m.event()
		text = appendLine(text, &e, now)
	}
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	w.Write(text)
	w.Close()
	want, _ := all(t, bytes.NewReader(text))
	if got, bad := all(t, bytes.NewReader(packed.Bytes())); !slices.Equal(got, want) || len(bad) > 0 {
		t.Errorf("%d records, %q; want %d", len(got), bad, len(want))
	}

	// A recorder that was killed has left the end out.
	r := recording.NewReader(bytes.NewReader(packed.Bytes()[:packed.Len()/2]))
	records := 0
	var err error
	for bad := new(recording.Error); err == nil || errors.As(err, &bad); records++ {
		_, err = r.Next()
	}
	if err != io.ErrUnexpectedEOF || records < 100 {
		t.Errorf("half a file: %d records, then %v", records, err)
	}
	if _, again := r.Next(); again != err {
		t.Errorf("after that: %v", again)
	}
}

func TestErrorsOfTheInputStay(t *testing.T) {
	broken := errors.New("broken")
	r := recording.NewReader(io.MultiReader(strings.NewReader("{\"type\":\"lost\"}\n"), iotest.ErrReader(broken)))
	if _, err := r.Next(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := r.Next(); err != broken {
			t.Errorf("got %v, want %v", err, broken)
		}
	}
}

// FuzzReader states that nothing panics, that each line is a record, an error or nothing, and that what is accepted is written and read back as
// the same.
func FuzzReader(f *testing.F) {
	m := maker{rand.New(rand.NewPCG(7, 8))}
	for range 50 {
		e, _ := m.event()
		f.Add(appendLine(nil, &e, now))
	}
	f.Add([]byte(simple))
	f.Add([]byte("\x1f\x8b\x08"))
	f.Add([]byte("{\"type\":\"lost\"}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		records, _ := all(t, bytes.NewReader(data))
		if lines := bytes.Count(data, []byte{'\n'}) + 1; len(records) > lines && !bytes.HasPrefix(data, []byte("\x1f\x8b")) {
			t.Fatalf("%d records in %d lines", len(records), lines)
		}
		for _, want := range records {
			if want.Time.IsZero() {
				want.Time = now
			}
			line := appendLine(nil, &want.Event, want.Time)
			got, bad := all(t, bytes.NewReader(line))
			if len(bad) > 0 || len(got) != 1 || got[0] != want {
				t.Fatalf("%s\ngot  %+v, %q\nwant %+v", line, got, bad, want)
			}
		}
	})
}

// conversation is a recording of usual events.
func conversation(lines int) []byte {
	var text []byte
	f := flow.Flow{
		Has:   flow.HasReply | flow.HasStatus | flow.HasTimeout | flow.HasState | flow.HasID | flow.HasMark | flow.HasOrigCounters | flow.HasReplyCounters,
		Orig:  flow.Tuple{Src: netip.MustParseAddr("192.168.10.77"), Dst: netip.MustParseAddr("203.0.113.80"), DstPort: 443, Proto: flow.TCP},
		Reply: flow.Tuple{Src: netip.MustParseAddr("203.0.113.80"), Dst: netip.MustParseAddr("198.51.100.1"), SrcPort: 443, Proto: flow.TCP},
	}
	for i := range lines {
		f.ID = uint32(i) * 2654435761
		f.Orig.SrcPort, f.Reply.DstPort = uint16(i), uint16(i)
		e := flow.Event{Type: flow.New + flow.EventType(i%3)}
		f.Status = flow.Confirmed | flow.SrcNAT | flow.SrcNATDone | flow.DstNATDone
		f.State, f.Timeout = flow.TCPSynSent, 120*time.Second
		if e.Type != flow.New {
			f.Status |= flow.SeenReply | flow.Assured
			f.State, f.Timeout = flow.TCPEstablished, 432000*time.Second
			f.OrigCounters, f.ReplyCounters = flow.Counters{Packets: 14, Bytes: 2048}, flow.Counters{Packets: 25, Bytes: 34567}
		}
		e.Flow = f
		text = appendLine(text, &e, now.Add(time.Duration(i)*time.Millisecond))
	}
	return text
}

func TestReadingDoesNotAllocate(t *testing.T) {
	m := maker{rand.New(rand.NewPCG(9, 10))}
	text := conversation(3000)
	for range 3000 {
		e, _ := m.event()
		text = appendLine(text, &e, now)
	}
	reads := &repeat{text: text}
	r := recording.NewReader(reads)
	for range 10000 {
		if _, err := r.Next(); err != nil {
			t.Fatal(err)
		}
	}
	if n := testing.AllocsPerRun(10000, func() { r.Next() }); n != 0 {
		t.Errorf("%v allocations for a line", n)
	}
}

// repeat is a text that never ends.
type repeat struct {
	text []byte
	at   int
}

func (r *repeat) Read(b []byte) (int, error) {
	n := copy(b, r.text[r.at:])
	r.at = (r.at + n) % len(r.text)
	return n, nil
}

func BenchmarkReader(b *testing.B) {
	text := conversation(3000)
	r := recording.NewReader(&repeat{text: text})
	b.SetBytes(int64(len(text) / 3000))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Next(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "lines/s")
}

func ExampleReader() {
	r := recording.NewReader(strings.NewReader(`{"type":"new","time":"2026-11-21T04:05:27Z","protonum":6,"orig":{"src":"192.0.2.1","dst":"192.0.2.2","sport":1025,"dport":22}}`))
	for {
		rec, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			fmt.Println(err) // a line that is no record; the next one may be
			continue
		}
		fmt.Println(rec.Time, rec.Event.Type, rec.Event.Flow.Orig.Dst)
	}
	// Output: 2026-11-21 04:05:27 +0000 UTC NEW 192.0.2.2
}
