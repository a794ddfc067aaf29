package filter

import (
	"math"
	"strings"

	"github.com/spoor-project/spoor/flow"
)

// To add a field: a constant, its row below, its case in test.match, if a Filter can say it one in narrow (narrow.go), and
// a line in docs/filter.md.

// field is what a test looks at.
type field uint8

const (
	fieldFamily field = iota
	fieldProto
	fieldSrc
	fieldDst
	fieldHost
	fieldSrcPort
	fieldDstPort
	fieldPort
	fieldICMPType
	fieldICMPCode
	fieldICMPID
	fieldZone
	fieldState
	fieldStatus
	fieldMark
	fieldLabel
	fieldHelper
	fieldSecCtx
	fieldID
	fieldUse
	fieldBytes
	fieldPackets
	fieldTimeout
	fieldAge
	fieldSNAT
	fieldDNAT
	fieldNAT
)

// kind is how the values of a field are written.
type kind uint8

const (
	kindNumber   kind = iota
	kindCount         // numbers with k, M, G
	kindDuration      // nanoseconds, written with s, m, h
	kindPort          // numbers, or names of services
	kindProto         // numbers, or names
	kindFamily
	kindAddr
	kindState
	kindStatus
	kindMark
	kindLabel
	kindText
	kindNAT // no value, or "to" and addresses
)

var fields = [...]struct {
	name     string
	kind     kind
	max      uint64 // of numbers
	directed bool   // "orig" or "reply" may stand before it
}{
	fieldFamily:   {name: "family", kind: kindFamily, max: math.MaxUint8},
	fieldProto:    {name: "proto", kind: kindProto, max: math.MaxUint8},
	fieldSrc:      {name: "src", kind: kindAddr, directed: true},
	fieldDst:      {name: "dst", kind: kindAddr, directed: true},
	fieldHost:     {name: "host", kind: kindAddr, directed: true},
	fieldSrcPort:  {name: "sport", kind: kindPort, max: math.MaxUint16, directed: true},
	fieldDstPort:  {name: "dport", kind: kindPort, max: math.MaxUint16, directed: true},
	fieldPort:     {name: "port", kind: kindPort, max: math.MaxUint16, directed: true},
	fieldICMPType: {name: "icmp-type", kind: kindNumber, max: math.MaxUint8, directed: true},
	fieldICMPCode: {name: "icmp-code", kind: kindNumber, max: math.MaxUint8, directed: true},
	fieldICMPID:   {name: "icmp-id", kind: kindNumber, max: math.MaxUint16, directed: true},
	fieldZone:     {name: "zone", kind: kindNumber, max: math.MaxUint16, directed: true},
	fieldState:    {name: "state", kind: kindState},
	fieldStatus:   {name: "status", kind: kindStatus},
	fieldMark:     {name: "mark", kind: kindMark},
	fieldLabel:    {name: "label", kind: kindLabel},
	fieldHelper:   {name: "helper", kind: kindText},
	fieldSecCtx:   {name: "secctx", kind: kindText},
	fieldID:       {name: "id", kind: kindNumber, max: math.MaxUint32},
	fieldUse:      {name: "use", kind: kindNumber, max: math.MaxUint32},
	fieldBytes:    {name: "bytes", kind: kindCount, max: math.MaxUint64, directed: true},
	fieldPackets:  {name: "packets", kind: kindCount, max: math.MaxUint64, directed: true},
	fieldTimeout:  {name: "timeout", kind: kindDuration, max: math.MaxInt64},
	fieldAge:      {name: "age", kind: kindDuration, max: math.MaxInt64},
	fieldSNAT:     {name: "snat", kind: kindNAT},
	fieldDNAT:     {name: "dnat", kind: kindNAT},
	fieldNAT:      {name: "nat", kind: kindNAT},
}

func fieldOf(name string) (field, bool) {
	for i := range fields {
		if fields[i].name == name {
			return field(i), true
		}
	}
	return 0, false
}

// ordered reports whether there is less and more of it.
func (f field) ordered() bool { return fields[f].kind <= kindPort }

// words are conditions of one word. Of those that say the same the first is written.
var words = [...]struct {
	text   string
	status flow.Status
	not    bool
}{
	{text: "assured", status: flow.Assured},
	{text: "replied", status: flow.SeenReply},
	{text: "seen_reply", status: flow.SeenReply},
	{text: "unreplied", status: flow.SeenReply, not: true},
	{text: "expected", status: flow.Expected},
	{text: "related", status: flow.Expected},
	{text: "confirmed", status: flow.Confirmed},
	{text: "dying", status: flow.Dying},
	{text: "offload", status: flow.Offload},
	{text: "hw_offload", status: flow.HWOffload},
	{text: "fixed_timeout", status: flow.FixedTimeout},
}

// Words lists what a condition may begin with, for completions: fields, words that are conditions by themselves, protocols and
// families, and what joins them.
func Words() []string {
	all := []string{"and", "or", "not", "any", "orig", "reply"}
	for i := range fields {
		all = append(all, fields[i].name)
	}
	for i := range words {
		all = append(all, words[i].text)
	}
	for _, p := range flow.Protos() {
		all = append(all, p.String())
	}
	return append(all, flow.IPv4.String(), flow.IPv6.String())
}

// ValuesOf lists the values of a field that have names, for completions: states, status bits, protocols; nil if it has none.
func ValuesOf(name string) (values []string) {
	f, ok := fieldOf(name)
	if !ok {
		return nil
	}
	switch fields[f].kind {
	case kindProto:
		for _, p := range flow.Protos() {
			values = append(values, p.String())
		}
	case kindFamily:
		values = []string{flow.IPv4.String(), flow.IPv6.String()}
	case kindStatus:
		for _, bit := range flow.StatusBits() {
			values = append(values, strings.ToLower(bit.Name()))
		}
	case kindState:
		seen := make(map[string]bool)
		for _, p := range flow.Protos() {
			for n := range uint8(255) {
				name := strings.ToLower(p.StateName(n))
				if name == "" {
					break
				}
				if !seen[name] {
					seen[name], values = true, append(values, name)
				}
			}
		}
	}
	return values
}
