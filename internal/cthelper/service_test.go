//go:build linux

package cthelper

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/config"
	"github.com/spoor-project/spoor/internal/nfnetlink"
	"github.com/spoor-project/spoor/internal/nfnetlink/nfnetlinktest"
)

// The kernel of these tests: it keeps expectations by their tuple.
type table struct {
	mu      sync.Mutex
	expects map[flow.Tuple]flow.Expect
	taken   map[uint16]error // ports that cannot be expected
	asked   int
	helpers []string
	refuse  error
}

func (k *table) PutHelper(_ context.Context, key conntrack.HelperKey, ch conntrack.HelperChange) error {
	text := fmt.Sprintf("%s %v %v queue=%d enabled=%v", key.Name, key.Family, key.Proto, *ch.Queue, *ch.Enabled)
	if ch.PrivateLen != nil {
		text += fmt.Sprintf(" private=%d", *ch.PrivateLen)
	}
	for _, c := range ch.Classes {
		text += fmt.Sprintf(" %s=%d/%v", c.Name, c.MaxExpects, c.Timeout)
	}
	k.helpers = append(k.helpers, text)
	return k.refuse
}

func (k *table) CreateExpect(_ context.Context, e *flow.Expect) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.asked++
	if err := k.taken[e.Tuple.DstPort]; err != nil {
		return err
	}
	if _, there := k.expects[e.Tuple]; there {
		return conntrack.ErrExists
	}
	if k.expects == nil {
		k.expects = make(map[flow.Tuple]flow.Expect)
	}
	k.expects[e.Tuple] = *e
	return nil
}

func (k *table) GetExpect(_ context.Context, t flow.Tuple, _ uint16) (flow.Expect, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	e, ok := k.expects[t]
	if !ok {
		return e, conntrack.ErrNotFound
	}
	return e, nil
}

// take says which ports cannot be expected.
func (k *table) take(ports map[uint16]error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.taken = ports
}

// tries counts the requests for an expectation.
func (k *table) tries() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.asked
}

// all lists the expectations.
func (k *table) all() (list []flow.Expect) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, e := range k.expects {
		list = append(list, e)
	}
	return list
}

// made counts the expectations.
func (k *table) made() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.expects)
}

// clear forgets them.
func (k *table) clear() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.expects = nil
}

func (k *table) DeleteExpect(_ context.Context, t flow.Tuple, _ uint16) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.expects, t)
	return nil
}

// refuse is a kernel that refuses everything.
type refuse struct{}

func (refuse) PutHelper(context.Context, conntrack.HelperKey, conntrack.HelperChange) error {
	return syscall.EINVAL
}
func (refuse) CreateExpect(context.Context, *flow.Expect) error { return syscall.EOPNOTSUPP }
func (refuse) GetExpect(context.Context, flow.Tuple, uint16) (flow.Expect, error) {
	return flow.Expect{}, syscall.ENOENT
}
func (refuse) DeleteExpect(context.Context, flow.Tuple, uint16) error { return syscall.ENOENT }

type silent struct{}

func (silent) Notice(string, ...any) {}
func (silent) Error(string, ...any)  {}

// lines keeps what was logged.
type lines struct {
	mu  sync.Mutex
	all []string
}

func (l *lines) add(kind, format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, kind+": "+fmt.Sprintf(format, args...))
}
func (l *lines) Notice(format string, args ...any) { l.add("notice", format, args...) }
func (l *lines) Error(format string, args ...any)  { l.add("error", format, args...) }

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.all, "\n")
}

func protocolOf(name string, transport flow.Proto) Protocol {
	pr, ok := Lookup(name, transport)
	if !ok {
		panic(name)
	}
	return pr
}

// bench is a worker whose kernel is the test.
type bench struct {
	t    *testing.T
	peer *nfnetlinktest.Peer
	table
	lines
	id     uint32
	worker *worker
}

func newBench(t *testing.T, name string, transport flow.Proto) *bench {
	t.Helper()
	q, peer := fakeQueue(t)
	b := &bench{t: t, peer: peer}
	protocol, ok := Lookup(name, transport)
	if !ok {
		t.Fatalf("no helper %s", name)
	}
	w := newWorker(&Instance{Name: name, Queue: testQueue}, protocol, q, &b.table, &limitedLog{log: &b.lines})
	b.worker = w
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.run(ctx) }()
	t.Cleanup(func() {
		cancel()
		q.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return b
}

// ask has the worker decide on a packet.
func (b *bench) ask(d Delivery) Verdict {
	b.t.Helper()
	b.id++
	d.ID = b.id
	if err := b.peer.Send(packetMessage(&d)); err != nil {
		b.t.Fatal(err)
	}
	r, ok := recvRequest(b.peer)
	if !ok {
		b.t.Fatal("no verdict")
	}
	v, _ := readVerdict(b.t, &r.Message)
	if v.ID != d.ID {
		b.t.Fatalf("verdict on packet %d, want %d", v.ID, d.ID)
	}
	return v
}

// packet makes a delivery of the given payload.
func (b *bench) packet(f *flow.Flow, s State, seq uint32, payload string) Delivery {
	six := f.Orig.Src.Is6()
	p := makePacket(b.t, six, f.Orig.Proto, 0, []byte(payload))
	if f.Orig.Proto == flow.TCP {
		at := 20
		if six {
			at = 40
		}
		p[at+4], p[at+5], p[at+6], p[at+7] = byte(seq>>24), byte(seq>>16), byte(seq>>8), byte(seq)
	}
	return Delivery{Family: f.Orig.Family(), Packet: p, Tracked: true, Flow: *f, State: s}
}

func hiddenClient(helper string, transport flow.Proto) *flow.Flow {
	f := fuzzFlow(transport, false, true, false)
	f.Helper = helper
	return &f
}

func payloadOf(t *testing.T, packet []byte) string {
	t.Helper()
	v, err := viewPacket(packet, flow.IPv4)
	if err != nil || !checksumsFit(packet) {
		t.Fatalf("%x: %v, checksums fit: %v", packet, err, checksumsFit(packet))
	}
	return string(v.Payload())
}

func TestTheKernelKeepsTheMemory(t *testing.T) {
	b := newBench(t, "ftp", flow.TCP)
	f := fuzzFlow(flow.TCP, false, false, false)
	f.Helper = "ftp"
	d := b.packet(&f, Established, 1000, "USER a\r\n")
	d.Private = make([]byte, ftpPrivate)
	v := b.ask(d)
	if v.Helper != "ftp" || len(v.Private) != ftpPrivate || v.Expect != nil || v.Drop || v.Packet != nil {
		t.Fatalf("first line: %+v", v)
	}
	d = b.packet(&f, Established, 1008, "PORT 10,1,0,2,7,208\r\n")
	d.Private = slices.Clone(v.Private)
	v = b.ask(d)
	if v.Expect == nil || describeExpect(v.Expect) != "tcp 10.2.0.2 -> 10.1.0.2:2000" || v.Helper != "ftp" || v.Packet != nil {
		t.Fatalf("second line: %+v", v)
	}
	// Nothing new: the verdict says nothing of the flow.
	d = b.packet(&f, Established, 1029, "")
	d.Private = slices.Clone(v.Private)
	if v = b.ask(d); v.Helper != "" || v.Private != nil || v.Expect != nil {
		t.Errorf("no data: %+v", v)
	}
	if b.tries() != 0 {
		t.Errorf("%d requests for expectations beside the verdicts", b.tries())
	}
}

// port is a line of FTP behind another that was read, of a client that is hidden behind 192.0.2.9.
func (b *bench) port(line string) Verdict {
	f := hiddenClient("ftp", flow.TCP)
	d := b.packet(f, Established, 1000, "USER a\r\n")
	first := b.ask(d)
	d = b.packet(f, Established, 1008, line)
	d.Private = slices.Clone(first.Private)
	return b.ask(d)
}

func TestATranslatedAnnouncementGetsAFreePort(t *testing.T) {
	b := newBench(t, "ftp", flow.TCP)
	b.take(map[uint16]error{2000: syscall.EBUSY, 2001: syscall.EBUSY})
	v := b.port("PORT 10,1,0,2,7,208\r\n")
	if v.Drop || v.Expect != nil {
		t.Fatalf("got %+v", v)
	}
	if got, want := payloadOf(t, v.Packet), "PORT 192,0,2,9,7,210\r\n"; got != want {
		t.Errorf("the server is told %q, want %q", got, want)
	}
	if b.made() != 1 {
		t.Fatalf("%d expectations, want 1", b.made())
	}
	for _, e := range b.table.all() {
		if got, want := describeExpect(&e), "tcp 10.2.0.2 -> 192.0.2.9:2002 nat reply 10.1.0.2:2000"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	// The packet was lost behind us and is sent again: the same port is told.
	v = b.port("PORT 10,1,0,2,7,208\r\n")
	if got, want := payloadOf(t, v.Packet), "PORT 192,0,2,9,7,210\r\n"; got != want || b.made() != 1 {
		t.Errorf("again, the server is told %q, want %q; %d expectations", got, want, b.made())
	}
}

func TestAnotherFlowsExpectationIsLeftAlone(t *testing.T) {
	b := newBench(t, "ftp", flow.TCP)
	other := hiddenClient("ftp", flow.TCP)
	other.Orig.Src = netip.MustParseAddr("10.1.0.3")
	other.Reply.DstPort = 40001
	e := (&Packet{Flow: other}).follow(Reply, flow.TCP, 2000)
	if err := b.CreateExpect(t.Context(), &e); err != nil {
		t.Fatal(err)
	}
	v := b.port("PORT 10,1,0,2,7,208\r\n")
	if got, want := payloadOf(t, v.Packet), "PORT 192,0,2,9,7,209\r\n"; got != want || b.made() != 2 {
		t.Errorf("the server is told %q, want %q; %d expectations", got, want, b.made())
	}
}

func TestAPacketIsDroppedThatCannotBeRewritten(t *testing.T) {
	b := newBench(t, "ftp", flow.TCP)
	b.take(map[uint16]error{2000: syscall.EMFILE})
	if v := b.port("PORT 10,1,0,2,7,208\r\n"); !v.Drop || v.Packet != nil {
		t.Errorf("got %+v, want a drop", v)
	}
	if b.tries() != 1 {
		t.Errorf("%d ports were tried, want 1: the kernel did not say that it is taken", b.tries())
	}
	if !strings.Contains(b.lines.String(), "dropping the packet: too many open files") {
		t.Errorf("log:\n%s", b.lines.String())
	}
}

func TestTheSearchForAPortEnds(t *testing.T) {
	for _, tt := range []struct{ first, tries int }{{2000, portTries}, {65530, 6}} {
		b := newBench(t, "ftp", flow.TCP)
		all := map[uint16]error{}
		for port := range 1 << 16 {
			all[uint16(port)] = syscall.EBUSY
		}
		b.take(all)
		v := b.port(fmt.Sprintf("PORT 10,1,0,2,%d,%d\r\n", tt.first>>8, tt.first&255))
		if !v.Drop || b.tries() != tt.tries {
			t.Errorf("from %d: drop %v after %d tries, want %d", tt.first, v.Drop, b.tries(), tt.tries)
		}
	}
}

func TestAllThreePortsOfAmandaAreExpected(t *testing.T) {
	const answer = "Amanda 2.6 REP HANDLE 000-00000008 SEQ 1700000000\nCONNECT DATA 9999 MESG 50002 INDEX 50003\nOPTIONS ;\n"
	b := newBench(t, "amanda", flow.UDP)
	f := fuzzFlow(flow.UDP, false, false, false)
	f.Helper = "amanda"
	v := b.ask(b.packet(&f, EstablishedReply, 0, answer))
	if v.Expect == nil || v.Expect.Tuple.DstPort != 50003 || v.Timeout != amandaTimeout || v.Packet != nil || b.made() != 2 {
		t.Errorf("got %+v, and %d expectations", v, b.made())
	}
	b = newBench(t, "amanda", flow.UDP)
	b.take(map[uint16]error{9999: syscall.EBUSY})
	v = b.ask(b.packet(hiddenClient("amanda", flow.UDP), EstablishedReply, 0, answer))
	want := strings.Replace(answer, "9999", "10000", 1)
	if got := payloadOf(t, v.Packet); got != want || v.Expect != nil || b.made() != 3 || v.Timeout != amandaTimeout {
		t.Errorf("the client is told %q, want %q; %d expectations", got, want, b.made())
	}
	// One that fails takes the others back.
	b = newBench(t, "amanda", flow.UDP)
	b.take(map[uint16]error{50003: syscall.ENOMEM})
	if v = b.ask(b.packet(hiddenClient("amanda", flow.UDP), EstablishedReply, 0, answer)); !v.Drop || b.made() != 0 {
		t.Errorf("got %+v, %d expectations left", v, b.made())
	}
}

func TestWhatCannotBeReadPasses(t *testing.T) {
	f := fuzzFlow(flow.TCP, false, false, false)
	f.Helper = "ftp"
	packet := makePacket(t, false, flow.TCP, 0, []byte("PORT 10,1,0,2,7,208\r\n"))
	tests := []struct {
		name string
		d    Delivery
		log  string
	}{
		{"no payload", Delivery{Family: flow.IPv4, Tracked: true, Flow: f}, "error: packet with no payload"},
		{"no flow", Delivery{Family: flow.IPv4, Packet: packet}, "error: no CT attached to this packet"},
		{"nonsense", Delivery{Family: flow.IPv4, Packet: []byte{0x45}, Tracked: true, Flow: f}, "error: no room for IPv4 header"},
		{"family", Delivery{Family: 7, Packet: packet, Tracked: true, Flow: f}, "error: unknown layer 3 protocol (7), skipping"},
		{"another protocol than the flow's", Delivery{Family: flow.IPv4, Packet: makePacket(t, false, flow.UDP, 0, nil), Tracked: true, Flow: f}, ""},
	}
	for _, tt := range tests {
		b := newBench(t, "ftp", flow.TCP)
		v := b.ask(tt.d)
		if v.Drop || v.Packet != nil || v.Expect != nil || v.Helper != "" {
			t.Errorf("%s: %+v", tt.name, v)
		}
		if got := b.lines.String(); got != tt.log {
			t.Errorf("%s: log %q, want %q", tt.name, got, tt.log)
		}
	}
}

func TestGarbageDoesNotFloodTheLog(t *testing.T) {
	b := newBench(t, "ftp", flow.TCP)
	for range 1000 {
		b.ask(Delivery{Family: flow.IPv4, Packet: []byte("garbage"), Tracked: true, Flow: fuzzFlow(flow.TCP, false, false, false)})
	}
	if n := strings.Count(b.lines.String(), "no room for IPv4 header"); n != 1 {
		t.Errorf("%d lines about 1000 packets, want 1", n)
	}
}

func TestBadDHCPv6IsDropped(t *testing.T) {
	b := newBench(t, "dhcpv6", flow.UDP)
	f := fuzzFlow(flow.UDP, true, false, true)
	f.Helper = "dhcpv6"
	if v := b.ask(b.packet(&f, New, 0, "\xff")); !v.Drop {
		t.Errorf("got %+v, want a drop", v)
	}
	if got, want := b.lines.String(), "notice: Dropping DHCPv6 message with bad type 255"; got != want {
		t.Errorf("log %q, want %q", got, want)
	}
	v := b.ask(b.packet(&f, New, 0, "\x01abc"))
	if v.Drop || v.Timeout != 120*time.Second || v.Expect == nil || !v.Expect.Flags.Has(flow.ExpectPermanent) {
		t.Errorf("got %+v", v)
	}
}

// Every play, this time with all that is around it: each packet comes through the queue, and what is announced must come out
// again, in the verdict or beside it.
func TestPlaysThroughTheQueue(t *testing.T) {
	for i := range protocols {
		pr := &protocols[i]
		b := newBench(t, pr.Name, pr.Transport)
		for _, payload := range payloadsOfHelper(t, pr.Name) {
			for _, translated := range []bool{false, true} {
				f := fuzzFlow(pr.Transport, false, translated, true)
				f.Helper = pr.Name
				for s := range State(5) {
					private := bytes.Repeat([]byte{0}, pr.PrivateLen)
					p := Packet{Flow: &f, State: s, Seq: 1000, Payload: payload}
					want := pr.Parse(&p, private)
					b.clear()
					d := b.packet(&f, s, 1000, string(payload))
					v := b.ask(d)
					made := b.made()
					if v.Expect != nil {
						made++
					}
					if made != len(want.Announced) || v.Drop != want.Drop || v.Timeout != want.Timeout {
						t.Fatalf("%s, state %d, %q: %+v and %d expectations, want %+v", pr.Name, s, payload, v, made, want)
					}
				}
			}
		}
	}
}

func payloadsOfHelper(t *testing.T, name string) (all [][]byte) {
	t.Helper()
	files, err := filepath.Glob("testdata/" + name + "*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, payloadsOf(t, text)...)
	}
	return all
}

func TestHelpersAreThoseOfTheConfiguration(t *testing.T) {
	for _, transport := range []string{"tcp", "udp"} {
		for _, name := range []string{"amanda", "dhcpv6", "ftp", "mdns", "rpc", "sane", "slp", "ssdp", "tftp", "tns"} {
			text := fmt.Sprintf("Helper {\n Setup on\n Type %s inet %s {\n QueueNum 1\n }\n}\n", name, transport)
			f := config.Parse("test", []byte(text), config.Lookup{})
			err := f.Err()
			pr, ok := Lookup(name, map[string]flow.Proto{"tcp": flow.TCP, "udp": flow.UDP}[transport])
			if known := err == nil; known != ok {
				t.Errorf("%s %s: configuration knows it: %v (%v), there is one: %v", name, transport, known, err, ok)
				continue
			}
			if !ok {
				continue
			}
			h := f.Config.Helpers[0]
			if h.ExpectMax != pr.ExpectMax || h.ExpectTimeout != pr.ExpectTimeout {
				t.Errorf("%s: configuration has %d and %v, want %d and %v", name, h.ExpectMax, h.ExpectTimeout, pr.ExpectMax, pr.ExpectTimeout)
			}
		}
	}
	for pr := range Protocols() {
		if pr.PrivateLen > conntrack.MaxHelperPrivate || len(pr.Name) > conntrack.MaxHelperName || pr.ExpectMax > conntrack.MaxClassExpects {
			t.Errorf("%s: more than the kernel takes", pr.Name)
		}
	}
}

func TestARefusedRegistrationHasConntrackdsText(t *testing.T) {
	var log lines
	in := []Instance{{Name: "ftp", Family: flow.IPv4, Transport: flow.TCP, Queue: 2, QueueLen: 10240, ExpectMax: 1, ExpectTimeout: 300 * time.Second}}
	for _, register := range []bool{false, true} {
		k := &table{refuse: &conntrack.OpError{Op: "configure helper", Err: &nfnetlink.Error{Errno: syscall.EINVAL}}}
		log.all = nil
		_, err := Open(&Options{Instances: in, Register: register, Kernel: k, Log: &log})
		var refused *RegisterError
		if !errors.As(err, &refused) || refused.Name != "ftp" || !errors.Is(err, syscall.EINVAL) {
			t.Fatalf("got %v", err)
		}
		if want := "notice: configuring helper `ftp' with queuenum=2 and queuelen=10240\nnotice: policy name=ftp expect_timeout=300 expect_max=1"; log.String() != want {
			t.Errorf("log\n%s\nwant\n%s", log.String(), want)
		}
		want := "ftp ipv4 tcp queue=2 enabled=true ftp=1/5m0s"
		if register {
			want = "ftp ipv4 tcp queue=2 enabled=true private=24 ftp=1/5m0s"
		}
		if !slices.Equal(k.helpers, []string{want}) {
			t.Errorf("registered %q, want %q", k.helpers, want)
		}
	}
	if _, err := Open(&Options{Instances: []Instance{{Name: "ftp", Transport: flow.UDP}}, Kernel: &table{}, Log: &log}); err == nil || err.Error() != "Unknown `ftp' helper" {
		t.Errorf("ftp over UDP: %v", err)
	}
}

// Nearly all packets announce nothing.
func TestAnOrdinaryPacketCostsNoMemory(t *testing.T) {
	f := fuzzFlow(flow.TCP, false, false, false)
	f.Helper = "ftp"
	b := &bench{t: t}
	d := b.packet(&f, EstablishedReply, 1000, "150 Opening BINARY mode data connection for a (6 bytes).\r\n")
	d.Private = make([]byte, ftpPrivate)
	message := packetMessage(&d)
	m, _, err := nfnetlink.Next(message)
	if err != nil {
		t.Fatal(err)
	}
	q, _ := fakeQueue(t)
	w := newWorker(&Instance{Name: "ftp"}, protocolOf("ftp", flow.TCP), q, refuse{}, &limitedLog{log: silent{}})
	if n := testing.AllocsPerRun(1000, func() {
		q.out.Reset()
		if err := q.deliver(&m, &d); err != nil {
			t.Fatal(err)
		}
		v := w.decide(t.Context(), &d)
		if err := q.Decide(&v); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkPacket is a packet from its message to its verdict, without the kernel.
func BenchmarkPacket(b *testing.B) {
	f := fuzzFlow(flow.TCP, false, false, false)
	f.Helper = "ftp"
	for _, payload := range []string{"STOR a file of some name\r\n", "PORT 10,1,0,2,7,208\r\n"} {
		b.Run(payload[:4], func(b *testing.B) {
			packet := makePacket(b, false, flow.TCP, 0, []byte(payload))
			private := make([]byte, ftpPrivate)
			ftpRemember(private, Original, 1000)
			d := Delivery{Family: flow.IPv4, Packet: packet, Tracked: true, Flow: f, State: Established, Private: private}
			m, _, err := nfnetlink.Next(packetMessage(&d))
			if err != nil {
				b.Fatal(err)
			}
			q, _ := fakeQueue(b)
			w := newWorker(&Instance{Name: "ftp"}, protocolOf("ftp", flow.TCP), q, refuse{}, &limitedLog{log: silent{}})
			b.ReportAllocs()
			for b.Loop() {
				q.out.Reset()
				if err := q.deliver(&m, &d); err != nil {
					b.Fatal(err)
				}
				v := w.decide(b.Context(), &d)
				if err := q.Decide(&v); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
