//go:build linux

package conntrack_test

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/filter"
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/nstest"
)

func subscribe(t testing.TB, c *conntrack.Client, opts *conntrack.FollowOptions) *conntrack.Follower {
	t.Helper()
	s, err := c.Subscribe(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// events reads n events.
func events(t testing.TB, s *conntrack.Follower, n int) (all []flow.Event) {
	t.Helper()
	for e, err := range s.Events(limited(t)) {
		if err != nil {
			t.Fatalf("after %d of %d events: %v", len(all), n, err)
		}
		if all = append(all, e); len(all) == n {
			break
		}
	}
	return all
}

func typesOf(all []flow.Event) (types []flow.EventType) {
	for _, e := range all {
		types = append(types, e.Type)
	}
	return types
}

func TestFollowTellsTheLifeOfAFlow(t *testing.T) {
	t.Parallel()
	for _, family := range []flow.Family{flow.IPv4, flow.IPv6} {
		for _, p := range append(flow.Protos(), generic) {
			_, c := kernel(t)
			s := subscribe(t, c, nil)
			e, want := protocolEntry(p, family, 1)
			create(t, c, e)
			if err := c.Update(limited(t), want.Orig, 0, conntrack.Change{Mark: new(uint32(9)), Status: new(flow.SeenReply)}); err != nil {
				t.Fatal(err)
			}
			f := get(t, c, want.Orig, 0)
			if err := c.Delete(limited(t), &f); err != nil {
				t.Fatal(err)
			}
			all := events(t, s, 3)
			if got := typesOf(all); !slices.Equal(got, []flow.EventType{flow.New, flow.Update, flow.Destroy}) {
				t.Fatalf("%v %v: %v", family, p, got)
			}
			want.Reply, _ = want.Orig.Inverse()
			want.ID = f.ID
			for _, e := range all {
				got := e.Flow
				if e.PortID == 0 || e.PortID != all[0].PortID || e.Dropped != 0 || e.Time != 0 {
					t.Errorf("%v %v: %v from port %d, %d dropped, at %d", family, p, e.Type, e.PortID, e.Dropped, e.Time)
				}
				want := want
				want.Has |= flow.HasReply | flow.HasStatus | flow.HasTimeout | flow.HasID
				want.Status = flow.Confirmed
				switch e.Type {
				case flow.New:
					want.Has |= flow.HasMark | flow.HasSynproxy
				case flow.Update:
					want.Has |= flow.HasMark | flow.HasSynproxy
					want.Mark, want.Status = 9, flow.Confirmed|flow.SeenReply
				case flow.Destroy:
					want.Has |= flow.HasMark
					want.Mark, want.Status = 9, flow.Confirmed|flow.SeenReply|flow.Dying
					// Of the protocol's information there is the state alone (Linux 5.13).
					want.Has &^= flow.HasTCPWindow | flow.HasVTags | flow.HasDCCP
					want.OrigWindow, want.ReplyWindow, want.VTags, want.DCCP = flow.TCPWindow{}, flow.TCPWindow{}, flow.VTags{}, flow.DCCPInfo{}
				}
				if got.Timeout > want.Timeout || got.Timeout < want.Timeout-5*time.Second {
					t.Errorf("%v %v, %v: timeout %v, want %v", family, p, e.Type, got.Timeout, want.Timeout)
				}
				want.Timeout = got.Timeout
				for _, diff := range differences(got, want) {
					t.Errorf("%v %v, %v: %s", family, p, e.Type, diff)
				}
			}
		}
	}
}

func TestFollowTellsWhoCausedAnEvent(t *testing.T) {
	t.Parallel()
	ns, c := kernel(t)
	useHelpers(t, ns) // rules that look at connections, so that packets make them
	ns.LoopbackUp()
	other := dial(t, ns)
	s := subscribe(t, c, &conntrack.FollowOptions{Types: []flow.EventType{flow.New}})
	for i, client := range []*conntrack.Client{c, c, other} {
		create(t, client, entry(tuple(flow.UDP, flow.IPv4, i)))
	}
	nstest.Send(t, ns, netip.MustParseAddrPort("127.0.0.1:4444"), netip.MustParseAddrPort("127.0.0.1:9"), "x")
	all := events(t, s, 4)
	if a, b := all[0].PortID, all[2].PortID; a == 0 || b == 0 || a == b || all[1].PortID != a || all[3].PortID != 0 {
		t.Errorf("ports %d, %d, %d, %d; want two of one client, one of another, and 0", all[0].PortID, all[1].PortID, all[2].PortID, all[3].PortID)
	}
	if f := all[3].Flow; f.Orig.SrcPort != 4444 || f.Has.Has(flow.HasMark) {
		t.Errorf("made by a packet: %+v", f)
	}
}

func TestFollowTellsTimesAndCounts(t *testing.T) {
	t.Parallel()
	ns, c := kernel(t)
	ns.Sysctl("net/netfilter/nf_conntrack_acct", "1")
	ns.Sysctl("net/netfilter/nf_conntrack_timestamp", "1")
	useHelpers(t, ns)
	ns.LoopbackUp()
	s := subscribe(t, c, &conntrack.FollowOptions{Types: []flow.EventType{flow.Destroy}})
	begin := time.Now()
	echo := nstest.ServeEcho(t, ns, "udp", "127.0.0.1:0")
	nstest.Exchange(t, ns, "udp", netip.AddrPort{}, echo, 3)
	if err := c.Flush(limited(t), nil); err != nil {
		t.Fatal(err)
	}
	e := events(t, s, 1)[0]
	f := e.Flow
	// Three packets of 5 bytes behind 28 of headers, each way.
	if want := (flow.Counters{Packets: 3, Bytes: 99}); f.OrigCounters != want || f.ReplyCounters != want {
		t.Errorf("counters %+v, %+v, want %+v", f.OrigCounters, f.ReplyCounters, want)
	}
	start, stop := f.Start.Time(), f.Stop.Time()
	if !f.Has.Has(flow.HasStart|flow.HasStop) || start.Before(begin.Add(-time.Second)) || stop.Before(start) || time.Until(stop) > time.Second {
		t.Errorf("from %v to %v; the test began at %v", start, stop, begin)
	}
	if at := e.Time.Time(); conntrack.KernelIsAtLeast(6, 14) && (e.Time == 0 || at.Before(start) || time.Until(at) > time.Second) {
		t.Errorf("event at %v", at)
	}
}

func TestFollowObeysTypesAndFilter(t *testing.T) {
	t.Parallel()
	_, c := kernel(t)
	wanted := tuple(flow.UDP, flow.IPv6, 2)
	s := subscribe(t, c, &conntrack.FollowOptions{Types: []flow.EventType{flow.Destroy, flow.New},
		Filter: &filter.Filter{Orig: filter.Side{Src: filter.Addrs{Addr: wanted.Src}}}})
	none := subscribe(t, c, &conntrack.FollowOptions{Types: []flow.EventType{}})
	for i := range 4 {
		create(t, c, entry(tuple(flow.UDP, flow.IPv6, i)))
		if err := c.Update(limited(t), tuple(flow.UDP, flow.IPv6, i), 0, conntrack.Change{Mark: new(uint32(1))}); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Flush(limited(t), nil); err != nil {
		t.Fatal(err)
	}
	all := events(t, s, 2)
	if !slices.Equal(typesOf(all), []flow.EventType{flow.New, flow.Destroy}) || all[0].Flow.Orig != wanted || all[1].Flow.Orig != wanted {
		t.Errorf("got %v of %v and %v", typesOf(all), all[0].Flow.Orig, all[1].Flow.Orig)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	for e, err := range none.Events(ctx) {
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("no types: %v, %v", e.Type, err)
		}
	}
}

// What happens between Subscribe and Events is queued: list in between, and nothing is
// missed.
func TestNothingIsMissedBetweenSubscribeAndEvents(t *testing.T) {
	t.Parallel()
	_, c := kernel(t)
	const n = 3000
	makeMany(t, c, n/3)
	s := subscribe(t, c, nil)
	makeMore := make(chan bool)
	go func() {
		defer close(makeMore)
		for i := n / 3; i < n; i++ {
			e := entry(numbered(i))
			if err := c.Create(t.Context(), e); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	mirror := list(t, c, nil)
	<-makeMore
	if err := c.Delete(limited(t), &flow.Flow{Orig: numbered(n - 1)}); err != nil {
		t.Fatal(err)
	}
	for e, err := range s.Events(limited(t)) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Type == flow.Destroy {
			delete(mirror, e.Flow.Key())
			break
		}
		mirror[e.Flow.Key()] = e.Flow
	}
	truth := list(t, c, nil)
	for key, f := range truth {
		if m, ok := mirror[key]; !ok || m.ID != f.ID {
			t.Errorf("missed: %+v", f.Orig)
		}
	}
	if len(mirror) != len(truth) || len(truth) != n-1 {
		t.Errorf("%d flows, want %d, and %d in all", len(mirror), len(truth), n-1)
	}
}

func TestCancellationAndCloseEndFollowOnTheKernel(t *testing.T) {
	t.Parallel()
	_, c := kernel(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	for _, err := range c.Follow(ctx, nil) {
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want %v", err, context.DeadlineExceeded)
		}
	}
	s := subscribe(t, c, nil)
	time.AfterFunc(20*time.Millisecond, func() { s.Close() })
	for _, err := range s.Events(t.Context()) {
		if !errors.Is(err, os.ErrClosed) {
			t.Errorf("got %v, want %v", err, os.ErrClosed)
		}
	}
}

// Gathering makes events come together and late, but loses none, and hinders nobody from leaving.
func TestFollowGathers(t *testing.T) {
	t.Parallel()
	const gather = 20 * time.Millisecond
	_, c := kernel(t)
	s := subscribe(t, c, &conntrack.FollowOptions{Gather: gather})
	const n = 300
	go func() {
		for i := range n {
			e, _ := protocolEntry(flow.UDP, flow.IPv4, i+1)
			if err := c.Create(limited(t), e); err != nil {
				t.Error(err)
				return
			}
			time.Sleep(gather / 40)
		}
	}()
	alone, all := 0, 0
	for e, err := range s.Events(limited(t)) {
		if err != nil || e.Type != flow.New {
			t.Fatal(e, err)
		}
		if all++; !s.Queued() {
			alone++
		}
		if all == n {
			break
		}
	}
	if alone > n/4 {
		t.Errorf("%d events came in %d groups", n, alone)
	}

	quiet := subscribe(t, c, &conntrack.FollowOptions{Gather: gather})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	for _, err := range quiet.Events(ctx) {
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("at the end of the context: %v", err)
		}
	}
	closed := subscribe(t, c, &conntrack.FollowOptions{Gather: gather})
	time.AfterFunc(50*time.Millisecond, func() { closed.Close() })
	for _, err := range closed.Events(limited(t)) {
		if !errors.Is(err, os.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	}
}

// TestGatheringHoldsUpNothingThatIsThere: who is behind reads on at once, or would never catch up.
func TestGatheringHoldsUpNothingThatIsThere(t *testing.T) {
	t.Parallel()
	_, c := kernel(t)
	s := subscribe(t, c, &conntrack.FollowOptions{Gather: 3 * time.Second, Buffer: 64 << 20})
	const n = 30_000 // many times what is read at once
	for i := range n {
		e, _ := protocolEntry(flow.UDP, flow.IPv4, 1)
		e.Orig.SrcPort, e.Reply.DstPort = uint16(1+i), uint16(1+i)
		if err := c.Create(limited(t), e); err != nil {
			t.Fatal(err)
		}
	}
	// The last of them may wait.
	events(t, s, 3*n/4)
}
