package statesync

import (
	"time"

	"github.com/spoor-project/spoor/internal/mirror"
)

// node is something that can wait in a queue: a flow or an expectation of a cache, or a
// control message. Zero is none.
type node uint32

const (
	ofFlow node = iota << 30
	ofExpect
	ofControl
	kindMask = 3 << 30
)

func flowNode(r mirror.Ref) node { return node(r) }

func (n node) kind() node { return n & kindMask }
func (n node) index() int { return int(n &^ kindMask) }

// item is what all nodes have: their place in the queue that they are in, and what was sent of them.
type item struct {
	prev, next node
	seq        uint32 // of the message it was last sent in
	due        uint32 // wheel: the slot
	in         place
	state      state
	seen       uint8 // Engine.generation when the kernel last told of it
}

// place says which queue a node is in.
type place uint8

const (
	nowhere place = iota
	inTransmit
	inResend
	inAge
	inWheel
)

// queue is a list of nodes.
type queue struct {
	id          place
	first, last node
	len, limit  int
	overflows   uint64 // nodes that found no room

	at func(node) *item
}

func (q *queue) push(n node) {
	l := q.at(n)
	l.prev, l.next, l.in = q.last, 0, q.id
	if q.last != 0 {
		q.at(q.last).next = n
	} else {
		q.first = n
	}
	q.last = n
	q.len++
}

func (q *queue) remove(n node) {
	l := q.at(n)
	if l.prev != 0 {
		q.at(l.prev).next = l.next
	} else {
		q.first = l.next
	}
	if l.next != 0 {
		q.at(l.next).prev = l.prev
	} else {
		q.last = l.prev
	}
	l.prev, l.next, l.in = 0, 0, nowhere
	q.len--
}

// renew puts n at the end, wherever in the queue it is, or if it is in none.
func (q *queue) renew(n node) {
	if q.at(n).in == q.id {
		q.remove(n)
	}
	q.push(n)
}

// clear forgets what is in the queue, whose nodes are gone.
func (q *queue) clear() { q.first, q.last, q.len = 0, 0, 0 }

func (q *queue) pop() node {
	n := q.first
	q.remove(n)
	return n
}

// wheel holds nodes by when their time comes, in ticks.
type wheel struct {
	slots []queue
	tick  int64 // the next to be dealt with

	at func(node) *item
}

const (
	wheelTick  = Moment(100 * time.Millisecond)
	maxRefresh = 24 * 3600 // seconds
)

// add puts n into the wheel, some ticks from now, at most most.
func (w *wheel) add(n node, now Moment, ticks, most int) {
	if w.slots == nil {
		w.slots = make([]queue, most+2)
		for i := range w.slots {
			w.slots[i] = queue{id: inWheel, at: w.at}
		}
		w.tick = int64(now / wheelTick)
	}
	when := max(int64(now/wheelTick), w.tick) + int64(min(ticks, most))
	slot := uint32(when % int64(len(w.slots)))
	w.slots[slot].push(n)
	w.at(n).due = slot
}

func (w *wheel) remove(n node) { w.slots[w.at(n).due].remove(n) }

// turn yields the nodes whose time has come, and takes them out.
func (w *wheel) turn(now Moment, yield func(node)) {
	if w.slots == nil {
		return
	}
	end := int64(now / wheelTick)
	// Whoever was away for longer than a turn finds every slot due once.
	w.tick = max(w.tick, end-int64(len(w.slots))+1)
	for ; w.tick <= end; w.tick++ {
		s := &w.slots[w.tick%int64(len(w.slots))]
		for n := s.len; n > 0; n-- {
			yield(s.pop())
		}
	}
}
