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
	t := c[l.Orig:][:tupleSize]
	tuple := k.hash().add(le.Uint64(t)).add(le.Uint64(t[8:])).add(le.Uint64(t[16:])).
		add(le.Uint64(t[24:])).add(le.Uint64(t[32:])).end(tupleSize)
	id := k.hash().add(le.Uint64(rec[recordCT:])).add(le.Uint64(c[l.Master:])).
		add(le.Uint64(c[l.Net:])).add(tuple).end(4 * 8)
	// The attribute holds the number in host byte order, and is read as big-endian.
	return bits.ReverseBytes32(uint32(id))
}

// sipHash is SipHash-2-4 over whole words (Aumasson and Bernstein, 2012). It is handed
// on by value, so that it stays in registers.
type sipHash struct{ v0, v1, v2, v3 uint64 }

func (k *idKey) hash() sipHash {
	return sipHash{
		k[0] ^ 0x736f6d6570736575, k[1] ^ 0x646f72616e646f6d,
		k[0] ^ 0x6c7967656e657261, k[1] ^ 0x7465646279746573,
	}
}

func (h sipHash) round() sipHash {
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
	return h
}

func (h sipHash) add(word uint64) sipHash {
	h.v3 ^= word
	h = h.round().round()
	h.v0 ^= word
	return h
}

// end closes a message of n bytes, a multiple of eight.
func (h sipHash) end(n int) uint64 {
	h = h.add(uint64(n) << 56)
	h.v2 ^= 0xff
	h = h.round().round().round().round()
	return h.v0 ^ h.v1 ^ h.v2 ^ h.v3
}
