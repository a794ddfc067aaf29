package metrics

import (
	"cmp"
	"slices"
	"strconv"

	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/tally"
)

// groups are the flows of a table, counted by what they have in common. The memory does not depend on the number of flows.
type groups struct {
	kinds    map[kind]uint64
	zones    map[uint16]uint64 // but for zone 0, which nearly all flows are of
	zone0    uint64
	statuses [len(statuses)]uint64
	tops     []*tally.Tally // one for each Top
	most     int            // groups that one of tops may have
	pruned   []bool         // some groups of a top were forgotten
}

// kind is what of a flow is in the labels of the entries: family, protocol and state, a byte each. A number is found
// faster in a map.
type kind uint32

func kindOf(f flow.Family, p flow.Proto, state uint8) kind {
	return kind(f)<<16 | kind(p)<<8 | kind(state)
}

func (k kind) family() flow.Family { return flow.Family(k >> 16) }
func (k kind) proto() flow.Proto   { return flow.Proto(k >> 8) }
func (k kind) state() uint8        { return uint8(k) } // of the tracker, or replied, or unreplied

// States of flows of protocols without states; no tracker has as many.
const (
	replied   = 254
	unreplied = 255
)

// statuses are what flows are counted by besides; a flow may have several, or none.
var statuses = [...]struct {
	name string
	bits flow.Status // a flow is that if it has any of them,
	none bool        // or none of them
}{
	{"assured", flow.Assured, false},
	{"unreplied", flow.SeenReply, true},
	{"expected", flow.Expected, false},
	{"snat", flow.SrcNAT, false},
	{"dnat", flow.DstNAT, false},
	{"offload", flow.Offload | flow.HWOffload, false},
}

const (
	// mostGroups is how many groups one Top may have, which takes some 10 MB: of more, the small ones are forgotten.
	mostGroups = 1 << 16
	// mostZones is how many zones have a series of their own.
	mostZones = 64
)

func newGroups(tops []Top, most int) *groups {
	g := &groups{kinds: make(map[kind]uint64), zones: make(map[uint16]uint64), most: most, pruned: make([]bool, len(tops))}
	for _, t := range tops {
		g.tops = append(g.tops, tally.New(t.By))
	}
	return g
}

func (g *groups) add(f *flow.Flow) {
	state := uint8(replied)
	switch {
	case f.Has.Has(flow.HasState) && f.State < replied:
		state = f.State
	case !f.Status.Has(flow.SeenReply):
		state = unreplied
	}
	g.kinds[kindOf(f.Orig.Family(), f.Orig.Proto, state)]++
	if f.Zone == 0 {
		g.zone0++
	} else {
		g.zones[f.Zone]++
	}
	for i := range statuses {
		if s := &statuses[i]; f.Status&s.bits == 0 == s.none {
			g.statuses[i]++
		}
	}
	for i, t := range g.tops {
		t.Add(f)
		g.prune(i)
	}
}

// prune forgets the smaller groups when there are too many: one that is among the largest in the end has been so for
// long, and lost little.
func (g *groups) prune(top int) {
	if t := g.tops[top]; t.Groups() > g.most {
		t.Prune(g.most / 4)
		g.pruned[top] = true
	}
}

// merge adds what another worker has counted.
func (g *groups) merge(other *groups) {
	for k, n := range other.kinds {
		g.kinds[k] += n
	}
	for z, n := range other.zones {
		g.zones[z] += n
	}
	g.zone0 += other.zone0
	for i, n := range other.statuses {
		g.statuses[i] += n
	}
	for i, t := range other.tops {
		g.tops[i].Merge(t)
		g.pruned[i] = g.pruned[i] || other.pruned[i]
		g.prune(i)
	}
}

// stateName is the label for the state of a kind: of protocols without states, whether there was an answer.
func (k kind) stateName() string {
	switch k.state() {
	case replied:
		return "REPLIED"
	case unreplied:
		return "UNREPLIED"
	}
	if name := k.proto().StateName(k.state()); name != "" {
		return name
	}
	return strconv.Itoa(int(k.state())) // of a newer kernel
}

// counts are groups, made ready to be shown. They do not change any more.
type counts struct {
	kinds      []kindCount
	zones      []zoneCount // the largest, at most mostZones
	otherZones uint64      // flows of all others
	statuses   [len(statuses)]uint64
	tops       []topCount
}

type kindCount struct {
	kind
	flows uint64
}

type zoneCount struct {
	zone  uint16
	flows uint64
}

// topCount are the values of a field that most flows have.
type topCount struct {
	by      tally.Field
	largest []tally.Group
	others  uint64 // flows with another value
	exact   bool   // nothing was forgotten
}

func (g *groups) counts(tops []Top) *counts {
	c := &counts{statuses: g.statuses}
	for k, n := range g.kinds {
		c.kinds = append(c.kinds, kindCount{k, n})
	}
	slices.SortFunc(c.kinds, func(a, b kindCount) int { return cmp.Compare(a.kind, b.kind) })
	if g.zone0 > 0 {
		c.zones = append(c.zones, zoneCount{0, g.zone0})
	}
	for z, n := range g.zones {
		c.zones = append(c.zones, zoneCount{z, n})
	}
	slices.SortFunc(c.zones, func(a, b zoneCount) int { return cmp.Or(cmp.Compare(b.flows, a.flows), cmp.Compare(a.zone, b.zone)) })
	for len(c.zones) > mostZones {
		last := len(c.zones) - 1
		c.otherZones += c.zones[last].flows
		c.zones = c.zones[:last]
	}
	for i, t := range g.tops {
		top := topCount{by: tops[i].By, largest: t.Top(tops[i].N, tally.ByFlows), others: t.Total().Flows, exact: !g.pruned[i]}
		for _, group := range top.largest {
			top.others -= group.Flows
		}
		c.tops = append(c.tops, top)
	}
	return c
}
