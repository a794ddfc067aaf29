//go:build linux

package interop_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/nstest"
	"golang.org/x/sys/unix"
)

// talkLimit ends a conversation which hangs.
const talkLimit = 20 * time.Second

// dialogue is a TCP connection, both ends of which are the test's.
type dialogue struct {
	caller, called *net.TCPConn
}

// newDialogue connects both ends of a path, and wants the called one to see the caller under the right address.
func newDialogue(t testing.TB, from, at *nstest.NS, p path) dialogue {
	t.Helper()
	config := net.ListenConfig{KeepAlive: -1}
	config.SetMultipathTCP(false)
	var listener net.Listener
	var err error
	nstest.Wait(t, "a free port", func() bool {
		at.Do(func() { listener, err = config.Listen(context.Background(), "tcp", p.server.String()) })
		return !inUse(err)
	})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	d := dialogue{caller: nstest.Dial(t, from, "tcp", p.client, p.to).(*net.TCPConn)}
	listener.(*net.TCPListener).SetDeadline(time.Now().Add(talkLimit))
	if d.called, err = listener.(*net.TCPListener).AcceptTCP(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.called.Close() })
	if got := d.called.RemoteAddr().String(); got != p.seen.String() {
		t.Errorf("%v is called by %s, want %s", p.server, got, p.seen)
	}
	d.caller.SetDeadline(time.Now().Add(talkLimit))
	d.called.SetDeadline(time.Now().Add(talkLimit))
	return d
}

// say sends a line to the other end, and returns it as it arrives.
func say(t testing.TB, from, to net.Conn, line string) string {
	t.Helper()
	if _, err := io.WriteString(from, line); err != nil {
		t.Fatalf("say %q: %v", line, err)
	}
	return hear(t, to, line)
}

// hear reads the line that was said. A helper may have made it longer, so that only the line feed tells its end.
func hear(t testing.TB, at net.Conn, line string) string {
	t.Helper()
	var heard []byte
	for one := make([]byte, 1); !bytes.HasSuffix(heard, []byte("\n")); heard = append(heard, one...) {
		if _, err := io.ReadFull(at, one); err != nil {
			t.Fatalf("hear %q: %v", line, err)
		}
	}
	return string(heard)
}

// close closes both ends, the caller's first, and waits for each packet to be seen by the router.
func (d dialogue) close(t testing.TB, w *world, orig flow.Tuple) {
	t.Helper()
	if err := d.caller.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	w.awaits(t, orig, "CLOSE_WAIT") // which takes as long as the other end holds its acknowledgement back
	d.called.Close()
	w.awaits(t, orig, "TIME_WAIT")
	d.caller.Close()
}

// talkTCP compares the counters with those of the caller's kernel, which knows how many packets there were.
func talkTCP(t *testing.T, w *world, p path) (said volume) {
	t.Helper()
	d := newDialogue(t, w.Client, w.Server, p)
	for range 2 {
		say(t, d.caller, d.called, "question\n")
		say(t, d.called, d.caller, "answer\n")
	}
	orig, _ := p.tuples(flow.TCP)
	segments := func() [2]uint64 {
		raw, err := d.caller.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		var info *unix.TCPInfo
		raw.Control(func(fd uintptr) { info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO) })
		if err != nil {
			t.Fatal(err)
		}
		return [2]uint64{uint64(info.Segs_out), uint64(info.Segs_in)}
	}
	counted := func() [2]uint64 {
		f := w.entry(t, orig)
		return [2]uint64{f.OrigCounters.Packets, f.ReplyCounters.Packets}
	}
	nstest.Wait(t, "the router's counters to be those of the client", func() bool { return segments() == counted() })
	d.close(t, w, orig)
	// How long the last packets are depends on when they were sent, and so this has to be believed.
	f := w.entry(t, orig)
	header := uint64(20 + 32)
	if p.to.Addr().Is6() {
		header = 40 + 32
	}
	said = volume{f.OrigCounters, f.ReplyCounters}
	if least := 7*header + 18; said.orig.Packets < 7 || said.orig.Bytes < least || said.reply.Packets < 5 {
		t.Errorf("%s: counted %+v, want 7 packets and %d bytes, and 5 packets back, or more", p.name, said, least)
	}
	header -= 32
	said.orig.Bytes -= said.orig.Packets * header
	said.reply.Bytes -= said.reply.Packets * header
	return said
}

// inUse says that somebody has the port. A socket which was closed can live on for a moment, in a process which another test
// is about to start.
func inUse(err error) bool { return errors.Is(err, unix.EADDRINUSE) }

func listenUDP(t testing.TB, ns *nstest.NS, at netip.AddrPort) *net.UDPConn {
	t.Helper()
	var conn *net.UDPConn
	var err error
	nstest.Wait(t, "a free port", func() bool {
		ns.Do(func() { conn, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(at)) })
		return !inUse(err)
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(talkLimit))
	return conn
}

// talkUDP sends questions and answers over sockets which listen opens.
func talkUDP(listen func(testing.TB, *nstest.NS, netip.AddrPort) *net.UDPConn) func(*testing.T, *world, path) volume {
	return func(t *testing.T, w *world, p path) (said volume) {
		t.Helper()
		client, server := listen(t, w.Client, p.client), listen(t, w.Server, p.server)
		defer client.Close()
		defer server.Close()
		for range 2 {
			datagram(t, client, p.to, server, p.seen, "question")
			datagram(t, server, p.seen, client, p.to, "to")
		}
		const header = 8
		return volume{flow.Counters{Packets: 2, Bytes: 2 * (header + 8)}, flow.Counters{Packets: 2, Bytes: 2 * (header + 2)}}
	}
}

// datagram sends a text, and wants it to arrive from the address under which the receiver knows the sender.
func datagram(t testing.TB, from *net.UDPConn, to netip.AddrPort, at *net.UDPConn, seen netip.AddrPort, text string) {
	t.Helper()
	if _, err := from.WriteToUDPAddrPort([]byte(text), to); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 100)
	n, sender, err := at.ReadFromUDPAddrPort(buf)
	if err != nil {
		t.Fatal(err)
	}
	if sender = netip.AddrPortFrom(sender.Addr().Unmap(), sender.Port()); string(buf[:n]) != text || sender != seen {
		t.Errorf("received %q from %v, want %q from %v", buf[:n], sender, text, seen)
	}
}

func talkPing(t *testing.T, w *world, p path) volume {
	t.Helper()
	nstest.Ping(t, w.Client, p.to.Addr(), p.client.Port())
	return volume{flow.Counters{Packets: 1, Bytes: 8}, flow.Counters{Packets: 1, Bytes: 8}}
}

// ends opens both ends of a path for a protocol without sockets.
func (w *world) ends(t testing.TB, p path, proto uint8) (client, server *nstest.Raw) {
	t.Helper()
	return nstest.ListenRaw(t, w.Client, proto, p.client.Addr()), nstest.ListenRaw(t, w.Server, proto, p.server.Addr())
}

// carry sends a packet, and wants it to arrive from the address under which the receiver knows the sender.
func carry(t testing.TB, from *nstest.Raw, to netip.Addr, at *nstest.Raw, seen netip.Addr, packet []byte) []byte {
	t.Helper()
	from.Send(t, to, packet)
	got, sender := at.Receive(t)
	if sender != seen {
		t.Errorf("received % x from %v, want it from %v", got, sender, seen)
	}
	return got
}

// talkRaw sends the same packet forth and back, twice.
func talkRaw(proto uint8, packet []byte) func(*testing.T, *world, path) volume {
	return func(t *testing.T, w *world, p path) (said volume) {
		t.Helper()
		client, server := w.ends(t, p, proto)
		defer client.Close()
		defer server.Close()
		for range 2 {
			forth := carry(t, client, p.to.Addr(), server, p.seen.Addr(), packet)
			back := carry(t, server, p.seen.Addr(), client, p.to.Addr(), forth)
			if !bytes.Equal(back, packet) {
				t.Errorf("%s: sent % x, got back % x", p.name, packet, back)
			}
		}
		all := flow.Counters{Packets: 2, Bytes: 2 * uint64(len(packet))}
		return volume{all, all}
	}
}

// talkSCTP sets up an association (RFC 9260, section 5.1), and looks at the entry after each packet.
func talkSCTP(t *testing.T, w *world, p path) (said volume) {
	t.Helper()
	client, server := w.ends(t, p, unix.IPPROTO_SCTP)
	defer client.Close()
	defer server.Close()
	const clientTag, serverTag = 0x12345678, 0xfedcba98
	orig, _ := p.tuples(flow.SCTP)
	for _, step := range []struct {
		back  bool
		chunk uint8
		tag   uint32
		value []byte
		state string
		tags  flow.VTags // of packets in each direction, as far as known
	}{
		{false, nstest.SCTPInit, 0, nstest.InitValue(clientTag), "CLOSED", flow.VTags{Reply: clientTag}},
		{true, nstest.SCTPInitAck, clientTag, nstest.InitValue(serverTag, 0, 7, 0, 8, 'c', 'o', 'o', 'k'), "COOKIE_WAIT",
			flow.VTags{Orig: serverTag, Reply: clientTag}},
		{false, nstest.SCTPCookieEcho, serverTag, []byte("cook"), "COOKIE_ECHOED", flow.VTags{Orig: serverTag, Reply: clientTag}},
		{true, nstest.SCTPCookieAck, clientTag, []byte{}, "ESTABLISHED", flow.VTags{Orig: serverTag, Reply: clientTag}},
	} {
		packet := nstest.SCTP{SrcPort: p.client.Port(), DstPort: p.to.Port(), Tag: step.tag, Chunk: step.chunk, Value: step.value}
		arrives := packet
		arrives.SrcPort, arrives.DstPort = p.seen.Port(), p.server.Port()
		send, to, at, seen, count := client, p.to, server, p.seen, &said.orig
		if step.back {
			packet.SrcPort, packet.DstPort = p.server.Port(), p.seen.Port()
			arrives.SrcPort, arrives.DstPort = p.to.Port(), p.client.Port()
			send, to, at, seen, count = server, p.seen, client, p.to, &said.reply
		}
		sent := packet.Marshal()
		count.Packets++
		count.Bytes += uint64(len(sent))
		// The router has changed ports, and so must have changed the checksum, too.
		got, err := nstest.UnmarshalSCTP(carry(t, send, to.Addr(), at, seen.Addr(), sent))
		if err != nil || fmt.Sprint(got) != fmt.Sprint(arrives) {
			t.Errorf("%s: received %v, %v; want %v", p.name, got, err, arrives)
		}
		if f := w.entry(t, orig); f.Orig.Proto.StateName(f.State) != step.state || f.VTags != step.tags {
			t.Errorf("%s: after chunk %d in state %d with tags %#x, want %s and %#x",
				p.name, step.chunk, f.State, f.VTags, step.state, step.tags)
		}
	}
	return said
}

// closed is put before the rules of a world which is to know its flows from its table alone: nothing new gets in, and of the
// rules which translate only the chains are left.
const closed = `
	flush chain inet nat pre
	flush chain inet nat post
	table inet guard {
		counter refused { }
		chain pre {
			type filter hook prerouting priority mangle;
			ct state { new, invalid } counter name refused drop
		}
	}`

// TestTrafficGoesOnAfterRestoring saves the table while connections are open, loses it, and loads it again. Packets pass from
// then on, translated as before.
func TestTrafficGoesOnAfterRestoring(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	paths := slices.Clone(paths)
	for i := range paths {
		// A saved line with two translations does not say into which ports, so that they have to be what they were.
		if p := &paths[i]; p.name == "both" {
			p.client = netip.AddrPortFrom(p.client.Addr(), p.seen.Port())
			p.to = netip.AddrPortFrom(p.to.Addr(), p.server.Port())
		}
	}
	dialogues := make([]dialogue, len(paths))
	here, there := make([]*net.UDPConn, len(paths)), make([]*net.UDPConn, len(paths))
	for i, p := range paths {
		dialogues[i] = newDialogue(t, w.Client, w.Server, p)
		say(t, dialogues[i].caller, dialogues[i].called, "question\n")
		say(t, dialogues[i].called, dialogues[i].caller, "answer\n")
		there[i] = listenUDP(t, w.Server, p.server)
		if j := slices.IndexFunc(paths, func(q path) bool { return q.client == p.client }); j < i {
			here[i] = here[j] // which has the port already
		} else {
			here[i] = listenUDP(t, w.Client, p.client)
		}
		datagram(t, here[i], p.to, there[i], p.seen, "question")
		datagram(t, there[i], p.seen, here[i], p.to, "answer")
	}
	quiet(t, w.their)
	before := w.flows(t)
	save := job{argv: []string{"conntrack", "-L", "-o", "save"}}
	saved := w.our.run(save)
	compare(t, save.argv, w.their.run(save), saved, versionRules, timeRules)
	if n := strings.Count(saved.stdout, "\n"); n != 2*len(paths) {
		t.Fatalf("saved %d lines, want %d:\n%s", n, 2*len(paths), saved.stdout)
	}

	w.our.must("nft", closed)
	w.our.must("conntrack", "-F")
	for _, d := range dialogues {
		// One end speaks while nobody knows the connection. It will do so again later, as long as it hears nothing.
		if _, err := io.WriteString(d.caller, "lost\n"); err != nil {
			t.Fatal(err)
		}
	}
	nstest.Wait(t, "refused packets", func() bool {
		counter := w.our.must("nft", "list counter inet guard refused")
		var n int
		_, rest, _ := strings.Cut(counter, "packets ")
		fmt.Sscan(rest, &n)
		return n >= len(dialogues)
	})
	if left := w.flows(t); len(left) != 0 {
		t.Fatalf("after -F there are still %v", left)
	}
	w.our.write("saved", saved.stdout)
	if r := w.our.run(job{argv: []string{"conntrack", "--load-file", "saved"}}); r.exit != 0 || r.stdout != "" {
		t.Errorf("load: %v", r)
	}

	again := w.our.run(save)
	if got, want := sortLines(settled(again.stdout)), sortLines(settled(saved.stdout)); got != want {
		t.Errorf("saved once more:\n%swas\n%s", got, want)
	}
	loaded := w.flows(t)

	for i, p := range paths {
		d := dialogues[i]
		if got := hear(t, d.called, "lost\n"); got != "lost\n" {
			t.Errorf("%s: heard %q, want what was lost", p.name, got)
		}
		say(t, d.called, d.caller, "answer\n")
		say(t, d.caller, d.called, "question\n")
		datagram(t, there[i], p.seen, here[i], p.to, "answer")
		datagram(t, here[i], p.to, there[i], p.seen, "question")
	}
	after := w.flows(t)
	if len(after) != len(before) {
		t.Errorf("%d flows, want the %d that were saved", len(after), len(before))
	}
	for orig, was := range before {
		is := loaded[orig]
		// The kernel remembers which sides it has decided on, and a command can only ask for what is to be translated.
		const decided = flow.SrcNATDone | flow.DstNATDone
		if is.Reply != was.Reply || is.Status|decided != was.Status|decided || is.State != was.State {
			t.Errorf("%v is restored as %v %#x in state %d, was %v %#x %d",
				orig, is.Reply, is.Status, is.State, was.Reply, was.Status, was.State)
		}
		used := after[orig]
		if used.ID != is.ID || used.Reply != is.Reply || used.OrigCounters.Packets == 0 || used.ReplyCounters.Packets == 0 {
			t.Errorf("%v (%#x) with %v after %v and %v packets, want packets through entry %#x", orig, used.ID, used.Reply,
				used.OrigCounters, used.ReplyCounters, is.ID)
		}
	}
	for i, p := range paths {
		orig, _ := p.tuples(flow.TCP)
		dialogues[i].close(t, w, orig)
	}
}
