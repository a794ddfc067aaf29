//go:build linux

package conntrack_test

import (
	"iter"
	"runtime"
	"sync"
	"testing"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/filter"
	"github.com/spoor-project/spoor/flow"
)

func TestListingsAtTheSameTimeAreComplete(t *testing.T) {
	t.Parallel()
	const n = 20_000
	_, c := kernel(t)
	makeMany(t, c, n)
	var wg sync.WaitGroup
	for _, flt := range []*filter.Filter{nil, {Family: flow.IPv4}} {
		wg.Go(func() {
			seen := map[flow.Key]bool{}
			for f, err := range c.Flows(t.Context(), flt) {
				if err != nil {
					t.Error(err)
					return
				}
				seen[f.Key()] = true
			}
			if len(seen) != n {
				t.Errorf("%d flows, want %d", len(seen), n)
			}
			for i := range n {
				if orig := numbered(i); !seen[orig.Key(0)] {
					t.Errorf("%v is missing", orig.Src)
				}
			}
		})
	}
	wg.Wait()
}

// A listing under churn is no snapshot, but what stays is in it.
func TestAListingHasWhatStaysThroughout(t *testing.T) {
	t.Parallel()
	const stay, churn = 5000, 500
	ns, c := kernel(t)
	makeMany(t, c, stay)
	stop, done := make(chan bool), make(chan bool)
	busy := dial(t, ns)
	go func() {
		defer close(done)
		w, err := busy.NewWriter()
		if err != nil {
			t.Error(err)
			return
		}
		defer w.Close()
		var b conntrack.Batch
		for i := 0; ; i++ {
			orig := numbered(1<<20 + i%churn)
			b.Create(entry(orig))
			b.Delete(&flow.Flow{Orig: orig})
			if b.Len() == 100 {
				if _, err := w.Do(t.Context(), &b); err != nil {
					t.Error(err)
					return
				}
				b.Reset()
				select {
				case <-stop:
					return
				default:
				}
			}
		}
	}()
	for range 3 {
		times := map[flow.Key]int{}
		for f, err := range c.Flows(limited(t), nil) {
			if err != nil {
				t.Fatal(err)
			}
			times[f.Key()]++
		}
		for i := range stay {
			if orig := numbered(i); times[orig.Key(0)] == 0 {
				t.Errorf("%v is missing", orig.Src)
			}
		}
	}
	close(stop)
	<-done
}

func TestABatchOfLookupsFitsTheQueue(t *testing.T) {
	t.Parallel()
	_, c := kernel(t)
	makeMany(t, c, conntrack.MaxBatch)
	w, err := c.NewWriter()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	var b conntrack.Batch
	for i := range conntrack.MaxBatch {
		orig := numbered(i)
		if i%2 == 1 {
			orig.DstPort++ // is not there
		}
		b.Get(&orig, 0)
	}
	results, err := w.Do(limited(t), &b)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range results {
		if i%2 == 0 && (r.Err != nil || r.Flow.Orig != numbered(i)) || i%2 == 1 && r.Err == nil {
			t.Errorf("lookup %d: %v, %v", i, r.Flow.Orig, r.Err)
		}
	}
}

// Listing, and removing in batches, allocate when they begin and not for each flow.
func TestStreamsOfTheKernelAllocateNothingPerFlow(t *testing.T) {
	_, c := kernel(t)
	const few, many, slack = 300, 6000, 400
	for name, stream := range map[string]func() iter.Seq2[flow.Flow, error]{
		"Flows": func() iter.Seq2[flow.Flow, error] { return c.Flows(t.Context(), nil) },
		"FlowsAndZero": func() iter.Seq2[flow.Flow, error] {
			return c.FlowsAndZero(t.Context(), &filter.Filter{Zone: new(uint16(0))})
		},
		"DeleteFlows": func() iter.Seq2[flow.Flow, error] { return c.DeleteFlows(t.Context(), nil) },
	} {
		var allocated [2]uint64
		for i, n := range []int{few, many} {
			if err := c.Flush(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			makeMany(t, c, n)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			got := 0
			for _, err := range stream() {
				if err != nil {
					t.Fatal(err)
				}
				got++
			}
			runtime.ReadMemStats(&after)
			if allocated[i] = after.Mallocs - before.Mallocs; got != n {
				t.Errorf("%s: %d flows, want %d", name, got, n)
			}
		}
		if allocated[1] > allocated[0]+slack {
			t.Errorf("%s: %d allocations for %d flows, %d for %d", name, allocated[0], few, allocated[1], many)
		}
	}
}
