package doctor

import (
	"time"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/internal/render"
)

// Fact is something that is known, or why it is not. The zero value is not known.
type Fact[T any] struct {
	Value T
	Known bool
	Why   string // it is not known
}

func known[T any](v T) Fact[T] { return Fact[T]{Value: v, Known: true} }

func missing[T any](why string) Fact[T] { return Fact[T]{Why: why} }

// Facts is what is known about a machine and one of its network namespaces. The zero value is that nothing is.
type Facts struct {
	// NetNS is the path of the namespace; "" is the caller's.
	NetNS string

	// Sysctls are the kernel variables below net.netfilter and some of net.core, by their names with dots. NoSysctls says why
	// there are none of net.netfilter.
	Sysctls   map[string]Sysctl
	NoSysctls string

	// Tracking and Netlink say how nf_conntrack and nf_conntrack_netlink are there: "a module", "built in"; "" is that
	// they are not.
	Tracking, Netlink Fact[string]
	// Capable: the process has CAP_NET_ADMIN. Admitted: the kernel let it ask for statistics, which is what counts in containers.
	Capable, Admitted Fact[bool]
	// Hooked: packets of this namespace are tracked, because some rule asks for it.
	Hooked Fact[bool]

	// Before and Now are two looks, Elapsed apart; 0 if there was only one, Now.
	Before, Now Sample
	Elapsed     time.Duration
	Max         Fact[uint64] // nf_conntrack_max; 0 is no limit

	Census    Fact[Census]
	Listeners Fact[[]Listener]
	Uptime    Fact[time.Duration]
	Memory    Fact[uint64] // of the machine, in bytes
	Slab      Fact[Slab]
	Log       Fact[[]LogLine] // the lines about connection tracking, oldest first
	Snapshot  Fact[string]    // "" if it works, or why not
}

// Sysctl is a kernel variable.
type Sysctl struct {
	Value    uint64
	Writable bool // as its mode says: in a namespace of their own some are not
}

// Sample is what changes all the time.
type Sample struct {
	Entries Fact[uint64]
	Stats   Fact[[]conntrack.CPUStats]
}

// Census counts the entries of the table.
type Census struct {
	Entries uint64
	Zones   map[uint16]uint64
	// Silent counts, by the sysctl of their timeout, the entries that have been silent for longer than is sensible; Waiting all.
	Silent, Waiting map[string]uint64
}

// Listener is a socket that follows events of connection tracking.
type Listener struct {
	PortID  uint32 // as a rule the number of the process
	Process string // its name; "" if there is none with that number
	Queued  uint64 // bytes
	Lost    uint64 // messages, since the socket was opened
}

// Slab is what the kernel tells about the memory of entries, of all namespaces.
type Slab struct {
	Size    uint64 // bytes of an entry, without its extensions
	Objects uint64
}

// LogLine is a line of the kernel's log.
type LogLine struct {
	At   time.Duration // since the start of the machine
	Text string
}

// sysctl is the value of a variable of net.netfilter.
func (f *Facts) sysctl(name string) (uint64, bool) {
	s, there := f.Sysctls[netfilter+name]
	return s.Value, there
}

const netfilter = "net.netfilter."

// noSysctl is why a variable of net.netfilter is missing.
func (f *Facts) noSysctl(name string) string {
	if f.NoSysctls != "" {
		return f.NoSysctls
	}
	return "this kernel has no " + netfilter + name
}

// total is a counter since it began, the sum of all processors.
func (f *Facts) total(id uint16) (sum uint64, there bool) {
	for _, cpu := range f.Now.Stats.Value {
		if v, has := counter(cpu, id); has {
			sum, there = sum+uint64(v), true
		}
	}
	return sum, there
}

// during is by how much a counter has grown between the looks.
func (f *Facts) during(id uint16) (grown uint64) {
	if f.Elapsed <= 0 {
		return 0
	}
	for _, now := range f.Now.Stats.Value {
		for _, before := range f.Before.Stats.Value {
			if before.CPU != now.CPU {
				continue
			}
			a, had := counter(before, id)
			b, has := counter(now, id)
			if had && has {
				grown += uint64(b - a) // counters of 32 bits wrap around
			}
		}
	}
	return grown
}

func (f *Facts) perSecond(n uint64) float64 { return float64(n) / f.Elapsed.Seconds() }

func counter(cpu conntrack.CPUStats, id uint16) (uint32, bool) {
	for _, c := range cpu.Counters {
		if c.ID == id {
			return c.Value, true
		}
	}
	return 0, false
}

// since is for how long the counters have counted, at most.
func (f *Facts) since() string {
	if !f.Uptime.Known {
		return "since the start"
	}
	return "in " + seconds(uint64(f.Uptime.Value/time.Second))
}

// counted is a counter in words: how often, and how often now.
func (f *Facts) counted(id uint16, what string) string {
	n, _ := f.total(id)
	text := render.Grouped(n) + " " + what
	if grown := f.during(id); grown > 0 {
		text += " (" + rate(f.perSecond(grown)) + " now)"
	}
	return text
}
