package cthelper

import (
	"iter"
	"net/netip"
	"slices"
	"time"

	"github.com/spoor-project/spoor/flow"
)

// Protocol is a helper that is built in. A new one is a file with its parser and a row in protocols.
type Protocol struct {
	Name string // at most 15 bytes; also the name of its only policy
	// Transport is that of the flows it reads.
	Transport flow.Proto
	// ExpectMax is how many expectations a flow may have at a time, ExpectTimeout how long each lives; both can be
	// configured.
	ExpectMax     uint32
	ExpectTimeout time.Duration
	// PrivateLen is how many bytes of its own the parser has the kernel keep for a flow.
	PrivateLen int

	parse parser
}

// parser reads a packet of a flow. private has PrivateLen bytes, at first zero; what is written there is kept.
type parser func(p *Packet, private []byte) Result

var protocols = []Protocol{
	{"amanda", flow.UDP, 4, 180 * time.Second, 0, parseAmanda},
	{"dhcpv6", flow.UDP, 1, 300 * time.Second, 0, parseDHCPv6},
	{"ftp", flow.TCP, 1, 300 * time.Second, ftpPrivate, parseFTP},
	{"mdns", flow.UDP, 8, 30 * time.Second, 0, parseMDNS},
	{"rpc", flow.TCP, 1, 300 * time.Second, rpcPrivate, parseRPC},
	{"rpc", flow.UDP, 1, 300 * time.Second, rpcPrivate, parseRPC},
	{"sane", flow.TCP, 1, 300 * time.Second, sanePrivate, parseSANE},
	{"slp", flow.UDP, 8, 16 * time.Second, 0, parseSLP},
	{"ssdp", flow.TCP, 8, 300 * time.Second, 0, parseSSDP},
	{"ssdp", flow.UDP, 8, 300 * time.Second, 0, parseSSDP},
	{"tftp", flow.UDP, 1, 300 * time.Second, 0, parseTFTP},
	{"tns", flow.TCP, 1, 300 * time.Second, tnsPrivate, parseTNS},
}

// Protocols lists the helpers, by name and transport.
func Protocols() iter.Seq[Protocol] { return slices.Values(protocols) }

// Lookup finds a helper.
func Lookup(name string, transport flow.Proto) (Protocol, bool) {
	i := slices.IndexFunc(protocols, func(p Protocol) bool { return p.Name == name && p.Transport == transport })
	if i < 0 {
		return Protocol{}, false
	}
	return protocols[i], true
}

// Parse reads a packet. private must have PrivateLen bytes and is changed in place.
func (pr *Protocol) Parse(p *Packet, private []byte) Result { return pr.parse(p, private) }

// Direction is one of the two of a flow.
type Direction uint8

const (
	Original Direction = iota // as the first packet went
	Reply
)

// Opposite is the other direction.
func (d Direction) Opposite() Direction { return Original + Reply - d }

// State is how a packet stands to its flow: enum ip_conntrack_info of linux/netfilter/nf_conntrack_common.h.
type State uint32

const (
	Established      State = iota // IP_CT_ESTABLISHED: original direction, packets were seen in both
	Related                       // IP_CT_RELATED: the first of an expected flow
	New                           // IP_CT_NEW: no answer was seen yet
	EstablishedReply              // IP_CT_ESTABLISHED_REPLY
	RelatedReply                  // IP_CT_RELATED_REPLY
)

// Direction is that of the packet.
func (s State) Direction() Direction {
	if s >= EstablishedReply {
		return Reply
	}
	return Original
}

// Packet is what a parser is given. It reads, and changes nothing.
type Packet struct {
	Flow    *flow.Flow // both tuples and the status count
	State   State
	Seq     uint32 // TCP's, of the first byte of Payload
	Payload []byte // behind the transport header
}

// direction is that of the packet.
func (p *Packet) direction() Direction { return p.State.Direction() }

// established reports whether packets were seen in both directions.
func (p *Packet) established() bool { return p.State == Established || p.State == EstablishedReply }

// tuple is the flow's in direction d.
func (p *Packet) tuple(d Direction) *flow.Tuple {
	if d == Reply {
		return &p.Flow.Reply
	}
	return &p.Flow.Orig
}

// translated reports whether NAT changes the flow.
func (p *Packet) translated() bool { return p.Flow.Status&(flow.SrcNAT|flow.DstNAT) != 0 }

// Result is what becomes of a packet. The zero Result lets it pass.
type Result struct {
	Announced []Announcement
	// Timeout is what the packet's flow has from now on; zero leaves it alone.
	Timeout time.Duration
	// Drop has the packet dropped.
	Drop bool
	// Note is for the log.
	Note string
}

// Announcement is a connection that a packet announces.
type Announcement struct {
	Expect flow.Expect
	// Rewrite, if there is one, tells what must be changed in the payload because the flow is translated: the other end
	// has to be told the address and the port by which it reaches the announced one. port is the destination's that was
	// free: the one of Expect, or the next ones.
	Rewrite func(port uint16) []Patch
}

// Patch replaces Len bytes of a payload from At on.
type Patch struct {
	At, Len int
	Text    string
}

// followMaster is the kernel's function that translates an expected connection like the flow that announced it.
const followMaster = "nat-follow-master"

var fullMask = map[flow.Family]netip.Addr{
	flow.IPv4: netip.AddrFrom4([4]byte{255, 255, 255, 255}),
	flow.IPv6: netip.AddrFrom16([16]byte{255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255}),
}

// expect makes an expectation of a flow to dst. A src that is not valid is anyone, a source port 0 any.
func (p *Packet) expect(transport flow.Proto, src netip.Addr, srcPort uint16, dst netip.Addr, dstPort uint16, flags flow.ExpectFlags) flow.Expect {
	family := p.Flow.Orig.Family()
	e := flow.Expect{
		Has:    flow.ExpectHasMaster | flow.ExpectHasMask | flow.ExpectHasFlags | flow.ExpectHasClass,
		Master: p.Flow.Orig, Zone: p.Flow.Zone, Flags: flags,
		Tuple: flow.Tuple{Src: src, SrcPort: srcPort, Dst: dst, DstPort: dstPort, Proto: transport},
		Mask:  flow.Tuple{Src: fullMask[family], Dst: fullMask[family], DstPort: 0xffff, Proto: transport},
	}
	if !src.IsValid() {
		e.Tuple.Src, e.Mask.Src = anyone(family), anyone(family)
	}
	if srcPort != 0 {
		e.Mask.SrcPort = 0xffff
	}
	if p.Flow.Zone != 0 {
		e.Has |= flow.ExpectHasZone
	}
	return e
}

// anyone is the address of no one, and the mask that lets every address pass.
func anyone(family flow.Family) netip.Addr {
	if family == flow.IPv6 {
		return netip.IPv6Unspecified()
	}
	return netip.IPv4Unspecified()
}

// follow makes an expectation of a flow between the ends of the packet's flow, in its direction d, to the given port.
// If that flow is translated, so will the expected one be.
func (p *Packet) follow(d Direction, transport flow.Proto, port uint16) flow.Expect {
	t := p.tuple(d)
	e := p.expect(transport, t.Src, 0, t.Dst, port, 0)
	p.translate(&e, d, port)
	return e
}

// translate has e, an expectation in direction d of a translated flow, translated too; port is the one at which its
// destination really listens.
func (p *Packet) translate(e *flow.Expect, d Direction, port uint16) {
	if !p.translated() {
		return
	}
	// The kernel takes the addresses from the master, and the port from here.
	back := p.tuple(d.Opposite())
	e.NAT = flow.Tuple{Src: back.Src, SrcPort: port, Dst: anyone(back.Family()), Proto: e.Tuple.Proto}
	e.NATReply = d == Reply
	e.Func = followMaster
	e.Has |= flow.ExpectHasNAT | flow.ExpectHasFunc
}
