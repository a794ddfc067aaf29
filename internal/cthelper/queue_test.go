//go:build linux

package cthelper

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/nfnetlink"
	"github.com/spoor-project/spoor/internal/nfnetlink/nfnetlinktest"
)

const testQueue = 7

// fakeQueue is a queue whose kernel is the test.
func fakeQueue(t testing.TB) (*Queue, *nfnetlinktest.Peer) {
	t.Helper()
	conn, peer, err := nfnetlinktest.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { peer.Close() })
	go func() {
		for range 2 {
			if r, ok := recvRequest(peer); ok {
				peer.Send(r.Ack())
			}
		}
	}()
	q, err := openQueue(conn, &QueueOptions{Num: testQueue})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.Close() })
	conn.SetDeadline(time.Now().Add(2 * time.Minute)) // some machines are emulated
	return q, peer
}

func recvRequest(peer *nfnetlinktest.Peer) (*nfnetlinktest.Request, bool) {
	buf := make([]byte, 256<<10)
	n, err := peer.Recv(buf)
	if err != nil {
		return nil, false
	}
	m, _, err := nfnetlink.Next(buf[:n])
	return &nfnetlinktest.Request{Message: m}, err == nil
}

// packetMessage is what the kernel sends for a packet.
func packetMessage(d *Delivery) []byte {
	return nfnetlinktest.Event(nfnetlink.PacketQueue, msgPacket, 0, 0, nfnetlinktest.NewBody(uint8(d.Family), func(b *nfnetlink.Builder) {
		b.Raw(queueAttrPacket, []byte{byte(d.ID >> 24), byte(d.ID >> 16), byte(d.ID >> 8), byte(d.ID), 8, 0, 4})
		b.HostUint32(5, 1) // NFQA_IFINDEX_OUTDEV, which nobody reads
		if d.Tracked {
			at := b.Nest(queueAttrCT)
			appendFlow(b, &d.Flow, d.Private)
			b.Close(at)
			b.Uint32(queueAttrCTInfo, uint32(d.State))
		}
		if d.Cut {
			b.Uint32(queueAttrCapLen, 70000)
		}
		if d.Packet != nil {
			b.Raw(queueAttrPayload, d.Packet)
		}
	}))
}

// appendFlow appends a flow's attributes like the kernel does.
func appendFlow(b *nfnetlink.Builder, f *flow.Flow, private []byte) {
	tuple := func(attr uint16, t *flow.Tuple) {
		at := b.Nest(attr)
		ip := b.Nest(1)
		first := uint16(1)
		if t.Src.Is6() {
			first = 3
		}
		b.Raw(first, t.Src.AsSlice())
		b.Raw(first+1, t.Dst.AsSlice())
		b.Close(ip)
		proto := b.Nest(2)
		b.Uint8(1, uint8(t.Proto))
		b.Uint16(2, t.SrcPort)
		b.Uint16(3, t.DstPort)
		b.Close(proto)
		b.Close(at)
	}
	tuple(1, &f.Orig)
	tuple(2, &f.Reply)
	b.Uint32(3, uint32(f.Status))
	if f.Helper != "" {
		at := b.Nest(flowHelp)
		b.Text(flowHelpName, f.Helper)
		if private != nil {
			b.Raw(flowHelpInfo, private)
		}
		b.Close(at)
	}
}

func TestAQueueIsConfigured(t *testing.T) {
	tests := []struct {
		name   string
		o      QueueOptions
		config string
	}{
		{"usual", QueueOptions{Num: testQueue}, "0900 0200 0000ffff 02000000 0800 0500 00000003 0800 0400 00000003"},
		{"length", QueueOptions{Num: testQueue, MaxLen: 10240}, "0900 0200 0000ffff 02000000 0800 0500 00000003 0800 0400 00000003 0800 0300 00002800"},
		{"without flows", QueueOptions{Num: testQueue, WithoutFlows: true}, "0900 0200 0000ffff 02000000 0800 0500 00000001 0800 0400 00000001"},
	}
	for _, tt := range tests {
		requests := make(chan string, 8)
		conn, err := nfnetlinktest.Dial(func(r *nfnetlinktest.Request) [][]byte {
			if !r.Is(nfnetlink.PacketQueue, msgConfig) || r.Flags != nfnetlink.Request|nfnetlink.Ack {
				t.Errorf("%s: request of type %#x, flags %#x", tt.name, r.Type, r.Flags)
			}
			requests <- hex.EncodeToString(r.Payload)
			return r.Acked()
		})
		if err != nil {
			t.Fatal(err)
		}
		q, err := openQueue(conn, &tt.o)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		q.Close()
		header := "00000007"
		for i, want := range []string{"0800 0100 01000000", tt.config} {
			if got := <-requests; got != header+strings.ReplaceAll(want, " ", "") {
				t.Errorf("%s, request %d: got %v, want %s", tt.name, i, got, want)
			}
		}
	}
}

func TestWhatAQueueIsRefusedIsTold(t *testing.T) {
	for _, tt := range []struct {
		at   int
		with syscall.Errno
		want error
		text string
	}{
		{1, syscall.EPERM, ErrQueueBind, "failed to send bind command: operation not permitted"},
		{2, syscall.EOPNOTSUPP, ErrQueueConfig, "failed to send configuration: operation not supported"},
	} {
		n := 0
		conn, err := nfnetlinktest.Dial(func(r *nfnetlinktest.Request) [][]byte {
			if n++; n == tt.at {
				return [][]byte{r.Error(tt.with)}
			}
			return r.Acked()
		})
		if err != nil {
			t.Fatal(err)
		}
		_, err = openQueue(conn, &QueueOptions{})
		if !errors.Is(err, tt.want) || !errors.Is(err, tt.with) || err.Error() != tt.text {
			t.Errorf("got %v, want %s", err, tt.text)
		}
	}
}

// A packet may be queued between the two requests of the configuration.
func TestPacketsThatComeEarlyAreNotLost(t *testing.T) {
	n := 0
	conn, err := nfnetlinktest.Dial(func(r *nfnetlinktest.Request) [][]byte {
		if n++; n == 2 {
			return [][]byte{packetMessage(&Delivery{ID: 1, Family: flow.IPv4, Packet: []byte("a")}), packetMessage(&Delivery{ID: 2}), r.Ack()}
		}
		return r.Acked()
	})
	if err != nil {
		t.Fatal(err)
	}
	q, err := openQueue(conn, &QueueOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	for _, want := range []Delivery{{ID: 1, Packet: []byte("a")}, {ID: 2}} {
		var d Delivery
		if err := q.Next(&d); err != nil || d.ID != want.ID || !bytes.Equal(d.Packet, want.Packet) {
			t.Errorf("got %+v, %v, want %+v", d, err, want)
		}
	}
}

func TestDeliveriesAreRead(t *testing.T) {
	q, peer := fakeQueue(t)
	f := fuzzFlow(flow.TCP, false, true, false)
	f.Helper = "ftp"
	want := []Delivery{
		{ID: 1, Family: flow.IPv4, Packet: []byte("packet"), Tracked: true, Flow: f, State: EstablishedReply, Private: []byte("secret")},
		{ID: 2, Family: flow.IPv6, Packet: []byte("x"), Cut: true},
		{ID: 3, Family: flow.IPv4, Tracked: true, Flow: fuzzFlow(flow.UDP, true, false, false), State: New},
	}
	for i := range want {
		if err := peer.Send(packetMessage(&want[i])); err != nil {
			t.Fatal(err)
		}
	}
	for _, w := range want {
		var d Delivery
		if err := q.Next(&d); err != nil {
			t.Fatal(err)
		}
		d.Flow.Has = 0
		if d.ID != w.ID || d.Family != w.Family || !bytes.Equal(d.Packet, w.Packet) || (d.Packet == nil) != (w.Packet == nil) || d.Cut != w.Cut ||
			d.Tracked != w.Tracked || d.FlowErr != nil || d.State != w.State || !bytes.Equal(d.Private, w.Private) || d.Flow != w.Flow {
			t.Errorf("got\n%+v, want\n%+v", d, w)
		}
	}
}

func TestNonsenseFromAQueueIsToldAndPassedOver(t *testing.T) {
	q, peer := fakeQueue(t)
	send := func(b []byte) {
		if err := peer.Send(b); err != nil {
			t.Fatal(err)
		}
	}
	send(nfnetlinktest.Event(nfnetlink.PacketQueue, msgPacket, 0, 0, nfnetlinktest.NewBody(2, nil)))
	send([]byte("nonsense"))
	send(nfnetlinktest.Message(2, 0, 0, 0, nfnetlinktest.Body{254, 255, 255, 255})) // NLMSG_ERROR, ENOENT
	send(nfnetlinktest.Event(nfnetlink.Conntrack, 0, 0, 0, nfnetlinktest.NewBody(2, nil)))
	noTuple := nfnetlinktest.NewBody(2, func(b *nfnetlink.Builder) {
		b.Raw(queueAttrPacket, []byte{0, 0, 0, 8, 8, 0, 4})
		b.Raw(queueAttrCT, nil)
	})
	send(nfnetlinktest.Event(nfnetlink.PacketQueue, msgPacket, 0, 0, noTuple))
	send(packetMessage(&Delivery{ID: 9}))
	var d Delivery
	if err := q.Next(&d); !errors.Is(err, nfnetlink.ErrMalformed) {
		t.Errorf("without a header: %v", err)
	}
	// What follows in the same read is gone with the one that has no length.
	if err := q.Next(&d); !errors.Is(err, nfnetlink.ErrMalformed) {
		t.Errorf("nonsense: %v", err)
	}
	send(nfnetlinktest.Message(2, 0, 0, 0, nfnetlinktest.Body{254, 255, 255, 255}))
	send(nfnetlinktest.Event(nfnetlink.PacketQueue, msgPacket, 0, 0, noTuple))
	send(packetMessage(&Delivery{ID: 9}))
	var sawError, sawNoTuple bool
	for d.ID != 9 {
		err := q.Next(&d)
		switch {
		case err != nil && errors.Is(err, syscall.ENOENT):
			sawError = true
		case err != nil:
			t.Fatal(err)
		case d.ID == 8:
			sawNoTuple = d.Tracked && d.FlowErr != nil
		}
	}
	if !sawError || !sawNoTuple {
		t.Errorf("refused verdict told: %v; flow without a tuple told: %v", sawError, sawNoTuple)
	}
}

// readVerdict reads a verdict like the kernel does.
func readVerdict(t testing.TB, m *nfnetlink.Message) (v Verdict, queue uint16) {
	t.Helper()
	if m.Subsystem() != nfnetlink.PacketQueue || m.Kind() != msgVerdict {
		t.Fatalf("a message of type %#x is no verdict", m.Type)
	}
	hasFlow := false
	for a := m.Attrs(); a.Next(); {
		switch a.Type {
		case queueAttrVerdict:
			verdict, _ := a.Uint32()
			if len(a.Data) != 8 || verdict > 1 {
				t.Fatalf("verdict %x", a.Data)
			}
			v.Drop = verdict == 0
			v.ID = uint32(a.Data[4])<<24 | uint32(a.Data[5])<<16 | uint32(a.Data[6])<<8 | uint32(a.Data[7])
		case queueAttrPayload:
			v.Packet = a.Data
		case queueAttrCT:
			hasFlow = true
			for c := a.Nested(); c.Next(); {
				switch c.Type {
				case flowTimeout:
					n, _ := c.Uint32()
					v.Timeout = time.Duration(n) * time.Second
				case flowHelp:
					for h := c.Nested(); h.Next(); {
						if h.Type == flowHelpName {
							v.Helper = h.String()
						} else if h.Type == flowHelpInfo {
							v.Private = h.Data
						}
					}
				}
			}
		case queueAttrExpect:
			v.Expect = &flow.Expect{}
			if err := new(conntrack.Decoder).Expect(a.Data, v.Expect); err != nil {
				t.Fatal(err)
			}
		default:
			t.Fatalf("attribute %d", a.Type)
		}
		if a.Truncated() && len(a.Rest()) < 4 {
			t.Fatal("bytes left over")
		}
	}
	if !hasFlow && (v.Expect != nil || v.Packet != nil) {
		t.Fatal("without the flow the kernel does not look at an expectation, nor adjust sequence numbers")
	}
	return v, m.ResID()
}

func verdictsEqual(a, b *Verdict) bool {
	if (a.Expect == nil) != (b.Expect == nil) || a.Expect != nil && *a.Expect != *b.Expect {
		return false
	}
	return a.ID == b.ID && a.Drop == b.Drop && bytes.Equal(a.Packet, b.Packet) && a.Helper == b.Helper && bytes.Equal(a.Private, b.Private) && a.Timeout == b.Timeout
}

func TestVerdictsAreSentTogether(t *testing.T) {
	q, peer := fakeQueue(t)
	e := (&Packet{Flow: new(fuzzFlow(flow.UDP, true, true, false))}).follow(Reply, flow.UDP, 2000)
	want := []Verdict{
		{ID: 1},
		{ID: 2, Drop: true},
		{ID: 3, Timeout: 300 * time.Second},
		{ID: 4, Helper: "ftp", Private: []byte("123456789012345678901234")},
		{ID: 1 << 31, Packet: []byte("odd")},
		{ID: 6, Expect: &e},
		{ID: 7, Packet: []byte("even"), Helper: "tns", Private: []byte{1}, Timeout: time.Second, Expect: &e},
	}
	for i := range want {
		if err := q.Decide(&want[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := q.Flush(); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 64<<10)
	n, err := peer.Recv(buf)
	if err != nil {
		t.Fatal(err)
	}
	rest := buf[:n]
	for i := range want {
		var m nfnetlink.Message
		if m, rest, err = nfnetlink.Next(rest); err != nil {
			t.Fatal(err)
		}
		if got, queue := readVerdict(t, &m); !verdictsEqual(&got, &want[i]) || queue != testQueue {
			t.Errorf("got %+v for queue %d, want %+v", got, queue, want[i])
		}
	}
	if len(rest) > 0 {
		t.Errorf("%d bytes left over", len(rest))
	}
}

func TestVerdictsAreSentBeforeTheQueueWaits(t *testing.T) {
	q, peer := fakeQueue(t)
	q.Decide(&Verdict{ID: 5})
	done := make(chan error, 1)
	go func() {
		var d Delivery
		done <- q.Next(&d)
	}()
	buf := make([]byte, 4096)
	n, err := peer.Recv(buf)
	if err != nil {
		t.Fatal(err)
	}
	m, _, err := nfnetlink.Next(buf[:n])
	if err != nil {
		t.Fatal(err)
	}
	if v, _ := readVerdict(t, &m); v.ID != 5 {
		t.Errorf("verdict on %d, want 5", v.ID)
	}
	peer.Send(packetMessage(&Delivery{ID: 6}))
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// FuzzVerdict: a verdict reads back as what was given.
func FuzzVerdict(f *testing.F) {
	f.Add(uint32(1), false, []byte("packet"), "ftp", []byte("private"), uint16(30), uint16(2000), uint8(3))
	f.Add(uint32(1), true, []byte{}, "", []byte{}, uint16(0), uint16(0), uint8(0))
	f.Fuzz(func(t *testing.T, id uint32, drop bool, packet []byte, helper string, private []byte, timeout, port uint16, shape uint8) {
		if strings.IndexByte(helper, 0) >= 0 || len(helper) > 15 || len(packet) > maxPacket || len(private) > 32 {
			return
		}
		v := Verdict{ID: id, Drop: drop, Packet: packet, Helper: helper, Private: private, Timeout: time.Duration(timeout) * time.Second}
		if drop || len(packet) == 0 {
			v.Packet = nil
		}
		if helper == "" {
			v.Private = nil
		}
		if shape&1 != 0 {
			fl := fuzzFlow(flow.TCP, shape&2 != 0, shape&4 != 0, false)
			e := (&Packet{Flow: &fl}).follow(Original, flow.TCP, port)
			v.Expect = &e
		}
		var b nfnetlink.Builder
		appendVerdict(&b, 7, &v)
		m, rest, err := nfnetlink.Next(b.Bytes())
		if err != nil || len(rest) > 0 {
			t.Fatalf("%d bytes left over, %v", len(rest), err)
		}
		if got, queue := readVerdict(t, &m); !verdictsEqual(&got, &v) || queue != 7 {
			t.Fatalf("got %+v, want %+v", got, v)
		}
	})
}

// FuzzDelivery: whatever the attributes of a message are, it is read or refused, and what is read lies in the message.
func FuzzDelivery(f *testing.F) {
	fl := fuzzFlow(flow.TCP, false, true, false)
	fl.Helper = "ftp"
	for _, d := range []Delivery{{ID: 1, Packet: []byte("packet"), Tracked: true, Flow: fl, Private: []byte("secret")}, {ID: 2, Cut: true}} {
		f.Add(packetMessage(&d)[16:])
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		m := nfnetlink.Message{Type: uint16(nfnetlink.PacketQueue) << 8, Payload: payload}
		var q Queue
		var d Delivery
		if err := q.deliver(&m, &d); err != nil {
			if !errors.Is(err, nfnetlink.ErrMalformed) {
				t.Fatal(err)
			}
			return
		}
		if len(d.Packet)+len(d.Private) > 2*len(payload) {
			t.Fatal("more than there was")
		}
		if d.Tracked && d.FlowErr == nil && d.Packet != nil {
			w := newWorker(&Instance{Name: "ftp"}, protocolOf("ftp", flow.TCP), nil, refuse{}, &limitedLog{log: silent{}})
			w.decide(t.Context(), &d)
		}
	})
}
