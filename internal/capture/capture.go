package capture

import (
	"io"
	"iter"
	"net/netip"
	"time"
)

// Protocols of a [Payload].
const (
	TCP uint8 = protoTCP
	UDP uint8 = protoUDP
)

// Payload is something that an application sent: a datagram of UDP, or whole messages of a TCP stream.
type Payload struct {
	Time     time.Time // when the packet was seen, of a stream the one that ended the message; zero if the capture does not say
	Proto    uint8     // TCP or UDP
	Src, Dst netip.AddrPort
	Data     []byte // valid until the next payload
	Cut      bool   // UDP: the sniffer has recorded the beginning only
}

// Options says what is wanted.
type Options struct {
	// Port, if not 0, must be one of the two ports.
	Port uint16
	// Split tells how many bytes at the beginning of b, of a TCP stream, are whole messages, which may be none yet; a
	// negative number tells that no message begins like b. After that, and after a gap, messages are looked for at
	// the beginning of each further segment. It must not be nil, and gets at least a byte.
	Split func(b []byte) int
}

// Counts says what was seen, and what was left out.
type Counts struct {
	Packets   uint64 // all
	Others    uint64 // not TCP or UDP over IP, of a kind of link that is not known, or unreadable; not of the port
	Fragments uint64 // datagrams, or parts of them, that did not become whole
	Gaps      uint64 // in streams
	Bytes     uint64 // of streams that are no messages, or incomplete ones
}

// Capture is a capture that is read, once, as it comes: it may be a pipe.
type Capture struct {
	file   *file
	opts   Options
	counts Counts
}

// Open reads the head of a capture. The error is [ErrFormat] if it is none.
func Open(r io.Reader, opts Options) (*Capture, error) {
	f, err := openFile(r)
	if err != nil {
		return nil, err
	}
	return &Capture{file: f, opts: opts}, nil
}

// Counts is complete after the loop over Payloads.
func (c *Capture) Counts() Counts { return c.counts }

// Payloads returns what was sent, in the order of the capture; messages of a stream when the last part has come. An error is
// the last item: that the capture is damaged, or ends inside a packet, as that of a sniffer does which is still at
// work. Its memory is bounded, some
// 40 MB at the worst, however long the capture is.
func (c *Capture) Payloads() iter.Seq2[Payload, error] {
	return func(yield func(Payload, error) bool) {
		var frags fragments
		going := true
		s := streams{split: c.opts.Split, lost: &c.counts, open: make(map[[2]netip.AddrPort]*stream),
			deal: func(p Payload) bool {
				going = yield(p, nil)
				return going
			}}
		for going {
			p, err := c.file.next(c.file)
			if err != nil {
				if s.end(); going && err != io.EOF {
					yield(Payload{}, err)
				}
				break
			}
			c.counts.Packets++
			c.packet(&p, &frags, &s)
		}
		c.counts.Fragments += uint64(len(frags.open))
	}
}

// packet deals out what a packet has to say.
func (c *Capture) packet(p *packet, frags *fragments, s *streams) {
	d, ok := parseIP(ipPacket(p.link, p.data))
	if !ok || d.proto != protoTCP && d.proto != protoUDP {
		c.counts.Others++
		return
	}
	if d.fragment() {
		whole, ok, dropped := frags.add(&d)
		c.counts.Fragments += uint64(dropped)
		if !ok {
			return
		}
		d = whole
	}
	if d.proto == protoTCP {
		g, ok := parseTCP(&d)
		if !ok || !c.wanted(g.src, g.dst) {
			c.counts.Others++
			return
		}
		s.add(p.time, &g)
		return
	}
	src, dst, data, missing, ok := parseUDP(&d)
	if !ok || !c.wanted(src, dst) {
		c.counts.Others++
		return
	}
	s.deal(Payload{Time: p.time, Proto: UDP, Src: src, Dst: dst, Data: data, Cut: missing > 0})
}

func (c *Capture) wanted(src, dst netip.AddrPort) bool {
	return c.opts.Port == 0 || src.Port() == c.opts.Port || dst.Port() == c.opts.Port
}
