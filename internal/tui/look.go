package tui

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	"github.com/spoor-project/spoor/filter"
	"github.com/spoor-project/spoor/flow"
)

// Look is what a sweep is to bring out. The zero Look is all flows by rate, and no row of them.
type Look struct {
	Query   *filter.Query // nil: every flow
	By      Grouping
	Sort    Sort
	Reverse bool
	Limit   int // rows or groups, at most
	// Since is the number of a sample: flows that were not there yet are new. 0 is the first, SinceLast the one before.
	Since   uint32
	OnlyNew bool // no others
	// Serial is the asker's own, to tell the answer by.
	Serial int
}

// SinceLast as [Look.Since] is that those flows are new which the last reading has met and the one before has not.
const SinceLast = ^uint32(0)

// Sort is what puts rows in order, largest first.
type Sort uint8

// A row is put by what it has; where rows are equal, as all are while accounting is off, by rate, bytes, and time left.
const (
	ByRate    Sort = iota // bytes per second
	ByPPS                 // packets per second
	ByBytes               // of both directions
	ByPackets             // of both directions
	ByAge                 // of flows
	ByTimeout             // of flows
	ByFlows               // of groups
	ByNew                 // of groups: how many flows are new
	lastSort
)

var sortNames = [lastSort]string{"rate", "pps", "bytes", "packets", "age", "timeout", "flows", "new"}

// String is the name: rate, pps, bytes, packets, age, timeout, flows, new.
func (s Sort) String() string {
	if s < lastSort {
		return sortNames[s]
	}
	return "sort " + strconv.Itoa(int(s))
}

// of reports whether rows of a grouping can be sorted so.
func (s Sort) of(by Grouping) bool {
	switch s {
	case ByAge, ByTimeout:
		return by == Flows
	case ByFlows, ByNew:
		return by != Flows
	}
	return s < lastSort
}

// SortNamed returns the sort of that name.
func SortNamed(name string) (s Sort, ok bool) {
	i := slices.Index(sortNames[:], name)
	return Sort(max(i, 0)), i >= 0
}

// SortNames lists the names.
func SortNames() []string { return slices.Clone(sortNames[:]) }

// Grouping is what flows are summed up by.
type Grouping uint8

const (
	Flows        Grouping = iota // by nothing: each is a row
	Sources                      // original source
	Destinations                 // original destination
	Services                     // protocol and original destination port
	NATs                         // address that the source, or else the destination, is translated into
	States                       // protocol and state of the tracker
	Zones                        // zone of both directions
	Marks                        // ctmark
	lastGrouping
)

// groupings has a row for each Grouping: its name, its title, the key of a flow, and what the key says.
var groupings = [lastGrouping]struct {
	name, title string
	key         func(*flow.Flow) groupKey
	text        func(*groupKey) (name, condition string)
}{
	Flows:        {name: "flow", title: "FLOW"},
	Sources:      {"src", "SOURCE", func(f *flow.Flow) groupKey { return addrKey(0, f.Orig.Src) }, addrText("src ")},
	Destinations: {"dst", "DESTINATION", func(f *flow.Flow) groupKey { return addrKey(0, f.Orig.Dst) }, addrText("dst ")},
	Services:     {"service", "SERVICE", serviceKey, serviceText},
	NATs:         {"nat", "TRANSLATED TO", natKey, natText},
	States:       {"state", "STATE", stateKey, stateText},
	Zones: {"zone", "ZONE", func(f *flow.Flow) groupKey { return groupKey{number: uint32(f.Zone)} }, func(k *groupKey) (string, string) {
		return strconv.Itoa(int(k.number)), "zone " + strconv.Itoa(int(k.number))
	}},
	Marks: {"mark", "MARK", func(f *flow.Flow) groupKey { return groupKey{number: f.Mark} }, func(k *groupKey) (string, string) {
		return fmt.Sprintf("0x%x", k.number), fmt.Sprintf("mark 0x%x", k.number)
	}},
}

// String is the name: flow, src, dst, service, nat, state, zone, mark.
func (g Grouping) String() string {
	if g < lastGrouping {
		return groupings[g].name
	}
	return "grouping " + strconv.Itoa(int(g))
}

// GroupingNamed returns the grouping of that name.
func GroupingNamed(name string) (g Grouping, ok bool) {
	for i := range groupings {
		if groupings[i].name == name {
			return Grouping(i), true
		}
	}
	return 0, false
}

// GroupingNames lists the names.
func GroupingNames() (all []string) {
	for i := range groupings {
		all = append(all, groupings[i].name)
	}
	return all
}

// groupKey is what the flows of a group have in common, without pointers and gaps.
type groupKey struct {
	addr   [16]byte
	number uint32
	kind   uint16 // 4 or 6 for an address; the rest is the grouping's own
	extra  uint16
}

func addrKey(extra uint16, a netip.Addr) groupKey {
	k := groupKey{extra: extra}
	switch {
	case a.Is4():
		k.kind, k.addr = 4, a.As16()
	case a.IsValid():
		k.kind, k.addr = 6, a.As16()
	}
	return k
}

func (k *groupKey) address() netip.Addr {
	if k.kind == 4 {
		return netip.AddrFrom16(k.addr).Unmap()
	}
	return netip.AddrFrom16(k.addr)
}

func addrText(field string) func(*groupKey) (name, condition string) {
	return func(k *groupKey) (string, string) {
		a := k.address().String()
		return a, field + a
	}
}

func serviceKey(f *flow.Flow) groupKey {
	k := groupKey{extra: uint16(f.Orig.Proto)}
	if f.Orig.Proto.Shape() == flow.ShapePorts {
		k.kind, k.number = 1, uint32(f.Orig.DstPort)
	}
	return k
}

func serviceText(k *groupKey) (string, string) {
	p, condition := flow.Proto(k.extra), "proto "+strconv.Itoa(int(k.extra))
	if k.kind == 0 {
		return p.String(), condition
	}
	return fmt.Sprintf("%s/%d", p, k.number), fmt.Sprintf("%s and dport %d", condition, k.number)
}

// Kinds of translation, in the extra of a key.
const (
	natNone uint16 = iota
	natSource
	natDestination
)

func natKey(f *flow.Flow) groupKey {
	switch t := f.Translated(); {
	case t.SrcAddr || t.SrcPort:
		return addrKey(natSource, f.Reply.Dst)
	case t.DstAddr || t.DstPort:
		return addrKey(natDestination, f.Reply.Src)
	}
	return groupKey{}
}

func natText(k *groupKey) (string, string) {
	switch k.extra {
	case natSource:
		a := k.address().String()
		return "from " + a, "snat to " + a
	case natDestination:
		a := k.address().String()
		return "to " + a, "dnat to " + a + " and not snat"
	}
	return "not translated", "not nat"
}

// Kinds of states.
const (
	stateTracked uint16 = iota // the number is the tracker's
	stateOffload
	stateReplied
	stateUnreplied
)

func stateKey(f *flow.Flow) groupKey {
	k := groupKey{extra: uint16(f.Orig.Proto)}
	switch {
	case f.Has.Has(flow.HasState):
		k.number = uint32(f.State)
	case f.Status.Has(flow.Offload):
		k.kind = stateOffload
	case f.Status.Has(flow.SeenReply):
		k.kind = stateReplied
	default:
		k.kind = stateUnreplied
	}
	return k
}

func stateText(k *groupKey) (string, string) {
	p, condition := flow.Proto(k.extra), "proto "+strconv.Itoa(int(k.extra))
	switch k.kind {
	case stateOffload:
		return p.String() + " OFFLOAD", condition + " and offload"
	case stateReplied:
		return p.String() + " REPLIED", condition + " and replied and not offload"
	case stateUnreplied:
		return p.String() + " UNREPLIED", condition + " and unreplied and not offload"
	}
	name := p.StateName(uint8(k.number))
	return p.String() + " " + name, condition + " and state " + name
}

// StateOf is the tracker's state of a flow or, for those without, whether there was an answer.
func StateOf(f *flow.Flow) string {
	switch {
	case f.Has.Has(flow.HasState):
		return f.Orig.Proto.StateName(f.State)
	case f.Status.Has(flow.Offload):
		return "OFFLOAD"
	case !f.Status.Has(flow.SeenReply):
		return "UNREPLIED"
	}
	return ""
}
