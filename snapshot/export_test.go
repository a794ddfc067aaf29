//go:build linux

package snapshot

import (
	"context"
	"sync/atomic"

	"github.com/spoor-project/spoor/filter"
)

// Copied counts the entries that the program hands over for a filter, before the filter itself
// looks at them.
func (t *Table) Copied(ctx context.Context, flt *filter.Filter) (int, error) {
	var n atomic.Int64
	err := read(ctx, t.walkers, selection(flt), func(w *walker, records []byte) error {
		var malformed error
		for range w.records(records, &malformed) {
			n.Add(1)
		}
		return malformed
	})
	return int(n.Load()), err
}

// FindGeneration looks for the kernel's count of resizes, as after slow answers, and reports whether it was found.
func (t *Table) FindGeneration() (bool, error) {
	w := t.walkers[0]
	w.begin(request{})
	if err := w.locate(nil); err != nil {
		return false, err
	}
	t.findGeneration(w.ask.Hash, w.ask.Size)
	return t.found.Load() != nil, nil
}
