package agent

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spoor-project/spoor/internal/nstest"
	"github.com/spoor-project/spoor/internal/statesync"
	"github.com/spoor-project/spoor/internal/statesync/wire"
)

// samples are answers that conntrackd gave, in testdata, and the state it was in. They are never rewritten.
var samples = map[string]struct {
	request Request
	status  Status
}{
	"general": {StatGeneral, sampleSync(func(s *SyncStatus) {
		s.Caches.Internal = statesync.CacheStats{Active: 4, Created: 4, Updated: 12}
		s.Channels = []ChannelStatus{busyChannel}
	})},
	"general-bypass": {StatGeneral, sampleSync(func(s *SyncStatus) {
		s.NoInternalCache = true
		s.Caches.Bypass = statesync.BypassStats{New: 4, Updated: 12, Destroyed: 1}
		s.Channels = []ChannelStatus{{Kind: "TCP", Device: "sync0", Active: true, Server: true, Client: true,
			BytesSent: 1056, BytesReceived: 32, PacketsSent: 3, PacketsReceived: 2}}
	})},
	"general-inject": {StatGeneral, sampleSync(func(s *SyncStatus) {
		s.NoExternalCache = true
		s.Injected = InjectStatus{Created: 7, Updated: 12, Destroyed: 1}
		s.Channels = []ChannelStatus{{Kind: "multicast", Device: "sync1", Active: true,
			BytesSent: 24, BytesReceived: 1640, PacketsSent: 3, PacketsReceived: 16}}
	})},
	"general-disconnected": {StatGeneral, sampleSync(func(s *SyncStatus) {
		s.Caches.Internal = statesync.CacheStats{Active: 10, Objects: 10, Created: 10}
		s.Channels = idleTCP
	})},
	"general-stats": {StatGeneral, Status{
		Stats:   &statesync.CacheStats{Active: 2, Objects: 2, Created: 2, Updated: 2},
		Traffic: statesync.Traffic{Bytes: 1461, Packets: 9},
	}},
	"expect": {StatExpect, sampleSync(func(s *SyncStatus) {
		s.ExpectationSync = true
		s.Caches.Internal, s.Caches.External = statesync.CacheStats{Active: 1}, statesync.CacheStats{Active: 14}
		s.Caches.ExternalExps = statesync.CacheStats{Active: 2, Created: 3, Destroyed: 1}
		s.Channels = []ChannelStatus{{Kind: "UDP", Device: "sync1", Active: true, BytesReceived: 1616, PacketsReceived: 13}}
	})},
	"network": {StatNetwork, sampleSync(func(s *SyncStatus) { s.Channels = []ChannelStatus{busyChannel} })},
	"cache": {StatCache, sampleSync(func(s *SyncStatus) {
		s.Caches.Internal = statesync.CacheStats{Active: 3, Objects: 3, Created: 3, Failed: 3}
	})},
	"cache-bypass": {StatCache, sampleSync(func(s *SyncStatus) {
		s.NoInternalCache = true
		s.Caches.External = statesync.CacheStats{Active: 12, Objects: 12, Created: 12}
	})},
	"cache-inject": {StatCache, sampleSync(func(s *SyncStatus) {
		s.NoExternalCache = true
		s.Injected.Created = 12
	})},
	"cache-stats": {StatCache, Status{Stats: &statesync.CacheStats{Active: 1, Objects: 1, Created: 2, Destroyed: 1}}},
	"runtime":     {StatRuntime, Status{Runtime: RuntimeStatus{Events: 8, BufferSize: 2097152}}},
	"link":        {StatLink, sampleSync(func(s *SyncStatus) { s.Channels = idleTCP })},
	"resend": {StatResend, sampleSync(func(s *SyncStatus) {
		s.Waiting = []statesync.Waiting{{Control: true, Seq: 1795235227, Flags: wire.Ack}, {Seq: 1795235230}}
	})},
	"queue": {StatQueue, sampleSync(func(s *SyncStatus) {
		s.Transmit, s.Errors = statesync.QueueStats{Max: 1<<31 - 1}, statesync.QueueStats{Max: 128}
		s.Resend = statesync.QueueStats{Len: 7, Max: 64}
		s.Waiting = []statesync.Waiting{{Control: true}, {}, {Control: true}, {}, {}, {}, {}}
	})},
	"queue-notrack": {StatQueue, sampleSync(func(s *SyncStatus) {
		s.Mode = statesync.NOTRACK
		s.Transmit, s.Errors = statesync.QueueStats{Max: 1<<31 - 1}, statesync.QueueStats{Len: 10, Max: 128}
	})},
}

func sampleSync(set func(*SyncStatus)) Status {
	var s SyncStatus
	set(&s)
	return Status{Sync: &s}
}

var busyChannel = ChannelStatus{Kind: "UDP", Device: "sync0", Link: "RUNNING", Active: true,
	BytesSent: 480, BytesReceived: 128, PacketsSent: 15, PacketsReceived: 8}

var idleTCP = []ChannelStatus{
	{Kind: "TCP", Device: "sync0", Link: "RUNNING", Active: true},
	{Kind: "TCP", Device: "lo", Link: "RUNNING"},
}

func sampleText(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestStatisticsAreThoseOfTheOriginal(t *testing.T) {
	for name, c := range samples {
		t.Run(name, func(t *testing.T) {
			got, ok := appendStatistics([]byte(">"), int32(c.request), &c.status)
			if want := ">" + sampleText(t, name); string(got) != want || !ok {
				t.Errorf("%v: got\n%s\nwant\n%s", ok, got, want)
			}
		})
	}
}

// statRequests are those for statistics, in text.
var statRequests = []Request{StatGeneral, StatNetwork, StatCache, StatRuntime, StatLink, StatResend, StatProcess, StatQueue, StatExpect}

func TestEveryStatisticIsAnswered(t *testing.T) {
	for code := range int32(2000) {
		want := slices.Contains(statRequests, Request(code))
		if _, ok := appendStatistics(nil, code, &Status{}); ok != want {
			t.Errorf("request %d is answered: %v, want %v", code, ok, want)
		}
	}
}

func TestWhatAModeDoesNotHavePrintsNothing(t *testing.T) {
	in := func(m statesync.Mode, expects bool) Status {
		return sampleSync(func(s *SyncStatus) { s.Mode, s.ExpectationSync, s.Channels = m, expects, idleTCP })
	}
	for name, c := range map[string]struct {
		status  Status
		answers []Request
	}{
		"FTFW": {in(statesync.FTFW, true),
			[]Request{StatGeneral, StatNetwork, StatCache, StatRuntime, StatLink, StatResend, StatQueue, StatExpect}},
		"ALARM": {in(statesync.ALARM, true),
			[]Request{StatGeneral, StatNetwork, StatCache, StatRuntime, StatLink, StatQueue, StatExpect}},
		"no expectations": {in(statesync.NOTRACK, false),
			[]Request{StatGeneral, StatNetwork, StatCache, StatRuntime, StatLink, StatQueue}},
		"statistics":         {Status{Stats: &statesync.CacheStats{}}, []Request{StatGeneral, StatCache, StatRuntime}},
		"nothing configured": {Status{}, []Request{StatRuntime}},
	} {
		for _, r := range statRequests {
			want := slices.Contains(c.answers, r)
			if b, _ := appendStatistics(nil, int32(r), &c.status); (len(b) > 0) != want {
				t.Errorf("%s: request %d prints %q", name, r, b)
			}
		}
	}
}

func TestCountersStandInTheirLines(t *testing.T) {
	s := sampleSync(func(s *SyncStatus) {
		s.ExpectationSync = true
		s.Caches.Internal = statesync.CacheStats{Active: 101, Objects: 102, Created: 103, Failed: 104, Updated: 105,
			Destroyed: 106}
		s.Caches.External = statesync.CacheStats{Active: 111, Objects: 112, Created: 113, Failed: 114, Updated: 115,
			Destroyed: 116}
		s.Caches.InternalExps = statesync.CacheStats{Active: 121}
		s.Caches.ExternalExps = statesync.CacheStats{Active: 131}
		n := &s.Caches.Network
		n.Malformed, n.SendMalformed, n.Lost, n.Before = 201, 202, 203, 204
		for f := range n.Faults {
			n.Faults[f] = 210 + uint64(f)
		}
		s.Channels = []ChannelStatus{{Kind: "UDP", Device: "lo", Link: "DOWN", BytesSent: 301, BytesReceived: 302,
			PacketsSent: 303, PacketsReceived: 304, ErrorsSent: 305, ErrorsReceived: 306}}
		s.Transmit = statesync.QueueStats{Len: 401, Max: 402, Overflows: 403}
		s.Errors = statesync.QueueStats{Len: 411, Max: 412, Overflows: 413}
		s.Resend = statesync.QueueStats{Len: 421, Max: 422, Overflows: 423}
	})
	s.Traffic = statesync.Traffic{Bytes: 1<<64 - 1, Packets: 1 << 40}
	s.Runtime = RuntimeStatus{Events: 501, EventsFiltered: 502, EventsUnknown: 503, EventsFailed: 504, DumpUnknown: 505, Overruns: 506,
		Flushes: 507, Resyncs: 508, BufferSize: 509, ReadsFailed: 510, RequestsUnknown: 511}
	for _, c := range []struct {
		request Request
		lines   string // without what is empty or zero, blanks made one
	}{
		{StatGeneral, `cache internal:/current active connections: 101/connections created: 103 failed: 104/connections updated: 105 failed: 0/
			connections destroyed: 106 failed: 0/cache external:/current active connections: 111/connections created: 113 failed: 114/
			connections updated: 115 failed: 0/connections destroyed: 116 failed: 0/traffic processed:/
			18446744073709551615 Bytes 1099511627776 Pckts/message tracking:/201 Malformed msgs 203 Lost msgs`},
		{StatExpect, `cache internal:/current active connections: 121/connections created: 0 failed: 0/connections updated: 0 failed: 0/
			connections destroyed: 0 failed: 0/cache external:/current active connections: 131/connections created: 0 failed: 0/
			connections updated: 0 failed: 0/connections destroyed: 0 failed: 0/traffic processed:/
			18446744073709551615 Bytes 1099511627776 Pckts/message tracking:/201 Malformed msgs 203 Lost msgs`},
		{StatCache, `cache:internal active objects: 102/active/total entries: 101/ 102/creation OK/failed: 103/ 104/no memory available: 0/
			no space left in cache: 104/update OK/failed: 105/ 0/entry not found: 0/deletion created/failed: 106/ 0/entry not found: 0/
			cache:external active objects: 112/active/total entries: 111/ 112/creation OK/failed: 113/ 114/no memory available: 0/
			no space left in cache: 114/update OK/failed: 115/ 0/entry not found: 0/deletion created/failed: 116/ 0/entry not found: 0`},
		{StatNetwork, `network statistics:/recv:/Malformed messages: 201/Wrong protocol version: 213/Malformed header: 214/
			Malformed payload: 216/Bad message type: 215/Truncated message: 211/Bad message size: 212/send:/Malformed messages: 202/
			sequence tracking statistics:/recv:/Packets lost: 203/Packets before: 204`},
		{StatLink, `UDP traffic device=lo status=DOWN role=BACKUP:/301 Bytes sent 302 Bytes recv/303 Pckts sent 304 Pckts recv/
			305 Error send 306 Error recv`},
		{StatQueue, `allocated queue nodes: 411/queue txqueue:/current elements: 401/maximum elements: 402/not enough space errors: 403/
			queue errorq:/current elements: 411/maximum elements: 412/not enough space errors: 413/
			queue rsqueue:/current elements: 421/maximum elements: 422/not enough space errors: 423`},
		{StatRuntime, `daemon uptime: 0 min/netlink stats:/events received: 501/events filtered: 502/events unknown type: 503/
			catch event failed: 504/dump unknown type: 505/netlink overrun: 506/flush kernel table: 507/resync with kernel table: 508/
			current buffer size (in bytes): 509/runtime stats:/child process failed: 0/child process segfault: 0/child process termsig: 0/
			select failed: 0/wait failed: 0/local read failed: 510/local unknown request: 511`},
	} {
		b, _ := appendStatistics(nil, int32(c.request), &s)
		var got []string
		for line := range strings.Lines(string(b)) {
			if fields := strings.Fields(line); len(fields) > 0 {
				got = append(got, strings.Join(fields, " "))
			}
		}
		want := regexp.MustCompile(`\n\t*`).ReplaceAllString(c.lines, "")
		if got := strings.Join(got, "/"); got != want {
			t.Errorf("request %d\n got %s\nwant %s", c.request, got, want)
		}
	}
}

func TestUptime(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0:                               "0 min",
		59*time.Minute + 59*time.Second: "59 min",
		time.Hour:                       "1 h 0 min",
		23*time.Hour + 59*time.Minute:   "23 h 59 min",
		24 * time.Hour:                  "1 day 0 min",
		24*time.Hour + 5*time.Minute:    "1 day 5 min",
		49*time.Hour + time.Minute:      "2 days 1 h 1 min",
		1000 * 24 * time.Hour:           "1000 days 0 min",
	} {
		if got := string(appendUptime(nil, d)); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}

func TestStatusJSON(t *testing.T) {
	full := sampleSync(func(s *SyncStatus) {
		s.ExpectationSync = true
		s.Caches = statesync.Stats{
			Internal:     statesync.CacheStats{Active: 1, Objects: 2, Bytes: 3, Created: 4, Failed: 5, Updated: 6, Destroyed: 7},
			InternalExps: statesync.CacheStats{Active: 8},
			ExternalExps: statesync.CacheStats{Active: 9},
			Network: statesync.NetworkStats{Malformed: 10, Faults: [wire.NumFaults]uint64{0, 11, 12, 13, 14, 15, 16},
				SendMalformed: 17, Lost: 18, Before: 19},
		}
		s.Channels = []ChannelStatus{{Kind: "UDP", Device: "eth0", Link: "RUNNING", Active: true, BytesSent: 20, BytesReceived: 21,
			PacketsSent: 22, PacketsReceived: 23, ErrorsSent: 24, ErrorsReceived: 25}, {Kind: "TCP", Server: true}}
		s.Transmit.Max, s.Errors.Overflows, s.Resend.Len = 26, 27, 2
		s.Waiting = []statesync.Waiting{{Control: true, Seq: 28, Flags: wire.Ack | wire.Hello}, {Seq: 29}}
	})
	full.Traffic = statesync.Traffic{Bytes: 1<<64 - 1, Packets: 30}
	full.Runtime = RuntimeStatus{Uptime: 90*time.Second + time.Millisecond,
		Events: 31, EventsFiltered: 32, EventsUnknown: 33, EventsFailed: 34,
		DumpUnknown: 35, Overruns: 36, Flushes: 37, Resyncs: 38, BufferSize: 39, ReadsFailed: 40, RequestsUnknown: 41}
	const (
		noCounts  = `{"active":0,"objects":0,"bytes":0,"created":0,"create_failed":0,"updated":0,"destroyed":0}`
		noNetwork = `{"malformed":0,"truncated":0,"bad_size":0,"bad_version":0,"bad_header":0,"bad_type":0,"bad_payload":0,` +
			`"send_malformed":0,"lost":0,"before":0,"resent":0,"bulks":0},"peer_silent":0,"last_commit":0`
		noQueue = `{"length":0,"limit":0,"overflows":0}`
		noRest  = `"traffic":{"bytes":0,"packets":0},"runtime":{"uptime":0,"events":0,"events_filtered":0,"events_unknown":0,` +
			`"events_failed":0,"dump_unknown":0,"overruns":0,"flushes":0,"resyncs":0,"buffer_size":0,"reads_failed":0,"requests_unknown":0}}`
	)
	for _, c := range []struct {
		rule   string
		status Status
		want   string
	}{
		{"all of FTFW", full, `{"sync":{"mode":"FTFW","expectation_sync":true,` +
			`"internal_cache":{"active":1,"objects":2,"bytes":3,"created":4,"create_failed":5,"updated":6,"destroyed":7},` +
			`"external_cache":` + noCounts + `,"internal_expects":` + strings.Replace(noCounts, "0", "8", 1) +
			`,"external_expects":` + strings.Replace(noCounts, "0", "9", 1) +
			`,"network":{"malformed":10,"truncated":11,"bad_size":12,"bad_version":13,"bad_header":14,"bad_type":15,"bad_payload":16,` +
			`"send_malformed":17,"lost":18,"before":19,"resent":0,"bulks":0},"peer_silent":0,"last_commit":0,` +
			`"channels":[{"kind":"UDP","device":"eth0","link":"RUNNING","active":true,"bytes_sent":20,"bytes_received":21,` +
			`"packets_sent":22,"packets_received":23,"errors_sent":24,"errors_received":25},` +
			`{"kind":"TCP","device":"","link":"","active":false,"bytes_sent":0,"bytes_received":0,` +
			`"packets_sent":0,"packets_received":0,"errors_sent":0,"errors_received":0,"server_connected":true,"client_connected":false}],` +
			`"transmit_queue":{"length":0,"limit":26,"overflows":0},"error_queue":{"length":0,"limit":0,"overflows":27},` +
			`"resend_queue":{"length":2,"limit":0,"overflows":0},` +
			`"queue_nodes":1,"waiting":[{"control":true,"seq":28,"flags":40},{"control":false,"seq":29}]},` +
			`"traffic":{"bytes":18446744073709551615,"packets":30},` +
			`"runtime":{"uptime":90,"events":31,"events_filtered":32,"events_unknown":33,"events_failed":34,"dump_unknown":35,` +
			`"overruns":36,"flushes":37,"resyncs":38,"buffer_size":39,"reads_failed":40,"requests_unknown":41}}`},
		{"without caches", sampleSync(func(s *SyncStatus) {
			s.Mode, s.NoInternalCache, s.NoExternalCache, s.ExpectationSync = statesync.NOTRACK, true, true, true
			s.Caches.Bypass.New, s.Injected.DestroyFailed, s.InjectedExpects.Created = 1, 2, 3
		}), `{"sync":{"mode":"NOTRACK","expectation_sync":true,"bypass":{"new":1,"updated":0,"destroyed":0},` +
			`"injected":{"created":0,"create_failed":0,"updated":0,"update_failed":0,"destroyed":0,"destroy_failed":2},` +
			`"injected_expects":{"created":3,"create_failed":0,"updated":0,"update_failed":0,"destroyed":0,"destroy_failed":0},` +
			`"network":` + noNetwork + `,"channels":[],"transmit_queue":` + noQueue + `,"error_queue":` + noQueue + `,"queue_nodes":0},` + noRest},
		{"helpers", Status{Helpers: sampleHelpers}, "{" + strings.TrimSuffix(noRest, "}") +
			`,"helpers":[{"name":"ftp","family":"ipv4","proto":"tcp","queue":3,"read":1,"expected":2,"refused":3,"rewritten":4,"dropped":5,"unread":6},` +
			`{"name":"mdns","family":"ipv6","proto":"udp","queue":4,"read":0,"expected":0,"refused":0,"rewritten":0,"dropped":0,"unread":0}]}`},
		{"nothing waits", sampleSync(func(s *SyncStatus) {}),
			`{"sync":{"mode":"FTFW","expectation_sync":false,"internal_cache":` + noCounts + `,"external_cache":` + noCounts +
				`,"network":` + noNetwork + `,"channels":[],"transmit_queue":` + noQueue + `,"error_queue":` + noQueue +
				`,"resend_queue":` + noQueue + `,"queue_nodes":0,"waiting":[]},` + noRest},
		{"statistics mode", Status{Stats: &statesync.CacheStats{}}, `{"stats_cache":` + noCounts + `,` + noRest},
		{"nothing configured", Status{}, `{` + noRest},
	} {
		if got := string(appendStatusJSON([]byte(">"), &c.status)); got != ">"+c.want+"\n" {
			t.Errorf("%s\n got %s\nwant >%s", c.rule, got, c.want)
		}
	}
}

// oracle is the original daemon, in a namespace of its own.
type oracle struct {
	path string // of its control socket
}

// newOracle starts conntrackd with a section of its configuration.
func newOracle(t *testing.T, ns *nstest.NS, section string) *oracle {
	t.Helper()
	nstest.NeedTool(t, "conntrackd")
	dir := t.TempDir()
	o := &oracle{filepath.Join(dir, "ctl")}
	conf := filepath.Join(dir, "conf")
	general := fmt.Sprintf("\nGeneral {\nHashSize 1024\nHashLimit 4096\nLockFile %s/lock\nUNIX { Path %s }\n"+
		"Scheduler { Type fifo Priority 0 }\nSystemd off\n}\n", dir, o.path) // refused, so that it is scheduled as any other
	if err := os.WriteFile(conf, []byte(section+general), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	var log bytes.Buffer
	daemon := ns.Command(ctx, "conntrackd", "-C", conf)
	daemon.Stdout, daemon.Stderr = &log, &log
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		daemon.Process.Signal(syscall.SIGTERM)
		daemon.Wait()
		if t.Failed() {
			t.Logf("conntrackd:\n%s", &log)
		}
	})
	// It listens before it is ready, but answers only then.
	nstest.Wait(t, "conntrackd", func() bool { return Ask(o.path, StatRuntime, io.Discard) == nil })
	return o
}

func (o *oracle) says(t *testing.T, r Request) string {
	t.Helper()
	var b bytes.Buffer
	if err := Ask(o.path, r, &b); err != nil {
		t.Fatalf("request %d: %v", r, err)
	}
	return b.String()
}

// numbers are as wide as their fields, which is all that can be foreseen of them.
var numbers = regexp.MustCompile(` *\d+`)

func TestOriginalPrintsTheSameFields(t *testing.T) {
	const (
		udp = `UDP Default { IPv4_address 10.0.0.1 IPv4_Destination_Address 10.0.0.2 Port 3780 Interface eth0 }
			UDP { IPv4_address 127.0.0.1 IPv4_Destination_Address 127.0.0.2 Port 3781 Interface lo }`
		tcp       = `TCP Default { IPv4_address 10.0.0.1 IPv4_Destination_Address 10.0.0.2 Port 3780 Interface eth0 }`
		multicast = `Multicast Default { IPv4_address 225.0.0.50 Group 3780 IPv4_interface 10.0.0.1 Interface eth0 }`
	)
	mode := func(s *SyncStatus, m statesync.Mode, kinds ...string) {
		s.Mode, s.ExpectationSync = m, true
		for i, kind := range kinds {
			s.Channels = append(s.Channels, ChannelStatus{Kind: kind, Device: []string{"eth0", "lo"}[i], Link: "RUNNING", Active: i == 0})
		}
	}
	for name, c := range map[string]struct {
		section string
		status  Status
	}{
		"FTFW": {"Sync { Mode FTFW { } " + udp + " Options { ExpectationSync on } }", sampleSync(func(s *SyncStatus) {
			mode(s, statesync.FTFW, "UDP", "UDP")
		})},
		"ALARM": {"Sync { Mode ALARM { } " + multicast + " }", sampleSync(func(s *SyncStatus) {
			mode(s, statesync.ALARM, "multicast")
			s.ExpectationSync = false
		})},
		"no internal cache": {"Sync { Mode NOTRACK { DisableInternalCache on } " + tcp + " Options { ExpectationSync on } }",
			sampleSync(func(s *SyncStatus) {
				mode(s, statesync.NOTRACK, "TCP")
				s.NoInternalCache = true
			})},
		"no external cache": {"Sync { Mode NOTRACK { DisableExternalCache on } " + multicast + " Options { ExpectationSync on } }",
			sampleSync(func(s *SyncStatus) {
				mode(s, statesync.NOTRACK, "multicast")
				s.NoExternalCache = true
			})},
		"statistics": {"Stats { LogFile off }", Status{Stats: &statesync.CacheStats{}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, _ := nstest.Pair(t)
			o := newOracle(t, a, c.section)
			fields := func(s string) string {
				return numbers.ReplaceAllStringFunc(s, func(n string) string { return strings.Repeat("#", len(n)) })
			}
			for _, r := range statRequests {
				ours, _ := appendStatistics(nil, int32(r), &c.status)
				if got, want := fields(string(ours)), fields(o.says(t, r)); got != want {
					t.Errorf("request %d: got\n%s\nwant\n%s", r, got, want)
				}
			}
		})
	}
}

// fill gives every number in a value another one.
func fill(v reflect.Value, next *uint64) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), next)
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i), next)
		}
	case reflect.Int, reflect.Int64:
		*next++
		v.SetInt(int64(*next))
	case reflect.Uint64, reflect.Uint32:
		*next++
		v.SetUint(*next)
	}
}

// TestJSONHasWhatTheTextsHave: every number of any text is in the object.
func TestJSONHasWhatTheTextsHave(t *testing.T) {
	const first = 100000 // so that numbers are not part of others
	for _, c := range []struct {
		name   string
		status Status
	}{
		{"with caches", sampleSync(func(s *SyncStatus) { s.ExpectationSync = true })},
		{"without", sampleSync(func(s *SyncStatus) { s.NoInternalCache, s.NoExternalCache, s.Mode = true, true, statesync.NOTRACK })},
		{"statistics mode", Status{Stats: new(statesync.CacheStats)}},
	} {
		s, next := c.status, uint64(first)
		if s.Sync != nil {
			mode := s.Sync.Mode
			s.Sync.Channels = make([]ChannelStatus, 2)
			s.Sync.Channels[1].Active = true
			for i := range s.Sync.Channels {
				fill(reflect.ValueOf(&s.Sync.Channels[i]).Elem(), &next)
			}
			s.Sync.Waiting = []statesync.Waiting{{Seq: first - 1}, {Seq: first - 2, Control: true}}
			fill(reflect.ValueOf(s.Sync).Elem(), &next)
			s.Sync.Mode = mode
		}
		if s.Stats != nil {
			fill(reflect.ValueOf(s.Stats).Elem(), &next)
		}
		fill(reflect.ValueOf(&s.Traffic).Elem(), &next)
		fill(reflect.ValueOf(&s.Runtime).Elem(), &next)
		object := string(appendStatusJSON(nil, &s))
		numbers := 0
		for request := range statistics {
			text, _ := appendStatistics(nil, int32(request), &s)
			for _, n := range regexp.MustCompile(`\d{6,}`).FindAllString(string(text), -1) {
				numbers++
				if !regexp.MustCompile(`\b` + n + `\b`).MatchString(object) {
					t.Errorf("%s: request %d tells %s\n%s\nand the object does not\n%s", c.name, request, n, text, object)
				}
			}
		}
		if numbers < 15 {
			t.Errorf("%s: only %d numbers", c.name, numbers)
		}
	}
}
