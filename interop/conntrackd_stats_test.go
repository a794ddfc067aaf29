//go:build linux

package interop_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/spoor-project/spoor/internal/agent"
	"github.com/spoor-project/spoor/internal/nstest"
)

// TestConntrackdLogsWhatHasEnded: both programs write the same lines, whether the kernel tells of each end or its table is polled.
func TestConntrackdLogsWhatHasEnded(t *testing.T) {
	t.Parallel()
	their, our := theirDaemon(t), ourDaemon(t)
	for _, general := range []string{"", "PollSecs 1"} {
		t.Run(general, func(t *testing.T) {
			t.Parallel()
			ours, theirs := loggedEnds(t, our, general), loggedEnds(t, their, general)
			if ours != theirs || !strings.Contains(ours, "src=192.0.2.9 ") {
				t.Errorf("ours\n%stheirs\n%s", ours, theirs)
			}
		})
	}
}

func loggedEnds(t *testing.T, tl tool, general string) string {
	left, _ := nstest.Pair(t)
	n := newNode(t, "a", left, tl)
	stats := filepath.Join(n.dir, "stats")
	n.write("conf", fmt.Sprintf("Stats { LogFile %s }\n%s", stats, n.general(general)))
	// Otherwise a flow that began while nobody on the whole machine listened would never cause an event.
	left.Sysctl("net/netfilter/nf_conntrack_events", "1")
	n.load("-I -p udp -s 192.0.2.9 -d 198.51.100.1 --sport 5 --dport 53 -t 5000\n") // before the start
	n.start()
	n.load(`-I -p udp -s 192.0.2.1 -d 198.51.100.1 --sport 1 --dport 53 -t 5000
-I -p udp -s 192.0.2.2 -d 198.51.100.1 --sport 2 --dport 53 -t 5000 -m 7
-I -p tcp -s 192.0.2.3 -d 198.51.100.1 --sport 3 --dport 80 -t 5000 --state ESTABLISHED -u SEEN_REPLY,ASSURED
-I -p udp -s 2001:db8::1 -d 2001:db8::2 --sport 4 --dport 53 -t 5000
-I -p udp -s 192.0.2.1 -d 10.0.0.9 --sport 4 --dport 53 -t 5000
`)
	settles(t, "the first reading", "5", func() string { return fmt.Sprint(strings.Count(n.internal(), "\n")) })
	n.load("-D -p udp -s 192.0.2.9\n-D -p udp -s 192.0.2.2\n-D -p tcp -s 192.0.2.3\n-D -p udp -s 2001:db8::1 -d 2001:db8::2\n-U -p udp -s 192.0.2.1 -m 5\n")
	var text string
	settles(t, "lines of ended flows", "4", func() string {
		b, _ := os.ReadFile(stats)
		text = string(b)
		return fmt.Sprint(strings.Count(text, "\n"))
	})
	settles(t, "the mark", "udp      17 src=192.0.2.1 dst=198.51.100.1 sport=1 dport=53 [UNREPLIED] src=198.51.100.1 dst=192.0.2.1 sport=53 dport=1 mark=5\n",
		n.internal)
	text += n.ask(agent.StatGeneral)
	if general != "" {
		// What lives on is read again and again, and counted as updated.
		before, rest, _ := strings.Cut(text, "connections updated:")
		_, rest, _ = strings.Cut(rest, "\n")
		text = before + rest
	}
	n.stop()
	var lines []string
	for line := range strings.Lines(text) {
		if _, flow, ok := strings.Cut(line, "\t"); ok && strings.Contains(line, "src=") {
			line = flow
		}
		lines = append(lines, line)
	}
	return sortLines(strings.Join(lines, ""))
}

// TestConntrackdLogsWhatItHasMissed: the kernel drops events while the daemon sleeps; the table tells it what has ended.
func TestConntrackdLogsWhatItHasMissed(t *testing.T) {
	t.Parallel()
	left, _ := nstest.Pair(t)
	n := newNode(t, "a", left, ourDaemon(t))
	stats := filepath.Join(n.dir, "stats")
	general := strings.NewReplacer("NetlinkBufferSize 2097152", "NetlinkBufferSize 65536", "MaxGrowth 8388608", "MaxGrowth 65536").Replace(n.general("NetlinkOverrunResync 1"))
	n.write("conf", fmt.Sprintf("Stats { LogFile %s }\n%s", stats, general))
	const flows = 3000
	var lines strings.Builder
	for i := range flows {
		fmt.Fprintf(&lines, "-I -p udp -s 192.0.2.1 -d 198.51.100.1 --sport %d --dport 53 -t 5000\n", 1024+i)
	}
	n.load(lines.String())
	n.start()
	settles(t, "the first reading", fmt.Sprint(flows), func() string { return fmt.Sprint(strings.Count(n.internal(), "\n")) })
	n.running.cmd.Process.Signal(syscall.SIGSTOP)
	n.must("conntrack", "-F")
	n.running.cmd.Process.Signal(syscall.SIGCONT)
	settles(t, "lines of ended flows", fmt.Sprint(flows), func() string {
		b, _ := os.ReadFile(stats)
		return fmt.Sprint(strings.Count(string(b), "\n"))
	})
	if text := n.ask(agent.StatRuntime); strings.Contains(text, "netlink overrun:\t\t           0\n") || n.internal() != "" {
		t.Errorf("nothing was missed:\n%s", text)
	}
	n.stop()
}
