package duty

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spoor-project/spoor/internal/guard"
	"github.com/spoor-project/spoor/internal/nstest"
)

// member is a node of a pair, as a loop would join its parts.
type member struct {
	brakes *guard.Brakes
	pact   *Pact
	queue  *Queue
	list   *Blocklist
	audit  string
	heard  chan guard.Decision
}

// act has actions carried out, and the other node told.
func (m *member) act(t *testing.T, actions []guard.Action) {
	t.Helper()
	for _, a := range actions {
		m.queue.Put(a)
	}
	for _, d := range m.brakes.Announcements() {
		if err := m.pact.Send(d); err != nil {
			t.Error(err)
		}
	}
}

// TestAPairBlocksTwiceAndRunsOnce: both nodes find the same scan at nearly the same time.
func TestAPairBlocksTwiceAndRunsOnce(t *testing.T) {
	a, b := nstest.Pair(t)
	ran := filepath.Join(t.TempDir(), "ran")
	rules, err := guard.ParseRules("port-scan then block 1h, run " + shell + " -c \"echo $1 >>$2\" sh %o " + ran)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	join := func(ns *nstest.NS, node, local, remote string) *member {
		m := &member{list: blocklist(t, ns), audit: filepath.Join(t.TempDir(), node), heard: make(chan guard.Decision, 8)}
		m.brakes = guard.NewBrakes(rules, guard.BrakeOptions{Enforce: true, Pair: true, Node: node})
		m.pact, err = OpenPact(PactOptions{netip.MustParseAddrPort(local), netip.MustParseAddrPort(remote), pactKey, node, ns.Path()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { m.pact.Close() })
		audit := OpenAudit(m.audit, node, func(text string) { t.Error(text) })
		t.Cleanup(func() { audit.Close() })
		m.queue = NewQueue(Responders{Block: m.list.Block, Run: NewRunner().Run}, func(o Outcome) { audit.Write(&o) })
		go m.queue.Run(ctx)
		go m.pact.Run(ctx, func(d guard.Decision) { m.heard <- d })
		return m
	}
	nodes := []*member{join(a, "a", "10.0.0.1:4000", "10.0.0.2:4000"), join(b, "b", "10.0.0.2:4000", "10.0.0.1:4000")}
	now := time.Now().Round(0)
	for i, m := range nodes {
		f := portScan()
		m.act(t, m.brakes.Decide(now.Add(time.Duration(-i)*time.Millisecond), f)) // b is earlier
	}
	for _, m := range nodes {
		select {
		case d := <-m.heard:
			m.brakes.Hear(time.Now(), d)
		case <-time.After(10 * time.Second):
			t.Fatal("nothing was heard")
		}
		m.act(t, m.brakes.Due(now.Add(guard.PactDelay)))
	}
	lines := func(m *member) int {
		text, _ := os.ReadFile(m.audit)
		return strings.Count(string(text), "\n")
	}
	nstest.Wait(t, "two lines of each audit", func() bool { return lines(nodes[0]) == 2 && lines(nodes[1]) == 2 })
	for _, m := range nodes {
		if got := addresses(t, m.list); got != "192.0.2.7" {
			t.Errorf("blocked: %s", got)
		}
	}
	if text, err := os.ReadFile(ran); err != nil || string(text) != "192.0.2.7\n" {
		t.Errorf("ran: %q %v", text, err)
	}
	held := func(line string) bool {
		return strings.Contains(line, `"action":"run","result":"held"`) && strings.Contains(line, `"held":"decided by node b"`)
	}
	if got := audited(t, nodes[0].audit); !slices.ContainsFunc(got, held) {
		t.Errorf("%q", got)
	}
}
