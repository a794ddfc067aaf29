package flow

import "strconv"

// To add a protocol: write proto_<name>.go with its number, its states and its
// information struct, add a row to the protocols table below, and give
// package conntrack the attributes in conntrack/proto_<name>.go.

// Family is a layer 3 protocol family, by its socket number (AF_INET, AF_INET6).
// Zero means any family.
type Family uint8

const (
	AnyFamily Family = 0
	IPv4      Family = 2  // AF_INET
	IPv6      Family = 10 // AF_INET6
)

// String returns "ipv4", "ipv6", or "unknown".
func (f Family) String() string {
	switch f {
	case IPv4:
		return "ipv4"
	case IPv6:
		return "ipv6"
	}
	return "unknown"
}

// Proto is a layer 4 protocol, by its IANA number.
type Proto uint8

const (
	ICMP    Proto = 1
	TCP     Proto = 6
	UDP     Proto = 17
	DCCP    Proto = 33 // tracked by kernels before 6.17
	GRE     Proto = 47
	ICMPv6  Proto = 58
	SCTP    Proto = 132
	UDPLite Proto = 136
)

// Shape says what tells two flows of a protocol between the same hosts apart.
type Shape uint8

const (
	ShapeNone  Shape = iota // only the addresses and the protocol number
	ShapePorts              // a port on either side
	ShapeKeys               // a 16-bit call key on either side (GRE)
	ShapeICMP               // type, code and identifier
)

// protocol is a row of the table of protocols the tracker knows by name.
type protocol struct {
	name   string
	shape  Shape
	states []string // by number; nil for a protocol without states
}

var protocols = [256]*protocol{
	ICMP:    {name: "icmp", shape: ShapeICMP},
	TCP:     {name: "tcp", shape: ShapePorts, states: tcpStates},
	UDP:     {name: "udp", shape: ShapePorts},
	DCCP:    {name: "dccp", shape: ShapePorts, states: dccpStates},
	GRE:     {name: "gre", shape: ShapeKeys},
	ICMPv6:  {name: "icmpv6", shape: ShapeICMP},
	SCTP:    {name: "sctp", shape: ShapePorts, states: sctpStates},
	UDPLite: {name: "udplite", shape: ShapePorts},
}

// Known reports whether connection tracking has a tracker for p. All others are
// followed by addresses alone.
func (p Proto) Known() bool { return protocols[p] != nil }

// String returns the tracker's name ("tcp"), or the number for a protocol that
// has no tracker.
func (p Proto) String() string {
	if row := protocols[p]; row != nil {
		return row.name
	}
	return strconv.Itoa(int(p))
}

// Shape returns how flows of p are told apart; [ShapeNone] for a protocol that
// has no tracker.
func (p Proto) Shape() Shape {
	if row := protocols[p]; row != nil {
		return row.shape
	}
	return ShapeNone
}

// StateName returns the name of state n of p ("ESTABLISHED"), or "" if p has no
// such state.
func (p Proto) StateName(n uint8) string {
	if row := protocols[p]; row != nil && int(n) < len(row.states) {
		return row.states[n]
	}
	return ""
}

// ParseState finds the state of p that has the given name, in capitals as
// [Proto.StateName] writes it.
func (p Proto) ParseState(name string) (n uint8, ok bool) {
	if row := protocols[p]; row != nil {
		for i, s := range row.states {
			if s == name {
				return uint8(i), true
			}
		}
	}
	return 0, false
}

// ParseProto finds the tracker of that name ("tcp", in lower case).
func ParseProto(name string) (p Proto, ok bool) {
	for i, row := range protocols {
		if row != nil && row.name == name {
			return Proto(i), true
		}
	}
	return 0, false
}

// Protos lists the protocols that have a tracker, by ascending number.
func Protos() []Proto {
	var all []Proto
	for i, row := range protocols {
		if row != nil {
			all = append(all, Proto(i))
		}
	}
	return all
}
