//go:build linux

package interop_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/nstest"
)

// world is a router which translates addresses between a client and a server, and those who watch it.
type world struct {
	nstest.Routed
	our, their *sandbox // on the router
	lib        *conntrack.Client
	born       time.Time
}

// path is a way through the router. Its addresses tell it apart from the others, also for protocols without ports.
type path struct {
	name         string
	status       flow.Status    // SrcNAT, DstNAT
	client, to   netip.AddrPort // as the client sees the two ends
	seen, server netip.AddrPort // as the server sees them
}

// paths are all ways of translating, in both families; translating says how. Some of the translated addresses are longer than
// what they stand for, so that helpers which rewrite a text change its length.
var paths = slices.Concat(pathsOf("10.%d.0.%d"), pathsOf("fd%02d::%d"))

func pathsOf(host string) []path {
	at := func(net, n int, port uint16) netip.AddrPort {
		return netip.AddrPortFrom(netip.MustParseAddr(fmt.Sprintf(host, net, n)), port)
	}
	client := at(1, 2, 4000)
	return []path{
		{"plain", 0, client, at(2, 10, 80), client, at(2, 10, 80)},
		{"source", flow.SrcNAT, client, at(2, 11, 80), at(2, 1, 4000), at(2, 11, 80)},
		{"destination", flow.DstNAT, client, at(9, 112, 8080), client, at(2, 12, 80)},
		{"both", flow.SrcNAT | flow.DstNAT, client, at(9, 113, 8080), at(2, 1, 40000), at(2, 13, 80)},
	}
}

// translating is what the router does to packets on each of the paths: with ports where there are some, with addresses alone
// otherwise, and once in the way that leaves the address to the router.
const translating = `
	table inet nat {
		chain pre {
			type nat hook prerouting priority dstnat;
			meta l4proto { tcp, udp, udplite, sctp } ip daddr 10.9.0.112 dnat ip to 10.2.0.12:80
			meta l4proto { tcp, udp, udplite, sctp } ip daddr 10.9.0.113 dnat ip to 10.2.0.13:80
			meta l4proto { tcp, udp, udplite, sctp } ip6 daddr fd09::112 dnat ip6 to [fd02::12]:80
			meta l4proto { tcp, udp, udplite, sctp } ip6 daddr fd09::113 dnat ip6 to [fd02::13]:80
			dnat ip to ip daddr map { 10.9.0.112 : 10.2.0.12, 10.9.0.113 : 10.2.0.13 }
			dnat ip6 to ip6 daddr map { fd09::112 : fd02::12, fd09::113 : fd02::13 }
		}
		chain post {
			type nat hook postrouting priority srcnat;
			ip daddr 10.2.0.11 masquerade
			ip6 daddr fd02::11 masquerade
			meta l4proto { tcp, udp, udplite, sctp } ip daddr 10.2.0.13 snat ip to 10.2.0.1:40000
			meta l4proto { tcp, udp, udplite, sctp } ip6 daddr fd02::13 snat ip6 to [fd02::1]:40000
			ip daddr 10.2.0.13 snat ip to 10.2.0.1
			ip6 daddr fd02::13 snat ip6 to fd02::1
		}
	}`

// newWorld makes a world with counters and time stamps, in which nothing has happened yet.
func newWorld(t *testing.T) *world {
	t.Helper()
	our := ours(t)
	w := &world{Routed: nstest.NewRouted(t), born: time.Now()}
	w.our = &sandbox{t: t, ns: w.Router, dir: t.TempDir(), tool: our}
	if _, err := nstest.LookTool("conntrack"); err == nil {
		w.their = w.our.with(theirs(t))
	} else {
		w.their = w.our // the comparisons alone are idle
		t.Run("compared", func(t *testing.T) { theirs(t) })
	}
	w.Router.Sysctl("net/netfilter/nf_conntrack_acct", "1")
	w.Router.Sysctl("net/netfilter/nf_conntrack_timestamp", "1")
	patience(w.Router)
	for _, name := range []string{"gre_timeout", "gre_timeout_stream", "sctp_timeout_cookie_wait", "sctp_timeout_cookie_echoed"} {
		w.Router.Sysctl("net/netfilter/nf_conntrack_"+name, "5000")
	}
	for _, p := range paths {
		host := netip.PrefixFrom(p.server.Addr(), p.server.Addr().BitLen()).String()
		w.Server.MustRun(t, "ip", "address", "add", host, "dev", "eth0")
	}
	w.our.must("nft", translating)
	lib, err := conntrack.Dial(&conntrack.Options{NetNS: w.Router.Path()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { lib.Close() })
	w.lib = lib
	return w
}

// unhurried keeps the ends of TCP connections from repeating too early what only takes long because the machine is busy. Such
// packets would be counted, and a helper would take an announcement which is repeated for another one.
func (w *world) unhurried(t *testing.T) {
	t.Helper()
	for ns, routes := range map[*nstest.NS]string{
		w.Client: "default via 10.1.0.1|default via fd01::1",
		w.Server: "default via 10.2.0.1|default via fd02::1|10.2.0.1 dev eth0|fd02::1 dev eth0",
	} {
		for route := range strings.SplitSeq(routes, "|") {
			ns.MustRun(t, append([]string{"ip", "route", "replace"}, strings.Fields(route+" rto_min 20s")...)...)
		}
	}
}

// tuples are those of the flow which the client begins on the path.
func (p path) tuples(proto flow.Proto) (orig, reply flow.Tuple) {
	orig = flow.Tuple{Src: p.client.Addr(), Dst: p.to.Addr(), Proto: proto}
	reply = flow.Tuple{Src: p.server.Addr(), Dst: p.seen.Addr(), Proto: proto}
	switch proto {
	case flow.ICMP:
		orig.SetICMP(8, 0, p.client.Port())
		reply.SetICMP(0, 0, p.client.Port())
	case flow.ICMPv6:
		orig.SetICMP(128, 0, p.client.Port())
		reply.SetICMP(129, 0, p.client.Port())
	case flow.TCP, flow.UDP, flow.UDPLite, flow.SCTP:
		orig.SrcPort, orig.DstPort = p.client.Port(), p.to.Port()
		reply.SrcPort, reply.DstPort = p.server.Port(), p.seen.Port()
	}
	return orig, reply
}

// flows are all entries of the router's table, by original tuple.
func (w *world) flows(t testing.TB) map[flow.Tuple]flow.Flow {
	t.Helper()
	all := make(map[flow.Tuple]flow.Flow)
	for f, err := range w.lib.Flows(t.Context(), nil) {
		if err != nil {
			t.Fatal(err)
		}
		all[f.Orig] = f
	}
	return all
}

// entry is the entry of one flow.
func (w *world) entry(t testing.TB, orig flow.Tuple) flow.Flow {
	t.Helper()
	f, err := w.lib.Get(t.Context(), orig, 0)
	if err != nil {
		t.Fatalf("%v: %v", orig, err)
	}
	return f
}

// awaits waits until a flow is in a state; a packet which arrived has passed the router, but not one which nobody waits for.
func (w *world) awaits(t testing.TB, orig flow.Tuple, state string) {
	t.Helper()
	nstest.Wait(t, state, func() bool {
		f := w.entry(t, orig)
		return f.Orig.Proto.StateName(f.State) == state
	})
}

// listings wants our listings of the router's tables to be theirs.
func (w *world) listings(t *testing.T) {
	t.Helper()
	quiet(t, w.their)
	for _, argv := range commandLines(`
		-L {-o extended,id|-o xml|-o save|-o ktimestamp,labels|-f ipv4|-f ipv6}
		-L
		-L {-n|-g|-j} -o extended
		-L {-n|-g|-j} {10.2.0.1|10.2.0.12|fd02::1|fd02::12}
		-L expect
		-L expect {-o xml|-f ipv6}
		-C
	`) {
		want, got := w.their.run(job{argv: argv}), w.our.run(job{argv: argv})
		compare(t, argv, want, got, versionRules, timeRules, stampRules)
	}
}

// watch is what several followers of the router's tables saw.
type watch struct {
	w     *world
	stop  context.CancelFunc
	tools []*process // theirs and ours, for each of the lines
	lines [][]string
	done  sync.WaitGroup

	mu      sync.Mutex // guards the rest
	flows   map[flow.Tuple][]flow.Event
	expects []flow.ExpectEvent
	err     error
}

// watch begins to follow the router's tables, by library and with the given command lines of either program.
func (w *world) watch(t testing.TB, lines string) *watch {
	t.Helper()
	ctx, stop := context.WithTimeout(context.Background(), jobLimit)
	h := &watch{w: w, stop: stop, lines: commandLines(lines), flows: make(map[flow.Tuple][]flow.Event)}
	t.Cleanup(func() {
		h.stop()
		h.done.Wait()
	})
	flows, err := w.lib.Subscribe(nil)
	if err != nil {
		t.Fatal(err)
	}
	h.done.Go(func() {
		for e, err := range flows.Events(ctx) {
			h.note(err, func() { h.flows[e.Flow.Orig] = append(h.flows[e.Flow.Orig], e) })
		}
	})
	expects, err := w.lib.SubscribeExpects(nil)
	if err != nil {
		t.Fatal(err)
	}
	h.done.Go(func() {
		for e, err := range expects.Events(ctx) {
			h.note(err, func() { h.expects = append(h.expects, e) })
		}
	})
	for _, argv := range h.lines {
		h.tools = append(h.tools, w.their.begin(job{argv: argv}), w.our.begin(job{argv: argv}))
	}
	h.each((*process).follows)
	return h
}

func (h *watch) note(err error, keep func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case err == nil:
		keep()
	case !errors.Is(err, context.Canceled):
		h.err = err
	}
}

func (h *watch) each(fn func(*process)) {
	var wg sync.WaitGroup
	for _, p := range h.tools {
		wg.Go(func() { fn(p) })
	}
	wg.Wait()
}

// end waits until so many flows have been destroyed, and wants that both programs have seen the same. It returns what ours
// printed, by command line.
func (h *watch) end(t *testing.T, destroyed int) map[string]string {
	t.Helper()
	nstest.Wait(t, fmt.Sprintf("%d destroyed flows", destroyed), func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		n := 0
		for _, events := range h.flows {
			for _, e := range events {
				if e.Type == flow.Destroy {
					n++
				}
			}
		}
		return n >= destroyed || h.err != nil
	})
	h.each((*process).idles)
	h.each((*process).interrupt)
	h.stop()
	h.done.Wait()
	if h.err != nil {
		t.Error(h.err)
	}
	shown := make(map[string]string)
	for i, argv := range h.lines {
		want, got := h.tools[2*i].end(), h.tools[2*i+1].end()
		compare(t, argv, want, got, versionRules, stampRules, eventRules)
		shown[strings.Join(argv[1:], " ")] = got.stdout
	}
	return shown
}

// settled is an output without what differs from run to run.
func settled(s string) string {
	for _, rules := range [][]rule{timeRules, identityRules, eventRules, counterRules} {
		s = apply(rules, s)
	}
	return s
}

// written is a tuple as the programs print it.
func written(t flow.Tuple) string {
	s := fmt.Sprintf("src=%v dst=%v ", t.Src, t.Dst)
	switch t.Proto {
	case flow.ICMP, flow.ICMPv6:
		return s + fmt.Sprintf("type=%d code=%d id=%d ", t.DstPort>>8, t.DstPort&0xff, t.SrcPort)
	case flow.GRE:
		return s + fmt.Sprintf("srckey=0x%x dstkey=0x%x ", t.SrcPort, t.DstPort)
	case flow.TCP, flow.UDP, flow.UDPLite, flow.SCTP:
		return s + fmt.Sprintf("sport=%d dport=%d ", t.SrcPort, t.DstPort)
	}
	return s
}
