//go:build linux

package interop_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/spoor-project/spoor/filter"
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/nstest"
)

// helping makes the kernel read the control connections on all paths.
const helping = `
	table inet help {
		ct helper reader { type "%s" protocol tcp; }
		chain pre {
			type filter hook prerouting priority filter;
			tcp dport 80 ct helper set "reader"
		}
	}`

// followingHelpers are the commands which see what helpers do.
const followingHelpers = "-E\n-E -o {extended,id|xml}\n-E expect\n-E expect -o {xml|extended}"

// announced is a connection which one end told the other about, and so the router.
type announced struct {
	helper  string
	control flow.Tuple // original tuple of the connection on which it was announced
	expect  flow.Tuple // of its first packet, without the source port if that can be any
	mask    flow.Tuple
	back    bool        // it goes against the direction of the control connection
	renamed uint16      // what port or key the router translates to, if it does
	by      string      // who sets up the translation
	orig    flow.Tuple  // as it then comes
	reply   flow.Tuple  //
	status  flow.Status // SrcNAT, DstNAT
	not     bool        // it does not come
}

// complete fills in what follows from the rest.
func (a announced) complete(p path) announced {
	a.control, _ = p.tuples(flow.TCP)
	a.expect = a.orig
	whole := netip.MustParseAddr("255.255.255.255")
	if p.to.Addr().Is6() {
		whole = netip.MustParseAddr("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")
	}
	a.mask = flow.Tuple{Src: whole, Dst: whole, SrcPort: 0xffff, DstPort: 0xffff, Proto: a.orig.Proto}
	if a.orig.Proto == flow.TCP {
		a.expect.SrcPort, a.mask.SrcPort = 0, 0
	}
	if a.reply.Dst != a.orig.Src || a.reply.DstPort != a.orig.SrcPort {
		a.status |= flow.SrcNAT
	}
	if a.reply.Src != a.orig.Dst || a.reply.SrcPort != a.orig.DstPort {
		a.status |= flow.DstNAT
	}
	return a
}

// String is how the programs print the expectation.
func (a announced) String() string {
	return fmt.Sprintf("<T> proto=%d %smask-src=%v mask-dst=%v %smaster-src=%v master-dst=%v sport=%d dport=%d class=0 helper=%s\n",
		a.expect.Proto, written(a.expect), a.mask.Src, a.mask.Dst, ends(a.mask), a.control.Src, a.control.Dst,
		a.control.SrcPort, a.control.DstPort, a.helper)
}

// ends is the part of a tuple as the programs print it which is not addresses.
func ends(t flow.Tuple) string {
	return strings.TrimPrefix(written(t), fmt.Sprintf("src=%v dst=%v ", t.Src, t.Dst))
}

// TestTrafficWhichFTPAnnouncesIsRelated holds FTP sessions on every path, in which either end waits for data once.
func TestTrafficWhichFTPAnnouncesIsRelated(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.unhurried(t)
	w.our.must("nft", fmt.Sprintf(helping, "ftp"))
	h := w.watch(t, followingHelpers)
	var all []announced
	for _, p := range paths {
		control, _ := p.tuples(flow.TCP)
		d := newDialogue(t, w.Client, w.Server, p)
		// The first line of either end only shows the helper where lines begin.
		say(t, d.called, d.caller, "220 ready\r\n")
		say(t, d.caller, d.called, "USER spoor\r\n")
		said, heard, a, open := announceActive(t, w, p, d)
		moved := int32(len(heard) - len(said))
		all = append(all, a)
		session(t, w, a, open)
		say(t, d.called, d.caller, "226 done\r\n")

		said, heard, a, open = announcePassive(t, w, p, d)
		movedBack := int32(len(heard) - len(said))
		all = append(all, a)
		session(t, w, a, open)
		say(t, d.called, d.caller, "226 done\r\n")

		f := w.flows(t)[control]
		if f.Helper != "ftp" || !f.Status.Has(flow.HelperSet) || f.Status.Has(flow.SeqAdjust) != (moved != 0 || movedBack != 0) ||
			f.OrigSeqAdj.OffsetAfter != moved || f.ReplySeqAdj.OffsetAfter != movedBack {
			t.Errorf("%s: control connection has helper %q, status %#x, %+v, %+v, want ftp and sequence numbers moved by %d and %d",
				p.name, f.Helper, f.Status, f.OrigSeqAdj, f.ReplySeqAdj, moved, movedBack)
		}
		d.close(t, w, control)
	}
	finish(t, w, h, all, len(paths))
}

// session lets announced data flow.
func session(t *testing.T, w *world, a announced, open func() dialogue) {
	t.Helper()
	wantExpected(t, w, a)
	data := open()
	say(t, data.caller, data.called, "data\n")
	wantRelated(t, w, a)
	wantExpected(t, w)
	data.close(t, w, a.orig)
}

// announceActive lets the client say where it waits for the server to connect.
func announceActive(t *testing.T, w *world, p path, d dialogue) (said, heard string, a announced, open func() dialogue) {
	t.Helper()
	const port = 51210
	at := netip.AddrPortFrom(p.client.Addr(), port)
	said = fmt.Sprintf("EPRT |2|%v|%d|\r\n", at.Addr(), port)
	if at.Addr().Is4() {
		said = fmt.Sprintf("PORT %s\r\n", commas(at))
	}
	heard = say(t, d.caller, d.called, said)
	to := netip.AddrPortFrom(p.seen.Addr(), port)
	if to.Addr().Is6() { // of which there are several spellings
		fields := strings.Split(heard, "|")
		if len(fields) != 5 || fields[2] == "" || netip.MustParseAddr(fields[2]) != to.Addr() || fields[3] != fmt.Sprint(port) {
			t.Errorf("%s: the server heard %q, want %v in it", p.name, heard, to)
		}
	} else if want := fmt.Sprintf("PORT %s\r\n", commas(to)); heard != want {
		t.Errorf("%s: the server heard %q, want %q", p.name, heard, want)
	}
	data := path{client: netip.AddrPortFrom(p.server.Addr(), 20), to: to, seen: netip.AddrPortFrom(p.to.Addr(), 20), server: at}
	a = announced{helper: "ftp", back: true, renamed: port, by: "nat-follow-master"}
	a.orig, a.reply = data.tuples(flow.TCP)
	return said, heard, a.complete(p), func() dialogue { return newDialogue(t, w.Server, w.Client, data) }
}

// announcePassive lets the server say where it waits for the client to connect.
func announcePassive(t *testing.T, w *world, p path, d dialogue) (said, heard string, a announced, open func() dialogue) {
	t.Helper()
	const port = 51211
	at, to := netip.AddrPortFrom(p.server.Addr(), port), netip.AddrPortFrom(p.to.Addr(), port)
	question, answer := "EPSV\r\n", func(netip.AddrPort) string { return "229 Entering Extended Passive Mode (|||51211|)\r\n" }
	if at.Addr().Is4() {
		question = "PASV\r\n"
		answer = func(at netip.AddrPort) string { return "227 Entering Passive Mode (" + commas(at) + ").\r\n" }
	}
	say(t, d.caller, d.called, question)
	said = answer(at)
	heard = say(t, d.called, d.caller, said)
	if want := answer(to); heard != want {
		t.Errorf("%s: the client heard %q, want %q", p.name, heard, want)
	}
	data := path{client: netip.AddrPortFrom(p.client.Addr(), 4100), to: to, seen: netip.AddrPortFrom(p.seen.Addr(), 4100), server: at}
	a = announced{helper: "ftp", renamed: port, by: "nat-follow-master"}
	a.orig, a.reply = data.tuples(flow.TCP)
	return said, heard, a.complete(p), func() dialogue { return newDialogue(t, w.Client, w.Server, data) }
}

// commas is an address and port as FTP spells them.
func commas(at netip.AddrPort) string {
	return fmt.Sprintf("%s,%d,%d", strings.ReplaceAll(at.Addr().String(), ".", ","), at.Port()>>8, at.Port()&0xff)
}

// wantExpected wants these expectations, and no others, from the library and from our program.
func wantExpected(t *testing.T, w *world, all ...announced) {
	t.Helper()
	want := make(map[flow.Tuple]announced)
	lines := map[flow.Family][]string{flow.IPv4: nil, flow.IPv6: nil}
	for _, a := range all {
		want[a.expect] = a
		lines[a.expect.Family()] = append(lines[a.expect.Family()], a.String())
	}
	found := 0
	for e, err := range w.lib.Expects(t.Context(), flow.AnyFamily) {
		if err != nil {
			t.Fatal(err)
		}
		found++
		a, ok := want[e.Tuple]
		if !ok {
			t.Errorf("unexpected expectation %+v", e)
			continue
		}
		wantExpect(t, &e, a)
	}
	if found != len(all) {
		t.Errorf("%d expectations, want %d", found, len(all))
	}
	for family, want := range lines {
		got := sortLines(settled(w.our.must("conntrack", "-L", "expect", "-f", family.String())))
		if want := sortLines(strings.Join(want, "")); got != want {
			t.Errorf("-L expect -f %v printed\n%swant\n%s", family, got, want)
		}
	}
}

func wantExpect(t *testing.T, e *flow.Expect, a announced) {
	t.Helper()
	if e.Tuple != a.expect || e.Mask != a.mask || e.Master != a.control || e.Helper != a.helper || e.Flags != 0 || e.Class != 0 {
		t.Errorf("expectation %+v\nwant %v", *e, a)
	}
	translated := e.Has.Has(flow.ExpectHasNAT)
	if translated != (a.status != 0) || translated && (e.NATReply != a.back || e.NAT.SrcPort != a.renamed || e.Func != a.by) {
		t.Errorf("%v\ntranslated: %v, backwards: %v, to %d by %q; want %v, %v, %d, %q",
			a, translated, e.NATReply, e.NAT.SrcPort, e.Func, a.status != 0, a.back, a.renamed, a.by)
	}
}

// wantRelated looks at the entry of an announced connection.
func wantRelated(t *testing.T, w *world, a announced) {
	t.Helper()
	want := a.status | flow.Expected | assured | flow.Confirmed | flow.SrcNATDone | flow.DstNATDone
	found := false
	for f, err := range w.lib.Flows(t.Context(), &filter.Filter{Status: &filter.Status{Value: flow.Expected, Mask: flow.Expected}}) {
		if err != nil {
			t.Fatal(err)
		}
		if f.Orig == a.orig {
			found = true
			if f.Reply != a.reply || f.Status != want || !f.Has.Has(flow.HasMaster) || f.Master != a.control {
				t.Errorf("%v is %v %#x of %v\nwant %v %#x of %v", f.Orig, f.Reply, f.Status, f.Master, a.reply, want, a.control)
			}
		}
	}
	if !found {
		t.Errorf("no related flow %v; there are %v", a.orig, slices.Collect(maps.Keys(w.flows(t))))
	}
}

// finish compares both programs, removes all flows, and looks at what followers saw of the announced ones.
func finish(t *testing.T, w *world, h *watch, all []announced, controls int) {
	t.Helper()
	w.listings(t)
	argv := []string{"conntrack", "-L", "-u", "EXPECTED"}
	want, got := w.their.run(job{argv: argv}), w.our.run(job{argv: argv})
	compare(t, argv, want, got, versionRules, timeRules)
	related := 0
	for _, a := range all {
		if !a.not {
			related++
		}
	}
	if n := strings.Count(got.stdout, "\n"); n != related {
		t.Errorf("%q: %d lines, want %d", argv, n, related)
	}
	w.our.must("conntrack", "-F")
	shown := settled(h.end(t, controls+related)["-E expect"])
	for _, a := range all {
		var saw []flow.EventType
		for _, e := range h.expects {
			if e.Expect.Tuple == a.expect && e.Expect.Master == a.control {
				saw = append(saw, e.Type)
				wantExpect(t, &e.Expect, a)
			}
		}
		if want := []flow.EventType{flow.New, flow.Destroy}; !slices.Equal(saw, want) {
			t.Errorf("expectation of %v: library reported %v, want %v", a.expect, saw, want)
		}
		for _, what := range []string{"    [NEW] ", "[DESTROY] "} {
			if n := strings.Count(shown, what+a.String()); n != 1 {
				t.Errorf("-E expect printed %d times %q in\n%s", n, what+a.String(), shown)
			}
		}
		events := h.flows[a.orig]
		if born := len(events) > 0 && events[0].Type == flow.New && events[0].Flow.Master == a.control; born == a.not {
			t.Errorf("%v: library reported %+v; want a new flow of %v: %v", a.orig, events, a.control, !a.not)
		}
	}
	if n := strings.Count(shown, "\n"); n != 2*len(all) || len(h.expects) != n {
		t.Errorf("%d lines and %d events of expectations, want %d", n, len(h.expects), 2*len(all))
	}
}

// TestTrafficWhichPPTPAnnouncesIsRelated makes calls on every path. A call's packets are GRE, with the identifiers of both ends
// as keys.
func TestTrafficWhichPPTPAnnouncesIsRelated(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.unhurried(t)
	w.our.must("nft", fmt.Sprintf(helping, "pptp"))
	h := w.watch(t, followingHelpers)
	var all []announced
	calls := 0
	for _, p := range paths {
		if p.to.Addr().Is6() {
			continue // which the helper does not know
		}
		calls++
		d := newDialogue(t, w.Client, w.Server, p)
		const clientID, serverID = 0x1234, 0xfedc
		seenID := uint16(clientID)
		if p.status != 0 {
			seenID = p.seen.Port() // the router takes a number which nobody else has
		}
		pptp(t, d.caller, d.called, 1, 144)
		pptp(t, d.called, d.caller, 2, 144, 1<<8, 1<<8)
		if heard := pptp(t, d.caller, d.called, 7, 156, clientID); heard[0] != seenID {
			t.Errorf("%s: the server hears of call %#x, want %#x", p.name, heard[0], seenID)
		}
		if heard := pptp(t, d.called, d.caller, 8, 20, serverID, seenID, 1<<8); heard[1] != clientID {
			t.Errorf("%s: the client hears that its call is %#x, want %#x", p.name, heard[1], clientID)
		}
		forth := announced{helper: "pptp", renamed: seenID,
			orig:  flow.Tuple{Src: p.client.Addr(), Dst: p.to.Addr(), SrcPort: clientID, DstPort: serverID, Proto: flow.GRE},
			reply: flow.Tuple{Src: p.server.Addr(), Dst: p.seen.Addr(), SrcPort: serverID, DstPort: seenID, Proto: flow.GRE}}.complete(p)
		back := announced{helper: "pptp", back: true, renamed: clientID, not: true, orig: forth.reply, reply: forth.orig}.complete(p)
		wantExpected(t, w, forth, back)

		client, server := w.ends(t, p, 47)
		for range 2 {
			carry(t, client, p.to.Addr(), server, p.seen.Addr(), nstest.EnhancedGRE(serverID, "spoor"))
			got := carry(t, server, p.seen.Addr(), client, p.to.Addr(), nstest.EnhancedGRE(seenID, "spoor"))
			if want := nstest.EnhancedGRE(clientID, "spoor"); !slices.Equal(got, want) {
				t.Errorf("%s: the client receives % x, want % x", p.name, got, want)
			}
		}
		client.Close()
		server.Close()
		wantRelated(t, w, forth)
		wantExpected(t, w) // the first packet takes the other expectation away, too
		all = append(all, forth, back)
	}
	finish(t, w, h, all, calls)
}

// pptp sends a control message (RFC 2637, section 2) which begins with the given words, and returns the same words as they arrive.
func pptp(t *testing.T, from, to net.Conn, kind uint16, size int, words ...uint16) []uint16 {
	t.Helper()
	const header = 12
	message := make([]byte, header+size)
	binary.BigEndian.PutUint16(message, uint16(len(message)))
	binary.BigEndian.PutUint16(message[2:], 1) // a control message
	binary.BigEndian.PutUint32(message[4:], 0x1a2b3c4d)
	binary.BigEndian.PutUint16(message[8:], kind)
	for i, word := range words {
		binary.BigEndian.PutUint16(message[header+2*i:], word)
	}
	if _, err := from.Write(message); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(to, message); err != nil {
		t.Fatal(err)
	}
	heard := make([]uint16, len(words))
	for i := range heard {
		heard[i] = binary.BigEndian.Uint16(message[header+2*i:])
	}
	return heard
}
