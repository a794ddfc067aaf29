//go:build linux

package snapshot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/spoor-project/spoor/filter"
)

// Copied counts the entries that the program hands over for a filter, before the filter itself
// looks at them.
func (t *Table) Copied(ctx context.Context, flt *filter.Filter) (int, error) {
	var n atomic.Int64
	err := read(ctx, t.walkers, 0, Parts, selection(flt), func(w *walker, _ uint32, records []byte) error {
		var malformed error
		for range w.records(records, &malformed) {
			n.Add(1)
		}
		return malformed
	})
	return int(n.Load()), err
}

// OpenByNames is Open as where the kernel has no list of flows. The variables are those that the kernel names or, where it does not, that the code
// mentions which reads them.
func OpenByNames(opts *Options) (*Table, error) {
	n, err := findNames()
	if err != nil {
		if n, err = namesInCode(); err != nil {
			return nil, err
		}
	}
	t := &Table{names: n}
	if err := t.open(opts); err != nil {
		t.Close()
		return nil, err
	}
	return t, nil
}

func namesInCode() (*names, error) {
	t, err := Open(nil)
	if err != nil {
		return nil, err
	}
	defer t.Close()
	if ok, err := t.FindGeneration(); !ok {
		return nil, cmp.Or(err, errors.New("the generation is not found"))
	}
	w, v := t.walkers[0], t.found.Load()
	n := &names{}
	for _, reader := range readers {
		code, err := symbol(reader)
		if err != nil {
			continue
		}
		text, err := t.peekAt(code)
		if err != nil {
			return nil, err
		}
		// What lies behind the function may mention others that are the same now, such as the largest number of flows.
		for _, at := range mentioned(code, text, 4) {
			b, err := t.peekAt(at)
			switch {
			case err != nil:
			case n.hash == 0 && le.Uint64(b) == w.ask.Hash:
				n.hash = at
			case n.size == 0 && le.Uint32(b) == w.ask.Size:
				n.size = at
			case n.generation == 0 && at >= v.at && slices.Contains(v.words, int(at-v.at)) && le.Uint32(b) != w.ask.Size:
				n.generation = at
			}
		}
	}
	if n.hash == 0 || n.size == 0 || n.generation == 0 {
		return nil, fmt.Errorf("the code mentions only %+v", n)
	}
	return n, nil
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
