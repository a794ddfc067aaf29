package conntrackcli

import (
	"math/bits"

	"github.com/spoor-project/spoor/internal/compat/getopt"
)

// optionID is a generic option. The numbers are the order in which legality is
// checked, which decides the message when several options are wrong.
type optionID uint8

const (
	optSrc optionID = iota
	optDst
	optReplySrc
	optReplyDst
	optProto
	optTimeout
	optStatus
	optZero
	optEventMask
	optTupleSrc
	optTupleDst
	optMaskSrc
	optMaskDst
	optMark
	optID
	optFamily
	optSrcNAT
	optDstNAT
	optOutput
	optSecMark
	optBuffer
	optAnyNAT
	optZone
	optLabel
	optLabelAdd
	optLabelDel
	optOrigZone
	optReplyZone
	optLabelMap
	// Ours; they stand behind, so that they never change an older message.
	optNetNS
	optDryRun
	optWithTable
	optExitOnLoss
	optVerbose
	optNATRange // ignored, and legal everywhere
)

// optionSet is a set of generic options.
type optionSet uint64

func options(ids ...optionID) (s optionSet) {
	for _, id := range ids {
		s |= 1 << id
	}
	return s
}

func (s optionSet) has(id optionID) bool    { return s&(1<<id) != 0 }
func (s *optionSet) add(id optionID)        { *s |= 1 << id }
func (s optionSet) any(of optionSet) bool   { return s&of != 0 }
func (s optionSet) first() (optionID, bool) { return optionID(bits.TrailingZeros64(uint64(s))), s != 0 }

// option is a row of the table of generic options, from which the scanner, the
// messages, the help, the manual page and the completions are made.
type option struct {
	id     optionID
	name   string   // as messages name it
	names  []string // other long names
	letter byte     // 0: none
	arg    getopt.Arg
	value  string // what the argument is called in help
	help   string
	topic  topic
	ours   bool // not known to the original
}

// topic is a section of the help.
type topic uint8

const (
	topicSelect topic = iota
	topicExpect
	topicChange
	topicCommon
)

var topicTitles = [...]string{
	topicSelect: "Connection parameters and options",
	topicExpect: "Expectation parameters and options",
	topicChange: "Parameters and options to change entries",
	topicCommon: "Common parameters and options",
}

var optionTable = [...]option{
	{id: optSrc, name: "src", names: []string{"orig-src"}, letter: 's', arg: getopt.Required, value: "ADDR[/LEN]", topic: topicSelect,
		help: "source address of the original direction"},
	{id: optDst, name: "dst", names: []string{"orig-dst"}, letter: 'd', arg: getopt.Required, value: "ADDR[/LEN]", topic: topicSelect,
		help: "destination address of the original direction"},
	{id: optReplySrc, name: "reply-src", letter: 'r', arg: getopt.Required, value: "ADDR", topic: topicSelect,
		help: "source address of the reply direction"},
	{id: optReplyDst, name: "reply-dst", letter: 'q', arg: getopt.Required, value: "ADDR", topic: topicSelect,
		help: "destination address of the reply direction"},
	{id: optProto, name: "protonum", letter: 'p', arg: getopt.Required, value: "PROTO", topic: topicSelect,
		help: "layer 4 protocol, by name or number; opens the protocol's own options"},
	{id: optTimeout, name: "timeout", letter: 't', arg: getopt.Required, value: "SECONDS", topic: topicChange,
		help: "timeout of the entry"},
	{id: optStatus, name: "status", letter: 'u', arg: getopt.Required, value: "STATUS,...", topic: topicSelect,
		help: "status bits: ASSURED, SEEN_REPLY, UNSET, FIXED_TIMEOUT, EXPECTED, OFFLOAD, HW_OFFLOAD, UNREPLIED; !NAME negates"},
	{id: optZero, name: "zero", letter: 'z', topic: topicCommon,
		help: "set counters to zero while listing them"},
	{id: optEventMask, name: "event-mask", letter: 'e', arg: getopt.Required, value: "EVENT,...", topic: topicCommon,
		help: "events to show: ALL, NEW, UPDATES, DESTROY"},
	{id: optTupleSrc, name: "tuple-src", letter: '[', arg: getopt.Required, value: "ADDR", topic: topicExpect,
		help: "source address of the expected connection"},
	{id: optTupleDst, name: "tuple-dst", letter: ']', arg: getopt.Required, value: "ADDR", topic: topicExpect,
		help: "destination address of the expected connection"},
	{id: optMaskSrc, name: "mask-src", letter: '{', arg: getopt.Required, value: "MASK", topic: topicSelect,
		help: "bits of the source address that count"},
	{id: optMaskDst, name: "mask-dst", letter: '}', arg: getopt.Required, value: "MASK", topic: topicSelect,
		help: "bits of the destination address that count"},
	{id: optMark, name: "mark", letter: 'm', arg: getopt.Required, value: "MARK[/MASK]", topic: topicSelect,
		help: "connection mark"},
	{id: optID, name: "id", letter: 'i', arg: getopt.Required, value: "ID", topic: topicChange,
		help: "identifier of the entry, as -o id shows it"},
	{id: optFamily, name: "family", letter: 'f', arg: getopt.Required, value: "ipv4|ipv6", topic: topicCommon,
		help: "layer 3 protocol family"},
	{id: optSrcNAT, name: "src-nat", letter: 'n', arg: getopt.Optional, value: "ADDR[:PORT]", topic: topicSelect,
		help: "source translation, into that address if one follows"},
	{id: optDstNAT, name: "dst-nat", letter: 'g', arg: getopt.Optional, value: "ADDR[:PORT]", topic: topicSelect,
		help: "destination translation, into that address if one follows"},
	{id: optOutput, name: "output", letter: 'o', arg: getopt.Required, value: "FORMAT,...", topic: topicCommon,
		help: "output: xml, extended, timestamp, id, ktimestamp, labels, userspace, save; json, jsonl, csv"},
	{id: optSecMark, name: "secmark", letter: 'c', arg: getopt.Required, value: "MARK", topic: topicSelect,
		help: "security mark (accepted, not compared: the kernel does not report it)"},
	{id: optBuffer, name: "buffer-size", letter: 'b', arg: getopt.Required, value: "BYTES", topic: topicCommon,
		help: "size of the kernel's event queue to begin with"},
	{id: optAnyNAT, name: "any-nat", letter: 'j', arg: getopt.Optional, value: "ADDR[:PORT]", topic: topicSelect,
		help: "source or destination translation"},
	{id: optZone, name: "zone", letter: 'w', arg: getopt.Required, value: "ZONE", topic: topicSelect,
		help: "conntrack zone of both directions"},
	{id: optLabel, name: "label", letter: 'l', arg: getopt.Required, value: "LABEL,...", topic: topicSelect,
		help: "labels that the entry has"},
	{id: optLabelAdd, name: "label-add", letter: '<', arg: getopt.Required, value: "LABEL,...", topic: topicChange,
		help: "labels to add"},
	{id: optLabelDel, name: "label-del", letter: '>', arg: getopt.Optional, value: "LABEL,...", topic: topicChange,
		help: "labels to remove; all if none follows"},
	{id: optOrigZone, name: "orig-zone", letter: '(', arg: getopt.Required, value: "ZONE", topic: topicSelect,
		help: "zone of the original direction alone"},
	{id: optReplyZone, name: "reply-zone", letter: ')', arg: getopt.Required, value: "ZONE", topic: topicSelect,
		help: "zone of the reply direction alone"},
	{id: optLabelMap, name: "labelmap", letter: 'M', arg: getopt.Required, value: "FILE", topic: topicCommon,
		help: "names of labels; " + defaultLabelMap + " if not given"},
	{id: optNATRange, name: "nat-range", letter: 'a', arg: getopt.Required, value: "RANGE", topic: topicCommon,
		help: "deprecated and ignored"},
	{id: optNetNS, name: "netns", arg: getopt.Required, value: "NAME|PATH|PID", topic: topicCommon, ours: true,
		help: "work in another network namespace"},
	{id: optDryRun, name: "dry-run", topic: topicChange, ours: true,
		help: "with -D and -U: show the entries that would be hit and leave them alone"},
	{id: optWithTable, name: "with-table", topic: topicCommon, ours: true,
		help: "with -E: show the table as it is, then the events since"},
	{id: optExitOnLoss, name: "exit-on-loss", topic: topicCommon, ours: true,
		help: "with -E: stop with an error when events were lost, instead of going on"},
	{id: optVerbose, name: "verbose", topic: topicCommon, ours: true,
		help: "with -L and -D: say how the table is read, and why not the faster way"},
}

// longOrder is the order of the long names, which decides what an abbreviation
// that fits several of them means.
var longOrder = []optionID{optSrc, optDst, optReplySrc, optReplyDst, optProto, optTimeout, optStatus, optZero,
	optEventMask, optTupleSrc, optTupleDst, optMaskSrc, optMaskDst, optNATRange, optMark, optSecMark, optID,
	optFamily, optSrcNAT, optDstNAT, optOutput, optBuffer, optAnyNAT, optZone, optLabel, optLabelMap,
	optLabelAdd, optLabelDel, optOrigZone, optReplyZone, optNetNS, optDryRun, optWithTable, optExitOnLoss,
	optVerbose}

// row returns the option's row.
func (id optionID) row() *option {
	for i := range optionTable {
		if optionTable[i].id == id {
			return &optionTable[i]
		}
	}
	return nil
}

// ownValue is the scanner's value of an option that has no letter. Values of
// protocol options are above them.
const ownValue rune = 0x100

func (o *option) scanned() rune {
	if o.letter != 0 {
		return rune(o.letter)
	}
	return ownValue + rune(o.id)
}
