package snapshot

import (
	"testing"
)

// The reference vectors of the paper: key 00..0f, message 00, 01, 02, ...
func TestSipHashVectors(t *testing.T) {
	key := idKey{0x0706050403020100, 0x0f0e0d0c0b0a0908}
	for n, want := range map[int]uint64{
		0: 0x726fdb47dd0e0e31, 8: 0x93f5f5799a932462, 16: 0x3f2acc7f57c29bdb, 32: 0x7127512f72f27cce,
	} {
		h := key.hash()
		for i := 0; i < n; i += 8 {
			var word uint64
			for b := range 8 {
				word |= uint64(i+b) << (8 * b)
			}
			h = h.add(word)
		}
		if got := h.end(n); got != want {
			t.Errorf("%d bytes: %#x, want %#x", n, got, want)
		}
	}
}

func BenchmarkID(b *testing.B) {
	rec := make([]byte, recordHeader+maxConnSize)
	l := layout{Orig: 16, Master: 160, Net: 136}
	key := idKey{1, 2}
	for b.Loop() {
		key.of(rec, &l)
	}
}
