package flow

// icmpInverse and icmp6Inverse pair the query types with their answers; other
// types are errors about another flow and never begin one (nf_conntrack_proto_icmp.c).
var (
	icmpInverse  = [...][2]uint8{{8, 0}, {13, 14}, {15, 16}, {17, 18}}
	icmp6Inverse = [...][2]uint8{{128, 129}, {139, 140}}
)

// ICMPAnswer returns the message type that answers type t in that family, and
// whether there is one: 0 (echo reply) for 8 (echo request), and so on.
func ICMPAnswer(family Family, t uint8) (answer uint8, ok bool) {
	pairs := icmpInverse[:]
	if family == IPv6 {
		pairs = icmp6Inverse[:]
	}
	for _, p := range pairs {
		switch t {
		case p[0]:
			return p[1], true
		case p[1]:
			return p[0], true
		}
	}
	return 0, false
}
