//go:build linux

package channel

import (
	"net/netip"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// MaxSize is the largest datagram, or buffer for a stream, in bytes. The kernel takes
// less over UDP, 65507 over IPv4 and 65527 over IPv6; beyond, Send says EMSGSIZE.
const MaxSize = 65535

// Kind is what carries the bytes. Zero is not a kind.
type Kind uint8

const (
	UDP       Kind = iota + 1 // datagrams to one peer
	Multicast                 // datagrams to all members of a group
	TCP                       // two one-way connections with one peer
)

// String is the name by which conntrackd's statistics call it.
func (k Kind) String() string {
	if !k.known() {
		return "unknown"
	}
	return kinds[k].name
}

func (k Kind) known() bool { return k != 0 && int(k) < len(kinds) }

// kinds says how each kind is opened, and how much of a packet the headers take. To
// add one, write its carrier and add a row.
var kinds = [...]struct {
	name               string
	headers4, headers6 int // bytes
	open               func(*site, *counters) (carrier, error)
}{
	UDP:       {"UDP", 20 + 8, 40 + 8, openDatagrams},
	Multicast: {"multicast", 20 + 8, 40 + 8, openDatagrams},
	// A stream is cut by the kernel, whatever the size of its buffers.
	TCP: {"TCP", 20 + 20, 20 + 20, openStream},
}

// carrier is what a kind of channel brings along; its methods are those of Channel.
// stats fills in what counters do not know.
type carrier interface {
	send(datagrams [][]byte) error
	receive(*Batch) error
	stats(*Stats)
	close() error
}

// Options says how a channel is opened.
type Options struct {
	// Kind must be set.
	Kind Kind
	// Local is our address: UDP and TCP receive on it, IPv4 multicast is received and
	// sent on the device that has it. Zero is every address, and for multicast the
	// device Interface. Multicast over IPv6 does not look at it.
	Local netip.Addr
	// Remote is the peer's address, or the multicast group. Zero is the unspecified
	// address, which the kernel takes for this host, like conntrackd does; a group must
	// be given. It decides between IPv4 and IPv6; a zone is ignored, see Interface.
	Remote netip.Addr
	// Port is where both sides receive. Zero is any free port, which nobody will find.
	Port uint16
	// Interface is the device, which must be given: its MTU is the measure of [Channel.Room],
	// and over IPv6 it is the scope (sin6_scope_id) of all addresses. Routes alone
	// decide where unicast goes.
	Interface string
	// SendBuffer and ReceiveBuffer are the sizes of the sockets' buffers in bytes, which
	// the kernel doubles for its own needs (socket(7)); zero leaves the system's default.
	SendBuffer, ReceiveBuffer int
	// NoChecksum sends UDP over IPv4 without checksum (SO_NO_CHECK). It means nothing
	// elsewhere.
	NoChecksum bool
	// ErrorQueueLength is how many buffers a TCP channel keeps while it cannot send; zero
	// is 128.
	ErrorQueueLength int
	// Split tells a TCP channel how many bytes at the beginning of b, which is never empty,
	// are whole messages, zero if not even one is. The rest is shown again with what
	// follows it, at the latest when b has MaxSize+1 bytes: what is no message by then is
	// handed out like one. For the receiver to get bytes that can never become a message,
	// return len(b). b is only lent. Nil hands out everything as it comes.
	Split func(b []byte) int
	// NetNS is an open network namespace file; nil means the namespace of the calling
	// thread. A TCP channel uses it until it is closed; it does not close it.
	NetNS *os.File
}

// Stats is what happened since the channel was opened.
type Stats struct {
	// Packets are datagrams; over TCP, buffers sent and reads that brought something.
	SentBytes, SentPackets         uint64
	ReceivedBytes, ReceivedPackets uint64
	// SendErrors are datagrams that could not be sent; over TCP, attempts to connect that
	// failed, apart from Open's, and connections that broke off in sending. ReceiveErrors
	// are failed system calls and, over TCP, connections that broke off or ended within a
	// message.
	SendErrors, ReceiveErrors uint64

	// The rest is of TCP channels only. The queue holds buffers to be sent; while
	// connected it is next to empty.
	Queue Queue
	// Server is whether a peer is connected to us, Client whether we are to the peer.
	Server, Client bool
}

// Queue is the state of a TCP channel's queue, in buffers.
type Queue struct {
	Len, Max int
	Dropped  uint64 // oldest ones that made room for others
}

// counters are the numbers that sender and receiver count up.
type counters struct {
	sentBytes, sentPackets, sendErrors             atomic.Uint64
	receivedBytes, receivedPackets, receivedErrors atomic.Uint64
}

func (n *counters) sent(packets, bytes int) {
	n.sentPackets.Add(uint64(packets))
	n.sentBytes.Add(uint64(bytes))
}

func (n *counters) received(packets, bytes int) {
	n.receivedPackets.Add(uint64(packets))
	n.receivedBytes.Add(uint64(bytes))
}

// Channel is one way to the peer.
type Channel struct {
	carrier carrier
	count   counters
	kind    Kind
	device  string
	headers int // bytes of a packet that are not the caller's
	room    atomic.Int64
	close   func() error
}

// Open opens the sockets of a channel. A TCP channel also begins to connect; that the
// peer does not answer is no error.
//
// Errors wrap the kernel's errno: ENOENT without Interface, ENODEV if there is no such
// device, EADDRNOTAVAIL if Local is not an address of this host, EINVAL if a group is
// none, EAFNOSUPPORT if the addresses are of different families, ENETUNREACH if there is
// no route to a TCP peer.
func Open(o *Options) (*Channel, error) {
	s, err := o.resolve()
	if err != nil {
		return nil, err
	}
	kind := kinds[o.Kind]
	c := &Channel{kind: o.Kind, device: o.Interface, headers: kind.headers4}
	if s.family == unix.AF_INET6 {
		c.headers = kind.headers6
	}
	c.SetMTU(s.mtu)
	if c.carrier, err = kind.open(s, &c.count); err != nil {
		return nil, err
	}
	c.close = sync.OnceValue(c.carrier.close)
	return c, nil
}

// Kind is the kind it was opened with.
func (c *Channel) Kind() Kind { return c.kind }

// Device is the name of the device it was opened with.
func (c *Channel) Device() string { return c.device }

// Room is how many bytes the caller should put into one datagram: what fits into one
// packet of the device, so that nothing is fragmented. Over TCP it is a good size for a
// buffer. It follows the device's MTU if somebody calls SetMTU, as a [Group] does.
func (c *Channel) Room() int { return int(c.room.Load()) }

// SetMTU tells the device's MTU in bytes; Open reads the first one from the kernel.
func (c *Channel) SetMTU(mtu int) {
	// The loopback device's MTU is larger than any datagram over IPv4 may be.
	const most = 65535 - 28
	c.room.Store(int64(min(max(mtu-c.headers, 0), most)))
}

// Send sends datagrams, in order, with as few system calls as possible; over TCP each is
// a buffer of whole messages. They are lent until Send returns.
//
// A datagram that cannot be sent is counted and left out, the others are sent; the first
// such error is returned. When the device's queue is full Send waits up to 100 ms for
// it, and does not wait again before something could be sent. The errors wrap the
// kernel's errno, such as EMSGSIZE for a datagram that is too large.
//
// Over TCP buffers go to a queue. EMSGSIZE is the only error: buffers that the queue drops
// are counted, and what a lost connection took with it nobody knows. Send waits up to
// 100 ms if the queue is full and the peer slow.
//
// After Close the error is [os.ErrClosed].
func (c *Channel) Send(datagrams ...[]byte) error { return c.carrier.send(datagrams) }

// Receive waits until something has come and fills b with it, as many datagrams as are
// there and fit; over TCP, one run of whole messages. After Close it returns
// [os.ErrClosed]; other errors are counted, and one may try again.
func (c *Channel) Receive(b *Batch) error { return c.carrier.receive(b) }

// Stats may be called at any time, also after Close.
func (c *Channel) Stats() Stats {
	s := Stats{
		SentBytes: c.count.sentBytes.Load(), ReceivedBytes: c.count.receivedBytes.Load(),
		SentPackets: c.count.sentPackets.Load(), ReceivedPackets: c.count.receivedPackets.Load(),
		SendErrors: c.count.sendErrors.Load(), ReceiveErrors: c.count.receivedErrors.Load(),
	}
	c.carrier.stats(&s)
	return s
}

// Close closes the channel and unblocks Send and Receive. What a connected TCP channel
// has in its queue it still sends, as far as that takes no longer than 100 ms.
func (c *Channel) Close() error { return c.close() }
