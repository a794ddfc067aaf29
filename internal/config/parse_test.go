package config

import (
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite testdata; read the diff before committing it")

// known stands for /etc/protocols and the system's devices.
var known = Lookup{
	Protocol:  Protocols([]byte("icmp 1 ICMP # comment\ntcp 6 TCP\nudp 17 UDP\nipv6-icmp 58 IPv6-ICMP\nsctp 132 SCTP\n")),
	Interface: func(name string) bool { return !strings.HasPrefix(name, "nope") },
}

func parse(text string) *File { return Parse("a.conf", []byte(text), known) }

// valid parses a text without errors.
func valid(t *testing.T, text string) *Config {
	t.Helper()
	f := parse(text)
	if err := f.Err(); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return &f.Config
}

// said are the texts of 1.4.9.
func said(f *File) []string {
	var all []string
	for _, p := range f.Original() {
		all = append(all, p.Text)
	}
	return all
}

func general() General {
	return General{HashSize: 65536, HashLimit: 262144, LockFile: "/var/lock/conntrackd.lock", EventIterationLimit: 100,
		NetlinkOverrunResync: 30 * time.Second, Systemd: true}
}

func TestDefaults(t *testing.T) {
	if got := *valid(t, ""); !reflect.DeepEqual(got, Config{General: general()}) {
		t.Errorf("of an empty file: %+v", got)
	}
	want := Config{General: general(), Sync: &Sync{
		Mode: FTFW, RefreshTime: 60 * time.Second, CacheTimeout: 180 * time.Second, PurgeTimeout: 60 * time.Second,
		ResendQueueSize: 131072, ACKWindowSize: 300, ErrorQueueLength: 128,
		Channels: []Channel{{Kind: UDP, Default: true, Checksum: true}},
	}, Helpers: []Helper{{Name: "ftp", Proto: 6, ExpectMax: 1, ExpectTimeout: 300 * time.Second}}}
	if got := *valid(t, "Sync { UDP { } } Helper { Type ftp inet tcp { } }"); !reflect.DeepEqual(got, want) {
		t.Errorf("of sections: %+v", got)
	}
	if got := *valid(t, "Stats { }"); !reflect.DeepEqual(got, Config{General: general(), Stats: &Stats{}}) {
		t.Errorf("of Stats: %+v", got)
	}
}

// wrap is what must be around a line for it to stand in a block.
var wrap = map[string]string{
	"file": "@", "General": "General { @ }", "UNIX": "General { UNIX { @ } }", "Scheduler": "General { Scheduler { @ } }",
	"Filter": "General { Filter { @ } }", "Address": "General { Filter { Address Accept { @ } } }", "Metrics": "General { Metrics { @ } }",
	"Sync": "Sync { @ }", "Mode ALARM": "Sync { Mode ALARM { @ } }", "Mode FTFW": "Sync { Mode FTFW { @ } }",
	"Mode NOTRACK": "Sync { Mode NOTRACK { @ } }", "UDP": "Sync { UDP { @ } }", "TCP": "Sync { TCP { @ } }",
	"Multicast": "Sync { Multicast { @ } }", "Options": "Sync { Options { @ } }", "Stats": "Stats { @ }",
	"Helper": "Helper { @ }", "Type": "Helper { Type ftp inet tcp { @ } }", "Policy": "Helper { Type ftp inet tcp { Policy ftp { @ } } }",
}

func in(block, line string) string { return strings.ReplaceAll(wrap[block], "@", line) }

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// setting is a keyword, values that are valid and what becomes of them, and values that are syntax errors.
type setting struct {
	blocks  string
	word    string
	get     func(*Config) any
	def     any // without the line
	valid   map[string]any
	invalid []string
}

var (
	anyBoolean = map[string]any{"on": true, "off": false, "YES": true, "nO": false}
	noBoolean  = []string{"true", "1", "", "/on"}
	noNumber   = []string{"on", "-1", "x", "", "0x1", "1.2.3"}
	noAddress  = []string{"x", "1", "1.2.3", "/1", ""}
)

func numbers(def uint32) map[string]any {
	return map[string]any{"0": def, "1": uint32(1), "00012": uint32(12), "4294967295": uint32(4294967295), "4294967297": uint32(1)}
}

func durations(def time.Duration) map[string]any {
	return map[string]any{"0": def, "1": time.Second, "4294967295": 4294967295 * time.Second}
}

func channel0(c *Config) *Channel { return &c.Sync.Channels[0] }

var settings = []setting{
	{"General", "HashSize", func(c *Config) any { return c.General.HashSize }, uint32(65536), numbers(65536), noNumber},
	{"General", "HashLimit", func(c *Config) any { return c.General.HashLimit }, uint32(262144), numbers(262144), noNumber},
	{"General", "LogFile", func(c *Config) any { return c.General.LogFile }, "",
		map[string]any{"on": "/var/log/conntrackd.log", "off": "", "/a": "/a", "/a LogFile off": "/a"}, []string{"a", "5", "\"/a\""}},
	{"General", "Syslog", func(c *Config) any { return c.General.Syslog }, "",
		map[string]any{"on": "daemon", "off": "", "daemon": "daemon", "local7": "local7", "user": "", "on Syslog off": ""}, []string{"1", "/a", "TCP"}},
	{"General", "LockFile", func(c *Config) any { return c.General.LockFile }, "/var/lock/conntrackd.lock", map[string]any{"/a": "/a"}, []string{"on", "a"}},
	{"UNIX", "Path", func(c *Config) any { return c.General.UNIXPath }, "", map[string]any{"/a": "/a"}, []string{"on", "a", "5"}},
	{"UNIX", "Backlog", func(c *Config) any { return c.General.UNIXPath }, "", map[string]any{"20": ""}, noNumber},
	{"General", "NetlinkBufferSize", func(c *Config) any { return c.General.NetlinkBufferSize }, uint32(0), numbers(0), noNumber},
	{"General", "SocketBufferSize", func(c *Config) any { return c.General.NetlinkBufferSize }, uint32(0), numbers(0), noNumber},
	{"General", "NetlinkBufferSizeMaxGrowth", func(c *Config) any { return c.General.NetlinkBufferSizeMaxGrowth }, uint32(0), numbers(0), noNumber},
	{"General", "SocketBufferSizeMaxGrowth", func(c *Config) any { return c.General.NetlinkBufferSizeMaxGrowth }, uint32(0), numbers(0), noNumber},
	{"General", "SocketBufferSizeMaxGrown", func(c *Config) any { return c.General.NetlinkBufferSizeMaxGrowth }, uint32(0), numbers(0), noNumber},
	{"General", "EventIterationLimit", func(c *Config) any { return c.General.EventIterationLimit }, uint32(100), numbers(100), noNumber},
	{"General", "PollSecs", func(c *Config) any { return c.General.PollEvery }, time.Duration(0), map[string]any{"5": 5 * time.Second}, []string{"on", "-1", "x", ""}},
	{"General", "NetlinkOverrunResync", func(c *Config) any { return c.General.NetlinkOverrunResync }, 30 * time.Second,
		map[string]any{"on": 30 * time.Second, "off": time.Duration(0), "0": 30 * time.Second, "5": 5 * time.Second}, []string{"x", "-1"}},
	{"General", "NetlinkEventsReliable", func(c *Config) any { return c.General.NetlinkEventsReliable }, false, anyBoolean, noBoolean},
	{"General", "Nice", func(c *Config) any { return nil }, nil, map[string]any{"-20": nil, "+5": nil}, []string{"5", "x", "on", "- 5"}},
	{"General", "Systemd", func(c *Config) any { return c.General.Systemd }, true, anyBoolean, noBoolean},
	{"Scheduler", "Type", func(c *Config) any { return c.General.Scheduler }, (*Scheduler)(nil),
		map[string]any{"rr": &Scheduler{}, "fifo": &Scheduler{FIFO: true}, "Fifo": &Scheduler{FIFO: true}}, []string{"5", "on", ""}},
	{"Scheduler", "Priority", func(c *Config) any { return c.General.Scheduler }, (*Scheduler)(nil), map[string]any{
		"0 Type rr": &Scheduler{}, "99 Type rr": &Scheduler{false, 99}, "5 Type fifo": &Scheduler{true, 5}, "5": (*Scheduler)(nil),
	}, noNumber},
	{"General", "Scheduler", func(c *Config) any { return c.General.Scheduler }, (*Scheduler)(nil), map[string]any{
		"{ }": (*Scheduler)(nil), "{ Type fifo }": &Scheduler{true, 0}, "{ Type rr Priority 1 }": &Scheduler{false, 1},
	}, []string{"rr", "{ rr }"}},
	{"General", "UNIX", func(c *Config) any { return c.General.UNIXPath }, "", map[string]any{"{ }": "", "{ Path /a }": "/a"}, []string{"on", "/a"}},
	{"General", "Filter", func(c *Config) any { return c.General.Filter }, (*Filter)(nil), map[string]any{
		"{ }": &Filter{}, "From Userspace { }": &Filter{}, "From Kernelspace { }": &Filter{Kernelspace: true},
		"From Kernelspace { } Filter { }": &Filter{},
	}, []string{"From { }", "Kernelspace { }", "on"}},
	{"Filter", "Protocol", func(c *Config) any { return c.General.Filter.Protocols }, ProtocolSet{}, map[string]any{
		"Accept { }":                              ProtocolSet{Policy: Accept},
		"Ignore { TCP UDP TCP tcp icmp foo }":     ProtocolSet{Ignore, []Protocol{{"TCP", 6}, {"UDP", 17}, {"icmp", 1}}},
		"Accept { sctp } Protocol Ignore { TCP }": ProtocolSet{Ignore, []Protocol{{"sctp", 132}, {"TCP", 6}}},
	}, []string{"{ TCP }", "Accept { 6 }", "Accept TCP", "accept { }"}},
	{"Filter", "Address", func(c *Config) any { return c.General.Filter.Addresses }, AddressSet{}, map[string]any{
		"Accept { }": AddressSet{Policy: Accept}, "Ignore { } Address Accept { }": AddressSet{Policy: Accept},
	}, []string{"{ }", "Accept { 1.2.3.4 }", "Accept IPv4_address 1.2.3.4"}},
	{"Address", "IPv4_address", func(c *Config) any { return c.General.Filter.Addresses.List }, []netip.Prefix(nil), map[string]any{
		"10.1.2.3": []netip.Prefix{netip.MustParsePrefix("10.1.2.3/32")}, "10.1.2.3/24": []netip.Prefix{netip.MustParsePrefix("10.1.2.3/24")},
		"010.1.2.3/08": []netip.Prefix{netip.MustParsePrefix("8.1.2.3/8")}, "1.2.3.4/33": []netip.Prefix(nil), "1.2.3.256": []netip.Prefix(nil),
		"::1": []netip.Prefix(nil), "10.1.2.3 IPv4_address 10.1.2.3/32": []netip.Prefix{netip.MustParsePrefix("10.1.2.3/32")},
	}, noAddress},
	{"Address", "IPv6_address", func(c *Config) any { return c.General.Filter.Addresses.List }, []netip.Prefix(nil), map[string]any{
		"::1": []netip.Prefix{netip.MustParsePrefix("::1/128")}, "2001:db8::/32": []netip.Prefix{netip.MustParsePrefix("2001:db8::/32")},
		"::/0": []netip.Prefix{netip.MustParsePrefix("::/0")}, "::1/129": []netip.Prefix(nil), "::1/4294967295": []netip.Prefix(nil), "e0": []netip.Prefix(nil),
	}, noAddress},
	{"Filter", "State", func(c *Config) any { return c.General.Filter.States }, StateSet{}, map[string]any{
		"Accept { }": StateSet{Policy: Accept}, "Accept { for TCP }": StateSet{Policy: Accept},
		"Ignore { TIME_WAIT SYN_SENT for TCP CLOSED CLOSE for TCP }": StateSet{Ignore, []TCPState{SynSent, TimeWait, Close}},
		"Accept { SYN_SENT SYN_RECV ESTABLISHED FIN_WAIT CLOSE_WAIT LAST_ACK TIME_WAIT CLOSE LISTEN for TCP }": StateSet{Accept,
			[]TCPState{SynSent, SynRecv, Established, FinWait, CloseWait, LastAck, TimeWait, Close, Listen}},
	}, []string{"{ }", "Accept { ESTABLISHED }", "Accept { NONE for TCP }", "Accept { ESTABLISHED for UDP }", "Accept { ESTABLISHED for tcp }"}},
	{"General", "Metrics", func(c *Config) any { return c.General.Metrics }, (*Metrics)(nil), map[string]any{
		"{ }": &Metrics{addr("127.0.0.1"), 9275}, "{ Address ::1 Port 80 }": &Metrics{addr("::1"), 80},
	}, []string{"on", "127.0.0.1", "{ Address x }"}},
	{"Metrics", "Address", func(c *Config) any { return c.General.Metrics.Address }, addr("127.0.0.1"), map[string]any{"0.0.0.0": addr("0.0.0.0"), "::": addr("::")},
		append([]string{"1.2.3.4/5", "1.2.3.256", "ab"}, noAddress...)},
	{"Metrics", "Port", func(c *Config) any { return c.General.Metrics.Port }, uint16(9275), map[string]any{"0": uint16(9275), "80": uint16(80)}, noNumber},

	{"Sync", "Mode", func(c *Config) any { return c.Sync.Mode }, FTFW, map[string]any{
		"ALARM { }": ALARM, "alarm { }": ALARM, "persistenT { }": ALARM, "FTFW { }": FTFW, "FtFw { }": FTFW, "NACK { }": FTFW, "NOTRACK { }": NOTRACK,
		"NOTRACK { } Mode ALARM { }": ALARM, "FTFW { } Mode ALARM { } Mode NOTRACK { }": FTFW,
	}, []string{"{ }", "persistent { }", "FTFWX { }", "on { }", "FTFW"}},
	{"Sync,Mode ALARM", "RefreshTime", func(c *Config) any { return c.Sync.RefreshTime }, 60 * time.Second, durations(60 * time.Second), noNumber},
	{"Sync,Mode ALARM", "CacheTimeout", func(c *Config) any { return c.Sync.CacheTimeout }, 180 * time.Second, durations(180 * time.Second), noNumber},
	{"Sync,Mode ALARM,Mode FTFW,Mode NOTRACK", "CommitTimeout", func(c *Config) any { return c.Sync.CommitTimeout }, time.Duration(0), durations(0), noNumber},
	{"Sync,Mode ALARM,Mode FTFW,Mode NOTRACK", "PurgeTimeout", func(c *Config) any { return c.Sync.PurgeTimeout }, 60 * time.Second, durations(60 * time.Second), noNumber},
	{"Mode FTFW", "ResendQueueSize", func(c *Config) any { return c.Sync.ResendQueueSize }, uint32(131072), numbers(131072), noNumber},
	{"Mode FTFW", "ACKWindowSize", func(c *Config) any { return c.Sync.ACKWindowSize }, uint32(300), numbers(300), noNumber},
	{"Mode NOTRACK", "DisableInternalCache", func(c *Config) any { return c.Sync.DisableInternalCache }, false, anyBoolean, noBoolean},
	{"Mode FTFW,Mode NOTRACK", "DisableExternalCache", func(c *Config) any { return c.Sync.DisableExternalCache }, false, anyBoolean, noBoolean},
	{"Mode FTFW,Mode NOTRACK", "StartupResync", func(c *Config) any { return c.Sync.StartupResync }, false, anyBoolean, noBoolean},
	{"Sync", "UDP", func(c *Config) any { return len(c.Sync.Channels) }, 0, map[string]any{"{ }": 1, "Default { }": 1, "{ } UDP { }": 2}, []string{"", "on", "default { }"}},
	{"Sync", "TCP", func(c *Config) any { return len(c.Sync.Channels) }, 0, map[string]any{"{ }": 1, "Default { }": 1, "{ } TCP { }": 2}, []string{"", "on"}},
	{"Sync", "Multicast", func(c *Config) any { return len(c.Sync.Channels) }, 0, map[string]any{"{ }": 1, "Default { }": 1}, []string{"", "on"}},
	{"UDP,TCP", "IPv4_address", func(c *Config) any { return channel0(c).Local }, netip.Addr{}, map[string]any{"1.2.3.4": addr("1.2.3.4"), "1.2.3.4/5": netip.Addr{}, "::1": netip.Addr{}}, noAddress},
	{"UDP,TCP", "IPv6_address", func(c *Config) any { return channel0(c).Local }, netip.Addr{}, map[string]any{"fe80::1": addr("fe80::1"), "1.2.3.4": netip.Addr{}, "::1/64": netip.Addr{}}, noAddress},
	{"UDP,TCP", "IPv4_Destination_Address", func(c *Config) any { return channel0(c).Peer }, netip.Addr{}, map[string]any{"1.2.3.4": addr("1.2.3.4")}, noAddress},
	{"UDP,TCP", "IPv6_Destination_Address", func(c *Config) any { return channel0(c).Peer }, netip.Addr{}, map[string]any{"fe80::1": addr("fe80::1")}, noAddress},
	{"Multicast", "IPv4_address", func(c *Config) any { return channel0(c).Group }, netip.Addr{}, map[string]any{"225.0.0.50": addr("225.0.0.50")}, noAddress},
	{"Multicast", "IPv6_address", func(c *Config) any { return channel0(c).Group }, netip.Addr{}, map[string]any{"ff02::1": addr("ff02::1")}, noAddress},
	{"Multicast", "IPv4_interface", func(c *Config) any { return channel0(c).Local }, netip.Addr{}, map[string]any{"1.2.3.4": addr("1.2.3.4")}, noAddress},
	{"Multicast", "IPv6_interface", func(c *Config) any { return channel0(c).Local }, netip.Addr{}, map[string]any{"::1": netip.Addr{}}, noAddress},
	{"Multicast", "Group", func(c *Config) any { return channel0(c).Port }, uint16(0), map[string]any{"3780": uint16(3780), "65537": uint16(1)}, noNumber},
	{"UDP,TCP", "Port", func(c *Config) any { return channel0(c).Port }, uint16(0), map[string]any{"3780": uint16(3780), "65537": uint16(1)}, noNumber},
	{"UDP,TCP,Multicast", "Interface", func(c *Config) any { return channel0(c).Interface }, "",
		map[string]any{"eth0": "eth0", "eth0.100": "eth0.100", "e0": "e0", "bad": "bad", "nope": "nope"}, []string{"0eth", "no", "TCP", "eth0:1", "1", "\"eth0\""}},
	{"UDP,TCP,Multicast", "SndSocketBuffer", func(c *Config) any { return channel0(c).SndSocketBuffer }, uint32(0), numbers(0), noNumber},
	{"UDP,TCP,Multicast", "RcvSocketBuffer", func(c *Config) any { return channel0(c).RcvSocketBuffer }, uint32(0), numbers(0), noNumber},
	{"UDP,TCP,Multicast", "Checksum", func(c *Config) any { return channel0(c).Checksum }, true, anyBoolean, noBoolean},
	{"TCP", "ErrorQueueLength", func(c *Config) any { return c.Sync.ErrorQueueLength }, uint32(128), numbers(128), noNumber},
	{"Sync", "Options", func(c *Config) any { return c.Sync.TCPWindowTracking }, false, map[string]any{"{ }": false}, []string{"on"}},
	{"Options", "TCPWindowTracking", func(c *Config) any { return c.Sync.TCPWindowTracking }, false, anyBoolean, noBoolean},
	{"Options", "ExpectationSync", func(c *Config) any {
		return append([]string{yes(c.Sync.ExpectationSync)}, c.Sync.ExpectationHelpers...)
	}, []string{"no"},
		map[string]any{"on": []string{"yes"}, "off": []string{"no"}, "{ }": []string{"yes"}, "{ ftp sip }": []string{"yes", "ftp", "sip"},
			"{ ftp } ExpectationSync { sip }": []string{"yes", "ftp", "sip"}, "on ExpectationSync off": []string{"no"}}, []string{"ftp", "{ 5 }", "{ TCP }", "1"}},

	{"Stats", "LogFile", func(c *Config) any { return c.Stats.LogFile }, "", map[string]any{"on": "/var/log/conntrackd-stats.log", "off": "", "/a": "/a"}, []string{"a", "5"}},
	{"Stats", "Syslog", func(c *Config) any { return c.Stats.Syslog }, "", map[string]any{"on": "daemon", "off": "", "local0": "local0", "x": ""}, []string{"5", "/a"}},

	{"Helper", "Setup", func(c *Config) any { return c.HelperSetup }, false, anyBoolean, noBoolean},
	{"Helper,Type", "Type", func(c *Config) any { return c.Helpers[0].Name }, nil,
		map[string]any{"rpc inet udp { }": "rpc"}, []string{"ftp inet { }", "ftp { }", "ftp inet TCP { }", "ftp inet tcp", "{ }"}},
	{"Type", "QueueNum", func(c *Config) any { return c.Helpers[0].QueueNum }, uint16(0), map[string]any{"5": uint16(5)}, noNumber},
	{"Type", "QueueLen", func(c *Config) any { return c.Helpers[0].QueueLen }, uint32(0), numbers(0), noNumber},
	{"Type", "Policy", func(c *Config) any { return c.Helpers[0].ExpectTimeout }, 300 * time.Second, map[string]any{"ftp { ExpectMax 1 }": time.Duration(0)}, []string{"{ }", "5 { }", "ftp"}},
	{"Helper", "QueueNum", func(c *Config) any { return nil }, nil, map[string]any{"5": nil}, noNumber},
	{"Helper", "QueueLen", func(c *Config) any { return nil }, nil, map[string]any{"5": nil}, noNumber},
	{"Helper", "Policy", func(c *Config) any { return nil }, nil, map[string]any{"x { ExpectMax 1 }": nil}, []string{"{ }", "5 { }"}},
	{"Policy", "ExpectMax", func(c *Config) any { return c.Helpers[0].ExpectMax }, nil, numbers(0), noNumber},
	{"Policy", "ExpectTimeout", func(c *Config) any { return c.Helpers[0].ExpectTimeout }, nil, durations(0), noNumber},

	{"file", "General", func(c *Config) any { return c.General.HashSize }, uint32(65536), map[string]any{"{ HashSize 5 } General { }": uint32(5)}, []string{"", "on", "{", "{ } }"}},
	{"file", "Sync", func(c *Config) any { return c.Sync != nil }, false, map[string]any{"{ } Sync { }": true}, []string{"", "{"}},
	{"file", "Stats", func(c *Config) any { return c.Stats != nil }, false, map[string]any{"{ } Stats { }": true}, []string{"", "{"}},
	{"file", "Helper", func(c *Config) any { return c.HelperSetup }, false, map[string]any{"{ } Helper { Setup on }": true}, []string{"", "{"}},
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func TestEverySetting(t *testing.T) {
	for _, s := range settings {
		for block := range strings.SplitSeq(s.blocks, ",") {
			if s.def != nil {
				if got := s.get(valid(t, in(block, ""))); !reflect.DeepEqual(got, s.def) {
					t.Errorf("%s in %s: %v without, want %v", s.word, block, got, s.def)
				}
			}
			for value, want := range s.valid {
				text := in(block, s.word+" "+value)
				if got := s.get(valid(t, text)); !reflect.DeepEqual(got, want) {
					t.Errorf("%s: %v, want %v", text, got, want)
				}
			}
			for _, value := range s.invalid {
				text := in(block, s.word+" "+value)
				f := parse(text)
				if all := said(f); f.Err() == nil || len(all) == 0 || !strings.HasSuffix(all[len(all)-1], ": syntax error") {
					t.Errorf("%s: accepted, or for another reason not: %q", text, all)
				}
			}
		}
	}
}

// A keyword is valid in the blocks that settings knows, and in no other.
func TestNoKeywordIsForgotten(t *testing.T) {
	words := newVocabulary(&fileBlock)
	tested := make(map[string][]string)
	for _, s := range settings {
		for block := range strings.SplitSeq(s.blocks, ",") {
			if block == "file" {
				block = ""
			}
			tested[s.word] = append(tested[s.word], block)
		}
	}
	for word, places := range words.places {
		want, got := slices.Clone(tested[word]), slices.Clone(places)
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s is valid in %q, and tested in %q", word, got, want)
		}
		for block, around := range wrap {
			if block == "file" || slices.Contains(places, block) {
				continue
			}
			f := parse(strings.ReplaceAll(around, "@", word))
			if f.Err() == nil {
				t.Errorf("%s is accepted in %s", word, block)
			}
			if p := f.Original()[0]; !slices.Contains(places, "") && !strings.Contains(p.Advice, "it belongs in") {
				t.Errorf("%s in %s: %s", word, block, p)
			}
		}
	}
}

const syntax1 = "parsing config file in line (1), symbol '%': syntax error"

func syntaxError(symbol string) string { return strings.ReplaceAll(syntax1, "%", symbol) }

// dialogues are files and what 1.4.9 says. Each was compared with it.
var dialogues = []struct {
	text string
	says []string
}{
	// what it says about a whole file
	{"Sync {} Stats {} Foo", []string{"cannot use both `Stats' and `Sync' clauses in conntrackd.conf"}},
	{"Stats {} Sync { Foo", []string{syntaxError("Foo")}},
	{"Sync { UDP { } TCP { } }", []string{"cannot use `TCP' with other dedicated link protocols!"}},
	{"Sync { TCP { } UDP { } }", []string{"cannot use `UDP' with other dedicated link protocols!"}},
	{"Sync { UDP { } Multicast { } }", []string{"cannot use `Multicast' with other dedicated link protocols!"}},
	{"Sync { UDP {} TCP { Foo } }", []string{syntaxError("Foo")}},
	{"Sync { UDP {} UDP {} UDP {} UDP {} UDP { Port 3 Foo } }", []string{"too many dedicated links in the configuration file (Maximum: 4)"}},
	{"Sync { UDP {} UDP {} UDP {} UDP {} UDP { Foo } }", []string{syntaxError("Foo")}},
	{"Sync { CommitTimeout 3 Mode NOTRACK { DisableExternalCache on } }",
		[]string{"`CommitTimeout' can't be combined with `DisableExternalCache', ignoring this option. Fix your configuration file."}},
	{"Sync { Mode FTFW { CommitTimeout 3 DisableExternalCache on } Foo }", []string{syntaxError("Foo")}},

	// values
	{"General { LogFile /" + strings.Repeat("a", 256) + " }", []string{"LogFile path is longer than 256 characters"}},
	{"General { LogFile /" + strings.Repeat("a", 255) + " }", nil},
	{"General { LockFile /" + strings.Repeat("a", 256) + " }", []string{"LockFile path is longer than 256 characters"}},
	{"General { UNIX { Path /" + strings.Repeat("a", 107) + " } }", []string{"Path is longer than 107 characters"}},
	{"General { UNIX { Path /" + strings.Repeat("a", 106) + " } }", nil},
	{"Stats { LogFile /" + strings.Repeat("a", 256) + " }", []string{"stats LogFile path is longer than 256 characters"}},
	{"General { Scheduler { Type idle } }", []string{"unknown scheduler `idle'"}},
	{"General { Scheduler { Type rr Priority 100 } }", []string{"`Priority' must be [0, 99]\n"}},
	{"General { Scheduler { Priority 4294967295 } }", []string{"`Priority' must be [0, 99]\n"}},
	{"General { PollSecs 0 }", []string{"`PollSecs' clause must be > 0"}},
	{"General { PollSecs 4294967296 }", []string{"`PollSecs' clause must be > 0"}},
	{"General { PollSecs 4294967295 }", nil},
	{"General { UNIX { Backlog 5 } }", []string{"deprecated unix backlog configuration, ignoring."}},
	{"General { Nice -5 }", []string{"deprecated nice configuration, ignoring. The nice value can be set externally with nice(1) and renice(1)."}},
	{"General { Syslog local8 }", []string{"'local8' is not a known syslog facility, ignoring"}},
	{"Stats { Syslog Daemon }", []string{"'Daemon' is not a known syslog facility, ignoring."}},
	{"General { Syslog local1 } Stats { Syslog local2 }", []string{"conflicting Syslog facility values, defaulting to General"}},
	{"Stats { Syslog on } General { Syslog local1 }", []string{"conflicting Syslog facility values, defaulting to General"}},
	{"Stats { Syslog local1 } General { Syslog on }", nil},
	{"General { Syslog local1 Syslog off } Stats { Syslog local2 }", nil},

	// filters
	{"General { Filter { Protocol Accept { foo } } }", []string{"getprotobyname() cannot find protocol `foo' in /etc/protocols"}},
	{"General { Filter { Protocol Accept { 6 } } }", []string{syntaxError("6")}},
	{"General { Filter { Address Accept { IPv4_address 1.2.3.4/33 } } }", []string{"1.2.3.4/33 is not a valid network, ignoring"}},
	{"General { Filter { Address Accept { IPv4_address 1.2.3.4/033 } } }", []string{"1.2.3.4/33 is not a valid network, ignoring"}},
	{"General { Filter { Address Accept { IPv4_address 1.2.3.256/33 } } }", []string{"1.2.3.256/33 is not a valid network, ignoring"}},
	{"General { Filter { Address Accept { IPv4_address 1.2.3.4/4294967295 } } }", []string{"1.2.3.4/-1 is not a valid network, ignoring"}},
	{"General { Filter { Address Accept { IPv4_address 1.2.3.4/99999999999999999999 } } }", []string{"1.2.3.4/-1 is not a valid network, ignoring"}},
	{"General { Filter { Address Accept { IPv4_address 1.2.3.4/4294967300 } } }", nil},
	{"General { Filter { Address Accept { IPv4_address 1.2.3.256/3 } } }", []string{"1.2.3.256 is not a valid IPv4, ignoring"}},
	{"General { Filter { Address Accept { IPv4_address e0 } } }", []string{"e0 is not a valid IPv4, ignoring"}},
	{"General { Filter { Address Accept { IPv6_address ::1/129 } } }", []string{"::1/129 is not a valid network, ignoring"}},
	{"General { Filter { Address Accept { IPv6_address ::1/4294967295 } } }", nil},
	{"General { Filter { Address Accept { IPv6_address 1.2.3.4/3 } } }", []string{"1.2.3.4 is not a valid IPv6, ignoring"}},
	{"General { Filter { Address Accept { IPv4_address 1.2.3.0/24 IPv4_address 01.2.3.0/24 } } }", []string{"netmask 01.2.3.0 is repeated in the ignore pool"}},
	{"General { Filter { Address Accept { IPv4_address 1.2.3.0/24 IPv4_address 1.2.3.9/24 IPv4_address 1.2.3.0/25 } } }", nil},
	{"General { Filter { Address Accept { IPv4_address 1.2.3.4 IPv4_address 1.2.3.4 IPv6_address ::/64 IPv6_address ::/64 } } }", nil},
	{"General { Filter { State Accept { ESTABLISHED } } }", []string{syntaxError("}")}},

	// channels
	{"Sync { UDP { IPv4_address 1.2.3.256 } }", []string{"1.2.3.256 is not a valid IPv4 address"}},
	{"Sync { UDP { IPv4_address 08.2.3.4 } }", []string{"08.2.3.4 is not a valid IPv4 address"}},
	{"Sync { UDP { IPv6_address ::1/64 } }", []string{"::1/64 is not a valid IPv6 address"}},
	{"Sync { UDP { Interface nope0 } }", []string{"nope0 is an invalid interface"}},
	{"Sync { Multicast { Interface lo IPv6_address ff05::1 } }", []string{"ff05::1 is an invalid interface"}},
	{"Sync { Multicast { IPv6_address ff05::1 Interface nope0 IPv6_address ff05::2 } }", []string{"nope0 is an invalid interface", "ff05::2 is an invalid interface"}},
	{"Sync { Multicast { IPv6_address ff05::1 Interface lo IPv6_address ff05::2 } }", nil},
	{"Sync { UDP { Interface lo IPv6_address ::1 } }", nil},
	{"Sync { Multicast { IPv4_address 225.0.0.1 IPv6_address ff05::1 } }",
		[]string{"your multicast address is IPv6 but is binded to an IPv4 interface? Surely this is not what you want"}},
	{"Sync { Multicast { IPv6_address ff05::1 IPv4_address 225.0.0.1 } }",
		[]string{"your multicast address is IPv4 but is binded to an IPv6 interface? Surely, this is not what you want"}},
	{"Sync { Multicast { IPv6_address ff05::1 IPv4_interface 10.0.0.1 } }",
		[]string{"your multicast interface is IPv4 but is binded to an IPv6 interface? Surely, this is not what you want"}},
	{"Sync { Multicast { IPv6_interface ::1 } }", []string{"`IPv6_interface' not required, ignoring"}},
	{"Sync { Mode nACK { } }", []string{"Now `nack' mode is called `ftfw'. Please, update your conntrackd.conf file.\n"}},
	{"Sync { Mode PersistenT { } }", []string{"Now `persistent' mode is called `alarm'. Please, update your conntrackd.conf file."}},
	{"Sync { Mode persistent { } }", []string{syntaxError("persistent")}},

	// helpers
	{"Helper { Type ftp inet7 sctp { Policy x { ExpectMax 1 } } }", []string{"unknown layer 3 protocol"}},
	{"Helper { Type foo inet sctp { } }", []string{"unknown layer 4 protocol"}},
	{"Helper { Type foo inet tcp { Policy x { ExpectMax 1 } } }", []string{"Unknown `foo' helper"}},
	{"Helper { Type ftp inet udp { } }", []string{"Unknown `ftp' helper"}},
	{"Helper { Type ftp inet tcp { Policy x { ExpectMax 1 } Policy y { ExpectMax 1 } } }", []string{"Unknown policy `y' in helper configuration"}},
	{"Helper { Type ftp inet tcp { Policy x { ExpectMax 1 } Type rpc inet tcp { } } }", []string{"Unknown policy `x' in helper configuration"}},
	{"Helper { Policy x { } }", []string{"Helper policy configuration empty, fix your configuration file, please"}},
	{"Helper { Policy a1234567890123456 { } }", []string{"Helper policy configuration empty, fix your configuration file, please"}},
	{"Helper { Policy a1234567890123456 { ExpectMax 1 } }", []string{"Helper Policy is longer than 16 characters"}},
	{"Helper { Policy a123456789012345 { ExpectMax 1 } QueueNum 5 QueueLen 6 }", nil},

	// the scanner
	{"Foo", []string{syntaxError("Foo")}},
	{"", nil},
	{"\r\n\t ", nil},
	{"#c\nGeneral{HashSize 5#c\nHashLimit 6LogFile on}#c\n", nil},
	{"General {", []string{syntaxError("")}},
	{"General {\n", []string{"parsing config file in line (2), symbol '': syntax error"}},
	{"General {\n HashSize\n}", []string{"parsing config file in line (3), symbol '}': syntax error"}},
	{"General { LogFile /a} }", nil},
	{"General { LogFile /a#b }", nil},
	{"General { LogFile /a\tb }", nil},
	{"General { LogFile /a }}", []string{syntaxError("}")}},
	{"General { LogFile /a\"", []string{syntaxError("\"")}},
	{"General { LogFile o| LogFile |F| LogFile ||| }", nil},
	{"Sync { Mode FTFW { CommitTimeout 1 DisableExternalCache || } }",
		[]string{"`CommitTimeout' can't be combined with `DisableExternalCache', ignoring this option. Fix your configuration file."}},
	{"Sync { Mode FTFW { CommitTimeout 1 DisableExternalCache n| } }", nil},
	{"Sync { Mode |||| { ACKWindowSize 3 } Mode ||||| { RefreshTime 3 } Mode not|ack { DisableInternalCache on } }", nil},
	{"General { Systemd true }", []string{syntaxError("true")}},
	{"General { HashSize 12x }", []string{syntaxError("x")}},
	{"General { HashSize 12 = 5 }", []string{syntaxError("=")}},
	{"General { HashSize +12 }", []string{syntaxError("+12")}},
	{"General { Nice 3 }", []string{syntaxError("3")}},
	{"General { HashSize 1\x0b }", []string{syntaxError("\x0b")}},
	{"General { HashSize 1\xe4 }", []string{syntaxError("\xe4")}},
	{"General { HashSize 1\x00 }", []string{syntaxError("")}},
	{"General { HashSize 1 }\x00 Foo", nil},
	{"Sync { UDP { Interface eth0:1 } }", []string{syntaxError(":")}},
	{"Sync { UDP { Interface 1eth } }", []string{syntaxError("1e")}},
	{"Sync { UDP { Interface TCP } }", []string{syntaxError("TCP")}},
	{"Sync { UDP { Interface no } }", []string{syntaxError("no")}},
	{"Sync { UDP { Interface ftfw } }", []string{syntaxError("ftfw")}},
	{"Sync { UDP { IPv4_address 1.2.3 } }", []string{syntaxError("1")}},
	{"Sync { UDP { IPv4_address 1.2.3.4.5 } }", []string{syntaxError(".")}},
	{"Sync { UDP { IPv4_address 1.2.3.4/ } }", []string{syntaxError("/")}},
	{"Sync { UDP { IPv4_address 0001.0377.3.4 } }", nil},
	{"Sync { UDP { IPv6_address 1111 } }", []string{syntaxError("1111")}},
	{"Sync { UDP { IPv6_address 1: } }", []string{syntaxError("1")}},
	{"Sync { UDP { IPv6_address :::1 } }", []string{syntaxError(":")}},
	{"Sync { UDP { IPv6_address 1::2::3 } }", []string{"1::2: is not a valid IPv6 address", syntaxError(":")}},
	{"Sync { UDP { IPv6_address 1:2:3:4:5:6:7:8:9 } }", []string{syntaxError(":")}},
	{"Sync { UDP { IPv6_address ::1:2:3:4:5:6:7:8 } }", []string{"::1:2:3:4:5:6:7: is not a valid IPv6 address", syntaxError("8")}},
	{"Sync { UDP { IPv6_address 12345::1 IPv6_address 1:::2 IPv6_address aaaa/3 } }",
		[]string{"12345::1 is not a valid IPv6 address", "1:::2 is not a valid IPv6 address", "aaaa/3 is not a valid IPv6 address"}},
	{"Sync { UDP { IPv6_address ::ffff:1.2.3.4 } }", []string{syntaxError(".")}},
	{"Sync { UDP { IPv6_address fe80::1%eth0 } }", []string{syntaxError("%")}},

	// where it does not look beyond what it needs
	{"General { PollSecs 0 NACK }", []string{"`PollSecs' clause must be > 0"}},
	{"General { HashSize NACK }", []string{"Now `nack' mode is called `ftfw'. Please, update your conntrackd.conf file.\n", syntaxError("NACK")}},
}

func TestWhatTheOriginalSays(t *testing.T) {
	for _, d := range dialogues {
		if got := said(parse(d.text)); !slices.Equal(got, d.says) {
			t.Errorf("%q\n got %q\nwant %q", d.text, got, d.says)
		}
	}
}

// messages are the beginnings of everything that 1.4.9's parser says. It never says the rest: "Unexpected symbol parsing
// helper policy" is ruled out by the grammar, and the others need a lack of memory, or a build without helpers or IPv6.
var messages = []string{
	"cannot use both `Stats'", "cannot use `UDP'", "cannot use `TCP'", "cannot use `Multicast'", "too many dedicated links", "`CommitTimeout' can't be combined",
	"parsing config file in line", "LogFile path is longer", "LockFile path is longer", "stats LogFile path is longer", "Path is longer",
	"unknown scheduler", "`Priority' must be", "`PollSecs' clause", "unknown layer 3", "unknown layer 4", "Unknown `", "Unknown policy", "Helper policy configuration empty",
	"Helper Policy is longer", "1.2.3.256 is not a valid IPv4 address", "::1/64 is not a valid IPv6 address", "nope0 is an invalid interface",
	"your multicast address is IPv4", "your multicast address is IPv6", "your multicast interface is IPv4", "`IPv6_interface' not required", "deprecated unix backlog",
	"deprecated nice", "'local8' is not a known", "'Daemon' is not a known", "conflicting Syslog", "getprotobyname()", "1.2.3.4/33 is not a valid network",
	"1.2.3.256 is not a valid IPv4, ignoring", "1.2.3.4 is not a valid IPv6, ignoring", "netmask ", "Now `nack'", "Now `persistent'",
}

func TestEveryMessageIsSaid(t *testing.T) {
	for _, m := range messages {
		found := false
		for _, d := range dialogues {
			found = found || slices.ContainsFunc(d.says, func(s string) bool { return strings.HasPrefix(s, m) })
		}
		if !found {
			t.Errorf("no dialogue says %q", m)
		}
	}
}

func TestMoreThanTheOriginalAccepts(t *testing.T) {
	for _, text := range []string{
		"General { } # the end", "#", "Sync { UDP { Interface e0 } Options { ExpectationSync { ab c1 } } }",
		"General { Metrics { } }", "Sync { UDP { Interface Metrics } Options { ExpectationSync { Metrics } } }",
	} {
		if f := parse(text); f.Err() != nil || f.Original() != nil {
			t.Errorf("%q: %v", text, f.Problems)
		}
	}
	// An empty fifth channel crashes it later.
	if got := said(parse("Sync { UDP {} UDP {} UDP {} UDP {} UDP {} }")); len(got) != 1 {
		t.Errorf("five channels: %q", got)
	}
}

func TestPlaces(t *testing.T) {
	for text, want := range map[string]string{
		"Foo":                                 "a.conf:1:1",
		"\n\t Foo":                            "a.conf:2:3",
		"# c\r\nGeneral { HashSize\r\n on }":  "a.conf:3:2",
		"General {\n\tHashSize 5 Foo\n}":      "a.conf:2:13",
		"General {\n":                         "a.conf:2:1",
		"General { HashSize 5":                "a.conf:1:21",
		"Sync {}\nStats {}":                   "a.conf:2:1",
		"Helper { Type ftp inet8 tcp { } }":   "a.conf:1:19",
		"Helper { Type foo inet tcp { } }":    "a.conf:1:15",
		"General { Scheduler { Type\nx } }":   "a.conf:2:1",
		"General { UNIX { Path /\xe4 } Foo }": "a.conf:1:28",
	} {
		p := parse(text).Original()[0]
		if p.Severity != Error || p.Pos.String() != want {
			t.Errorf("%q: %s, want %s", text, p.Pos, want)
		}
	}
	f := parse("General { HashSize 1\n HashSize 2 } Sync { Mode ALARM { CommitTimeout 3 } } Stats { LogFile on }")
	for setting, want := range map[string]string{
		"General.HashSize": "a.conf:2:2", "Sync.Mode": "a.conf:2:22", "Sync.CommitTimeout": "a.conf:2:35", "Sync": "a.conf:2:15", "Stats.LogFile": "a.conf:2:63",
	} {
		if at, ok := f.Given(setting); !ok || at.String() != want {
			t.Errorf("%s at %s, want %s", setting, at, want)
		}
	}
	if _, ok := f.Given("General.HashLimit"); ok {
		t.Error("HashLimit was not given")
	}
	if at, ok := parse("General { SocketBufferSize 1 }").Given("General.NetlinkBufferSize"); !ok {
		t.Errorf("an old name is not found by the new one: %s", at)
	}
}

// One run finds all errors of a file, and nothing that follows from them only.
func TestAllErrorsAreFound(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("testdata", "broken.conf"))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, p := range Parse("broken.conf", text, known).Sorted() {
		b.WriteString(p.String() + "\n")
	}
	golden(t, "broken.problems", b.String())
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs:\n%s", path, got)
	}
}

// A single fault gives a single error.
func TestNoCascades(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("testdata", "everything.conf"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(text), "\n")
	for i, line := range lines {
		words := strings.Fields(line)
		if len(words) < 2 || strings.ContainsAny(line, "{}#") {
			continue
		}
		for _, bad := range []string{"Xyzzy " + words[1], words[0] + " =", words[0], "5 5", words[0] + " , , Xyzzy 5"} {
			damaged := strings.Join(lines[:i], "") + bad + "\n" + strings.Join(lines[i+1:], "")
			f := parse(damaged)
			if errors := len(strings.Split(f.Err().Error(), "\n")); errors != 1 {
				t.Errorf("%q instead of %q: %d errors: %v", bad, line, errors, f.Err())
			}
		}
	}
}

func TestAdvice(t *testing.T) {
	for text, want := range map[string]string{
		"General { Lockfile /a }":                                `did you mean "LockFile"?`,
		"General { HashSizes 5 }":                                `did you mean "HashSize"?`,
		"General { HsahSize 5 }":                                 `did you mean "HashSize"?`,
		"Sync { HashSize 5 }":                                    "it belongs in General",
		"General { Port 5 }":                                     "it belongs in Metrics or UDP or TCP",
		"General { AckWindowSize 5 }":                            `did you mean "ACKWindowSize", which belongs in Mode FTFW?`,
		"General { Zzzzzzzzzz 5 }":                               `General has no keyword "Zzzzzzzzzz", only HashSize, HashLimit`,
		"Sync { Replicate ESTABLISHED for TCP }":                 "State Accept",
		"Stats { NetlinkEventsReliable on }":                     "it belongs in General",
		"Sync { Mode ALARM { StartupResync on } }":               "it belongs in Mode FTFW or Mode NOTRACK",
		"Sync { Mode UDP { } }":                                  "needs ALARM, FTFW or NOTRACK",
		"Sync { Mode FTWF { } }":                                 `did you mean "FTFW"?`,
		"General { UNIX /a }":                                    "needs a block",
		"General { UNIX { Path \"/a\" } }":                       "there is no quoting",
		"General { Systemd true }":                               "needs on or off",
		"General { HashSize = 5 }":                               "a value follows its keyword",
		"General { UNIX { Path /a} }":                            "taken for a part of the path in line 1",
		"General { HashSize 5 Sync { }":                          `"}" is missing before it`,
		"}":                                                      "no block",
		"General { Filter { Protocol { TCP } } }":                "needs Accept or Ignore",
		"General { Filter { Protocol Accept { 6 } } }":           "names of protocols",
		"General { Filter { State Accept { LISTEN for UDP } } }": "needs TCP",
		"Helper { Type ftb inet tcp { } }":                       `did you mean "ftp"?`,
		"Helper { Type ftp inet udp { } }":                       "no helper ftp for udp",
		"General { HashSize " + strings.Repeat("x", 5000) + " }": "xxx…",
	} {
		f := parse(text)
		found := slices.ContainsFunc(f.Problems, func(p Problem) bool { return p.Severity == Error && strings.Contains(p.Advice, want) })
		if !found {
			t.Errorf("%.200s: %q is not in %v", text, want, f.Err())
		}
		for _, p := range f.Problems {
			if len(p.Advice) > 2000 {
				t.Errorf("advice of %d bytes", len(p.Advice))
			}
		}
	}
}

// What 1.4.9 accepts silently and what probably is a mistake is a warning.
func TestChecks(t *testing.T) {
	const unix = "General { UNIX { Path /a } } "
	const udp = "UDP { IPv4_address 10.0.0.1 IPv4_Destination_Address 10.0.0.2 Port 3780 Interface lo } "
	const multicast = "Multicast { IPv4_address 225.0.0.1 Group 3780 Interface lo } "
	for text, want := range map[string]string{
		"":                                                                 "does nothing",
		"General { } Stats { }":                                            "no UNIX { Path",
		unix + "Stats { }":                                                 "no flow is logged",
		"General { HashSize 10 HashLimit 5 }":                              "HashLimit 5 is less than HashSize 10",
		"General { HashSize 10 HashSize 11 }":                              `"HashSize" was given in line 1 already`,
		"General { HashSize 4294967296 }":                                  "wraps around to 0",
		"Sync { UDP { Port 65536 } }":                                      "wraps around to 0: write at most 65535",
		"General { NetlinkBufferSize 5 }":                                  "counts only if NetlinkBufferSizeMaxGrowth",
		"General { SocketBufferSize 5 }":                                   `"SocketBufferSize" is called "NetlinkBufferSize" now`,
		"General { PollSecs 5 NetlinkEventsReliable on }":                  "has no effect",
		"General { Scheduler { Priority 5 } }":                             "only with a Type",
		"General { Scheduler { Type rr } }":                                "refuses real-time priority 0",
		"General { LogFile /a LockFile /a }":                               "path of General.LogFile already",
		"General { LogFile /a LogFile off }":                               "does not undo",
		"General { LogFile /a} }":                                          `the path is "/a}"`,
		"General { LogFile /a\r\n }":                                       "carriage return",
		"General { HashSize 5 }\x00 }":                                     "NUL",
		"General { Filter { Protocol Accept { } } }":                       "lets nothing pass",
		"General { Filter { State Accept { for TCP } } }":                  "lets nothing pass",
		"General { Filter { Address Accept { IPv4_address 1.2.3.4 } } }":   "no flow of IPv6 passes",
		"General { Filter { Address Accept { IPv6_address ::1 } } }":       "no flow of IPv4 passes",
		"General { Filter { Address Ignore { IPv4_address 1.2.3.4/8 } } }": "it means all of 1.0.0.0/8",
		"General { Filter { Address Ignore { IPv4_address 1.2.3.4 IPv4_address 1.2.3.4 } } }": "in the list already",
		"General { Filter { Address Ignore { IPv6_address ::/4294967295 } } }":                "at most 128",
		"Sync { }":                                       "has no channel",
		"Sync { Mode FTFW { } Mode ALARM { } }":          "FTFW is given as well and counts",
		"Sync { RefreshTime 5 }":                         "has no effect in mode FTFW",
		"Sync { Mode ALARM { CacheTimeout 5 } }":         "entries expire",
		"Sync { UDP { } }":                               "no Interface",
		"Sync { UDP { Interface thisisaverylongname } }": "too long",
		"Sync { UDP { Interface lo } }":                  "no Port",
		"Sync { UDP { Port 5 } }":                        "no address to bind to",
		"Sync { TCP { Port 5 } }":                        "no address of the peer",
		"Sync { TCP { Checksum off } }":                  "only on UDP",
		"Sync { UDP { IPv4_address 1.1.1.1 IPv4_Destination_Address 1.1.1.1 } }":      "both its own address",
		"Sync { UDP { IPv4_address 1.1.1.1 IPv6_Destination_Address ::1 } }":          "different families",
		"Sync { UDP { IPv4_address 1.1.1.1 IPv6_address ::1 } }":                      "replaces the address 1.1.1.1",
		"Sync { " + udp + udp + "}":                                                   "are those of the channel in line 1",
		"Sync { " + multicast + multicast + "}":                                       "are those of the channel in line 1",
		"Sync { Multicast { Interface lo } }":                                         "no Group",
		"Sync { Multicast { Group 5 } }":                                              "of the group",
		"Sync { Multicast { IPv4_address 10.0.0.1 } }":                                "not a multicast address",
		"Sync { UDP Default { } UDP Default { } }":                                    "marked Default as well",
		"Helper { Type ftp inet tcp { } }":                                            "Setup on",
		"Helper { Type ftp inet tcp { } Type tftp inet udp { } }":                     "queue 0 is that of helper ftp",
		"Helper { Type ftp inet tcp { Policy ftp { ExpectMax 5 } } }":                 "is 0, not the default",
		"Helper { QueueNum 5 Type ftp inet tcp { } }":                                 "counts for the next one",
		"Helper { Policy ftp { ExpectMax 5 ExpectTimeout 5 } Type ftp inet tcp { } }": "counts for the next one",
	} {
		f := parse(text)
		found := slices.ContainsFunc(f.Problems, func(p Problem) bool {
			return p.Severity == Warning && p.Text == "" && strings.Contains(p.Advice, want) && p.Line >= 1 && p.Column >= 1
		})
		if !found || f.Err() != nil {
			t.Errorf("%q: %q is not in %v", text, want, f.Problems)
		}
	}
}

func TestOneChannelIsTheDefault(t *testing.T) {
	for text, want := range map[string]int{
		"UDP { } UDP { }": 0, "UDP { } UDP Default { }": 1, "UDP Default { } UDP { } UDP Default { } UDP { }": 2, "UDP Default { } UDP { }": 0,
	} {
		for i, c := range valid(t, "Sync { "+text+" }").Sync.Channels {
			if c.Default != (i == want) {
				t.Errorf("%s: channel %d is Default: %v", text, i, c.Default)
			}
		}
	}
}

func TestOnlyTheModesOwnSettingsCount(t *testing.T) {
	s := valid(t, "Sync { Mode NOTRACK { DisableInternalCache on DisableExternalCache on StartupResync on } Mode ALARM { } }").Sync
	if s.Mode != ALARM || s.DisableInternalCache || s.DisableExternalCache || s.StartupResync {
		t.Errorf("%+v", s)
	}
	s = valid(t, "Sync { CommitTimeout 5 Mode NOTRACK { DisableInternalCache on DisableExternalCache on StartupResync on } Mode FTFW { } }").Sync
	if s.Mode != FTFW || s.DisableInternalCache || !s.DisableExternalCache || !s.StartupResync || s.CommitTimeout != 0 {
		t.Errorf("%+v", s)
	}
}

func TestAPolicyIsForAllInstances(t *testing.T) {
	c := valid(t, `Helper {
		Type ftp inet tcp { QueueNum 1 }
		Type rpc inet tcp { QueueNum 2 Type tns inet tcp { QueueLen 7 } QueueNum 3 }
		Type ftp inet6 tcp { QueueNum 4 QueueNum 5 Policy ftp { ExpectMax 9 } }
	}`)
	want := []Helper{
		{Name: "ftp", Proto: 6, QueueNum: 1, ExpectMax: 9},
		{Name: "tns", Proto: 6, QueueNum: 2, QueueLen: 7, ExpectMax: 1, ExpectTimeout: 300 * time.Second},
		{Name: "rpc", Proto: 6, QueueNum: 3, ExpectMax: 1, ExpectTimeout: 300 * time.Second},
		{Name: "ftp", Inet6: true, Proto: 6, QueueNum: 5, ExpectMax: 9},
	}
	if !reflect.DeepEqual(c.Helpers, want) {
		t.Errorf("got %+v", c.Helpers)
	}
}

func TestProtocolNames(t *testing.T) {
	find := Protocols([]byte("# comment\n\nip 0 IP # pseudo\nip 1\nbad\nworse x\nlarge 256\nudplite\t136 UDPLite  udp-lite#x\nend 255"))
	for name, want := range map[string]int{"ip": 0, "IP": 0, "udplite": 136, "UDPLite": 136, "udp-lite": 136, "end": 255, "bad": -1, "x": -1, "large": -1, "Ip": -1, "0": -1} {
		n, ok := find(name)
		if got := int(n); ok != (want >= 0) || ok && got != want {
			t.Errorf("%s is %d, %v", name, n, ok)
		}
	}
}

func TestWithoutLookup(t *testing.T) {
	f := Parse("a.conf", []byte("General { Filter { Protocol Accept { TCP UDP } } } Sync { UDP { Interface nope } }"), Lookup{})
	if f.Err() != nil || f.Original() != nil || len(f.Config.General.Filter.Protocols.List) != 2 {
		t.Errorf("%+v", f)
	}
}
