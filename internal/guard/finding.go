package guard

import (
	"net/netip"
	"time"

	"github.com/spoor-project/spoor/flow"
)

// Kind is a kind of abnormality.
type Kind uint8

// The kinds, in the order in which rules and figures list them.
const (
	SYNFlood        Kind = iota // half-open connections pile up at a service
	SourceRate                  // a source opens too many flows
	DestinationRate             // too many flows are opened to a destination
	PortScan                    // a source tries many ports of a host
	HostSweep                   // a source tries a port on many hosts
	SlowScan                    // a source tries many targets over hours
	Unreplied                   // most of what a source opens is not answered
	Hoarding                    // a source keeps many idle flows
	TablePressure               // the table is about to fill
	PortExhaustion              // a public address runs out of ports to translate to
	Upload                      // a source sends very much to the outside
	numKinds
)

// String is the name that rules have for the kind, such as port-scan.
func (k Kind) String() string {
	if k >= numKinds {
		return "unknown"
	}
	return kinds[k].name
}

// KindNamed is the kind of that name.
func KindNamed(name string) (Kind, bool) {
	for k := range kinds {
		if kinds[k].name == name {
			return Kind(k), true
		}
	}
	return 0, false
}

// Subject is what a finding is about. Parts that do not belong to it are zero: a scan of one host has a source and a destination, a flooded service
// a destination, a protocol and a port, a full table nothing.
type Subject struct {
	Source      netip.Addr // who opened the flows
	Destination netip.Addr // of the original direction; of PortExhaustion the public address
	Proto       flow.Proto
	Port        uint16 // of the destination, in host order
	Zone        uint16
}

// Phase is where in its course a finding is.
type Phase uint8

const (
	Begins    Phase = iota // it is handed out for the first time
	Continues              // it has become much worse, or has lasted for long
	Ends                   // it has not been seen for a while
)

// String is "begins", "continues" or "ends".
func (p Phase) String() string { return [...]string{"begins", "continues", "ends"}[min(p, Ends)] }

// Finding is an abnormality. It is a value that its receiver may keep.
type Finding struct {
	ID      uint64 // the same for all phases of one; unique in the life of an engine, from 1 on
	Phase   Phase
	Kind    Kind
	Rule    string // the rule that it breaks, as it would be written in a file
	Subject Subject
	// Offender is whom a response is to be directed against. It is zero if nobody can be told: a flood from invented sources, a full table.
	Offender netip.Addr

	Since    time.Time // when it began to show
	Time     time.Time // of this phase
	Measured float64   // in Unit, the largest so far
	Limit    float64   // what the rule allows, in Unit
	Unit     string    // "ports", "half-open connections", "flows/s", "bytes", "%"
	// Confidence is how sure it is that this is no honest use, from 0 to 1: the share of what was not answered in a scan, of what stayed half-open in a flood;
	// where there is no such share, how far above its limit the measure is.
	Confidence float64
	Evidence   []Evidence // the most telling first; a few rows
}

// Evidence is a row that shows what a finding is made of.
type Evidence struct {
	What  string // "192.0.2.7 tcp 22", "refused", "opened"
	Count uint64
}

// Figures are the engine's counters for metrics and status lines. All but the gauges only grow.
type Figures struct {
	Events   uint64 // that were judged
	Skipped  uint64 // left out by sampling
	Lost     uint64 // that the kernel could not deliver
	Readings uint64 // of the whole table
	Evicted  uint64 // places given to others while the memory was full
	Found    [numKinds]uint64

	Flows, Sources, Services, Destinations int // gauges: what is remembered now
	Ongoing                                int // gauge: findings that have begun and not ended
	Sampling                               int // gauge: one flow in so many is judged; 1: all
}
