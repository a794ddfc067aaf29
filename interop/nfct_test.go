//go:build linux

package interop_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spoor-project/spoor/internal/nstest"
)

// oursNfct is the program under test.
func oursNfct(t testing.TB) tool {
	t.Helper()
	nstest.NeedRoot(t)
	nstest.NeedTool(t, "iptables", "ip6tables", "nft")
	return tool{bin: filepath.Dir(nstest.BuildCommand(t, "./cmd/nfct"))}
}

// theirsNfct is the distribution's program.
func theirsNfct(t testing.TB) tool {
	t.Helper()
	nstest.NeedTool(t, "nfct")
	path, err := nstest.LookTool("nfct")
	if err != nil {
		t.Fatal(err)
	}
	return tool{bin: binDir(t, path, "nfct"), foreign: true}
}

func TestNfctGolden(t *testing.T) {
	t.Parallel()
	tl := oursNfct(t)
	cases := readJSONL[goldenCase](t, "nfct-golden.jsonl")
	if len(cases) < 47 {
		t.Fatalf("%d recorded cases", len(cases))
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			s := newSandbox(t, tl)
			for _, argv := range c.Setup {
				s.must(argv...) // as the recorded run did
			}
			c.check(t, s.run(job{argv: c.Argv}))
		})
	}
}

// nfctPair compares the two programs, each in a namespace of its own, so that what one
// command leaves behind is there for the next.
type nfctPair struct {
	t            testing.TB
	ours, theirs *sandbox
	runs         int
}

func newNfctPair(t testing.TB) *nfctPair {
	t.Helper()
	p := &nfctPair{t: t, ours: newSandbox(t, oursNfct(t)), theirs: newSandbox(t, theirsNfct(t))}
	t.Cleanup(func() { t.Logf("%d command lines", p.runs) })
	return p
}

// compare runs one command line with both.
func (p *nfctPair) compare(argv ...string) {
	p.t.Helper()
	p.runs++
	got, want := p.ours.run(job{argv: argv}), p.theirs.run(job{argv: argv})
	for _, text := range []*string{&want.stdout, &want.stderr} {
		*text = strings.ReplaceAll(*text, "nfct v1.4.7: ", "nfct v1.4.9: ")
	}
	if got != want {
		p.t.Errorf("%s", explain(argv, want, got))
	}
}

// setup runs a command in both namespaces.
func (p *nfctPair) setup(argv ...string) {
	p.t.Helper()
	p.ours.must(argv...)
	p.theirs.must(argv...)
}

// nfctProtocols are the words for protocols that decide something: those with states,
// those without, other spellings, and none.
var nfctProtocols = []string{"tcp", "TCP", "Tcp", "udp", "UDP", "udplite", "icmp", "icmpv6", "ipv6-icmp", "IPv6-ICMP", "gre", "GRE",
	"generic", "sctp", "SCTP", "dccp", "esp", "igmp", "mptcp", "ip", "6", "", "tcp ", "#", "all"}

// nfctStates are all names of states, in more than one protocol each if they are.
var nfctStates = strings.Fields("SYN_SENT SYN_RECV ESTABLISHED FIN_WAIT CLOSE_WAIT LAST_ACK TIME_WAIT CLOSE SYN_SENT2 RETRANS UNACKNOWLEDGED " +
	"UNREPLIED REPLIED TIMEOUT CLOSED COOKIE_WAIT COOKIE_ECHOED SHUTDOWN_SENT SHUTDOWN_RECD SHUTDOWN_ACK_SENT HEARTBEAT_SENT " +
	"HEARTBEAT_ACKED REQUEST RESPOND PARTOPEN OPEN CLOSEREQ CLOSING TIMEWAIT")

// Every state of every protocol, in a policy and as a default.
func TestNfctDifferentialProtocols(t *testing.T) {
	t.Parallel()
	for _, proto := range nfctProtocols {
		t.Run(proto, func(t *testing.T) {
			t.Parallel()
			p := newNfctPair(t)
			p.compare("nfct", "default-get", "timeout", "inet", proto)
			for i, state := range nfctStates {
				value := fmt.Sprint(100 + i)
				p.compare("nfct", "add", "timeout", state, []string{"inet", "inet6"}[i%2], proto, strings.ToLower(state), value)
				p.compare("nfct", "default-set", "timeout", "inet6", proto, state, value)
			}
			p.compare("nfct", "default-get", "timeout", "inet6", proto)
			p.compare("nfct", "list", "timeout")
			p.compare("nfct", "add", "timeout", "none", "inet", proto)
			p.compare("nfct", "add", "timeout", "odd", "inet", proto, "timeout")
			p.compare("nfct", "add", "timeout", "after", "inet", proto, "timeout", "1", "replied", "2", "close", "3")
			p.compare("nfct", "get", "timeout", "after")
		})
	}
}

// Every command with every subsystem, in both orders, abbreviated, and with all numbers
// of arguments.
func TestNfctDifferentialCommands(t *testing.T) {
	t.Parallel()
	commands := []string{"list", "add", "delete", "get", "flush", "disable", "default-set", "default-get"}
	words := append([]string{"timeout", "helper", "version", "help"}, commands...)
	t.Run("words", func(t *testing.T) {
		t.Parallel()
		p := newNfctPair(t)
		p.compare("nfct")
		for _, word := range words {
			p.compare("nfct", word)
			for _, other := range words {
				p.compare("nfct", word, other)
			}
		}
	})
	t.Run("abbreviations", func(t *testing.T) {
		t.Parallel()
		p := newNfctPair(t)
		p.setup("nfct", "add", "timeout", "x", "inet", "udp", "replied", "7")
		for _, word := range words {
			for n := range len(word) + 1 {
				p.compare("nfct", word[:n], "timeout", "x")
				p.compare("nfct", "list", word[:n])
				p.compare("nfct", "timeout", word[:n], "x")
			}
			for _, wrong := range []string{word + "x", strings.ToUpper(word), " " + word, word[1:], "-" + word} {
				p.compare("nfct", wrong, "timeout")
				p.compare("nfct", "list", wrong)
				p.compare("nfct", "timeout", wrong)
			}
		}
	})
	for _, sub := range []string{"timeout", "helper"} {
		t.Run("arguments of "+sub, func(t *testing.T) {
			t.Parallel()
			p := newNfctPair(t)
			args := []string{"ftp", "inet", "tcp", "established", "5", "close"}
			if sub == "timeout" {
				p.setup("nfct", "add", "timeout", "ftp", "inet", "udp", "replied", "7")
			}
			for _, cmd := range commands {
				for n := range len(args) + 1 {
					p.compare(append([]string{"nfct", cmd, sub}, args[:n]...)...)
					p.compare(append([]string{"nfct", sub, cmd}, args[min(1, n):n]...)...)
				}
				for i := range 4 {
					for _, wrong := range []string{"", "inet4", "INET", "TCP", "icmp", "x", "-1", strings.Repeat("long", 20)} {
						changed := slices.Clone(args)
						changed[i] = wrong
						p.compare(append([]string{"nfct", cmd, sub}, changed[:3+i%2]...)...)
					}
				}
			}
			p.compare("nfct", "list", sub)
		})
	}
}

// What policies have in them, and what they are called.
func TestNfctDifferentialValues(t *testing.T) {
	t.Parallel()
	t.Run("values", func(t *testing.T) {
		t.Parallel()
		p := newNfctPair(t)
		for i, value := range []string{"0", "1", "-1", "-0", "+7", "abc", "10x", "0x10", "010", "", " 9", "\t\n9", "9 9", "1e3", "1.5", "--1", "+-1",
			"2147483647", "2147483648", "4294967295", "4294967296", "17179869", "17179870", "9223372036854775807",
			"9223372036854775808", "-9223372036854775808", "-9223372036854775809", "99999999999999999999999", "٣"} {
			name := fmt.Sprint("v", i)
			p.compare("nfct", "add", "timeout", name, "inet", "udp", "replied", value, "unreplied", "1")
			p.compare("nfct", "get", "timeout", name)
			p.compare("nfct", "default-set", "timeout", "inet", "udp", "unreplied", value)
			p.compare("nfct", "default-get", "timeout", "inet", "udp")
		}
	})
	t.Run("names", func(t *testing.T) {
		t.Parallel()
		p := newNfctPair(t)
		for _, name := range []string{"a", "", " ", "a b", "-o", "--help", "-h", "\xff\xfe", "ü", "a\nb", "\t", "{", strings.Repeat("n", 30),
			strings.Repeat("n", 31), strings.Repeat("n", 32), strings.Repeat("n", 500), "timeout", "."} {
			p.compare("nfct", "add", "timeout", name, "inet", "udp", "replied", "5")
			p.compare("nfct", "get", "timeout", name)
			p.compare("nfct", "add", "timeout", name, "inet6", "udp", "replied", "5")
			p.compare("nfct", "get", "helper", name)
		}
		p.compare("nfct", "list", "timeout")
		for _, name := range []string{"", "-o", strings.Repeat("n", 40), strings.Repeat("n", 31), "a b"} {
			p.compare("nfct", "delete", "timeout", name)
		}
		p.compare("nfct", "list", "timeout")
	})
	t.Run("rules", func(t *testing.T) {
		t.Parallel()
		p := newNfctPair(t)
		p.setup("nfct", "add", "timeout", "four", "inet", "udp", "replied", "5")
		p.setup("nfct", "add", "timeout", "six", "inet6", "udp", "replied", "5")
		p.setup("nfct", "add", "timeout", "free", "inet", "udp", "replied", "5")
		p.setup("iptables", "-w", "-t", "raw", "-A", "OUTPUT", "-p", "udp", "-j", "CT", "--timeout", "four")
		p.setup("ip6tables", "-w", "-t", "raw", "-A", "OUTPUT", "-p", "udp", "-j", "CT", "--timeout", "six")
		p.setup("nft", "table ip t { ct timeout nft { protocol udp; policy = { replied : 5 }; }; }")
		for _, name := range []string{"four", "six", "free", "free", "nft"} {
			p.compare("nfct", "delete", "timeout", name)
		}
		p.compare("nfct", "flush", "timeout")
		p.compare("nfct", "list", "timeout")
		p.setup("iptables", "-w", "-t", "raw", "-F")
		p.setup("ip6tables", "-w", "-t", "raw", "-F")
		p.compare("nfct", "flush", "timeout")
		p.compare("nfct", "list", "timeout")
	})
}

// Without privileges, without sockets, and without or with a strange /etc/protocols.
func TestNfctDifferentialSurroundings(t *testing.T) {
	t.Parallel()
	lines := [][]string{
		{"nfct", "list", "timeout"}, {"nfct", "list", "timeout", "x"}, {"nfct", "list", "version"},
		{"nfct", "get", "timeout", "x"}, {"nfct", "delete", "timeout", "x"}, {"nfct", "flush", "timeout"}, {"nfct", "get", "timeout"},
		{"nfct", "add", "timeout", "x", "inet", "udp", "replied", "5"}, {"nfct", "add", "timeout", "x", "inet", "udp"},
		{"nfct", "add", "timeout", "x", "inet", "icmpv6", "timeout"}, {"nfct", "add", "timeout", "x", "inet", "generic", "timeout", "5"},
		{"nfct", "add", "timeout", "x", "inet", "generic", "nonsense", "5"}, {"nfct", "add", "timeout", "x", "inet", "nonsense", "timeout", "5"},
		{"nfct", "add", "timeout", "x", "inet", "own", "replied", "5"}, {"nfct", "default-get", "timeout", "inet", "alias"},
		{"nfct", "default-set", "timeout", "inet", "udp", "replied", "5"}, {"nfct", "default-get", "timeout", "inet", "udp"},
		{"nfct", "add", "helper", "ftp", "inet", "nonsense"}, {"nfct", "list", "helper"}, {"nfct", "get", "timeout", "x"},
	}
	const text = "# nothing\nown 17 alias # hidden\nudp\t17\tUDP\nbad x\nbig 273\n\n"
	for name, files := range map[string]map[string]string{
		"no /etc/protocols": {"protocols": ""}, "other /etc/protocols": {"protocols": text}, "no name service": {"protocols": text, "nsswitch.conf": ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newNfctPair(t)
			p.ours.etc = newEtc(t, files)
			if name == "no /etc/protocols" {
				if err := os.Remove(filepath.Join(p.ours.etc.dir, "protocols")); err != nil {
					t.Fatal(err)
				}
			}
			p.theirs.etc = p.ours.etc
			for _, argv := range lines {
				p.compare(argv...)
			}
		})
	}
	t.Run("no privileges", func(t *testing.T) {
		t.Parallel()
		nstest.NeedTool(t, "setpriv")
		p := newNfctPair(t)
		for _, argv := range lines {
			p.compare(append([]string{"setpriv", "--bounding-set=-all", "--inh-caps=-all", "--reuid=65534", "--clear-groups"}, argv...)...)
		}
	})
}

// A socket that cannot be had is exit status 255, whatever else is wrong.
func TestNfctWithoutSockets(t *testing.T) {
	t.Parallel()
	nstest.NeedTool(t, "prlimit")
	s := newSandbox(t, oursNfct(t))
	for _, argv := range [][]string{{"list", "timeout"}, {"add", "helper"}, {"disable", "timeout"}} {
		got := s.run(job{argv: append([]string{"prlimit", "--nofile=3", "nfct"}, argv...)})
		if want := (result{"", "nfct v1.4.9: cannot open netlink: Too many open files\n", 255}); got != want {
			t.Errorf("%s", explain(argv, want, got))
		}
	}
	if got := s.run(job{argv: []string{"prlimit", "--nofile=3", "nfct", "list", "nothing"}}); got.exit != 1 {
		t.Errorf("a word that is wrong: %v, want exit 1", got)
	}
}

// TestNfctDifferentialGarbage makes command lines of words that mean something, in any
// order and number.
func TestNfctDifferentialGarbage(t *testing.T) {
	t.Parallel()
	words := append(append(slices.Clone(nfctProtocols), nfctStates...), "list", "add", "delete", "get", "flush", "disable", "default-set",
		"default-get", "default", "timeout", "helper", "version", "help", "", "d", "inet", "inet6", "inet", "a", "b", "1", "-1", "x", "ftp", "rpc", "tns",
		"ssdp", "--", "=", "\xff", strings.Repeat("w", 300))
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			p := newNfctPair(t)
			r := rand.New(rand.NewPCG(seed, 5))
			pick := func(from []string) string { return from[r.IntN(len(from))] }
			for range 60 {
				argv := []string{"nfct"}
				switch r.IntN(3) {
				case 0: // anything
				case 1:
					argv = append(argv, pick([]string{"list", "add", "delete", "get", "flush", "disable", "default-set", "default-get", "def", "a"}),
						pick([]string{"timeout", "helper", "t", "h"}))
				case 2: // nearly right
					argv = append(argv, pick([]string{"add", "default-set", "default-get", "get", "delete"}), "timeout")
					if r.IntN(3) > 0 {
						argv = append(argv, pick([]string{"a", "b", "c"}))
					}
					argv = append(argv, pick([]string{"inet", "inet6"}), pick(nfctProtocols), pick(nfctStates), fmt.Sprint(r.IntN(1000)))
				}
				for range r.IntN(6) {
					argv = append(argv, pick(words))
				}
				p.compare(argv...)
			}
			p.compare("nfct", "list", "timeout")
		})
	}
}

// A policy that nfct makes, iptables attaches, and conntrack tells of, in its table and in
// its events, for TCP in several states. All timeouts are below that of what nobody
// acknowledges, which else takes their place.
func TestNfctPolicyIsSeenByConntrack(t *testing.T) {
	t.Parallel()
	nfct := oursNfct(t)
	s := newSandbox(t, ours(t))
	s.ns.LoopbackUp()
	s.must("nft", "table ip track { chain o { type filter hook output priority 10; ct state new accept; }; }")
	n := s.with(nfct)
	n.must("nfct", "add", "timeout", "t", "inet", "tcp", "syn_sent", "201", "syn_recv", "202", "established", "203", "time_wait", "204", "last_ack", "205",
		"fin_wait", "206", "close_wait", "207")
	s.must("iptables", "-w", "-t", "raw", "-A", "OUTPUT", "-p", "tcp", "--dport", "7", "-j", "CT", "--timeout", "t")

	events := s.begin(job{argv: []string{"conntrack", "-E", "-p", "tcp", "-o", "jsonl"}})
	events.follows()
	to := nstest.ServeEcho(t, s.ns, "tcp", "127.0.0.1:7")
	conn := nstest.Dial(t, s.ns, "tcp", netip.AddrPort{}, to)
	if _, err := conn.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	table := s.must("conntrack", "-L", "-p", "tcp", "--dport", "7", "-o", "jsonl")
	conn.Close()
	nstest.Wait(t, "the end of the connection", func() bool {
		return strings.Contains(s.must("conntrack", "-L", "-p", "tcp", "--dport", "7"), "TIME_WAIT")
	})
	events.idles()
	events.interrupt()
	told := events.end().stdout

	type flow struct {
		State   string
		Timeout int
	}
	limits := map[string]int{"SYN_SENT": 201, "SYN_RECV": 202, "ESTABLISHED": 203, "TIME_WAIT": 204, "LAST_ACK": 205, "FIN_WAIT": 206, "CLOSE_WAIT": 207}
	check := func(where, text string, least int) {
		t.Helper()
		states := map[string]bool{}
		for line := range strings.Lines(text) {
			var f flow
			if err := json.Unmarshal([]byte(line), &f); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			states[f.State] = true
			if want := limits[f.State]; f.Timeout > want || f.Timeout < want-60 {
				t.Errorf("%s: %s with %d s, want %d", where, f.State, f.Timeout, want)
			}
		}
		if len(states) < least {
			t.Errorf("%s: states %v, want at least %d", where, states, least)
		}
	}
	check("table", table, 1)
	check("events", told, 4)
}
