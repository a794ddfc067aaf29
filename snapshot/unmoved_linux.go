package snapshot

import (
	"slices"
	"time"
)

// To ask the kernel where the table is makes it look for the first entry of the namespace. In one with hardly any entries, or
// whose first entries are being deleted, that is a walk through the table, and it is asked after each part. So when answers
// take long, a variable of the kernel's is looked for, in which it can be seen that nothing has changed.

const (
	// slowRefresh is how long an answer may take; a usual one takes a few microseconds.
	slowRefresh = 100 * time.Microsecond
	// searchCost is about what it takes to look for the variable. A single slow answer is somebody else's turn on this processor.
	searchCost = 20 * time.Millisecond
)

// waited takes note of how long an answer has taken, and looks for the variable once slow answers have taken as long as that does.
func (t *Table) waited(d time.Duration, hash uint64, size uint32) {
	if d > slowRefresh && time.Duration(t.slow.Add(int64(d))) > searchCost {
		t.findGeneration(hash, size)
	}
}

// readers are functions that read the table's address and size. The first is part of the second where the compiler has put it there.
var readers = []string{"nf_conntrack_get_ht", "ct_seq_start"}

// findGeneration looks for nf_conntrack_generation: the kernel counts it up when a resize begins and when it ends. It is the third of what the code
// mentions that reads the table's address and size; these are the values that the kernel has just told, and all three lie
// close together. If it is not found, the kernel goes on being asked.
func (t *Table) findGeneration(hash uint64, size uint32) {
	t.search.Do(func() {
		for _, reader := range readers {
			if v := t.variablesIn(reader, hash, size); v != nil {
				t.found.Store(v)
				return
			}
		}
	})
}

// variables are the count of resizes, the size, and perhaps others that lie beside them: it does no harm to look at one too many.
type variables struct {
	at    uint64 // of the first
	words []int  // offsets from there
}

const maxVariables = 4

// variablesIn looks for them in one function of the kernel.
func (t *Table) variablesIn(function string, hash uint64, size uint32) *variables {
	code, err := symbol(function)
	if err != nil {
		return nil
	}
	text, err := t.peekAt(code)
	if err != nil {
		return nil
	}
	at := mentioned(code, text, 4)
	slices.Sort(at)
	anchor := slices.IndexFunc(at, func(a uint64) bool {
		b, err := t.peekAt(a)
		return err == nil && le.Uint64(b) == hash
	})
	if anchor < 0 {
		return nil
	}
	first, last := at[anchor]-min(at[anchor], peeked/2), at[anchor]+peeked/2-4
	at = slices.DeleteFunc(at, func(a uint64) bool { return a < first || a > last || a == at[anchor] })
	if len(at) < 2 || len(at) > maxVariables {
		return nil
	}
	v := &variables{at: at[0]}
	for _, a := range at {
		v.words = append(v.words, int(a-at[0]))
	}
	g := t.read(v)
	if !g.known || !slices.Contains(g.words[:], size) {
		return nil
	}
	return v
}

// generation tells one table from the next.
type generation struct {
	known bool
	words [maxVariables]uint32
}

// read returns what the variables say. While a resize is under way, when one of them is odd, it is not known.
func (t *Table) read(v *variables) (g generation) {
	b, err := t.peekAt(v.at)
	if err != nil {
		return generation{}
	}
	for i, at := range v.words {
		if g.words[i] = le.Uint32(b[at:]); g.words[i]%2 != 0 {
			return generation{}
		}
	}
	g.known = true
	return g
}

// generation is that of the table, if it is known where the kernel counts.
func (t *Table) generation() generation {
	if v := t.found.Load(); v != nil {
		return t.read(v)
	}
	return generation{}
}

// unmoved reports whether the table is certainly where it was when the kernel told so last: no resize has begun since.
func (w *walker) unmoved() bool { return w.known.known && w.table.generation() == w.known }
