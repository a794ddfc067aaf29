package tally

import (
	"cmp"
	"slices"

	"github.com/spoor-project/spoor/flow"
)

// Sum is what is counted of a group.
type Sum struct {
	Flows uint64
	// Packets and Bytes are of both directions; 0 for flows without counters.
	Packets, Bytes uint64
}

func (s *Sum) add(o *Sum) {
	s.Flows += o.Flows
	s.Packets += o.Packets
	s.Bytes += o.Bytes
}

// Group is a group of flows and their sum.
type Group struct {
	By []Value // in the order of New's fields
	Sum
}

// Tally counts flows by the values of some fields. Its memory grows with the number of groups, by
// about 100 bytes each, and not with the number of flows. It is for one goroutine.
type Tally struct {
	by     []Field
	index  map[string]int // packed values to a place in keys and sums
	keys   []string
	sums   []Sum
	total  Sum
	packed []byte // of the flow being added
}

// New returns a tally by the given fields. Without any, all flows are one group.
func New(by ...Field) *Tally {
	return &Tally{by: slices.Clone(by), index: make(map[string]int)}
}

// Add counts f, of which nothing is kept. It allocates only for a new group.
func (t *Tally) Add(f *flow.Flow) {
	t.packed = t.packed[:0]
	for _, field := range t.by {
		t.packed = field.pack(t.packed, f)
	}
	i, ok := t.index[string(t.packed)]
	if !ok {
		i = t.group(string(t.packed))
	}
	one := Sum{1, f.OrigCounters.Packets + f.ReplyCounters.Packets, f.OrigCounters.Bytes + f.ReplyCounters.Bytes}
	t.sums[i].add(&one)
	t.total.add(&one)
}

// group begins a new group.
func (t *Tally) group(key string) int {
	i := len(t.keys)
	t.index[key] = i
	t.keys = append(t.keys, key)
	t.sums = append(t.sums, Sum{})
	return i
}

// Merge adds what other has counted, which must be by the same fields.
func (t *Tally) Merge(other *Tally) {
	if !slices.Equal(t.by, other.by) {
		panic("tally: merged with one by other fields")
	}
	for i, key := range other.keys {
		at, ok := t.index[key]
		if !ok {
			at = t.group(key)
		}
		t.sums[at].add(&other.sums[i])
	}
	t.total.add(&other.total)
}

// Prune forgets all but the n largest groups by flows, of equal ones those that came first; n must not be negative. The
// total still has the flows of the others. A group that comes back begins at 0, so that from then on groups may be
// larger than they seem.
func (t *Tally) Prune(n int) {
	if n >= len(t.keys) {
		return
	}
	sizes := make([]uint64, len(t.sums))
	for i := range t.sums {
		sizes[i] = t.sums[i].Flows
	}
	slices.Sort(sizes)
	stay := sizes[len(sizes)-n:]
	least := sizes[len(sizes)-n-1] // of those that are forgotten, the largest
	equal, _ := slices.BinarySearch(stay, least+1)
	keys, sums := t.keys, t.sums
	clear(t.index) // and keep its memory: it will be as large again
	t.keys, t.sums = t.keys[:0], t.sums[:0]
	for i := range keys {
		size := sums[i].Flows
		if size < least || size == least && equal == 0 {
			continue
		}
		if size == least {
			equal--
		}
		sum := sums[i] // group overwrites what lies before
		t.sums[t.group(keys[i])] = sum
	}
	clear(keys[len(t.keys):])
}

// Total is the sum of all flows.
func (t *Tally) Total() Sum { return t.total }

// Groups is how many groups there are.
func (t *Tally) Groups() int { return len(t.keys) }

// Top returns the n largest groups by the measure, largest first, and all of them if n is
// negative. Of equal ones, those with the lower values come first, so that the result does not depend
// on the order in which the flows came.
func (t *Tally) Top(n int, measure Measure) []Group {
	if n < 0 || n > len(t.keys) {
		n = len(t.keys)
	}
	size := measure.of
	order := func(a, b int) int {
		return cmp.Or(cmp.Compare(size(&t.sums[b]), size(&t.sums[a])), cmp.Compare(t.keys[a], t.keys[b]))
	}
	best := make([]int, 0, n+1)
	if n == len(t.keys) {
		for i := range t.keys {
			best = append(best, i)
		}
		slices.SortFunc(best, order)
	} else {
		for i := range t.keys {
			if len(best) == n && (n == 0 || order(i, best[n-1]) > 0) {
				continue
			}
			at, _ := slices.BinarySearchFunc(best, i, order)
			best = slices.Insert(best, at, i)[:min(len(best)+1, n)]
		}
	}
	groups := make([]Group, len(best))
	for i, at := range best {
		groups[i] = Group{t.unpack(t.keys[at]), t.sums[at]}
	}
	return groups
}

func (t *Tally) unpack(key string) []Value {
	values := make([]Value, len(t.by))
	for i, field := range t.by {
		values[i], key = field.unpack(key)
	}
	return values
}

// Measure says what makes a group large.
type Measure uint8

const (
	ByFlows Measure = iota
	ByPackets
	ByBytes
)

func (m Measure) of(s *Sum) uint64 {
	switch m {
	case ByPackets:
		return s.Packets
	case ByBytes:
		return s.Bytes
	}
	return s.Flows
}
