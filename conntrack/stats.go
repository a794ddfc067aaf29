package conntrack

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/spoor-project/spoor/internal/nfnetlink"
)

// Usage is how full the table is.
type Usage struct {
	Entries uint32 // of this namespace, those about to die included
	Max     uint32 // nf_conntrack_max, which every namespace may reach by itself; 0 is no limit
}

// Count returns how full the table is. It takes the same time however full.
func (c *Client) Count(ctx context.Context) (Usage, error) {
	var u Usage
	got := false
	err := c.roundTrip(ctx, func(b *nfnetlink.Builder, seq uint32) {
		b.Begin(nfnetlink.Conntrack, msgGetStats, nfnetlink.Ack, seq, 0, 0)
		b.End()
	}, func(m *nfnetlink.Message) {
		for a := m.Attrs(); a.Next(); {
			v, ok := a.Uint32()
			switch {
			case !ok:
			case a.Type == ctaStatsGlobalEntries:
				u.Entries, got = v, true
			case a.Type == ctaStatsGlobalMaxEntries:
				u.Max = v
			}
		}
	})
	if err == nil && !got {
		err = fmt.Errorf("%w: no count in the answer", nfnetlink.ErrMalformed)
	}
	return u, wrap(opStats, err)
}

// CPUStats are the statistics of one processor: event counters of 32 bits, which
// wrap around.
type CPUStats struct {
	CPU      int
	Counters []Counter // those that the kernel sent, by ascending number
}

// Counter is one counter of [CPUStats].
type Counter struct {
	ID    uint16 // enum ctattr_stats_cpu, or ctattr_expect_stats
	Value uint32
}

// Counters of [Client.Stats], enum ctattr_stats_cpu.
const (
	StatSearched      uint16 = 1  // CTA_STATS_SEARCHED, no longer sent
	StatFound         uint16 = 2  // CTA_STATS_FOUND: lookups that hit, of NAT clash checks
	StatNew           uint16 = 3  // CTA_STATS_NEW, no longer sent
	StatInvalid       uint16 = 4  // CTA_STATS_INVALID: packets that could not be tracked
	StatIgnore        uint16 = 5  // CTA_STATS_IGNORE, before Linux 5.10
	StatDelete        uint16 = 6  // CTA_STATS_DELETE, no longer sent
	StatDeleteList    uint16 = 7  // CTA_STATS_DELETE_LIST, no longer sent
	StatInsert        uint16 = 8  // CTA_STATS_INSERT: entries made through netlink or BPF
	StatInsertFailed  uint16 = 9  // CTA_STATS_INSERT_FAILED: lost races for the same tuple
	StatDrop          uint16 = 10 // CTA_STATS_DROP: packets dropped, because the table was full for example
	StatEarlyDrop     uint16 = 11 // CTA_STATS_EARLY_DROP: entries evicted to make room
	StatError         uint16 = 12 // CTA_STATS_ERROR: ICMP errors that were not valid
	StatSearchRestart uint16 = 13 // CTA_STATS_SEARCH_RESTART: lookups begun again after a resize
	StatClashResolve  uint16 = 14 // CTA_STATS_CLASH_RESOLVE: lost races that were mended (Linux 5.10)
	StatChainTooLong  uint16 = 15 // CTA_STATS_CHAIN_TOOLONG: refused, hash chain too long (Linux 5.15)
)

var statNames = [...]string{1: "searched", "found", "new", "invalid", "ignore", "delete", "delete_list",
	"insert", "insert_failed", "drop", "early_drop", "error", "search_restart", "clash_resolve", "chaintoolong"}

// StatName returns the usual name of a counter of [Client.Stats], "" if it has none.
func StatName(id uint16) string {
	if int(id) < len(statNames) {
		return statNames[id]
	}
	return ""
}

// Counters of [Client.ExpectStats], enum ctattr_expect_stats.
const (
	ExpectStatNew    uint16 = 1 // CTA_STATS_EXP_NEW
	ExpectStatCreate uint16 = 2 // CTA_STATS_EXP_CREATE
	ExpectStatDelete uint16 = 3 // CTA_STATS_EXP_DELETE
)

var expectStatNames = [...]string{1: "expect_new", "expect_create", "expect_delete"}

// ExpectStatName returns the usual name of a counter of [Client.ExpectStats], ""
// if it has none.
func ExpectStatName(id uint16) string {
	if int(id) < len(expectStatNames) {
		return expectStatNames[id]
	}
	return ""
}

// Stats returns the statistics of every possible processor.
func (c *Client) Stats(ctx context.Context) ([]CPUStats, error) {
	return c.stats(ctx, opStats, nfnetlink.Conntrack, msgGetStatsCPU)
}

// ExpectStats returns the statistics of every possible processor about expectations.
func (c *Client) ExpectStats(ctx context.Context) ([]CPUStats, error) {
	return c.stats(ctx, opExpectStats, nfnetlink.ConntrackExpect, msgExpectGetStatsCPU)
}

func (c *Client) stats(ctx context.Context, op string, s nfnetlink.Subsystem, kind uint8) ([]CPUStats, error) {
	var all []CPUStats
	err := c.roundTrip(ctx, func(b *nfnetlink.Builder, seq uint32) {
		b.Begin(s, kind, nfnetlink.Dump, seq, 0, 0)
		b.End()
	}, func(m *nfnetlink.Message) {
		cpu := CPUStats{CPU: int(m.ResID())}
		for a := m.Attrs(); a.Next(); {
			if len(a.Data) >= 4 {
				cpu.Counters = append(cpu.Counters, Counter{a.Type, binary.BigEndian.Uint32(a.Data)})
			}
		}
		all = append(all, cpu)
	})
	return all, wrap(op, err)
}
