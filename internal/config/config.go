package config

import (
	"net/netip"
	"time"
)

// Config is a whole configuration with the defaults filled in. Nothing in it shares memory with the text it came from.
type Config struct {
	General General
	Sync    *Sync  // nil without: no replication; never together with Stats
	Stats   *Stats // nil without
	Helpers []Helper
	// HelperSetup asks for the helpers' registration in the kernel. Without, they must have been registered
	// before by other means.
	HelperSetup bool
}

// General is what the daemon needs in every mode.
type General struct {
	HashSize  uint32 // expected number of buckets of each cache; 65536
	HashLimit uint32 // most entries in each cache; 262144
	LogFile   string // path; "" is no log file
	Syslog    string // facility: "daemon", "local0" to "local7"; "" is off
	LockFile  string // path; /var/lock/conntrackd.lock
	UNIXPath  string // path of the control socket; "" is none: the daemon cannot be controlled

	NetlinkBufferSize          uint32 // bytes of the event socket; 0 is the system's. Counts if ≤ NetlinkBufferSizeMaxGrowth
	NetlinkBufferSizeMaxGrowth uint32 // bytes up to which it is doubled after a loss; 0 is never
	NetlinkEventsReliable      bool   // rather drop packets than events
	// NetlinkOverrunResync is how long after a loss of events the kernel's table is read again; 30 s, 0 is never.
	NetlinkOverrunResync time.Duration
	EventIterationLimit  uint32        // messages handled of one source before the others get their turn; 100
	PollEvery            time.Duration // PollSecs: read the table so often, without events; 0 is events

	Systemd   bool       // tell systemd about start, stop and being alive; true
	Scheduler *Scheduler // nil without: as any other process
	Filter    *Filter    // nil without: everything passes
	Metrics   *Metrics   // nil without
}

// Scheduler is the daemon's real-time scheduling class. There is one only with a Type.
type Scheduler struct {
	FIFO     bool // SCHED_FIFO instead of SCHED_RR
	Priority int  // 0 to 99; 0 is what a Type without Priority means, and the kernel refuses it
}

// Metrics is where figures are served over HTTP. Keyword and block are ours.
type Metrics struct {
	Address netip.Addr // 127.0.0.1
	Port    uint16     // 9275
}

// Filter keeps the flows that every one of its sets passes.
type Filter struct {
	Kernelspace bool // let the kernel select the events as well; otherwise only the daemon does
	Protocols   ProtocolSet
	Addresses   AddressSet
	States      StateSet
}

// Policy says what it means to be listed in a set.
type Policy uint8

const (
	NoPolicy Policy = iota // there is no such set: everything passes
	Accept                 // what is listed passes, nothing else
	Ignore                 // what is listed does not pass
)

// ProtocolSet selects by transport protocol.
type ProtocolSet struct {
	Policy Policy
	List   []Protocol // no number twice
}

// Protocol is a transport protocol as it was written, and its number.
type Protocol struct {
	Name   string
	Number uint8
}

// AddressSet selects by original source and reply source.
type AddressSet struct {
	Policy Policy
	// List has single addresses with all their bits, networks as they were written, perhaps with host
	// bits, and nothing twice. An Accept of one family only lets nothing of the other one pass.
	List []netip.Prefix
}

// StateSet selects TCP flows by state. All others pass.
type StateSet struct {
	Policy Policy
	List   []TCPState // ascending
}

// TCPState is the kernel's number of a TCP state.
type TCPState uint8

const (
	SynSent TCPState = iota + 1
	SynRecv
	Established
	FinWait
	CloseWait
	LastAck
	TimeWait
	Close
	Listen // also the second SYN_SENT of a simultaneous open
)

var tcpStates = [...]string{SynSent: "SYN_SENT", SynRecv: "SYN_RECV", Established: "ESTABLISHED", FinWait: "FIN_WAIT",
	CloseWait: "CLOSE_WAIT", LastAck: "LAST_ACK", TimeWait: "TIME_WAIT", Close: "CLOSE", Listen: "LISTEN"}

// String is the state's keyword, "" for what is none.
func (s TCPState) String() string {
	if int(s) < len(tcpStates) {
		return tcpStates[s]
	}
	return ""
}

// Mode is the replication protocol.
type Mode uint8

const (
	FTFW    Mode = iota // reliable, with acknowledgements
	ALARM               // every entry is sent again and again
	NOTRACK             // best effort
)

var modes = [...]string{FTFW: "FTFW", ALARM: "ALARM", NOTRACK: "NOTRACK"}

// String is the mode's keyword.
func (m Mode) String() string { return modes[m] }

// Sync is the replication between nodes.
type Sync struct {
	Mode Mode

	RefreshTime   time.Duration // ALARM: an entry is sent again after at most that; 60 s
	CacheTimeout  time.Duration // ALARM: life of a peer's entry without message; 180 s
	CommitTimeout time.Duration // timeout of committed entries; 0 is that of the peer. 0 with DisableExternalCache
	PurgeTimeout  time.Duration // from -t to the flush of the kernel's table; 60 s

	ResendQueueSize uint32 // FTFW: messages kept for sending again; 131072
	ACKWindowSize   uint32 // FTFW: messages between acknowledgements; 300

	DisableInternalCache bool // NOTRACK only, false in other modes
	DisableExternalCache bool // FTFW and NOTRACK only, false in ALARM
	StartupResync        bool // ask the peers for their states at start; false in ALARM

	// Channels are at most four, all of the same kind; none if there is none.
	Channels         []Channel
	ErrorQueueLength uint32 // TCP: datagrams kept while the peer is away, for all channels together; 128

	TCPWindowTracking bool
	ExpectationSync   bool
	// ExpectationHelpers are prefixes of the names of helpers whose expectations are replicated; nil is all.
	ExpectationHelpers []string
}

// Kind is a transport between nodes.
type Kind uint8

const (
	UDP Kind = iota + 1
	Multicast
	TCP
)

var kinds = [...]string{UDP: "UDP", Multicast: "Multicast", TCP: "TCP"}

// String is the kind's keyword.
func (k Kind) String() string { return kinds[k] }

// Channel is a dedicated link to the peers. What was not written is zero, an address invalid.
type Channel struct {
	Kind    Kind
	Default bool // the one used first: true for exactly one channel

	Group netip.Addr // Multicast
	Local netip.Addr // UDP and TCP: bound to; Multicast of IPv4: used to join and send, invalid is 0.0.0.0
	Peer  netip.Addr // UDP and TCP
	Port  uint16     // the same on all nodes
	// Interface may name a device that does not exist yet.
	Interface string

	SndSocketBuffer uint32 // bytes; 0 is the system's
	RcvSocketBuffer uint32 // bytes; 0 is the system's
	Checksum        bool   // true; false leaves out the checksum of UDP over IPv4
}

// Is6 reports whether the channel uses IPv6.
func (c *Channel) Is6() bool { return c.Group.Is6() || c.Peer.Is6() || c.Local.Is6() }

// Stats is the logging of ended flows.
type Stats struct {
	LogFile string // path; "" is none
	Syslog  string // facility as in General; "" is off
}

// Helper is an instance of a userspace helper.
type Helper struct {
	Name     string // "ftp", "rpc", … : one of those that exist, with that transport
	Inet6    bool
	Proto    uint8 // 6, TCP, or 17, UDP
	QueueNum uint16
	QueueLen uint32 // packets; 0 is the kernel's
	// ExpectMax and ExpectTimeout are the helper's policy: what it has built in, or what a Policy says for all
	// instances of that name, where 0 is what was not given there.
	ExpectMax     uint32
	ExpectTimeout time.Duration
}
