package guard

import (
	"hash/maphash"
	"math"
	"math/rand/v2"
)

// places remembers something of each of a bounded number of keys. Where all are taken, one of a few that are looked at gives way: the one that is worth
// least. Keys and values have no pointers, so the garbage collector does not look into them.
type places[K comparable, V any] struct {
	seed  maphash.Seed
	index []uint32 // by hash: number of a place and 1; 0 is none
	chunk [][]place[K, V]
	free  []uint32
	used  int
	made  int
	limit int
	// worth is what is lost with a place.
	worth   func(*V) uint64
	leaving func(*V) // is called before a place is given to another or taken back
	evicted *uint64
	ripe    []uint32 // places near a limit; some may have been given to others since
}

type place[K comparable, V any] struct {
	key  K
	ripe bool
	hash uint32 // upper half, 0: free
	V    V
}

const (
	chunkSize = 1 << 12
	// tries is how many places are looked at to find one that gives way. With 8 it is nearly always one of the lesser half.
	tries = 8
)

func newPlaces[K comparable, V any](limit int, evicted *uint64, worth func(*V) uint64, leaving func(*V)) *places[K, V] {
	return &places[K, V]{seed: maphash.MakeSeed(), index: make([]uint32, 1<<8), limit: limit, worth: worth, leaving: leaving, evicted: evicted}
}

func (p *places[K, V]) at(n uint32) *place[K, V] { return &p.chunk[n/chunkSize][n%chunkSize] }

// hash is never 0.
func (p *places[K, V]) hash(k K) uint32 { return uint32(maphash.Comparable(p.seed, k)>>32) | 1 }

// find returns the number of a key's place.
func (p *places[K, V]) find(k K) (n uint32, ok bool) { return p.lookup(p.hash(k), k) }

func (p *places[K, V]) lookup(h uint32, k K) (n uint32, ok bool) {
	mask := uint32(len(p.index) - 1)
	for i := h >> 1 & mask; p.index[i] != 0; i = (i + 1) & mask {
		if e := p.at(p.index[i] - 1); e.hash == h && e.key == k {
			return p.index[i] - 1, true
		}
	}
	return 0, false
}

// put returns the number of a key's place, which is new and zero if it had none.
func (p *places[K, V]) put(k K) (n uint32, isNew bool) {
	h := p.hash(k)
	if n, ok := p.lookup(h, k); ok {
		return n, false
	}
	if p.used == p.limit {
		p.evict()
	}
	if len(p.free) > 0 {
		n, p.free = p.free[len(p.free)-1], p.free[:len(p.free)-1]
	} else {
		if n = uint32(p.made); p.made%chunkSize == 0 {
			p.chunk = append(p.chunk, make([]place[K, V], chunkSize))
		}
		p.made++
	}
	if p.used++; p.used > len(p.index)/4*3 {
		p.grow()
	}
	e := p.at(n)
	*e = place[K, V]{key: k, hash: h}
	p.link(h, n)
	return n, true
}

func (p *places[K, V]) link(h, n uint32) {
	mask := uint32(len(p.index) - 1)
	i := h >> 1 & mask
	for p.index[i] != 0 {
		i = (i + 1) & mask
	}
	p.index[i] = n + 1
}

func (p *places[K, V]) grow() {
	old := p.index
	p.index = make([]uint32, 2*len(old))
	for _, n := range old {
		if n != 0 {
			p.link(p.at(n-1).hash, n-1)
		}
	}
}

// remove takes a place back.
func (p *places[K, V]) remove(n uint32) {
	e := p.at(n)
	p.leaving(&e.V)
	mask := uint32(len(p.index) - 1)
	i := e.hash >> 1 & mask
	for p.index[i] != n+1 {
		i = (i + 1) & mask
	}
	// What comes behind moves up, or it would not be found any more.
	for j := (i + 1) & mask; p.index[j] != 0; j = (j + 1) & mask {
		if home := p.at(p.index[j]-1).hash >> 1 & mask; (j-home)&mask >= (j-i)&mask {
			p.index[i], i = p.index[j], j
		}
	}
	p.index[i] = 0
	*e = place[K, V]{}
	p.free = append(p.free, n)
	p.used--
}

// evict frees a place.
func (p *places[K, V]) evict() {
	least, found := uint32(0), false
	first := rand.Uint32N(uint32(p.made))
	for i := uint32(0); i < tries || !found; i++ {
		n := (first + i) % uint32(p.made) // neighbours are quicker to look at
		if p.at(n).hash != 0 && (!found || p.loss(n) < p.loss(least)) {
			least, found = n, true
		}
	}
	*p.evicted++
	p.remove(least)
}

// loss is what is lost with a place. Those near a limit go last.
func (p *places[K, V]) loss(n uint32) uint64 {
	if e := p.at(n); !e.ripe {
		return p.worth(&e.V)
	}
	return math.MaxUint64
}

// ripen has a place judged with the next look, since it is near a limit.
func (p *places[K, V]) ripen(n uint32) {
	if e := p.at(n); !e.ripe {
		e.ripe = true
		p.ripe = append(p.ripe, n)
	}
}

// look judges the places near a limit; those that stay so are judged with the next look, too.
func (p *places[K, V]) look(judge func(*K, *V) (near bool)) {
	list := p.ripe[:0]
	for _, n := range p.ripe {
		if e := p.at(n); e.ripe { // or it is another's, or comes a second time
			e.ripe = false
			list = append(list, n)
		}
	}
	p.ripe = list[:0]
	for _, n := range list {
		if e := p.at(n); judge(&e.key, &e.V) {
			p.ripen(n)
		}
	}
}

// each visits all places.
func (p *places[K, V]) each(visit func(*K, *V)) {
	for n := range uint32(p.made) {
		if e := p.at(n); e.hash != 0 {
			visit(&e.key, &e.V)
		}
	}
}

// clean takes back the places that are idle and not near a limit, of a part of all: those whose number has the remainder part by parts.
func (p *places[K, V]) clean(part, parts uint32, idle func(*V) bool) {
	for n := part; n < uint32(p.made); n += parts {
		if e := p.at(n); e.hash != 0 && idle(&e.V) && !e.ripe {
			p.remove(n)
		}
	}
}
