package tally

import (
	"bytes"
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
// some 60 to 80 bytes each, and not with the number of flows. It is for one goroutine.
type Tally struct {
	by     []Field
	groups groups
	sums   []Sum // by the number of the group
	total  Sum
	coming coming
}

// coming is what has been added and is not in its group yet. Most groups are somewhere else in memory: to wait for several at a time takes a
// fraction of what it takes to wait for one after the other.
type coming struct {
	n      int
	keys   []byte
	ends   [atOnce]int // of the keys
	hashes [atOnce]uint32
	sums   [atOnce]Sum
	seen   uint64 // has no meaning, but keeps the compiler from leaving out what fetches memory
}

const atOnce = 32

// New returns a tally by the given fields. Without any, all flows are one group.
func New(by ...Field) *Tally { return &Tally{by: slices.Clone(by)} }

// Reserve makes room for n groups in advance: memory that is used only if they come. Lists that grow piece by piece leave much behind.
func (t *Tally) Reserve(n int) {
	t.groups.reserve(n, len(t.by))
	t.sums = slices.Grow(t.sums, n)
}

// Add counts f, of which nothing is kept. It allocates only for new groups.
func (t *Tally) Add(f *flow.Flow) {
	for _, field := range t.by {
		t.coming.keys = field.pack(t.coming.keys, f)
	}
	one := Sum{1, f.OrigCounters.Packets + f.ReplyCounters.Packets, f.OrigCounters.Bytes + f.ReplyCounters.Bytes}
	t.total.add(&one)
	t.come(&one)
}

// come takes in what belongs to the key that was appended to t.coming.keys.
func (t *Tally) come(one *Sum) {
	c := &t.coming
	c.ends[c.n], c.sums[c.n] = len(c.keys), *one
	if c.n++; c.n == atOnce {
		t.settle()
	}
}

// settle puts what has come into its groups.
func (t *Tally) settle() {
	c := &t.coming
	begin := 0
	for i, end := range c.ends[:c.n] {
		c.hashes[i] = hashOf(c.keys[begin:end])
		begin = end
	}
	c.seen += t.groups.fetch(c.hashes[:c.n])
	begin = 0
	for i, end := range c.ends[:c.n] {
		t.sums[t.group(c.keys[begin:end], c.hashes[i])].add(&c.sums[i])
		begin = end
	}
	c.n, c.keys = 0, c.keys[:0]
}

// group is the number of a group, a new one if there is none yet.
func (t *Tally) group(key []byte, hash uint32) int {
	i, isNew := t.groups.put(key, hash)
	if isNew {
		t.sums = append(t.sums, Sum{})
	}
	return i
}

// Merge adds what other has counted, which must be by the same fields.
func (t *Tally) Merge(other *Tally) {
	if !slices.Equal(t.by, other.by) {
		panic("tally: merged with one by other fields")
	}
	other.settle()
	for i := range other.sums {
		t.coming.keys = append(t.coming.keys, other.groups.key(i)...)
		t.come(&other.sums[i])
	}
	t.total.add(&other.total)
}

// Prune forgets all but the n largest groups by flows, of equal ones those that came first; n must not be negative. The
// total still has the flows of the others. A group that comes back begins at 0, so that from then on groups may be
// larger than they seem.
func (t *Tally) Prune(n int) {
	t.settle()
	if n >= len(t.sums) {
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
	old, sums := t.groups, t.sums
	t.groups, t.sums = groups{index: old.index}, nil
	clear(t.groups.index) // and keep its memory: it will be as large again
	for i := range sums {
		size := sums[i].Flows
		if size < least || size == least && equal == 0 {
			continue
		}
		if size == least {
			equal--
		}
		t.sums[t.group(old.key(i), hashOf(old.key(i)))] = sums[i]
	}
}

// Total is the sum of all flows.
func (t *Tally) Total() Sum { return t.total }

// Groups is how many groups there are.
func (t *Tally) Groups() int {
	t.settle()
	return len(t.sums)
}

// Top returns the n largest groups by the measure, largest first, and all of them if n is
// negative. Of equal ones, those with the lower values come first, so that the result does not depend
// on the order in which the flows came.
func (t *Tally) Top(n int, measure Measure) []Group {
	t.settle()
	if n < 0 || n > len(t.sums) {
		n = len(t.sums)
	}
	size := measure.of
	order := func(a, b int) int {
		return cmp.Or(cmp.Compare(size(&t.sums[b]), size(&t.sums[a])), bytes.Compare(t.groups.key(a), t.groups.key(b)))
	}
	best := make([]int, 0, n+1)
	if n == len(t.sums) {
		for i := range t.sums {
			best = append(best, i)
		}
		slices.SortFunc(best, order)
	} else {
		for i := range t.sums {
			if len(best) == n && (n == 0 || order(i, best[n-1]) > 0) {
				continue
			}
			at, _ := slices.BinarySearchFunc(best, i, order)
			best = slices.Insert(best, at, i)[:min(len(best)+1, n)]
		}
	}
	groups := make([]Group, len(best))
	for i, at := range best {
		groups[i] = Group{t.unpack(string(t.groups.key(at))), t.sums[at]}
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
