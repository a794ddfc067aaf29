package guard

import (
	"hash/maphash"

	"github.com/spoor-project/spoor/flow"
)

// stage is how far a flow has come.
type stage uint8

const (
	pending  stage = iota // its opener waits for an answer
	answered              // of TCP: the opener has completed the handshake
	failed                // it was refused
)

// half is as what a flow is counted of those half-open.
type half uint8

const (
	whole       half = iota
	unanswered       // the service has not answered
	uncompleted      // the service has, and the opener has not answered that
)

// memory remembers of each flow what is needed to count it once: 24 bytes. It knows a flow by a hash of 64 bits, so two in 2^64 pairs are taken for one.
type memory struct {
	seed    maphash.Seed
	slots   []remembered // open addressing; a zero hash is free
	used    int
	limit   int
	epoch   uint8 // of the last reading
	dropped *uint64
}

type remembered struct {
	hash     uint64
	kbytes   uint32 // of the original direction that have been counted; 4 TiB and more stay
	deadline uint32 // when it will time out, as the last reading had it; 0: it had not
	silent   uint32 // since when that has not changed
	stage    stage
	epoch    uint8 // of the last reading, or event after its beginning, that showed it
	shift    uint8 // it stands for 1<<shift flows
	half     half
}

func newMemory(limit int, dropped *uint64) *memory {
	return &memory{seed: maphash.MakeSeed(), slots: make([]remembered, 1<<10), limit: limit, dropped: dropped}
}

func (m *memory) hash(k *flow.Key) uint64 { return max(1, maphash.Comparable(m.seed, *k)) }

// find returns what is remembered of a flow, nil if nothing; it is valid until the next put or remove.
func (m *memory) find(h uint64) *remembered {
	mask := uint64(len(m.slots) - 1)
	for i := h & mask; m.slots[i].hash != 0; i = (i + 1) & mask {
		if m.slots[i].hash == h {
			return &m.slots[i]
		}
	}
	return nil
}

// put makes a place for a flow that has none; nil if all are taken.
func (m *memory) put(h uint64) *remembered {
	if m.used >= m.limit {
		*m.dropped++
		return nil
	}
	if m.used++; m.used > len(m.slots)/5*4 {
		old := m.slots
		m.slots = make([]remembered, 2*len(old))
		for i := range old {
			if old[i].hash != 0 {
				*m.vacant(old[i].hash) = old[i]
			}
		}
	}
	r := m.vacant(h)
	*r = remembered{hash: h, epoch: m.epoch}
	return r
}

func (m *memory) vacant(h uint64) *remembered {
	mask := uint64(len(m.slots) - 1)
	i := h & mask
	for m.slots[i].hash != 0 {
		i = (i + 1) & mask
	}
	return &m.slots[i]
}

// remove forgets a flow.
func (m *memory) remove(h uint64) {
	mask := uint64(len(m.slots) - 1)
	i := h & mask
	for m.slots[i].hash != h {
		if m.slots[i].hash == 0 {
			return
		}
		i = (i + 1) & mask
	}
	for j := (i + 1) & mask; m.slots[j].hash != 0; j = (j + 1) & mask {
		if home := m.slots[j].hash & mask; (j-home)&mask >= (j-i)&mask {
			m.slots[i], i = m.slots[j], j
		}
	}
	m.slots[i] = remembered{}
	m.used--
}

// sweep forgets the flows that have not been shown since the last reading began.
func (m *memory) sweep() {
	for i := 0; i < len(m.slots); i++ {
		for m.slots[i].hash != 0 && m.slots[i].epoch != m.epoch {
			m.remove(m.slots[i].hash) // another may have moved here
		}
	}
}
