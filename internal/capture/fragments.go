package capture

import (
	"net/netip"
	"slices"
)

// fragments puts datagrams together again that were too long for the link, as a peer may send them over IPv6. What
// never becomes whole is forgotten when newer ones come.
type fragments struct {
	open []*partial // oldest first
}

// maxPartials bounds the datagrams that are waited for, each of 64 KiB at most.
const maxPartials = 64

// maxDatagram is the longest that IP can carry.
const maxDatagram = 65535

type partial struct {
	src, dst netip.Addr
	proto    uint8
	id       uint32
	pieces   []piece
	size     int // of the pieces
	total    int // of the whole; 0: the end is not there yet
}

// piece is a part of something, by where it begins.
type piece struct {
	at   int
	data []byte
}

// add takes a fragment in, and returns the datagram that it makes whole, if it does. dropped counts those that are given
// up for it.
func (f *fragments) add(d *datagram) (whole datagram, ok bool, dropped int) {
	if len(d.body) < d.length || d.offset+len(d.body) > maxDatagram { // cut, or nonsense
		return whole, false, 1
	}
	i := slices.IndexFunc(f.open, func(p *partial) bool {
		return p.src == d.src && p.dst == d.dst && p.proto == d.proto && p.id == d.id
	})
	if i < 0 {
		if len(f.open) == maxPartials {
			f.open = slices.Delete(f.open, 0, 1)
			dropped++
		}
		f.open = append(f.open, &partial{src: d.src, dst: d.dst, proto: d.proto, id: d.id})
		i = len(f.open) - 1
	}
	p := f.open[i]
	if p.size+len(d.body) > maxDatagram || len(p.pieces) == maxPieces { // repeated ones, or lies
		f.open = slices.Delete(f.open, i, i+1)
		return whole, false, dropped + 1
	}
	p.pieces = append(p.pieces, piece{d.offset, slices.Clone(d.body)})
	if p.size += len(d.body); !d.more {
		p.total = d.offset + len(d.body)
	}
	body := p.join()
	if body == nil {
		return whole, false, dropped
	}
	f.open = slices.Delete(f.open, i, i+1)
	return datagram{src: d.src, dst: d.dst, proto: d.proto, body: body, length: len(body)}, true, dropped
}

// maxPieces bounds the fragments of a datagram: a minimal MTU of IPv4 makes no more.
const maxPieces = 1 << 10

// join returns the whole, nil if something is missing.
func (p *partial) join() []byte {
	if p.total == 0 || p.size < p.total {
		return nil
	}
	slices.SortStableFunc(p.pieces, func(a, b piece) int { return a.at - b.at })
	body := make([]byte, 0, p.total)
	for _, x := range p.pieces {
		if x.at > len(body) {
			return nil
		}
		if skip := len(body) - x.at; skip < len(x.data) {
			body = append(body, x.data[skip:]...)
		}
	}
	if len(body) != p.total {
		return nil
	}
	return body
}
