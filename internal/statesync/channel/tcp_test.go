//go:build linux

package channel_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spoor-project/spoor/internal/nstest"
	"github.com/spoor-project/spoor/internal/statesync/channel"
	"github.com/spoor-project/spoor/internal/statesync/channel/channeltest"
)

// numbered is a message of 100 bytes that tells its number.
func numbered(i int) []byte {
	b := channeltest.Message(100, 0)
	binary.BigEndian.PutUint32(b[2:], uint32(i))
	return b
}

func number(b []byte) int { return int(binary.BigEndian.Uint32(b[2:])) }

// numbers hands out the numbers of messages in what a channel received.
func numbers(t *testing.T, heard <-chan []byte, n int) (all []int) {
	t.Helper()
	for len(all) < n {
		for rest := next(t, heard); len(rest) > 0; rest = rest[100:] {
			if len(rest) < 100 || !bytes.Equal(rest[6:100], channeltest.Message(100, 0)[6:]) {
				t.Fatalf("after %v: %d bytes that are no message", all, len(rest))
			}
			all = append(all, number(rest))
		}
	}
	return all
}

// ascending fails the test unless the numbers begin with first and go up by one.
func ascending(t *testing.T, all []int, first int) {
	t.Helper()
	for i, n := range all {
		if n != first+i {
			t.Fatalf("got %v, want numbers from %d up", all, first)
		}
	}
}

// fakePeer listens in the place of nodes[1] without being a channel.
func (l *link) fakePeer(t *testing.T, receiveBuffer int) *net.TCPListener {
	t.Helper()
	lc := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		return raw.Control(func(fd uintptr) {
			if receiveBuffer > 0 {
				unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)
			}
		})
	}}
	lc.SetMultipathTCP(false)
	o := l.options(channel.TCP, "4", 1)
	var listener net.Listener
	var err error
	l.nodes[1].Do(func() {
		listener, err = lc.Listen(context.Background(), "tcp", netip.AddrPortFrom(o.Local, o.Port).String())
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	listener.(*net.TCPListener).SetDeadline(time.Now().Add(30 * time.Second))
	return listener.(*net.TCPListener)
}

func accept(t *testing.T, listener *net.TCPListener) *net.TCPConn {
	t.Helper()
	conn, err := listener.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	return conn
}

// stranger connects to nodes[1].
func (l *link) stranger(t *testing.T) *net.TCPConn {
	t.Helper()
	o := l.options(channel.TCP, "4", 1)
	return nstest.Dial(t, l.nodes[0], "tcp", netip.AddrPort{}, netip.AddrPortFrom(o.Local, o.Port)).(*net.TCPConn)
}

func TestTCPListensAsItShould(t *testing.T) {
	t.Parallel()
	b := open(t, newLink(t).options(channel.TCP, "4", 1))
	if n, err := b.Backlog(); n != 1 || err != nil {
		t.Errorf("backlog %d, %v, want 1", n, err)
	}
	if n, err := b.Option(true, unix.SOL_SOCKET, unix.SO_KEEPALIVE); n != 1 || err != nil {
		t.Errorf("SO_KEEPALIVE %d, %v, want 1", n, err)
	}
}

func TestTCPQueueKeepsOrderAndDropsTheOldest(t *testing.T) {
	t.Parallel()
	l := newLink(t)
	o := l.options(channel.TCP, "4", 0)
	o.ErrorQueueLength = 5
	a := open(t, o)
	for i := range 4 {
		a.Send(numbered(i))
	}
	if got, want := a.Stats(), (channel.Stats{Queue: channel.Queue{Len: 4, Max: 5}}); got != want {
		t.Errorf("refused: got %+v, want %+v", got, want)
	}
	a.Send(numbered(4), numbered(5), numbered(6), numbered(7))
	if got, want := a.Stats(), (channel.Stats{Queue: channel.Queue{Len: 5, Max: 5, Dropped: 3}}); got != want {
		t.Errorf("full: got %+v, want %+v", got, want)
	}
	b := open(t, l.options(channel.TCP, "4", 1))
	heard := receiver(t, b)
	ascending(t, numbers(t, heard, 5), 3)
	a.Send(numbered(8))
	ascending(t, numbers(t, heard, 1), 8)
	want := channel.Stats{SentPackets: 6, SentBytes: 600, Server: true, Client: true, Queue: channel.Queue{Max: 5, Dropped: 3}}
	wait(t, "statistics", func() bool {
		got := a.Stats()
		got.SendErrors = 0 // on a slow machine there was a second refusal
		return got == want
	})
	if got := b.Stats(); !got.Server || !got.Client || got.ReceivedBytes != 600 || got.ReceiveErrors != 0 {
		t.Errorf("receiver: %+v", got)
	}
	if got := b.Stats().Queue.Max; got != 128 {
		t.Errorf("queue of %d by default, want 128", got)
	}
}

// The peer's address does not even answer to ARP when we start, and for longer than an
// attempt to connect may take.
func TestTCPFindsAPeerThatComesLater(t *testing.T) {
	t.Parallel()
	l := newLink(t)
	o := l.options(channel.TCP, "4", 0)
	o.Remote = netip.MustParseAddr("10.0.0.77")
	a := open(t, o)
	a.Send(numbered(0), numbered(1))
	time.Sleep(4 * time.Second)
	if s := a.Stats(); s.Client || s.Queue.Len != 2 {
		t.Errorf("without peer: %+v", s)
	}
	wait(t, "a second attempt that fails", func() bool { return a.Stats().SendErrors > 0 })
	l.nodes[1].MustRun(t, "ip", "address", "add", "10.0.0.77/24", "dev", "eth0")
	late := l.options(channel.TCP, "4", 1)
	late.Local = o.Remote
	heard := receiver(t, open(t, late))
	ascending(t, numbers(t, heard, 2), 0)
}

// The kernel would stay with one attempt for minutes, and call ever more rarely.
func TestTCPTriesAfreshWhenNobodyAnswers(t *testing.T) {
	t.Parallel()
	l := newLink(t)
	l.nodes[0].MustRun(t, "ip", "neighbour", "add", "10.0.0.2", "lladdr", "02:00:00:00:00:77", "dev", "eth0", "nud", "permanent")
	sniff := l.sniffer(t, unix.ETH_P_IP)
	a := open(t, l.options(channel.TCP, "4", 0))
	a.Send(numbered(0))
	var first [2]byte // source port
	calls := 0
	for {
		packet := sniff()
		const header, syn = 20, 2
		if len(packet) < 2*header || packet[9] != unix.IPPROTO_TCP || packet[header+13] != syn {
			continue
		}
		port := [2]byte(packet[header:])
		if calls > 0 && port != first {
			break
		}
		first = port
		// Some kernels call every second at first, others after 1, 3 and 7 seconds.
		if calls++; calls > 5 {
			t.Fatalf("called %d times in one attempt", calls)
		}
	}
}

func TestTCPConnectsOnceASecondAndOnlyToSend(t *testing.T) {
	t.Parallel()
	l := newLink(t)
	var attempts atomic.Int32
	listener := l.fakePeer(t, 0)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			attempts.Add(1)
			conn.Close()
		}
	}()
	a := open(t, l.options(channel.TCP, "4", 0))
	time.Sleep(1500 * time.Millisecond)
	if n := attempts.Load(); n != 1 {
		t.Errorf("%d attempts with nothing to send, want one", n)
	}
	const seconds = 3
	for began := time.Now(); time.Since(began) < seconds*time.Second; time.Sleep(10 * time.Millisecond) {
		a.Send(numbered(0))
	}
	if n := attempts.Load(); n < 2 || n > 1+seconds+1 {
		t.Errorf("%d attempts in %d s", n, seconds)
	}
}

func TestTCPSendsOnAnotherConnectionWhenThePeerResetsOne(t *testing.T) {
	t.Parallel()
	l := newLink(t)
	listener := l.fakePeer(t, 0)
	a := open(t, l.options(channel.TCP, "4", 0))
	for i := range 3 {
		conn := accept(t, listener)
		wait(t, "connection", func() bool { return a.Stats().Client })
		a.Send(numbered(i))
		buf := make([]byte, 100)
		if _, err := io.ReadFull(conn, buf); err != nil || number(buf) != i {
			t.Fatalf("connection %d: number %d, %v", i, number(buf), err)
		}
		conn.SetLinger(0) // close with a reset
		conn.Close()
		wait(t, "loss of the connection", func() bool { return !a.Stats().Client })
		a.Send(numbered(i + 1))
		conn = accept(t, listener)
		if _, err := io.ReadFull(conn, buf); err != nil || number(buf) != i+1 {
			t.Fatalf("connection %d: number %d, %v", i, number(buf), err)
		}
		// And this time without reset, and without anything to send.
		conn.Close()
		wait(t, "loss of the connection", func() bool { return !a.Stats().Client })
		a.Send(nil)
	}
}

// What was written of a buffer when the connection was lost is written again: a new
// connection begins with a message, not in one.
func TestTCPDoesNotTearBuffers(t *testing.T) {
	t.Parallel()
	l := newLink(t)
	listener := l.fakePeer(t, 4096)
	o := l.options(channel.TCP, "4", 0)
	o.SendBuffer = 8192
	a := open(t, o)
	first := accept(t, listener)
	wait(t, "connection", func() bool { return a.Stats().Client })
	for i := range 4 {
		a.Send(channeltest.Message(60000, byte(i)))
	}
	time.Sleep(100 * time.Millisecond) // until nothing more fits
	first.SetLinger(0)
	first.Close()
	second := accept(t, listener)
	wait(t, "connection", func() bool { return a.Stats().Client })
	buf := make([]byte, 60000)
	for i := range 4 {
		if _, err := io.ReadFull(second, buf); err != nil || !bytes.Equal(buf, channeltest.Message(60000, byte(i))) {
			t.Fatalf("message %d after the reset is not whole: %v", i, err)
		}
	}
	if s := a.Stats(); s.SendErrors != 1 {
		t.Errorf("%d send errors, want 1", s.SendErrors)
	}
}

func TestTCPWaitsForASlowPeerAndThenDrops(t *testing.T) {
	t.Parallel()
	l := newLink(t)
	listener := l.fakePeer(t, 4096)
	o := l.options(channel.TCP, "4", 0)
	o.SendBuffer, o.ErrorQueueLength = 8192, 10
	a := open(t, o)
	conn := accept(t, listener)
	wait(t, "connection", func() bool { return a.Stats().Client })
	const total = 2000
	began := time.Now()
	for i := range total {
		a.Send(numbered(i))
	}
	// Waiting for each would have taken minutes.
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("sending took %v", took)
	}
	s := a.Stats()
	if s.Queue.Len != 10 || s.Queue.Dropped == 0 || !s.Client {
		t.Errorf("peer that does not read: %+v", s)
	}
	a.Close() // sends what it still can
	conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	all, _ := io.ReadAll(conn)
	last, gaps := -1, 0
	for rest := all; len(rest) >= 100; rest = rest[100:] {
		n := number(rest)
		if n <= last {
			t.Fatalf("number %d after %d", n, last)
		}
		if n != last+1 {
			gaps += n - last - 1
		}
		last = n
	}
	if gaps > int(s.Queue.Dropped) {
		t.Errorf("%d messages are missing, %d were counted as dropped", gaps, s.Queue.Dropped)
	}
}

func TestTCPBackPressureLosesNothing(t *testing.T) {
	t.Parallel()
	l := newLink(t)
	heard := receiver(t, open(t, l.options(channel.TCP, "4", 1)))
	o := l.options(channel.TCP, "4", 0)
	o.SendBuffer, o.ErrorQueueLength = 8192, 4
	a := open(t, o)
	wait(t, "connection", func() bool { return a.Stats().Client })
	const total = 20000
	go func() {
		var batch [][]byte
		for i := range total {
			if batch = append(batch, numbered(i)); len(batch) == 50 {
				a.Send(batch...)
				batch = batch[:0]
			}
		}
	}()
	all := numbers(t, heard, total)
	ascending(t, all, 0)
	if s := a.Stats(); s.Queue.Dropped != 0 {
		t.Errorf("%+v", s)
	}
}

func TestTCPCloseSendsTheQueue(t *testing.T) {
	t.Parallel()
	l := newLink(t)
	b := open(t, l.options(channel.TCP, "4", 1))
	heard := receiver(t, b)
	for range 10 {
		o := l.options(channel.TCP, "4", 0)
		o.SendBuffer = 8192 // so that it takes several turns
		a := open(t, o)
		wait(t, "connection", func() bool { return a.Stats().Client })
		var batch [][]byte
		for i := range 120 {
			batch = append(batch, numbered(i))
		}
		a.Send(batch...)
		a.Close()
		ascending(t, numbers(t, heard, 120), 0)
		wait(t, "end of the connection", func() bool { return !b.Stats().Server })
		if s := a.Stats(); s.Client || s.SentPackets != 120 {
			t.Errorf("after close: %+v", s)
		}
	}
}

func TestTCPNewConnectionReplacesTheOld(t *testing.T) {
	t.Parallel()
	l := newLink(t)
	b := open(t, l.options(channel.TCP, "4", 1))
	heard := receiver(t, b)
	first := l.stranger(t)
	first.Write(numbered(0))
	ascending(t, numbers(t, heard, 1), 0)
	// The rest of this one must not be put before the next connection's bytes.
	first.Write(numbered(1)[:50])
	wait(t, "half a message", func() bool { return b.Stats().ReceivedBytes == 150 })
	second := l.stranger(t)
	second.Write(numbered(2))
	ascending(t, numbers(t, heard, 1), 2)
	if _, err := first.Read(make([]byte, 1)); err == nil {
		t.Error("the first connection is still there")
	}
	if s := b.Stats(); !s.Server || s.ReceiveErrors != 0 {
		t.Errorf("%+v", s)
	}
	// An end within a message is an error, a clean end is none.
	second.Write(numbered(3)[:50])
	second.CloseWrite()
	wait(t, "error", func() bool { return b.Stats().ReceiveErrors == 1 })
	wait(t, "end", func() bool { return !b.Stats().Server })
	third := l.stranger(t)
	third.Write(numbered(4))
	ascending(t, numbers(t, heard, 1), 4)
	third.Close()
	wait(t, "end", func() bool { return !b.Stats().Server })
	if n := b.Stats().ReceiveErrors; n != 1 {
		t.Errorf("%d receive errors, want 1", n)
	}
	nothing(t, heard)
}

func TestTCPMessagesAreFoundInAnySegments(t *testing.T) {
	t.Parallel()
	l := newLink(t)
	o := l.options(channel.TCP, "4", 1)
	b := open(t, o)
	heard := receiver(t, b)
	conn := l.stranger(t)
	stream := append(numbered(0), numbered(1)...)
	for _, c := range stream {
		conn.Write([]byte{c})
		time.Sleep(100 * time.Microsecond)
	}
	ascending(t, numbers(t, heard, 2), 0)
	conn.Write(channeltest.Message(65535, 1))
	if got := next(t, heard); !bytes.Equal(got, channeltest.Message(65535, 1)) {
		t.Errorf("the longest message came as %d bytes", len(got))
	}
	// Bytes that can never be a message are handed out.
	conn.Write([]byte{0, 0, 7})
	if got := next(t, heard); !bytes.Equal(got, []byte{0, 0, 7}) {
		t.Errorf("got %x", got)
	}
}

func TestTCPWithoutSplitHandsOutEverything(t *testing.T) {
	t.Parallel()
	l := newLink(t)
	o := l.options(channel.TCP, "4", 1)
	o.Split = nil
	heard := receiver(t, open(t, o))
	conn := l.stranger(t)
	conn.Write([]byte{1})
	if got := next(t, heard); !bytes.Equal(got, []byte{1}) {
		t.Errorf("got %x", got)
	}
	// And so does a Split that never finds anything, when the memory is full.
	l.port.Add(1)
	o = l.options(channel.TCP, "4", 1)
	o.Split = func([]byte) int { return 0 }
	heard = receiver(t, open(t, o))
	conn = l.stranger(t)
	conn.Write(make([]byte, 70000))
	if got := next(t, heard); len(got) != channel.MaxSize+1 {
		t.Errorf("got %d bytes, want %d", len(got), channel.MaxSize+1)
	}
}

// The peer's cable is pulled: it hears nothing of the end of our connection, nor we of
// anything. When it is back, our new connection replaces the one that it believes in.
func TestTCPSurvivesAHalfOpenConnection(t *testing.T) {
	t.Parallel()
	l := newLink(t)
	b := open(t, l.options(channel.TCP, "4", 1))
	heard := receiver(t, b)
	a := open(t, l.options(channel.TCP, "4", 0))
	a.Send(numbered(0))
	ascending(t, numbers(t, heard, 1), 0)
	l.nodes[1].MustRun(t, "ip", "link", "set", "eth0", "down")
	a.Send(numbered(1)) // lost with the connection, which had taken it
	wait(t, "the end of patience", func() bool { return !a.Stats().Client })
	if !b.Stats().Server {
		t.Error("the peer should know nothing")
	}
	a.Send(numbered(2), numbered(3))
	l.nodes[1].MustRun(t, "ip", "link", "set", "eth0", "up")
	all := numbers(t, heard, 2)
	if all[0] == 1 {
		// It waited below TCP for the neighbour's address.
		all = append(all[1:], numbers(t, heard, 3-len(all))...)
	}
	ascending(t, all, 2)
	if !b.Stats().Server || !a.Stats().Client {
		t.Errorf("%+v and %+v, want both connected", a.Stats(), b.Stats())
	}
}

// The peer restarts while the cable is pulled: it answers to our old connection with a
// reset.
func TestTCPSurvivesAPeerThatForgot(t *testing.T) {
	t.Parallel()
	l := newLink(t)
	b := open(t, l.options(channel.TCP, "4", 1))
	heard := receiver(t, b)
	a := open(t, l.options(channel.TCP, "4", 0))
	a.Send(numbered(0))
	ascending(t, numbers(t, heard, 1), 0)
	// What nodes[1] says does not leave it. Killed, a process sends a reset and its socket is
	// gone at once.
	l.nodes[1].MustRun(t, "ip", "route", "add", "blackhole", "10.0.0.1/32")
	if err := b.Reset(); err != nil {
		t.Fatal(err)
	}
	b.Close()
	l.nodes[1].MustRun(t, "ip", "route", "del", "blackhole", "10.0.0.1/32")
	heard = receiver(t, open(t, l.options(channel.TCP, "4", 1)))
	if !a.Stats().Client {
		t.Fatal("we should know nothing")
	}
	a.Send(numbered(1))
	wait(t, "the reset", func() bool { return !a.Stats().Client })
	a.Send(numbered(2))
	ascending(t, numbers(t, heard, 1), 2)
}
