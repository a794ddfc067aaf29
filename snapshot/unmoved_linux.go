package snapshot

import "time"

// To ask the kernel where the table is makes it look for the first entry of the namespace. In one with hardly any entries, or
// whose first entries are being deleted, that is a walk through the table, and it is asked after each part. So when answers
// take long, the kernel's own variables are looked for, in which it can be seen that nothing has changed.

const (
	// slowRefresh is how long an answer may take; a usual one takes a few microseconds.
	slowRefresh = 100 * time.Microsecond
	// searchCost is about what it takes to look for the variables. A single slow answer is somebody else's turn on this processor.
	searchCost = 20 * time.Millisecond
)

// variables are the addresses of nf_conntrack_hash and nf_conntrack_htable_size.
type variables struct{ hash, size uint64 }

// waited takes note of how long an answer has taken, and looks for the variables once slow answers have taken as long as that does.
func (t *Table) waited(d time.Duration, hash uint64, size uint32) {
	if d > slowRefresh && time.Duration(t.slow.Add(int64(d))) > searchCost {
		t.findVariables(hash, size)
	}
}

// findVariables looks for them among what the code mentions that reads them: there are the values that the kernel has just told.
// If they are not found, the kernel goes on being asked.
func (t *Table) findVariables(hash uint64, size uint32) {
	t.search.Do(func() {
		// The first is part of the second where the compiler has put it there.
		for _, reader := range []string{"nf_conntrack_get_ht", "ct_seq_start"} {
			if v := t.variablesIn(reader, hash, size); v != nil {
				t.found.Store(v)
				return
			}
		}
	})
}

// variablesIn looks at one function of the kernel.
func (t *Table) variablesIn(function string, hash uint64, size uint32) *variables {
	code, err := symbol(function)
	if err != nil {
		return nil
	}
	text, err := t.peekAt(code)
	if err != nil {
		return nil
	}
	var v variables
	for _, at := range mentioned(code, text, 4) {
		switch b, err := t.peekAt(at); {
		case err != nil:
		case le.Uint64(b) == hash:
			v.hash = at
		case le.Uint32(b) == size:
			v.size = at
		}
	}
	if v.hash == 0 || v.size == 0 {
		return nil
	}
	return &v
}

// unmoved reports whether the table is certainly where it was when the kernel told so last. That pair of address and size belonged together;
// in the middle of a resize one of both has changed already.
func (w *walker) unmoved() bool {
	v := w.table.found.Load()
	if v == nil || w.ask.Hash == 0 {
		return false
	}
	hash, err := w.table.peekAt(v.hash)
	if err != nil || le.Uint64(hash) != w.ask.Hash {
		return false
	}
	size, err := w.table.peekAt(v.size)
	return err == nil && le.Uint32(size) == w.ask.Size
}
