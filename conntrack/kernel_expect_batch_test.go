//go:build linux

package conntrack_test

import (
	"errors"
	"testing"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/flow"
)

// Expectations go in batches, among flows, and their events name the writer.
func TestExpectationsInABatch(t *testing.T) {
	t.Parallel()
	ns, c := kernel(t)
	useHelpers(t, ns)
	ns.LoopbackUp()
	x, err := c.SubscribeExpects(nil)
	if err != nil {
		t.Fatal(err)
	}
	readFile(t, ns, "127.0.0.1", 40070) // makes a master
	w, err := c.NewWriter()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	made := tftp("127.0.0.1", 40070)
	made.Has &^= flow.ExpectHasID
	made.Tuple.DstPort = 7777
	other := made
	other.Tuple.DstPort = 7778
	none := made
	none.Tuple.DstPort, none.Master.SrcPort = 7779, 9

	var b conntrack.Batch
	b.CreateExpect(&made)
	b.CreateExpect(&none)
	b.CreateExpect(&made)
	b.DeleteExpect(made.Tuple, 0)
	b.DeleteExpect(made.Tuple, 0)
	b.CreateExpect(&other)
	b.FlushExpects()
	results, err := w.Do(limited(t), &b)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []error{nil, conntrack.ErrNotFound, conntrack.ErrExists, nil, conntrack.ErrNotFound, nil, nil} {
		if err := results[i].Err; !errors.Is(err, want) {
			t.Errorf("operation %d: %v, want %v", i, err, want)
		}
	}
	if all := listExpects(t, c, flow.AnyFamily); len(all) != 0 {
		t.Errorf("left: %v", all)
	}
	want := []struct {
		typ  flow.EventType
		port uint16
	}{{flow.New, 7777}, {flow.Destroy, 7777}, {flow.New, 7778}}
	for ev, err := range x.Events(limited(t)) {
		if err != nil {
			t.Fatal(err)
		}
		if ev.PortID == 0 {
			continue // the helper's
		}
		if ev.PortID != w.PortID() {
			t.Errorf("%v of %v names %d, want the writer, %d", ev.Type, ev.Expect.Tuple, ev.PortID, w.PortID())
		}
		if ev.Type != want[0].typ || ev.Expect.Tuple.DstPort != want[0].port {
			t.Errorf("%v of %v, want %v", ev.Type, ev.Expect.Tuple, want[0])
		}
		if want = want[1:]; len(want) == 0 {
			break
		}
	}
}
