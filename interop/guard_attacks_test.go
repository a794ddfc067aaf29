//go:build linux

package interop_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/guard"
	"github.com/spoor-project/spoor/internal/nstest"
	"github.com/spoor-project/spoor/internal/render"
)

// Real programs attack, and honest people work, through a router whose connection tracking the engine of spoor guard watches. What it has to find, and
// by which rules, stands with the recordings of the same scenes, by which the engine's own tests play them again:
//
//	go test ./interop -run TestGuard -record -parallel 1

var recordPlays = flag.Bool("record", false, "write what happens in the scenes of spoor guard to its test data")

const playsDir = "../internal/guard/testdata/plays"

// yard is where a scene takes place: a client, a router with connection tracking, and a server. The server has also some of the addresses of 10.3.0.0/24; to all
// others of them it is silent.
type yard struct {
	nstest.Routed
	t testing.TB
}

func newYard(t testing.TB) *yard {
	t.Helper()
	y := &yard{Routed: nstest.NewRouted(t), t: t}
	nstest.NeedTool(t, "nft")
	y.Router.MustRun(t, "nft", "table inet watched { chain forward { type filter hook forward priority 0; ct state invalid drop; }; }")
	y.Router.Sysctl("net/netfilter/nf_conntrack_acct", "1")
	// Packets with invented sources pass, and the answers to them get lost behind the client.
	for _, dev := range []string{"all", "eth0"} {
		y.Router.Sysctl("net/ipv4/conf/"+dev+"/rp_filter", "0")
	}
	y.Router.MustRun(t, "ip", "route", "add", "default", "via", "10.1.0.2")
	y.Router.MustRun(t, "ip", "route", "add", "10.3.0.0/24", "via", "10.2.0.2")
	y.Server.MustRun(t, "ip", "route", "add", "blackhole", "10.3.0.0/24")
	for _, host := range []string{"10.3.0.5", "10.3.0.9", "10.3.0.22"} {
		y.Server.MustRun(t, "ip", "address", "add", host+"/32", "dev", "lo")
	}
	for _, at := range []string{"10.2.0.2:80", "0.0.0.0:22"} {
		nstest.ServeEcho(t, y.Server, "tcp", at)
	}
	nstest.ServeEcho(t, y.Server, "udp", "10.2.0.2:53")
	return y
}

// addresses gives a namespace so many addresses, from the first on.
func (y *yard) addresses(ns *nstest.NS, first string, count, bits int) []netip.Addr {
	y.t.Helper()
	var all []netip.Addr
	var commands strings.Builder
	for a := netip.MustParseAddr(first); len(all) < count; a = a.Next() {
		all = append(all, a)
		fmt.Fprintf(&commands, "address add %s/%d dev eth0\n", a, bits)
	}
	batch := filepath.Join(y.t.TempDir(), "addresses")
	if err := os.WriteFile(batch, []byte(commands.String()), 0o600); err != nil {
		y.t.Fatal(err)
	}
	ns.MustRun(y.t, "ip", "-batch", batch)
	return all
}

// visit is a connection that is answered, or to one that does not answer.
type visit struct {
	network  string
	from     netip.Addr
	to       string
	deadline time.Duration
}

// talk makes the visits, so many at a time. Those with a deadline are not answered.
func (y *yard) talk(ns *nstest.NS, all []visit, atOnce int) {
	y.t.Helper()
	queue := make(chan visit)
	var wg sync.WaitGroup
	for range atOnce {
		wg.Go(func() {
			for c := range queue {
				if err := converse(ns, c); (err != nil) != (c.deadline != 0) {
					y.t.Errorf("%+v: %v", c, err)
				}
			}
		})
	}
	for _, c := range all {
		queue <- c
	}
	close(queue)
	wg.Wait()
}

func converse(ns *nstest.NS, c visit) error {
	limit := c.deadline
	if limit == 0 {
		limit = 10 * time.Second
	}
	dialer := net.Dialer{Timeout: limit, KeepAlive: -1, LocalAddr: &net.TCPAddr{IP: c.from.AsSlice()}}
	if c.network == "udp" {
		dialer.LocalAddr = &net.UDPAddr{IP: c.from.AsSlice()}
	}
	dialer.SetMultipathTCP(false)
	var conn net.Conn
	var err error
	ns.Do(func() { conn, err = dialer.Dial(c.network, c.to) })
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(limit))
	message := []byte("GET / HTTP/1.1\r\nHost: www.example\r\n\r\n")
	if _, err := conn.Write(message); err != nil {
		return err
	}
	_, err = io.ReadFull(conn, message)
	return err
}

// guardScene is what happens in the yard, and what the kernel's events must show of it: otherwise it would prove nothing.
type guardScene struct {
	tool string
	play func(y *yard)
	look func(t *testing.T, s *seen)
	// reads has the table read once a second, and looked how full it is. What shows only there no recording of events has.
	reads bool
}

var guardScenes = map[string]guardScene{
	"syn-scan": {tool: "nmap", play: func(y *yard) {
		y.Client.MustRun(y.t, "nmap", "-n", "-Pn", "-sS", "-T4", "--max-retries", "0", "-p", "1-120", "10.2.0.2")
	}, look: func(t *testing.T, s *seen) {
		s.atLeast(t, "flows", s.flows, 110)
		s.atLeast(t, "refused flows", s.refused, 100)
	}},
	"syn-scan-ipv6": {tool: "nmap", play: func(y *yard) {
		y.Client.MustRun(y.t, "nmap", "-6", "-n", "-Pn", "-sS", "-T4", "--max-retries", "0", "-p", "1-60", "fd02::2")
	}, look: func(t *testing.T, s *seen) {
		s.atLeast(t, "flows", s.flows, 55)
		s.atLeast(t, "refused flows", s.refused, 50)
	}},
	"connect-scan": {tool: "nmap", play: func(y *yard) {
		y.Client.MustRun(y.t, "nmap", "-n", "-Pn", "-sT", "-T4", "--max-retries", "0", "-p", "1-100", "10.2.0.2")
	}, look: func(t *testing.T, s *seen) {
		s.atLeast(t, "flows", s.flows, 90)
		s.atLeast(t, "refused flows", s.refused, 85)
		s.atLeast(t, "completed flows", s.assured, 1)
	}},
	"udp-scan": {tool: "nmap", play: func(y *yard) {
		y.Client.MustRun(y.t, "nmap", "-n", "-Pn", "-sU", "-T4", "--max-retries", "0", "--min-rate", "40", "-p", "60-140", "10.2.0.2")
	}, look: func(t *testing.T, s *seen) {
		s.atLeast(t, "flows", s.flows, 75)
		s.atLeast(t, "flows without an answer", s.flows-s.replied, 75)
	}},
	"sweep": {tool: "nmap", play: func(y *yard) {
		y.Client.MustRun(y.t, "nmap", "-n", "-Pn", "-sS", "-T4", "--max-retries", "0", "-p", "22", "10.3.0.0/26")
	}, look: func(t *testing.T, s *seen) {
		s.atLeast(t, "flows", s.flows, 60)
		s.atLeast(t, "flows without an answer", s.flows-s.replied, 55)
		s.atLeast(t, "answered flows", s.replied, 3)
	}},
	"syn-flood": {tool: "hping3", play: func(y *yard) {
		// About one in seven of the sources it invents is none that a router passes on.
		y.Client.Run(y.t, "hping3", "-q", "-S", "-p", "80", "--rand-source", "-c", "1700", "-i", "u2000", "10.2.0.2")
	}, look: func(t *testing.T, s *seen) {
		s.atLeast(t, "flows", s.flows, 1200)
		s.atLeast(t, "half-open flows", s.flows-s.assured-s.refused, 1200)
		s.atLeast(t, "sources", len(s.sources), 1200)
	}},
	"slow-scan": {tool: "nmap", play: func(y *yard) {
		y.Client.MustRun(y.t, "nmap", "-n", "-Pn", "-sS", "--max-retries", "0", "--scan-delay", "500ms", "--max-scan-delay", "500ms", "-p", "1-24", "10.2.0.2")
	}, look: func(t *testing.T, s *seen) {
		s.atLeast(t, "flows", s.flows, 20)
		s.atLeast(t, "seconds", int(s.last.Sub(s.first)/time.Second), 8)
	}},
	"busy-web-server": {play: func(y *yard) {
		clients := y.addresses(y.Client, "10.1.0.100", 50, 24)
		var all []visit
		count := 2000
		if *recordPlays {
			count = 800 // show the same
		}
		for i := range count {
			all = append(all, visit{"tcp", clients[i*7%len(clients)], "10.2.0.2:80", 0})
		}
		y.talk(y.Client, all, 16)
	}, look: func(t *testing.T, s *seen) {
		s.atLeast(t, "completed flows", s.assured, 800)
		s.atLeast(t, "sources", len(s.sources), 50)
	}},
	"office-behind-one-address": {play: func(y *yard) {
		office := nstest.New(y.t)
		office.LoopbackUp()
		nstest.Link(y.t, nstest.End{NS: office, Dev: "eth0", Addrs: []string{"10.9.0.2/24"}}, nstest.End{NS: y.Client, Dev: "eth1", Addrs: []string{"10.9.0.1/24"}})
		office.MustRun(y.t, "ip", "route", "add", "default", "via", "10.9.0.1")
		y.Client.Sysctl("net/ipv4/ip_forward", "1")
		y.Client.MustRun(y.t, "nft", "table ip office { chain out { type nat hook postrouting priority srcnat; oifname eth0 masquerade; }; }")
		desks := y.addresses(office, "10.9.0.10", 40, 24)
		var all []visit
		for i := range 600 {
			desk := desks[i*11%len(desks)]
			all = append(all, visit{"udp", desk, "10.2.0.2:53", 0}, visit{"tcp", desk, "10.2.0.2:80", 0})
			if i%50 == 0 { // some hosts are away
				all = append(all, visit{"tcp", desk, fmt.Sprintf("10.3.0.%d:443", 100+i/50), 300 * time.Millisecond})
			}
		}
		y.talk(office, all, 16)
	}, look: func(t *testing.T, s *seen) {
		s.atLeast(t, "flows", s.flows, 1200)
		s.atLeast(t, "flows without an answer", s.flows-s.replied, 12)
		if only := []netip.Addr{netip.MustParseAddr("10.1.0.2")}; !slices.Equal(slices.Collect(maps.Keys(s.sources)), only) {
			t.Errorf("sources %v, want %v", s.sources, only)
		}
	}},
	"source-rate": {play: func(y *yard) {
		clients := y.addresses(y.Client, "10.1.0.100", 20, 24)
		var all []visit
		for i := range 500 {
			all = append(all, visit{"tcp", clients[0], "10.2.0.2:80", 0})
			if i%25 == 0 {
				all = append(all, visit{"tcp", clients[i/25], "10.2.0.2:80", 0})
			}
		}
		y.talk(y.Client, all, 16)
	}, look: func(t *testing.T, s *seen) {
		s.atLeast(t, "completed flows", s.assured, 500)
		s.atLeast(t, "flows of one source", s.sources[netip.MustParseAddr("10.1.0.100")], 500)
	}},
	"destination-rate": {play: func(y *yard) {
		clients := y.addresses(y.Client, "10.1.0.100", 100, 24)
		var all []visit
		for i := range 600 {
			all = append(all, visit{"tcp", clients[i%len(clients)], "10.2.0.2:80", 0})
			if i%20 == 0 {
				all = append(all, visit{"tcp", clients[i%len(clients)], "10.3.0.5:22", 0})
			}
		}
		y.talk(y.Client, all, 16)
	}, look: func(t *testing.T, s *seen) {
		s.atLeast(t, "completed flows", s.assured, 600)
		s.atLeast(t, "sources", len(s.sources), 100)
	}},
	"unreplied": {play: func(y *yard) {
		clients := y.addresses(y.Client, "10.1.0.100", 2, 24)
		var all []visit
		for i := range 60 {
			all = append(all, visit{"tcp", clients[0], fmt.Sprintf("10.3.0.%d:443", 100+i), 100 * time.Millisecond}, visit{"tcp", clients[1], "10.2.0.2:80", 0})
		}
		y.talk(y.Client, all, 8)
	}, look: func(t *testing.T, s *seen) {
		s.atLeast(t, "flows without an answer", s.flows-s.replied, 60)
		s.atLeast(t, "completed flows", s.assured, 60)
	}},
	"port-exhaustion": {play: func(y *yard) {
		y.Router.MustRun(y.t, "nft", "table ip exits { chain out { type nat hook postrouting priority srcnat; oifname eth1 meta l4proto tcp snat to 10.2.0.1:2000-2063; }; }")
		var all []visit
		for _, from := range y.addresses(y.Client, "10.1.0.100", 58, 24) {
			all = append(all, visit{"tcp", from, "10.2.0.2:80", 0})
		}
		y.talk(y.Client, all, 4)
	}, look: func(t *testing.T, s *seen) {
		s.atLeast(t, "completed flows", s.assured, 58)
	}},
	"upload": {play: func(y *yard) {
		y.Router.Sysctl("net/netfilter/nf_conntrack_tcp_timeout_time_wait", "1")
		clients := y.addresses(y.Client, "10.1.0.100", 10, 24)
		for i, from := range clients {
			size := 20_000
			if i == 3 {
				size = 3_000_000
			}
			if err := send(y.Client, from, "10.2.0.2:80", size); err != nil {
				y.t.Error(err)
			}
		}
	}, look: func(t *testing.T, s *seen) {
		s.atLeast(t, "completed flows", s.assured, 10)
	}},
	"hoarding": {reads: true, play: func(y *yard) {
		clients := y.addresses(y.Client, "10.1.0.100", 4, 24)
		for i := range 70 {
			from := clients[0]
			if i%7 == 0 {
				from = clients[1+i%3]
			}
			y.hold(visit{"tcp", from, "10.2.0.2:80", 0})
		}
	}, look: func(t *testing.T, s *seen) {
		s.atLeast(t, "flows of one source", s.sources[netip.MustParseAddr("10.1.0.100")], 60)
	}},
	"table-pressure": {tool: "hping3", reads: true, play: func(y *yard) {
		y.Client.Run(y.t, "hping3", "-q", "--udp", "-p", "++1", "-c", "3200", "-i", "u1000", "10.2.0.2")
	}, look: func(t *testing.T, s *seen) {
		s.atLeast(t, "flows", s.flows, 2800)
	}},
}

// send sends so many bytes to a server that sends all of it back.
func send(ns *nstest.NS, from netip.Addr, to string, size int) error {
	dialer := net.Dialer{Timeout: 10 * time.Second, LocalAddr: &net.TCPAddr{IP: from.AsSlice()}}
	dialer.SetMultipathTCP(false)
	var conn net.Conn
	var err error
	ns.Do(func() { conn, err = dialer.Dial("tcp", to) })
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	sent := make(chan error, 1)
	go func() {
		_, err := conn.Write(make([]byte, size))
		sent <- err
	}()
	_, err = io.CopyN(io.Discard, conn, int64(size))
	return errors.Join(err, <-sent)
}

// hold makes a visit that lasts until the test ends.
func (y *yard) hold(c visit) {
	y.t.Helper()
	dialer := net.Dialer{Timeout: 10 * time.Second, KeepAlive: -1, LocalAddr: &net.TCPAddr{IP: c.from.AsSlice()}}
	dialer.SetMultipathTCP(false)
	var conn net.Conn
	var err error
	y.Client.Do(func() { conn, err = dialer.Dial(c.network, c.to) })
	if err != nil {
		y.t.Fatal(err)
	}
	y.t.Cleanup(func() { conn.Close() })
}

func TestGuardFindsRealAttacksOnly(t *testing.T) {
	for name, scene := range guardScenes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if scene.tool != "" {
				nstest.NeedTool(t, scene.tool)
			}
			y := newYard(t)
			o := newOutlook(t, y, name, scene.reads)
			scene.play(y)
			o.end(scene.look)
		})
	}
}

// outlook is the engine at work, one loop as in the program.
type outlook struct {
	t      testing.TB
	name   string
	reads  bool
	engine *guard.Engine
	want   []expected
	stop   context.CancelFunc
	done   sync.WaitGroup

	mu    sync.Mutex // guards what follows
	seen  seen
	found []guard.Finding
	text  []byte // the recording
	err   error
}

// roomy is how many flows the table is said to have room for: the machine's own limit holds for all namespaces and is not the test's to know.
const roomy = 262_144

func newOutlook(t testing.TB, y *yard, name string, reads bool) *outlook {
	t.Helper()
	rules := guard.DefaultRules
	if more, err := os.ReadFile(filepath.Join(playsDir, name+".rules")); err == nil {
		rules = string(more)
	}
	parsed, err := guard.ParseRules(rules)
	if err != nil {
		t.Fatal(err)
	}
	o := &outlook{t: t, name: name, reads: reads, engine: guard.New(parsed), want: expectations(t, name)}
	client, err := conntrack.Dial(&conntrack.Options{NetNS: y.Router.Path()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	follower, err := client.Subscribe(nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(context.Background(), jobLimit)
	o.stop = stop
	t.Cleanup(func() {
		stop()
		o.done.Wait()
	})
	began := time.Now()
	read := func() error {
		o.engine.BeginReading(time.Now())
		for f, err := range client.Flows(ctx, nil) {
			if err != nil {
				return err
			}
			o.engine.Read(&f)
		}
		o.engine.EndReading(time.Now())
		usage, err := client.Count(ctx)
		o.engine.Level(time.Now(), uint32(usage.Entries), roomy)
		return err
	}
	if err := read(); err != nil {
		t.Fatal(err)
	}
	o.seen = seen{of: make(map[flow.Key]progress), sources: make(map[netip.Addr]int)}
	printer := render.NewPrinter(render.Flows, &render.Style{Format: render.JSONL})
	o.done.Go(func() {
		for e, err := range follower.Events(ctx) {
			o.do(func(now time.Time) {
				if err != nil {
					if !errors.Is(err, context.Canceled) {
						o.err = err
					}
					return
				}
				o.engine.Event(now, &e)
				o.seen.note(now, &e)
				o.text = printer.AppendEvent(o.text, &e, "", recorded.Add(now.Sub(began)))
			})
		}
	})
	o.done.Go(func() {
		for ticks := time.NewTicker(time.Second); ; {
			select {
			case <-ctx.Done():
				ticks.Stop()
				return
			case <-ticks.C:
				o.do(func(now time.Time) {
					if reads && ctx.Err() == nil {
						if err := read(); err != nil && !errors.Is(err, context.Canceled) {
							o.err = err
						}
					}
					o.found = append(o.found, o.engine.Tick(time.Now())...)
				})
			}
		}
	})
	return o
}

func (o *outlook) do(what func(now time.Time)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	what(time.Now())
}

// recorded is when all recordings begin: when they were made does not matter.
var recorded = time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)

// linger is for how long the engine may see what is not there, after it has seen what is.
const linger = 4 * time.Second

// end waits for what is to be found, and a while for what is not.
func (o *outlook) end(look func(*testing.T, *seen)) {
	t := o.t.(*testing.T)
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end) && len(o.missing()) > 0; {
		time.Sleep(50 * time.Millisecond)
	}
	time.Sleep(linger)
	o.stop()
	o.done.Wait()
	if o.err != nil {
		t.Error(o.err)
	}
	look(t, &o.seen)
	for _, m := range o.missing() {
		t.Errorf("not found: %s", m)
	}
	for _, f := range o.found {
		i := slices.IndexFunc(o.want, func(x expected) bool { return x.is(&f) })
		delay := f.Time.Sub(o.seen.first)
		t.Logf("%.1f s: %s %s %+v, offender %v, %v of %v %s, confidence %.2f", delay.Seconds(), f.Kind, f.Phase, f.Subject, f.Offender, f.Measured, f.Limit, f.Unit, f.Confidence)
		switch {
		case i < 0:
			t.Errorf("found what is not there: %s %+v", f.Kind, f.Subject)
		case f.Phase == guard.Begins && delay > 3*o.want[i].within: // the program that attacks has to share the machine; the recording is held to the time
			t.Errorf("found after %v: %s", delay, o.want[i].text)
		}
	}
	if *recordPlays && !o.reads && !t.Failed() {
		o.record()
	}
}

func (o *outlook) missing() (texts []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, x := range o.want {
		if !slices.ContainsFunc(o.found, func(f guard.Finding) bool { return x.is(&f) }) {
			texts = append(texts, x.text)
		}
	}
	return texts
}

func (o *outlook) record() {
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err == nil {
		_, err = w.Write(o.text)
	}
	if err == nil {
		err = w.Close()
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(playsDir, o.name+".jsonl.gz"), packed.Bytes(), 0o644)
	}
	if err != nil {
		o.t.Error(err)
	}
}

// expected is a finding as a line of a .want file tells it: kind, source, destination, protocol, port, and seconds from the first event
// within which it is to be found; - is none.
type expected struct {
	text    string
	kind    string
	subject guard.Subject
	within  time.Duration
}

func expectations(t testing.TB, name string) (all []expected) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(playsDir, name+".want"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		var x expected
		var src, dst, proto, port string
		var seconds int
		if _, err := fmt.Sscan(line, &x.kind, &src, &dst, &proto, &port, &seconds); err != nil {
			t.Fatalf("%s.want: %q: %v", name, line, err)
		}
		x.text, x.within = strings.TrimSpace(line), time.Duration(seconds)*time.Second
		x.subject.Source, _ = netip.ParseAddr(src)
		x.subject.Destination, _ = netip.ParseAddr(dst)
		x.subject.Proto, _ = flow.ParseProto(proto)
		fmt.Sscan(port, &x.subject.Port)
		all = append(all, x)
	}
	return all
}

func (x *expected) is(f *guard.Finding) bool {
	return f.Kind.String() == x.kind && f.Subject == x.subject
}

// seen is what the events of a scene show.
type seen struct {
	first, last                      time.Time
	flows, replied, assured, refused int
	sources                          map[netip.Addr]int // flows of each
	of                               map[flow.Key]progress
}

type progress struct{ replied, assured, refused bool }

func (s *seen) note(now time.Time, e *flow.Event) {
	if s.first.IsZero() {
		s.first = now
	}
	s.last = now
	k := e.Flow.Key()
	p := s.of[k]
	switch e.Type {
	case flow.New:
		p = progress{}
		s.flows++
		s.sources[e.Flow.Orig.Src]++
	case flow.Destroy:
		// An entry whose only answer is a reset is removed at once, without another event.
		if !p.replied && !p.refused && e.Flow.Orig.Proto == flow.TCP {
			s.refused++
		}
		delete(s.of, k)
		return
	}
	once := func(is bool, was *bool, count *int) {
		if is && !*was {
			*was = true
			*count++
		}
	}
	once(e.Flow.Status.Has(flow.SeenReply), &p.replied, &s.replied)
	once(e.Flow.Status.Has(flow.Assured), &p.assured, &s.assured)
	once(e.Flow.State == flow.TCPClose && !e.Flow.Status.Has(flow.Assured), &p.refused, &s.refused)
	s.of[k] = p
}

func (s *seen) atLeast(t *testing.T, what string, got, want int) {
	t.Helper()
	if got < want {
		t.Errorf("%d %s, want at least %d", got, what, want)
	}
}
