//go:build linux

package doctor

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/internal/render"
)

// patient is facts to begin with.
type patient struct{ *Facts }

// healthy is a router in good health.
func healthy() patient {
	f := &Facts{
		Tracking: known("a module"), Netlink: known("a module"), Capable: known(true), Admitted: known(true), Hooked: known(true),
		Elapsed: time.Second, Max: known[uint64](262144), Uptime: known(240 * time.Hour), Memory: known[uint64](8 << 30),
		Slab: known(Slab{Size: 256, Objects: 20000}), Listeners: known([]Listener{{PortID: 812, Process: "conntrackd"}}),
		Log: known[[]LogLine](nil), Snapshot: known(""), Census: known(newCensus()), Sysctls: make(map[string]Sysctl),
	}
	f.Census.Value.Zones[0] = 20000
	p := patient{f}
	p.set("nf_conntrack_max", 262144).set("nf_conntrack_buckets", 262144).set("nf_conntrack_acct", 1).set("nf_conntrack_timestamp", 1).
		set("nf_conntrack_events", 2).set("nf_conntrack_tcp_loose", 1).set("nf_conntrack_tcp_be_liberal", 0)
	for _, h := range hoards {
		p.set(h.sysctl, h.usual)
	}
	f.Sysctls["net.core.rmem_max"] = Sysctl{Value: 4 << 20, Writable: true}
	return p.entries(20000, 20000).stats(nil, nil)
}

func (p patient) set(name string, v uint64) patient {
	p.Sysctls[netfilter+name] = Sysctl{Value: v, Writable: true}
	return p
}

func (p patient) entries(before, now uint64) patient {
	p.Before.Entries, p.Now.Entries = known(before), known(now)
	return p
}

// stats are the counters of one processor; those not named are 0.
func (p patient) stats(before, now map[uint16]uint32) patient {
	all := func(some map[uint16]uint32) Fact[[]conntrack.CPUStats] {
		cpu := conntrack.CPUStats{}
		for id := conntrack.StatFound; id <= conntrack.StatChainTooLong; id++ {
			cpu.Counters = append(cpu.Counters, conntrack.Counter{ID: id, Value: some[id]})
		}
		return known([]conntrack.CPUStats{{CPU: 1}, cpu})
	}
	p.Before.Stats, p.Now.Stats = all(before), all(now)
	return p
}

func (p patient) silent(sysctl string, silent, of uint64) patient {
	p.Census.Value.Silent[sysctl], p.Census.Value.Waiting[sysctl] = silent, of
	return p
}

// with changes the facts in a way that has no word of its own.
func (p patient) with(change func(*Facts)) patient {
	change(p.Facts)
	return p
}

type counters = map[uint16]uint32

// cases: facts, and what is to be said of them.
var cases = []struct {
	check string
	facts patient
	level Level
	found string // part of it
	mend  string // of the commands; a ! before one is safe
}{
	{"modules", healthy(), OK, "are there (a module)", ""},
	{"modules", healthy().with(func(f *Facts) { f.Netlink.Value = "built in" }), OK, "nf_conntrack_netlink too (built in)", ""},
	{"modules", healthy().with(func(f *Facts) { f.Tracking.Value = "" }), Bad, "nf_conntrack is not loaded", "modprobe nf_conntrack"},
	{"modules", healthy().with(func(f *Facts) { f.Netlink.Value = "" }), Bad, "nf_conntrack_netlink is not", "modprobe nf_conntrack_netlink"},
	{"modules", healthy().with(func(f *Facts) { f.Netlink = missing[string]("hidden") }), Unknown, "hidden", ""},
	{"modules", patient{&Facts{Tracking: missing[string]("no /proc")}}, Unknown, "no /proc", ""},

	{"privileges", healthy(), OK, "answers", ""},
	{"privileges", healthy().with(func(f *Facts) { f.Admitted = known(false) }), Warn, "does not let", "sudo spoor doctor"},
	{"privileges", patient{&Facts{Capable: known(true)}}, OK, "CAP_NET_ADMIN", ""},
	{"privileges", patient{&Facts{Capable: known(false)}}, Warn, "does not let", "sudo spoor doctor"},
	{"privileges", patient{&Facts{Capable: missing[bool]("no /proc")}}, Unknown, "no /proc", ""},

	{"hooks", healthy(), OK, "are tracked", ""},
	{"hooks", healthy().with(func(f *Facts) { f.Hooked.Value = false }), Warn, "no rule asks", "nft list ruleset"},
	{"hooks", healthy().with(func(f *Facts) { f.Hooked = missing[bool]("an old kernel") }), OK, "there are entries", ""},
	{"hooks", healthy().entries(0, 0).stats(nil, counters{conntrack.StatInvalid: 3}).with(func(f *Facts) { f.Hooked.Known = false }), OK, "have been", ""},
	{"hooks", healthy().entries(0, 0).with(func(f *Facts) { f.Hooked = missing[bool]("an old kernel") }), Unknown, "an old kernel; the table is empty", "nft list ruleset"},

	{"usage", healthy(), OK, "20,000 of 262,144 entries (8%)", ""},
	{"usage", healthy().entries(0, 200_000), Warn, "200,000 of 262,144 entries (76%)", "!sysctl -w net.netfilter.nf_conntrack_buckets=524288 !sysctl -w net.netfilter.nf_conntrack_max=524288"},
	{"usage", healthy().entries(0, 262_144), Bad, "(100%)", "!sysctl -w net.netfilter.nf_conntrack_buckets=524288 !sysctl -w net.netfilter.nf_conntrack_max=524288"},
	{"usage", healthy().entries(0, 262_144).with(func(f *Facts) { f.Memory.Value = 256 << 20 }), Bad, "(100%)", "sysctl -w net.netfilter.nf_conntrack_buckets=524288 sysctl -w net.netfilter.nf_conntrack_max=524288"},
	{"usage", healthy().entries(0, 262_144).set("nf_conntrack_buckets", 1<<20).with(func(f *Facts) { f.Memory.Known = false }), Bad, "(100%)", "sysctl -w net.netfilter.nf_conntrack_max=524288"},
	{"usage", healthy().entries(0, 1).with(func(f *Facts) { f.Max.Value = 0 }), OK, "1 entry, no limit", ""},
	{"usage", healthy().with(func(f *Facts) { f.Max = missing[uint64]("hidden") }), Unknown, "20,000 entries; hidden", ""},
	{"usage", patient{&Facts{}}, Unknown, "was not looked at", ""},

	{"growth", healthy(), OK, "the same number of entries 1s later", ""},
	{"growth", healthy().entries(20_000, 19_000), OK, "-1,000/s entries in 1s: not filling up", ""},
	{"growth", healthy().entries(20_000, 20_015), OK, "+15/s entries in 1s: not filling up", ""},
	{"growth", healthy().entries(20_000, 20_030), OK, "full in 2h 14m at the earliest", ""},
	{"growth", healthy().entries(20_000, 20_100), Warn, "+100/s entries: full in 40m 20s", "spoor count --by src --top 10 unreplied !sysctl -w net.netfilter.nf_conntrack_buckets=524288 !sysctl -w net.netfilter.nf_conntrack_max=524288"},
	{"growth", healthy().entries(20_000, 30_000), Bad, "+10,000/s entries: full in 23s", "spoor count --by src --top 10 unreplied !sysctl -w net.netfilter.nf_conntrack_buckets=524288 !sysctl -w net.netfilter.nf_conntrack_max=524288"},
	{"growth", healthy().entries(0, 300_000), Bad, "full in 0s", "spoor count --by src --top 10 unreplied !sysctl -w net.netfilter.nf_conntrack_buckets=524288 !sysctl -w net.netfilter.nf_conntrack_max=524288"},
	{"growth", healthy().entries(0, 30_000).with(func(f *Facts) { f.Max.Value = 0 }), OK, "no limit", ""},
	{"growth", healthy().with(func(f *Facts) { f.Max = missing[uint64]("hidden") }), Unknown, "hidden", ""},
	{"growth", healthy().with(func(f *Facts) { f.Elapsed = 0 }), Unknown, "only once", ""},
	{"growth", patient{&Facts{}}, Unknown, "was not looked at", ""},

	{"hash", healthy(), OK, "262,144 buckets: 0.2 in a chain, 2.0 when the table is full", ""},
	{"hash", healthy().set("nf_conntrack_buckets", 65536), OK, "8.0 when the table is full", ""},
	{"hash", healthy().set("nf_conntrack_buckets", 16384), Warn, "32.0 in a chain when", "!sysctl -w net.netfilter.nf_conntrack_buckets=262144"},
	{"hash", healthy().set("nf_conntrack_buckets", 8192), Warn, "4.9 in a chain", "!sysctl -w net.netfilter.nf_conntrack_buckets=262144"},
	{"hash", healthy().set("nf_conntrack_buckets", 1024), Bad, "39.1 in a chain", "!sysctl -w net.netfilter.nf_conntrack_buckets=262144"},
	{"hash", healthy().with(func(f *Facts) { f.Sysctls[netfilter+"nf_conntrack_buckets"] = Sysctl{Value: 1024} }), Bad, "39.1", "sysctl -w net.netfilter.nf_conntrack_buckets=262144"},
	{"hash", patient{&Facts{NoSysctls: "hidden"}}, Unknown, "hidden", ""},

	{"drops", healthy(), OK, "0 dropped, 0 evicted in 10d", ""},
	{"drops", healthy().stats(counters{conntrack.StatDrop: 7}, counters{conntrack.StatDrop: 7}), Warn, "7 dropped, 0 evicted, in 10d: none now", ""},
	{"drops", healthy().stats(nil, counters{conntrack.StatEarlyDrop: 7}), Bad, "0 dropped, 7 evicted (7/s now)", ""},
	{"drops", healthy().entries(262144, 262144).stats(counters{conntrack.StatDrop: ^uint32(0)}, counters{conntrack.StatDrop: 999}), Bad, "999 dropped (1,000/s now)", "!sysctl -w net.netfilter.nf_conntrack_buckets=524288 !sysctl -w net.netfilter.nf_conntrack_max=524288"},
	{"drops", patient{&Facts{Now: Sample{Stats: missing[[]conntrack.CPUStats]("hidden")}}}, Unknown, "hidden", ""},

	{"inserts", healthy(), OK, "0 failed, in 10d", ""},
	{"inserts", healthy().stats(counters{conntrack.StatInsertFailed: 900}, counters{conntrack.StatInsertFailed: 900, conntrack.StatClashResolve: 3}), OK, "900 failed, 3 resolved (3/s now), in 10d", ""},
	{"inserts", healthy().stats(nil, counters{conntrack.StatInsertFailed: 9}), Warn, "9 failed (9/s now)", "echo options single-request-reopen >> /etc/resolv.conf"},
	{"inserts", healthy().stats(nil, counters{conntrack.StatInsertFailed: 900}), Bad, "900 failed (900/s now)", "echo options single-request-reopen >> /etc/resolv.conf"},
	{"inserts", healthy().stats(counters{conntrack.StatChainTooLong: 5}, counters{conntrack.StatChainTooLong: 5}), Warn, "5 refused", "!sysctl -w net.netfilter.nf_conntrack_buckets=524288"},
	{"inserts", healthy().stats(nil, counters{conntrack.StatChainTooLong: 5}), Bad, "5 refused (5/s now)", "!sysctl -w net.netfilter.nf_conntrack_buckets=524288"},
	{"inserts", patient{&Facts{}}, Unknown, "does not count", ""},

	{"lookups", healthy(), OK, "0 begun again, in 10d", ""},
	{"lookups", healthy().stats(counters{conntrack.StatSearchRestart: 1e6}, counters{conntrack.StatSearchRestart: 1e6}), OK, "1,000,000 begun again", ""},
	{"lookups", healthy().stats(nil, counters{conntrack.StatSearchRestart: 20_000}), Warn, "20,000 begun again (20,000/s now)", "spoor count --by proto,dport --top 10"},
	{"lookups", healthy().stats(nil, counters{conntrack.StatSearchRestart: 2e6}), Bad, "2,000,000/s now", "spoor count --by proto,dport --top 10"},
	{"lookups", patient{&Facts{}}, Unknown, "does not count", ""},

	{"log", healthy(), OK, "no full table", ""},
	{"log", healthy().with(func(f *Facts) { f.Log = known([]LogLine{{time.Hour, "nf_conntrack: table full, dropping packet"}}) }), Warn, "1 line of a full table in the kernel's log, the last 9d 23h ago", "dmesg --ctime | grep 'table full'"},
	{"log", healthy().with(func(f *Facts) {
		f.Log = known([]LogLine{{time.Hour, "nf_conntrack: table full"}, {239*time.Hour + 30*time.Minute, "nf_conntrack: table full"}})
	}), Bad, "2 lines of a full table in the kernel's log, the last 30m ago", "dmesg --ctime | grep 'table full'"},
	{"log", healthy().with(func(f *Facts) {
		f.Uptime.Known, f.Log = false, known([]LogLine{{0, "nf_conntrack: table full"}})
	}), Warn, "1 line", "dmesg --ctime | grep 'table full'"},
	{"log", healthy().with(func(f *Facts) { f.Log = missing[[]LogLine]("not permitted") }), Unknown, "not permitted", ""},

	{"timeouts", healthy(), OK, "none is unusual, none hoards", ""},
	{"timeouts", healthy().silent("nf_conntrack_tcp_timeout_established", 900, 15000), OK, "none hoards: 900 of tcp established are silent for over 1d", ""},
	{"timeouts", healthy().with(func(f *Facts) { f.Census = missing[Census]("no right") }), OK, "not known: no right", ""},
	{"timeouts", healthy().silent("nf_conntrack_tcp_timeout_established", 90_000, 95_000), Warn, "tcp established 5d: 90,000 of 95,000 silent for over 1d", "sysctl -w net.netfilter.nf_conntrack_tcp_timeout_established=86400"},
	{"timeouts", healthy().entries(0, 250_000).silent("nf_conntrack_tcp_timeout_established", 90_000, 95_000), Bad, "tcp established 5d: 90,000", "sysctl -w net.netfilter.nf_conntrack_tcp_timeout_established=86400"},
	{"timeouts", healthy().set("nf_conntrack_tcp_timeout_close_wait", 3600).set("nf_conntrack_udp_timeout", 600), Warn, "tcp close_wait 1h, usually 1m; udp 10m, usually 30s",
		"sysctl -w net.netfilter.nf_conntrack_tcp_timeout_close_wait=60 sysctl -w net.netfilter.nf_conntrack_udp_timeout=30"},
	{"timeouts", patient{&Facts{NoSysctls: "hidden"}}, Unknown, "hidden", ""},

	{"zones", healthy(), OK, "no zones are in use", ""},
	{"zones", healthy().with(func(f *Facts) { f.Census = known(newCensus()) }), OK, "no zone has entries", ""},
	{"zones", healthy().with(func(f *Facts) { f.Census.Value.Zones = map[uint16]uint64{4: 200_000} }), OK, "all entries are in zone 4", ""},
	{"zones", healthy().with(func(f *Facts) { f.Census.Value.Zones = map[uint16]uint64{0: 2, 4: 9} }), OK, "2 zones; zone 4 is the largest: 9 entries", ""},
	{"zones", healthy().with(func(f *Facts) { f.Census.Value.Zones = map[uint16]uint64{0: 2, 4: 140_000} }), Warn, "zone 4 has 140,000 entries, 53% of what all 2 may have", "spoor count --by zone --top 10"},
	{"zones", healthy().with(func(f *Facts) { f.Census.Value.Zones = map[uint16]uint64{0: 2, 4: 250_000} }), Bad, "95%", "spoor count --by zone --top 10"},
	{"zones", patient{&Facts{Census: missing[Census]("no right")}}, Unknown, "no right", ""},

	{"memory", healthy(), OK, "384 bytes an entry, 98 MiB when full, of 8 GiB (1%)", ""},
	{"memory", healthy().with(func(f *Facts) { f.Slab = missing[Slab]("no right") }), OK, "about 384 bytes", ""},
	{"memory", healthy().with(func(f *Facts) { f.Max.Value = 0 }), OK, "without a limit", ""},
	{"memory", healthy().with(func(f *Facts) { f.Memory.Value = 256 << 20 }), Warn, "(38%)", "sysctl -w net.netfilter.nf_conntrack_max=85000"},
	{"memory", healthy().with(func(f *Facts) { f.Memory.Value = 128 << 20 }), Bad, "(77%)", "sysctl -w net.netfilter.nf_conntrack_max=42000"},
	{"memory", healthy().with(func(f *Facts) { f.Memory = missing[uint64]("hidden") }), Unknown, "hidden", ""},
	{"memory", patient{&Facts{Max: missing[uint64]("hidden, too")}}, Unknown, "hidden, too", ""},

	{"accounting", healthy(), OK, "count packets", ""},
	{"accounting", healthy().set("nf_conntrack_acct", 0), Warn, "do not count", "!sysctl -w net.netfilter.nf_conntrack_acct=1"},
	{"accounting", healthy().with(func(f *Facts) { delete(f.Sysctls, netfilter+"nf_conntrack_acct") }), Unknown, "this kernel has no net.netfilter.nf_conntrack_acct", ""},

	{"timestamps", healthy(), OK, "know when", ""},
	{"timestamps", healthy().set("nf_conntrack_timestamp", 0), Warn, "do not know", "!sysctl -w net.netfilter.nf_conntrack_timestamp=1"},
	{"timestamps", patient{&Facts{NoSysctls: "hidden"}}, Unknown, "hidden", ""},

	{"events", healthy(), OK, "while somebody listens", ""},
	{"events", healthy().set("nf_conntrack_events", 1), OK, "are reported", ""},
	{"events", healthy().set("nf_conntrack_events", 0), Warn, "are not reported", "!sysctl -w net.netfilter.nf_conntrack_events=1"},
	{"events", patient{&Facts{NoSysctls: "hidden"}}, Unknown, "hidden", ""},

	{"listeners", healthy(), OK, "1 listener, none has lost any", ""},
	{"listeners", healthy().with(func(f *Facts) { f.Listeners = known[[]Listener](nil) }), OK, "nobody", ""},
	{"listeners", healthy().with(func(f *Facts) { f.Sysctls["net.core.rmem_max"] = Sysctl{212992, true} }), Warn, "1 listener, none has lost any; buffers may only be 208 KiB", "!sysctl -w net.core.rmem_max=8388608"},
	{"listeners", healthy().with(func(f *Facts) { f.Listeners.Value[0].Lost = 12 }), Bad, "conntrackd (port 812) lost 12 messages", ""},
	{"listeners", healthy().with(func(f *Facts) {
		f.Listeners = known([]Listener{{PortID: 4_000_000_000, Lost: 1}})
		f.Sysctls["net.core.rmem_max"] = Sysctl{212992, true}
	}), Bad, "a socket (port 4000000000) lost 1 message", "!sysctl -w net.core.rmem_max=8388608"},
	{"listeners", patient{&Facts{Listeners: missing[[]Listener]("hidden")}}, Unknown, "hidden", ""},

	{"helpers", healthy(), OK, "by rules only", ""},
	{"helpers", healthy().set("nf_conntrack_helper", 0), OK, "by rules only", ""},
	{"helpers", healthy().set("nf_conntrack_helper", 1), Warn, "by port number", "sysctl -w net.netfilter.nf_conntrack_helper=0"},
	{"helpers", patient{&Facts{NoSysctls: "hidden"}}, Unknown, "hidden", ""},

	{"tcp", healthy(), OK, "windows are checked", ""},
	{"tcp", healthy().set("nf_conntrack_tcp_loose", 0), Warn, "tcp_loose is 0", "sysctl -w net.netfilter.nf_conntrack_tcp_loose=1"},
	{"tcp", healthy().set("nf_conntrack_tcp_be_liberal", 1), Warn, "tcp_be_liberal is 1", "sysctl -w net.netfilter.nf_conntrack_tcp_be_liberal=0"},
	{"tcp", patient{&Facts{NoSysctls: "hidden"}}, Unknown, "hidden", ""},

	{"snapshot", healthy(), OK, "by an eBPF program", ""},
	{"snapshot", healthy().with(func(f *Facts) { f.Snapshot.Value = "no BTF" }), OK, "nor needed for so small a table: no BTF", ""},
	{"snapshot", healthy().entries(0, 30_000).with(func(f *Facts) { f.Snapshot.Value = "no BTF" }), Warn, "not available: no BTF", ""},
	{"snapshot", patient{&Facts{}}, Unknown, "was not looked at", ""},
}

func TestVerdicts(t *testing.T) {
	for _, c := range cases {
		all := Examine(c.facts.Facts, c.check)
		if len(all) != 1 {
			t.Fatalf("%s: %d verdicts", c.check, len(all))
		}
		v := all[0]
		if v.Check != c.check || v.Level != c.level || !strings.Contains(v.Found, c.found) {
			t.Errorf("%s: %s, %q; want %s, %q", c.check, v.Level, v.Found, c.level, c.found)
		}
		var mend []string
		for _, r := range v.Remedies {
			text := r.Command
			if r.Safe {
				text = "!" + text
			}
			mend = append(mend, text)
		}
		if got := strings.Join(mend, " "); got != c.mend {
			t.Errorf("%s: %q: mended by\n%s, want\n%s", c.check, v.Found, got, c.mend)
		}
		if (v.Level == Warn || v.Level == Bad) && v.Means == "" {
			t.Errorf("%s: %q: what does it mean?", c.check, v.Found)
		}
	}
}

// TestCommandsAreOfTheNamespace: what is typed elsewhere must not change the wrong one.
func TestCommandsAreOfTheNamespace(t *testing.T) {
	f := healthy().set("nf_conntrack_acct", 0).entries(20_000, 30_000).with(func(f *Facts) {
		f.NetNS = "/run/netns/blue"
		f.Hooked.Value, f.Netlink.Value = false, ""
		f.Sysctls[netfilter+"nf_conntrack_max"] = Sysctl{Value: 262144}
	}).Facts
	var got []string
	for _, v := range Examine(f, "modules", "hooks", "growth", "accounting") {
		for _, r := range v.Remedies {
			got = append(got, r.Command)
		}
	}
	want := []string{
		"modprobe nf_conntrack_netlink",
		"nsenter --net=/run/netns/blue nft list ruleset",
		"spoor count --by src --top 10 unreplied --netns /run/netns/blue",
		"nsenter --net=/run/netns/blue sysctl -w net.netfilter.nf_conntrack_buckets=524288",
		"sysctl -w net.netfilter.nf_conntrack_max=524288",
		"nsenter --net=/run/netns/blue sysctl -w net.netfilter.nf_conntrack_acct=1",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

// TestTheGuideKnowsEachCheck: its table has a row for each, in order.
func TestTheGuideKnowsEachCheck(t *testing.T) {
	text, err := os.ReadFile("../../docs/spoor-doctor.md")
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	for line := range strings.Lines(string(text)) {
		if name, found := strings.CutPrefix(line, "| `"); found {
			name, _, _ = strings.Cut(name, "`")
			rows = append(rows, name)
		}
	}
	if !slices.Equal(rows, Names()) {
		t.Errorf("%q, want %q", rows, Names())
	}
}

// TestEachCheckIsTriedSickHealthyAndUnknown: a check without these cases is not finished.
func TestEachCheckIsTriedSickHealthyAndUnknown(t *testing.T) {
	tried := make(map[string]bool)
	for _, c := range cases {
		kind := "sick"
		if c.level == OK || c.level == Unknown {
			kind = c.level.String()
		}
		tried[c.check+" "+kind] = true
	}
	for _, name := range Names() {
		for _, kind := range []string{"sick", "ok", "unknown"} {
			if !tried[name+" "+kind] {
				t.Errorf("no case: %s %s", name, kind)
			}
		}
	}
}

// TestKnowingNothingIsNoFault: in a place that shows nothing no check says that something is wrong, or well.
func TestKnowingNothingIsNoFault(t *testing.T) {
	for _, v := range Examine(&Facts{}) {
		if v.Level != Unknown || v.Found == "" {
			t.Errorf("%s: %s, %q", v.Check, v.Level, v.Found)
		}
	}
}

func TestWorst(t *testing.T) {
	of := func(levels ...Level) Level {
		var all []Verdict
		for _, l := range levels {
			all = append(all, Verdict{Level: l})
		}
		return Worst(all)
	}
	for want, got := range map[Level]Level{OK: of(OK, OK), Unknown: of(OK, Unknown, OK), Warn: of(Warn, Unknown), Bad: of(OK, Bad, Warn)} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if Worst(nil) != OK {
		t.Error("nothing is not ok")
	}
}

func TestNumbersAreForPeople(t *testing.T) {
	for got, want := range map[string]string{
		seconds(0): "0s", seconds(59): "59s", seconds(60): "1m", seconds(432000): "5d", seconds(93784): "1d 2h", seconds(3601): "1h",
		size(1): "1 byte", size(384): "384 bytes", size(1 << 20): "1 MiB", size(98<<20 + 300<<10): "98.3 MiB",
		rate(0.25): "0.2/s", rate(3): "3/s", rate(1234.6): "1,235/s", rate(-1234.6): "-1,235/s",
		fmt.Sprint(percent(1, 0)): "0", render.Grouped(1234567): "1,234,567",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
