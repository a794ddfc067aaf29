//go:build linux

package nstest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// serverLife ends an echo server whose test forgot it.
	serverLife = time.Minute
	// exchangeLimit bounds one conversation.
	exchangeLimit = 10 * time.Second
)

// ServeEcho starts a server which sends back what it receives; network is "udp" or "tcp", addr an address literal with port, 0
// for any. It stops when the test ends, at the latest after a minute. It returns the address it listens on.
func ServeEcho(t testing.TB, ns *NS, network, addr string) netip.AddrPort {
	t.Helper()
	var where netip.AddrPort
	ns.Do(func() {
		switch network {
		case "udp":
			conn, err := net.ListenPacket(network, addr)
			if err != nil {
				t.Fatalf("serve echo: %v", err)
			}
			where = conn.LocalAddr().(*net.UDPAddr).AddrPort()
			serve(t, conn, func() error { return echoPackets(conn) })
		case "tcp":
			lc := net.ListenConfig{KeepAlive: -1}
			lc.SetMultipathTCP(false)
			listener, err := lc.Listen(context.Background(), network, addr)
			if err != nil {
				t.Fatalf("serve echo: %v", err)
			}
			where = listener.Addr().(*net.TCPAddr).AddrPort()
			serve(t, listener, func() error { return echoStreams(listener.(*net.TCPListener)) })
		default:
			t.Fatalf("serve echo: unknown network %q", network)
		}
	})
	return where
}

// serve runs loop until the test ends, and waits for its end.
func serve(t testing.TB, c io.Closer, loop func() error) {
	var wg sync.WaitGroup
	wg.Go(func() {
		err := loop()
		if err != nil && !errors.Is(err, net.ErrClosed) && !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("echo server: %v", err)
		}
	})
	t.Cleanup(func() {
		c.Close()
		wg.Wait()
	})
}

func echoPackets(conn net.PacketConn) error {
	if err := conn.SetDeadline(time.Now().Add(serverLife)); err != nil {
		return err
	}
	buf := make([]byte, 64<<10)
	for {
		n, from, err := conn.ReadFrom(buf)
		if err == nil {
			_, err = conn.WriteTo(buf[:n], from)
		}
		// An ICMP error about an earlier answer is no reason to stop answering.
		if err != nil && !errors.Is(err, syscall.ECONNREFUSED) {
			return err
		}
	}
}

func echoStreams(listener *net.TCPListener) error {
	if err := listener.SetDeadline(time.Now().Add(serverLife)); err != nil {
		return err
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		conn, err := listener.AcceptTCP()
		if err != nil {
			return err
		}
		wg.Go(func() {
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(serverLife))
			io.Copy(conn, conn)
		})
	}
}

// Exchange sends rounds messages to an echo server, one after another, each after the answer to the last, and closes. An address
// of from which is not set leaves the choice to the kernel. A UDP message which gets lost is not sent again, so packet counts
// are exact.
func Exchange(t testing.TB, ns *NS, network string, from, to netip.AddrPort, rounds int) {
	t.Helper()
	conn := Dial(t, ns, network, from, to)
	defer conn.Close()
	message, answer := []byte("spoor"), make([]byte, len("spoor"))
	for i := range rounds {
		if _, err := conn.Write(message); err != nil {
			t.Fatalf("exchange with %s: write %d: %v", to, i, err)
		}
		if _, err := io.ReadFull(conn, answer); err != nil {
			t.Fatalf("exchange with %s: read %d: %v", to, i, err)
		}
		if !bytes.Equal(message, answer) {
			t.Fatalf("exchange with %s: sent %q, got %q", to, message, answer)
		}
	}
}

// Dial connects from inside the namespace, for tests which need a connection that stays; it is closed when the test ends.
// Reading and writing fails after a few seconds.
func Dial(t testing.TB, ns *NS, network string, from, to netip.AddrPort) net.Conn {
	t.Helper()
	// Without keep-alive only the test decides which packets there are.
	dialer := net.Dialer{Timeout: exchangeLimit, KeepAlive: -1, Control: reuseAddr}
	dialer.SetMultipathTCP(false)
	if from.IsValid() {
		switch network {
		case "udp":
			dialer.LocalAddr = net.UDPAddrFromAddrPort(from)
		case "tcp":
			dialer.LocalAddr = net.TCPAddrFromAddrPort(from)
		}
	}
	var conn net.Conn
	var err error
	ns.Do(func() { conn, err = dialer.Dial(network, to.String()) })
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(exchangeLimit))
	return conn
}

// reuseAddr lets a test use the same source port for several connections, also while the last one is in TIME_WAIT.
func reuseAddr(_, _ string, raw syscall.RawConn) error {
	var err error
	if ctl := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	}); ctl != nil {
		return ctl
	}
	return os.NewSyscallError("setsockopt SO_REUSEADDR", err)
}

// Send sends one UDP datagram and waits for nothing.
func Send(t testing.TB, ns *NS, from, to netip.AddrPort, payload string) {
	t.Helper()
	conn := Dial(t, ns, "udp", from, to)
	defer conn.Close()
	if _, err := io.WriteString(conn, payload); err != nil {
		t.Fatalf("send to %s: %v", to, err)
	}
}

// Wait polls until ok is true, and fails the test with what it waited for after a few seconds.
func Wait(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(exchangeLimit); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(fmt.Sprintf("waited %v for: %s", exchangeLimit, what))
		}
	}
}
