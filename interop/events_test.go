//go:build linux

package interop_test

import (
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/spoor-project/spoor/internal/nstest"
)

// following has the command lines which show events; see commandLines for the notation. What 1.4.9 prints otherwise than 1.4.7
// is evened out by eventRules.
const following = `
	-E {-o extended|-o id|-o save|-o xml|-o labels|-o ktimestamp|-o timestamp|-o userspace}
	-E -o {extended,id|xml,extended|timestamp,extended,id|xml,timestamp|id,ktimestamp}
	-E
	-E conntrack
	--event
	-E -e {NEW|UPDATES|DESTROY|NEW,DESTROY|ALL|all|u|DE|NEW,UPDATES,DESTROY}
	-E -e NEW -e DESTROY
	-E -e {D|SRC_NAT} # swallowed with a warning, and so no events at all
	-E -e NEW,D
	-E -f {ipv4|ipv6}
	-E -p {tcp|udp|icmp|sctp|200|gre}
	-E -p {tcp|udp} -o xml
	-E -p tcp --state {ESTABLISHED|SYN_SENT|TIME_WAIT}
	-E -p udp --{sport 10|dport 20|dport 6666|reply-port-src 20}
	-E -s {1.1.1.1|127.0.0.1|2001:db8::/32|1.1.1.0/24|9.9.9.9}
	-E -d 2.2.2.2 -p udp
	-E -s 1.0.0.1 --mask-src 255.0.0.255
	-E -r 2.2.2.2
	-E -q 5.5.5.5
	-E -m {0|5|1/1}
	-E -w {0|7}
	-E --orig-zone 8
	-E --reply-zone 9
	-E {-n|-g|-j}
	-E -n {5.5.5.5|9.9.9.9}
	-E -g 6.6.6.6 -o save
	-E -j {5.5.5.5|6.6.6.6}
	-E -b 100000
	-E -e D -b {1|0|x} # too little for events
	-E -b 100000 -e NEW
	-E -c 5
	-E expect
	-E expect -o {xml|timestamp|extended|xml,timestamp}
	--event expect
`

// TestEvents starts following commands of either program in one namespace, lets things happen, and wants that each pair has
// seen the same. All see the same messages, so that hardly anything has to be evened out.
func TestEvents(t *testing.T) {
	t.Parallel()
	// Each program looks through all processes for the sender of each event: a few at a time are quicker than all at once.
	for batch := range slices.Chunk(commandLines(following), 24) {
		follow(t, batch, "1")
	}
	follow(t, commandLines("-E -o {ktimestamp|xml,ktimestamp|timestamp|extended,id}"), "0")
}

// follow is one such run; timestamp is the sysctl which makes the kernel note when entries come and go.
func follow(t *testing.T, lines [][]string, timestamp string) {
	t.Helper()
	a := newSandbox(t, theirs(t))
	b := a.with(ours(t))
	a.ns.Sysctl("net/netfilter/nf_conntrack_acct", "1")
	a.ns.Sysctl("net/netfilter/nf_conntrack_timestamp", timestamp)

	// The third of each is a second one of ours. It shows that time stamps are the kernel's, as both print the same; 1.4.7 prints
	// when it received an event.
	var all [][3]*process
	for _, argv := range lines {
		j := job{argv: argv}
		trio := [3]*process{a.begin(j), b.begin(j)}
		if timestamp == "1" && slices.Contains(argv, "timestamp") && !slices.Contains(argv, "expect") && !b.tool.foreign {
			trio[2] = b.begin(j)
		}
		all = append(all, trio)
	}
	each(all, (*process).follows)
	happen(t, a)
	time.Sleep(300 * time.Millisecond) // some events come from timers
	each(all, (*process).idles)
	each(all, (*process).interrupt)
	for i, argv := range lines {
		want, got := all[i][0].end(), all[i][1].end()
		var again result
		if all[i][2] != nil {
			again = all[i][2].end()
		}
		t.Run(label(argv), func(t *testing.T) {
			compare(t, argv, want, got, versionRules, stampRules, eventRules)
			if all[i][2] != nil {
				compare(t, append(argv, "twice"), got, again, eventRules)
			}
		})
	}
}

// each applies fn to all processes at once.
func each(all [][3]*process, fn func(*process)) {
	var wg sync.WaitGroup
	for _, trio := range all {
		for _, p := range trio {
			if p != nil {
				wg.Go(func() { fn(p) })
			}
		}
	}
	wg.Wait()
}

// happen is a history in which every kind of event, entry and origin occurs.
func happen(t testing.TB, s *sandbox) {
	t.Helper()
	helperScene(t, s) // has traffic of its own, and expectations
	udp := nstest.ServeEcho(t, s.ns, "udp", "127.0.0.1:6666")
	nstest.Exchange(t, s.ns, "udp", netip.MustParseAddrPort("127.0.0.1:4444"), udp, 2)
	tcp := nstest.ServeEcho(t, s.ns, "tcp", "[::1]:6666")
	nstest.Exchange(t, s.ns, "tcp", netip.MustParseAddrPort("[::1]:4444"), tcp, 1)
	nstest.Ping(t, s.ns, netip.MustParseAddr("127.0.0.1"), 77)

	for _, argv := range commandLines(`
		-I -s 1.1.1.1 -d 2.2.2.2 -p tcp --sport 10 --dport 20 --state ESTABLISHED -u SEEN_REPLY,ASSURED -t 50
		-U -s 1.1.1.1 -m 5
		-U -s 1.1.1.1 -p tcp --state TIME_WAIT
		-D -s 1.1.1.1
		-I -s 1.1.1.2 -d 2.2.2.2 -p udp --sport 10 --dport 20 -t 50 -m 1
		-I -s 1.1.1.3 -d 2.2.2.2 -p udp --sport 10 --dport 20 -t 50 -w 7
		-I -s 1.1.1.4 -d 2.2.2.2 -p udp --sport 10 --dport 20 -t 50 --orig-zone 8
		-I -s 1.1.1.5 -d 2.2.2.2 -p udp --sport 10 --dport 20 -t 50 --reply-zone 9
		-I -s 1.1.2.1 -d 2.2.2.2 -p udp --sport 10 --dport 20 -t 50 -n 5.5.5.5
		-I -s 1.1.2.2 -d 2.2.2.2 -p udp --sport 10 --dport 20 -t 50 -g 6.6.6.6:53
		-I -s 2001:db8::1 -d 2001:db8::2 -p sctp --sport 10 --dport 20 --state COOKIE_WAIT --orig-vtag 1 --reply-vtag 2 -t 50
		-I -s 1.1.1.1 -d 2.2.2.2 -p icmp --icmp-type 8 --icmp-code 0 --icmp-id 99 -t 50
		-I -s 1.1.1.1 -d 2.2.2.2 -p gre --srckey 8 --dstkey 9 -t 50
		-I -s 1.1.1.1 -d 2.2.2.2 -p 200 -t 50
		-D -p udp
		-F expect
		-F
	`) {
		s.setup(argv...)
	}
}
