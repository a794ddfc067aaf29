package capture

import (
	"net/netip"
	"slices"
	"time"
)

// streams puts the segments of TCP in order, each direction of a connection for itself, and cuts what they carry into
// messages.
type streams struct {
	split func([]byte) int
	deal  func(Payload) bool // false: no more is wanted
	lost  *Counts
	open  map[[2]netip.AddrPort]*stream
	clock uint64 // counts segments
}

const (
	maxStreams = 128
	// Segments that are ahead of a gap are kept as long as these bounds allow; then the gap was a packet that the sniffer
	// has missed.
	maxAhead      = 64
	maxAheadBytes = 1 << 18
	farAway       = 1 << 24 // sequence numbers so far apart belong to another connection with the same ports
	maxIncomplete = 1 << 16 // no message is longer
)

// stream is one direction of a connection.
type stream struct {
	src, dst netip.AddrPort
	start    uint32 // sequence number of the first byte
	next     uint32 // of the next one
	used     uint64 // when, by the clock
	ahead    []waiting
	size     int
	rest     []byte // what was read of a message whose end is missing
	lostStep bool   // where the next message begins is not known
}

// waiting is a segment that came before its turn.
type waiting struct {
	seq  uint32
	time time.Time
	data []byte
	cut  bool
}

// add takes a segment in, and reports whether more is wanted.
func (s *streams) add(at time.Time, g *segment) bool {
	key := [2]netip.AddrPort{g.src, g.dst}
	x := s.open[key]
	s.clock++
	first := g.seq
	if g.syn {
		first++
	}
	switch {
	case g.syn && (x == nil || x.start != first):
		if x != nil && !s.finish(x) {
			return false
		}
		x = s.begin(key, first)
	case g.rst:
		if x == nil {
			return true
		}
		delete(s.open, key)
		return s.finish(x)
	case len(g.data) == 0 && g.missing == 0:
		return true
	case x == nil:
		x = s.begin(key, first)
		x.lostStep = true
	}
	x.used = s.clock
	if distance := int32(first - x.next); distance > farAway || distance < -farAway {
		if !s.finish(x) {
			return false
		}
		x = s.begin(key, first)
		x.used, x.lostStep = s.clock, true
	}
	x.ahead = append(x.ahead, waiting{first, at, slices.Clone(g.data), g.missing > 0})
	x.size += len(g.data)
	slices.SortStableFunc(x.ahead, func(a, b waiting) int { return int(int32(a.seq-x.next)) - int(int32(b.seq-x.next)) })
	if more := s.drain(x); !more {
		return false
	}
	for len(x.ahead) > maxAhead || x.size > maxAheadBytes {
		s.skip(x)
		if !s.drain(x) {
			return false
		}
	}
	return true
}

func (s *streams) begin(key [2]netip.AddrPort, first uint32) *stream {
	if s.open[key] == nil && len(s.open) == maxStreams {
		var oldest [2]netip.AddrPort
		least := s.clock + 1
		for k, x := range s.open {
			if x.used < least {
				least, oldest = x.used, k
			}
		}
		s.lost.Bytes += uint64(s.open[oldest].size + len(s.open[oldest].rest))
		delete(s.open, oldest)
	}
	x := &stream{src: key[0], dst: key[1], start: first, next: first, used: s.clock}
	s.open[key] = x
	return x
}

// drain deals out what is in order.
func (s *streams) drain(x *stream) bool {
	for len(x.ahead) > 0 {
		w := x.ahead[0]
		old := int32(x.next - w.seq) // bytes that were there before
		if old < 0 {
			return true
		}
		x.ahead = slices.Delete(x.ahead, 0, 1)
		x.size -= len(w.data)
		if int(old) < len(w.data) {
			data := w.data[old:]
			x.next += uint32(len(data))
			if !s.take(x, w.time, data) {
				return false
			}
		}
		if w.cut { // what was not captured is a gap
			s.lose(x)
		}
	}
	return true
}

// skip gives up what is missing before the first segment that waits.
func (s *streams) skip(x *stream) {
	s.lose(x)
	x.next = x.ahead[0].seq
}

// lose forgets the message that was begun: its end is missing.
func (s *streams) lose(x *stream) {
	s.lost.Gaps++
	s.lost.Bytes += uint64(len(x.rest))
	x.rest, x.lostStep = nil, true
}

// take cuts bytes that follow those before into messages.
func (s *streams) take(x *stream, at time.Time, data []byte) bool {
	if x.lostStep && len(x.rest) == 0 {
		// Whoever sends message by message begins a segment with one; if this is none, the next may be.
		if s.split(data) < 0 {
			s.lost.Bytes += uint64(len(data))
			return true
		}
		x.lostStep = false
	}
	all := append(x.rest, data...)
	x.rest = nil
	n := s.split(all)
	if n < 0 || n > len(all) {
		s.lost.Bytes += uint64(len(all))
		x.lostStep = true
		return true
	}
	if rest := all[n:]; len(rest) > maxIncomplete || len(rest) > 0 && s.split(rest) < 0 {
		s.lost.Bytes += uint64(len(rest))
		x.lostStep = true
	} else if len(rest) > 0 {
		x.rest = rest // behind what is lent now
	}
	if n == 0 {
		return true
	}
	return s.deal(Payload{Time: at, Proto: TCP, Src: x.src, Dst: x.dst, Data: all[:n]})
}

// finish deals out what waits behind gaps: nothing more is coming.
func (s *streams) finish(x *stream) bool {
	for len(x.ahead) > 0 {
		s.skip(x)
		if !s.drain(x) {
			return false
		}
	}
	s.lost.Bytes += uint64(len(x.rest))
	x.rest = nil
	return true
}

// end finishes all streams.
func (s *streams) end() {
	all := make([]*stream, 0, len(s.open))
	for _, x := range s.open {
		all = append(all, x)
	}
	slices.SortFunc(all, func(a, b *stream) int { return int(int64(a.used) - int64(b.used)) })
	for _, x := range all {
		if !s.finish(x) {
			return
		}
	}
}
