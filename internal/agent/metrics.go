package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/spoor-project/spoor/internal/cthelper"
	"github.com/spoor-project/spoor/internal/statesync"
)

// The figures are written by hand in Prometheus' text format: there are few, and the client library would make every
// start of the program slower, also that of the client commands.

// metric is a row of what is exported.
type metric struct {
	name, help string
	counter    bool // otherwise a gauge
	values     func(s *Status, add func(labels string, v float64))
}

var metrics = []metric{
	{"conntrackd_uptime_seconds", "Time since the daemon was started.", false, one(func(s *Status) float64 { return s.Runtime.Uptime.Seconds() })},
	{"conntrackd_events_total", "Events received from the kernel.", true, one(func(s *Status) float64 { return float64(s.Runtime.Events) })},
	{"conntrackd_events_filtered_total", "Events that the filter left out.", true, one(func(s *Status) float64 { return float64(s.Runtime.EventsFiltered) })},
	{"conntrackd_event_overruns_total", "Times that the kernel dropped events.", true, one(func(s *Status) float64 { return float64(s.Runtime.Overruns) })},
	{"conntrackd_kernel_resyncs_total", "Readings of the kernel's table.", true, one(func(s *Status) float64 { return float64(s.Runtime.Resyncs) })},
	{"conntrackd_kernel_flushes_total", "Flushes of the kernel's table.", true, one(func(s *Status) float64 { return float64(s.Runtime.Flushes) })},
	{"conntrackd_cache_entries", "Entries of a cache that live.", false, caches(func(c *statesync.CacheStats) float64 { return float64(c.Active) })},
	{"conntrackd_cache_objects", "Entries of a cache, with those whose end has not been acknowledged.", false, caches(func(c *statesync.CacheStats) float64 { return float64(c.Objects) })},
	{"conntrackd_cache_bytes", "Memory of a cache.", false, caches(func(c *statesync.CacheStats) float64 { return float64(c.Bytes) })},
	{"conntrackd_cache_created_total", "Entries added to a cache.", true, caches(func(c *statesync.CacheStats) float64 { return float64(c.Created) })},
	{"conntrackd_cache_full_total", "Entries for which a cache had no room.", true, caches(func(c *statesync.CacheStats) float64 { return float64(c.Failed) })},
	{"conntrackd_cache_updated_total", "Updates of entries of a cache.", true, caches(func(c *statesync.CacheStats) float64 { return float64(c.Updated) })},
	{"conntrackd_cache_destroyed_total", "Entries that have left a cache.", true, caches(func(c *statesync.CacheStats) float64 { return float64(c.Destroyed) })},
	{"conntrackd_queue_length", "Elements of a queue.", false, queues(func(q *statesync.QueueStats) float64 { return float64(q.Len) })},
	{"conntrackd_queue_limit", "Most elements that a queue can hold.", false, queues(func(q *statesync.QueueStats) float64 { return float64(q.Max) })},
	{"conntrackd_queue_dropped_total", "Elements that a full queue has dropped.", true, queues(func(q *statesync.QueueStats) float64 { return float64(q.Overflows) })},
	{"conntrackd_messages_lost_total", "Messages missing in the numbering of what came. FTFW asks for them again.", true, synced(func(s *SyncStatus) float64 { return float64(s.Caches.Network.Lost) })},
	{"conntrackd_messages_late_total", "Messages that came late or twice.", true, synced(func(s *SyncStatus) float64 { return float64(s.Caches.Network.Before) })},
	{"conntrackd_messages_malformed_total", "Messages that were not understood.", true, synced(func(s *SyncStatus) float64 { return float64(s.Caches.Network.Malformed) })},
	{"conntrackd_messages_resent_total", "Messages sent again, because a peer missed them or has started anew.", true, synced(func(s *SyncStatus) float64 { return float64(s.Caches.Network.Resent) })},
	{"conntrackd_bulk_updates_total", "Times that everything was sent.", true, synced(func(s *SyncStatus) float64 { return float64(s.Caches.Network.Bulks) })},
	{"conntrackd_peer_last_message_seconds", "Time since the last message of a peer; -1 if there was none.", false, synced(func(s *SyncStatus) float64 { return s.PeerSilent })},
	{"conntrackd_last_commit_seconds", "How long the last commit took.", false, synced(func(s *SyncStatus) float64 { return s.LastCommit.Seconds() })},
	{"conntrackd_link_up", "Whether the device of a channel is running.", false, channels(func(c *ChannelStatus) float64 { return truth(c.Link == "RUNNING") })},
	{"conntrackd_link_active", "Whether a channel is the one that is sent through.", false, channels(func(c *ChannelStatus) float64 { return truth(c.Active) })},
	{"conntrackd_link_sent_bytes_total", "Bytes sent through a channel.", true, channels(func(c *ChannelStatus) float64 { return float64(c.BytesSent) })},
	{"conntrackd_link_received_bytes_total", "Bytes received through a channel.", true, channels(func(c *ChannelStatus) float64 { return float64(c.BytesReceived) })},
	{"conntrackd_link_sent_packets_total", "Datagrams sent through a channel.", true, channels(func(c *ChannelStatus) float64 { return float64(c.PacketsSent) })},
	{"conntrackd_link_received_packets_total", "Datagrams received through a channel.", true, channels(func(c *ChannelStatus) float64 { return float64(c.PacketsReceived) })},
	{"conntrackd_link_errors_total", "Failed sendings and receptions of a channel.", true, channels(func(c *ChannelStatus) float64 { return float64(c.ErrorsSent + c.ErrorsReceived) })},
	{"conntrackd_helper_packets_total", "Packets that a user-space helper has read.", true, helpers(func(c *cthelper.Counts) uint64 { return c.Read })},
	{"conntrackd_helper_expectations_total", "Connections that a helper has had expected.", true, helpers(func(c *cthelper.Counts) uint64 { return c.Expected })},
	{"conntrackd_helper_expectations_refused_total", "Connections that the kernel did not expect.", true, helpers(func(c *cthelper.Counts) uint64 { return c.Refused })},
	{"conntrackd_helper_packets_rewritten_total", "Packets that a helper has rewritten.", true, helpers(func(c *cthelper.Counts) uint64 { return c.Rewritten })},
	{"conntrackd_helper_packets_dropped_total", "Packets that a helper has dropped.", true, helpers(func(c *cthelper.Counts) uint64 { return c.Dropped })},
	{"conntrackd_helper_packets_unread_total", "Packets that passed because the socket of a helper was full.", true, helpers(func(c *cthelper.Counts) uint64 { return c.Unread })},
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func one(v func(*Status) float64) func(*Status, func(string, float64)) {
	return func(s *Status, add func(string, float64)) { add("", v(s)) }
}

func synced(v func(*SyncStatus) float64) func(*Status, func(string, float64)) {
	return func(s *Status, add func(string, float64)) {
		if s.Sync != nil {
			add("", v(s.Sync))
		}
	}
}

func caches(v func(*statesync.CacheStats) float64) func(*Status, func(string, float64)) {
	return func(s *Status, add func(string, float64)) {
		if s.Stats != nil {
			add(`cache="stats"`, v(s.Stats))
		}
		if s.Sync == nil {
			return
		}
		c := &s.Sync.Caches
		add(`cache="internal"`, v(&c.Internal))
		add(`cache="external"`, v(&c.External))
		if s.Sync.ExpectationSync {
			add(`cache="internal-expect"`, v(&c.InternalExps))
			add(`cache="external-expect"`, v(&c.ExternalExps))
		}
	}
}

func queues(v func(*statesync.QueueStats) float64) func(*Status, func(string, float64)) {
	return func(s *Status, add func(string, float64)) {
		if s.Sync != nil {
			add(`queue="transmit"`, v(&s.Sync.Transmit))
			add(`queue="resend"`, v(&s.Sync.Resend))
			add(`queue="error"`, v(&s.Sync.Errors))
		}
	}
}

func channels(v func(*ChannelStatus) float64) func(*Status, func(string, float64)) {
	return func(s *Status, add func(string, float64)) {
		if s.Sync == nil {
			return
		}
		for i := range s.Sync.Channels {
			c := &s.Sync.Channels[i]
			add("link="+strconv.Quote(strconv.Itoa(i))+",device="+strconv.Quote(c.Device), v(c))
		}
	}
}

func helpers(v func(*cthelper.Counts) uint64) func(*Status, func(string, float64)) {
	return func(s *Status, add func(string, float64)) {
		for i := range s.Helpers {
			f := &s.Helpers[i]
			add(fmt.Sprintf("helper=%q,family=%q,proto=%q,queue=\"%d\"", f.Name, f.Family, f.Transport, f.Queue), float64(v(&f.Counts)))
		}
	}
}

// appendMetrics appends s in Prometheus' text format, version 0.0.4.
func appendMetrics(b []byte, s *Status) []byte {
	for i := range metrics {
		m := &metrics[i]
		begun := false
		m.values(s, func(labels string, v float64) {
			if !begun {
				kind := "gauge"
				if m.counter {
					kind = "counter"
				}
				b = append(b, "# HELP "+m.name+" "+m.help+"\n# TYPE "+m.name+" "+kind+"\n"...)
				begun = true
			}
			b = append(b, m.name...)
			if labels != "" {
				b = append(append(append(b, '{'), labels...), '}')
			}
			b = strconv.AppendFloat(append(b, ' '), v, 'g', -1, 64)
			b = append(b, '\n')
		})
	}
	return b
}

// openMetrics opens the listener for Prometheus.
func (d *Daemon) openMetrics() error {
	m := d.cfg.Load().General.Metrics
	if m == nil {
		return nil
	}
	l, err := net.Listen("tcp", net.JoinHostPort(m.Address.String(), strconv.Itoa(int(m.Port))))
	if err != nil {
		return err
	}
	d.metrics = l
	return nil
}

// serveMetrics answers Prometheus until ctx ends.
func (d *Daemon) serveMetrics(ctx context.Context) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		var b []byte
		if !d.call(ctx, func() { b = appendMetrics(nil, d.status(false)) }) {
			http.Error(w, "stopping", http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		w.Write(b)
	})
	server := &http.Server{Handler: mux, ReadTimeout: requestPatience, WriteTimeout: answerPatience}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	if err := server.Serve(d.metrics); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// silent is how long ago something was, in seconds; -1 if it was never.
func silent(last time.Time) float64 {
	if last.IsZero() {
		return -1
	}
	return time.Since(last).Seconds()
}
