//go:build linux

package cthelper

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/nfnetlink"
	"github.com/spoor-project/spoor/internal/nstest"
)

// queued sends the packets of a hook ("output", "forward") that have a port to a queue, those to it or, with both, also those from
// it. Kernels have the queue of nftables, of iptables, or both.
func queued(t testing.TB, ns *nstest.NS, hook, transport, port string, both, bypass bool) {
	t.Helper()
	nstest.NeedTool(t, "nft")
	ends := []string{"dport", "sport"}
	if !both {
		ends = ends[:1]
	}
	// That connections are asked for has them tracked.
	table := "table inet test { chain at-" + hook + " { type filter hook " + hook + " priority 1; ct state invalid drop; "
	for _, end := range ends {
		table += fmt.Sprintf("%s %s %s queue num %d", transport, end, port, testQueue)
		if bypass {
			table += " bypass"
		}
		table += "; "
	}
	if _, _, code := ns.Run(t, "nft", table+"}; }"); code == 0 {
		return
	}
	nstest.NeedTool(t, "iptables", "ip6tables")
	for _, program := range []string{"iptables", "ip6tables"} {
		for _, end := range ends {
			argv := []string{program, "-A", strings.ToUpper(hook), "-p", transport, "--" + end, port, "-j", "NFQUEUE", "--queue-num", fmt.Sprint(testQueue)}
			if bypass {
				argv = append(argv, "--queue-bypass")
			}
			ns.MustRun(t, argv...)
		}
	}
}

// openLive opens a queue of the kernel's in ns.
func openLive(t testing.TB, ns *nstest.NS, o *QueueOptions) (*Queue, error) {
	t.Helper()
	var q *Queue
	var err error
	ns.Do(func() { q, err = OpenQueue(o) })
	if err == nil {
		t.Cleanup(func() { q.Close() })
		q.conn.SetDeadline(time.Now().Add(20 * time.Second))
	}
	return q, err
}

func live(t testing.TB, ns *nstest.NS, o *QueueOptions) *Queue {
	t.Helper()
	q, err := openLive(t, ns, o)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// answer decides on each packet until the queue is closed.
func answer(t testing.TB, q *Queue, decide func(*Delivery) Verdict) {
	t.Helper()
	var work sync.WaitGroup
	work.Go(func() {
		var d Delivery
		for {
			err := q.Next(&d)
			if errors.Is(err, os.ErrClosed) {
				return
			}
			if err != nil {
				t.Errorf("queue: %v", err)
				return
			}
			v := decide(&d)
			v.ID = d.ID
			if err := q.Decide(&v); err != nil {
				t.Errorf("verdict: %v", err)
				return
			}
		}
	})
	t.Cleanup(func() {
		q.Close()
		work.Wait()
	})
}

// listenUDP receives datagrams in ns.
func listenUDP(t testing.TB, ns *nstest.NS, addr string) net.PacketConn {
	t.Helper()
	var conn net.PacketConn
	var err error
	ns.Do(func() { conn, err = net.ListenPacket("udp", addr) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.(*net.UDPConn).SetReadBuffer(4 << 20)
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	return conn
}

func receive(t testing.TB, conn net.PacketConn) string {
	t.Helper()
	buf := make([]byte, 64<<10)
	n, _, err := conn.ReadFrom(buf)
	if err != nil {
		t.Fatal(err)
	}
	return string(buf[:n])
}

var bothFamilies = []struct{ from, to netip.AddrPort }{
	{netip.MustParseAddrPort("10.0.0.1:40000"), netip.MustParseAddrPort("10.0.0.2:69")},
	{netip.MustParseAddrPort("[fd00::1]:40000"), netip.MustParseAddrPort("[fd00::2]:69")},
}

func TestKernelQueuesPacketsAndTakesVerdicts(t *testing.T) {
	t.Parallel()
	a, b := nstest.Pair(t)
	queued(t, a, "output", "udp", "69", false, false)
	longer := strings.Repeat("longer ", 100)
	answer(t, live(t, a, &QueueOptions{Num: testQueue, WithoutFlows: true}), func(d *Delivery) (v Verdict) {
		view, err := viewPacket(d.Packet, d.Family)
		if err != nil {
			t.Errorf("%x: %v", d.Packet, err)
			return v
		}
		switch string(view.Payload()) {
		case "drop":
			v.Drop = true
		case "grow":
			if v.Packet, err = view.rebuild([]byte(longer)); err != nil {
				t.Error(err)
			}
		case "shrink it":
			if v.Packet, err = view.rebuild([]byte("x")); err != nil {
				t.Error(err)
			}
		}
		return v
	})
	for _, e := range bothFamilies {
		conn := listenUDP(t, b, e.to.String())
		for _, payload := range []string{"plain", "drop", "grow", "shrink it", "", strings.Repeat("y", 9000), "last"} {
			nstest.Send(t, a, e.from, e.to, payload)
		}
		for _, want := range []string{"plain", longer, "x", "", strings.Repeat("y", 9000), "last"} {
			if got := receive(t, conn); got != want {
				t.Errorf("%v: received %q, want %q", e.to, got, want)
			}
		}
	}
}

func TestKernelTakesRewrittenSegments(t *testing.T) {
	t.Parallel()
	a, b := nstest.Pair(t)
	queued(t, a, "output", "tcp", "2121", false, false)
	answer(t, live(t, a, &QueueOptions{Num: testQueue, WithoutFlows: true}), func(d *Delivery) (v Verdict) {
		view, err := viewPacket(d.Packet, d.Family)
		if err != nil {
			t.Errorf("%x: %v", d.Packet, err)
			return v
		}
		if i := bytes.Index(view.Payload(), []byte("before")); i >= 0 {
			if v.Packet, err = view.rebuild(apply(view.Payload(), []Patch{{i, 6, "behind"}})); err != nil {
				t.Error(err)
			}
		}
		return v
	})
	for _, e := range bothFamilies {
		to := netip.AddrPortFrom(e.to.Addr(), 2121)
		nstest.ServeEcho(t, b, "tcp", to.String())
		conn := nstest.Dial(t, a, "tcp", netip.AddrPort{}, to)
		if _, err := io.WriteString(conn, "all that is before\r\n"); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 20)
		if _, err := io.ReadFull(conn, got); err != nil || string(got) != "all that is behind\r\n" {
			t.Errorf("%v: got %q, %v", to, got, err)
		}
	}
}

// A packet without a verdict waits; those for which there is no room pass.
func TestKernelLosesNothingWhenTheQueueIsFull(t *testing.T) {
	t.Parallel()
	const room, sent = 4, 60
	a, b := nstest.Pair(t)
	queued(t, a, "output", "udp", "69", false, false)
	q := live(t, a, &QueueOptions{Num: testQueue, MaxLen: room, WithoutFlows: true})
	e := bothFamilies[0]
	conn := listenUDP(t, b, e.to.String())
	for i := range sent {
		nstest.Send(t, a, e.from, e.to, fmt.Sprint(i))
	}
	seen := map[string]int{}
	for range sent - room {
		seen[receive(t, conn)]++
	}
	if !q.Full() {
		t.Error("the queue is not full")
	}
	var log lines
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	w := newWorker(&Instance{Name: "tftp", Queue: testQueue}, protocolOf("tftp", flow.UDP), q, refuse{}, &limitedLog{log: &log})
	go func() { done <- w.run(ctx) }()
	for range room {
		seen[receive(t, conn)]++
	}
	for i := range sent {
		if n := seen[fmt.Sprint(i)]; n != 1 {
			t.Errorf("packet %d arrived %d times", i, n)
		}
	}
	if q.Full() {
		t.Error("the queue is still full")
	}
	cancel()
	q.Interrupt()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if want := fmt.Sprintf("error: queue %d is full: ", testQueue); !strings.Contains(log.String(), want) {
		t.Errorf("nobody was told:\n%s", log.String())
	}
}

func TestKernelLosesNothingWhenTheSocketIsFull(t *testing.T) {
	t.Parallel()
	const sent = 200
	a, b := nstest.Pair(t)
	queued(t, a, "output", "udp", "69", false, false)
	q := live(t, a, &QueueOptions{Num: testQueue, WithoutFlows: true})
	if _, err := q.conn.SetReadBuffer(8 << 10); err != nil {
		t.Fatal(err)
	}
	e := bothFamilies[0]
	conn := listenUDP(t, b, e.to.String())
	for i := range sent {
		nstest.Send(t, a, e.from, e.to, fmt.Sprint(i))
	}
	var log lines
	w := newWorker(&Instance{Name: "tftp", Queue: testQueue}, protocolOf("tftp", flow.UDP), q, refuse{}, &limitedLog{log: &log})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.run(ctx) }()
	seen := map[string]int{}
	for range sent {
		seen[receive(t, conn)]++
	}
	for i := range sent {
		if n := seen[fmt.Sprint(i)]; n != 1 {
			t.Errorf("packet %d arrived %d times", i, n)
		}
	}
	dropped := q.Dropped()
	cancel()
	q.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if dropped == 0 {
		t.Error("the socket had room for all")
	}
	if want := fmt.Sprintf("error: the socket of queue %d is full: ", testQueue); !strings.Contains(log.String(), want) {
		t.Errorf("nobody was told:\n%s", log.String())
	}
}

func TestKernelLosesNothingWhenTheDaemonStops(t *testing.T) {
	t.Parallel()
	const sent = 50
	a, b := nstest.Pair(t)
	queued(t, a, "output", "udp", "69", false, true)
	q := live(t, a, &QueueOptions{Num: testQueue, WithoutFlows: true})
	e := bothFamilies[0]
	conn := listenUDP(t, b, e.to.String())
	for i := range sent {
		nstest.Send(t, a, e.from, e.to, fmt.Sprint(i))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	q.Interrupt()
	if err := newWorker(&Instance{Name: "tftp"}, protocolOf("tftp", flow.UDP), q, refuse{}, &limitedLog{log: silent{}}).run(ctx); err != nil {
		t.Error(err)
	}
	q.Close()
	for i := range sent {
		if got := receive(t, conn); got != fmt.Sprint(i) {
			t.Errorf("received %q, want %d", got, i)
		}
	}
}

func TestKernelLetsPacketsPassWhenNobodyListens(t *testing.T) {
	t.Parallel()
	a, b := nstest.Pair(t)
	queued(t, a, "output", "udp", "69", false, true)
	e := bothFamilies[0]
	conn := listenUDP(t, b, e.to.String())
	nstest.Send(t, a, e.from, e.to, "before")
	q := live(t, a, &QueueOptions{Num: testQueue, WithoutFlows: true})
	nstest.Send(t, a, e.from, e.to, "waits")
	var d Delivery
	if err := q.Next(&d); err != nil {
		t.Fatal(err)
	}
	if err := q.Decide(&Verdict{ID: d.ID}); err != nil {
		t.Fatal(err)
	}
	if err := q.Flush(); err != nil {
		t.Fatal(err)
	}
	q.Close()
	// A child of another test may have the socket until it begins its program.
	nstest.Wait(t, "the end of the queue", func() bool {
		var list []byte
		a.Do(func() { list, _ = os.ReadFile("/proc/thread-self/net/netfilter/nfnetlink_queue") })
		return len(list) == 0
	})
	nstest.Send(t, a, e.from, e.to, "after")
	for _, want := range []string{"before", "waits", "after"} {
		if got := receive(t, conn); got != want {
			t.Errorf("received %q, want %q", got, want)
		}
	}
}

func TestKernelGivesAQueueToOne(t *testing.T) {
	t.Parallel()
	ns := nstest.New(t)
	live(t, ns, &QueueOptions{Num: testQueue, WithoutFlows: true})
	if _, err := openLive(t, ns, &QueueOptions{Num: testQueue, WithoutFlows: true}); !errors.Is(err, ErrQueueBind) || !errors.Is(err, syscall.EPERM) {
		t.Errorf("second: %v, want %v: %v", err, ErrQueueBind, syscall.EPERM)
	}
	live(t, ns, &QueueOptions{Num: testQueue + 1, WithoutFlows: true})
}

func TestKernelRefusesAVerdictOnNothing(t *testing.T) {
	t.Parallel()
	ns := nstest.New(t)
	q := live(t, ns, &QueueOptions{Num: testQueue, WithoutFlows: true})
	if err := q.Decide(&Verdict{ID: 4711}); err != nil {
		t.Fatal(err)
	}
	var d Delivery
	var refused *nfnetlink.Error
	if err := q.Next(&d); !errors.As(err, &refused) || refused.Errno != syscall.ENOENT {
		t.Errorf("got %v, want %v", err, syscall.ENOENT)
	}
}

// Flows come with packets where the kernel was built so, else it says that it cannot.
func TestKernelAttachesFlowsOrSaysThatItCannot(t *testing.T) {
	t.Parallel()
	a, b := nstest.Pair(t)
	queued(t, a, "output", "udp", "69", false, false)
	q, err := openLive(t, a, &QueueOptions{Num: testQueue})
	if errors.Is(err, ErrQueueConfig) && errors.Is(err, syscall.EOPNOTSUPP) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	listenUDP(t, b, "10.0.0.2:69")
	nstest.Send(t, a, bothFamilies[0].from, bothFamilies[0].to, "x")
	var d Delivery
	if err := q.Next(&d); err != nil {
		t.Fatal(err)
	}
	want := flow.Tuple{Src: bothFamilies[0].from.Addr(), SrcPort: 40000, Dst: bothFamilies[0].to.Addr(), DstPort: 69, Proto: flow.UDP}
	if !d.Tracked || d.FlowErr != nil || d.Flow.Orig != want || d.State != New {
		t.Errorf("got %+v, want a new flow %+v", d, want)
	}
}
