package agent

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/spoor-project/spoor/internal/cthelper"
	"github.com/spoor-project/spoor/internal/statesync"
	"github.com/spoor-project/spoor/internal/statesync/wire"
)

// The texts are those of conntrackd 1.4.9, byte for byte, because scripts take them apart. Each function appends
// the answer to one request; it appends nothing in a mode that does not have such a thing. Lines about
// what cannot happen here, such as a child that crashes, are always zero.

var statistics = map[Request]func([]byte, *Status) []byte{
	StatGeneral: appendGeneral,
	StatNetwork: appendNetwork,
	StatCache:   appendCaches,
	StatRuntime: appendRuntime,
	StatLink:    appendLinks,
	StatResend:  appendResendQueue,
	StatProcess: appendProcesses,
	StatQueue:   appendQueues,
	StatExpect:  appendExpects,
}

// appendStatistics appends the answer to a request for statistics; ok is false if it is for something else.
func appendStatistics(b []byte, code int32, s *Status) (_ []byte, ok bool) {
	answer, ok := statistics[Request(code)]
	if !ok {
		return b, false
	}
	return answer(b, s), true
}

func appendGeneral(b []byte, s *Status) []byte {
	switch {
	case s.Sync != nil:
		b = appendSides(b, s.Sync, appendCache)
		b = appendTraffic(b, s.Traffic)
		b = appendActive(b, s.Sync)
		n := &s.Sync.Caches.Network
		return fmt.Appendf(b, "message tracking:\n%20d Malformed msgs %20d Lost msgs\n\n", n.Malformed, n.Lost)
	case s.Stats != nil:
		b = appendCache(b, "stats", s.Stats)
		return appendTraffic(b, s.Traffic)
	}
	return b
}

// appendExpects appends what appendGeneral does, but of expectations, which have caches of their own. Without an internal
// cache they are not replicated.
func appendExpects(b []byte, s *Status) []byte {
	if s.Sync == nil || !s.Sync.ExpectationSync {
		return b
	}
	sync := *s.Sync
	c := &sync.Caches
	c.Internal, c.External = c.InternalExps, c.ExternalExps
	c.Bypass, sync.Injected = statesync.BypassStats{}, s.Sync.InjectedExpects
	return appendGeneral(b, &Status{Sync: &sync, Traffic: s.Traffic})
}

func appendCaches(b []byte, s *Status) []byte {
	switch {
	case s.Sync != nil:
		return appendSides(b, s.Sync, appendCacheDetails)
	case s.Stats != nil:
		return appendCacheDetails(b, "stats", s.Stats)
	}
	return b
}

// appendSides appends what is known of our own flows and of the peers': a cache in the given form, or
// what is done in its place.
func appendSides(b []byte, s *SyncStatus, form func([]byte, string, *statesync.CacheStats) []byte) []byte {
	if s.NoInternalCache {
		y := &s.Caches.Bypass
		b = fmt.Appendf(b, "internal bypass:\n"+
			"connections new:\t\t%12d\n"+
			"connections updated:\t\t%12d\n"+
			"connections destroyed:\t\t%12d\n\n", y.New, y.Updated, y.Destroyed)
	} else {
		b = form(b, "internal", &s.Caches.Internal)
	}
	if s.NoExternalCache {
		return appendOutcomes(append(b, "external inject:\n"...), &s.Injected)
	}
	return form(b, "external", &s.Caches.External)
}

func appendCache(b []byte, name string, c *statesync.CacheStats) []byte {
	b = fmt.Appendf(b, "cache %s:\ncurrent active connections:\t%12d\n", name, c.Active)
	return appendOutcomes(b, &InjectStatus{Created: c.Created, CreateFailed: c.Failed, Updated: c.Updated, Destroyed: c.Destroyed})
}

func appendOutcomes(b []byte, n *InjectStatus) []byte {
	const line = "connections %s:\t\t%12d\tfailed:\t%12d\n"
	b = fmt.Appendf(b, line, "created", n.Created, n.CreateFailed)
	b = fmt.Appendf(b, line, "updated", n.Updated, n.UpdateFailed)
	b = fmt.Appendf(b, line, "destroyed", n.Destroyed, n.DestroyFailed)
	return append(b, '\n')
}

func appendCacheDetails(b []byte, name string, c *statesync.CacheStats) []byte {
	return fmt.Appendf(b, "cache:%s\tactive objects:\t\t%12d\n"+
		"\tactive/total entries:\t\t%12d/%12d\n"+
		"\tcreation OK/failed:\t\t%12d/%12d\n"+
		"\t\tno memory available:\t%12d\n"+
		"\t\tno space left in cache:\t%12d\n"+
		"\tupdate OK/failed:\t\t%12d/%12d\n"+
		"\t\tentry not found:\t%12d\n"+
		"\tdeletion created/failed:\t%12d/%12d\n"+
		"\t\tentry not found:\t%12d\n\n",
		name, c.Objects, c.Active, c.Objects, c.Created, c.Failed, 0, c.Failed, c.Updated, 0, 0, c.Destroyed, 0, 0)
}

func appendTraffic(b []byte, t statesync.Traffic) []byte {
	return fmt.Appendf(b, "traffic processed:\n%20d Bytes      %20d Pckts\n\n", t.Bytes, t.Packets)
}

func appendNetwork(b []byte, s *Status) []byte {
	if s.Sync == nil {
		return b
	}
	n := &s.Sync.Caches.Network
	b = fmt.Appendf(b, "network statistics:\n\trecv:\n\t\tMalformed messages:\t%20d\n", n.Malformed)
	for _, f := range [...]struct {
		name  string
		fault wire.Fault
	}{
		{"Wrong protocol version", wire.BadVersion}, {"Malformed header", wire.BadHeader}, {"Malformed payload", wire.BadPayload},
		{"Bad message type", wire.BadType}, {"Truncated message", wire.Truncated}, {"Bad message size", wire.BadSize},
	} {
		b = fmt.Appendf(b, "\t\t%s:\t%20d\n", f.name, n.Faults[f.fault])
	}
	b = fmt.Appendf(b, "\tsend:\n\t\tMalformed messages:\t%20d\n\n", n.SendMalformed)
	b = fmt.Appendf(b, "sequence tracking statistics:\n\trecv:\n\t\tPackets lost:\t\t%20d\n\t\tPackets before:\t\t%20d\n\n",
		n.Lost, n.Before)
	return appendActive(b, s.Sync)
}

// appendActive appends the block about the channel that is sent through.
func appendActive(b []byte, s *SyncStatus) []byte {
	for i := range s.Channels {
		c := &s.Channels[i]
		if !c.Active {
			continue
		}
		b = fmt.Appendf(b, "%s traffic (active device=%s)", c.Kind, c.Device)
		if c.isTCP() {
			b = fmt.Appendf(b, " server=%s client=%s", connected(c.Server), connected(c.Client))
		}
		b = appendChannel(append(b, ":\n"...), c)
	}
	return b
}

func (c *ChannelStatus) isTCP() bool { return c.Kind == "TCP" }

func connected(yes bool) string {
	if yes {
		return "connected"
	}
	return "disconnected"
}

func appendLinks(b []byte, s *Status) []byte {
	if s.Sync == nil {
		return b
	}
	for i := range s.Sync.Channels {
		c := &s.Sync.Channels[i]
		role := "BACKUP"
		if c.Active {
			role = "ACTIVE"
		}
		b = fmt.Appendf(b, "%s traffic device=%s status=%s role=%s:\n", c.Kind, c.Device, c.Link, role)
		b = appendChannel(b, c)
	}
	return b
}

func appendChannel(b []byte, c *ChannelStatus) []byte {
	return fmt.Appendf(b, "%20d Bytes sent %20d Bytes recv\n"+
		"%20d Pckts sent %20d Pckts recv\n"+
		"%20d Error send %20d Error recv\n\n",
		c.BytesSent, c.BytesReceived, c.PacketsSent, c.PacketsReceived, c.ErrorsSent, c.ErrorsReceived)
}

func appendRuntime(b []byte, s *Status) []byte {
	r := &s.Runtime
	b = appendUptime(append(b, "daemon uptime: "...), r.Uptime)
	return fmt.Appendf(b, "\n\nnetlink stats:\n"+
		"\tevents received:\t%20d\n"+
		"\tevents filtered:\t%20d\n"+
		"\tevents unknown type:\t\t%12d\n"+
		"\tcatch event failed:\t\t%12d\n"+
		"\tdump unknown type:\t\t%12d\n"+
		"\tnetlink overrun:\t\t%12d\n"+
		"\tflush kernel table:\t\t%12d\n"+
		"\tresync with kernel table:\t%12d\n"+
		"\tcurrent buffer size (in bytes):\t%12d\n\n"+
		"runtime stats:\n"+
		"\tchild process failed:\t\t%12d\n"+
		"\t\tchild process segfault:\t%12d\n"+
		"\t\tchild process termsig:\t%12d\n"+
		"\tselect failed:\t\t\t%12d\n"+
		"\twait failed:\t\t\t%12d\n"+
		"\tlocal read failed:\t\t%12d\n"+
		"\tlocal unknown request:\t\t%12d\n\n",
		r.Events, r.EventsFiltered, r.EventsUnknown, r.EventsFailed, r.DumpUnknown, r.Overruns, r.Flushes, r.Resyncs, r.BufferSize,
		0, 0, 0, 0, 0, r.ReadsFailed, r.RequestsUnknown)
}

// appendUptime appends a duration as conntrackd writes it: "2 days 1 h 5 min".
func appendUptime(b []byte, d time.Duration) []byte {
	minutes := int(d / time.Minute)
	days, hours, minutes := minutes/(24*60), minutes/60%24, minutes%60
	switch days {
	case 0:
	case 1:
		b = append(b, "1 day "...)
	default:
		b = fmt.Appendf(b, "%d days ", days)
	}
	if hours != 0 {
		b = fmt.Appendf(b, "%d h ", hours)
	}
	return fmt.Appendf(b, "%d min", minutes)
}

func appendResendQueue(b []byte, s *Status) []byte {
	if s.Sync == nil || s.Sync.Mode != statesync.FTFW {
		return b
	}
	b = fmt.Appendf(b, "resent queue (len=%d)\n", len(s.Sync.Waiting))
	for _, w := range s.Sync.Waiting {
		if w.Control {
			b = fmt.Appendf(b, "control -> seq:%d flags:%d\n", w.Seq, uint8(w.Flags))
		} else {
			b = fmt.Appendf(b, "object -> seq:%d\n", w.Seq)
		}
	}
	return b
}

// appendProcesses appends nothing: there are no children.
func appendProcesses(b []byte, _ *Status) []byte { return b }

func appendQueues(b []byte, s *Status) []byte {
	if s.Sync == nil {
		return b
	}
	b = fmt.Appendf(b, "allocated queue nodes:\t\t%12d\n\n", s.Sync.queueNodes())
	b = appendQueue(b, "txqueue", &s.Sync.Transmit)
	b = appendQueue(b, "errorq", &s.Sync.Errors)
	if s.Sync.Mode == statesync.FTFW {
		b = appendQueue(b, "rsqueue", &s.Sync.Resend)
	}
	return b
}

// queueNodes are what the original allocates for queueing alone: not objects of the caches, which lie in a queue without.
func (s *SyncStatus) queueNodes() int {
	n := s.Errors.Len
	for _, w := range s.Waiting {
		if w.Control {
			n++
		}
	}
	return n
}

func appendQueue(b []byte, name string, q *statesync.QueueStats) []byte {
	return fmt.Appendf(b, "queue %s:\n"+
		"current elements:\t\t%12d\n"+
		"maximum elements:\t\t%12d\n"+
		"not enough space errors:\t%12d\n\n", name, q.Len, q.Max, q.Overflows)
}

// appendStatusJSON appends s as one line of JSON. Members may be added; what is not there in a mode has
// no member.
//
//	sync                 with replication
//	  mode               "FTFW", "ALARM" or "NOTRACK"
//	  expectation_sync   whether expectations are replicated
//	  internal_cache     {active, objects, bytes, created, create_failed, updated, destroyed}: objects counts dead
//	                     flows that are not acknowledged too, bytes is memory
//	  bypass             {new, updated, destroyed}: in place of internal_cache
//	  external_cache     as internal_cache
//	  injected           {created, create_failed, updated, update_failed, destroyed, destroy_failed}: in place of
//	                     external_cache
//	  internal_expects,
//	  external_expects   as internal_cache, of expectations
//	  injected_expects   as injected, in place of external_expects
//	  network            {malformed, truncated, bad_size, bad_version, bad_header, bad_type, bad_payload,
//	                     send_malformed, lost, before, resent, bulks}: malformed is the sum up to bad_payload
//	  peer_silent        seconds since the last message of a peer; -1 if there was none
//	  last_commit        seconds that the last commit took
//	  channels           [{kind, device, link, active, bytes_sent, bytes_received, packets_sent, packets_received,
//	                     errors_sent, errors_received, server_connected, client_connected}]: the last two of TCP
//	  transmit_queue,
//	  error_queue        {length, limit, overflows}
//	  resend_queue       likewise, in FTFW
//	  queue_nodes        messages queued that are not about a cached object
//	  waiting            [{control, seq, flags}]: what is in the resend queue, oldest first; flags of control messages
//	stats_cache          in the statistics mode: as internal_cache
//	traffic              {bytes, packets}: what ended flows have carried
//	runtime              {uptime, events, events_filtered, events_unknown, events_failed, dump_unknown, overruns,
//	                     flushes, resyncs, buffer_size, reads_failed, requests_unknown}: uptime in seconds, buffer_size
//	                     in bytes
//	helpers              [{name, family, proto, queue, read, expected, refused, rewritten, dropped, unread}]: the user-space
//	                     helpers, if there are any; read, rewritten, dropped and unread count packets
func appendStatusJSON(b []byte, s *Status) []byte {
	j := statusJSON{Sync: syncJSONOf(s.Sync), StatsCache: (*cacheJSON)(s.Stats), Traffic: trafficJSON(s.Traffic),
		Runtime: runtimeJSON{int64(s.Runtime.Uptime / time.Second), runtimeCounts(s.Runtime)}, Helpers: helpersJSONOf(s.Helpers)}
	line, err := json.Marshal(j)
	if err != nil {
		panic(err) // there is nothing in it that could fail
	}
	return append(append(b, line...), '\n')
}

// The types below give names to the members. Most are converted from what they show, so that the compiler
// finds a field that was added there and forgotten here.
type (
	statusJSON struct {
		Sync       *syncJSON    `json:"sync,omitempty"`
		StatsCache *cacheJSON   `json:"stats_cache,omitempty"`
		Traffic    trafficJSON  `json:"traffic"`
		Runtime    runtimeJSON  `json:"runtime"`
		Helpers    []helperJSON `json:"helpers,omitempty"`
	}
	syncJSON struct {
		Mode            string        `json:"mode"`
		ExpectationSync bool          `json:"expectation_sync"`
		InternalCache   *cacheJSON    `json:"internal_cache,omitempty"`
		Bypass          *bypassJSON   `json:"bypass,omitempty"`
		ExternalCache   *cacheJSON    `json:"external_cache,omitempty"`
		Injected        *injectedJSON `json:"injected,omitempty"`
		InternalExpects *cacheJSON    `json:"internal_expects,omitempty"`
		ExternalExpects *cacheJSON    `json:"external_expects,omitempty"`
		InjectedExpects *injectedJSON `json:"injected_expects,omitempty"`
		Network         networkJSON   `json:"network"`
		PeerSilent      float64       `json:"peer_silent"`
		LastCommit      float64       `json:"last_commit"`
		Channels        []channelJSON `json:"channels"`
		TransmitQueue   queueJSON     `json:"transmit_queue"`
		ErrorQueue      queueJSON     `json:"error_queue"`
		ResendQueue     *queueJSON    `json:"resend_queue,omitempty"`
		QueueNodes      int           `json:"queue_nodes"`
		Waiting         []waitingJSON `json:"waiting,omitzero"`
	}
	cacheJSON struct {
		Active    int    `json:"active"`
		Objects   int    `json:"objects"`
		Bytes     int    `json:"bytes"`
		Created   uint64 `json:"created"`
		Failed    uint64 `json:"create_failed"`
		Updated   uint64 `json:"updated"`
		Destroyed uint64 `json:"destroyed"`
	}
	bypassJSON struct {
		New       uint64 `json:"new"`
		Updated   uint64 `json:"updated"`
		Destroyed uint64 `json:"destroyed"`
	}
	injectedJSON struct {
		Created       uint64 `json:"created"`
		CreateFailed  uint64 `json:"create_failed"`
		Updated       uint64 `json:"updated"`
		UpdateFailed  uint64 `json:"update_failed"`
		Destroyed     uint64 `json:"destroyed"`
		DestroyFailed uint64 `json:"destroy_failed"`
	}
	trafficJSON struct {
		Bytes   uint64 `json:"bytes"`
		Packets uint64 `json:"packets"`
	}
	networkJSON struct {
		Malformed     uint64 `json:"malformed"`
		Truncated     uint64 `json:"truncated"`
		BadSize       uint64 `json:"bad_size"`
		BadVersion    uint64 `json:"bad_version"`
		BadHeader     uint64 `json:"bad_header"`
		BadType       uint64 `json:"bad_type"`
		BadPayload    uint64 `json:"bad_payload"`
		SendMalformed uint64 `json:"send_malformed"`
		Lost          uint64 `json:"lost"`
		Before        uint64 `json:"before"`
		Resent        uint64 `json:"resent"`
		Bulks         uint64 `json:"bulks"`
	}
	channelJSON struct {
		channelCounts
		Server *bool `json:"server_connected,omitempty"`
		Client *bool `json:"client_connected,omitempty"`
	}
	channelCounts struct {
		Kind            string `json:"kind"`
		Device          string `json:"device"`
		Link            string `json:"link"`
		Active          bool   `json:"active"`
		BytesSent       uint64 `json:"bytes_sent"`
		BytesReceived   uint64 `json:"bytes_received"`
		PacketsSent     uint64 `json:"packets_sent"`
		PacketsReceived uint64 `json:"packets_received"`
		ErrorsSent      uint64 `json:"errors_sent"`
		ErrorsReceived  uint64 `json:"errors_received"`
		Server          bool   `json:"-"`
		Client          bool   `json:"-"`
	}
	queueJSON struct {
		Len       int    `json:"length"`
		Max       int    `json:"limit"`
		Overflows uint64 `json:"overflows"`
	}
	waitingJSON struct {
		Control bool       `json:"control"`
		Seq     uint32     `json:"seq"`
		Flags   wire.Flags `json:"flags,omitempty"`
	}
	helperJSON struct {
		Name   string `json:"name"`
		Family string `json:"family"`
		Proto  string `json:"proto"`
		Queue  uint16 `json:"queue"`
		helperCounts
	}
	helperCounts struct {
		Read      uint64 `json:"read"`
		Expected  uint64 `json:"expected"`
		Refused   uint64 `json:"refused"`
		Rewritten uint64 `json:"rewritten"`
		Dropped   uint64 `json:"dropped"`
		Unread    uint64 `json:"unread"`
	}
	runtimeJSON struct {
		Uptime int64 `json:"uptime"`
		runtimeCounts
	}
	runtimeCounts struct {
		Uptime          time.Duration `json:"-"`
		Events          uint64        `json:"events"`
		EventsFiltered  uint64        `json:"events_filtered"`
		EventsUnknown   uint64        `json:"events_unknown"`
		EventsFailed    uint64        `json:"events_failed"`
		DumpUnknown     uint64        `json:"dump_unknown"`
		Overruns        uint64        `json:"overruns"`
		Flushes         uint64        `json:"flushes"`
		Resyncs         uint64        `json:"resyncs"`
		BufferSize      int           `json:"buffer_size"`
		ReadsFailed     uint64        `json:"reads_failed"`
		RequestsUnknown uint64        `json:"requests_unknown"`
	}
)

func helpersJSONOf(all []cthelper.Figures) (list []helperJSON) {
	for i := range all {
		f := &all[i]
		list = append(list, helperJSON{f.Name, f.Family.String(), f.Transport.String(), f.Queue, helperCounts(f.Counts)})
	}
	return list
}

func syncJSONOf(s *SyncStatus) *syncJSON {
	if s == nil {
		return nil
	}
	n, c := &s.Caches.Network, &s.Caches
	j := &syncJSON{
		Mode:            s.Mode.String(),
		ExpectationSync: s.ExpectationSync,
		Network: networkJSON{
			Malformed:     n.Malformed,
			Truncated:     n.Faults[wire.Truncated],
			BadSize:       n.Faults[wire.BadSize],
			BadVersion:    n.Faults[wire.BadVersion],
			BadHeader:     n.Faults[wire.BadHeader],
			BadType:       n.Faults[wire.BadType],
			BadPayload:    n.Faults[wire.BadPayload],
			SendMalformed: n.SendMalformed,
			Lost:          n.Lost,
			Before:        n.Before,
			Resent:        n.Resent,
			Bulks:         n.Bulks,
		},
		PeerSilent:    s.PeerSilent,
		LastCommit:    s.LastCommit.Seconds(),
		Channels:      make([]channelJSON, len(s.Channels)),
		TransmitQueue: queueJSON(s.Transmit),
		ErrorQueue:    queueJSON(s.Errors),
		QueueNodes:    s.queueNodes(),
	}
	if s.NoInternalCache {
		j.Bypass = (*bypassJSON)(&c.Bypass)
	} else {
		j.InternalCache = (*cacheJSON)(&c.Internal)
	}
	if s.NoExternalCache {
		j.Injected = (*injectedJSON)(&s.Injected)
	} else {
		j.ExternalCache = (*cacheJSON)(&c.External)
	}
	if s.ExpectationSync && !s.NoInternalCache {
		j.InternalExpects = (*cacheJSON)(&c.InternalExps)
	}
	switch {
	case s.ExpectationSync && s.NoExternalCache:
		j.InjectedExpects = (*injectedJSON)(&s.InjectedExpects)
	case s.ExpectationSync:
		j.ExternalExpects = (*cacheJSON)(&c.ExternalExps)
	}
	for i := range s.Channels {
		j.Channels[i].channelCounts = channelCounts(s.Channels[i])
		if c := &s.Channels[i]; c.isTCP() {
			j.Channels[i].Server, j.Channels[i].Client = &c.Server, &c.Client
		}
	}
	if s.Mode == statesync.FTFW {
		j.ResendQueue = (*queueJSON)(&s.Resend)
		j.Waiting = make([]waitingJSON, len(s.Waiting))
		for i, w := range s.Waiting {
			j.Waiting[i] = waitingJSON(w)
		}
	}
	return j
}
