//go:build linux

package snapshot_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/flow"
)

const (
	lasting  = 20_000  // flows that exist throughout, by their numbers below this
	passing  = 100_000 // numbers of those that come and go begin here
	churned  = 4_000   // how many of those there are at most
	churning = 2 * time.Second
)

// markOf makes what is told of a passing flow depend on its tuple and its life, so that a copy
// of two lives gives itself away: even marks go with one status, odd ones with the other.
func markOf(n, life int) uint32 { return uint32(n<<8 | life&0xff) }

// churn makes and removes flows until ctx ends; odd lives have another status, another state and
// other window scales than even ones.
func churn(ctx context.Context, t *testing.T, c *conntrack.Client) {
	w, err := c.NewWriter()
	if err != nil {
		t.Error(err)
		return
	}
	defer w.Close()
	var b conntrack.Batch
	for life := 0; ctx.Err() == nil; life++ {
		for from := passing; from < passing+churned; from += conntrack.MaxBatch / 2 {
			b.Reset()
			entries := make([]*conntrack.Entry, 0, conntrack.MaxBatch/2)
			for n := from; n < from+conntrack.MaxBatch/2; n++ {
				e := entry(tuple(flow.TCP, flow.IPv4, n))
				e.Mark = new(markOf(n, life))
				scale, state := uint8(life&1), flow.TCPEstablished
				if life&1 == 1 {
					state = flow.TCPTimeWait
					e.Status = new(flow.SeenReply | flow.Assured)
				}
				win := &conntrack.TCPWindow{Scale: &scale, Flags: flow.TCPWindowScale, Mask: 0xff}
				e.TCP = &conntrack.TCP{State: &state, Orig: win, Reply: win}
				entries = append(entries, e)
				b.Create(e)
			}
			for _, e := range entries {
				b.Delete(&flow.Flow{Orig: e.Orig})
			}
			if _, err := w.Do(context.Background(), &b); err != nil {
				t.Error(err)
				return
			}
		}
	}
}

// whole reports what is wrong with a passing flow.
func whole(f *flow.Flow) string {
	n := int(f.Mark >> 8)
	life := int(f.Mark) & 1
	want := tuple(flow.TCP, flow.IPv4, n)
	reply, _ := want.Inverse()
	switch {
	case f.Orig != want:
		return "tuple and mark"
	case f.Reply != reply:
		return "tuple and reply"
	case f.Status.Has(flow.Assured) != (life == 1):
		return "mark and status"
	case (f.State == flow.TCPTimeWait) != (life == 1):
		return "mark and state"
	case int(f.OrigWindow.Scale) != life:
		return "mark and window"
	}
	return ""
}

// read checks one reading while flows come and go.
func read(t *testing.T, flows func(func(flow.Flow, error) bool)) (passed int) {
	t.Helper()
	seen := make([]bool, lasting)
	for f, err := range flows {
		if err != nil {
			t.Fatal(err)
		}
		a := f.Orig.Src.As4()
		n := int(a[1])<<16 | int(a[2])<<8 | int(a[3])
		if n >= lasting {
			if what := whole(&f); what != "" {
				t.Errorf("torn, %s are of two lives: %+v", what, f)
			}
			passed++
			continue
		}
		if seen[n] {
			t.Errorf("flow %d is there twice", n)
		}
		seen[n] = true
	}
	for n, ok := range seen {
		if !ok {
			t.Errorf("flow %d is missing", n)
		}
	}
	return passed
}

// TestNothingLastingIsMissingAndNothingTorn reads while others create and delete at full speed.
func TestNothingLastingIsMissingAndNothingTorn(t *testing.T) {
	ns, c := place(t)
	ctx := limited(t)
	fill(t, c, 0, lasting)
	tab := open(t, ns, 2)
	busy, stop := context.WithCancel(ctx)
	defer stop()
	var wg sync.WaitGroup
	wg.Go(func() { churn(busy, t, c) })
	readings, passed, begun := 0, 0, time.Now()
	for (readings < 3 || time.Since(begun) < churning) && busy.Err() == nil && !t.Failed() {
		passed += read(t, tab.Flows(ctx, nil))
		readings++
	}
	stop()
	wg.Wait()
	if readings < 3 || passed == 0 {
		t.Errorf("%d readings met %d passing flows: this tests nothing", readings, passed)
	}
	t.Logf("%d readings, %d passing flows", readings, passed)
}
