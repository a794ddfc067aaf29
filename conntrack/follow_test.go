//go:build linux

package conntrack

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/spoor-project/spoor/filter"
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/nfnetlink"
	"github.com/spoor-project/spoor/internal/nfnetlink/nfnetlinktest"
)

const isNew = nfnetlink.Create | nfnetlink.Excl

// flowEvent is an event of the i-th flow.
func flowEvent(kind uint8, flags uint16, i int) []byte {
	return nfnetlinktest.Event(nfnetlink.Conntrack, kind, flags, 0, entryBody(numbered(i)))
}

func expectEvent(kind uint8, flags uint16, i int) []byte {
	tuple := numbered(i)
	return nfnetlinktest.Event(nfnetlink.ConntrackExpect, kind, flags, 0, body(func(b *nfnetlink.Builder) {
		appendTuple(b, ctaExpectTuple, &tuple)
	}))
}

func send(t *testing.T, p *nfnetlinktest.Peer, datagrams ...[]byte) {
	t.Helper()
	for _, d := range datagrams {
		if err := p.Send(d); err != nil {
			t.Error(err)
		}
	}
}

func TestSubscribeJoinsTheGroupsOfTheTypes(t *testing.T) {
	tests := []struct {
		types []flow.EventType
		want  []nfnetlink.Group // of flows; those of expectations are three on
	}{
		{nil, []nfnetlink.Group{1, 2, 3}},
		{[]flow.EventType{}, nil},
		{[]flow.EventType{flow.Destroy}, []nfnetlink.Group{3}},
		{[]flow.EventType{flow.Update, flow.New, flow.Update}, []nfnetlink.Group{2, 1}},
		{[]flow.EventType{flow.Lost, 0, 77, flow.New}, []nfnetlink.Group{1}},
	}
	for _, tt := range tests {
		var asked nfnetlink.Options
		c, err := Dial(OptionsWith(func(o *nfnetlink.Options) (*nfnetlink.Conn, error) {
			asked = *o
			return nfnetlinktest.Dial(succeed)
		}))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		opts := &FollowOptions{Types: tt.types, NoENOBUFS: true, Reliable: true}
		s, err := c.Subscribe(opts)
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
		if !slices.Equal(asked.Groups, tt.want) || !asked.NoENOBUFS || !asked.BroadcastError {
			t.Errorf("types %v: %+v, want the groups %v", tt.types, asked, tt.want)
		}
		x, err := c.SubscribeExpects(&FollowOptions{Types: tt.types})
		if err != nil {
			t.Fatal(err)
		}
		x.Close()
		for i := range tt.want {
			tt.want[i] += 3
		}
		if !slices.Equal(asked.Groups, tt.want) || asked.NoENOBUFS || asked.BroadcastError {
			t.Errorf("types %v of expectations: %+v, want the groups %v", tt.types, asked, tt.want)
		}
	}
}

func TestFollowKeepsTheOrder(t *testing.T) {
	c, peers := eventClient(t)
	s, err := c.Subscribe(nil)
	if err != nil {
		t.Fatal(err)
	}
	peer := <-peers
	defer peer.Close()
	const n = 5000
	go func() {
		for i := range n {
			var datagrams [][]byte
			switch i % 4 {
			case 0:
				datagrams = [][]byte{flowEvent(msgNew, isNew, i)}
			case 1: // the kernel does not put two into one datagram, but nothing forbids it
				datagrams = [][]byte{append(flowEvent(msgNew, 0, i), flowEvent(msgDelete, 0, i+1)...)}
			case 3: // no event of a flow: passed over
				datagrams = [][]byte{expectEvent(msgExpectNew, isNew, i), flowEvent(msgGetStats, 0, i)}
			}
			for _, d := range datagrams {
				if peer.Send(d) != nil {
					return // the last ones are not waited for
				}
			}
		}
	}()
	want := []flow.EventType{flow.New, flow.Update, flow.Destroy}
	i := 0
	for e, err := range s.Events(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Type != want[i%4] || e.Flow.Orig != numbered(i) {
			t.Fatalf("event %d: %v of %v, want %v of %v", i, e.Type, e.Flow.Orig.Src, want[i%4], numbered(i).Src)
		}
		if i++; i%4 == 3 {
			i++
		}
		if i == n {
			break
		}
	}
	if i != n {
		t.Errorf("%d events, want %d", i, n)
	}
}

func TestFollowTellsWhatTheFilterSelects(t *testing.T) {
	c, peers := eventClient(t)
	s, err := c.Subscribe(&FollowOptions{Filter: &filter.Filter{Orig: filter.Side{Src: filter.Addrs{Addr: numbered(2).Src}}}})
	if err != nil {
		t.Fatal(err)
	}
	peer := <-peers
	defer peer.Close()
	for i := range 4 {
		send(t, peer, flowEvent(msgNew, isNew, i))
	}
	for e, err := range s.Events(t.Context()) {
		if err != nil || e.Flow.Orig != numbered(2) {
			t.Errorf("got %v, %v, want %v", e.Flow.Orig.Src, err, numbered(2).Src)
		}
		break
	}
}

func TestQueuedTellsWhetherMoreIsAtHand(t *testing.T) {
	c, peers := eventClient(t)
	s, err := c.Subscribe(nil)
	if err != nil {
		t.Fatal(err)
	}
	peer := <-peers
	defer peer.Close()
	send(t, peer, append(flowEvent(msgNew, isNew, 0), flowEvent(msgNew, isNew, 1)...))
	i := 0
	for _, err := range s.Events(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if queued := s.Queued(); queued != (i == 0) {
			t.Errorf("event %d: more at hand: %v", i, queued)
		}
		if i++; i == 2 {
			break
		}
	}
	x, err := c.SubscribeExpects(nil)
	if err != nil {
		t.Fatal(err)
	}
	peer = <-peers
	defer peer.Close()
	send(t, peer, append(expectEvent(msgExpectNew, isNew, 0), expectEvent(msgExpectDelete, 0, 1)...))
	var types []flow.EventType
	for e, err := range x.Events(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		types = append(types, e.Type)
		if !x.Queued() {
			break
		}
	}
	if !slices.Equal(types, []flow.EventType{flow.New, flow.Destroy}) {
		t.Errorf("expectations: %v, want NEW and DESTROY", types)
	}
}

// followers are the streams that do not end by themselves.
var followers = map[string]func(context.Context, *Client, func(error) bool){
	"Follow":        func(ctx context.Context, c *Client, each func(error) bool) { drain(c.Follow(ctx, nil), each) },
	"FollowExpects": func(ctx context.Context, c *Client, each func(error) bool) { drain(c.FollowExpects(ctx, nil), each) },
}

// manyEvents sends events that either stream takes, until the other end is closed.
func manyEvents(p *nfnetlinktest.Peer) {
	defer p.Close()
	for i := 0; ; i++ {
		if p.Send(append(flowEvent(msgNew, isNew, i), expectEvent(msgExpectNew, isNew, i)...)) != nil {
			return
		}
	}
}

func TestLeavingFollowReleasesEverything(t *testing.T) {
	for stream, run := range followers {
		t.Run(stream, func(t *testing.T) {
			c, peers := eventClient(t)
			noLeaks(t)
			for leaveAfter := range 5 {
				go func() { manyEvents(<-peers) }()
				items := 0
				run(t.Context(), c, func(err error) bool {
					if err != nil {
						t.Error(err)
					}
					time.Sleep(time.Millisecond) // lets it read ahead
					items++
					return items <= leaveAfter
				})
				if items != leaveAfter+1 {
					t.Errorf("the loop went on: %d items, left at %d", items, leaveAfter+1)
				}
			}
		})
	}
}

func TestFollowEndsWithTheContextsError(t *testing.T) {
	for stream, run := range followers {
		for _, busy := range []bool{false, true} {
			c, peers := eventClient(t)
			go func() {
				if p := <-peers; busy {
					manyEvents(p)
				} else {
					io.ReadAll(reader{p})
					p.Close()
				}
			}()
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
			defer cancel()
			var last error
			run(ctx, c, func(err error) bool {
				if last != nil {
					t.Errorf("%s: an item behind the error %v", stream, last)
				}
				last = err
				return true
			})
			if !errors.Is(last, context.DeadlineExceeded) {
				t.Errorf("%s, busy %v: %v, want %v", stream, busy, last, context.DeadlineExceeded)
			}
		}
	}
}

type reader struct{ p *nfnetlinktest.Peer }

func (r reader) Read(b []byte) (int, error) { return r.p.Recv(b) }

func TestFollowEndsWithItsFirstError(t *testing.T) {
	tests := map[string][]byte{
		"no tuple":   nfnetlinktest.Event(nfnetlink.Conntrack, msgNew, isNew, 0, body(nil)),
		"no expect":  nfnetlinktest.Event(nfnetlink.ConntrackExpect, msgExpectNew, isNew, 0, body(nil)),
		"cut off":    flowEvent(msgNew, isNew, 1)[:15],
		"length lie": append([]byte{1, 0, 0, 0}, make([]byte, 20)...),
	}
	for stream, run := range followers {
		for name, bad := range tests {
			if name == "no tuple" && stream == "FollowExpects" || name == "no expect" && stream == "Follow" {
				continue
			}
			c, peers := eventClient(t)
			sent := make(chan bool)
			go func() {
				p := <-peers
				defer p.Close()
				send(t, p, flowEvent(msgNew, isNew, 0), expectEvent(msgExpectNew, isNew, 0), bad)
				<-sent
			}()
			var errs []error
			run(t.Context(), c, func(err error) bool { errs = append(errs, err); return true })
			close(sent)
			if len(errs) != 2 || errs[0] != nil || !errors.Is(errs[1], nfnetlink.ErrMalformed) {
				t.Errorf("%s, %s: %v, want one event and %v", stream, name, errs, nfnetlink.ErrMalformed)
			}
		}
	}
}

func TestCloseEndsTheLoopOverEvents(t *testing.T) {
	noLeaks(t)
	c, peers := eventClient(t)
	s, err := c.Subscribe(nil)
	if err != nil {
		t.Fatal(err)
	}
	x, err := c.SubscribeExpects(nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		p := <-peers
		defer p.Close()
	}
	time.AfterFunc(20*time.Millisecond, func() {
		s.Close()
		x.Close()
	})
	for _, err := range s.Events(t.Context()) {
		if !errors.Is(err, os.ErrClosed) {
			t.Errorf("got %v, want %v", err, os.ErrClosed)
		}
	}
	for _, err := range x.Events(t.Context()) {
		if !errors.Is(err, os.ErrClosed) {
			t.Errorf("expectations: %v, want %v", err, os.ErrClosed)
		}
	}
	// A second loop finds the same.
	for _, err := range s.Events(t.Context()) {
		if !errors.Is(err, os.ErrClosed) {
			t.Errorf("second loop: %v, want %v", err, os.ErrClosed)
		}
	}
}
