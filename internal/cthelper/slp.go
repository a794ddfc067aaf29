package cthelper

// The Service Location Protocol (RFC 2608): like with multicast DNS, whoever answers a question to the group does so from its
// own address.

func parseSLP(p *Packet, _ []byte) Result { return p.answersFromAnyone() }
