package agent

import (
	"regexp"
	"strings"
	"testing"

	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/cthelper"
	"github.com/spoor-project/spoor/internal/statesync"
)

var sampleLine = regexp.MustCompile(`^(conntrackd_[a-z_]+)(\{[a-z]+="[^"\n]*"(,[a-z]+="[^"\n]*")*\})? -?[0-9.e+-]+$`)

var sampleHelpers = []cthelper.Figures{
	{Name: "ftp", Family: flow.IPv4, Transport: flow.TCP, Queue: 3, Counts: cthelper.Counts{Read: 1, Expected: 2, Refused: 3, Rewritten: 4, Dropped: 5, Unread: 6}},
	{Name: "mdns", Family: flow.IPv6, Transport: flow.UDP, Queue: 4},
}

// What is exported has the form that Prometheus reads, every figure is said to be what it is, and none comes twice.
func TestMetricsAreWellFormed(t *testing.T) {
	sync := &SyncStatus{ExpectationSync: true, PeerSilent: -1,
		Channels: []ChannelStatus{{Kind: "UDP", Device: "eth0", Link: "RUNNING", Active: true, BytesSent: 1 << 60}, {Device: "eth1"}}}
	sync.Caches.Internal = statesync.CacheStats{Active: 3, Created: 4, Destroyed: 1}
	for _, s := range []*Status{{}, {Sync: sync}, {Stats: &statesync.CacheStats{Active: 7}}, {Helpers: sampleHelpers}} {
		typed, seen := map[string]string{}, map[string]bool{}
		text := string(appendMetrics(nil, s))
		for line := range strings.Lines(text) {
			line = strings.TrimSuffix(line, "\n")
			if rest, ok := strings.CutPrefix(line, "# TYPE "); ok {
				name, kind, _ := strings.Cut(rest, " ")
				if typed[name] != "" || (kind == "counter") != strings.HasSuffix(name, "_total") {
					t.Errorf("%s: typed twice, or no name for a %s", name, kind)
				}
				typed[name] = kind
				continue
			}
			if strings.HasPrefix(line, "# HELP ") {
				continue
			}
			m := sampleLine.FindStringSubmatch(line)
			if m == nil || typed[m[1]] == "" || seen[m[1]+m[2]] {
				t.Errorf("%q: malformed, untyped or twice", line)
				continue
			}
			seen[m[1]+m[2]] = true
		}
		if s.Helpers != nil {
			for _, want := range []string{`packets_total{helper="ftp",family="ipv4",proto="tcp",queue="3"} 1`, `expectations_total{helper="ftp",family="ipv4",proto="tcp",queue="3"} 2`,
				`expectations_refused_total{helper="ftp",family="ipv4",proto="tcp",queue="3"} 3`, `packets_rewritten_total{helper="ftp",family="ipv4",proto="tcp",queue="3"} 4`,
				`packets_dropped_total{helper="ftp",family="ipv4",proto="tcp",queue="3"} 5`, `packets_unread_total{helper="ftp",family="ipv4",proto="tcp",queue="3"} 6`,
				`packets_total{helper="mdns",family="ipv6",proto="udp",queue="4"} 0`} {
				if !strings.Contains(text, "conntrackd_helper_"+want+"\n") {
					t.Errorf("no line conntrackd_helper_%s", want)
				}
			}
		}
		if s.Sync != nil {
			for _, want := range []string{`conntrackd_cache_entries{cache="internal"} 3`, `conntrackd_link_up{link="0",device="eth0"} 1`,
				`conntrackd_link_up{link="1",device="eth1"} 0`, "conntrackd_peer_last_message_seconds -1"} {
				if !strings.Contains(text, want+"\n") {
					t.Errorf("no line %q", want)
				}
			}
		}
	}
}
