//go:build linux

package conntrack

import (
	"slices"
	"sync"
	"syscall"

	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/nfnetlink"
	"github.com/spoor-project/spoor/internal/nfnetlink/nfnetlinktest"
)

// FakeTable is a kernel for examples: it keeps what requests say and says it again. It
// knows neither time nor packets, and of filters only that on the family.
type FakeTable struct {
	mu        sync.Mutex
	tables    map[nfnetlink.Subsystem][]nfnetlinktest.Body
	listeners []fakeListener
	timeouts  *timeoutKernel
	helpers   helperKernel
	lastID    uint32
	hello     [][]byte // events that a new listener finds
}

type fakeListener struct {
	groups []nfnetlink.Group
	peer   *nfnetlinktest.Peer
}

// NewFakeTable returns an empty table. Whoever begins to follow flows finds the events of
// those in hello: each is made, changed and removed.
func NewFakeTable(hello ...flow.Tuple) *FakeTable {
	k := &FakeTable{tables: map[nfnetlink.Subsystem][]nfnetlinktest.Body{}, timeouts: newTimeoutKernel()}
	for _, tuple := range hello {
		body := entryBody(tuple)
		k.hello = append(k.hello, nfnetlinktest.Event(nfnetlink.Conntrack, msgNew, nfnetlink.Create|nfnetlink.Excl, 0, body),
			nfnetlinktest.Event(nfnetlink.Conntrack, msgNew, 0, 0, body),
			nfnetlinktest.Event(nfnetlink.Conntrack, msgDelete, 0, 0, body))
	}
	return k
}

// Options make [Dial] use k.
func (k *FakeTable) Options() *Options {
	return OptionsWith(func(o *nfnetlink.Options) (*nfnetlink.Conn, error) {
		if o.Groups == nil {
			return nfnetlinktest.Dial(k.handle)
		}
		conn, peer, err := nfnetlinktest.Pipe()
		if err != nil {
			return nil, err
		}
		k.mu.Lock()
		defer k.mu.Unlock()
		k.listeners = append(k.listeners, fakeListener{o.Groups, peer})
		for i, event := range k.hello {
			if slices.Contains(o.Groups, nfnetlink.Group(i%3+1)) {
				peer.Send(event)
			}
		}
		return conn, nil
	})
}

// handle answers requests about flows and those about expectations, most of which have
// the same numbers.
func (k *FakeTable) handle(r *nfnetlinktest.Request) [][]byte {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch r.Subsystem() {
	case nfnetlink.ConntrackTimeout:
		return k.timeouts.handle(r)
	case nfnetlink.ConntrackHelper:
		return k.helpers.handle(r)
	}
	table := k.tables[r.Subsystem()]
	asked, byTuple := identityOf(&r.Message)
	is := func(b nfnetlinktest.Body) bool {
		id, _ := identityOf(&nfnetlink.Message{Type: r.Type, Payload: b})
		return id == asked
	}
	at := -1
	if byTuple {
		at = slices.IndexFunc(table, is)
	}
	switch {
	case r.Kind() == msgGetStats && r.Subsystem() == nfnetlink.Conntrack:
		return r.Acked(r.Data(msgGetStats, 0, nfnetlinktest.NewBody(0, func(b *nfnetlink.Builder) {
			b.Uint32(ctaStatsGlobalEntries, uint32(len(table)))
			b.Uint32(ctaStatsGlobalMaxEntries, 262144)
		})))
	case r.Kind() == msgGetStatsCPU, r.Kind() == msgExpectGetStatsCPU && r.Subsystem() == nfnetlink.ConntrackExpect:
		return r.Multipart(r.Kind(), 1, nfnetlinktest.NewBody(0, func(b *nfnetlink.Builder) {
			b.Uint32(StatFound, 7)
			b.Uint32(ExpectStatDelete, 1)
		}))
	case r.Kind() == msgGetDying, r.Kind() == msgGetUnconfirmed:
		return r.Multipart(msgNew, 1)
	case r.Kind() == msgNew && at < 0 && r.Flags&nfnetlink.Create == 0,
		r.Kind() != msgNew && at < 0 && byTuple:
		return [][]byte{r.Error(syscall.ENOENT)}
	case r.Kind() == msgNew && at >= 0 && r.Flags&nfnetlink.Excl != 0:
		return [][]byte{r.Error(syscall.EEXIST)}
	case r.Kind() == msgNew:
		k.put(r, at)
		return r.Acked()
	case r.Kind() == msgDelete:
		k.tables[r.Subsystem()] = slices.DeleteFunc(table, func(b nfnetlinktest.Body) bool {
			gone := byTuple && is(b) || !byTuple && (r.Family() == 0 || r.Family() == b[0])
			if gone {
				k.tell(r, msgDelete, 0, b)
			}
			return gone
		})
		return r.Acked()
	case byTuple:
		return r.Acked(r.Data(msgNew, 0, table[at]))
	case r.Family() != 0:
		table = slices.DeleteFunc(slices.Clone(table), func(b nfnetlinktest.Body) bool { return b[0] != r.Family() })
	}
	return r.Multipart(msgNew, 10, table...)
}

// put makes an entry of what the request says, or adds that to the one at a place.
func (k *FakeTable) put(r *nfnetlinktest.Request, at int) {
	table := k.tables[r.Subsystem()]
	if at >= 0 { // of a repeated attribute the last counts
		table[at] = append(slices.Clone(table[at]), r.Payload[4:]...)
		k.tell(r, msgNew, 0, table[at])
		return
	}
	k.lastID++
	var b nfnetlink.Builder
	b.Uint32(ctaID, k.lastID)
	b.Uint32(ctaStatus, uint32(flow.Confirmed))
	if r.Subsystem() == nfnetlink.ConntrackExpect {
		b.Reset()
	}
	body := append(append(nfnetlinktest.Body{r.Family(), 0, 0, 0}, b.Bytes()...), r.Payload[4:]...)
	k.tables[r.Subsystem()] = append(table, body)
	k.tell(r, msgNew, nfnetlink.Create|nfnetlink.Excl, body)
}

// tell sends an event to those who listen.
func (k *FakeTable) tell(r *nfnetlinktest.Request, kind uint8, flags uint16, body nfnetlinktest.Body) {
	group := nfnetlink.GroupNew
	switch {
	case kind == msgDelete:
		group = nfnetlink.GroupDestroy
	case flags == 0:
		group = nfnetlink.GroupUpdate
	}
	if r.Subsystem() == nfnetlink.ConntrackExpect {
		group += nfnetlink.GroupExpectNew - nfnetlink.GroupNew
	}
	k.listeners = slices.DeleteFunc(k.listeners, func(l fakeListener) bool {
		if !slices.Contains(l.groups, group) {
			return false
		}
		gone := l.peer.Send(nfnetlinktest.Event(r.Subsystem(), kind, flags, 4711, body)) != nil
		if gone {
			l.peer.Close()
		}
		return gone
	})
}

func tupleAttr(s nfnetlink.Subsystem) uint16 {
	if s == nfnetlink.ConntrackExpect {
		return ctaExpectTuple
	}
	return ctaTupleOrig
}

// identity is what tells entries apart.
type identity struct {
	tuple flow.Tuple
	zone  uint16 // of flows; none is given for expectations
}

// identityOf finds what the message is about; ok is false if that is not one entry.
func identityOf(m *nfnetlink.Message) (id identity, ok bool) {
	for a := m.Attrs(); a.Next(); {
		switch a.Type {
		case tupleAttr(m.Subsystem()):
			id.tuple, ok = decodeTuple(a.Nested()), true
		case ctaZone:
			id.zone, _ = a.Uint16()
		}
	}
	return id, ok
}
