//go:build linux

package interop_test

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/flow"
)

// logRules cover what differs from run to run in a log.
var logRules = append([]rule{
	{regexp.MustCompile(`taken \d+\.\d{6} seconds`), "taken <SECONDS> seconds"},
	{regexp.MustCompile(`(?m)^\w+ \w+ +\d+ [\d:]+ \d+\t`), "<WHEN>\t"},
	{regexp.MustCompile(`(\t\w+ +\d+) \d+ `), "$1 <T> "},
	{regexp.MustCompile(`(\t)\d+ proto=`), "${1}<T> proto="},
}, clientRules...)

// loggedSince is what a node has logged behind a text.
func (n *node) loggedSince(text string) string {
	_, since, _ := strings.Cut(n.must("cat", n.log), text)
	return apply(logRules, since)
}

// TestConntrackdRefusedCommits commits what the kernel will not take, and what it already has. Both programs log the same.
func TestConntrackdRefusedCommits(t *testing.T) {
	t.Parallel()
	their, our := theirDaemon(t), ourDaemon(t)
	s := setup{options: "ExpectationSync on"}
	logs := make(map[string]string)
	for _, who := range []struct {
		name    string
		passive tool
	}{{"theirs", their}, {"ours", our}} {
		p := newPair(t, s, their, who.passive)
		p.greeted()
		p.a.addAnnounced()
		p.a.must("conntrack", "-I", "-s", "1.1.1.1", "-d", "2.2.2.2", "-p", "udp", "--sport", "1", "--dport", "2", "-t", "5000")
		settles(t, "the expectation told", expectShown+"\n", p.b.externalExpects)
		settles(t, "all told", "3", func() string { return fmt.Sprint(strings.Count(p.b.external(), "\n")) })
		p.b.client("-c")
		p.b.client("-c") // all is there already
		// Without its master neither the expectation nor the related flow can be made.
		p.b.must("conntrack", "-F", "expect")
		p.b.must("conntrack", "-F")
		p.b.client("-c", "expect")
		p.b.client("-f", "external")
		p.a.must("conntrack", "-U", "-p", "tcp", "-s", "1.1.3.1", "--sport", "4100", "-m", "9")
		p.a.must("conntrack", "-U", "-p", "udp", "-s", "1.1.1.1", "-m", "9")
		settles(t, "told of two", "2", func() string { return fmt.Sprint(strings.Count(p.b.external(), "\n")) })
		p.b.client("-c", "ct")
		logs[who.name] = p.b.loggedSince("-- starting in console mode --\n")
	}
	if logs["ours"] != logs["theirs"] {
		t.Errorf("log of ours:\n%s\nof theirs:\n%s", logs["ours"], logs["theirs"])
	}
	if !strings.Contains(logs["theirs"], "commit-create: No such file or directory") {
		t.Errorf("nothing was refused:\n%s", logs["theirs"])
	}
}

// TestConntrackdLargeCommits makes so many flows that the kernel does not tell of new ones meanwhile, while others begin, change and end flows: in
// the end the internal cache, the kernel and what the peer knows are the same.
func TestConntrackdLargeCommits(t *testing.T) {
	t.Parallel()
	const many = 25_000
	our := ourDaemon(t)
	p := newPair(t, setup{general: "NetlinkOverrunResync 1"}, our, our)
	p.greeted()
	ctx := t.Context()
	entry := func(a, b byte, n int) *conntrack.Entry {
		e := &conntrack.Entry{Orig: flow.Tuple{Proto: flow.UDP, Src: netip.AddrFrom4([4]byte{a, b, byte(n >> 8), byte(n)}), SrcPort: 1000,
			Dst: netip.AddrFrom4([4]byte{192, 0, 2, 1}), DstPort: 53}}
		e.Timeout, e.Status = new(10*time.Minute), new(flow.SeenReply|flow.Assured)
		e.Reply, _ = e.Orig.Inverse()
		return e
	}
	fill, err := p.a.lib().NewWriter()
	if err != nil {
		t.Fatal(err)
	}
	defer fill.Close()
	var b conntrack.Batch
	for n := range many {
		if b.Create(entry(172, 1, n)); b.Full() || n == many-1 {
			if _, err := fill.Do(ctx, &b); err != nil {
				t.Fatal(err)
			}
			b.Reset()
		}
	}
	lines := func(ask func() string) func() string {
		return func() string { return fmt.Sprint(strings.Count(ask(), "\n")) }
	}
	settles(t, "all told", fmt.Sprint(many), lines(p.b.external))

	live, stop := p.b.lib(), make(chan struct{})
	done := make(chan int)
	go func() {
		made := 0
		defer func() { done <- made }()
		for n := 0; n < 2000; n++ {
			select {
			case <-stop:
				return
			default:
			}
			e := entry(172, 2, n)
			if live.Create(ctx, e) != nil {
				continue
			}
			made++
			switch n % 3 {
			case 1:
				live.Update(ctx, e.Orig, 0, conntrack.Change{Mark: new(uint32(7))})
			case 2:
				if live.Delete(ctx, &flow.Flow{Orig: e.Orig}) == nil {
					made--
				}
			}
		}
	}()
	p.b.client("-c")
	close(stop)
	made := <-done
	if made < 10 {
		t.Fatalf("only %d flows have begun meanwhile", made)
	}
	kernel := func() string {
		u, err := live.Count(ctx)
		return fmt.Sprint(u.Entries, err)
	}
	if got, want := kernel(), fmt.Sprint(many+made, error(nil)); got != want {
		t.Errorf("the kernel has %s flows, want %s", got, want)
	}
	settles(t, "internal cache", fmt.Sprint(many+made), lines(p.b.internal))
	// The peer is told of those that it does not know, which are not its own.
	settles(t, "told of those that began meanwhile", fmt.Sprint(made), lines(p.a.external))
	// Events come again.
	if err := live.Create(ctx, entry(172, 3, 1)); err != nil {
		t.Fatal(err)
	}
	settles(t, "one more", fmt.Sprint(made+1), lines(p.a.external))
	if got := p.b.client("--verify"); !strings.Contains(got, "in step") {
		t.Errorf("verification:\n%s", got)
	}
}
