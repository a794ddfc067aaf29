package metrics

import (
	"net/netip"
	"testing"

	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/tally"
)

// BenchmarkGroups counts flows, each from a source of its own, as in an attack: without and with the sources.
func BenchmarkGroups(b *testing.B) {
	for name, tops := range map[string][]Top{"plain": nil, "src": {{tally.Src, 20}}} {
		b.Run(name, func(b *testing.B) {
			f := udpFlow("10.0.0.1", 0, flow.SeenReply)
			g := newGroups(tops, mostGroups)
			for i := 0; b.Loop(); i++ {
				f.Orig.Src = netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
				g.add(&f)
			}
		})
	}
}
