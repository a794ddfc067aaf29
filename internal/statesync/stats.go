package statesync

import "github.com/spoor-project/spoor/internal/statesync/wire"

// Stats are counters since the start, as conntrackd's -s shows them.
type Stats struct {
	Internal, External         CacheStats
	InternalExps, ExternalExps CacheStats
	Bypass                     BypassStats // NoInternalCache
	Traffic                    Traffic
	Network                    NetworkStats
}

// CacheStats tell of a cache. A flow that was told of as new again counts as created again.
type CacheStats struct {
	Active    int // flows that live
	Objects   int // and dead ones that have not been acknowledged
	Bytes     int // of memory
	Created   uint64
	Failed    uint64 // creations for which there was no room
	Updated   uint64
	Destroyed uint64
}

func (s *CacheStats) full() { s.Failed++ }

// BypassStats are the events that were sent without a cache.
type BypassStats struct{ New, Updated, Destroyed uint64 }

// Traffic is what ended flows have carried in both directions, as far as the kernel counts it.
type Traffic struct{ Bytes, Packets uint64 }

// NetworkStats tell of messages.
type NetworkStats struct {
	Malformed     uint64                 // received, of any kind
	Faults        [wire.NumFaults]uint64 // by kind
	SendMalformed uint64                 // flows that could not be told of
	Lost          uint64                 // missing in the numbering; FTFW asks for them
	Before        uint64                 // came late or twice
	Resent        uint64                 // asked for again by a peer, or outstanding when one started
	Bulks         uint64                 // times that everything was told
}

// QueueStats tell of a queue.
type QueueStats struct {
	Len, Max  int
	Overflows uint64
}

// Stats returns the counters.
func (e *Engine) Stats() Stats {
	s := e.stats
	s.Internal.Objects, s.Internal.Bytes = e.internal.Len(), e.internal.Bytes()
	s.Internal.Active = s.Internal.Objects - e.deadFlows()
	s.External.Objects, s.External.Bytes = e.external.Len(), e.external.Bytes()
	s.External.Active = s.External.Objects
	s.InternalExps.Objects, s.ExternalExps.Objects = len(e.internalExps.byKey), len(e.externalExps.byKey)
	s.InternalExps.Active, s.ExternalExps.Active = s.InternalExps.Objects, s.ExternalExps.Objects
	for i := range e.internalExps.objects {
		if o := &e.internalExps.objects[i]; o.there && o.state == dead {
			s.InternalExps.Active--
		}
	}
	return s
}

// Queues returns how full the queues are.
func (e *Engine) Queues() (transmit, resend QueueStats) {
	stats := func(q *queue) QueueStats { return QueueStats{q.len, q.limit, q.overflows} }
	return stats(&e.transmit), stats(&e.resend)
}

// deadFlows counts the flows that wait for their end being told or acknowledged: all are in a queue.
func (e *Engine) deadFlows() (n int) {
	for _, q := range []*queue{&e.transmit, &e.resend} {
		for at := q.first; at != 0; at = e.item(at).next {
			if at.kind() == ofFlow && e.item(at).state == dead {
				n++
			}
		}
	}
	return n
}

// Waiting is a message that has not been acknowledged.
type Waiting struct {
	Control bool
	Seq     uint32
	Flags   wire.Flags // of a control message
}

// Waiting returns what is in the resend queue, oldest first.
func (e *Engine) Waiting() []Waiting {
	var all []Waiting
	for n := e.resend.first; n != 0; {
		it := e.item(n)
		w := Waiting{Seq: it.seq}
		if n.kind() == ofControl {
			w.Control, w.Flags = true, e.controls[n.index()].flags
		}
		all = append(all, w)
		n = it.next
	}
	return all
}
