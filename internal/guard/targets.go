package guard

import (
	"net/netip"

	"github.com/spoor-project/spoor/flow"
)

// target is what a source has tried to reach and has got no answer from yet.
type target struct {
	addr  [16]byte
	port  uint16
	proto flow.Proto
	flags uint8
	at    uint32 // second of the last try
	next  uint32 // number and 1 of another of the same source
}

const (
	refused = 1 << iota // it will not be answered any more
	told                // a finding has been made of it
	forPorts
	forHosts
	forSlow
)

// targets are lists of targets in pieces of memory without pointers.
type targets struct {
	chunk [][]target
	made  int
	free  uint32 // number and 1
	used  int
	most  int
}

func (t *targets) at(n uint32) *target { return &t.chunk[(n-1)/chunkSize][(n-1)%chunkSize] }

// add puts a target at the head of a list, if there is room.
func (t *targets) add(head *uint32, it target) bool {
	if t.used == t.most {
		return false
	}
	n := t.free
	if n != 0 {
		t.free = t.at(n).next
	} else {
		if t.made%chunkSize == 0 {
			t.chunk = append(t.chunk, make([]target, chunkSize))
		}
		t.made++
		n = uint32(t.made)
	}
	t.used++
	it.next = *head
	*t.at(n) = it
	*head = n
	return true
}

// find returns a target of a list, nil if it is not there.
func (t *targets) find(head uint32, addr *[16]byte, proto flow.Proto, port uint16) *target {
	for n := head; n != 0; n = t.at(n).next {
		if it := t.at(n); it.port == port && it.proto == proto && it.addr == *addr {
			return it
		}
	}
	return nil
}

// remove takes out of a list what leaves says.
func (t *targets) remove(head *uint32, leaves func(*target) bool) (removed int) {
	for link := head; *link != 0; {
		n := *link
		it := t.at(n)
		if !leaves(it) {
			link = &it.next
			continue
		}
		*link = it.next
		*it = target{next: t.free}
		t.free = n
		t.used--
		removed++
	}
	return removed
}

// list are the targets of a list.
func (t *targets) list(head uint32, into []*target) []*target {
	for n := head; n != 0; n = t.at(n).next {
		into = append(into, t.at(n))
	}
	return into
}

// address is the address as people write it.
func address(b [16]byte) netip.Addr { return netip.AddrFrom16(b).Unmap() }
