package mirror

import (
	"bytes"
	"hash/maphash"
	"iter"
	"unsafe"

	"github.com/spoor-project/spoor/flow"
)

// Ref names a flow in a table while it is there; later it may name another. The zero Ref is none.
type Ref uint32

// Table holds flows, and for each a value of type M, which is the owner's; M should have no
// pointers. A Table is for one goroutine.
type Table[M any] struct {
	limit, expected int

	len   int
	store slabs
	names names

	// The entries, in pieces, so that growing does not copy them. Number 0 is unused.
	entries [][]entry[M]
	used    uint32 // entries that were ever in use, and number 0
	free    Ref    // first of a list by next

	// A linear hash table: it grows by one bucket per flow, so that no flow waits for all
	// others to be moved.
	heads [][]Ref
	split uint32 // next bucket to be divided
	round uint32 // buckets before the first of this round was divided: a power of two

	key     []byte // space for an identity
	fetched uint32 // is of no use, but what was read for it is at hand
}

type entry[M any] struct {
	meta M
	at   place // of the packed flow; nowhere: not in use
	hash uint32
	next Ref // in the bucket, or the list of free ones
}

const (
	pieceBits = 12 // entries and buckets come 4096 at a time
	pieceSize = 1 << pieceBits
	pieceMask = pieceSize - 1
)

// All tables have the same seed, so that a flow's hash is the same in all.
var seed = maphash.MakeSeed()

func hashOf(identity []byte) uint32 { return uint32(maphash.Bytes(seed, identity)) }

// New returns an empty table for at most limit flows; 0 is no limit. It has room for the expected number of flows
// without growing; 0 is a few thousand.
func New[M any](limit, expected int) *Table[M] {
	t := &Table[M]{limit: limit, expected: expected, used: 1, round: pieceSize}
	for int(t.round) < expected && t.round < 1<<30 {
		t.round *= 2
	}
	for range t.round / pieceSize {
		t.heads = append(t.heads, make([]Ref, pieceSize))
	}
	return t
}

// Len is how many flows there are.
func (t *Table[M]) Len() int { return t.len }

// Bytes is how much memory the table has taken.
func (t *Table[M]) Bytes() int {
	return t.store.bytes() + len(t.entries)*pieceSize*int(unsafe.Sizeof(entry[M]{})) + len(t.heads)*pieceSize*4
}

func (t *Table[M]) entry(r Ref) *entry[M] { return &t.entries[r>>pieceBits][r&pieceMask] }
func (t *Table[M]) head(b uint32) *Ref    { return &t.heads[b>>pieceBits][b&pieceMask] }

func (t *Table[M]) bucket(hash uint32) uint32 {
	b := hash & (t.round - 1)
	if b < t.split {
		b = hash & (2*t.round - 1)
	}
	return b
}

// Find returns the flow that has the identity of f, 0 if there is none.
func (t *Table[M]) Find(f *flow.Flow) Ref {
	t.key = appendIdentity(t.key[:0], f)
	return t.find(t.key, hashOf(t.key))
}

func (t *Table[M]) find(key []byte, hash uint32) Ref {
	for r := *t.head(t.bucket(hash)); r != 0; {
		e := t.entry(r)
		if e.hash == hash && bytes.HasPrefix(t.store.get(e.at), key) {
			return r
		}
		r = e.next
	}
	return 0
}

// Add stores f, whose identity must not be there, with the zero value of M. It returns 0 if
// the table is full.
func (t *Table[M]) Add(f *flow.Flow) Ref {
	b := pack(t.store.space(), f)
	return t.add(hashOf(identityOf(b)), b)
}

// add stores a packed flow.
func (t *Table[M]) add(hash uint32, b []byte) Ref {
	if t.limit > 0 && t.len >= t.limit {
		return 0
	}
	r := t.free
	if r != 0 {
		t.free = t.entry(r).next
	} else {
		if t.used>>pieceBits == uint32(len(t.entries)) {
			t.entries = append(t.entries, make([]entry[M], pieceSize))
		}
		r = Ref(t.used)
		t.used++
	}
	e := t.entry(r)
	*e = entry[M]{hash: hash}
	e.at = t.store.put(nowhere, b)
	t.link(r, e)
	t.len++
	if uint32(t.len) > t.round+t.split {
		t.divide()
	}
	return r
}

func (t *Table[M]) link(r Ref, e *entry[M]) {
	head := t.head(t.bucket(e.hash))
	e.next, *head = *head, r
}

// Reserve makes room for the given number of flows, so that those that come do not wait for it to be made. It makes some at each call, so
// that nothing else waits for long, and reports whether there is enough now. Where there are no flows yet it costs nearly nothing.
func (t *Table[M]) Reserve(flows int) (enough bool) {
	if t.limit > 0 {
		flows = min(flows, t.limit)
	}
	for range 16 * pieceSize {
		if int(t.round+t.split) >= flows {
			return true
		}
		t.divide()
	}
	return false
}

// divide gives the flows of one bucket to two.
func (t *Table[M]) divide() {
	if t.round+t.split == uint32(len(t.heads))<<pieceBits {
		t.heads = append(t.heads, make([]Ref, pieceSize))
	}
	head := t.head(t.split)
	r := *head
	*head = 0
	if t.split++; t.split == t.round {
		t.split, t.round = 0, 2*t.round
	}
	for r != 0 {
		e := t.entry(r)
		next := e.next
		t.link(r, e)
		r = next
	}
}

// Load reads the flow into f. Strings in it are shared by all flows that have the same.
func (t *Table[M]) Load(r Ref, f *flow.Flow) { unpack(t.store.get(t.entry(r).at), f, &t.names) }

// Store replaces the flow by f, which must have the same identity. Its M stays.
func (t *Table[M]) Store(r Ref, f *flow.Flow) {
	e := t.entry(r)
	e.at = t.store.put(e.at, pack(t.store.space(), f))
}

// Meta is the owner's value for the flow; valid until the flow is removed.
func (t *Table[M]) Meta(r Ref) *M { return &t.entry(r).meta }

// Remove forgets the flow.
func (t *Table[M]) Remove(r Ref) {
	e := t.entry(r)
	for link := t.head(t.bucket(e.hash)); ; link = &t.entry(*link).next {
		if *link == r {
			*link = e.next
			break
		}
	}
	t.store.release(e.at)
	*e = entry[M]{at: nowhere, next: t.free}
	t.free = r
	t.len--
}

// Clear forgets all flows and gives the memory back.
func (t *Table[M]) Clear() { *t = *New[M](t.limit, t.expected) }

// Next returns the first flow behind r, 0 if there is none; Next(0) is the first of all. Flows may be removed and
// added between calls: those that are there all the time come up once.
func (t *Table[M]) Next(r Ref) Ref {
	for r++; uint32(r) < t.used; r++ {
		if t.entry(r).at != nowhere {
			return r
		}
	}
	return 0
}

// All yields the flows as Next does.
func (t *Table[M]) All() iter.Seq[Ref] {
	return func(yield func(Ref) bool) {
		for r := t.Next(0); r != 0 && yield(r); r = t.Next(r) {
		}
	}
}
