package conntrackcli

import (
	"net/netip"

	"github.com/spoor-project/spoor/flow"
)

// given is a set of attributes that the command line gave a value.
type given uint32

const (
	origSrc given = 1 << iota
	origDst
	origProto
	origSrcPort
	origDstPort
	replySrc
	replyDst
	replyProto
	replySrcPort
	replyDstPort
	icmpType
	icmpCode
	icmpID
	vtagOrig
	vtagReply

	replySide = replySrc | replyDst | replyProto | replySrcPort | replyDstPort
)

func (g given) has(what given) bool { return g&what == what }
func (g given) any(of given) bool   { return g&of != 0 }

// template collects the values of a command line. What they are for depends on the
// command: to select flows, to make one, or to change some.
type template struct {
	given given

	orig, reply flow.Tuple

	// The masks of -s and -d; zero if none were given. Either may be given
	// without its address.
	srcMask, dstMask netip.Addr

	// Of expectations: the expected tuple and its mask.
	expect, expectMask flow.Tuple

	timeout uint32
	status  statusWords
	mark    uint32
	// markMask is all ones unless given.
	markMask uint32
	id       uint32
	zone     uint16
	// origZone and replyZone are in the tuples, too.
	origZone, replyZone uint16

	state    *uint8
	vtags    flow.VTags
	role     *flow.DCCPRole
	tcpFlags flow.TCPFlags

	srcNAT, dstNAT natAddr
	anyNAT         natAddr

	labels, labelsAdd, labelsDel []string // by name
}

// statusWords are the words of -u.
type statusWords struct {
	set, mask flow.Status
	// not are the negated bits alone; unset tells the word UNSET from no word.
	not   flow.Status
	unset bool
}

// deriveReply fills in the direction that was not given, as the mirror image of the
// other: for making a flow. If both have an address they stay as they are.
func (t *template) deriveReply() {
	haveOrig := t.given.any(origSrc | origDst)
	haveReply := t.given.any(replySrc | replyDst)
	switch {
	case haveOrig && !haveReply:
		t.reply = mirror(&t.orig, &t.reply)
	case haveReply && !haveOrig:
		// The protocol is that of the reply tuple, which only an option of
		// the reply direction has set.
		t.orig = mirror(&t.reply, &t.orig)
	}
}

// mirror returns the mirror image of from, in place of old. The types of ICMP were
// paired when they were read, and a direction's zone is its own.
func mirror(from, old *flow.Tuple) flow.Tuple {
	image, _ := from.Inverse()
	if from.Proto.Shape() == flow.ShapeICMP {
		image.SrcPort, image.DstPort = old.SrcPort, old.DstPort
	}
	image.Zone = old.Zone
	return image
}
