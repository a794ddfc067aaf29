//go:build linux

package nfnetlinktest_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/spoor-project/spoor/internal/nfnetlink"
	"github.com/spoor-project/spoor/internal/nfnetlink/nfnetlinktest"
)

func dial(t *testing.T, h nfnetlinktest.Handler) *nfnetlink.Conn {
	t.Helper()
	conn, err := nfnetlinktest.Dial(h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	return conn
}

// request builds a message of subsystem 1, kind 2, with one attribute.
func request(seq uint32, flags uint16) []byte {
	var b nfnetlink.Builder
	b.Begin(nfnetlink.Conntrack, 2, flags, seq, 10, 0)
	b.Uint8(4, 5)
	b.End()
	return b.Bytes()
}

// answers reads n messages.
func answers(t *testing.T, conn *nfnetlink.Conn, n int) (all []nfnetlink.Message) {
	t.Helper()
	for len(all) < n {
		buf := make([]byte, nfnetlink.Room)
		got, err := conn.Recv(buf)
		if err != nil {
			t.Fatalf("after %d of %d messages: %v", len(all), n, err)
		}
		for rest := buf[:got]; len(rest) > 0; {
			var m nfnetlink.Message
			if m, rest, err = nfnetlink.Next(rest); err != nil {
				t.Fatal(err)
			}
			all = append(all, m)
		}
	}
	return all
}

func TestHandlerSeesEachRequestOfABatch(t *testing.T) {
	conn := dial(t, func(r *nfnetlinktest.Request) [][]byte {
		if !r.Is(nfnetlink.Conntrack, 2) || r.Family() != 10 {
			t.Errorf("request of type %#x, family %d, want 0x102 and 10", r.Type, r.Family())
		}
		a := r.Attrs()
		if v, _ := a.Uint8(); !a.Next() || a.Type != 4 || len(a.Data) != 1 || a.Data[0] != 5 {
			t.Errorf("attribute %d: %d", a.Type, v)
		}
		return r.Acked()
	})
	if err := conn.Send(append(request(7, 0), request(8, nfnetlink.Ack)...)); err != nil {
		t.Fatal(err)
	}
	m := answers(t, conn, 1)[0]
	if end, err := m.End(); !end || err != nil || m.Seq != 8 {
		t.Errorf("got end %v, %v, sequence number %d, want the acknowledgement of 8", end, err, m.Seq)
	}
}

func TestMultipartSpreadsTheBodiesOverDatagrams(t *testing.T) {
	bodies := make([]nfnetlinktest.Body, 5)
	for i := range bodies {
		bodies[i] = nfnetlinktest.NewBody(2, func(b *nfnetlink.Builder) { b.Uint16(1, uint16(i)) })
	}
	datagrams := make(chan int, 1)
	conn := dial(t, func(r *nfnetlinktest.Request) [][]byte {
		all := r.Multipart(0, 2, bodies...)
		datagrams <- len(all)
		return all
	})
	if err := conn.Send(request(9, nfnetlink.Dump)); err != nil {
		t.Fatal(err)
	}
	all := answers(t, conn, 6)
	if n := <-datagrams; n != 4 {
		t.Errorf("%d datagrams, want 3 with messages and one with the end", n)
	}
	for i, m := range all {
		if m.Seq != 9 {
			t.Errorf("message %d has sequence number %d, want 9", i, m.Seq)
		}
		if i == 5 {
			if end, err := m.End(); !end || err != nil {
				t.Errorf("last message: end %v, %v, want the end", end, err)
			}
			continue
		}
		a := m.Attrs()
		a.Next()
		if v, ok := a.Uint16(); !ok || int(v) != i || m.Kind() != 0 || !m.Data() {
			t.Errorf("message %d: kind %d, value %d, %v", i, m.Kind(), v, ok)
		}
	}
}

func TestRefusalsAreToldLikeTheKernelDoes(t *testing.T) {
	tests := []struct {
		name string
		h    nfnetlinktest.Handler
		want string
	}{
		{"bare", func(r *nfnetlinktest.Request) [][]byte { return [][]byte{r.Error(syscall.EBUSY)} },
			"device or resource busy"},
		{"explained", func(r *nfnetlinktest.Request) [][]byte {
			return [][]byte{r.Explain(syscall.EINVAL, "no such thing", 20)}
		},
			"invalid argument: no such thing (at byte 20 of the request)"},
		{"explained without place", func(r *nfnetlinktest.Request) [][]byte { return [][]byte{r.Explain(syscall.EINVAL, "no", 0)} },
			"invalid argument: no"},
		{"end of a dump", func(r *nfnetlinktest.Request) [][]byte { return [][]byte{r.Done(syscall.ENOMEM)} },
			"cannot allocate memory"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			conn := dial(t, tt.h)
			if err := conn.Send(request(3, 0)); err != nil {
				t.Fatal(err)
			}
			m := answers(t, conn, 1)[0]
			if end, err := m.End(); !end || err == nil || err.Error() != tt.want || m.Seq != 3 {
				t.Errorf("got %v, %v, sequence number %d, want %q", end, err, m.Seq, tt.want)
			}
		})
	}
}

func TestClosingTheConnEndsTheGoroutine(t *testing.T) {
	before := runtime.NumGoroutine()
	silent := func(*nfnetlinktest.Request) [][]byte { return nil }
	flood := func(r *nfnetlinktest.Request) [][]byte { // more than the queue holds
		var all [][]byte
		for range 10_000 {
			all = append(all, r.Ack())
		}
		return all
	}
	for _, h := range []nfnetlinktest.Handler{silent, flood} {
		for range 10 {
			conn := dial(t, h)
			if err := conn.Send(request(1, 0)); err != nil {
				t.Fatal(err)
			}
			conn.Close()
		}
	}
	for end := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d goroutines, want %d", runtime.NumGoroutine(), before)
		}
	}
}

func TestPipeCarriesEventsAndTheEnd(t *testing.T) {
	conn, peer, err := nfnetlinktest.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	defer peer.Close()
	event := nfnetlinktest.Event(nfnetlink.Conntrack, 0, nfnetlink.Create, 77, nfnetlinktest.NewBody(2, nil))
	if err := peer.Send(event); err != nil {
		t.Fatal(err)
	}
	m := answers(t, conn, 1)[0]
	if m.PortID != 77 || m.Seq != 0 || m.Flags != nfnetlink.Create || !bytes.Equal(m.Payload, []byte{2, 0, 0, 0}) {
		t.Errorf("got %+v", m)
	}
	conn.Close()
	if n, err := peer.Recv(make([]byte, 16)); !errors.Is(err, io.EOF) {
		t.Errorf("after the Conn was closed: %d bytes, %v, want the end", n, err)
	}
	if _, err := conn.Recv(make([]byte, 16)); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Recv on the closed Conn: %v, want %v", err, os.ErrClosed)
	}
}

func TestAConnWhosePeerIsGoneFails(t *testing.T) {
	conn, peer, err := nfnetlinktest.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	peer.Close()
	for _, recv := range []func([]byte) (int, error){conn.Recv, conn.RecvMany, conn.RecvQueued} {
		if n, err := recv(make([]byte, 2*nfnetlink.Room)); n != 0 || !errors.Is(err, io.EOF) {
			t.Errorf("got %d bytes, %v, want %v", n, err, io.EOF)
		}
	}
}
