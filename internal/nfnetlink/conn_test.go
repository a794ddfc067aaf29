//go:build linux

package nfnetlink_test

import (
	"errors"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spoor-project/spoor/internal/nfnetlink"
	"github.com/spoor-project/spoor/internal/nfnetlink/nfnetlinktest"
	"github.com/spoor-project/spoor/internal/nstest"
)

func TestMain(m *testing.M) { os.Exit(nstest.Main(m)) }

func pipe(t *testing.T) (*nfnetlink.Conn, *nfnetlinktest.Peer) {
	t.Helper()
	conn, peer, err := nfnetlinktest.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		peer.Close()
	})
	return conn, peer
}

func event(seq byte) []byte {
	return nfnetlinktest.Event(nfnetlink.Conntrack, seq, 0, 0, nfnetlinktest.NewBody(2, nil))
}

func TestRecvReadsOneDatagram(t *testing.T) {
	conn, peer := pipe(t)
	for i := range byte(3) {
		if err := peer.Send(event(i)); err != nil {
			t.Fatal(err)
		}
	}
	buf := make([]byte, nfnetlink.Room)
	for i := range uint8(3) {
		n, err := conn.Recv(buf)
		if err != nil {
			t.Fatal(err)
		}
		if m, rest, err := nfnetlink.Next(buf[:n]); err != nil || len(rest) != 0 || m.Kind() != i {
			t.Errorf("datagram %d: kind %d, %d bytes left, %v", i, m.Kind(), len(rest), err)
		}
	}
}

func TestRecvManyJoinsWhatIsQueued(t *testing.T) {
	conn, peer := pipe(t)
	for i := range byte(3) {
		// Odd lengths are padded, so that the next message is found.
		if err := peer.Send(event(i)[:20]); err != nil {
			t.Fatal(err)
		}
	}
	buf := make([]byte, 2*nfnetlink.Room)
	n, err := conn.RecvMany(buf)
	if err != nil {
		t.Fatal(err)
	}
	kinds := 0
	for rest := buf[:n]; len(rest) > 0; kinds++ {
		var m nfnetlink.Message
		if m, rest, err = nfnetlink.Next(rest); err != nil || int(m.Kind()) != kinds {
			t.Fatalf("message %d: kind %d, %v", kinds, m.Kind(), err)
		}
	}
	if kinds != 3 {
		t.Errorf("%d messages, want 3", kinds)
	}
	// A buffer with room for one datagram gets one.
	for range 2 {
		if err := peer.Send(event(9)); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := conn.RecvMany(buf[:nfnetlink.Room]); n != len(event(9)) || err != nil {
		t.Errorf("into the room for one: %d bytes, %v, want %d", n, err, len(event(9)))
	}
}

func TestRecvQueuedDoesNotWait(t *testing.T) {
	conn, peer := pipe(t)
	buf := make([]byte, nfnetlink.Room)
	if n, err := conn.RecvQueued(buf); n != 0 || err != nil {
		t.Errorf("empty queue: %d bytes, %v", n, err)
	}
	if err := peer.Send(event(1)); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.RecvQueued(buf); n != len(event(1)) || err != nil {
		t.Errorf("one datagram: %d bytes, %v", n, err)
	}
}

func TestADatagramThatDoesNotFitIsAnError(t *testing.T) {
	conn, peer := pipe(t)
	if err := peer.Send(event(1)); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Recv(make([]byte, 19)); n != 0 || !errors.Is(err, nfnetlink.ErrMalformed) {
		t.Errorf("got %d bytes, %v, want %v", n, err, nfnetlink.ErrMalformed)
	}
	if _, err := conn.Recv(nil); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("no buffer: %v, want %v", err, syscall.EINVAL)
	}
}

// The kernel tells an error once; it must not get lost behind data.
func TestAnErrorBehindDataIsToldNext(t *testing.T) {
	conn, peer := pipe(t)
	tooMuch := make([]byte, 3*nfnetlink.Room)
	for _, datagram := range [][]byte{event(1), tooMuch, event(2)} {
		if err := peer.Send(datagram); err != nil {
			t.Fatal(err)
		}
	}
	buf := make([]byte, 2*nfnetlink.Room)
	if n, err := conn.RecvMany(buf); n != len(event(1)) || err != nil {
		t.Errorf("first: %d bytes, %v, want %d", n, err, len(event(1)))
	}
	if n, err := conn.RecvMany(buf); n != 0 || !errors.Is(err, nfnetlink.ErrMalformed) {
		t.Errorf("then: %d bytes, %v, want %v", n, err, nfnetlink.ErrMalformed)
	}
	if n, err := conn.RecvMany(buf); n != len(event(2)) || err != nil {
		t.Errorf("at last: %d bytes, %v, want %d", n, err, len(event(2)))
	}
}

// unblocked runs recv and returns its error once end has been called.
func unblocked(t *testing.T, recv func() error, end func()) error {
	t.Helper()
	result := make(chan error, 1)
	go func() { result <- recv() }()
	time.Sleep(20 * time.Millisecond)
	end()
	select {
	case err := <-result:
		return err
	case <-time.After(5 * time.Second):
		t.Fatal("still blocked")
		return nil
	}
}

func TestCloseAndDeadlinesUnblock(t *testing.T) {
	buf := make([]byte, nfnetlink.Room)
	recv := func(c *nfnetlink.Conn) func() error {
		return func() error { _, err := c.Recv(buf); return err }
	}
	send := func(c *nfnetlink.Conn) func() error {
		return func() error {
			for { // until the queue of the peer is full, and then wait
				if err := c.Send(event(1)); err != nil {
					return err
				}
			}
		}
	}
	for name, op := range map[string]func(*nfnetlink.Conn) func() error{"receive": recv, "send": send} {
		conn, _ := pipe(t)
		if err := unblocked(t, op(conn), func() { conn.SetDeadline(time.Unix(1, 0)) }); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: %v, want %v", name, err, os.ErrDeadlineExceeded)
		}
		conn.SetDeadline(time.Time{})
		if err := unblocked(t, op(conn), func() { conn.Close() }); !errors.Is(err, os.ErrClosed) {
			t.Errorf("%s: %v, want %v", name, err, os.ErrClosed)
		}
	}
}

func TestReceivingDoesNotAllocate(t *testing.T) {
	conn, peer := pipe(t)
	buf, msg := make([]byte, nfnetlink.Room), event(1)
	got := testing.AllocsPerRun(100, func() {
		if err := peer.Send(msg); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Recv(buf); err != nil {
			t.Fatal(err)
		}
	})
	if got > 1 { // the address of the sender
		t.Errorf("%v allocations per datagram, want at most 1", got)
	}
}

// kernel opens a real socket in a namespace of its own.
func kernel(t *testing.T, opts nfnetlink.Options) *nfnetlink.Conn {
	t.Helper()
	ns := nstest.New(t)
	file, err := os.Open(ns.Path())
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	opts.NetNS = file
	conn, err := nfnetlink.Dial(&opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	return conn
}

// statistics builds a request for the number of entries.
func statistics(seq uint32) []byte {
	var b nfnetlink.Builder
	b.Begin(nfnetlink.Conntrack, 5, nfnetlink.Ack, seq, 0, 0)
	b.End()
	return b.Bytes()
}

func TestTheKernelAnswers(t *testing.T) {
	t.Parallel()
	conn := kernel(t, nfnetlink.Options{})
	if conn.PortID() == 0 {
		t.Error("port 0")
	}
	if err := conn.Send(statistics(3)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, nfnetlink.Room)
	for i, kind := range []uint16{0x0105, 2} {
		n, err := conn.Recv(buf)
		if err != nil {
			t.Fatal(err)
		}
		if m, _, err := nfnetlink.Next(buf[:n]); err != nil || m.Type != kind || m.Seq != 3 {
			t.Errorf("answer %d: type %#x, sequence number %d, %v", i, m.Type, m.Seq, err)
		}
	}
}

// The kernel explains attributes that its policy refuses, and says where they are.
func TestTheKernelExplains(t *testing.T) {
	t.Parallel()
	conn := kernel(t, nfnetlink.Options{})
	var b nfnetlink.Builder
	b.Begin(nfnetlink.Conntrack, 1, nfnetlink.Ack, 1, 2, 0)
	b.Uint8(8, 1) // CTA_MARK has four bytes
	b.End()
	if err := conn.Send(b.Bytes()); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, nfnetlink.Room)
	n, err := conn.Recv(buf)
	if err != nil {
		t.Fatal(err)
	}
	m, _, err := nfnetlink.Next(buf[:n])
	if err != nil {
		t.Fatal(err)
	}
	_, err = m.End()
	var refused *nfnetlink.Error
	if !errors.As(err, &refused) || refused.Errno != syscall.ERANGE || !strings.Contains(refused.Text, "policy") || refused.Offset != 20 {
		t.Errorf("got %v, want ERANGE, a text and the offset 20", err)
	}
}

func TestOnlyTheKernelIsBelieved(t *testing.T) {
	t.Parallel()
	ns := nstest.New(t)
	var conn *nfnetlink.Conn
	var forger int
	ns.Do(func() {
		var err error
		if conn, err = nfnetlink.Dial(nil); err != nil {
			t.Fatal(err)
		}
		if forger, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER); err != nil {
			t.Fatal(err)
		}
	})
	defer conn.Close()
	defer unix.Close(forger)
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	forge := func() {
		if err := unix.Sendto(forger, event(1), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Pid: conn.PortID()}); err != nil {
			t.Fatal(err)
		}
	}
	forge()
	if err := conn.Send(statistics(3)); err != nil {
		t.Fatal(err)
	}
	forge()
	buf := make([]byte, nfnetlink.Room)
	for i := range 2 {
		n, err := conn.Recv(buf)
		if err != nil {
			t.Fatal(err)
		}
		if m, _, err := nfnetlink.Next(buf[:n]); err != nil || m.Seq != 3 {
			t.Errorf("message %d: %+v, %v", i, m, err)
		}
	}
	if n, err := conn.RecvQueued(buf); n != 0 || err != nil {
		t.Errorf("%d bytes, %v, want nothing more", n, err)
	}
}

func TestBuffersCanBeEnlarged(t *testing.T) {
	t.Parallel()
	conn := kernel(t, nfnetlink.Options{Groups: []nfnetlink.Group{nfnetlink.GroupNew}, NoENOBUFS: true, BroadcastError: true})
	for _, n := range []int{1 << 16, 1 << 24} {
		if size, err := conn.SetReadBuffer(n); err != nil || size != 2*n {
			t.Errorf("asked for %d: %d, %v, want double", n, size, err)
		}
		if q, err := conn.Queue(); err != nil || q != (nfnetlink.Queue{Size: 2 * n}) {
			t.Errorf("queue of %d: %+v, %v", n, q, err)
		}
	}
	if err := conn.SetWriteBuffer(1 << 20); err != nil {
		t.Error(err)
	}
	// More than the usual send buffer takes.
	var batch []byte
	for range 20_000 {
		batch = append(batch, statistics(1)...)
	}
	if err := conn.Send(batch); err != nil {
		t.Errorf("send of %d bytes: %v", len(batch), err)
	}
}

func TestDialComesBackFromTheNamespace(t *testing.T) {
	t.Parallel()
	const own = "/proc/thread-self/ns/net"
	file, err := os.Open(nstest.New(t).Path())
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				conn, err := nfnetlink.Dial(&nfnetlink.Options{NetNS: file})
				if err != nil {
					t.Error(err)
					return
				}
				conn.Close()
				if here, err := os.Readlink(own); err != nil || here != home {
					t.Errorf("after Dial in namespace %s, %v, want %s", here, err, home)
				}
			}
		})
	}
	wg.Wait()
	notNS, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer notNS.Close()
	if _, err := nfnetlink.Dial(&nfnetlink.Options{NetNS: notNS}); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("a file that is no namespace: %v, want %v", err, syscall.EINVAL)
	}
}

var home, _ = os.Readlink("/proc/self/ns/net")
