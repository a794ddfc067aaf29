package cthelper

import (
	"sync/atomic"

	"github.com/spoor-project/spoor/flow"
)

// Figures says what an instance has done since it was started.
type Figures struct {
	Name      string
	Family    flow.Family
	Transport flow.Proto
	Queue     uint16
	Counts
}

// Counts only grow.
type Counts struct {
	Read uint64 // packets that the parser was given
	// Expected counts expectations. What becomes of one that goes with a verdict the kernel does not say: it counts.
	Expected  uint64
	Refused   uint64 // expectations that the kernel did not make
	Rewritten uint64 // packets
	Dropped   uint64 // packets: not to be rewritten, or bad
	// Unread counts packets that passed because the socket had no room for them. Those for which the queue had none nobody counts.
	Unread uint64
}

// counters are Counts that somebody else may look at meanwhile.
type counters struct {
	read, expected, refused, rewritten, dropped, unread atomic.Uint64
}

// Figures returns those of every instance, in the order in which they were started. Any goroutine may call it.
func (s *Service) Figures() []Figures {
	all := make([]Figures, len(s.workers))
	for i, w := range s.workers {
		all[i] = w.figures()
	}
	return all
}

func (w *worker) figures() Figures {
	c := &w.counters
	return Figures{Name: w.Name, Family: w.Family, Transport: w.Transport, Queue: w.Queue, Counts: Counts{
		Read: c.read.Load(), Expected: c.expected.Load(), Refused: c.refused.Load(),
		Rewritten: c.rewritten.Load(), Dropped: c.dropped.Load(), Unread: c.unread.Load()}}
}

// count counts what a verdict has in it.
func (c *counters) count(v *Verdict) {
	if v.Expect != nil {
		c.expected.Add(1)
	}
	if v.Packet != nil {
		c.rewritten.Add(1)
	}
	if v.Drop {
		c.dropped.Add(1)
	}
}
