//go:build linux

package interop_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spoor-project/spoor/internal/agent"
)

// transitions are what a manager of high availability has a node do.
var transitions = map[string]string{
	"primary": "-c\n-f\n-R\n-B",
	"backup":  "-s\n-t\n-n",
	"fault":   "-t",
}

// becomes carries out a transition, by requests or by the script that we ship.
func (n *node) becomes(state string, script bool) {
	n.t.Helper()
	if script {
		path, err := filepath.Abs("../packaging/conntrackd/primary-backup.sh")
		if err != nil {
			n.t.Fatal(err)
		}
		n.must("env", "CONNTRACKD_CONF="+n.conf, "sh", path, state)
		return
	}
	for _, argv := range commandLines(transitions[state]) {
		n.client(argv[1:]...)
	}
}

// TestConntrackdFailover takes a pair through what can become of it. After each transition to primary the kernel of that
// node, its internal cache and the other's external cache have to be the same.
func TestConntrackdFailover(t *testing.T) {
	t.Parallel()
	for who, tools := range castings(t) {
		for name, s := range map[string]setup{
			"FTFW":    {timers: "PurgeTimeout 1"},
			"NOTRACK": {mode: "NOTRACK", timers: "PurgeTimeout 1"},
			"ALARM":   {mode: "ALARM", timers: "PurgeTimeout 1 RefreshTime 1 CacheTimeout 4"},
		} {
			t.Run(name+"/"+who, func(t *testing.T) {
				t.Parallel()
				testFailover(t, s, newPair(t, s, tools[0], tools[1]), false)
			})
		}
		s := setup{timers: "PurgeTimeout 1"}
		t.Run("by script/"+who, func(t *testing.T) {
			t.Parallel()
			testFailover(t, s, newPair(t, s, tools[0], tools[1]), true)
		})
		t.Run("crash/"+who, func(t *testing.T) {
			t.Parallel()
			testCrash(t, newPair(t, s, tools[0], tools[1]))
		})
	}
}

func testFailover(t *testing.T, s setup, p *pair, script bool) {
	first, second := p.a, p.b
	kernel := func(n *node) func() string {
		return func() string { table, _ := n.kernelTable(); return table }
	}
	// owns wants a node to have these flows, as its own, and the other one to know it.
	owns := func(what string, primary, backup *node) {
		t.Helper()
		inStep(t, what, primary, backup)
	}
	first.becomes("primary", script)
	second.becomes("backup", script)
	b := newBustle(first)
	b.steps(200)
	owns("in the beginning", first, second)
	want := kernel(first)()
	// Nothing of it is in the kernel of the backup, which has been purged meanwhile.
	waitForPurge(t, second)
	if got := kernel(second)(); got != "" {
		t.Errorf("the kernel of the backup has\n%s", differing("", got))
	}

	first.becomes("fault", script)
	second.becomes("primary", script)
	settles(t, "the kernel of the second node", want, kernel(second))
	owns("after the failover", second, first)
	if got := second.external(); got != "" && s.mode != "ALARM" {
		t.Errorf("the new primary still has flows of the other:\n%s", differing("", got))
	}
	// The old flows of the first node go, and that is no news.
	settles(t, "the purged kernel", "", kernel(first))
	settles(t, "the internal cache of the purged node", "", first.internal)
	first.becomes("backup", script)
	b.n, b.lib = second, second.lib()
	b.steps(200)
	owns("from then on", second, first)

	// And back, at once: what was to be purged is not.
	want = kernel(second)()
	second.becomes("backup", script)
	first.becomes("primary", script)
	settles(t, "the kernel of the first node", want, kernel(first))
	owns("after the way back", first, second)
	waitForPurge(t, second)
	owns("in the end", first, second)
}

// waitForPurge waits until the purge that the backup was told of is over.
func waitForPurge(t *testing.T, n *node) {
	t.Helper()
	settles(t, "purged", "", func() string {
		table, _ := n.kernelTable()
		return table
	})
}

// testCrash lets the primary die. The script starts it again, with the lock file there, and it gets everything back.
func testCrash(t *testing.T, p *pair) {
	b := newBustle(p.a)
	b.steps(200)
	inStep(t, "before", p.a, p.b)
	want, _ := p.a.kernelTable()
	p.a.running.kill()
	p.a.running = nil
	p.b.becomes("primary", true)
	settles(t, "the kernel of the second node", want, func() string { s, _ := p.b.kernelTable(); return s })

	p.a.must("conntrack", "-F") // a new kernel
	p.a.becomes("backup", true)
	if len(p.a.pids()) != 1 || p.a.ask(agent.StatRuntime) == "" {
		t.Fatalf("not started again: processes %v", p.a.pids())
	}
	inStep(t, "after the crash", p.b, p.a)
	b.n, b.lib = p.b, p.b.lib()
	b.steps(100)
	inStep(t, "from then on", p.b, p.a)
	time.Sleep(1500 * time.Millisecond) // a purge of what is not there changes nothing
	inStep(t, "in the end", p.b, p.a)
	if got := p.a.ask(agent.StatNetwork); strings.Contains(got, "Malformed messages:\t                   1") {
		t.Errorf("malformed messages:\n%s", got)
	}
}
