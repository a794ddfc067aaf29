package metrics

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/tally"
)

// reading is all that is shown of a namespace at a time.
type reading struct {
	netns string // label; "": the namespace of this process, which has none

	failed  bool // the kernel did not tell its counters: what follows up to buckets is not known
	usage   conntrack.Usage
	stats   totals
	expects totals
	buckets uint64 // 0: not known

	events *eventCounts // nil: not followed
	count  *lastCount   // nil: not counted in groups
}

// eventCounts is what events have told.
type eventCounts struct {
	following       bool
	begun, ended    [256]uint64 // by protocol
	dropped, losses uint64
}

// lastCount is about counting in groups.
type lastCount struct {
	counts   *counts // nil: none has succeeded so far
	took     time.Duration
	at       time.Time // when it was done
	way      string    // "snapshot" or "netlink"
	reason   string    // why not by a snapshot
	byWay    map[string]uint64
	failures uint64
}

// add takes a sample: the values of the labels in the order of the row.
type add func(v float64, labels ...string)

// series is a row of what is exported of a namespace.
type series struct {
	name, help string
	kind       prometheus.ValueType
	labels     string // separated by blanks
	values     func(*reading, add)
}

const (
	counter = prometheus.CounterValue
	gauge   = prometheus.GaugeValue
)

// To add a metric, add a row; dashboards and alert rules in packaging are held to the names by a test.
// Those that begin with node_ are called, and typed, as by node_exporter, so that what was made for it works.
var rows = concat(
	[]series{
		{"node_nf_conntrack_entries", "Entries of the connection tracking table.", gauge, "", known(func(r *reading) float64 { return float64(r.usage.Entries) })},
		{"node_nf_conntrack_entries_limit", "Entries that the connection tracking table may have; 0 is no limit.", gauge, "", known(func(r *reading) float64 { return float64(r.usage.Max) })},
	},
	nodeStats(),
	[]series{
		{"spoor_conntrack_up", "Whether the kernel told the figures of this namespace.", gauge, "", func(r *reading, a add) { a(truth(!r.failed)) }},
		{"spoor_conntrack_fill_ratio", "Entries of the table divided by how many there may be.", gauge, "", func(r *reading, a add) {
			if !r.failed && r.usage.Max > 0 {
				a(float64(r.usage.Entries) / float64(r.usage.Max))
			}
		}},
		{"spoor_conntrack_hash_load_ratio", "Tuples in the hash table, two an entry of this namespace, divided by its buckets.", gauge, "", func(r *reading, a add) {
			if !r.failed && r.buckets > 0 {
				a(2 * float64(r.usage.Entries) / float64(r.buckets))
			}
		}},
	},
	kernelStats(),
	[]series{
		{"spoor_conntrack_following", "Whether events are being followed.", gauge, "", events(func(e *eventCounts, a add) { a(truth(e.following)) })},
		{"spoor_conntrack_new_total", "Flows that began, by the events.", counter, "protocol", events(func(e *eventCounts, a add) { byProtocol(&e.begun, a) })},
		{"spoor_conntrack_destroyed_total", "Flows that ended, by the events.", counter, "protocol", events(func(e *eventCounts, a add) { byProtocol(&e.ended, a) })},
		{"spoor_conntrack_events_lost_total", "Events that the kernel dropped, as far as it tells how many.", counter, "", events(func(e *eventCounts, a add) { a(float64(e.dropped)) })},
		{"spoor_conntrack_event_losses_total", "Times that events were lost.", counter, "", events(func(e *eventCounts, a add) { a(float64(e.losses)) })},

		{"spoor_conntrack_entries", "Flows by family, protocol and state, when they were counted last.", gauge, "family protocol state", counted(func(c *counts, a add) {
			for _, k := range c.kinds {
				a(float64(k.flows), k.family().String(), k.proto().String(), k.stateName())
			}
		})},
		{"spoor_conntrack_status_entries", "Flows by what has happened to them; a flow may have several statuses, or none.", gauge, "status", counted(func(c *counts, a add) {
			for i, n := range c.statuses {
				a(float64(n), statuses[i].name)
			}
		})},
		{"spoor_conntrack_zone_entries", "Flows by zone, of the largest zones, and of all others.", gauge, "zone", counted(func(c *counts, a add) {
			for _, z := range c.zones {
				a(float64(z.flows), strconv.Itoa(int(z.zone)))
			}
			if c.otherZones > 0 {
				a(float64(c.otherZones), "other")
			}
		})},
		{"spoor_conntrack_top_entries", "Flows of the values of a field that most flows have.", gauge, "by value", counted(func(c *counts, a add) {
			for _, t := range c.tops {
				for _, g := range t.largest {
					a(float64(g.Flows), t.by.String(), labelOf(g.By[0]))
				}
			}
		})},
		{"spoor_conntrack_top_other_entries", "Flows of all other values of the field.", gauge, "by", counted(func(c *counts, a add) {
			for _, t := range c.tops {
				a(float64(t.others), t.by.String())
			}
		})},
		{"spoor_conntrack_top_exact", "Whether the field had few enough values to count all exactly; if not, the largest may be larger.", gauge, "by", counted(func(c *counts, a add) {
			for _, t := range c.tops {
				a(truth(t.exact), t.by.String())
			}
		})},
		{"spoor_conntrack_count_info", "How the table was read to count its flows, and why not by a snapshot.", gauge, "way reason", lastOf(func(l *lastCount, a add) {
			if l.counts != nil {
				a(1, l.way, l.reason)
			}
		})},
		{"spoor_conntrack_count_duration_seconds", "How long it took to count the flows.", gauge, "", lastOf(func(l *lastCount, a add) {
			if l.counts != nil {
				a(l.took.Seconds())
			}
		})},
		{"spoor_conntrack_count_timestamp_seconds", "When the flows were counted, in seconds since 1970.", gauge, "", lastOf(func(l *lastCount, a add) {
			if l.counts != nil {
				a(float64(l.at.UnixMilli()) / 1000)
			}
		})},
		{"spoor_conntrack_counts_total", "Countings of the flows.", counter, "way", lastOf(func(l *lastCount, a add) {
			for _, way := range ways {
				a(float64(l.byWay[way]), way)
			}
		})},
		{"spoor_conntrack_count_failures_total", "Countings of the flows that failed.", counter, "", lastOf(func(l *lastCount, a add) { a(float64(l.failures)) })},
	},
)

var ways = [...]string{"netlink", "snapshot"}

// statistic is one of the kernel's counters.
type statistic struct {
	id         uint16
	name, help string
}

var statistics = []statistic{
	{conntrack.StatFound, "found", "Lookups for a clash of addresses that found an entry."},
	{conntrack.StatInvalid, "invalid", "Packets that could not be tracked."},
	{conntrack.StatIgnore, "ignore", "Packets that had been tracked already."},
	{conntrack.StatInsert, "insert", "Entries made through netlink or BPF."},
	{conntrack.StatInsertFailed, "insert_failed", "Entries that lost a race for the same addresses, and their packets."},
	{conntrack.StatDrop, "drop", "Packets dropped, because the table was full for example."},
	{conntrack.StatEarlyDrop, "early_drop", "Entries evicted to make room in a full table."},
	{conntrack.StatError, "error", "ICMP errors that were not valid."},
	{conntrack.StatSearchRestart, "search_restart", "Lookups begun again because the table was resized."},
	{conntrack.StatClashResolve, "clash_resolve", "Lost races for the same addresses that were mended."},
	{conntrack.StatChainTooLong, "chaintoolong", "Entries refused because too many have the same hash."},
}

var expectStatistics = []statistic{
	{conntrack.ExpectStatNew, "expect_new", "Connections that had been expected."},
	{conntrack.ExpectStatCreate, "expect_create", "Expectations made."},
	{conntrack.ExpectStatDelete, "expect_delete", "Expectations that ended."},
}

// nodeStats are the statistics as node_exporter has them: gauges, and those that this kernel lacks are 0.
func nodeStats() (rows []series) {
	for _, s := range statistics {
		switch s.id {
		case conntrack.StatError, conntrack.StatClashResolve, conntrack.StatChainTooLong:
			continue
		}
		rows = append(rows, series{"node_nf_conntrack_stat_" + s.name, s.help, gauge, "", known(func(r *reading) float64 { return float64(r.stats.sum(s.id)) })})
	}
	return rows
}

// kernelStats are the statistics as counters, of all processors and of each.
func kernelStats() (rows []series) {
	of := func(s statistic, from func(*reading) *totals) {
		rows = append(rows, series{"spoor_conntrack_" + s.name + "_total", s.help, counter, "", func(r *reading, a add) {
			if t := from(r); !r.failed && t.has(s.id) {
				a(float64(t.sum(s.id)))
			}
		}})
	}
	for _, s := range statistics {
		of(s, func(r *reading) *totals { return &r.stats })
		rows = append(rows, series{"spoor_conntrack_cpu_" + s.name + "_total", s.help + " By processor; those that counted nothing are left out.", counter, "cpu", func(r *reading, a add) {
			if r.failed || !r.stats.has(s.id) {
				return
			}
			for i := range r.stats.cpus {
				if c := &r.stats.cpus[i]; !c.idle() {
					a(float64(c.sum[s.id]), strconv.Itoa(c.cpu))
				}
			}
		}})
	}
	for _, s := range expectStatistics {
		of(s, func(r *reading) *totals { return &r.expects })
	}
	return rows
}

func concat(parts ...[]series) (all []series) {
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func known(v func(*reading) float64) func(*reading, add) {
	return func(r *reading, a add) {
		if !r.failed {
			a(v(r))
		}
	}
}

func events(v func(*eventCounts, add)) func(*reading, add) {
	return func(r *reading, a add) {
		if r.events != nil {
			v(r.events, a)
		}
	}
}

func lastOf(v func(*lastCount, add)) func(*reading, add) {
	return func(r *reading, a add) {
		if r.count != nil {
			v(r.count, a)
		}
	}
}

func counted(v func(*counts, add)) func(*reading, add) {
	return lastOf(func(l *lastCount, a add) {
		if l.counts != nil {
			v(l.counts, a)
		}
	})
}

// byProtocol adds a sample for each protocol. The usual ones are there from the beginning: a counter that
// appears with 1 has not grown, to Prometheus.
func byProtocol(n *[256]uint64, a add) {
	for p, n := range n {
		switch p := flow.Proto(p); {
		case n > 0, p == flow.TCP, p == flow.UDP, p == flow.ICMP, p == flow.ICMPv6:
			a(float64(n), p.String())
		}
	}
}

// labelOf is a group's value as a label; "" for flows that have nothing there.
func labelOf(v tally.Value) string {
	if v.None() {
		return ""
	}
	return label(v.String())
}

// label makes a text a label, which has to be UTF-8. Different texts stay different.
func label(text string) string {
	if utf8.ValidString(text) {
		return text
	}
	return strconv.QuoteToASCII(text)
}

// described is a row with its descriptions: those of the process's own namespace have no label for it.
type described struct {
	*series
	own, named *prometheus.Desc
}

var descriptions = describe(rows)

func describe(rows []series) []described {
	all := make([]described, len(rows))
	for i := range rows {
		s := &rows[i]
		labels := strings.Fields(s.labels)
		all[i] = described{s, prometheus.NewDesc(s.name, s.help, labels, nil), prometheus.NewDesc(s.name, s.help, append(labels, "netns"), nil)}
	}
	return all
}

// send sends all samples of a reading.
func (r *reading) send(ch chan<- prometheus.Metric) {
	for i := range descriptions {
		d := &descriptions[i]
		d.values(r, func(v float64, labels ...string) {
			desc := d.own
			if r.netns != "" {
				desc, labels = d.named, append(labels, r.netns)
			}
			ch <- prometheus.MustNewConstMetric(desc, d.kind, v, labels...)
		})
	}
}
