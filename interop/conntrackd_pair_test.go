//go:build linux

package interop_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/internal/agent"
	"github.com/spoor-project/spoor/internal/nstest"
)

// The tests of conntrackd run our daemon and the distribution's, 1.4.7, each in a namespace of its own, with a cable between
// them. SPOOR_INTEROP_CONNTRACKD names a program to test in place of ./cmd/conntrackd: with the distribution's own program
// they show whether they are right.

// daemonLife ends a daemon that a test forgot; a soak takes as long as it takes.
const daemonLife = 5 * time.Minute

// patienceLimit is how long something may take that has to come by itself.
const patienceLimit = 30 * time.Second

// ourDaemon is the conntrackd under test.
func ourDaemon(t testing.TB) tool {
	t.Helper()
	nstest.NeedRoot(t)
	if path := os.Getenv("SPOOR_INTEROP_CONNTRACKD"); path != "" {
		return daemonTool(t, path)
	}
	return daemonTool(t, nstest.BuildCommand(t, "./cmd/conntrackd"))
}

// theirDaemon is the distribution's conntrackd.
func theirDaemon(t testing.TB) tool {
	t.Helper()
	nstest.NeedTool(t, "conntrackd")
	path, err := nstest.LookTool("conntrackd")
	if err != nil {
		t.Fatal(err)
	}
	return daemonTool(t, path)
}

// daemonTool is a conntrackd, and our conntrack: that of 1.4.7 now and then ends an update of several flows with "Protocol
// error" while something else happens. Scripts have nothing to log to.
func daemonTool(t testing.TB, conntrackd string) tool {
	t.Helper()
	nstest.NeedTool(t, "ip", "nft")
	dir, err := os.MkdirTemp("", "spoor-bin-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	nothing, err := nstest.LookTool("true")
	if err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{
		"conntrackd": conntrackd, "conntrack": nstest.BuildCommand(t, "./cmd/conntrack"), "logger": nothing,
	} {
		path, err := filepath.Abs(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	version, err := exec.Command(conntrackd, "-v").Output()
	if err != nil {
		t.Fatal(err)
	}
	return tool{bin: dir, foreign: !strings.Contains(string(version), "spoor")}
}

// setup is what the nodes of a pair have in common. The zero setup is FTFW over UDP and IPv4.
type setup struct {
	mode     string // FTFW
	timers   string // lines of the mode's block
	channel  string // UDP
	v6       bool   // addresses of the channel
	link     string // lines of the channel's block
	options  string // lines of the block Options
	general  string // lines of the section General
	channels string // in place of the block that channel and v6 make; %[1]d is the node's number, %[2]d the peer's
}

func (s setup) String() string {
	return fmt.Sprintf("%s/%s/IPv%d", cmp.Or(s.mode, "FTFW"), cmp.Or(s.channel, "UDP"), map[bool]int{false: 4, true: 6}[s.v6])
}

// dedicated is the block of the channel of node number own, whose peer is number peer.
func (s setup) dedicated(own, peer int) string {
	if s.channels != "" {
		return fmt.Sprintf(s.channels, own, peer)
	}
	kind := cmp.Or(s.channel, "UDP")
	var b strings.Builder
	fmt.Fprintf(&b, "%s Default {\n", kind)
	switch {
	case kind == "Multicast" && s.v6: // the device has to follow the group
		fmt.Fprintf(&b, "IPv6_address ff05::3780\nGroup 3780\n")
	case kind == "Multicast":
		fmt.Fprintf(&b, "IPv4_address 225.0.0.50\nGroup 3780\nIPv4_interface 10.0.0.%d\n", own)
	case s.v6:
		fmt.Fprintf(&b, "IPv6_address fd00::%d\nIPv6_Destination_Address fd00::%d\nPort 3780\n", own, peer)
	default:
		fmt.Fprintf(&b, "IPv4_address 10.0.0.%d\nIPv4_Destination_Address 10.0.0.%d\nPort 3780\n", own, peer)
	}
	fmt.Fprintf(&b, "Interface eth0\n%s\n}\n", s.link)
	return b.String()
}

// node is a daemon in its namespace.
type node struct {
	*sandbox
	name                 string
	conf, ctl, lock, log string
	running              *running // nil: not
}

// running is a daemon in the foreground.
type running struct {
	cmd            *nstest.Cmd
	cancel         context.CancelFunc
	stdout, stderr lockedBuffer
	ended          chan error
}

// lockedBuffer is written by a process and read meanwhile.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// newNode makes a node that does not run yet. The paths of a daemon are short: that of the socket has a limit, and the
// directory of the test has a long name.
func newNode(t testing.TB, name string, ns *nstest.NS, tl tool) *node {
	t.Helper()
	dir, err := os.MkdirTemp("", "spoor-node-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	n := &node{sandbox: &sandbox{t: t, ns: ns, dir: dir, tool: tl}, name: name}
	n.conf, n.ctl, n.lock, n.log = filepath.Join(dir, "conf"), filepath.Join(dir, "ctl"), filepath.Join(dir, "lock"), filepath.Join(dir, "log")
	t.Cleanup(func() {
		n.endStray()
		if t.Failed() {
			text, _ := os.ReadFile(n.log)
			t.Logf("%s: log\n%s", name, text)
		}
	})
	return n
}

// general is the section that all nodes have. What the nodes say to each other is none of their business.
func (n *node) general(more string) string {
	return fmt.Sprintf(`General {
		LogFile %s
		LockFile %s
		UNIX { Path %s }
		HashSize 16384
		NetlinkBufferSize 2097152
		NetlinkBufferSizeMaxGrowth 8388608
		%s
		Filter From Userspace {
			Address Ignore {
				IPv4_address 127.0.0.1 IPv4_address 10.0.0.0/8 IPv4_address 225.0.0.50
				IPv6_address ::1 IPv6_address fd00::/64
			}
		}
	}
	`, n.log, n.lock, n.ctl, more)
}

// configure writes the configuration file.
func (n *node) configure(s setup, own, peer int) {
	n.t.Helper()
	n.write("conf", fmt.Sprintf("Sync {\nMode %s {\n%s\n}\n%sOptions {\n%s\n}\n}\n%s",
		cmp.Or(s.mode, "FTFW"), s.timers, s.dedicated(own, peer), s.options, n.general(s.general)))
}

// start starts the daemon in the foreground and waits until it answers.
func (n *node) start() {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), daemonLife+soak(n.t))
	r := &running{cmd: n.command(ctx, "conntrackd", "-C", n.conf), cancel: cancel, ended: make(chan error, 1)}
	r.cmd.Stdout, r.cmd.Stderr = &r.stdout, &r.stderr
	if err := r.cmd.Start(); err != nil {
		cancel()
		n.t.Fatalf("%s: %v", n.name, err)
	}
	go func() { r.ended <- r.cmd.Wait(); close(r.ended) }()
	n.running = r
	n.t.Cleanup(func() { r.kill() })
	for end := time.Now().Add(patienceLimit); n.ask(agent.StatRuntime) == ""; time.Sleep(5 * time.Millisecond) {
		if len(r.ended) > 0 || time.Now().After(end) {
			n.t.Fatalf("%s does not answer:\n%s%s", n.name, &r.stdout, &r.stderr)
		}
	}
}

// kill ends the process at once, if it is still there, and waits for its end.
func (r *running) kill() {
	r.cmd.Process.Kill()
	r.wait()
}

func (r *running) wait() {
	<-r.ended
	r.cancel()
}

// crash ends the daemon without giving it a chance, and removes what it leaves behind, as an administrator would.
func (n *node) crash() {
	n.t.Helper()
	n.running.kill()
	n.running = nil
	if err := os.Remove(n.lock); err != nil {
		n.t.Errorf("%s left no lock file: %v", n.name, err)
	}
}

// stop ends the daemon in an orderly way.
func (n *node) stop() {
	n.t.Helper()
	n.must("conntrackd", "-C", n.conf, "-k")
	n.gone(n.running)
	n.running = nil
}

// gone waits for the daemon's orderly end.
func (n *node) gone(r *running) {
	n.t.Helper()
	select {
	case err := <-r.ended:
		if err != nil {
			n.t.Errorf("%s: %v\n%s", n.name, err, &r.stderr)
		}
		r.cancel()
	case <-time.After(patienceLimit):
		n.t.Errorf("%s does not stop", n.name)
	}
	if _, err := os.Lstat(n.lock); !errors.Is(err, fs.ErrNotExist) {
		n.t.Errorf("%s left its lock file: %v", n.name, err)
	}
}

// pids are the processes that were started with this node's configuration, which nobody else uses. A daemon in the background is
// known by nothing else.
func (n *node) pids() (all []int) {
	found, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range found {
		line, _ := os.ReadFile(file)
		if slices.Contains(strings.Split(string(line), "\x00"), n.conf) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			all = append(all, pid)
		}
	}
	return all
}

// endStray ends what still runs.
func (n *node) endStray() {
	for _, pid := range n.pids() {
		syscall.Kill(pid, syscall.SIGKILL)
	}
}

// ask asks the daemon without starting a client. The answer is empty if there is nobody.
func (n *node) ask(r agent.Request) string {
	var b strings.Builder
	agent.Ask(n.ctl, r, &b)
	return b.String()
}

// client runs the node's own client, which has to succeed.
func (n *node) client(args ...string) string {
	n.t.Helper()
	return n.must(slices.Concat([]string{"conntrackd", "-C", n.conf}, args)...)
}

// lib opens the kernel's table of the node.
func (n *node) lib() *conntrack.Client {
	n.t.Helper()
	c, err := conntrack.Dial(&conntrack.Options{NetNS: n.ns.Path()})
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { c.Close() })
	return c
}

var (
	ageRules    = []rule{{regexp.MustCompile(` \[active since \d+s\]`), ""}, {regexp.MustCompile(` \[expires in \d+s\]`), ""}}
	secondTuple = regexp.MustCompile(`( src=.*?)(?: packets=\d+ bytes=\d+)?( \[UNREPLIED\])? src=.*?((?: (?:\[ASSURED\]|mark=|zone=|helper=)\S*)*)$`)
)

// external is the external cache, in order, without ages.
func (n *node) external() string { return apply(ageRules, sortLines(n.ask(agent.DumpExternal))) }

// internal is the internal cache, in order, without ages.
func (n *node) internal() string { return apply(ageRules, sortLines(n.ask(agent.DumpInternal))) }

func (n *node) externalExpects() string {
	return apply(ageRules, sortLines(n.ask(agent.DumpExternalExpects)))
}

// told is what a peer shows of what a node's own cache has.
func told(internal string) string {
	var b strings.Builder
	for line := range strings.Lines(internal) {
		b.WriteString(secondTuple.ReplaceAllString(strings.TrimSuffix(line, "\n"), "$1$2$3") + "\n")
	}
	return sortLines(b.String())
}

// settles waits until something is as it should be.
func settles(t testing.TB, what, want string, got func() string) bool {
	t.Helper()
	return settlesWithin(t, patienceLimit, what, func() string { return want }, got)
}

// agree waits until two things which may both change are equal.
func agree(t testing.TB, what string, want, got func() string) bool {
	t.Helper()
	return settlesWithin(t, patienceLimit, what, want, got)
}

func settlesWithin(t testing.TB, limit time.Duration, what string, want, got func() string) bool {
	t.Helper()
	for end := time.Now().Add(limit); ; {
		begun := time.Now()
		w, g := want(), got()
		if w == g {
			return true
		}
		if time.Now().After(end) {
			t.Errorf("%s\n%s", what, differing(w, g))
			return false
		}
		// Looking at a table takes its time, when there are many flows in other namespaces.
		time.Sleep(max(25*time.Millisecond, time.Since(begun)))
	}
}

// differing shows the first lines that only one of two outputs has.
func differing(want, got string) string {
	const most = 12
	cut := func(s string) string {
		lines := slices.Collect(strings.Lines(s))
		if len(lines) > most {
			lines = append(lines[:most], "...\n")
		}
		return strings.Join(lines, "")
	}
	return "as it should be: " + cut(missing(want, got)) + "as it is: " + cut(missing(got, want))
}

// pair is two nodes with a cable between them.
type pair struct{ a, b *node }

// newPair makes two nodes that run.
func newPair(t testing.TB, s setup, a, b tool) *pair {
	t.Helper()
	p := idlePair(t, s, a, b)
	p.a.start()
	p.b.start()
	return p
}

// idlePair makes two nodes that do not run yet.
func idlePair(t testing.TB, s setup, a, b tool) *pair {
	t.Helper()
	left, right := nstest.Pair(t)
	for _, ns := range []*nstest.NS{left, right} {
		patience(ns)
	}
	p := &pair{newNode(t, "a", left, a), newNode(t, "b", right, b)}
	p.a.configure(s, 1, 2)
	p.b.configure(s, 2, 1)
	return p
}

// secondCable joins the nodes of a pair once more.
func secondCable(t testing.TB, p *pair) {
	t.Helper()
	nstest.Link(t,
		nstest.End{NS: p.a.ns, Dev: "eth1", Addrs: []string{"10.0.1.1/24"}},
		nstest.End{NS: p.b.ns, Dev: "eth1", Addrs: []string{"10.0.1.2/24"}})
}
