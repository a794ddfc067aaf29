package tally

import (
	"bytes"
	"hash/maphash"
	"slices"
)

// groups numbers keys in the order in which they come. There may be a million of them, so they lie one behind the other in one piece of memory, and
// the index can grow without looking at them.
type groups struct {
	index  []uint32 // by hash: a number and 1; 0 is none
	hashes []uint32
	ends   []uint32 // of the keys in bytes
	bytes  []byte
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

// put returns the number of a key, which is new if the key is.
func (g *groups) put(key []byte, hash uint32) (i int, isNew bool) {
	if len(g.hashes) >= len(g.index)/4*3 {
		g.grow()
	}
	mask := uint32(len(g.index) - 1)
	at := hash & mask
	for ; g.index[at] != 0; at = (at + 1) & mask {
		if i := int(g.index[at] - 1); g.hashes[i] == hash && bytes.Equal(g.key(i), key) {
			return i, false
		}
	}
	g.bytes = append(g.bytes, key...)
	g.ends = append(g.ends, uint32(len(g.bytes)))
	g.hashes = append(g.hashes, hash)
	g.index[at] = uint32(len(g.hashes))
	return len(g.hashes) - 1, true
}

// reserve makes room for n more keys of so many fields.
func (g *groups) reserve(n, fields int) {
	const usual = 6 // bytes of a field: most are addresses of IPv4, or ports
	g.hashes, g.ends, g.bytes = slices.Grow(g.hashes, n), slices.Grow(g.ends, n), slices.Grow(g.bytes, usual*fields*n)
	for n += len(g.hashes); n > len(g.index)/4*3; {
		g.grow()
	}
}

func (g *groups) grow() {
	g.index = make([]uint32, max(64, 2*len(g.index)))
	mask := uint32(len(g.index) - 1)
	for i, hash := range g.hashes {
		at := hash & mask
		for g.index[at] != 0 {
			at = (at + 1) & mask
		}
		g.index[at] = uint32(i + 1)
	}
}
