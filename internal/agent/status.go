package agent

import (
	"time"

	"github.com/spoor-project/spoor/internal/cthelper"
	"github.com/spoor-project/spoor/internal/statesync"
)

// Status is a picture of the daemon, of which the statistics commands show parts.
type Status struct {
	Sync  *SyncStatus           // nil without
	Stats *statesync.CacheStats // of the statistics mode's cache, with Traffic; nil without
	// Traffic is what ended flows have carried.
	Traffic statesync.Traffic
	Runtime RuntimeStatus
	Helpers []cthelper.Figures // nil without
}

// SyncStatus is about the replication.
type SyncStatus struct {
	Mode             statesync.Mode
	ExpectationSync  bool
	NoInternalCache  bool
	NoExternalCache  bool
	Caches           statesync.Stats
	Injected         InjectStatus // NoExternalCache
	InjectedExpects  InjectStatus // likewise
	Channels         []ChannelStatus
	Transmit, Errors statesync.QueueStats
	Resend           statesync.QueueStats // FTFW
	PeerSilent       float64              // seconds since the last message of a peer; -1: there was none
	LastCommit       time.Duration
	// Waiting is what is in the resend queue, oldest first. FTFW.
	Waiting []statesync.Waiting
}

// InjectStatus counts what was done to the kernel's table at once.
type InjectStatus struct {
	Created, CreateFailed, Updated, UpdateFailed, Destroyed, DestroyFailed uint64
}

func (s *InjectStatus) add(o *InjectStatus) {
	s.Created += o.Created
	s.CreateFailed += o.CreateFailed
	s.Updated += o.Updated
	s.UpdateFailed += o.UpdateFailed
	s.Destroyed += o.Destroyed
	s.DestroyFailed += o.DestroyFailed
}

// ChannelStatus is about one dedicated link.
type ChannelStatus struct {
	Kind   string // "UDP", "multicast", "TCP"
	Device string
	Link   string // "DOWN", "NO-CARRIER", "RUNNING"
	Active bool   // the one that is sent through

	BytesSent, BytesReceived     uint64
	PacketsSent, PacketsReceived uint64
	ErrorsSent, ErrorsReceived   uint64
	Server, Client               bool // TCP: connected to us; our connection is known to be good
}

// RuntimeStatus is about the daemon itself, since its start.
type RuntimeStatus struct {
	Uptime time.Duration

	Events         uint64 // received
	EventsFiltered uint64
	EventsUnknown  uint64 // of an unknown type
	EventsFailed   uint64 // readings of the event socket that failed
	DumpUnknown    uint64
	Overruns       uint64 // times that the kernel dropped events
	Flushes        uint64 // of the kernel's table
	Resyncs        uint64 // readings of the kernel's table
	BufferSize     int    // bytes of the event socket's queue

	ReadsFailed     uint64 // of requests
	RequestsUnknown uint64
}

// status takes the picture; in the loop. What waits in the resend queue, which may be much, is only in it if asked for.
func (d *Daemon) status(waiting bool) *Status {
	s := &Status{Runtime: d.runtime}
	s.Runtime.Uptime = time.Since(d.begun)
	k := d.kernel
	s.Runtime.Events, s.Runtime.EventsFiltered = k.received.Load(), k.filtered.Load()
	s.Runtime.EventsFailed, s.Runtime.Overruns = k.failed.Load(), k.overruns.Load()
	if k.events != nil {
		s.Runtime.BufferSize = k.events.Buffer()
	}
	if d.ledger != nil {
		s.Stats, s.Traffic = d.ledger.status(), d.ledger.traffic
	}
	if d.helpers != nil {
		s.Helpers = d.helpers.Figures()
	}
	if d.engine == nil {
		return s
	}
	cfg := d.cfg.Load().Sync
	caches := d.engine.Stats()
	s.Traffic = caches.Traffic
	y := &SyncStatus{
		Mode: modes[cfg.Mode], ExpectationSync: cfg.ExpectationSync,
		NoInternalCache: cfg.DisableInternalCache, NoExternalCache: cfg.DisableExternalCache,
		Caches: caches, PeerSilent: silent(d.heard), LastCommit: d.lastCommit,
	}
	y.Injected, y.InjectedExpects = d.injected.get()
	if waiting {
		y.Waiting = d.engine.Waiting()
	}
	y.Transmit, y.Resend = d.engine.Queues()
	for i, c := range d.group.Channels() {
		t := c.Stats()
		y.Channels = append(y.Channels, ChannelStatus{
			Kind: c.Kind().String(), Device: c.Device(), Link: d.group.Link(i).String(), Active: i == d.group.Current(),
			BytesSent: t.SentBytes, BytesReceived: t.ReceivedBytes,
			PacketsSent: t.SentPackets, PacketsReceived: t.ReceivedPackets,
			ErrorsSent: t.SendErrors, ErrorsReceived: t.ReceiveErrors,
			Server: t.Server, Client: t.Client,
		})
		y.Errors.Len += t.Queue.Len
		y.Errors.Max = max(y.Errors.Max, t.Queue.Max)
		y.Errors.Overflows += t.Queue.Dropped
	}
	s.Sync = y
	return s
}
