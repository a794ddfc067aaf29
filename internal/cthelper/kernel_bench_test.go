//go:build linux

package cthelper

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/nstest"
)

// BenchmarkKernelHelper puts our daemon and the original next to each other, with the same configuration, on a router between two hosts. Its two parts
// are what a user notices: how long a command takes that the helper reads, and how many expectations a second it can make. "nobody" is without a helper.
// It needs a kernel with CONFIG_NF_CT_NETLINK_HELPER:
//
//	interop/kernels/run ./internal/cthelper -test.run '^$' -test.bench KernelHelper -test.benchtime 3s
func BenchmarkKernelHelper(b *testing.B) {
	needHelpers(b)
	nstest.NeedTool(b, "conntrackd")
	programs := []struct{ who, path string }{{"nobody", ""}, {"ours", nstest.BuildCommand(b, "./cmd/conntrackd")}, {"theirs", "conntrackd"}}
	b.Run("command", func(b *testing.B) {
		for _, p := range programs {
			b.Run(p.who, func(b *testing.B) { benchCommand(b, p.path) })
		}
	})
	b.Run("expectations", func(b *testing.B) {
		for _, p := range programs[1:] {
			b.Run(p.who, func(b *testing.B) { benchExpectations(b, p.path) })
		}
	})
}

// attach starts a helper, if there is a program, and has a router's flows read by it.
func (s *scene) attach(b *testing.B, program string) nstest.Routed {
	b.Helper()
	r := nstest.NewRouted(b)
	rules := "table inet t { chain f { type filter hook forward priority 0; ct state established accept; }; }" // which makes the kernel track
	if program != "" {
		rules = s.rules(startDaemon(b, r.Router, s, program))
	}
	file := filepath.Join(b.TempDir(), "rules")
	if err := os.WriteFile(file, []byte(rules), 0o600); err != nil {
		b.Fatal(err)
	}
	r.Router.MustRun(b, "nft", "-f", file)
	return r
}

// busy is how long the daemon has kept a processor busy so far.
func (s *scene) busy(b *testing.B) time.Duration {
	if s.daemon == 0 {
		return 0
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.daemon))
	if err != nil {
		b.Fatal(err)
	}
	// Behind the name in parentheses come the state and ten others, then user and system time in hundredths of a second.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	user, _ := strconv.Atoi(fields[11])
	system, err := strconv.Atoi(fields[12])
	if err != nil {
		b.Fatal(err)
	}
	return time.Duration(user+system) * 10 * time.Millisecond
}

// tellBusy reports what a packet has cost the daemon.
func (s *scene) tellBusy(b *testing.B, since time.Duration, packets int) {
	if s.daemon != 0 {
		b.ReportMetric(float64((s.busy(b)-since).Microseconds())/float64(packets), "µs/packet")
	}
}

// benchCommand is a command over FTP and its answer, one after the other. Each is an expectation in place of the one before.
func benchCommand(b *testing.B, program string) {
	s := &scene{helper: "ftp", transport: flow.TCP, port: 21}
	r := s.attach(b, program)
	server := nstest.ServeEcho(b, r.Server, "tcp", "10.2.0.2:21")
	conn := nstest.Dial(b, r.Client, "tcp", netip.MustParseAddrPort(clientAddr), server)
	answers := bufio.NewReader(conn)
	begun := s.busy(b)
	n := 0
	for b.Loop() {
		n++
		conn.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := fmt.Fprintf(conn, "PORT 10,1,0,2,%d,%d\r\n", 16+n>>8&127, n&255); err != nil {
			b.Fatal(err)
		}
		if _, err := answers.ReadString('\n'); err != nil {
			b.Fatal(err)
		}
	}
	s.tellBusy(b, begun, 2*n)
	if program != "" && len(expectations(b, dial(b, r.Router))) == 0 {
		b.Error("the helper has made no expectation")
	}
}

const (
	// ahead is how many requests wait for their expectation at most; fewer than the queue has room for.
	ahead = 50
	// together is how many expectations there are at a time; a small kernel has room for 128.
	together = 100
)

// benchExpectations is requests of TFTP from many ports, each a flow with an expectation.
func benchExpectations(b *testing.B, program string) {
	s := &scene{helper: "tftp", transport: flow.UDP, port: 69}
	r := s.attach(b, program)
	made, err := dial(b, r.Router).SubscribeExpects(&conntrack.FollowOptions{Types: []flow.EventType{flow.New}})
	if err != nil {
		b.Fatal(err)
	}
	told, done := make(chan error, 1<<16), make(chan struct{})
	go func() {
		defer close(done)
		for ev, err := range made.Events(b.Context()) {
			switch {
			case b.Context().Err() != nil:
				return
			case err == nil && ev.Type == flow.Lost:
				err = errors.New("events were lost")
			}
			if told <- err; err != nil {
				return
			}
		}
	}()
	b.Cleanup(func() { <-done })
	server := netip.MustParseAddrPort("10.2.0.2:69")
	listenUDP(b, r.Server, server.String())
	wait := func() {
		select {
		case err := <-told:
			if err != nil {
				b.Fatal(err)
			}
		case <-time.After(10 * time.Second):
			b.Fatal("an expectation has not been made")
		}
	}
	// A socket for each port, opened before.
	var conns []func()
	for port := range 2 * together {
		conn := nstest.Dial(b, r.Client, "udp", netip.AddrPortFrom(netip.MustParseAddr("10.1.0.2"), uint16(10_000+port)), server)
		conns = append(conns, func() {
			conn.SetDeadline(time.Now().Add(10 * time.Second))
			if _, err := conn.Write([]byte("\x00\x01file\x00octet\x00")); err != nil {
				b.Fatal(err)
			}
		})
	}
	table := dial(b, r.Router)
	begun := s.busy(b)
	waiting, n := 0, 0
	for b.Loop() {
		if n++; n%together == 0 {
			for ; waiting > 0; waiting-- {
				wait()
			}
			// The ports are used again.
			b.StopTimer()
			if err := errors.Join(table.FlushExpects(b.Context()), table.Flush(b.Context(), nil)); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
		conns[n%len(conns)]()
		if waiting++; waiting == ahead {
			wait()
			waiting--
		}
	}
	for ; waiting > 0; waiting-- {
		wait()
	}
	s.tellBusy(b, begun, n)
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "expectations/s")
}
