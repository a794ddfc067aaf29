package conntrack

import (
	"time"

	"github.com/spoor-project/spoor/internal/nfnetlink"
)

// aheadReader reads datagrams on a goroutine of its own, a bounded number ahead of
// the consumer, so that the kernel's work and the consumer's go on at the same
// time. The consumer takes chunks from full and gives them back with release.
type aheadReader struct {
	conn *nfnetlink.Conn
	full chan chunk // never blocks the reader: it has room for all chunks there are
	free chan []byte
}

// chunk is the outcome of one read. After a chunk with err there is no other.
type chunk struct {
	data []byte
	err  error
	gap  bool   // events were lost behind data
	lost uint64 // how many, 0 if not known
}

// readAhead starts to read. While the consumer is as far behind as it may be, idle
// is called from time to time instead of read.
func readAhead(conn *nfnetlink.Conn, read func([]byte) chunk, idle func(), chunks, size int) *aheadReader {
	r := &aheadReader{conn: conn, full: make(chan chunk, chunks+1), free: make(chan []byte, chunks+1)}
	go func() {
		defer close(r.full)
		for made := 0; ; {
			var buf []byte
			select {
			case buf = <-r.free:
			default:
				if made < chunks {
					buf = make([]byte, size)
					made++
				} else {
					buf = waitFor(r.free, idle)
				}
			}
			if buf == nil {
				return
			}
			c := read(buf[:size])
			r.full <- c
			if c.err != nil {
				return
			}
		}
	}()
	return r
}

// waitFor waits for a buffer and calls idle every now and then.
func waitFor(free <-chan []byte, idle func()) []byte {
	t := time.NewTicker(10 * time.Millisecond)
	defer t.Stop()
	for {
		select {
		case buf := <-free:
			return buf
		case <-t.C:
			idle()
		}
	}
}

// release gives back a chunk that has been looked at.
func (r *aheadReader) release(c chunk) { r.free <- c.data }

// stop closes the socket and returns when the goroutine is gone.
func (r *aheadReader) stop() {
	r.conn.Close()
	r.free <- nil // in case it waits for a buffer
	for range r.full {
	}
}
