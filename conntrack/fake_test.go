//go:build linux

package conntrack

import (
	"encoding/binary"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/nfnetlink"
	"github.com/spoor-project/spoor/internal/nfnetlink/nfnetlinktest"
)

// fakeClient is a Client whose kernel is h.
func fakeClient(t testing.TB, h nfnetlinktest.Handler) *Client {
	t.Helper()
	c, err := Dial(OptionsWith(func(*nfnetlink.Options) (*nfnetlink.Conn, error) { return nfnetlinktest.Dial(h) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// eventClient is a Client with the kernel's ends of its sockets, in the order in which
// they were opened. The first is that for commands.
func eventClient(t testing.TB) (*Client, <-chan *nfnetlinktest.Peer) {
	t.Helper()
	peers := make(chan *nfnetlinktest.Peer, 16)
	c, err := Dial(OptionsWith(func(*nfnetlink.Options) (*nfnetlink.Conn, error) {
		conn, peer, err := nfnetlinktest.Pipe()
		if err == nil {
			peers <- peer
		}
		return conn, err
	}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		close(peers)
		for p := range peers {
			p.Close()
		}
	})
	(<-peers).Close() // no commands will come
	return c, peers
}

// recorder keeps the requests that a fake kernel got.
type recorder struct {
	mu  sync.Mutex
	all []*nfnetlinktest.Request
}

func (r *recorder) handle(h nfnetlinktest.Handler) nfnetlinktest.Handler {
	return func(req *nfnetlinktest.Request) [][]byte {
		r.mu.Lock()
		r.all = append(r.all, req)
		r.mu.Unlock()
		return h(req)
	}
}

// take returns the requests so far and forgets them.
func (r *recorder) take() []*nfnetlinktest.Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.all
	r.all = nil
	return all
}

// succeed acknowledges everything and finds nothing.
func succeed(r *nfnetlinktest.Request) [][]byte {
	if r.Kind() != msgNew && r.Flags&nfnetlink.Dump != 0 {
		return [][]byte{r.Done(0)}
	}
	return r.Acked()
}

// body is an entry as the kernel sends it, with attributes of the test's own.
func body(fill func(*nfnetlink.Builder)) nfnetlinktest.Body {
	return nfnetlinktest.NewBody(uint8(flow.IPv4), fill)
}

// entryBody is an entry of the given tuple, with its reply.
func entryBody(orig flow.Tuple) nfnetlinktest.Body {
	return nfnetlinktest.NewBody(uint8(orig.Family()), func(b *nfnetlink.Builder) {
		inv, _ := orig.Inverse()
		appendTuple(b, ctaTupleOrig, &orig)
		appendTuple(b, ctaTupleReply, &inv)
		b.Uint32(ctaStatus, uint32(flow.Confirmed))
		b.Uint32(ctaMark, 0)
	})
}

// numbered is the i-th of many UDP tuples.
func numbered(i int) flow.Tuple {
	var addr [4]byte
	binary.BigEndian.PutUint32(addr[:], 10<<24|uint32(i))
	return flow.Tuple{Src: netip.AddrFrom4(addr), Dst: netip.MustParseAddr("192.0.2.1"), SrcPort: 1, DstPort: 2, Proto: flow.UDP}
}

func numberedBodies(n int) []nfnetlinktest.Body {
	all := make([]nfnetlinktest.Body, n)
	for i := range all {
		all[i] = entryBody(numbered(i))
	}
	return all
}

// attrsOf copies the attributes of one level by number, the last one of each.
func attrsOf(a nfnetlink.Attrs) map[uint16]nfnetlink.Attrs {
	all := map[uint16]nfnetlink.Attrs{}
	for a.Next() {
		all[a.Type] = a
	}
	return all
}

// noLeaks fails the test if, in the end, there are more goroutines or open files
// than at its beginning. Not for parallel tests.
func noLeaks(t *testing.T) {
	t.Helper()
	// The poller and the random generator of the runtime open files once.
	if c, p, err := nfnetlinktest.Pipe(); err == nil {
		c.Close()
		p.Close()
	}
	goroutines, files := runtime.NumGoroutine(), openFiles(t)
	t.Cleanup(func() {
		end := time.Now().Add(5 * time.Second)
		for runtime.NumGoroutine() > goroutines || openFiles(t) > files {
			if time.Now().After(end) {
				stacks := make([]byte, 1<<16)
				t.Fatalf("%d goroutines, %d open files, want %d and %d\n%s", runtime.NumGoroutine(), openFiles(t),
					goroutines, files, stacks[:runtime.Stack(stacks, true)])
			}
			time.Sleep(time.Millisecond)
		}
	})
}

func openFiles(t *testing.T) int {
	t.Helper()
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}
