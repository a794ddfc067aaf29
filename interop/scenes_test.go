//go:build linux

package interop_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/spoor-project/spoor/internal/nstest"
)

// A scene fills the connection tracking table of a sandbox. Their program does it, so that both programs see the same table
// whatever ours does wrong.
type scene func(t testing.TB, s *sandbox)

var scenes = map[string]scene{
	"empty":  func(testing.TB, *sandbox) {},
	"rich":   richScene,
	"plain":  plainScene,
	"nat":    natScene,
	"helper": helperScene,
	"labels": labelScene,
}

// richTable has every protocol and attribute which can be created by command. Timeouts have many digits left to lose.
const richTable = `
-I -s 1.1.1.1 -d 2.2.2.2 -p tcp --sport 10 --dport 20 --state ESTABLISHED -u SEEN_REPLY,ASSURED -t 5000
-I -s 1.1.1.1 -d 2.2.2.2 -p tcp --sport 11 --dport 20 --state SYN_SENT -t 5000 -m 1
-I -s 1.1.1.1 -d 2.2.2.2 -p tcp --sport 12 --dport 20 --state TIME_WAIT -u ASSURED,SEEN_REPLY -t 5000 -m 0xffffffff
-I -s 1.1.1.1 -d 2.2.2.2 -p tcp --sport 13 --dport 20 --state LISTEN -u SEEN_REPLY -t 5000
-I -s 1.1.1.1 -d 2.2.2.2 -p tcp --sport 14 --dport 20 --state CLOSE -u FIXED_TIMEOUT -t 5000
-I -s 2001:db8::1 -d 2001:db8::2 -p tcp --sport 10 --dport 20 --state CLOSE_WAIT -u SEEN_REPLY,ASSURED -t 5000
-I -s 1.1.1.1 -d 2.2.2.2 -p udp --sport 10 --dport 20 -t 5000
-I -s 1.1.1.2 -d 2.2.2.2 -p udp --sport 65535 --dport 1 -u SEEN_REPLY -t 5000 -m 5
-I -s 2001:db8::1 -d 2001:db8::2 -p udp --sport 10 --dport 20 -u SEEN_REPLY,ASSURED -t 5000 -m 21
-I -s ::5:1 -d 2001:0:0:1::2 -p udp --sport 10 --dport 20 -t 5000
-I -r 3.3.3.3 -q 4.4.4.4 -p 200 -t 5000
-I -s 1.1.1.1 -d 2.2.2.2 -r 9.9.9.9 -q 8.8.8.8 -p udp --sport 1 --dport 2 --reply-port-src 3 --reply-port-dst 4 -t 5000
-I -s 1.1.1.1 -d 2.2.2.2 -p udplite --sport 10 --dport 20 -t 5000
-I -s 1.1.1.1 -d 2.2.2.2 -p sctp --sport 10 --dport 20 --state ESTABLISHED --orig-vtag 305419896 --reply-vtag 1 -u SEEN_REPLY,ASSURED -t 5000
-I -s 2001:db8::1 -d 2001:db8::2 -p sctp --sport 10 --dport 20 --state COOKIE_WAIT --orig-vtag 1 --reply-vtag 2 -t 5000
-I -s 1.1.1.1 -d 2.2.2.2 -p icmp --icmp-type 8 --icmp-code 0 --icmp-id 99 -t 5000
-I -s 1.1.1.1 -d 2.2.2.2 -p icmp --icmp-type 13 --icmp-code 0 --icmp-id 98 -u SEEN_REPLY -t 5000
-I -s 2001:db8::1 -d 2001:db8::2 -p icmpv6 --icmpv6-type 128 --icmpv6-code 0 --icmpv6-id 97 -t 5000
-I -s 1.1.1.1 -d 2.2.2.2 -p gre --srckey 0x8 --dstkey 65535 -t 5000
-I -s 1.1.1.1 -d 2.2.2.2 -p 47 --srckey 010 --dstkey 0 -t 5000 -m 5
-I -s 1.1.1.1 -d 2.2.2.2 -p 200 -t 5000
-I -s 2001:db8::1 -d 2001:db8::2 -p 201 -t 5000
-I -s 1.1.1.1 -d 2.2.2.2 -p igmp -t 5000
-I -s 1.1.1.3 -d 2.2.2.2 -p udp --sport 10 --dport 20 -t 5000 -w 7
-I -s 1.1.1.3 -d 2.2.2.2 -p udp --sport 10 --dport 20 -t 5000 -w 65535 -m 5
-I -s 1.1.1.4 -d 2.2.2.2 -p udp --sport 10 --dport 20 -t 5000 --orig-zone 8
-I -s 1.1.1.5 -d 2.2.2.2 -p udp --sport 10 --dport 20 -t 5000 --reply-zone 9
-I -s 1.1.2.1 -d 2.2.2.2 -p udp --sport 10 --dport 20 -t 5000 -n 5.5.5.5
-I -s 1.1.2.2 -d 2.2.2.2 -p udp --sport 10 --dport 20 -t 5000 -n 5.5.5.5:1000
-I -s 1.1.2.3 -d 2.2.2.2 -p tcp --sport 10 --dport 20 --state ESTABLISHED -t 5000 -g 6.6.6.6:53
-I -s 1.1.2.4 -d 2.2.2.2 -p udp --sport 10 --dport 20 -t 5000 -n 7.7.7.7 -g 6.6.6.6
-I -s 1.1.2.5 -d 2.2.2.2 -p icmp --icmp-type 8 --icmp-code 0 --icmp-id 7 -t 5000 -n 5.5.5.5
-I -s fd00::1 -d fd00::2 -p udp --sport 10 --dport 20 -t 5000 -n fd00::5
-I -s fd00::1 -d fd00::2 -p udp --sport 11 --dport 20 -t 5000 -g [fd00::6]:99
`

// plainTable is small, and has nothing which stops one of the programs half-way through an update.
const plainTable = `
-I -s 1.1.1.1 -d 2.2.2.2 -p tcp --sport 10 --dport 20 --state ESTABLISHED -u SEEN_REPLY,ASSURED -t 5000
-I -s 1.1.1.2 -d 2.2.2.2 -p udp --sport 10 --dport 20 -t 5000 -m 5
-I -s 1.1.1.3 -d 2.2.2.2 -p udp --sport 10 --dport 20 -u SEEN_REPLY -t 5000 -m 0xff
-I -s 2001:db8::1 -d 2001:db8::2 -p udp --sport 10 --dport 20 -t 5000
-I -s 1.1.1.1 -d 2.2.2.2 -p sctp --sport 10 --dport 20 --state ESTABLISHED --orig-vtag 3 --reply-vtag 1 -t 5000
-I -s 1.1.1.1 -d 2.2.2.2 -p icmp --icmp-type 8 --icmp-code 0 --icmp-id 99 -t 5000
`

func richScene(_ testing.TB, s *sandbox) { s.load(richTable) }

func plainScene(_ testing.TB, s *sandbox) { s.load(plainTable) }

// load creates entries with one start of the program.
func (s *sandbox) load(lines string) {
	s.t.Helper()
	if r := s.run(job{argv: []string{"conntrack", "-R", "-"}, stdin: lines}); r.exit != 0 {
		s.t.Fatalf("load table: %v", r)
	}
}

// natScene is real traffic through the sandbox as a router which translates addresses, with counters and time stamps.
func natScene(t testing.TB, s *sandbox) {
	r := nstest.NewRouted(t)
	s.ns = r.Router
	r.Router.Sysctl("net/netfilter/nf_conntrack_acct", "1")
	r.Router.Sysctl("net/netfilter/nf_conntrack_timestamp", "1")
	patience(r.Router)
	s.must("nft", `
		table inet nat {
			chain pre {
				type nat hook prerouting priority dstnat;
				ip daddr 10.1.0.1 udp dport 5353 dnat ip to 10.2.0.2:53
				ip daddr 10.1.0.1 tcp dport 8080 dnat ip to 10.2.0.2:80
				ip6 daddr fd01::1 udp dport 5353 dnat ip6 to [fd02::2]:53
			}
			chain post {
				type nat hook postrouting priority srcnat;
				ip saddr 10.1.0.0/24 udp dport 7 masquerade
				ip saddr 10.1.0.0/24 tcp dport 7 snat to 10.2.0.1:40000
				ip saddr 10.1.0.0/24 meta l4proto icmp masquerade
				ip6 saddr fd01::/64 udp dport 7 masquerade
			}
		}`)
	for _, network := range []string{"udp", "tcp"} {
		for _, addr := range []string{"10.2.0.2:7", "10.2.0.2:9", "10.2.0.2:53", "10.2.0.2:80", "[fd02::2]:7", "[fd02::2]:53"} {
			nstest.ServeEcho(t, r.Server, network, addr)
		}
	}
	for _, x := range []struct{ network, from, to string }{
		{"udp", "10.1.0.2:4000", "10.2.0.2:7"},      // source NAT
		{"udp", "10.1.0.2:4000", "10.1.0.1:5353"},   // destination NAT, with port
		{"udp", "10.1.0.2:4000", "10.2.0.2:9"},      // none
		{"udp", "[fd01::2]:4000", "[fd02::2]:7"},    // IPv6
		{"udp", "[fd01::2]:4000", "[fd01::1]:5353"}, //
		{"tcp", "10.1.0.2:4001", "10.2.0.2:7"},
		{"tcp", "10.1.0.2:4001", "10.1.0.1:8080"},
		{"tcp", "[fd01::2]:4001", "[fd02::2]:53"},
	} {
		nstest.Exchange(t, r.Client, x.network, netip.MustParseAddrPort(x.from), netip.MustParseAddrPort(x.to), 4)
	}
	// Nobody answers on this port but the server's kernel, with an error which belongs to the entry.
	nstest.Send(t, r.Client, netip.MustParseAddrPort("10.1.0.2:4002"), netip.MustParseAddrPort("10.2.0.2:7777"), "hi")
	nstest.Ping(t, r.Client, netip.MustParseAddr("10.2.0.2"), 77)
	nstest.Ping(t, r.Client, netip.MustParseAddr("fd02::2"), 78)
	quiet(t, s)
}

// patience keeps entries from expiring while a test looks at them.
func patience(ns *nstest.NS) {
	for _, name := range []string{"udp_timeout", "udp_timeout_stream", "icmp_timeout", "icmpv6_timeout", "generic_timeout",
		"tcp_timeout_time_wait", "tcp_timeout_close", "tcp_timeout_last_ack", "tcp_timeout_fin_wait", "tcp_timeout_close_wait"} {
		ns.Sysctl("net/netfilter/nf_conntrack_"+name, "5000")
	}
}

// quiet waits until the last packets have been counted: two listings in a row are the same.
func quiet(t testing.TB, s *sandbox) {
	t.Helper()
	last := ""
	nstest.Wait(t, "a quiet table", func() bool {
		now := apply(timeRules, s.must("conntrack", "-L", "-o", "id"))
		defer func() { last = now }()
		if now != last {
			time.Sleep(100 * time.Millisecond)
		}
		return now == last && !strings.Contains(now, " FIN_WAIT ") && !strings.Contains(now, " LAST_ACK ")
	})
}

// helperScene has connections with helpers, and the expectations these made.
func helperScene(t testing.TB, s *sandbox) {
	s.ns.LoopbackUp()
	patience(s.ns)
	s.must("nft", `
		table inet t {
			ct helper tftp { type "tftp" protocol udp; }
			ct helper ftp { type "ftp" protocol tcp; }
			chain out {
				type filter hook output priority 0;
				udp dport 69 ct helper set "tftp"
				tcp dport 21 ct helper set "ftp"
			}
		}`)
	for i, host := range []string{"127.0.0.1", "[::1]"} {
		tftp := nstest.ServeEcho(t, s.ns, "udp", host+":69")
		client := netip.AddrPortFrom(tftp.Addr(), 40070)
		asking := nstest.Dial(t, s.ns, "udp", client, tftp)
		if _, err := asking.Write([]byte("\x00\x01f\x00octet\x00")); err != nil {
			t.Fatal(err)
		}
		// The entry stays as it is only from its first answer on.
		if _, err := asking.Read(make([]byte, 64)); err != nil {
			t.Fatal(err)
		}
		asking.Close()

		ftp := nstest.ServeEcho(t, s.ns, "tcp", host+":21")
		control := nstest.Dial(t, s.ns, "tcp", netip.AddrPortFrom(ftp.Addr(), 40071), ftp)
		request := []string{"PORT 127,0,0,1,200,10\r\n", "EPRT |2|::1|51210|\r\n"}[i]
		if _, err := control.Write([]byte(request)); err != nil {
			t.Fatal(err)
		}
		// The echo proves that the request has passed the helper.
		if _, err := control.Read(make([]byte, 64)); err != nil {
			t.Fatal(err)
		}
	}
}

// labelMap is what both programs find in /etc/xtables/connlabel.conf.
const labelMap = `# bits and names
0 zero
1	one
5 spaced name
 7   blanks
31 bit31
32 bit32
100 hundred
1 again
40 zero
41 bad.name
2000 toolarge
nonsense
`

// labelScene has entries with labels; a rule which tests one is what makes the kernel keep them.
func labelScene(t testing.TB, s *sandbox) {
	s.etc = newEtc(t, map[string]string{"xtables/connlabel.conf": labelMap})
	s.must("nft", `table inet t { chain o { type filter hook output priority 0; meta mark 0xdead ct label set 5; }; }`)
	s.load(`
-I -s 1.1.1.1 -d 2.2.2.2 -p udp --sport 10 --dport 20 -t 5000
-I -s 1.1.1.2 -d 2.2.2.2 -p udp --sport 10 --dport 20 -t 5000
-I -s 2001:db8::1 -d 2001:db8::2 -p udp --sport 10 --dport 20 -t 5000
`)
	s.must("conntrack", "-U", "-s", "1.1.1.1", "--label-add", "hundred,zero,one")
	s.must("conntrack", "-U", "-s", "2001:db8::1", "--label-add", "spaced name")
}
