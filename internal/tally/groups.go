package tally

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"slices"
)

// groups numbers keys in the order in which they come. There may be a million of them, so they lie one behind the other in one piece of memory, and
// the index can grow without looking at them. Most keys are found by looking at one slot.
type groups struct {
	index []slot   // by hash
	ends  []uint32 // of the keys in bytes
	bytes []byte
}

// slot is a place of the index.
type slot struct {
	hash   uint32
	number uint32 // and 1; 0: there is none
	head   uint64 // of the key
}

// headOf is a key of up to seven bytes with its length, or what a longer one begins with, whole being false.
func headOf(key []byte) (head uint64, whole bool) {
	var b [8]byte
	n := copy(b[:7], key)
	b[7] = 0xff
	if whole = n == len(key); whole {
		b[7] = byte(n)
	}
	return binary.LittleEndian.Uint64(b[:]), whole
}

var seed = maphash.MakeSeed()

func hashOf(key []byte) uint32 { return uint32(maphash.Bytes(seed, key) >> 32) }

// key is the key with that number. It is valid until the next put.
func (g *groups) key(i int) []byte {
	begin := uint32(0)
	if i > 0 {
		begin = g.ends[i-1]
	}
	return g.bytes[begin:g.ends[i]]
}

// fetch looks at the places where keys with these hashes would be.
func (g *groups) fetch(hashes []uint32) (seen uint64) {
	if len(g.index) == 0 {
		return 0
	}
	mask := uint32(len(g.index) - 1)
	for _, hash := range hashes {
		seen += g.index[hash&mask].head
	}
	return seen
}

// put returns the number of a key, which is new if the key is.
func (g *groups) put(key []byte, hash uint32) (i int, isNew bool) {
	if len(g.ends) >= len(g.index)/4*3 {
		g.grow()
	}
	head, whole := headOf(key)
	mask := uint32(len(g.index) - 1)
	at := hash & mask
	for ; g.index[at].number != 0; at = (at + 1) & mask {
		if s := &g.index[at]; s.hash == hash && s.head == head {
			if i := int(s.number - 1); whole || bytes.Equal(g.key(i), key) {
				return i, false
			}
		}
	}
	g.bytes = append(g.bytes, key...)
	g.ends = append(g.ends, uint32(len(g.bytes)))
	g.index[at] = slot{hash, uint32(len(g.ends)), head}
	return len(g.ends) - 1, true
}

// reserve makes room for n more keys of so many fields. The index grows with the keys: a large one for few would be spread over more memory than a
// processor's cache has.
func (g *groups) reserve(n, fields int) {
	const usual = 6 // bytes of a field: most are addresses of IPv4, or ports
	g.ends, g.bytes = slices.Grow(g.ends, n), slices.Grow(g.bytes, usual*fields*n)
}

func (g *groups) grow() {
	old := g.index
	g.index = make([]slot, max(64, 2*len(old)))
	mask := uint32(len(g.index) - 1)
	for _, s := range old {
		if s.number == 0 {
			continue
		}
		at := s.hash & mask
		for g.index[at].number != 0 {
			at = (at + 1) & mask
		}
		g.index[at] = s
	}
}
