package guard

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

var (
	noon     = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	intruder = netip.MustParseAddr("192.0.2.7")
)

func mustRules(t testing.TB, text string) *Rules {
	t.Helper()
	r, err := ParseRules(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// scan is the beginning of a port scan.
func scan(id uint64, offender string) *Finding {
	a := netip.MustParseAddr(offender)
	return &Finding{ID: id, Kind: PortScan, Offender: a, Since: noon, Time: noon,
		Subject: Subject{Source: a, Destination: netip.MustParseAddr("10.0.0.1"), Zone: uint16(id)}}
}

// held are the actions as words, with the reasons why they are held.
func held(actions []Action) string {
	var words []string
	for _, a := range actions {
		w := a.Respond.String()
		if a.Held != "" {
			w += " [" + a.Held + "]"
		}
		words = append(words, w)
	}
	return strings.Join(words, "; ")
}

func expect(t *testing.T, what string, got []Action, want string) {
	t.Helper()
	if held(got) != want {
		t.Errorf("%s:\n got %s\nwant %s", what, held(got), want)
	}
}

func TestResponsesComeInTheOrderOfTheRule(t *testing.T) {
	b := NewBrakes(mustRules(t, "limit actions=30\nport-scan then delete, block 1h, run /bin/true, post http://h/"), BrakeOptions{Enforce: true})
	got := b.Decide(noon, scan(1, "192.0.2.7"))
	expect(t, "begins", got, "delete; block 1h; run /bin/true; post http://h/")
	if !got[1].Until.Equal(noon.Add(time.Hour)) || got[1].Finding.ID != 1 || got[1].Finding.Offender != intruder || got[1].By != "" {
		t.Errorf("%+v", got[1])
	}
	if got := b.Decide(noon, &Finding{ID: 2, Kind: HostSweep, Offender: intruder}); got != nil {
		t.Errorf("without a rule: %v", got)
	}
	if got := b.Standing(noon); len(got) != 1 || got[0].Offender != intruder || got[0].Kind != PortScan || !got[0].Until.Equal(noon.Add(time.Hour)) {
		t.Errorf("standing %+v", got)
	}
	if got := b.Standing(noon.Add(time.Hour)); got != nil {
		t.Errorf("standing an hour later %+v", got)
	}
}

func TestADryRunTellsWhatWouldBeDone(t *testing.T) {
	b := NewBrakes(mustRules(t, "port-scan then block 1h, run /bin/true"), BrakeOptions{Pair: true, Node: "a"})
	expect(t, "first", b.Decide(noon, scan(1, "192.0.2.7")), "block 1h ["+dryRun+"]; run /bin/true ["+dryRun+"]")
	// A second finding would not have blocked again.
	expect(t, "second", b.Decide(noon, scan(2, "192.0.2.7")), "block 1h [already blocked until 2026-03-01 13:00:00]; run /bin/true ["+dryRun+"]")
	if got := b.Announcements(); got != nil {
		t.Errorf("the other node was told %+v", got)
	}
	b.Hear(noon, Decision{Offender: netip.MustParseAddr("192.0.2.8"), Kind: PortScan, Node: "b", Time: noon, Until: noon.Add(time.Hour)})
	expect(t, "heard", b.Due(noon), "block 1h ["+dryRun+"]")
}

func TestAllowedAddressesAreNeverActedOn(t *testing.T) {
	b := NewBrakes(mustRules(t, "allow 192.0.2.0/28 2001:db8::1\nport-scan then block 1h, run /bin/x %o"), BrakeOptions{Enforce: true, Pair: true, Node: "a", Peer: netip.MustParseAddr("::ffff:203.0.113.1")})
	set := func(a string) map[netip.Addr]struct{} { return map[netip.Addr]struct{}{netip.MustParseAddr(a): {}} }
	b.SetFacts(Facts{Own: set("198.51.100.1"), Gateways: set("fe80::1"), Session: set("198.51.100.3")})
	for offender, why := range map[string]string{
		"192.0.2.7": "allow 192.0.2.0/28", "::ffff:192.0.2.7": "allow 192.0.2.0/28", "2001:db8::1": "allow 2001:db8::1",
		"203.0.113.1": "the other node", "198.51.100.1": "own address", "fe80::1%eth0": "gateway", "198.51.100.3": "logged in over ssh",
		"127.0.0.9": "loopback", "::1": "loopback", "::ffff:127.0.0.1": "loopback", "0.0.0.0": "no address of a host", "0.1.2.3": "no address of a host", "::": "no address of a host",
		"224.0.0.5": "multicast", "ff02::1": "multicast", "255.255.255.255": "broadcast",
	} {
		expect(t, offender, b.Decide(noon, scan(1, offender)), fmt.Sprintf("block 1h [allowed: %s]; run /bin/x %%o [allowed: %[1]s]", why))
		b.Hear(noon, Decision{Offender: netip.MustParseAddr(offender), Kind: HostSweep, Node: "b", Time: noon, Until: noon.Add(time.Hour)})
		expect(t, offender+", as the other node says", b.Due(noon), "block 1h [allowed: "+why+"]")
	}
	if got := b.Standing(noon); got != nil {
		t.Errorf("standing %v", got)
	}
	b.SetRules(mustRules(t, "port-scan then block 1h"))
	expect(t, "no allow-list", b.Decide(noon, scan(1, "192.0.2.7")), "block 1h")
	expect(t, "no allow-list, and yet", b.Decide(noon, scan(1, "198.51.100.1")), "block 1h [allowed: own address]")
}

func TestNobodyIsBlockedForWhatNobodyCanBeBlamedFor(t *testing.T) {
	b := NewBrakes(mustRules(t, "syn-flood then block 1h, delete, run /bin/x, post http://h/"), BrakeOptions{Enforce: true})
	expect(t, "flood", b.Decide(noon, &Finding{ID: 1, Kind: SYNFlood}), "block 1h [no single offender]; delete [no single offender]; run /bin/x; post http://h/")
}

func TestOneDecisionPerOffender(t *testing.T) {
	b := NewBrakes(mustRules(t, "port-scan then block 1h, delete\nunreplied then delete, block 1h\nslow-scan then block 6h, delete\nhost-sweep then delete"), BrakeOptions{Enforce: true})
	expect(t, "first", b.Decide(noon, scan(1, "192.0.2.7")), "block 1h; delete")
	expect(t, "again", b.Decide(noon.Add(time.Second), scan(2, "::ffff:192.0.2.7")),
		"block 1h [already blocked until 2026-03-01 13:00:00]; delete [flows deleted, and already blocked until 2026-03-01 13:00:00]")
	slow := scan(3, "192.0.2.7")
	slow.Kind = SlowScan
	expect(t, "longer", b.Decide(noon.Add(time.Second), slow), "block 6h; delete [flows deleted, and already blocked until 2026-03-01 18:00:01]")
	expect(t, "shorter", b.Decide(noon.Add(2*time.Hour), scan(4, "192.0.2.7")),
		"block 1h [already blocked until 2026-03-01 18:00:01]; delete [flows deleted, and already blocked until 2026-03-01 18:00:01]")
	expect(t, "afterwards", b.Decide(noon.Add(7*time.Hour), scan(5, "192.0.2.7")), "block 1h; delete")
	if !b.Release(netip.MustParseAddr("::ffff:192.0.2.7")) || b.Release(intruder) {
		t.Error("released")
	}
	expect(t, "released", b.Decide(noon.Add(7*time.Hour), scan(6, "192.0.2.7")), "block 1h; delete")
	expect(t, "another", b.Decide(noon.Add(7*time.Hour), scan(7, "192.0.2.8")), "block 1h; delete")
	f := scan(8, "192.0.2.9")
	f.Kind = Unreplied
	expect(t, "deleted first", b.Decide(noon, f), "delete; block 1h")
	f.ID = 9
	expect(t, "deleted again", b.Decide(noon, f), "delete [flows deleted, and already blocked until 2026-03-01 13:00:00]; block 1h [already blocked until 2026-03-01 13:00:00]")
}

func TestWhatGoesOnIsAnsweredOnce(t *testing.T) {
	b := NewBrakes(mustRules(t, "port-scan then block 1h, delete, run /bin/x"), BrakeOptions{Enforce: true})
	f := scan(1, "192.0.2.7")
	expect(t, "begins", b.Decide(noon, f), "block 1h; delete; run /bin/x")
	f.Phase = Continues
	expect(t, "goes on", b.Decide(noon.Add(time.Minute), f), "")
	expect(t, "goes on for long", b.Decide(noon.Add(50*time.Minute), f), "block 1h")
	b.Release(intruder)
	expect(t, "goes on after an undo", b.Decide(noon.Add(51*time.Minute), f), "block 1h")
	f.Phase = Ends
	expect(t, "ends", b.Decide(noon.Add(time.Hour), f), "")
	if len(b.done) != 0 {
		t.Errorf("remembered %v", b.done)
	}
}

func TestTheLimitHoldsOnlyWhatIsAboveIt(t *testing.T) {
	b := NewBrakes(mustRules(t, "port-scan then block 1h, run /bin/x\nlimit actions=3 within=1m"), BrakeOptions{Enforce: true})
	const limit = " [limit of 3 responses in 1m]"
	expect(t, "1", b.Decide(noon, scan(1, "192.0.2.1")), "block 1h; run /bin/x")
	second := scan(2, "192.0.2.2")
	expect(t, "2", b.Decide(noon.Add(30*time.Second), second), "block 1h; run /bin/x"+limit)
	expect(t, "3", b.Decide(noon.Add(59*time.Second), scan(3, "192.0.2.3")), "block 1h"+limit+"; run /bin/x"+limit)
	// What was held by it is done later, if the finding goes on.
	second.Phase = Continues
	expect(t, "2 goes on", b.Decide(noon.Add(time.Minute), second), "run /bin/x")
	b.SetRules(mustRules(t, "port-scan then block 1h\nlimit actions=0"))
	expect(t, "none", b.Decide(noon.Add(time.Hour), scan(4, "192.0.2.4")), "block 1h [limit of 0 responses in 1m]")
}

// pair is two nodes and what they say to each other.
type pair struct{ a, b *Brakes }

func newPair(t *testing.T, rules string) pair {
	r := mustRules(t, rules)
	return pair{NewBrakes(r, BrakeOptions{Enforce: true, Pair: true, Node: "a"}), NewBrakes(r, BrakeOptions{Enforce: true, Pair: true, Node: "b"})}
}

// talk delivers what both have to say, from to to.
func talk(now time.Time, from, to *Brakes) {
	for _, d := range from.Announcements() {
		to.Hear(now, d)
	}
}

func TestAPairDecidesOnce(t *testing.T) {
	const rules = "port-scan then block 1h, delete, run /bin/x"
	ms := func(n int) time.Time { return noon.Add(time.Duration(n) * time.Millisecond) }
	for name, c := range map[string]struct {
		a, b int // when each finds it
		won  string
	}{"a is earlier": {0, 20, "a"}, "b is earlier": {20, 0, "b"}, "at the same time": {10, 10, "a"}} {
		p := newPair(t, rules)
		expect(t, name+": a at once", p.a.Decide(ms(c.a), scan(1, "192.0.2.7")), "block 1h")
		expect(t, name+": b at once", p.b.Decide(ms(c.b), scan(1, "192.0.2.7")), "block 1h")
		talk(ms(30), p.a, p.b)
		talk(ms(30), p.b, p.a)
		if at, ok := p.a.Next(); !ok || !at.Equal(ms(c.a).Add(PactDelay)) {
			t.Errorf("%s: next %v %v", name, at, ok)
		}
		expect(t, name+": too early", p.a.Due(ms(299)), "")
		does, yields := p.a, p.b
		if c.won == "b" {
			does, yields = p.b, p.a
		}
		expect(t, name+": the earlier", does.Due(ms(400)), "delete; run /bin/x")
		expect(t, name+": the later", yields.Due(ms(400)), fmt.Sprintf("delete [decided by node %s]; run /bin/x [decided by node %[1]s]", c.won))
		if _, ok := p.a.Next(); ok {
			t.Errorf("%s: something is left", name)
		}
	}
}

func TestTheOtherNodeBlocksToo(t *testing.T) {
	p := newPair(t, "port-scan then block 1h, run /bin/x")
	expect(t, "a", p.a.Decide(noon, scan(1, "192.0.2.7")), "block 1h")
	talk(noon, p.a, p.b)
	if _, ok := p.b.Next(); !ok {
		t.Error("nothing to be done by b")
	}
	got := p.b.Due(noon)
	expect(t, "b", got, "block 1h")
	if got[0].By != "a" || !got[0].Until.Equal(noon.Add(time.Hour)) || got[0].Finding.Kind != PortScan || got[0].Finding.Offender != intruder {
		t.Errorf("%+v", got[0])
	}
	// b takes over and finds it too, elsewhere: the command has run.
	f := scan(1, "192.0.2.7")
	f.Subject.Destination = netip.MustParseAddr("10.0.0.99")
	expect(t, "b later", p.b.Decide(noon.Add(5*time.Second), f), "block 1h [already blocked until 2026-03-01 13:00:00]; run /bin/x [decided by node a]")
	if got := p.b.Announcements(); got != nil {
		t.Errorf("b says %+v", got)
	}
	f.Phase = Continues
	expect(t, "b much later", p.b.Decide(noon.Add(5*time.Minute), f), "")
	// Another finding about the same offender is another matter.
	expect(t, "another finding", p.b.Decide(noon.Add(6*time.Second), scan(2, "192.0.2.7")), "block 1h [already blocked until 2026-03-01 13:00:00]")
	expect(t, "its command", p.b.Due(noon.Add(7*time.Second)), "run /bin/x")
}

func TestWhoIsAloneActsAllTheSame(t *testing.T) {
	p := newPair(t, "port-scan then run /bin/x\nsyn-flood then post http://h/")
	expect(t, "at once", p.a.Decide(noon, scan(1, "192.0.2.7")), "")
	expect(t, "flood", p.a.Decide(noon, &Finding{ID: 2, Kind: SYNFlood}), "")
	expect(t, "due", p.a.Due(noon.Add(PactDelay)), "run /bin/x; post http://h/")
	expect(t, "allowed meanwhile", p.a.Decide(noon, scan(3, "192.0.2.7")), "")
	p.a.SetRules(mustRules(t, "allow 192.0.2.7"))
	expect(t, "due", p.a.Due(noon.Add(PactDelay)), "run /bin/x [allowed: allow 192.0.2.7]")
}

func TestAnotherNodeCannotAskForTooMuch(t *testing.T) {
	r := mustRules(t, "limit actions=2 within=1m")
	b := NewBrakes(r, BrakeOptions{Enforce: true, Pair: true, Node: "a"})
	for i := range 3 {
		b.Hear(noon, Decision{Offender: netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), Kind: Kind(200), Node: "b", Time: noon, Until: noon.Add(1000 * time.Hour)})
	}
	b.Hear(noon, Decision{Offender: intruder, Node: "a", Time: noon, Until: noon.Add(time.Hour)})                         // an echo
	b.Hear(noon, Decision{Offender: intruder, Node: "b", Time: noon, Until: noon.Add(-time.Hour)})                        // over
	b.Hear(noon, Decision{Node: "b", Time: noon, Until: noon.Add(time.Hour)})                                             // nobody
	b.Hear(noon, Decision{Offender: netip.MustParseAddr("192.0.2.1"), Node: "b", Time: noon, Until: noon.Add(time.Hour)}) // shorter
	expect(t, "heard", b.Due(noon), "block 30d; block 30d; block 30d [limit of 2 responses in 1m]")
	alone := NewBrakes(r, BrakeOptions{Enforce: true, Node: "a"})
	alone.Hear(noon, Decision{Offender: intruder, Node: "b", Time: noon, Until: noon.Add(time.Hour)})
	expect(t, "not in a pair", alone.Due(noon), "")
}

func TestTheSetTellsWhatStands(t *testing.T) {
	b := NewBrakes(mustRules(t, "port-scan then block 1h"), BrakeOptions{Enforce: true})
	old := Decision{Offender: intruder, Kind: SlowScan, Time: noon.Add(-time.Hour), Until: noon.Add(2 * time.Hour)}
	b.Adopt(noon, []Decision{old, {Offender: netip.MustParseAddr("192.0.2.9"), Kind: NoKind, Until: noon.Add(-1)}, {Until: noon.Add(1)}})
	if got := b.Standing(noon); len(got) != 1 || got[0] != old {
		t.Fatalf("after a restart %+v", got)
	}
	expect(t, "blocked before the restart", b.Decide(noon, scan(1, "192.0.2.7")), "block 1h [already blocked until 2026-03-01 14:00:00]")
	expect(t, "new", b.Decide(noon, scan(2, "192.0.2.8")), "block 1h")
	// The new block is on its way; the old one has been taken out by somebody.
	b.Adopt(noon.Add(time.Second), nil)
	if got := b.Standing(noon); len(got) != 1 || got[0].Offender != netip.MustParseAddr("192.0.2.8") {
		t.Errorf("%+v", got)
	}
	b.Adopt(noon.Add(time.Minute), nil)
	if got := b.Standing(noon); got != nil {
		t.Errorf("%+v", got)
	}
	dry := NewBrakes(mustRules(t, "port-scan then block 1h"), BrakeOptions{})
	dry.Decide(noon, scan(1, "192.0.2.7"))
	if dry.Adopt(noon.Add(time.Minute), nil); len(dry.Standing(noon)) != 1 {
		t.Error("a dry run has forgotten what it would have done")
	}
}

func TestBrakesHaveBoundedMemory(t *testing.T) {
	r := mustRules(t, "port-scan then block 1h, delete, run /bin/x\nlimit actions=1000000 within=1d")
	b := NewBrakes(r, BrakeOptions{Enforce: true, Pair: true, Node: "a"})
	for i := range mostRemembered + 500 {
		now := noon.Add(time.Duration(i) * time.Millisecond)
		f := scan(uint64(i), "192.0.2.7")
		f.Offender = netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		b.Decide(now, f)
		b.Announcements()
		b.Hear(now, Decision{Kind: PortScan, Subject: Subject{Source: f.Offender}, Node: "b", Time: now})
		b.Due(now)
	}
	if len(b.blocks) > mostRemembered || len(b.done) > mostRemembered || len(b.heard) > mostRemembered || len(b.waiting) > mostRemembered {
		t.Errorf("%d blocks, %d findings, %d heard, %d waiting", len(b.blocks), len(b.done), len(b.heard), len(b.waiting))
	}
	// The latest are there.
	if _, ok := b.done[mostRemembered+499]; !ok || b.blocks[netip.AddrFrom4([4]byte{10, 0, (mostRemembered + 499) >> 8, (mostRemembered + 499) & 255})] == nil {
		t.Error("the latest was forgotten")
	}
}
