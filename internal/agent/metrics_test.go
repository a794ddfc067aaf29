package agent

import (
	"regexp"
	"strings"
	"testing"

	"github.com/spoor-project/spoor/internal/statesync"
)

var sampleLine = regexp.MustCompile(`^(conntrackd_[a-z_]+)(\{[a-z]+="[^"\n]*"(,[a-z]+="[^"\n]*")*\})? -?[0-9.e+-]+$`)

// What is exported has the form that Prometheus reads, every figure is said to be what it is, and none comes twice.
func TestMetricsAreWellFormed(t *testing.T) {
	sync := &SyncStatus{ExpectationSync: true, PeerSilent: -1,
		Channels: []ChannelStatus{{Kind: "UDP", Device: "eth0", Link: "RUNNING", Active: true, BytesSent: 1 << 60}, {Device: "eth1"}}}
	sync.Caches.Internal = statesync.CacheStats{Active: 3, Created: 4, Destroyed: 1}
	for _, s := range []*Status{{}, {Sync: sync}, {Stats: &statesync.CacheStats{Active: 7}}} {
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
