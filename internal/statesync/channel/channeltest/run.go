//go:build linux

package channeltest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/spoor-project/spoor/internal/statesync/channel"
)

// Transport is what can be tested: [channel.Channel], [End].
type Transport interface {
	Send(datagrams ...[]byte) error
	Receive(*channel.Batch) error
	Room() int
	Stats() channel.Stats
	Close() error
}

// Setup is where a test finds its two sides, 0 and 1.
type Setup struct {
	// Open opens a side. It may be called again after the last one was closed. The tests
	// close what they open.
	Open func(side int) Transport
	// Inject makes a stranger send bytes to a side.
	Inject func(side int, b []byte)
}

// patience is for what must happen; idle is how long nothing happens if it must not.
const (
	patience = 20 * time.Second
	idle     = 100 * time.Millisecond
)

// Message makes a message of that size in bytes, at least 2: its length, and then bytes that
// depend on the number.
func Message(size int, number byte) []byte {
	b := make([]byte, size)
	binary.BigEndian.PutUint16(b, uint16(size))
	for i := 2; i < size; i++ {
		b[i] = number + byte(i)
	}
	return b
}

// Split is [channel.Options.Split] for such messages.
func Split(b []byte) int {
	whole := 0
	for len(b)-whole >= 2 {
		n := int(binary.BigEndian.Uint16(b[whole:]))
		if n < 2 {
			return len(b)
		}
		if n > len(b)-whole {
			break
		}
		whole += n
	}
	return whole
}

// Run tests a transport; setup is called for each test.
func Run(t *testing.T, setup func(t *testing.T) Setup) {
	tests := []struct {
		name string
		test func(*testing.T, Setup)
	}{
		{"MessagesOfAllSizesArriveUnchanged", testSizes},
		{"BatchArrivesInOrder", testBatch},
		{"SentMemoryIsTheCallersAgain", testMemory},
		{"OversizeIsRefusedAlone", testOversize},
		{"CloseUnblocksTheReceiver", testClose},
		{"NothingSendsToItself", testEcho},
		{"AbsentPeerIsNoError", testAbsent},
		{"RestartedSideIsHeardAgain", testRestart},
		{"StrangersAreHeard", testStranger},
		{"StatisticsCount", testStats},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { tt.test(t, setup(t)) })
	}
}

// side is an open transport with somebody who listens.
type side struct {
	t *testing.T
	Transport
	heard chan []byte // messages; what is none comes as it is
	close func()
}

func (s Setup) open(t *testing.T, which int) *side {
	t.Helper()
	tr := s.Open(which)
	e := &side{t: t, Transport: tr, heard: make(chan []byte, 1000)}
	var wg sync.WaitGroup
	wg.Go(e.listen)
	e.close = sync.OnceFunc(func() {
		if err := tr.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		wg.Wait()
	})
	t.Cleanup(e.close)
	return e
}

func (s Setup) pair(t *testing.T) (a, b *side) { return s.open(t, 0), s.open(t, 1) }

func (e *side) listen() {
	for batch := new(channel.Batch); ; {
		err := e.Receive(batch)
		if errors.Is(err, os.ErrClosed) {
			return
		}
		if err != nil {
			e.t.Errorf("receive: %v", err)
			return
		}
		if len(batch.Datagrams) == 0 {
			e.t.Error("received nothing")
		}
		for _, d := range batch.Datagrams {
			for rest := bytes.Clone(d); len(rest) > 0; {
				n := len(rest)
				if n >= 2 {
					if size := int(binary.BigEndian.Uint16(rest)); size >= 2 && size <= n {
						n = size
					}
				}
				e.heard <- rest[:n]
				rest = rest[n:]
			}
		}
	}
}

// send fails the test if it fails.
func (e *side) send(messages ...[]byte) {
	e.t.Helper()
	if err := e.Send(messages...); err != nil {
		e.t.Fatalf("send: %v", err)
	}
}

// expect fails the test unless these messages come next.
func (e *side) expect(messages ...[]byte) {
	e.t.Helper()
	for i, want := range messages {
		select {
		case got := <-e.heard:
			if !bytes.Equal(got, want) {
				e.t.Fatalf("message %d: got %s, want %s", i, brief(got), brief(want))
			}
		case <-time.After(patience):
			e.t.Fatalf("message %d of %d bytes did not come", i, len(want))
		}
	}
}

func (e *side) expectNothing() {
	e.t.Helper()
	select {
	case got := <-e.heard:
		e.t.Fatalf("got %s, want nothing", brief(got))
	case <-time.After(idle):
	}
}

// reach sends a message again and again until it comes, and waits until the others have
// come, too.
func reach(from, to *side, message []byte) {
	from.t.Helper()
	for end := time.Now().Add(patience); ; {
		from.send(message)
		select {
		case got := <-to.heard:
			if !bytes.Equal(got, message) {
				from.t.Fatalf("got %s, want %s", brief(got), brief(message))
			}
		case <-time.After(idle / 2):
			if time.Now().After(end) {
				from.t.Fatalf("a message of %d bytes never came", len(message))
			}
			continue
		}
		for {
			select {
			case <-to.heard:
			case <-time.After(idle):
				return
			}
		}
	}
}

func brief(b []byte) string {
	const most = 16
	s := bytes.NewBuffer(nil)
	for _, c := range b[:min(len(b), most)] {
		s.WriteString(" " + string("0123456789abcdef"[c>>4]) + string("0123456789abcdef"[c&15]))
	}
	if len(b) > most {
		s.WriteString(" …")
	}
	return s.String()
}

func testSizes(t *testing.T, s Setup) {
	a, b := s.pair(t)
	for _, way := range [][2]*side{{a, b}, {b, a}} {
		for i, size := range []int{2, 3, 100, way[0].Room(), way[0].Room() + 1, 20000, maxDatagram} {
			m := Message(size, byte(i))
			way[0].send(m)
			way[1].expect(m)
		}
	}
}

func testBatch(t *testing.T, s Setup) {
	a, b := s.pair(t)
	// More than one system call takes, and sizes of which none divides another.
	var batch [][]byte
	for i := range 70 {
		batch = append(batch, Message(2+i*7, byte(i)))
	}
	a.send(batch...)
	b.expect(batch...)
	a.send()
	b.send(batch[:33]...)
	a.expect(batch[:33]...)
	b.expectNothing()
}

func testMemory(t *testing.T, s Setup) {
	a, b := s.pair(t)
	buf := make([]byte, 200)
	for i := range 10 {
		copy(buf, Message(len(buf), byte(i)))
		a.send(buf)
		clear(buf)
	}
	for i := range 10 {
		b.expect(Message(len(buf), byte(i)))
	}
}

func testOversize(t *testing.T, s Setup) {
	a, b := s.pair(t)
	first, second := Message(100, 1), Message(100, 2)
	if err := a.Send(first, make([]byte, channel.MaxSize+1), second); !errors.Is(err, syscall.EMSGSIZE) {
		t.Errorf("send %d bytes: got %v, want %v", channel.MaxSize+1, err, syscall.EMSGSIZE)
	}
	b.expect(first, second)
	b.expectNothing()
	if n := a.Stats().SendErrors; n != 1 {
		t.Errorf("%d send errors, want 1", n)
	}
}

func testClose(t *testing.T, s Setup) {
	for which := range 2 {
		e := s.Open(which)
		done := make(chan error)
		go func() { done <- e.Receive(new(channel.Batch)) }()
		select {
		case err := <-done:
			t.Errorf("receive did not wait: %v", err)
		case <-time.After(idle):
			if err := e.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
			if err := <-done; !errors.Is(err, os.ErrClosed) {
				t.Errorf("blocked receive: got %v, want %v", err, os.ErrClosed)
			}
		}
		if err := e.Close(); err != nil {
			t.Errorf("second close: %v", err)
		}
		if err := e.Receive(new(channel.Batch)); !errors.Is(err, os.ErrClosed) {
			t.Errorf("receive: got %v, want %v", err, os.ErrClosed)
		}
		if err := e.Send(Message(10, 0)); !errors.Is(err, os.ErrClosed) {
			t.Errorf("send: got %v, want %v", err, os.ErrClosed)
		}
		e.Stats()
	}
}

func testEcho(t *testing.T, s Setup) {
	a, b := s.pair(t)
	reach(a, b, Message(50, 1))
	a.expectNothing()
}

func testAbsent(t *testing.T, s Setup) {
	a := s.open(t, 0)
	for i := range 5 {
		a.send(Message(100, byte(i)))
		time.Sleep(time.Millisecond) // for an answer that nobody listens
	}
	b := s.open(t, 1)
	m := Message(100, 5)
	a.send(m)
	for end := time.After(patience); ; {
		select {
		case got := <-b.heard: // what was sent before may have waited
			if bytes.Equal(got, m) {
				return
			}
		case <-end:
			t.Fatal("the absent peer heard nothing when it had come")
		}
	}
}

func testRestart(t *testing.T, s Setup) {
	a, b := s.pair(t)
	reach(a, b, Message(50, 1))
	reach(b, a, Message(50, 2))
	b.close()
	a.send(Message(50, 3))
	b = s.open(t, 1)
	reach(b, a, Message(50, 4))
	a.send(Message(50, 5))
	for got := []byte(nil); !bytes.Equal(got, Message(50, 5)); {
		select {
		case got = <-b.heard: // perhaps number 3
		case <-time.After(patience):
			t.Fatal("the restarted side hears nothing")
		}
	}
}

func testStranger(t *testing.T, s Setup) {
	a, b := s.pair(t)
	reach(a, b, Message(50, 1))
	noise := []byte{0, 0, 1, 2, 3}
	s.Inject(1, noise)
	b.expect(noise)
	s.Inject(1, Message(60, 2))
	b.expect(Message(60, 2))
	reach(a, b, Message(50, 3))
}

func testStats(t *testing.T, s Setup) {
	a, b := s.pair(t)
	if got := a.Stats(); got.SentBytes+got.SentPackets+got.ReceivedBytes+got.ReceivedPackets+got.SendErrors+got.ReceiveErrors != 0 {
		t.Errorf("before anything: %+v", got)
	}
	batch := [][]byte{Message(100, 1), Message(200, 2), Message(300, 3)}
	a.send(batch...)
	b.expect(batch...)
	// Counting may come a moment after the bytes.
	var out, in channel.Stats
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if out, in = a.Stats(), b.Stats(); out.SentBytes == 600 && in.ReceivedBytes == 600 {
			break
		}
	}
	if out.SentBytes != 600 || out.SentPackets != 3 || out.SendErrors != 0 || out.ReceivedBytes != 0 || out.ReceivedPackets != 0 {
		t.Errorf("sender: %+v", out)
	}
	// A stream may have joined or cut them.
	if in.ReceivedBytes != 600 || in.ReceivedPackets == 0 || in.ReceiveErrors != 0 || in.SentBytes != 0 || in.SentPackets != 0 {
		t.Errorf("receiver: %+v", in)
	}
}
