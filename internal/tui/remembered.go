package tui

import (
	"math"
	"sync"
)

// remembered is what is kept of each flow between sweeps: 32 bytes a place, without pointers, in shards that grow one by one.
type remembered struct{ shards [256]shard }

type shard struct {
	mu     sync.Mutex
	places []place // hash 0 is an empty one
	used   int
	met    int // flows that this sweep has met
}

type place struct {
	hash    uint64
	bytes   uint64
	packets uint32 // the lower half
	first   uint32 // sweep that met the flow first; 0: it was there when one began to look
	seen    uint32 // sweep that met it last
	// How it had changed then, in short.
	dBytes, dPackets shortened
}

// shortened is a number of which eight binary digits are kept: the upper half of a float32.
type shortened uint16

func shorten(n uint64) shortened { return shortened((math.Float32bits(float32(n)) + 1<<15) >> 16) }

func (s shortened) number() uint64 { return uint64(math.Float32frombits(uint32(s) << 16)) }

// change is how a flow has changed since the sweep before.
type change struct {
	bytes, packets uint64
	first          uint32
	known          bool // the sweep before has met it
	again          bool // this sweep has met it already
}

// note notes the counters of a flow in the sweep of that number. In a baseline flows that were not met before are not new.
func (m *remembered) note(hash, bytes, packets uint64, sweep uint32, baseline bool) change {
	if hash == 0 {
		hash = 1
	}
	s := &m.shards[hash>>56]
	s.mu.Lock() // without defer, which costs as much again
	c := s.note(hash, bytes, packets, sweep, baseline)
	s.mu.Unlock()
	return c
}

func (s *shard) note(hash, bytes, packets uint64, sweep uint32, baseline bool) (c change) {
	if s.used*4 >= len(s.places)*3 {
		s.grow(sweep)
	}
	p := s.find(hash)
	switch {
	case p.hash == 0:
		*p = place{hash: hash, first: sweep}
		s.used++
		if baseline {
			p.first = 0
		} else {
			c.bytes, c.packets = bytes, packets
		}
	case p.seen == sweep:
		return change{again: true, first: p.first}
	case p.seen == sweep-1:
		c.known = true
		d := uint32(packets) - p.packets
		switch {
		case bytes >= p.bytes && d < 1<<31:
			c.bytes, c.packets = bytes-p.bytes, uint64(d)
		case !baseline: // another flow between the same ends, or counters that were set to zero
			c.bytes, c.packets = bytes, packets
		}
	case !baseline: // it had ended and is back
		p.first, c.bytes, c.packets = sweep, bytes, packets
	}
	s.met++
	p.bytes, p.packets, p.seen = bytes, uint32(packets), sweep
	p.dBytes, p.dPackets = shorten(c.bytes), shorten(c.packets)
	c.first = p.first
	return c
}

// peek is note for a sweep that leaves everything as it is: number is that of the last sweep which did not. The changes are those
// that it noted.
func (m *remembered) peek(hash uint64, number uint32, baseline bool) (c change) {
	if hash == 0 {
		hash = 1
	}
	s := &m.shards[hash>>56]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.used > 0 {
		if p := s.find(hash); p.hash != 0 && p.seen == number {
			return change{bytes: p.dBytes.number(), packets: p.dPackets.number(), first: p.first, known: true}
		}
	}
	if !baseline {
		c.first = number + 1
	}
	return c
}

// find returns the place of a hash, or the empty one where it belongs.
func (s *shard) find(hash uint64) *place {
	n := uint64(len(s.places))
	for i := (hash & 0xffffffff) * n >> 32; ; {
		p := &s.places[i]
		if p.hash == hash || p.hash == 0 {
			return p
		}
		if i++; i == n {
			i = 0
		}
	}
}

// grow makes room, and drops what the last two sweeps have not met.
func (s *shard) grow(sweep uint32) {
	old, live := s.places, 0
	for i := range old {
		if old[i].hash != 0 && old[i].seen+1 >= sweep {
			live++
		}
	}
	s.places, s.used = make([]place, max(64, live*8/5+16)), live
	for i := range old {
		if old[i].hash != 0 && old[i].seen+1 >= sweep {
			*s.find(old[i].hash) = old[i]
		}
	}
}

// tidy drops, after a sweep, what has ended where that is most of what is kept.
func (m *remembered) tidy(sweep uint32) {
	for i := range m.shards {
		s := &m.shards[i]
		if len(s.places) > 64+4*s.met {
			s.grow(sweep + 1)
		}
		s.met = 0
	}
}

// maxGroups is how many groups are told apart. Flows come in the order of a hash, so what makes a group large is met before there
// are so many; the flows of those met later are counted as others.
const maxGroups = 3 << 17

// sums are the groups of one sweep, without pointers.
type sums struct {
	mu     sync.Mutex
	places []sum
	used   int
	others uint64
}

type sum struct {
	key              groupKey
	flows, fresh     uint32 // flows 0 is an empty place
	bytes, packets   uint64
	dBytes, dPackets uint64
}

// reset forgets all and keeps the memory.
func (s *sums) reset() {
	clear(s.places)
	s.used, s.others = 0, 0
}

// add adds the sums of one flow, or of several, to their group.
func (s *sums) add(hash uint64, one *sum) {
	if s.used*4 >= len(s.places)*3 && s.used < maxGroups {
		old := s.places
		s.places = make([]sum, max(256, len(old)*2))
		for i := range old {
			if old[i].flows > 0 {
				*s.find(keyHash(&old[i].key), &old[i].key) = old[i]
			}
		}
	}
	p := s.find(hash, &one.key)
	if p.flows == 0 {
		if s.used >= maxGroups {
			s.others += uint64(one.flows)
			return
		}
		s.used++
		*p = *one
		return
	}
	p.flows += one.flows
	p.fresh += one.fresh
	p.bytes += one.bytes
	p.packets += one.packets
	p.dBytes += one.dBytes
	p.dPackets += one.dPackets
}

// find returns the place of a key, or the empty one where it belongs. The number of places is a power of two.
func (s *sums) find(hash uint64, key *groupKey) *sum {
	mask := uint64(len(s.places) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		if p := &s.places[i]; p.flows == 0 || p.key == *key {
			return p
		}
	}
}
