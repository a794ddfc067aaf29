package metrics

import (
	"slices"

	"github.com/spoor-project/spoor/conntrack"
)

// mostCounters is more than the kernel has of a processor.
const mostCounters = 32

// totals are the kernel's counters, which wrap around at 32 bits, as counters that do not. It needs to see each of
// them before it has gone round.
type totals struct {
	cpus []cpuTotals // by ascending number
	sent uint32      // bits of the counters that the kernel has sent
}

type cpuTotals struct {
	cpu  int
	last [mostCounters]uint32
	sum  [mostCounters]uint64
}

// update takes in what the kernel says now.
func (t *totals) update(stats []conntrack.CPUStats) {
	for i := range stats {
		s := &stats[i]
		at, known := slices.BinarySearchFunc(t.cpus, s.CPU, func(c cpuTotals, cpu int) int { return c.cpu - cpu })
		if !known {
			t.cpus = slices.Insert(t.cpus, at, cpuTotals{cpu: s.CPU})
		}
		c := &t.cpus[at]
		for _, n := range s.Counters {
			if n.ID < mostCounters {
				c.sum[n.ID] += uint64(n.Value - c.last[n.ID])
				c.last[n.ID] = n.Value
				t.sent |= 1 << n.ID
			}
		}
	}
}

// has reports whether the kernel has this counter.
func (t *totals) has(id uint16) bool { return t.sent&(1<<id) != 0 }

// sum is a counter of all processors.
func (t *totals) sum(id uint16) (n uint64) {
	for i := range t.cpus {
		n += t.cpus[i].sum[id]
	}
	return n
}

// idle reports whether a processor has counted nothing: many machines could have more than they have.
func (c *cpuTotals) idle() bool { return c.sum == [mostCounters]uint64{} }

// clone returns a copy that later updates leave alone.
func (t *totals) clone() totals { return totals{slices.Clone(t.cpus), t.sent} }
