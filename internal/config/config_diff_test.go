package config

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spoor-project/spoor/internal/nstest"
)

// A client command reads the configuration as the daemon does, says what it has to say, and then finds no daemon.

// original is what the installed conntrackd says about configurations.
type original struct{ program, file string }

func newOriginal(t *testing.T) original {
	t.Helper()
	nstest.NeedTool(t, "conntrackd")
	program, err := nstest.LookTool("conntrackd")
	if err != nil {
		t.Fatal(err)
	}
	return original{program, filepath.Join(t.TempDir(), "conntrackd.conf")}
}

var logPrefix = regexp.MustCompile(`(?m)^\[[^]]*\] \(pid=\d+\) `)

const noDaemon = "[ERROR] can't connect: is conntrackd running? appropriate permissions?\n"

func (o original) says(t *testing.T, text string) string {
	t.Helper()
	if err := os.WriteFile(o.file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, _ := exec.Command(o.program, "-C", o.file, "-s").CombinedOutput() // fails always
	return strings.TrimSuffix(logPrefix.ReplaceAllString(string(out), ""), noDaemon)
}

func weSay(text string) string {
	var b strings.Builder
	protocols, _ := os.ReadFile("/etc/protocols")
	f := Parse("test", []byte(text), Lookup{Protocol: Protocols(protocols), Interface: func(name string) bool {
		_, err := net.InterfaceByName(name)
		return err == nil
	}})
	for _, p := range f.Original() {
		severity := "warning"
		if p.Severity == Error {
			severity = "ERROR"
		}
		fmt.Fprintf(&b, "[%s] %s\n", severity, p.Text)
	}
	return b.String()
}

// same compares both on a text and reports whether they agree.
func (o original) same(t *testing.T, text string) bool {
	t.Helper()
	want, got := o.says(t, text), weSay(text)
	if got != want {
		t.Errorf("%q\n got %q\nwant %q", text, got, want)
	}
	return got == want
}

func TestOriginalSaysTheSameInDialogues(t *testing.T) {
	o := newOriginal(t)
	for _, d := range dialogues {
		o.same(t, d.text)
	}
}

func TestOriginalSaysTheSameOfFiles(t *testing.T) {
	o := newOriginal(t)
	installed, _ := filepath.Glob("/usr/share/doc/conntrackd/examples/*/*.conf") // perhaps none
	ours, err := filepath.Glob(filepath.Join("testdata", "*.conf"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Concat(installed, ours, samples(t)) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if filepath.Base(name) != "everything.conf" { // has words of ours
			o.same(t, string(text))
		}
	}
}

func TestOriginalSaysTheSameOfRandomFiles(t *testing.T) {
	o := newOriginal(t)
	rng := rand.New(rand.NewPCG(11, 12))
	n, different := 600, 0
	if testing.Short() {
		n = 150
	}
	for range n {
		if !o.same(t, randomFile(rng)) {
			if different++; different == 10 {
				t.Fatal("too many differences")
			}
		}
	}
}

// pieces are lines that may stand in each block. "@x" stands for a piece of x, "@x*" for a few of them, "@x1" for one at least.
var pieces = map[string][]string{
	"file":      {"General { @general* }", "Sync { @sync* }", "Stats { @stats* }", "Helper { @helper* }", "General { @general1 }", "Sync { @sync1 }"},
	"general":   {"HashSize @num", "HashLimit @num", "LogFile @log", "Syslog @syslog", "LockFile @path", "UNIX { @unix* }", "NetlinkBufferSize @num", "SocketBufferSize @num", "NetlinkBufferSizeMaxGrowth @num", "SocketBufferSizeMaxGrown @num", "EventIterationLimit @num", "PollSecs @num", "NetlinkOverrunResync @num", "NetlinkOverrunResync @bool", "NetlinkEventsReliable @bool", "Nice -3", "Systemd @bool", "Scheduler { @scheduler* }", "Filter { @filter* }", "Filter From Userspace { @filter1 }", "Filter From Kernelspace { @filter1 }"},
	"unix":      {"Path @path", "Backlog @num"},
	"scheduler": {"Type rr", "Type FIFO", "Type @name", "Priority @num"},
	"filter":    {"Protocol @policy { @protocol* }", "Address @policy { @address* }", "Address @policy { @address1 }", "State @policy { @states* }"},
	"policy":    {"Accept", "Ignore"},
	"protocol":  {"TCP", "UDP", "tcp", "udp", "ICMP", "sctp", "@name"},
	"address":   {"IPv4_address @ip4", "IPv4_address @ip4/@num", "IPv6_address @ip6", "IPv6_address @ip6/@num", "IPv4_address @ip6", "IPv6_address @ip4"},
	"states":    {"ESTABLISHED for TCP", "SYN_SENT CLOSED for TCP", "for TCP", "TIME_WAIT"},
	"sync":      {"Mode ALARM { @alarm* }", "Mode ftfw { @ftfw* }", "Mode NOTRACK { @notrack* }", "Mode nack { }", "Mode persistenT { }", "UDP { @udp1 }", "UDP Default { @udp1 }", "UDP { @udp1 }", "TCP { @udp1 ErrorQueueLength @num }", "Multicast { @mcast1 }", "Multicast { @mcast1 }", "Options { @options* }", "@timers", "@timers"},
	"timers":    {"RefreshTime @num", "CacheTimeout @num", "CommitTimeout @num", "PurgeTimeout @num"},
	"alarm":     {"@timers"},
	"ftfw":      {"ResendQueueSize @num", "ACKWindowSize @num", "CommitTimeout @num", "PurgeTimeout @num", "DisableExternalCache @bool", "StartupResync @bool"},
	"notrack":   {"CommitTimeout @num", "PurgeTimeout @num", "DisableInternalCache @bool", "DisableExternalCache @bool", "StartupResync @bool"},
	"udp":       {"IPv4_address @ip4", "IPv6_address @ip6", "IPv4_Destination_Address @ip4", "IPv6_Destination_Address @ip6", "Port @num", "Interface @device", "@sopt"},
	"mcast":     {"IPv4_address @ip4", "IPv6_address @ip6", "IPv4_interface @ip4", "IPv6_interface @ip6", "Group @num", "Interface @device", "@sopt"},
	"sopt":      {"SndSocketBuffer @num", "RcvSocketBuffer @num", "Checksum @bool"},
	"options":   {"TCPWindowTracking @bool", "ExpectationSync @bool", "ExpectationSync { ftp @name }", "ExpectationSync { }"},
	"stats":     {"LogFile @log", "Syslog @syslog"},
	"helper":    {"Setup @bool", "@htype", "@htype"},
	"htype":     {"Type @hname @hfamily @hproto { @hitem* }"},
	"hname":     {"ftp", "ftp", "ftp", "rpc", "tftp", "ssdp", "@name"},
	"hfamily":   {"inet", "inet6", "inet", "inet6", "inet", "@name"},
	"hproto":    {"tcp", "udp", "tcp", "tcp", "udp", "sctp"},
	"hitem":     {"QueueNum @num", "QueueLen @num", "Policy ftp { @pol1 }", "Policy @name { @pol* }", "@htype"},
	"pol":       {"ExpectMax @num", "ExpectTimeout @num"},
	"num":       {"0", "1", "3780", "24", "64", "128", "33", "007", "65536", "4294967295", "4294967296", "99999999999999999999"},
	"bool":      {"on", "off", "yes", "no", "YES", "oFF", "|n", "n|"},
	"log":       {"on", "off", "/tmp/x.log", "@path"},
	"syslog":    {"on", "off", "daemon", "local3", "local7", "local1", "user"},
	"path":      {"/tmp/x", "/tmp/a}b", "/tmp/#x", "/" + strings.Repeat("long/", 21), "/" + strings.Repeat("long/", 52)},
	"name":      {"x", "ftp", "thing-1", "eth0.100", "a_very.long-name-of_something"},
	"device":    {"lo", "lo", "lo", "nope0", "lonely"},
	"ip4":       {"127.0.0.1", "225.0.0.50", "10.0.0.300", "010.0.0.1", "0000010.1.1.1", "1.08.1.1", "192.168.100.1"},
	"ip6":       {"::1", "ff02::1", "fe80::1:2:3:4", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7", "::", "1:2", "abcd:::1", "12345::1", "ab/3"},
}

var reference = regexp.MustCompile(`@[a-z]+[0-9]?\*?`)

// piece makes one piece. Depth bounds helpers inside of helpers.
func piece(rng *rand.Rand, of string, depth int) string {
	from := pieces[of]
	return reference.ReplaceAllStringFunc(from[rng.IntN(len(from))], func(ref string) string {
		ref = ref[1:]
		n := 1
		switch last := ref[len(ref)-1]; {
		case pieces[ref] != nil:
		case last == '*':
			ref, n = ref[:len(ref)-1], rng.IntN(4)
		case last == '1':
			ref, n = ref[:len(ref)-1], 1+rng.IntN(4)
		}
		if depth > 8 {
			n = 0
		}
		var all []string
		for range n {
			all = append(all, piece(rng, ref, depth+1))
		}
		return strings.Join(all, " ")
	})
}

// randomFile makes a mostly valid file, and damages half of them in a few places.
func randomFile(rng *rand.Rand) string {
	var all []string
	for range 1 + rng.IntN(3) {
		all = append(all, strings.Fields(piece(rng, "file", 0))...)
	}
	if rng.IntN(2) == 0 {
		for range 1 + rng.IntN(2) {
			i := rng.IntN(len(all))
			switch rng.IntN(4) {
			case 0:
				all = append(all[:i:i], all[i+1:]...)
			case 1:
				all[i] = all[rng.IntN(len(all))]
			case 2:
				all[i] = []string{"\"", "=", "{", "}", "General", "Foo", "on", "5", "-5", "1.2.3", "for", "TCP", "Mode", "/p"}[rng.IntN(14)]
			case 3:
				all[i] += []string{"x", "}", "{", ";", "0", "#c\n", "\r", "\x00"}[rng.IntN(8)]
			}
			if len(all) == 0 {
				return ""
			}
		}
	}
	var b strings.Builder
	for _, w := range all {
		b.WriteString(w)
		b.WriteByte(" \n"[rng.IntN(2)])
	}
	return b.String()
}
