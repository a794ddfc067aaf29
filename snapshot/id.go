package snapshot

import "math/bits"

// The kernel tells a flow's identifier as a keyed hash (SipHash-2-4, see
// Documentation/security/siphash.rst) of where the entry, its master and its namespace lie
// and of its original tuple: nf_ct_get_id of net/netfilter/nf_conntrack_core.c.

// idKey is the key of that hash, made at random when the kernel first needs it.
type idKey [2]uint64

// of computes the identifier of a record.
func (k *idKey) of(rec []byte, l *layout) uint32 {
	c := rec[recordHeader:]
	var h sipHash
	h.start(k)
	for tuple := c[l.Orig:][:tupleSize]; len(tuple) > 0; tuple = tuple[8:] {
		h.add(le.Uint64(tuple))
	}
	tuple := h.end(tupleSize)

	h.start(k)
	h.add(le.Uint64(rec[recordCT:]))
	h.add(le.Uint64(c[l.Master:]))
	h.add(le.Uint64(c[l.Net:]))
	h.add(tuple)
	// The attribute holds the number in host byte order, and is read as big-endian.
	return bits.ReverseBytes32(uint32(h.end(4 * 8)))
}

// sipHash is SipHash-2-4 over whole words (Aumasson and Bernstein, 2012).
type sipHash struct{ v0, v1, v2, v3 uint64 }

func (h *sipHash) start(k *idKey) {
	h.v0 = k[0] ^ 0x736f6d6570736575
	h.v1 = k[1] ^ 0x646f72616e646f6d
	h.v2 = k[0] ^ 0x6c7967656e657261
	h.v3 = k[1] ^ 0x7465646279746573
}

func (h *sipHash) round() {
	h.v0 += h.v1
	h.v1 = bits.RotateLeft64(h.v1, 13) ^ h.v0
	h.v0 = bits.RotateLeft64(h.v0, 32)
	h.v2 += h.v3
	h.v3 = bits.RotateLeft64(h.v3, 16) ^ h.v2
	h.v0 += h.v3
	h.v3 = bits.RotateLeft64(h.v3, 21) ^ h.v0
	h.v2 += h.v1
	h.v1 = bits.RotateLeft64(h.v1, 17) ^ h.v2
	h.v2 = bits.RotateLeft64(h.v2, 32)
}

func (h *sipHash) add(word uint64) {
	h.v3 ^= word
	h.round()
	h.round()
	h.v0 ^= word
}

// end closes a message of n bytes, a multiple of eight.
func (h *sipHash) end(n int) uint64 {
	h.add(uint64(n) << 56)
	h.v2 ^= 0xff
	for range 4 {
		h.round()
	}
	return h.v0 ^ h.v1 ^ h.v2 ^ h.v3
}
