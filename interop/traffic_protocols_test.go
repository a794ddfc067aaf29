//go:build linux

package interop_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/spoor-project/spoor/filter"
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/nstest"
)

// moment is one of the changes which the kernel reports of a flow.
type moment struct {
	what   flow.EventType
	state  string // "" if the report has none
	status flow.Status
}

const replied, assured = flow.SeenReply, flow.SeenReply | flow.Assured

// volume is how many packets, and how many bytes behind the IP header, went each way.
type volume struct{ orig, reply flow.Counters }

// conversation is what client and server say to each other in some protocol, and what that looks like on the router.
type conversation struct {
	name      string
	proto     flow.Proto
	proto6    flow.Proto // if another one over IPv6
	talk      func(t *testing.T, w *world, p path) volume
	again     time.Duration // after which they talk once more
	lax       bool          // the kernel finds fault with good checksums
	moments   []moment
	lastState string // in the table, at the end
}

// on is the protocol on a path.
func (c *conversation) on(p path) flow.Proto {
	if c.proto6 != 0 && p.to.Addr().Is6() {
		return c.proto6
	}
	return c.proto
}

var conversations = []conversation{
	{name: "tcp", proto: flow.TCP, talk: talkTCP, lastState: "TIME_WAIT", moments: []moment{
		{flow.New, "SYN_SENT", 0}, {flow.Update, "SYN_RECV", replied}, {flow.Update, "ESTABLISHED", assured},
		{flow.Update, "FIN_WAIT", assured}, {flow.Update, "CLOSE_WAIT", assured}, {flow.Update, "LAST_ACK", assured},
		{flow.Update, "TIME_WAIT", assured}, {flow.Destroy, "TIME_WAIT", assured}}},
	// Two seconds after its first packet a flow with answers is taken for more than question and answer.
	{name: "udp", proto: flow.UDP, talk: talkUDP(listenUDP), again: 2100 * time.Millisecond, moments: []moment{
		{flow.New, "", 0}, {flow.Update, "", replied}, {flow.Update, "", assured}, {flow.Destroy, "", assured}}},
	// Linux 6.18 calculates the checksum of UDP-Lite with the number of UDP, and so believes none.
	{name: "udplite", proto: flow.UDPLite, talk: talkUDP(nstest.ListenUDPLite), lax: true, moments: []moment{
		{flow.New, "", 0}, {flow.Update, "", replied}, {flow.Update, "", assured}, {flow.Destroy, "", assured}}},
	{name: "icmp", proto: flow.ICMP, proto6: flow.ICMPv6, talk: talkPing, moments: []moment{
		{flow.New, "", 0}, {flow.Update, "", replied}, {flow.Destroy, "", replied}}},
	{name: "sctp", proto: flow.SCTP, talk: talkSCTP, lastState: "ESTABLISHED", moments: []moment{
		{flow.New, "CLOSED", 0}, {flow.Update, "COOKIE_WAIT", replied}, {flow.Update, "COOKIE_ECHOED", replied},
		{flow.Update, "ESTABLISHED", assured}, {flow.Destroy, "ESTABLISHED", assured}}},
	{name: "gre", proto: flow.GRE, talk: talkRaw(47, nstest.GRE("spoor")), moments: []moment{
		{flow.New, "", 0}, {flow.Update, "", replied}, {flow.Update, "", assured}, {flow.Destroy, "", assured}}},
	{name: "unknown", proto: 200, talk: talkRaw(200, []byte("spoor")), moments: []moment{
		{flow.New, "", 0}, {flow.Update, "", replied}, {flow.Destroy, "", replied}}},
}

// TestTrafficIsTrackedAsItHappens lets client and server talk over every path, and compares what our program and our library
// tell about it with what was said.
func TestTrafficIsTrackedAsItHappens(t *testing.T) {
	t.Parallel()
	for _, c := range conversations {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.unhurried(t)
			if c.lax {
				w.Router.Sysctl("net/netfilter/nf_conntrack_checksum", "0")
			}
			h := w.watch(t, "-E\n-E -o {id,extended|xml|ktimestamp}")
			said := make(map[string]volume)
			for _, p := range paths {
				said[p.to.String()] = c.talk(t, w, p)
			}
			if c.again > 0 {
				time.Sleep(c.again)
				for _, p := range paths {
					v, more := said[p.to.String()], c.talk(t, w, p)
					said[p.to.String()] = volume{plus(v.orig, more.orig), plus(v.reply, more.reply)}
				}
			}
			w.listings(t)
			entries := w.flows(t)
			for _, p := range paths {
				wantEntry(t, w, entries, p, &c, said[p.to.String()])
			}
			if len(entries) != len(paths) {
				t.Errorf("%d entries, want %d", len(entries), len(paths))
			}
			wantChosen(t, w, &c)

			w.our.must("conntrack", "-D", "-s", "10.1.0.2")
			w.our.must("conntrack", "-D", "-s", "fd01::2")
			shown := h.end(t, len(paths))
			for _, p := range paths {
				orig, _ := p.tuples(c.on(p))
				wantEvents(t, w, h.flows[orig], p, &c, said[p.to.String()])
				wantLines(t, shown["-E"], p, &c)
			}
		})
	}
}

func plus(a, b flow.Counters) flow.Counters {
	return flow.Counters{Packets: a.Packets + b.Packets, Bytes: a.Bytes + b.Bytes}
}

// wholeStatus is what the kernel reports on a path beyond what the flow's packets make it note.
func (p path) wholeStatus(status flow.Status) flow.Status {
	return status | p.status | flow.Confirmed | flow.SrcNATDone | flow.DstNATDone
}

// wantEntry looks at the entry of a flow which is over, or idle.
func wantEntry(t *testing.T, w *world, entries map[flow.Tuple]flow.Flow, p path, c *conversation, said volume) {
	t.Helper()
	orig, reply := p.tuples(c.on(p))
	status := p.wholeStatus(c.moments[len(c.moments)-1].status)
	f, ok := entries[orig]
	if !ok {
		t.Errorf("%s: no entry for %v", p.name, orig)
		return
	}
	if got := orig.Proto.StateName(f.State); f.Reply != reply || f.Status != status || got != c.lastState {
		t.Errorf("%s: %v\n is %v %q %#x,\nwant %v %q %#x", p.name, orig, f.Reply, got, f.Status, reply, c.lastState, status)
	}
	wantCounters(t, p, &f, said)
	if start := f.Start.Time(); start.Before(w.born) || start.After(time.Now()) || f.Has.Has(flow.HasStop) {
		t.Errorf("%s: started %v, stopped %v; want a start since %v", p.name, start, f.Stop.Time(), w.born)
	}
	if got := w.entry(t, reply); got.ID != f.ID || got.Orig != orig {
		t.Errorf("%s: the reply tuple finds %v", p.name, got.Orig)
	}
}

func wantCounters(t *testing.T, p path, f *flow.Flow, said volume) {
	t.Helper()
	header := uint64(20)
	if p.to.Addr().Is6() {
		header = 40
	}
	for _, dir := range []*flow.Counters{&said.orig, &said.reply} {
		dir.Bytes += dir.Packets * header
	}
	if !f.Has.Has(flow.HasOrigCounters|flow.HasReplyCounters) || (volume{f.OrigCounters, f.ReplyCounters}) != said {
		t.Errorf("%s: %v: counted %+v and %+v, want %+v", p.name, f.Orig, f.OrigCounters, f.ReplyCounters, said)
	}
}

// wantChosen wants exactly the translated entries from the library's NAT filter and from -n, -g and -j. These do not compare IPv6
// addresses, as the original does not.
func wantChosen(t *testing.T, w *world, c *conversation) {
	t.Helper()
	for option, sides := range map[string]flow.Status{"-n": flow.SrcNAT, "-g": flow.DstNAT, "-j": flow.SrcNAT | flow.DstNAT} {
		for _, addr := range []string{"", "10.2.0.1", "10.2.0.12", "10.2.0.13", "10.1.0.2", "fd02::1", "fd02::12", "fd01::2"} {
			condition := filter.NAT{Src: sides.Has(flow.SrcNAT), Dst: sides.Has(flow.DstNAT)}
			argv := []string{"conntrack", "-L", option}
			if addr != "" {
				condition.Addr = netip.MustParseAddr(addr)
				argv = append(argv, addr)
			}
			listed := make(map[flow.Tuple]bool)
			for f, err := range w.lib.Flows(t.Context(), &filter.Filter{NAT: []filter.NAT{condition}}) {
				if err != nil {
					t.Fatal(err)
				}
				listed[f.Orig] = true
			}
			printed := w.our.must(argv...)
			lines := 0
			for _, p := range paths {
				orig, _ := p.tuples(c.on(p))
				want := chosen(p, c.on(p), condition)
				if got := listed[orig]; got != want {
					t.Errorf("library with %q: listed %v: %v, want %v", argv, orig, got, want)
				}
				if condition.Addr.Is6() {
					any := condition
					any.Addr = netip.Addr{}
					want = p.to.Addr().Is6() && chosen(p, c.on(p), any)
				}
				if want {
					lines++
				}
				if got := strings.Contains(printed, " "+written(orig)); got != want {
					t.Errorf("%q: listed %v: %v, want %v", argv, orig, got, want)
				}
			}
			if got := strings.Count(printed, "\n"); got != lines {
				t.Errorf("%q: %d lines, want %d", argv, got, lines)
			}
		}
	}
}

// chosen says whether the path's flow is one of those which are translated as wanted.
func chosen(p path, proto flow.Proto, want filter.NAT) bool {
	if !want.Addr.IsValid() && proto.Shape() == flow.ShapeICMP {
		return true // ports count, too, and here the message's type is one, which the answer does not repeat
	}
	side := func(asked bool, translated flow.Status, into netip.Addr) bool {
		return asked && p.status.Has(translated) && (!want.Addr.IsValid() || want.Addr == into)
	}
	return side(want.Src, flow.SrcNAT, p.seen.Addr()) || side(want.Dst, flow.DstNAT, p.server.Addr())
}

// wantEvents looks at what the library reported of one flow.
func wantEvents(t *testing.T, w *world, events []flow.Event, p path, c *conversation, said volume) {
	t.Helper()
	orig, reply := p.tuples(c.on(p))
	var want, got strings.Builder
	for _, m := range c.moments {
		status := p.wholeStatus(m.status)
		if m.what == flow.Destroy {
			status |= flow.Dying
		}
		fmt.Fprintf(&want, "%v %q %#x %v\n", m.what, m.state, status, reply)
	}
	last := w.born
	for _, e := range events {
		state := ""
		if e.Flow.Has.Has(flow.HasState) {
			state = orig.Proto.StateName(e.Flow.State)
		}
		fmt.Fprintf(&got, "%v %q %#x %v\n", e.Type, state, e.Flow.Status, e.Flow.Reply)
		// Only the deletion was asked for by somebody. The kernel dates its events since 6.14.
		if (e.PortID != 0) != (e.Type == flow.Destroy) || e.Time != 0 && e.Time.Time().Before(last) {
			t.Errorf("%s: %v of port %d at %v, after one of %v", p.name, e.Type, e.PortID, e.Time.Time(), last)
		}
		last = max(e.Time, flow.Timestamp(last.UnixNano())).Time()
	}
	if got.String() != want.String() {
		t.Errorf("%s: library's events of %v:\n%swant:\n%s", p.name, orig, got.String(), want.String())
		return
	}
	end := &events[len(events)-1].Flow
	wantCounters(t, p, end, said)
	lived := end.Has.Has(flow.HasStart|flow.HasStop) && end.Start.Time().After(w.born) && end.Stop >= end.Start
	if !lived || end.Stop.Time().After(time.Now()) {
		t.Errorf("%s: lived from %v to %v, want a while since %v", p.name, end.Start.Time(), end.Stop.Time(), w.born)
	}
}

// wantLines looks at what our program printed of one flow.
func wantLines(t *testing.T, shown string, p path, c *conversation) {
	t.Helper()
	proto := c.on(p)
	orig, reply := p.tuples(proto)
	name := proto.String()
	if !proto.Known() {
		name = "unknown"
	}
	var want, got strings.Builder
	for _, m := range c.moments {
		state, counters, rest := m.state, "", ""
		if state != "" {
			state += " "
		}
		if m.what == flow.Destroy {
			counters, rest = "packets=<N> bytes=<N> ", "delta-time=<D> [USERSPACE] portid=<P> "
		}
		line := fmt.Sprintf("%9s %-8s %d <T> %s%s%s", "["+m.what.String()+"]", name, proto, state, written(orig), counters)
		if m.status&flow.SeenReply == 0 {
			line += "[UNREPLIED] "
		}
		line += written(reply) + counters
		if m.status.Has(flow.Assured) {
			line += "[ASSURED] "
		}
		fmt.Fprintln(&want, strings.TrimSuffix(line+rest, " "))
	}
	for line := range strings.Lines(settled(shown)) {
		if strings.Contains(line, " "+written(orig)) {
			got.WriteString(line)
		}
	}
	if got.String() != want.String() {
		t.Errorf("%s: -E printed\n%swant\n%s", p.name, got.String(), want.String())
	}
}
