//go:build linux

package conntrack_test

import (
	"errors"
	"io/fs"
	"testing"
	"time"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/filter"
	"github.com/spoor-project/spoor/flow"
)

// protocolEntry is an entry of p with what its tracker needs, and the flow that is
// to become of it.
func protocolEntry(p flow.Proto, family flow.Family, n int) (*conntrack.Entry, flow.Flow) {
	e := entry(tuple(p, family, n))
	f := flow.Flow{Orig: e.Orig, Timeout: 5 * time.Minute}
	switch {
	case p == flow.TCP:
		e.TCP = &conntrack.TCP{State: new(flow.TCPEstablished),
			Orig:  &conntrack.TCPWindow{Scale: new(uint8(7)), Flags: flow.TCPWindowScale | flow.TCPBeLiberal, Mask: 0xff},
			Reply: &conntrack.TCPWindow{Scale: new(uint8(5)), Flags: flow.TCPWindowScale, Mask: 0xff}}
		f.Has |= flow.HasState | flow.HasTCPWindow
		f.State = flow.TCPEstablished
		f.OrigWindow = flow.TCPWindow{Scale: 7, Flags: flow.TCPWindowScale | flow.TCPBeLiberal}
		f.ReplyWindow = flow.TCPWindow{Scale: 5, Flags: flow.TCPWindowScale}
	case p == flow.SCTP:
		e.SCTP = &conntrack.SCTP{State: new(flow.SCTPEstablished), VTags: &flow.VTags{Orig: 0x11223344, Reply: 0x55667788}}
		f.Has |= flow.HasState | flow.HasVTags
		f.State, f.VTags = flow.SCTPEstablished, *e.SCTP.VTags
	case p == flow.DCCP && !conntrack.KernelIsAtLeast(6, 17):
		e.DCCP = &conntrack.DCCP{State: new(flow.DCCPOpen), Role: new(flow.DCCPServer), HandshakeSeq: new(uint64(1 << 40))}
		f.Has |= flow.HasState | flow.HasDCCP
		f.State, f.DCCP = flow.DCCPOpen, flow.DCCPInfo{Role: flow.DCCPServer, HandshakeSeq: 1 << 40}
	case p == flow.DCCP: // its tracker was removed: only the addresses count
		f.Orig.SrcPort, f.Orig.DstPort = 0, 0
	}
	return e, f
}

const generic flow.Proto = 50 // has no tracker

func TestEveryProtocolIsCreatedReadChangedAndDeleted(t *testing.T) {
	t.Parallel()
	_, c := kernel(t)
	ctx := limited(t)
	for _, family := range []flow.Family{flow.IPv4, flow.IPv6} {
		for _, p := range append(flow.Protos(), generic) {
			e, want := protocolEntry(p, family, 1)
			create(t, c, e)
			check(t, get(t, c, want.Orig, 0), want)
			reply, _ := want.Orig.Inverse()
			check(t, get(t, c, reply, 0), want)

			if err := c.Create(ctx, e); !errors.Is(err, conntrack.ErrExists) || !errors.Is(err, fs.ErrExist) {
				t.Errorf("%v %v: created twice: %v", family, p, err)
			}
			if all := list(t, c, &filter.Filter{Family: family}); len(all) != 1 {
				t.Errorf("%v %v: %d entries, want 1", family, p, len(all))
			} else {
				check(t, all[want.Key()], want)
			}

			err := c.Update(ctx, want.Orig, 0, conntrack.Change{Mark: new(uint32(7)), Timeout: new(time.Hour), Status: new(flow.SeenReply)})
			if err != nil {
				t.Errorf("%v %v: %v", family, p, err)
			}
			want.Mark, want.Timeout, want.Status = 7, time.Hour, flow.SeenReply|flow.Confirmed
			f := get(t, c, want.Orig, 0)
			check(t, f, want)

			if err := c.Delete(ctx, &f); err != nil {
				t.Errorf("%v %v: delete: %v", family, p, err)
			}
			if _, err := c.Get(ctx, want.Orig, 0); !errors.Is(err, conntrack.ErrNotFound) || !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%v %v: deleted and found: %v", family, p, err)
			}
			if err := c.Delete(ctx, &f); !errors.Is(err, conntrack.ErrNotFound) {
				t.Errorf("%v %v: deleted twice: %v", family, p, err)
			}
			if err := c.Update(ctx, want.Orig, 0, conntrack.Change{}); !errors.Is(err, conntrack.ErrNotFound) {
				t.Errorf("%v %v: changed what is not there: %v", family, p, err)
			}
		}
	}
}

func TestFlushRemovesEveryProtocol(t *testing.T) {
	t.Parallel()
	_, c := kernel(t)
	for _, family := range []flow.Family{flow.IPv4, flow.IPv6} {
		for i, p := range append(flow.Protos(), generic) {
			e, _ := protocolEntry(p, family, i)
			create(t, c, e)
		}
	}
	if n := count(t, c); n != 18 {
		t.Fatalf("%d entries, want 18", n)
	}
	if err := c.Flush(limited(t), &filter.Filter{Family: flow.IPv6}); err != nil {
		t.Fatal(err)
	}
	for key := range list(t, c, nil) {
		if key.Family != flow.IPv4 {
			t.Errorf("%+v was to be removed", key.Tuple())
		}
	}
	if n := count(t, c); n != 9 {
		t.Errorf("%d entries, want the 9 of IPv4", n)
	}
	if err := c.Flush(limited(t), nil); err != nil {
		t.Fatal(err)
	}
	if n := count(t, c); n != 0 {
		t.Errorf("%d entries, want none", n)
	}
}

func TestPutCreatesAndChanges(t *testing.T) {
	t.Parallel()
	_, c := kernel(t)
	e, want := protocolEntry(flow.TCP, flow.IPv4, 1)
	for mark := range uint32(3) {
		e.Mark, want.Mark = &mark, mark
		if err := c.Put(limited(t), e); err != nil {
			t.Fatal(err)
		}
		check(t, get(t, c, e.Orig, 0), want)
	}
	if n := count(t, c); n != 1 {
		t.Errorf("%d entries, want 1", n)
	}
	e.SrcNAT = &conntrack.NAT{}
	if err := c.Put(limited(t), e); !errors.Is(err, conntrack.ErrNotSupported) {
		t.Errorf("translation of a flow that exists: %v, want %v", err, conntrack.ErrNotSupported)
	}
}

func TestZonesKeepFlowsApart(t *testing.T) {
	t.Parallel()
	_, c := kernel(t)
	plain := entry(tuple(flow.UDP, flow.IPv4, 1))
	both, orig, reply := *plain, *plain, *plain
	both.Zone = 1
	orig.Orig.Zone = 2
	reply.Reply.Zone = 3
	reply.Orig.SrcPort++ // a zone of the reply alone does not keep the originals apart
	reply.Reply.DstPort++
	// A zone of one direction leaves the other in the default zone, where it collides.
	orig.Reply.Src, orig.Reply.SrcPort = addr("198.51.100.2"), 81
	create(t, c, plain, &both, &orig, &reply)

	want := flow.Flow{Orig: plain.Orig, Timeout: 5 * time.Minute}
	check(t, get(t, c, plain.Orig, 0), want)
	want.Has, want.Zone = flow.HasZone, 1
	check(t, get(t, c, plain.Orig, 1), want)
	check(t, get(t, c, orig.Orig, 0), flow.Flow{Orig: orig.Orig, Reply: orig.Reply, Timeout: 5 * time.Minute})
	check(t, get(t, c, reply.Orig, 0), flow.Flow{Orig: reply.Orig, Reply: reply.Reply, Timeout: 5 * time.Minute})
	if _, err := c.Get(limited(t), plain.Orig, 4); !errors.Is(err, conntrack.ErrNotFound) {
		t.Errorf("in a zone that has none: %v, want %v", err, conntrack.ErrNotFound)
	}

	all := list(t, c, nil)
	if len(all) != 4 {
		t.Errorf("%d entries, want 4", len(all))
	}
	// Each is deleted in its own zone, and no other goes with it.
	left := len(all)
	for _, f := range all {
		if err := c.Delete(limited(t), &f); err != nil {
			t.Errorf("%+v in zone %d: %v", f.Orig, f.Zone, err)
		}
		left--
		if n := count(t, c); n != left {
			t.Fatalf("%d entries, want %d", n, left)
		}
	}
}

func TestTheHighestZone(t *testing.T) {
	t.Parallel()
	_, c := kernel(t)
	e := entry(tuple(flow.UDP, flow.IPv6, 1))
	e.Zone = 65535
	create(t, c, e)
	if f := get(t, c, e.Orig, 65535); f.Zone != 65535 {
		t.Errorf("zone %d, want 65535", f.Zone)
	}
	if err := c.Update(limited(t), e.Orig, 65535, conntrack.Change{Mark: new(uint32(1))}); err != nil {
		t.Error(err)
	}
}

// The ID tells a flow from its successor, which may have everything else in common. It is
// a hash of, among others, where the entry lies in memory: a successor that is made in
// the very place has the same, so here another entry takes the place first.
func TestDeleteLeavesASuccessorAlone(t *testing.T) {
	t.Parallel()
	_, c := kernel(t)
	e := entry(tuple(flow.UDP, flow.IPv4, 1))
	told := 0
	for i := range 20 {
		create(t, c, e)
		old := get(t, c, e.Orig, 0)
		if err := c.Delete(limited(t), &old); err != nil {
			t.Fatal(err)
		}
		create(t, c, entry(tuple(flow.UDP, flow.IPv4, 2+i)), e)
		successor := get(t, c, e.Orig, 0)
		if successor.ID == old.ID {
			t.Logf("ID %#x was used again", old.ID)
		} else if told++; !errors.Is(c.Delete(limited(t), &old), conntrack.ErrNotFound) {
			t.Error("deleted a successor")
		}
		if err := c.Delete(limited(t), &successor); err != nil {
			t.Fatal(err)
		}
	}
	if told < 10 {
		t.Errorf("the ID told %d of 20 successors", told)
	}
	// Without the ID the tuple alone counts.
	create(t, c, e)
	if err := c.Delete(limited(t), &flow.Flow{Orig: e.Orig, ID: 1}); err != nil {
		t.Errorf("without an ID: %v", err)
	}
}
