package tui

import "math"

// remembered is what is kept of the flows of a part of the table between two readings: 32 bytes a place, without pointers. A part
// is small enough for a processor's own cache, so while it is read nothing is waited for.
type remembered struct {
	places    []place // hash 0 is an empty one
	used      int
	met       int    // flows that this reading has met
	now, last uint32 // numbers of this reading and of the one before; 0: there was none
}

type place struct {
	hash    uint64
	bytes   uint64
	packets uint32 // the lower half
	first   uint32 // reading that met the flow first; 0: it was there when one began to look
	seen    uint32 // reading that met it last
	// How it had changed then, in short.
	dBytes, dPackets shortened
}

// shortened is a number of which eight binary digits are kept: the upper half of a float32.
type shortened uint16

func shorten(n uint64) shortened { return shortened((math.Float32bits(float32(n)) + 1<<15) >> 16) }

func (s shortened) number() uint64 { return uint64(math.Float32frombits(uint32(s) << 16)) }

// change is how a flow has changed since the reading before.
type change struct {
	bytes, packets uint64
	first          uint32
	known          bool // the reading before has met it
	again          bool // this reading has met it already
}

// begin begins a reading, which may meet so many flows. Its number is larger than those before.
func (m *remembered) begin(number uint32, flows int) {
	m.last, m.now, m.met = m.now, number, 0
	if m.places == nil {
		m.places = make([]place, room(flows))
	}
}

// room is how many places so many flows want.
func room(flows int) int { return max(16, flows*8/5+8) }

// note notes the counters of a flow. In a baseline flows that were not met before are not new.
func (m *remembered) note(hash, bytes, packets uint64, baseline bool) (c change) {
	if m.used*4 >= len(m.places)*3 {
		m.grow(m.last)
	}
	hash = max(hash, 1)
	p := m.find(hash)
	switch {
	case p.hash == 0:
		*p = place{hash: hash, first: m.now}
		m.used++
		if baseline {
			p.first = 0
		} else {
			c.bytes, c.packets = bytes, packets
		}
	case p.seen == m.now:
		return change{again: true, first: p.first}
	case p.seen == m.last:
		c.known = true
		d := uint32(packets) - p.packets
		switch {
		case bytes >= p.bytes && d < 1<<31:
			c.bytes, c.packets = bytes-p.bytes, uint64(d)
		case !baseline: // another flow between the same ends, or counters that were set to zero
			c.bytes, c.packets = bytes, packets
		}
	case !baseline: // it had ended and is back
		p.first, c.bytes, c.packets = m.now, bytes, packets
	}
	m.met++
	p.bytes, p.packets, p.seen = bytes, uint32(packets), m.now
	p.dBytes, p.dPackets = shorten(c.bytes), shorten(c.packets)
	c.first = p.first
	return c
}

// peek is note for a reading that leaves everything as it is, and that has not begun: the changes are those that the last one noted. A flow that is
// new to it is first met by the reading of the given number.
func (m *remembered) peek(hash uint64, number uint32, baseline bool) (c change) {
	if m.used > 0 {
		if p := m.find(max(hash, 1)); p.hash != 0 && p.seen == m.now {
			return change{bytes: p.dBytes.number(), packets: p.dPackets.number(), first: p.first, known: true}
		}
	}
	if !baseline {
		c.first = number
	}
	return c
}

// find returns the place of a hash, or the empty one where it belongs.
func (m *remembered) find(hash uint64) *place {
	n := uint64(len(m.places))
	for i := (hash & 0xffffffff) * n >> 32; ; {
		p := &m.places[i]
		if p.hash == hash || p.hash == 0 {
			return p
		}
		if i++; i == n {
			i = 0
		}
	}
}

// grow makes room, and drops what no reading from since on has met.
func (m *remembered) grow(since uint32) {
	old, live := m.places, 0
	for i := range old {
		if old[i].hash != 0 && old[i].seen >= since {
			live++
		}
	}
	m.places, m.used = make([]place, room(live)), live
	for i := range old {
		if old[i].hash != 0 && old[i].seen >= since {
			*m.find(old[i].hash) = old[i]
		}
	}
}

// tidy drops, after a reading, what has ended where that is most of what is kept.
func (m *remembered) tidy() {
	if len(m.places) > 64+4*m.met {
		m.grow(m.now)
	}
}
