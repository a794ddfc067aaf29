//go:build linux

package conntrack_test

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/nfnetlink"
	"github.com/spoor-project/spoor/internal/nstest"
)

// tape records what the kernel of a namespace sends.
type tape struct {
	t   *testing.T
	ns  *os.File
	all []conntrack.RecordedMessage
}

// listen makes a socket; groups are those of events.
func (r *tape) listen(groups ...nfnetlink.Group) *nfnetlink.Conn {
	r.t.Helper()
	conn, err := nfnetlink.Dial(&nfnetlink.Options{NetNS: r.ns, Groups: groups})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	return conn
}

// record keeps n messages that arrive, under that name.
func (r *tape) record(conn *nfnetlink.Conn, name string, n int) {
	r.t.Helper()
	buf := make([]byte, nfnetlink.Room)
	for n > 0 {
		got, err := conn.Recv(buf)
		if err != nil {
			r.t.Fatalf("%s: %v", name, err)
		}
		for rest := buf[:got]; len(rest) > 0 && n > 0; n-- {
			m, next, err := nfnetlink.Next(rest)
			if err != nil {
				r.t.Fatal(err)
			}
			r.all = append(r.all, conntrack.RecordedMessage{Name: name, Data: append([]byte(nil), rest[:16+len(m.Payload)]...)})
			rest = next
		}
	}
}

// dump records the first n messages of a listing.
func (r *tape) dump(name string, s nfnetlink.Subsystem, kind uint8, n int) {
	r.t.Helper()
	conn := r.listen()
	defer conn.Close()
	var b nfnetlink.Builder
	b.Begin(s, kind, nfnetlink.Dump, 1, 0, 0)
	b.End()
	if err := conn.Send(b.Bytes()); err != nil {
		r.t.Fatal(err)
	}
	r.record(conn, name, n)
}

// recordAll plays scenes that make the kernel send every kind of message and attribute.
func recordAll(t *testing.T) []conntrack.RecordedMessage {
	ns, c := kernel(t)
	useLabels(t, ns)
	useNAT(t, ns)
	ns.MustRun(t, "nft", `table inet h { ct helper tftp { type "tftp" protocol udp; }
		chain o { type filter hook output priority 0; udp dport 69 ct helper set "tftp"; }; }`)
	ns.LoopbackUp()
	file, err := os.Open(ns.Path())
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	r := &tape{t: t, ns: file}
	events := r.listen(nfnetlink.GroupNew, nfnetlink.GroupUpdate, nfnetlink.GroupDestroy)
	expects := r.listen(nfnetlink.GroupExpectNew, nfnetlink.GroupExpectDestroy)

	scene := func(name string, e *conntrack.Entry) {
		create(t, c, e)
		r.record(events, name+" new", 1)
		r.dump(name+" listed", nfnetlink.Conntrack, 1, 1)
		if err := c.Delete(limited(t), &flow.Flow{Orig: e.Orig, Zone: e.Zone}); err != nil {
			t.Fatal(err)
		}
		r.record(events, name+" destroyed", 1)
	}
	for _, family := range []flow.Family{flow.IPv4, flow.IPv6} {
		for _, p := range append(flow.Protos(), generic) {
			e, _ := protocolEntry(p, family, 1)
			scene(fmt.Sprintf("%v %v", family, p), e)
		}
	}
	e, _ := protocolEntry(flow.TCP, flow.IPv4, 1)
	e.Zone, e.Mark, e.Labels, e.Helper = 7, new(uint32(0xdeadbeef)), &flow.Labels{0: 0x21, 15: 0x80}, new("ftp")
	e.OrigSeqAdj, e.ReplySeqAdj = &flow.SeqAdj{CorrectionPos: 1, OffsetBefore: -2, OffsetAfter: 3}, &flow.SeqAdj{OffsetAfter: 1}
	e.Synproxy, e.Status = &flow.Synproxy{ISN: 1, ITS: 2, TSOff: 3}, new(flow.SeenReply|flow.Assured)
	scene("everything", e)
	for _, zones := range [][2]uint16{{3, 0}, {0, 4}} {
		e := entry(tuple(flow.UDP, flow.IPv4, 1))
		e.Orig.Zone, e.Reply.Zone = zones[0], zones[1]
		scene(fmt.Sprintf("zones %d %d", zones[0], zones[1]), e)
	}
	e = entry(tuple(flow.UDP, flow.IPv4, 1))
	e.SrcNAT = &conntrack.NAT{Addr: addr("203.0.113.9"), Port: new(uint16(5000))}
	scene("translated", e)

	ns.Sysctl("net/netfilter/nf_conntrack_acct", "1")
	ns.Sysctl("net/netfilter/nf_conntrack_timestamp", "1")
	echo, client := nstest.ServeEcho(t, ns, "tcp", "127.0.0.1:7007"), netip.MustParseAddrPort("127.0.0.1:40001")
	nstest.Exchange(t, ns, "tcp", client, echo, 2)
	r.record(events, "handshake", 3)
	r.dump("talk listed", nfnetlink.Conntrack, 1, 1)
	talk := flow.Tuple{Src: client.Addr(), Dst: echo.Addr(), SrcPort: client.Port(), DstPort: echo.Port(), Proto: flow.TCP}
	if err := c.Delete(limited(t), &flow.Flow{Orig: talk}); err != nil {
		t.Fatal(err)
	}
	for first := len(r.all); r.all[len(r.all)-1].Data[4] != 2; { // until IPCTNL_MSG_CT_DELETE
		r.all = r.all[:first]
		r.record(events, "talk destroyed", 1)
	}
	readFile(t, ns, "127.0.0.1", 40070)
	r.record(expects, "expectation new", 1)
	r.dump("expectation listed", nfnetlink.ConntrackExpect, 1, 1)
	if err := c.FlushExpects(limited(t)); err != nil {
		t.Fatal(err)
	}
	r.record(expects, "expectation destroyed", 1)
	if err := c.Flush(limited(t), nil); err != nil {
		t.Fatal(err)
	}
	r.dump("statistics", nfnetlink.Conntrack, 4, 1)
	r.dump("expectation statistics", nfnetlink.ConntrackExpect, 3, 1)
	r.dump("end of a listing", nfnetlink.Conntrack, 1, 1)
	r.dump("refusal", nfnetlink.Conntrack, 99, 1)
	return r.all
}

// attributes are the names of what a decoded message has.
func attributes(meaning string) string {
	var names []string
	for word := range strings.FieldsSeq(strings.NewReplacer("{", " ", "}", " ").Replace(meaning)) {
		if name, _, ok := strings.Cut(word, ":"); ok && name != "" && name[0] >= 'A' && name[0] <= 'Z' {
			names = append(names, name)
		}
	}
	return strings.Join(names, " ")
}

// The recorded messages have the same attributes as those of the running kernel. With
// -update they are recorded anew.
func TestTheKernelSendsWhatWasRecorded(t *testing.T) {
	t.Parallel()
	now := recordAll(t)
	if conntrack.Updating() {
		if err := conntrack.WriteRecorded(now); err != nil {
			t.Fatal(err)
		}
	}
	if !conntrack.KernelIsAtLeast(6, 17) {
		t.Log("the messages were recorded on Linux 6.18")
		return
	}
	then := conntrack.Recorded(t)
	for i, m := range then {
		if i >= len(now) || now[i].Name != m.Name {
			t.Fatalf("message %d: %q was recorded, and now there are %d others", i, m.Name, len(now))
		}
		if got, want := attributes(conntrack.Meaning(now[i].Data)), attributes(conntrack.Meaning(m.Data)); got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", m.Name, got, want)
		}
	}
}
