package wire

import (
	"strings"
	"time"

	"github.com/spoor-project/spoor/flow"
)

// Expect is an expectation as a peer tells of it. ID and Zone are not sent.
type Expect struct {
	flow.Expect
	// Attrs are the attributes that the expectation was made from, without those that mean
	// nothing for its protocol and address family.
	Attrs Attrs
}

// Sizes of names, with the zero byte. One byte more, and the original rejects the message.
const (
	helperSize = 12
	funcSize   = 28
)

type expectAttr = attr[flow.Expect, flow.ExpectFields]

// expects is the table of expectation attributes. To add one, add a row where it is sent.
var expects = table[flow.Expect, flow.ExpectFields]{
	attrs: []expectAttr{
		{number: 0, name: "MASTER_IPV4", field: pair4(expectMaster), has: flow.ExpectHasMaster, when: all4(expectMaster)},
		{number: 1, name: "MASTER_IPV6", field: pair6(expectMaster), has: flow.ExpectHasMaster, when: all6(expectMaster)},
		{number: 2, name: "MASTER_L4PROTO", field: protoOf(expectMaster), has: flow.ExpectHasMaster, meaning: protoName},
		{number: 3, name: "MASTER_PORT", field: ports(expectMaster), has: flow.ExpectHasMaster, of: expectMasterHasPorts},
		{number: 4, name: "EXPECT_IPV4", field: pair4(expected), when: all4(expected)},
		{number: 5, name: "EXPECT_IPV6", field: pair6(expected), when: all6(expected)},
		{number: 6, name: "EXPECT_L4PROTO", field: protoOf(expected), meaning: protoName},
		{number: 7, name: "EXPECT_PORT", field: ports(expected), of: expectsPorts, when: sendsExpectPorts},
		{number: 8, name: "MASK_IPV4", field: pair4(mask), has: flow.ExpectHasMask, when: all4(mask)},
		{number: 9, name: "MASK_IPV6", field: pair6(mask), has: flow.ExpectHasMask, when: all6(mask)},
		{number: 10, name: "MASK_L4PROTO", field: protoOf(mask), has: flow.ExpectHasMask, meaning: protoName},
		{number: 11, name: "MASK_PORT", field: ports(mask), has: flow.ExpectHasMask, of: expectsPorts, when: sendsExpectPorts},
		{number: 12, name: "TIMEOUT", field: seconds(expectTimeout), has: flow.ExpectHasTimeout,
			when: sendsTimeout[flow.Expect]},
		{number: 13, name: "FLAGS", field: number32(func(e *flow.Expect) *flow.ExpectFlags { return &e.Flags }),
			has: flow.ExpectHasFlags, always: true, meaning: expectFlagNames},
		{number: 14, name: "CLASS", field: number32(func(e *flow.Expect) *uint32 { return &e.Class }),
			has: flow.ExpectHasClass},
		{number: 15, name: "NAT_IPV4", field: pair4(expectNAT), has: flow.ExpectHasNAT, of: expectsIPv4, when: natIPv4},
		{number: 17, name: "NAT_L4PROTO", field: protoOf(expectNAT), has: flow.ExpectHasNAT, meaning: protoName},
		{number: 16, name: "NAT_PORT", field: ports(expectNAT), has: flow.ExpectHasNAT, of: expectsPorts,
			when: sendsExpectPorts},
		{number: 18, name: "NAT_DIR", field: flag32(func(e *flow.Expect) *bool { return &e.NATReply }),
			has: flow.ExpectHasNAT, meaning: directionName},
		{number: 19, name: "HELPER_NAME", field: text(helperSize, func(e *flow.Expect) *string { return &e.Helper }),
			has: flow.ExpectHasHelper, when: func(e *flow.Expect, _ Options) bool { return fitsText(e.Helper, helperSize) }},
		{number: 20, name: "FN", field: text(funcSize, func(e *flow.Expect) *string { return &e.Func }),
			has: flow.ExpectHasFunc, when: func(e *flow.Expect, _ Options) bool { return fitsText(e.Func, funcSize) }},
	},
	has:    func(e *flow.Expect) *flow.ExpectFields { return &e.Has },
	v4:     1<<0 | 1<<4 | 1<<8,
	v6:     1<<1 | 1<<5 | 1<<9,
	needed: 1<<2 | 1<<6 | 1<<10,
}.indexed()

// AppendExpect appends to b a message that tells of e. h.Type is ExpectNew, ExpectUpdate or ExpectDelete;
// h.Length need not be given.
//
// The name of a helper of more than 11 bytes and that of a function of more than 27 are not sent. Nothing at all is
// appended unless tuple, mask and master are there, with addresses of one family. The message is no
// longer than [MaxSize].
func AppendExpect(b []byte, h Header, e *flow.Expect, o Options) []byte {
	set := expects.sent(e, o)
	if !expects.suffices(set) {
		return b
	}
	return expects.append(b, h, e, set)
}

// Append is [Flow.Append] for expectations.
func (e *Expect) Append(b []byte, h Header) []byte { return expects.append(b, h, &e.Expect, e.Attrs) }

// Expect decodes a message about an expectation into e, replacing what was there. The fault is BadType if
// m.Type is none of an expectation's, or BadPayload; e is not changed then. An expectation has a
// tuple, a mask and a master, each with addresses of the same family and a protocol.
func (d *Decoder) Expect(m *Message, e *Expect) Fault {
	if !m.Type.IsExpect() {
		return BadType
	}
	return expects.decode(d, m.body, &e.Expect, &e.Attrs, true)
}

// Places.

func expectMaster(e *flow.Expect) *flow.Tuple     { return &e.Master }
func expected(e *flow.Expect) *flow.Tuple         { return &e.Tuple }
func mask(e *flow.Expect) *flow.Tuple             { return &e.Mask }
func expectNAT(e *flow.Expect) *flow.Tuple        { return &e.NAT }
func expectTimeout(e *flow.Expect) *time.Duration { return &e.Timeout }

func protoOf(at func(*flow.Expect) *flow.Tuple) field[flow.Expect] {
	return number8(func(e *flow.Expect) *flow.Proto { return &at(e).Proto })
}

// Which expectations have an attribute. Mask and translation go by the protocol of the
// expected flow, whatever number they have.

func expectsIPv4(e *flow.Expect) bool          { return e.Tuple.Src.Is4() }
func expectsPorts(e *flow.Expect) bool         { return portsKnown(e.Tuple.Proto) }
func expectMasterHasPorts(e *flow.Expect) bool { return portsKnown(e.Master.Proto) }

// When an attribute is sent.

func all4(at func(*flow.Expect) *flow.Tuple) func(*flow.Expect, Options) bool {
	return func(e *flow.Expect, _ Options) bool { return bothIPv4(at(e)) }
}

func all6(at func(*flow.Expect) *flow.Tuple) func(*flow.Expect, Options) bool {
	return func(e *flow.Expect, _ Options) bool { return bothIPv6(at(e)) }
}

func natIPv4(e *flow.Expect, _ Options) bool          { return e.NAT.Family() == flow.IPv4 }
func sendsExpectPorts(e *flow.Expect, _ Options) bool { return portsSent(e.Tuple.Proto) }

// What numbers mean.

func directionName(n uint32) string {
	if n == 0 {
		return "original"
	}
	return "reply"
}

func expectFlagNames(n uint32) string {
	var names []string
	for i, name := range [...]string{"PERMANENT", "INACTIVE", "USERSPACE"} {
		if n&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ",")
}
