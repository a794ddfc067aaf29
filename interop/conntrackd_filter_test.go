//go:build linux

package interop_test

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/spoor-project/spoor/internal/agent"
	"github.com/spoor-project/spoor/internal/nstest"
)

// eventCounts are the events that a daemon has received and filtered.
func (n *node) eventCounts() (received, filtered string) {
	text := n.ask(agent.StatRuntime)
	field := func(name string) string {
		m := regexp.MustCompile(name + `:\s*(\d+)`).FindStringSubmatch(text)
		if m == nil {
			n.t.Fatalf("no %s in %s", name, text)
		}
		return m[1]
	}
	return field("events received"), field("events filtered")
}

// TestConntrackdFiltersInTheKernel: what does not pass never reaches either daemon, and the cache is the same as with a filter in
// user space.
func TestConntrackdFiltersInTheKernel(t *testing.T) {
	t.Parallel()
	const sets = `Protocol Accept { UDP TCP } State Ignore { SYN_SENT for TCP }`
	const flows = `-I -p udp -s 192.0.2.1 -d 198.51.100.1 --sport 1 --dport 53 -t 5000
-I -p udp -s 192.0.2.1 -d 10.0.0.9 --sport 2 --dport 53 -t 5000
-I -p udp -s 10.1.2.3 -d 192.0.2.9 --sport 3 --dport 53 -t 5000
-I -p tcp -s 192.0.2.3 -d 198.51.100.1 --sport 3 --dport 80 -t 5000 --state ESTABLISHED -u SEEN_REPLY,ASSURED
-I -p tcp -s 192.0.2.3 -d 198.51.100.1 --sport 4 --dport 80 -t 5000 --state SYN_SENT
-I -p udp -s 2001:db8::1 -d 2001:db8::2 --sport 4 --dport 53 -t 5000
-I -p udp -s fd00::5 -d 2001:db8::2 --sport 4 --dport 53 -t 5000
-I -p icmp -s 192.0.2.1 -d 198.51.100.1 --icmp-type 8 --icmp-code 0 --icmp-id 9 -t 5000
-I -p gre -s 192.0.2.1 -d 198.51.100.1 --srckey 1 --dstkey 2 -t 5000
`
	their, our := theirDaemon(t), ourDaemon(t)
	run := func(t *testing.T, tl tool, from, flowsLeft string) (n *node, cache string) {
		left, _ := nstest.Pair(t)
		n = newNode(t, "a", left, tl)
		n.write("conf", "Stats { }\n"+strings.Replace(n.general(""), "From Userspace {", from+" { "+sets, 1))
		n.start()
		n.load(flows)
		settles(t, "the cache", flowsLeft, func() string { return fmt.Sprint(strings.Count(n.internal(), "\n")) })
		log, _ := os.ReadFile(n.log)
		if want := strings.ToLower(strings.TrimPrefix(from, "From ")); !strings.Contains(string(log), "using "+strings.Replace(want, "space", "-space", 1)+" event filtering\n") {
			t.Errorf("log:\n%s", log)
		}
		return n, n.internal()
	}
	user, want := run(t, our, "From Userspace", "3")
	if received, filtered := user.eventCounts(); received != "9" || filtered != "6" {
		t.Errorf("in user space: %s events received, %s filtered", received, filtered)
	}
	kernel, got := run(t, our, "From Kernelspace", "3")
	if got != want {
		t.Errorf("the caches differ:\n%s", differing(want, got))
	}
	if received, filtered := kernel.eventCounts(); received != "3" || filtered != "0" {
		t.Errorf("in the kernel: %s events received, %s filtered", received, filtered)
	}
	// The original's program lets the ignored source of IPv6 pass.
	reference, _ := run(t, their, "From Kernelspace", "4")
	if received, filtered := reference.eventCounts(); received != "4" || filtered != "0" {
		t.Errorf("theirs: %s events received, %s filtered", received, filtered)
	}
	// The end of a connection in any state, and of the others none.
	kernel.must("conntrack", "-U", "-p", "tcp", "--sport", "3", "--state", "SYN_SENT")
	kernel.must("conntrack", "-D", "-p", "tcp")
	settles(t, "the cache after the end", "2", func() string { return fmt.Sprint(strings.Count(kernel.internal(), "\n")) })
	// A reload takes the program away, and brings another one.
	for i, c := range []struct{ filter, received string }{
		{"From Userspace { Protocol Accept { ICMP }", "2"}, {"From Kernelspace { Protocol Accept { ICMP }", "1"},
		{"From Kernelspace {", "2"}, {"From Userspace {", "2"}, {"From Kernelspace { Protocol Ignore { UDP }", "1"},
	} {
		kernel.write("conf", "Stats { }\n"+strings.Replace(kernel.general(""), "From Userspace {", c.filter, 1))
		kernel.hup()
		before, _ := kernel.eventCounts()
		kernel.load(fmt.Sprintf("-I -p udp -s 192.0.2.1 -d 198.51.100.1 --sport %d --dport 54 -t 5000\n", i+1))
		kernel.load(fmt.Sprintf("-I -p icmp -s 192.0.2.1 -d 198.51.100.1 --icmp-type 8 --icmp-code 0 --icmp-id %d -t 5000\n", 100+i))
		nstest.Wait(t, "the second event", func() bool { return strings.Contains(kernel.internal(), fmt.Sprintf(" id=%d ", 100+i)) })
		after, _ := kernel.eventCounts()
		x, _ := strconv.Atoi(before)
		y, _ := strconv.Atoi(after)
		if fmt.Sprint(y-x) != c.received {
			t.Errorf("%s: %d events received of two, want %s", c.filter, y-x, c.received)
		}
	}
}

// TestConntrackdFiltersWithLittleMemory: what the kernel has no memory for is left to the daemon, the rest is not.
func TestConntrackdFiltersWithLittleMemory(t *testing.T) {
	t.Parallel()
	left, _ := nstest.Pair(t)
	n := newNode(t, "a", left, ourDaemon(t))
	var list strings.Builder
	for i := range 400 {
		fmt.Fprintf(&list, "IPv4_address 203.0.%d.%d\n", i/200, 1+i%200)
	}
	// The namespace has a limit of its own since Linux 6.8; before, it is not there.
	want := "2 events received, 1 filtered"
	if r := n.run(job{argv: []string{"sysctl", "-w", "net.core.optmem_max=20480"}}); r.exit != 0 {
		want = "1 events received, 0 filtered"
	}
	n.write("conf", "Stats { }\n"+strings.Replace(n.general(""), "From Userspace {",
		"From Kernelspace { Protocol Accept { UDP } Address Ignore { "+list.String()+"}", 1))
	n.start()
	n.load(`-I -p icmp -s 192.0.2.1 -d 198.51.100.1 --icmp-type 8 --icmp-code 0 --icmp-id 9 -t 5000
-I -p udp -s 203.0.1.200 -d 198.51.100.1 --sport 1 --dport 53 -t 5000
-I -p udp -s 203.0.1.201 -d 198.51.100.1 --sport 1 --dport 53 -t 5000
`)
	settles(t, "the cache", "1", func() string { return fmt.Sprint(strings.Count(n.internal(), "\n")) })
	if !strings.Contains(n.internal(), "src=203.0.1.201 ") {
		t.Error(n.internal())
	}
	received, filtered := n.eventCounts()
	if got := fmt.Sprintf("%s events received, %s filtered", received, filtered); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	n.stop()
}
