package cthelper

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/nfnetlink"
)

// QueueOptions says how a queue is opened.
type QueueOptions struct {
	Num uint16
	// MaxLen is how many packets may wait for a verdict; 0 is what the kernel says (1024). Those that do not fit pass
	// without one.
	MaxLen uint32
	// WithoutFlows leaves out the flows of the packets, for a kernel that cannot attach them.
	WithoutFlows bool
}

// What Open could not do, with conntrackd's texts.
var (
	ErrQueueSocket = errors.New("cannot open nfq socket")
	ErrQueueBind   = errors.New("failed to send bind command")
	ErrQueueConfig = errors.New("failed to send configuration")
)

// Queue is a queue of packets that wait for a verdict (NFQUEUE). Once it is closed, what a helper, or a rule with bypass, would put
// there passes. It belongs to one goroutine, but for Close.
type Queue struct {
	conn *nfnetlink.Conn
	num  uint16
	in   []byte
	out  nfnetlink.Builder
	rest []byte // of in, not yet handed over
	seq  uint32
	flow conntrack.Decoder
	last bool // Next does not wait any more

	room    int      // packets that may wait
	waiting *os.File // the kernel's list of queues; nil if it cannot be read
}

const (
	// queueRoom is for one packet of the largest size and what comes with it.
	queueRoom = 80 << 10
	// queueBuffer is how much may wait in the socket. A packet of an ordinary network takes some 2 kB of it.
	queueBuffer = 8 << 20
	// defaultLen is how many packets may wait if nobody says otherwise (NFQNL_QMAX_DEFAULT).
	defaultLen = 1024
	// configTimeout bounds the wait for the kernel's answers, which come at once.
	configTimeout = 5 * time.Second
)

// OpenQueue binds to a queue of the calling thread's network namespace. EPERM, wrapped, is that somebody else has it or
// that CAP_NET_ADMIN is missing; EOPNOTSUPP that the kernel cannot attach flows.
func OpenQueue(o *QueueOptions) (*Queue, error) {
	conn, err := nfnetlink.Dial(&nfnetlink.Options{NoENOBUFS: true, Room: queueRoom})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrQueueSocket, err)
	}
	// Less than asked for, where the user may not exceed the system's limit, is no failure.
	conn.SetReadBuffer(queueBuffer)
	q, err := openQueue(conn, o)
	if err == nil {
		q.waiting, _ = os.Open("/proc/thread-self/net/netfilter/nfnetlink_queue")
	}
	return q, err
}

// openQueue is OpenQueue on a socket, which it takes over.
func openQueue(conn *nfnetlink.Conn, o *QueueOptions) (*Queue, error) {
	q := &Queue{conn: conn, num: o.Num, in: make([]byte, 4*queueRoom), room: int(cmp.Or(o.MaxLen, defaultLen))}
	if err := q.configure(o); err != nil {
		conn.Close()
		return nil, err
	}
	return q, nil
}

func (q *Queue) configure(o *QueueOptions) error {
	q.conn.SetDeadline(time.Now().Add(configTimeout))
	defer q.conn.SetDeadline(time.Time{})
	err := q.request(func(b *nfnetlink.Builder) {
		// Since 3.8 the family says nothing, and older kernels do without it where the helper queues.
		b.Raw(configCommand, []byte{commandBind, 0, 0, 0})
	})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrQueueBind, err)
	}
	flags := flagFailOpen
	if !o.WithoutFlows {
		flags |= flagConntrack
	}
	err = q.request(func(b *nfnetlink.Builder) {
		b.Raw(configParams, append(binary.BigEndian.AppendUint32(nil, maxPacket), copyPacket))
		b.Uint32(configFlags, flags)
		b.Uint32(configMask, flags)
		if o.MaxLen > 0 {
			b.Uint32(configMaxLen, o.MaxLen)
		}
	})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrQueueConfig, err)
	}
	return nil
}

// request carries out one configuration message. Packets that come meanwhile are kept.
func (q *Queue) request(fill func(*nfnetlink.Builder)) error {
	var b nfnetlink.Builder
	q.seq++
	b.Begin(nfnetlink.PacketQueue, msgConfig, nfnetlink.Ack, q.seq, 0, 0)
	b.SetResource(q.num)
	fill(&b)
	b.End()
	if err := q.conn.Send(b.Bytes()); err != nil {
		return err
	}
	buf := make([]byte, queueRoom)
	for {
		n, err := q.conn.Recv(buf)
		if err != nil {
			return err
		}
		m, _, err := nfnetlink.Next(buf[:n])
		if err != nil {
			return err
		}
		if end, err := m.End(); end && m.Seq == q.seq {
			return err
		}
		// The packets of a queue come one in a datagram.
		q.rest = append(q.rest, buf[:n]...)
	}
}

// Close gives the queue up and unblocks Next. Packets that still wait are dropped by the kernel: see Interrupt.
func (q *Queue) Close() error {
	if q.waiting != nil {
		q.waiting.Close()
	}
	return q.conn.Close()
}

// Interrupt has Next return [os.ErrDeadlineExceeded], for who wants to go on with Last. Any goroutine may call it.
func (q *Queue) Interrupt() { q.conn.SetDeadline(time.Unix(1, 0)) }

// Last has Next hand over what is queued already, and then return [io.EOF] instead of waiting.
func (q *Queue) Last() {
	q.last = true
	q.conn.SetDeadline(time.Time{})
}

// Delivery is a packet that waits for a verdict. Its memory is the queue's until the next call of Next.
type Delivery struct {
	ID     uint32 // names it in the verdict; goes up by one with each packet
	Family flow.Family
	// Packet begins with the IP header; nil if the kernel sent none.
	Packet []byte
	// Cut is that the packet is longer than Packet.
	Cut bool

	// Tracked is that the packet has a flow, in Flow; FlowErr is why that could not be read.
	Tracked bool
	Flow    flow.Flow
	FlowErr error
	State   State
	// Private is what the helper has asked the kernel to keep for the flow, nil if there is nothing.
	Private []byte
}

// errNoID is a message to which there can be no answer.
var errNoID = fmt.Errorf("%w: a queued packet without a header", nfnetlink.ErrMalformed)

// Next waits for the next packet. Before it waits, it sends the verdicts that were given. An error that wraps
// [nfnetlink.ErrMalformed], or is an [*nfnetlink.Error] (the kernel refused a verdict), concerns one message alone:
// go on.
func (q *Queue) Next(d *Delivery) error {
	for {
		if len(q.rest) == 0 {
			if err := q.Flush(); err != nil {
				return err
			}
			receive := q.conn.RecvMany
			if q.last {
				receive = q.conn.RecvQueued
			}
			n, err := receive(q.in)
			if err != nil {
				return err
			}
			if n == 0 && q.last {
				return io.EOF
			}
			q.rest = q.in[:n]
		}
		m, rest, err := nfnetlink.Next(q.rest)
		q.rest = rest
		if err != nil {
			q.rest = nil
			return err
		}
		if end, err := m.End(); end {
			if err != nil {
				return err
			}
			continue
		}
		if m.Subsystem() == nfnetlink.PacketQueue && m.Kind() == msgPacket {
			return q.deliver(&m, d)
		}
	}
}

func (q *Queue) deliver(m *nfnetlink.Message, d *Delivery) error {
	*d = Delivery{Family: flow.Family(m.Family())}
	known := false
	for a := m.Attrs(); a.Next(); {
		switch a.Type {
		case queueAttrPacket:
			d.ID, known = a.Uint32()
		case queueAttrPayload:
			d.Packet = a.Data
		case queueAttrCapLen:
			d.Cut = true
		case queueAttrCT:
			d.Tracked = true
			if d.FlowErr = q.flow.Flow(a.Data, &d.Flow); d.FlowErr == nil {
				d.Private = privateOf(a.Nested())
			}
		case queueAttrCTInfo:
			v, _ := a.Uint32()
			d.State = State(v)
		}
	}
	if !known {
		return errNoID
	}
	return nil
}

func privateOf(a nfnetlink.Attrs) []byte {
	for a.Next() {
		if a.Type != flowHelp {
			continue
		}
		for h := a.Nested(); h.Next(); {
			if h.Type == flowHelpInfo {
				return h.Data
			}
		}
	}
	return nil
}

// Verdict is the decision on a packet. The zero Verdict, with its ID, lets it pass.
type Verdict struct {
	ID   uint32
	Drop bool
	// Packet replaces the packet, from its IP header on; nil leaves it. TCP's sequence numbers the kernel adjusts, if the
	// flow has a helper.
	Packet []byte
	// Helper, if not "", is the name of the flow's helper, for which Private is kept.
	Helper  string
	Private []byte
	// Timeout is the flow's from now on; zero leaves it.
	Timeout time.Duration
	// Expect is made together with the verdict, also for a flow whose first packet this is; nil is none. The kernel does
	// not say whether it could be.
	Expect *flow.Expect
}

// flushAt is how long verdicts wait for others at most, in bytes.
const flushAt = 32 << 10

// Decide takes a verdict. It is sent by Flush or by Next.
func (q *Queue) Decide(v *Verdict) error {
	appendVerdict(&q.out, q.num, v)
	if q.out.Len() >= flushAt {
		return q.Flush()
	}
	return nil
}

// Flush sends the verdicts that were given.
func (q *Queue) Flush() error {
	if q.out.Len() == 0 {
		return nil
	}
	err := q.conn.Send(q.out.Bytes())
	q.out.Reset()
	return err
}

func appendVerdict(b *nfnetlink.Builder, queue uint16, v *Verdict) {
	b.Begin(nfnetlink.PacketQueue, msgVerdict, 0, 0, 0, 0)
	b.SetResource(queue)
	verdict := verdictAccept
	if v.Drop {
		verdict = verdictDrop
	}
	var header [8]byte // struct nfqnl_msg_verdict_hdr
	binary.BigEndian.PutUint32(header[:], verdict)
	binary.BigEndian.PutUint32(header[4:], v.ID)
	b.Raw(queueAttrVerdict, header[:])
	if v.Packet != nil && !v.Drop {
		b.Raw(queueAttrPayload, v.Packet)
	}
	// Without the flow the kernel makes no expectation and adjusts no sequence numbers, so it is there, perhaps empty.
	if v.Helper != "" || v.Timeout != 0 || v.Expect != nil || v.Packet != nil {
		at := b.Nest(queueAttrCT)
		if v.Helper != "" {
			help := b.Nest(flowHelp)
			b.Text(flowHelpName, v.Helper)
			b.Raw(flowHelpInfo, v.Private)
			b.Close(help)
		}
		if v.Timeout != 0 {
			b.Uint32(flowTimeout, uint32(min(v.Timeout/time.Second, 1<<32-1)))
		}
		b.Close(at)
	}
	if v.Expect != nil {
		at := b.Nest(queueAttrExpect)
		b.Append(conntrack.AppendExpect(nil, v.Expect))
		b.Close(at)
	}
	b.End()
}

// Dropped is how many packets found no room in the socket so far; they passed without a verdict. It wraps around.
func (q *Queue) Dropped() uint32 {
	s, err := q.conn.Queue()
	if err != nil {
		return 0
	}
	return s.Dropped
}

// Full reports whether as many packets wait as may: others pass without a verdict, and nobody counts them.
func (q *Queue) Full() bool {
	if q.waiting == nil {
		return false
	}
	var list [4096]byte // some fifty queues
	n, _ := q.waiting.ReadAt(list[:], 0)
	for line := range bytes.Lines(list[:n]) {
		// Number, port, packets that wait, and what does not matter here.
		if f := bytes.Fields(line); len(f) > 2 && string(f[0]) == strconv.Itoa(int(q.num)) {
			waiting, err := strconv.Atoi(string(f[2]))
			return err == nil && waiting >= q.room
		}
	}
	return false
}

// busy reports whether err is the kernel's word that something is taken.
func busy(err error) bool { return errors.Is(err, syscall.EBUSY) }
