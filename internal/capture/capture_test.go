package capture_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/spoor-project/spoor/internal/capture"
)

var (
	a4, b4 = netip.MustParseAddrPort("10.0.0.1:41234"), netip.MustParseAddrPort("10.0.0.2:3780")
	a6, b6 = netip.MustParseAddrPort("[fd00::1]:41234"), netip.MustParseAddrPort("[fd00::2]:3780")
	begun  = time.Unix(1795235227, 123456789)
)

// split is a protocol: a letter M, a length, and so many bytes.
func split(b []byte) int {
	n := 0
	for n < len(b) && b[n] == 'M' {
		if n+1 == len(b) || n+2+int(b[n+1]) > len(b) {
			return n
		}
		n += 2 + int(b[n+1])
	}
	if n == 0 {
		return -1
	}
	return n
}

// message is one of that protocol.
func message(text string) []byte { return append([]byte{'M', byte(len(text))}, text...) }

// told is what a capture comes to: a line for each payload, and for the error.
func told(t testing.TB, r io.Reader, port uint16) (string, capture.Counts) {
	t.Helper()
	c, err := capture.Open(r, capture.Options{Port: port, Split: split})
	if err != nil {
		t.Fatal(err)
	}
	var s strings.Builder
	for p, err := range c.Payloads() {
		if err != nil {
			fmt.Fprintf(&s, "! %v\n", err)
			break
		}
		fmt.Fprintf(&s, "%d %v %v %q", p.Proto, p.Src, p.Dst, p.Data)
		if !p.Time.IsZero() {
			fmt.Fprintf(&s, " +%v", p.Time.Sub(begun.Truncate(time.Second)))
		}
		if p.Cut {
			s.WriteString(" cut")
		}
		s.WriteString("\n")
	}
	return s.String(), c.Counts()
}

// unseen writes packets without looking at times.
func unseen(packets ...[]byte) io.Reader {
	var all []seen
	for _, p := range packets {
		all = append(all, seen{ip: p, at: begun})
	}
	return bytes.NewReader(pcapng(le, 6, 1e6, true)(&frames[0], all))
}

func want(t *testing.T, r io.Reader, lines ...string) capture.Counts {
	t.Helper()
	got, counts := told(t, r, 0)
	if want := strings.Join(append(lines, ""), "\n"); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	return counts
}

func TestEveryFormatAndLinkTellTheSame(t *testing.T) {
	for _, form := range formats {
		for _, f := range frames {
			t.Run(form.name+"/"+f.name, func(t *testing.T) {
				packets := []seen{
					{at: begun, ip: ip(a4.Addr(), b4.Addr(), 17, udp(a4, b4, []byte("one")))},
					{at: begun.Add(time.Second), ip: ip(a6.Addr(), b6.Addr(), 17, udp(a6, b6, []byte("two")))},
					{at: begun.Add(2 * time.Second), ip: ip(a6.Addr(), b6.Addr(), 6, tcp(a6, b6, 5, ack, message("three")))},
					{at: begun, ip: ip(a6.Addr(), b6.Addr(), 58, []byte{1, 2, 3, 4})},
				}
				var lines strings.Builder
				at := begun.Sub(begun.Truncate(time.Second))
				for i, text := range []string{
					`17 10.0.0.1:41234 10.0.0.2:3780 "one"`, `17 [fd00::1]:41234 [fd00::2]:3780 "two"`, `6 [fd00::1]:41234 [fd00::2]:3780 "M\x05three"`,
				} {
					lines.WriteString(text)
					if form.grain > 0 {
						seconds := (at + time.Duration(i)*time.Second).Truncate(form.grain)
						if strings.Contains(form.name, "binary") {
							seconds-- // 2^-32 s are 0.23 ns, and are rounded down twice
						}
						fmt.Fprintf(&lines, " +%v", seconds)
					}
					lines.WriteString("\n")
				}
				b := form.write(&f, packets)
				got, counts := told(t, bytes.NewReader(b), 0)
				if got != lines.String() {
					t.Errorf("got\n%swant\n%s", got, &lines)
				}
				if counts != (capture.Counts{Packets: 4, Others: 1}) {
					t.Errorf("%+v", counts)
				}
				if slow, _ := told(t, iotest.OneByteReader(bytes.NewReader(b)), 0); slow != got {
					t.Errorf("byte by byte\n%swant\n%s", slow, got)
				}
			})
		}
	}
}

func TestOtherFilesAreRefused(t *testing.T) {
	for _, text := range []string{"", "a", "1a080010", "\x0a\x0d\x0a\x0d1234", "\x1f\x8b\x08\x00\x00\x00"} {
		if _, err := capture.Open(strings.NewReader(text), capture.Options{Split: split}); !errors.Is(err, capture.ErrFormat) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if capture.IsCapture([]byte{0xa1, 0xb2}) {
		t.Error("two bytes are a capture")
	}
	for _, form := range formats {
		if b := form.write(&frames[0], nil); !capture.IsCapture(b[:4]) {
			t.Errorf("%s is not known", form.name)
		}
	}
}

// A sniffer that is killed leaves half a record. What was before it counts.
func TestTheEndMayBeMissing(t *testing.T) {
	for _, form := range formats {
		one := form.write(&frames[5], []seen{{at: begun, ip: ip(a4.Addr(), b4.Addr(), 17, udp(a4, b4, []byte("one")))}})
		begin := form.write(&frames[5], nil)
		whole, _ := told(t, bytes.NewReader(append(one, one[len(begin):]...)), 0)
		first, _ := told(t, bytes.NewReader(one), 0)
		if whole != first+first {
			t.Fatalf("%s: %q and %q", form.name, first, whole)
		}
		for cut := 1; cut < len(one)-len(begin); cut++ {
			got, _ := told(t, bytes.NewReader(append(one, one[len(begin):][:cut]...)), 0)
			if got != first+"! the capture ends inside a record\n" {
				t.Errorf("%s, %d bytes of the second: %q", form.name, cut, got)
			}
		}
	}
}

func TestOnlyThePortIsTaken(t *testing.T) {
	c := netip.AddrPortFrom(b4.Addr(), 53)
	r := unseen(ip(a4.Addr(), b4.Addr(), 17, udp(a4, b4, []byte("one"))), ip(a4.Addr(), c.Addr(), 17, udp(a4, c, []byte("two"))),
		ip(b4.Addr(), a4.Addr(), 6, tcp(b4, a4, 1, ack, message("back"))), ip(b4.Addr(), a4.Addr(), 6, tcp(c, a4, 1, ack, message("no"))))
	got, counts := told(t, r, 3780)
	if want := "17 10.0.0.1:41234 10.0.0.2:3780 \"one\"\n6 10.0.0.2:3780 10.0.0.1:41234 \"M\\x04back\"\n"; got != want || counts.Others != 2 {
		t.Errorf("%s%+v", got, counts)
	}
}

func TestCutPacketsAreTold(t *testing.T) {
	packet := ip(a4.Addr(), b4.Addr(), 17, udp(a4, b4, []byte("0123456789")))
	b := pcap(le, true)(&frames[5], []seen{{at: begun, ip: packet[:len(packet)-4], more: 4}})
	if got, _ := told(t, bytes.NewReader(b), 0); !strings.Contains(got, "\"012345\" ") || !strings.HasSuffix(got, " cut\n") {
		t.Error(got)
	}
}

func TestFragmentsAreJoined(t *testing.T) {
	for _, ends := range [][2]netip.AddrPort{{a4, b4}, {a6, b6}} {
		src, dst := ends[0], ends[1]
		text := bytes.Repeat([]byte("0123456789"), 30)
		body := udp(src, dst, text)
		part := func(id uint16, from, to int) []byte {
			return ipPart(src.Addr(), dst.Addr(), 17, id, from, to < len(body), body[from:to])
		}
		line := fmt.Sprintf("17 %v %v %q", src, dst, text)
		want(t, unseen(part(1, 0, 160), part(1, 160, len(body))), line)
		want(t, unseen(part(1, 160, len(body)), part(2, 0, 80), part(1, 0, 160)), line)
		want(t, unseen(part(1, 0, 160), part(1, 0, 160), part(1, 80, 240), part(1, 200, len(body))), line) // repeated, overlapping
		if n := want(t, unseen(part(1, 0, 160), part(2, 160, len(body)))); n.Fragments != 2 {
			t.Errorf("%+v", n)
		}
	}
	// Of many that never become whole, the last ones are waited for.
	var packets [][]byte
	for id := range uint16(1000) {
		packets = append(packets, ipPart(a4.Addr(), b4.Addr(), 17, id, 0, true, make([]byte, 8)))
	}
	packets = append(packets, ipPart(a4.Addr(), b4.Addr(), 17, 999, 8, false, make([]byte, 8)))
	if n := want(t, unseen(packets...)); n.Fragments != 999 || n.Others != 1 { // the last one was nonsense
		t.Errorf("%+v", n)
	}
}

// stream makes packets of one direction.
func stream(seq uint32, flags byte, data string) []byte {
	return ip(a4.Addr(), b4.Addr(), 6, tcp(a4, b4, seq, flags, []byte(data)))
}

func line(text string) string { return fmt.Sprintf("6 %v %v %q", a4, b4, text) }

func TestStreamsAreReadInOrder(t *testing.T) {
	one, two, three := string(message("one")), string(message("second")), string(message("3"))
	all := one + two + three
	const top = ^uint32(0) - 3 // numbers wrap
	at := func(n int) uint32 { return top + uint32(n) }
	cases := map[string]struct {
		packets [][]byte
		want    []string
		counts  capture.Counts
	}{
		"in one":                            {[][]byte{stream(top-1, syn, ""), stream(top, ack, all)}, []string{line(all)}, capture.Counts{}},
		"from the middle of the connection": {[][]byte{stream(at(0), ack, one), stream(at(5), ack, two)}, []string{line(one), line(two)}, capture.Counts{}},
		"from the middle of a message": {[][]byte{stream(at(2), ack, one[2:]+two), stream(at(13), ack, three)},
			[]string{line(three)}, capture.Counts{Bytes: 11}},
		"split": {[][]byte{stream(top-1, syn, ""), stream(at(0), ack, all[:3]), stream(at(3), ack, all[3:6]), stream(at(6), ack, all[6:])},
			[]string{line(one), line(two + three)}, capture.Counts{}},
		"out of order": {[][]byte{stream(top-1, syn, ""), stream(at(5), ack, two), stream(at(13), ack, three), stream(at(0), ack, one)},
			[]string{line(one), line(two), line(three)}, capture.Counts{}},
		"repeated": {[][]byte{stream(top-1, syn, ""), stream(top-1, syn, ""), stream(at(0), ack, one), stream(at(0), ack, one+two), stream(at(0), ack, all[:4]),
			stream(at(12), ack, all[12:13]), stream(at(13), ack, three), stream(at(12), ack, "")}, []string{line(one), line(two), line(three)}, capture.Counts{}},
		"a gap at the end": {[][]byte{stream(top-1, syn, ""), stream(at(0), ack, all[:6]), stream(at(13), ack, three)},
			[]string{line(one), line(three)}, capture.Counts{Gaps: 1, Bytes: 1}},
		"data with the first packet": {[][]byte{stream(top-1, syn, one), stream(at(5), ack, two)}, []string{line(one), line(two)}, capture.Counts{}},
		"reset and again": {[][]byte{stream(top-1, syn, ""), stream(at(0), ack, all[:7]), stream(at(7), rst, ""), stream(1000, syn, ""), stream(1001, ack, one)},
			[]string{line(one), line(one)}, capture.Counts{Bytes: 2}},
		"the same ports again": {[][]byte{stream(top-1, syn, ""), stream(at(0), ack, one), stream(1<<30, syn, ""), stream(1<<30+1, ack, two)},
			[]string{line(one), line(two)}, capture.Counts{}},
		"far away": {[][]byte{stream(top-1, syn, ""), stream(at(0), ack, one), stream(1<<30, ack, two)}, []string{line(one), line(two)}, capture.Counts{}},
		"garbage in between": {[][]byte{stream(top-1, syn, ""), stream(at(0), ack, one+"xyz"), stream(at(8), ack, "more"), stream(at(12), ack, two)},
			[]string{line(one), line(two)}, capture.Counts{Bytes: 7}},
		"another protocol": {[][]byte{stream(top-1, syn, ""), stream(at(0), ack, "GET / HTTP/1.1"), stream(at(14), ack|fin, "\r\n\r\n")},
			nil, capture.Counts{Bytes: 18}},
		"an end that never comes": {[][]byte{stream(top-1, syn, ""), stream(at(0), ack, one+two[:4])}, []string{line(one)}, capture.Counts{Bytes: 4}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			c.counts.Packets = uint64(len(c.packets))
			if got := want(t, unseen(c.packets...), c.want...); got != c.counts {
				t.Errorf("%+v, want %+v", got, c.counts)
			}
		})
	}
}

// A packet that the sniffer has missed does not hold back what follows for ever.
func TestGapsEnd(t *testing.T) {
	packets := [][]byte{stream(0, syn, ""), stream(1, ack, string(message("first"))[:4])}
	seq, n := uint32(100), 0
	for ; n < 70; n++ {
		packets = append(packets, stream(seq, ack, string(message("x"))))
		seq += 3
	}
	c, err := capture.Open(unseen(packets...), capture.Options{Split: split})
	if err != nil {
		t.Fatal(err)
	}
	before := 0
	for p, err := range c.Payloads() {
		if err != nil || string(p.Data) != "M\x01x" {
			t.Fatal(p, err)
		}
		if n--; before == 0 {
			before = int(c.Counts().Packets)
		}
	}
	if n != 0 || before >= len(packets) || before < 60 || c.Counts().Gaps != 1 {
		t.Errorf("%d are missing, the first after %d packets, %+v", n, before, c.Counts())
	}
}

// TestStreamsSurviveTheNetwork: whatever order segments come in, repeated and cut elsewhere, and among those of others, the
// messages are those that were sent.
func TestStreamsSurviveTheNetwork(t *testing.T) {
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 1))
		var sent []byte
		for range 1 + random.IntN(20) {
			text := make([]byte, random.IntN(200))
			for i := range text {
				text[i] = byte(random.Uint32())
			}
			sent = append(sent, message(string(text))...)
		}
		first := random.Uint32()
		var packets [][]byte
		for at := 0; at < len(sent); {
			n := min(len(sent)-at, 1+random.IntN(300))
			packets = append(packets, stream(first+1+uint32(at), ack, string(sent[at:at+n])))
			if random.IntN(4) == 0 { // again, in other pieces
				from := random.IntN(at + 1)
				packets = append(packets, stream(first+1+uint32(from), ack, string(sent[from:at+n])))
			}
			packets = append(packets, ip(b4.Addr(), a4.Addr(), 6, tcp(b4, a4, random.Uint32(), ack, nil)))
			at += n
		}
		for i := range packets { // a little out of order
			j := min(len(packets)-1, i+random.IntN(4))
			packets[i], packets[j] = packets[j], packets[i]
		}
		packets = append([][]byte{stream(first, syn, "")}, packets...)
		c, err := capture.Open(unseen(packets...), capture.Options{Split: split})
		if err != nil {
			t.Fatal(err)
		}
		var got []byte
		for p, err := range c.Payloads() {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, p.Data...)
		}
		if !bytes.Equal(got, sent) || c.Counts().Gaps+c.Counts().Bytes > 0 {
			t.Fatalf("seed %d: %d bytes, sent %d, %+v", seed, len(got), len(sent), c.Counts())
		}
	}
}

func TestLeavingTheLoopIsAllRight(t *testing.T) {
	packets := [][]byte{stream(0, syn, "")}
	for i := range uint32(10) {
		packets = append(packets, stream(1+3*i, ack, "M\x01x"), stream(100+3*i, ack, "M\x01x"))
	}
	for stop := 1; stop < 20; stop++ {
		c, err := capture.Open(unseen(packets...), capture.Options{Split: split})
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for range c.Payloads() {
			if n++; n == stop {
				break
			}
		}
		if n != stop {
			t.Errorf("%d payloads, want %d", n, stop)
		}
	}
}

// FuzzCapture states the laws: any bytes will do, nothing is told that is not there, and messages are whole.
func FuzzCapture(f *testing.F) {
	packets := []seen{
		{at: begun, ip: ip(a4.Addr(), b4.Addr(), 17, udp(a4, b4, []byte("one")))},
		{at: begun, ip: stream(0, syn, "")}, {at: begun, ip: stream(4, ack, "z")}, {at: begun, ip: stream(1, ack, "M\x02x")}, {at: begun, ip: stream(6, fin, "M")},
		{at: begun, ip: ipPart(a6.Addr(), b6.Addr(), 17, 1, 8, false, []byte("12345678"))},
		{at: begun, ip: ipPart(a6.Addr(), b6.Addr(), 17, 1, 0, true, udp(a6, b6, make([]byte, 8))[:8])},
	}
	for i, form := range formats {
		f.Add(form.write(&frames[i%len(frames)], packets))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := capture.Open(bytes.NewReader(b), capture.Options{Split: split})
		if err != nil {
			return
		}
		total := 0
		for p, err := range c.Payloads() {
			if err != nil {
				break
			}
			if !p.Src.IsValid() || !p.Dst.IsValid() || p.Proto != capture.TCP && p.Proto != capture.UDP {
				t.Errorf("%+v", p)
			}
			if p.Proto == capture.TCP && split(p.Data) != len(p.Data) {
				t.Errorf("no whole messages: %q", p.Data)
			}
			total += len(p.Data)
		}
		if n := c.Counts(); total > len(b) || n.Packets > uint64(len(b)) || n.Others+n.Fragments > n.Packets {
			t.Errorf("%d bytes, told %d; %+v", len(b), total, n)
		}
	})
}
