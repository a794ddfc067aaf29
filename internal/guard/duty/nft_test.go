package duty

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spoor-project/spoor/internal/guard"
	"github.com/spoor-project/spoor/internal/nstest"
)

func TestMain(m *testing.M) { os.Exit(nstest.Main(m)) }

// load has nft read a ruleset inside a namespace.
func load(t *testing.T, ns *nstest.NS, ruleset string) {
	t.Helper()
	nstest.NeedTool(t, "nft")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cmd := ns.Command(ctx, "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(ruleset)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("nft: %v\n%s", err, out)
	}
}

// blocklist is that of a namespace, set up.
func blocklist(t *testing.T, ns *nstest.NS) *Blocklist {
	t.Helper()
	load(t, ns, Setup())
	return openBlocklist(t, ns)
}

func openBlocklist(t *testing.T, ns *nstest.NS) *Blocklist {
	t.Helper()
	l, err := OpenBlocklist(ns.Path(), "a")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// addresses are those that are blocked, as words.
func addresses(t *testing.T, l *Blocklist) string {
	t.Helper()
	all, err := l.Blocked()
	if err != nil {
		t.Fatal(err)
	}
	var words []string
	for _, d := range all {
		words = append(words, d.Offender.String())
	}
	return strings.Join(words, " ")
}

func TestSetupLeavesEverythingElseAlone(t *testing.T) {
	ns := nstest.New(t)
	load(t, ns, `table inet filter { set known { type ipv4_addr; elements = { 192.0.2.1 } }
		chain input { type filter hook input priority filter; policy accept; ip saddr @known accept; tcp dport 22 counter accept; }; }
		table ip nat { chain postrouting { type nat hook postrouting priority srcnat; masquerade; }; }`)
	before := ns.MustRun(t, "nft", "list", "ruleset")
	l := blocklist(t, ns)
	once := ns.MustRun(t, "nft", "list", "ruleset")
	if !strings.HasPrefix(once, before) {
		t.Errorf("was\n%s\nis\n%s", before, once)
	}
	load(t, ns, Setup())
	if twice := ns.MustRun(t, "nft", "list", "ruleset"); twice != once {
		t.Errorf("once\n%s\ntwice\n%s", once, twice)
	}
	if err := l.Block(netip.MustParseAddr("192.0.2.7"), time.Hour, guard.PortScan); err != nil {
		t.Fatal(err)
	}
	load(t, ns, Setup())
	if got := addresses(t, l); got != "192.0.2.7" {
		t.Errorf("blocked after another load: %s", got)
	}
	ns.MustRun(t, "nft", "delete", "table", "inet", "spoor_guard")
	if after := ns.MustRun(t, "nft", "list", "ruleset"); after != before {
		t.Errorf("was\n%s\nis after removal\n%s", before, after)
	}
}

func TestPacketsOfTheBlockedAreDropped(t *testing.T) {
	a, b := nstest.Pair(t)
	l := blocklist(t, b)
	nstest.ServeEcho(t, b, "udp", "10.0.0.2:7000")
	nstest.ServeEcho(t, b, "udp", "[fd00::2]:7000")
	for _, c := range [][2]string{{"10.0.0.1", "10.0.0.2"}, {"fd00::1", "fd00::2"}} {
		from, to := netip.MustParseAddr(c[0]), netip.AddrPortFrom(netip.MustParseAddr(c[1]), 7000)
		nstest.Exchange(t, a, "udp", netip.AddrPort{}, to, 1)
		if err := l.Block(from, time.Hour, guard.PortScan); err != nil {
			t.Fatal(err)
		}
		if answered(t, a, to, 300*time.Millisecond) {
			t.Errorf("%s is blocked and was answered", from)
		}
		if was, err := l.Unblock(from); !was || err != nil {
			t.Errorf("unblock: %v %v", was, err)
		}
		nstest.Exchange(t, a, "udp", netip.AddrPort{}, to, 1)
		if was, err := l.Unblock(from); was || err != nil {
			t.Errorf("unblock again: %v %v", was, err)
		}
	}
	if out := b.MustRun(t, "nft", "list", "counters"); strings.Count(out, "packets 0") != 0 {
		t.Errorf("nothing was counted\n%s", out)
	}
}

// answered reports whether an echo server answers in time.
func answered(t *testing.T, ns *nstest.NS, to netip.AddrPort, within time.Duration) bool {
	t.Helper()
	conn := nstest.Dial(t, ns, "udp", netip.AddrPort{}, to)
	if _, err := conn.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	conn.SetReadDeadline(time.Now().Add(within))
	_, err := conn.Read(make([]byte, 1))
	return err == nil
}

func TestABlockEndsInTime(t *testing.T) {
	ns := nstest.New(t)
	l := blocklist(t, ns)
	a := netip.MustParseAddr("192.0.2.7")
	left := func() time.Duration {
		t.Helper()
		all, err := l.Blocked()
		if err != nil || len(all) != 1 || all[0].Offender != a {
			t.Fatalf("%v %v", all, err)
		}
		return time.Until(all[0].Until)
	}
	for _, d := range []time.Duration{time.Hour, 6 * time.Hour, time.Minute} { // longer, then shorter
		if err := l.Block(netip.MustParseAddr("::ffff:192.0.2.7"), d, guard.PortScan); err != nil {
			t.Fatal(err)
		}
		if got := left(); got > d+time.Second || got < d-30*time.Second {
			t.Errorf("blocked for %v: %v are left", d, got)
		}
	}
	// Somebody else's block, of which this list has not heard.
	other := netip.MustParseAddr("192.0.2.8")
	if err := openBlocklist(t, ns).Block(other, time.Hour, guard.PortScan); err != nil {
		t.Fatal(err)
	}
	l.known = nil
	if err := l.Block(other, time.Second, guard.PortScan); err != nil {
		t.Fatal(err)
	}
	if err := l.Block(a, 10*time.Millisecond, guard.PortScan); err != nil {
		t.Fatal(err)
	}
	nstest.Wait(t, "the end of both", func() bool { return addresses(t, l) == "" })
	// It may be blocked again, whatever is left of what has ended.
	if err := l.Block(a, time.Hour, guard.PortScan); err != nil || left() < 59*time.Minute {
		t.Errorf("blocked again: %v", err)
	}
}

func TestTheSetTellsWhyAfterARestart(t *testing.T) {
	ns := nstest.New(t)
	l := blocklist(t, ns)
	for a, k := range map[string]guard.Kind{"192.0.2.7": guard.PortScan, "2001:db8::7": guard.SlowScan} {
		if err := l.Block(netip.MustParseAddr(a), time.Hour, k); err != nil {
			t.Fatal(err)
		}
	}
	if out := ns.MustRun(t, "nft", "list", "set", "inet", "spoor_guard", "blocked6"); !strings.Contains(out, `comment "slow-scan, node a"`) {
		t.Errorf("nft shows\n%s", out)
	}
	ns.MustRun(t, "nft", "add", "element", "inet", "spoor_guard", "blocked4", "{ 192.0.2.1 }")
	all, err := openBlocklist(t, ns).Blocked()
	if err != nil || len(all) != 3 {
		t.Fatalf("%v %v", all, err)
	}
	if d := all[0]; d.Kind != guard.NoKind || time.Until(d.Until) < forever/2 {
		t.Errorf("by hand: %+v", d)
	}
	for i, k := range []guard.Kind{guard.PortScan, guard.SlowScan} {
		if d := all[i+1]; d.Kind != k || d.Node != "a" || time.Until(d.Until) > time.Hour || time.Since(d.Time) > time.Minute || time.Since(d.Time) < 0 {
			t.Errorf("%+v", d)
		}
	}
	brakes := guard.NewBrakes(new(guard.Rules), guard.BrakeOptions{Enforce: true})
	if brakes.Adopt(time.Now(), all); len(brakes.Standing(time.Now())) != 3 {
		t.Error("not adopted")
	}
	if gone, err := l.UnblockAll(); err != nil || len(gone) != 3 || addresses(t, l) != "" {
		t.Errorf("all: %v %v", gone, err)
	}
}

func TestWithoutSetupItIsSaidWhatToDo(t *testing.T) {
	ns := nstest.New(t)
	l := openBlocklist(t, ns)
	a := netip.MustParseAddr("192.0.2.7")
	check := func() {
		t.Helper()
		_, unblock := l.Unblock(a)
		_, all := l.UnblockAll()
		_, list := l.Blocked()
		for _, err := range []error{l.Block(a, time.Hour, guard.PortScan), unblock, all, list} {
			if !errors.Is(err, ErrNotSetUp) {
				t.Errorf("%v", err)
			}
		}
	}
	check()
	load(t, ns, "table inet spoor_guard { set other { type ipv4_addr; }; }")
	check()
	load(t, ns, Setup())
	if err := l.Block(netip.Addr{}, time.Hour, guard.PortScan); err == nil {
		t.Error("no address was blocked")
	}
	if err := l.Block(a, 0, guard.PortScan); err == nil {
		t.Error("blocked for no time")
	}
	if _, err := OpenBlocklist("/nowhere", ""); err == nil {
		t.Error("no namespace was opened")
	}
}

func TestAFullSetIsSaid(t *testing.T) {
	ns := nstest.New(t)
	load(t, ns, "table inet spoor_guard { set blocked4 { type ipv4_addr; flags timeout; size 2; }; set blocked6 { type ipv6_addr; flags timeout; }; }")
	l := openBlocklist(t, ns)
	var err error
	for i := range 4 {
		err = l.Block(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), time.Hour, guard.PortScan)
	}
	if err == nil || !strings.Contains(err.Error(), "blocked4 is full") {
		t.Errorf("%v", err)
	}
}

func TestBlocksOfSeveralGoroutines(t *testing.T) {
	l := blocklist(t, nstest.New(t))
	var work sync.WaitGroup
	for i := range 8 {
		work.Go(func() {
			for range 5 {
				if err := l.Block(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), time.Hour, guard.PortScan); err != nil {
					t.Error(err)
				}
				if _, err := l.Blocked(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	work.Wait()
	if got := len(strings.Fields(addresses(t, l))); got != 8 {
		t.Errorf("%d blocked", got)
	}
}

func TestCommentsAreReadAsTheyAreWritten(t *testing.T) {
	for _, node := range []string{"", "a", "fw-1, node b", strings.Repeat("x", 300)} {
		text := comment(guard.SlowScan, node)
		if k, got := readComment(text); k != guard.SlowScan || !strings.HasPrefix(node, got) || len(text) > 125 {
			t.Errorf("%q: %v %q", text, k, got)
		}
	}
	if k, _ := readComment("a neighbour's child"); k != guard.NoKind {
		t.Errorf("%v", k)
	}
}
