package conntrackcli

import (
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/compat/getopt"
)

// extID is an option of a protocol. The numbers are the order in which legality is
// checked.
type extID uint8

const (
	extSrcPort extID = iota
	extDstPort
	extReplySrcPort
	extReplyDstPort
	extMaskSrcPort
	extMaskDstPort
	extState
	extTupleSrcPort
	extTupleDstPort
	extOrigVTag
	extReplyVTag
	extRole
	extICMPType
	extICMPCode
	extICMPID
	extCount
)

// extSet is a set of protocol options.
type extSet uint16

func exts(ids ...extID) (s extSet) {
	for _, id := range ids {
		s |= 1 << id
	}
	return s
}

func (s extSet) has(id extID) bool { return s&(1<<id) != 0 }
func (s *extSet) add(id extID)     { *s |= 1 << id }

var (
	extPorts      = exts(extSrcPort, extDstPort, extReplySrcPort, extReplyDstPort)
	extMaskPorts  = exts(extMaskSrcPort, extMaskDstPort)
	extTuplePorts = exts(extTupleSrcPort, extTupleDstPort)
	extVTags      = exts(extOrigVTag, extReplyVTag)
	extICMP       = exts(extICMPType, extICMPCode, extICMPID)
)

// extRules are what a command holds the options of a protocol to. The zero value
// forbids all.
type extRules uint8

const (
	extNone extRules = iota
	extSelect
	extUpdate
	extGet
	extCreate
	extExpectCreate
	extExpectLookup
)

// extLegality is what each command needs and allows of the options that a
// protocol has; needs and allowances beyond those options mean nothing.
var extLegality = [...]struct {
	must, may extSet
	pair      bool // both ports of one direction are needed
}{
	extNone:         {},
	extSelect:       {may: extPorts | extICMP | exts(extState)},
	extUpdate:       {may: extPorts | extICMP | extVTags | exts(extState)},
	extGet:          {must: exts(extICMPType, extICMPCode), may: extPorts | extICMP | extVTags | exts(extState), pair: true},
	extCreate:       {must: exts(extICMPType, extICMPCode, extState, extRole) | extVTags, may: extPorts | extICMP, pair: true},
	extExpectCreate: {must: exts(extSrcPort, extDstPort, extRole) | extMaskPorts | extTuplePorts | extVTags},
	extExpectLookup: {must: extPorts},
}

// extension is a row of the table of protocols that have options of their own.
type extension struct {
	proto   flow.Proto
	options []extOption
	// expectMust are options that making an expectation needs with this protocol
	// alone.
	expectMust extSet
	// pairOrig and pairReply are the messages about half a direction. They
	// name options that do not exist, as the original does.
	pairOrig, pairReply string
}

// extOption is an option of a protocol.
type extOption struct {
	id    extID
	name  string
	alias string
	value string
	help  string
}

const (
	pairPorts      = "you have to specify `--sport' and `--dport'"
	pairReplyPorts = "you have to specify `--reply-src-port' and `--reply-dst-port'"
)

var portOptions = []extOption{
	{extSrcPort, "sport", "orig-port-src", "PORT", "original source port"},
	{extDstPort, "dport", "orig-port-dst", "PORT", "original destination port"},
	{extReplySrcPort, "reply-port-src", "", "PORT", "reply source port"},
	{extReplyDstPort, "reply-port-dst", "", "PORT", "reply destination port"},
	{extMaskSrcPort, "mask-port-src", "", "MASK", "mask of the expected source port"},
	{extMaskDstPort, "mask-port-dst", "", "MASK", "mask of the expected destination port"},
	{extTupleSrcPort, "tuple-port-src", "", "PORT", "expected source port"},
	{extTupleDstPort, "tuple-port-dst", "", "PORT", "expected destination port"},
}

var extensions = [...]extension{
	{proto: flow.TCP, pairOrig: pairPorts, pairReply: pairReplyPorts, options: withOptions(portOptions,
		extOption{extState, "state", "", "STATE", "NONE, SYN_SENT, SYN_RECV, ESTABLISHED, FIN_WAIT, CLOSE_WAIT, LAST_ACK, TIME_WAIT, CLOSE, SYN_SENT2"})},
	{proto: flow.UDP, pairOrig: pairPorts, pairReply: pairReplyPorts, options: portOptions},
	{proto: flow.UDPLite, pairOrig: pairPorts, pairReply: pairReplyPorts, options: portOptions},
	{proto: flow.SCTP, pairOrig: pairPorts, pairReply: pairReplyPorts, options: withOptions(portOptions,
		extOption{extState, "state", "", "STATE", "NONE, CLOSED, COOKIE_WAIT, COOKIE_ECHOED, ESTABLISHED, SHUTDOWN_SENT, SHUTDOWN_RECD, SHUTDOWN_ACK_SENT"},
		extOption{extOrigVTag, "orig-vtag", "", "TAG", "verification tag of the original direction"},
		extOption{extReplyVTag, "reply-vtag", "", "TAG", "verification tag of the reply direction"})},
	{proto: flow.DCCP, pairOrig: pairPorts, pairReply: "you have to specify `--reply-port-src' and `--report-port-dst'", options: withOptions(portOptions,
		extOption{extState, "state", "", "STATE", "NONE, REQUEST, RESPOND, PARTOPEN, OPEN, CLOSEREQ, CLOSING, TIMEWAIT, IGNORE, INVALID"},
		extOption{extRole, "role", "", "ROLE", "client or server"})},
	{proto: flow.ICMP, options: []extOption{
		{extICMPType, "icmp-type", "", "TYPE", "ICMP type"},
		{extICMPCode, "icmp-code", "", "CODE", "ICMP code"},
		{extICMPID, "icmp-id", "", "ID", "ICMP identifier"},
	}},
	{proto: flow.ICMPv6, options: []extOption{
		{extICMPType, "icmpv6-type", "", "TYPE", "ICMPv6 type"},
		{extICMPCode, "icmpv6-code", "", "CODE", "ICMPv6 code"},
		{extICMPID, "icmpv6-id", "", "ID", "ICMPv6 identifier"},
	}},
	{proto: flow.GRE, expectMust: exts(extReplySrcPort, extReplyDstPort), pairOrig: "you have to specify `--srckey' and `--dstkey'",
		pairReply: "you have to specify `--reply-src-key' and `--reply-dst-key'", options: []extOption{
			{extSrcPort, "srckey", "orig-key-src", "KEY", "original source key"},
			{extDstPort, "dstkey", "orig-key-dst", "KEY", "original destination key"},
			{extReplySrcPort, "reply-key-src", "", "KEY", "reply source key"},
			{extReplyDstPort, "reply-key-dst", "", "KEY", "reply destination key"},
			{extMaskSrcPort, "mask-key-src", "", "MASK", "mask of the expected source key"},
			{extMaskDstPort, "mask-key-dst", "", "MASK", "mask of the expected destination key"},
			{extTupleSrcPort, "tuple-key-src", "", "KEY", "expected source key"},
			{extTupleDstPort, "tuple-key-dst", "", "KEY", "expected destination key"},
		}},
}

func withOptions(base []extOption, more ...extOption) []extOption {
	return append(append([]extOption(nil), base...), more...)
}

// extensionOf returns the options of p, or nil.
func extensionOf(p flow.Proto) *extension {
	for i := range extensions {
		if extensions[i].proto == p {
			return &extensions[i]
		}
	}
	return nil
}

// option returns e's option with that number, or nil.
func (e *extension) option(id extID) *extOption {
	for i := range e.options {
		if e.options[i].id == id {
			return &e.options[i]
		}
	}
	return nil
}

// known is the set of e's options.
func (e *extension) known() (s extSet) {
	for i := range e.options {
		s.add(e.options[i].id)
	}
	return s
}

// extValue is where the scanner's values of protocol options begin. Every -p adds its
// options with values of their own, so that after two of them an abbreviation
// is ambiguous.
const extValue rune = 0x10000

// long returns e's options for the scanner, as the n-th -p of the command line.
func (e *extension) long(n int) []getopt.Long {
	var long []getopt.Long
	for _, o := range e.options {
		value := extValue*rune(n) + rune(o.id)
		long = append(long, getopt.Long{Name: o.name, Arg: getopt.Required, Value: value})
		if o.alias != "" {
			long = append(long, getopt.Long{Name: o.alias, Arg: getopt.Required, Value: value})
		}
	}
	return long
}

// extend adds e's options to those of the command line so far, as its n-th -p.
func (e *extension) extend(long []getopt.Long, n int) []getopt.Long {
	if n == 1 {
		return scannerTables().extended[e]
	}
	return append(long, e.long(n)...)
}

// check holds the options given to the rules of a command.
func (e *extension) check(r extRules, given extSet) error {
	law := extLegality[r]
	if r == extExpectCreate {
		law.must |= e.expectMust
	}
	wrong := law.must&e.known()&^given | given&^(law.must|law.may)
	for id := range extCount {
		if wrong == 0 {
			break
		}
		o := e.option(id)
		switch {
		case o == nil:
		case law.must.has(id) && !given.has(id):
			return usagef("You need to supply the `--%s' option for this command", o.name)
		case !law.must.has(id) && !law.may.has(id) && given.has(id):
			return usagef("Illegal option `--%s' with this command", o.name)
		}
	}
	if !law.pair || e.pairOrig == "" {
		return nil
	}
	orig, reply := exts(extSrcPort, extDstPort), exts(extReplySrcPort, extReplyDstPort)
	switch {
	case given&orig == orig, given&reply == reply:
		return nil
	case given&orig == 0 && given&reply != 0:
		return usagef("%s", e.pairReply)
	}
	return usagef("%s", e.pairOrig)
}
