//go:build linux

package channeltest

import (
	"cmp"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/spoor-project/spoor/internal/statesync/channel"
)

// Weather is what befalls datagrams on a cable. The zero value is fine weather: all
// arrive at once.
type Weather struct {
	// Loss, Duplicate and Reorder are the chances, 0 to 1, that a datagram gets lost, that
	// it arrives twice, and that the one sent after it overtakes it.
	Loss, Duplicate, Reorder float64
	// Delay is how long a datagram is under way, at least. Jitter is what may be added;
	// datagrams overtake each other by that, too.
	Delay, Jitter time.Duration
}

// maxDatagram is that of UDP over IPv4.
const maxDatagram = 65507

// Cable joins two ends. Its methods and those of its ends may be called by any goroutine.
type Cable struct {
	mu      sync.Mutex
	arrived sync.Cond
	now     time.Duration
	random  *rand.Rand
	weather Weather
	cut     bool
	ends    [2]*End
	way     [2][]letter // to that end, in no order
	held    [2][]byte   // to that end, until one overtook it; nil: none
	posted  int         // letters ever
}

// letter is a datagram under way.
type letter struct {
	due    time.Duration
	number int // among those due at the same time the first comes first
	bytes  []byte
}

// NewCable makes a cable whose luck depends on the seed alone; its clock stands at 0.
func NewCable(seed uint64, w Weather) *Cable {
	c := &Cable{random: rand.New(rand.NewPCG(seed, 0)), weather: w}
	c.arrived.L = &c.mu
	for side := range c.ends {
		c.ends[side] = &End{cable: c, side: side}
	}
	return c
}

// End returns the end of a side, 0 or 1: the last one opened.
func (c *Cable) End(side int) *End {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ends[side]
}

// Reopen replaces an end by a new one, as a restarted process does. The old one is closed,
// what had arrived there is lost, what is under way is not.
func (c *Cable) Reopen(side int) *End {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ends[side].closed = true
	c.ends[side] = &End{cable: c, side: side}
	c.arrived.Broadcast()
	return c.ends[side]
}

// SetWeather is for what is sent from now on.
func (c *Cable) SetWeather(w Weather) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.weather = w
}

// Cut cuts the cable, or mends it. What is under way arrives, what is sent while it is
// cut is lost.
func (c *Cable) Cut(cut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = cut
}

// Now is how far the clock was moved.
func (c *Cable) Now() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the clock. What is due by then arrives; who waited to be overtaken waits
// no longer.
func (c *Cable) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for side := range c.held {
		c.release(side, c.now)
	}
	c.now += d
	c.deliver()
}

// Inject puts a datagram in front of an end as if a stranger had sent it: whatever the
// weather, at once. The bytes are copied.
func (c *Cable) Inject(side int, datagram []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ends[side].receive(slices.Clone(datagram))
}

// post sends a datagram to that side.
func (c *Cable) post(side int, b []byte) {
	w := &c.weather
	if c.cut || c.chance(w.Loss) {
		return
	}
	b = append(make([]byte, 0, len(b)), b...) // not nil, even if empty
	if c.held[side] == nil && c.chance(w.Reorder) {
		c.held[side] = b
		return
	}
	due := c.now + w.Delay
	if w.Jitter > 0 {
		due += time.Duration(c.random.Int64N(int64(w.Jitter)))
	}
	c.send(side, due, b)
	if c.chance(w.Duplicate) {
		c.send(side, due, slices.Clone(b))
	}
	c.release(side, due)
}

func (c *Cable) chance(p float64) bool { return p > 0 && c.random.Float64() < p }

func (c *Cable) send(side int, due time.Duration, b []byte) {
	c.posted++
	c.way[side] = append(c.way[side], letter{due, c.posted, b})
}

func (c *Cable) release(side int, due time.Duration) {
	if b := c.held[side]; b != nil {
		c.held[side] = nil
		c.send(side, due, b)
	}
}

// deliver hands out what is due.
func (c *Cable) deliver() {
	for side, end := range c.ends {
		way := c.way[side]
		slices.SortFunc(way, func(a, b letter) int {
			return cmp.Or(cmp.Compare(a.due, b.due), cmp.Compare(a.number, b.number))
		})
		n := 0
		for ; n < len(way) && way[n].due <= c.now; n++ {
			end.receive(way[n].bytes)
		}
		c.way[side] = slices.Delete(way, 0, n)
	}
}

// End is one end of a cable. Its methods are those of [channel.Channel]; in addition
// Take does not wait.
type End struct {
	cable  *Cable
	side   int
	inbox  [][]byte
	stats  channel.Stats
	closed bool
}

// receive takes b over.
func (e *End) receive(b []byte) {
	if e.closed {
		return
	}
	e.inbox = append(e.inbox, b)
	e.stats.ReceivedPackets++
	e.stats.ReceivedBytes += uint64(len(b))
	e.cable.arrived.Broadcast()
}

// Send sends datagrams, which are lent. One over 65507 bytes is EMSGSIZE.
func (e *End) Send(datagrams ...[]byte) (first error) {
	c := e.cable
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range datagrams {
		switch {
		case e.closed:
			return os.ErrClosed
		case len(b) > maxDatagram:
			e.stats.SendErrors++
			if first == nil {
				first = os.NewSyscallError("send", syscall.EMSGSIZE)
			}
		default:
			e.stats.SentPackets++
			e.stats.SentBytes += uint64(len(b))
			c.post(1-e.side, b)
		}
	}
	c.deliver()
	return first
}

// Receive waits until something has arrived.
func (e *End) Receive(b *channel.Batch) error {
	c := e.cable
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(e.inbox) == 0 && !e.closed {
		c.arrived.Wait()
	}
	if e.closed {
		b.Datagrams = b.Datagrams[:0]
		return os.ErrClosed
	}
	b.Datagrams, e.inbox = e.inbox, nil
	return nil
}

// Take returns what has arrived, nil if there is nothing. It is the caller's.
func (e *End) Take() [][]byte {
	e.cable.mu.Lock()
	defer e.cable.mu.Unlock()
	all := e.inbox
	e.inbox = nil
	return all
}

// Room is that of an Ethernet over IPv4, 1472 bytes.
func (e *End) Room() int { return 1500 - 28 }

// Stats counts what was sent, also what got lost, and what arrived.
func (e *End) Stats() channel.Stats {
	e.cable.mu.Lock()
	defer e.cable.mu.Unlock()
	return e.stats
}

// Close unblocks Receive.
func (e *End) Close() error {
	e.cable.mu.Lock()
	defer e.cable.mu.Unlock()
	e.closed = true
	e.cable.arrived.Broadcast()
	return nil
}
