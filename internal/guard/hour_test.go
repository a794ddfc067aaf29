package guard_test

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/guard"
)

// TestAnHonestHourIsLeftAlone: an office behind one address, a web server and a resolver in their busiest minutes, monitoring, a backup.
func TestAnHonestHourIsLeftAlone(t *testing.T) {
	t.Parallel()
	most := 1.0
	if testing.Short() {
		most = 0.1
	}
	w := newWorld(t, guard.DefaultRules, 1)
	w.honest(busy{clients: 60, traffic: []traffic{
		{0, 16 * time.Minute, 0, 600 * most},
		{14 * time.Minute, 15 * time.Minute, 0, 4400 * most}, // together 5,000
		{16 * time.Minute, time.Hour, 0, 30},
		{0, 25 * time.Minute, 250 * most, 0},
		{20 * time.Minute, 22 * time.Minute, 1750 * most, 0}, // together 2,000
		{25 * time.Minute, time.Hour, 20, 0},
	}}, time.Hour)
	w.run(time.Hour)
	w.compare(t, w.start, nil)
	t.Logf("%d events, at most %d flows at a time; %+v", w.events, len(w.lives), w.engine.Figures())
	if f := w.engine.Figures(); f.Evicted != 0 || f.Sampling != 1 || w.events < 1000000 && !testing.Short() {
		t.Errorf("%d events, %+v", w.events, f)
	}
}

// TestAnOfficeSeenAsOneAddressIsLeftAlone: what 60 people and their programs try in vain all comes from the same address.
func TestAnOfficeSeenAsOneAddressIsLeftAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, guard.DefaultRules, 2)
	w.honest(busy{clients: 60, outside: true, traffic: []traffic{{0, time.Hour, 5, 5}}}, time.Hour)
	w.run(time.Hour)
	w.compare(t, w.start, nil)
}

// Attackers.
var (
	villain = netip.MustParseAddr("192.0.2.66")
	thief   = netip.MustParseAddr("10.0.1.200") // inside
	bots    = netip.MustParseAddr("192.0.2.128")
)

// attack is a play: in the middle of honest life somebody does what is to be found.
type attack struct {
	name     string
	begins   time.Duration
	lasts    time.Duration
	begin    func(w *world, end time.Duration)
	want     string // as in a .want file, counted from its beginning
	offender netip.Addr
	max      uint32 // entries of the table, if not a million
	outside  bool   // the office is seen from the outside
}

var attacks = []attack{
	{name: "syn-flood", lasts: 20 * time.Second, want: "syn-flood - 203.0.113.10 tcp 443 4",
		begin: func(w *world, end time.Duration) {
			w.often(w.now, end, 600, func() {
				w.open(life{orig: tcpTo(nth(netip.MustParseAddr("11.0.0.0"), w.IntN(1<<26)), web, 443), script: halfOpened})
			})
		}},
	{name: "syn-flood of one source", lasts: 20 * time.Second, want: "syn-flood - 203.0.113.10 tcp 443 6\nunreplied 192.0.2.66 - - - 8", offender: villain, // who never completes a handshake
		begin: func(w *world, end time.Duration) {
			w.often(w.now, end, 400, func() { w.open(life{orig: tcpTo(villain, web, 443), script: halfOpened}) })
		}},
	{name: "source-rate", lasts: 30 * time.Second, want: "source-rate 192.0.2.66 - - - 12", offender: villain,
		begin: func(w *world, end time.Duration) {
			w.often(w.now, end, 700, func() { w.open(life{orig: tcpTo(villain, web, 443), script: aborted}) })
		}},
	{name: "destination-rate", lasts: 20 * time.Second, want: "destination-rate - 203.0.113.10 - - 12",
		begin: func(w *world, end time.Duration) {
			w.often(w.now, end, 12000, func() { w.open(life{orig: tcpTo(nth(bots, w.IntN(50000)), web, 443), script: aborted}) })
		}},
	{name: "unusual destination-rate", lasts: 30 * time.Second, want: "destination-rate - 203.0.113.10 - - 12",
		begin: func(w *world, end time.Duration) {
			w.often(w.now, end, 3000, func() { w.open(life{orig: tcpTo(nth(bots, w.IntN(50000)), web, 443), script: aborted}) })
		}},
	{name: "port-scan", lasts: 20 * time.Second, want: "port-scan 192.0.2.66 203.0.113.10 - - 4", offender: villain,
		begin: func(w *world, end time.Duration) {
			port := uint16(0)
			w.every(w.now, end, 100*time.Millisecond, func() {
				port++
				w.open(life{orig: tcpTo(villain, web, port), script: refusedTCP})
			})
		}},
	{name: "port-scan over UDP", lasts: 20 * time.Second, want: "port-scan 192.0.2.66 203.0.113.10 - - 7", offender: villain,
		begin: func(w *world, end time.Duration) {
			port := uint16(0)
			w.every(w.now, end, 100*time.Millisecond, func() {
				port++
				w.open(life{orig: udpTo(villain, web, port), script: unanswered})
			})
		}},
	{name: "host-sweep", lasts: 20 * time.Second, want: "host-sweep 192.0.2.66 - tcp 445 8", offender: villain,
		begin: func(w *world, end time.Duration) {
			n := 0
			w.every(w.now, end, 100*time.Millisecond, func() {
				n++
				w.open(life{orig: tcpTo(villain, nth(watched, n), 445), script: unansweredTCP})
			})
		}},
	{name: "slow-scan", begins: 5 * time.Minute, lasts: 70 * time.Minute, want: "slow-scan 192.0.2.66 - - - 3660", offender: villain,
		begin: func(w *world, end time.Duration) {
			n := 0
			w.every(w.now, end, time.Minute, func() {
				n++
				w.open(life{orig: tcpTo(villain, nth(watched, n), uint16(20+n)), script: refusedTCP})
			})
		}},
	{name: "host-sweep out of an office", lasts: 20 * time.Second, want: "host-sweep 198.51.100.1 - tcp 445 8", offender: public, outside: true,
		begin: func(w *world, end time.Duration) {
			n := 0
			w.every(w.now, end, 100*time.Millisecond, func() {
				n++
				w.open(life{orig: tcpTo(public, nth(zones, n), 445), script: unansweredTCP})
			})
		}},
	{name: "slow-scan by somebody who works beside", begins: 5 * time.Minute, lasts: 40 * time.Minute, want: "slow-scan 10.0.1.10 - - - 1860", offender: desks,
		begin: func(w *world, end time.Duration) {
			n := 0
			w.every(w.now, end, 30*time.Second, func() {
				n++
				w.open(life{orig: tcpTo(desks, nth(watched, n), uint16(20+n)), script: refusedTCP})
			})
		}},
	{name: "unreplied", lasts: 90 * time.Second, want: "unreplied 192.0.2.66 - - - 40", offender: villain,
		begin: func(w *world, end time.Duration) {
			w.often(w.now, end, 10, func() { w.open(life{orig: udpTo(villain, web, 9999), script: unanswered}) })
		}},
	{name: "hoarding", lasts: 15 * time.Minute, want: "hoarding 192.0.2.66 - - - 780", offender: villain,
		begin: func(w *world, end time.Duration) {
			w.every(w.now, w.now+time.Minute, 10*time.Millisecond, func() {
				w.open(life{orig: tcpTo(villain, web, 443), script: completed, silent: true, stay: time.Hour})
			})
		}},
	{name: "table-pressure", lasts: 4 * time.Minute, max: 50000, want: "table-pressure - - - - 150", offender: villain,
		begin: func(w *world, end time.Duration) {
			w.often(w.now, end, 200, func() {
				w.open(life{orig: tcpTo(villain, nth(sites, w.IntN(300)), 443), script: completed, stay: time.Hour})
			})
		}},
	{name: "port-exhaustion", lasts: 160 * time.Second, want: "port-exhaustion - 198.51.100.1 tcp - 145",
		begin: func(w *world, end time.Duration) {
			w.often(w.now, end, 400, func() {
				w.open(life{orig: tcpTo(nth(desks, 100+w.IntN(20)), homes, 8080), nat: netip.AddrPortFrom(public, 0), script: completed, stay: time.Hour})
			})
		}},
	{name: "upload", lasts: 30 * time.Minute, want: "upload 10.0.1.200 - - - 1620", offender: thief,
		begin: func(w *world, end time.Duration) {
			w.open(life{orig: tcpTo(thief, nth(vault, 9), 443), nat: netip.AddrPortFrom(public, 0), script: completed, stay: 30 * time.Minute, sent: 12 << 30})
		}},
}

func TestEachAttackIsFoundInHonestLife(t *testing.T) {
	for _, a := range attacks {
		t.Run(a.name, func(t *testing.T) {
			t.Parallel()
			begins := a.begins
			if begins == 0 {
				begins = 12 * time.Minute // what is usual has to be learned
			}
			end := begins + a.lasts + 20*time.Second
			w := newWorld(t, guard.DefaultRules, 3)
			if a.max > 0 {
				w.max = a.max
			}
			w.honest(busy{clients: 20, outside: a.outside, traffic: []traffic{{0, end, 40, 20}}}, end)
			w.acts(begins, func() time.Duration {
				a.begin(w, begins+a.lasts)
				return -1
			})
			w.run(end)
			want := expectations(t, a.want)
			w.compare(t, w.start.Add(begins), want)
			for _, f := range w.found {
				if f.Phase == guard.Begins && f.Offender != a.offender {
					t.Errorf("%s: offender %v, want %v", f.Kind, f.Offender, a.offender)
				}
			}
		})
	}
}

// hardships are what a guard meets: each happens in the sixth minute of honest life, and some minutes later comes an attack.
var hardships = map[string]func(w *world, t *testing.T){
	"events are lost": func(w *world, t *testing.T) {
		w.emit = func(time.Time, *flow.Event) {}
		w.acts(w.now+40*time.Second, func() time.Duration {
			now := w.start.Add(w.now)
			w.emit = w.event
			w.event(now, &flow.Event{Type: flow.Lost, Dropped: 12345})
			w.read(now)
			return -1
		})
	},
	"it is started again": func(w *world, t *testing.T) {
		w.engine = newStage(t, guard.DefaultRules).engine
		w.read(w.start.Add(w.now))
	},
	"it samples": func(w *world, t *testing.T) { w.engine.Sample(4) },
	"it samples for a while": func(w *world, t *testing.T) {
		w.engine.Sample(16)
		w.acts(w.now+time.Minute, func() time.Duration {
			w.engine.Sample(1)
			return -1
		})
	},
}

func TestHardshipsInventNothingAndHideNothing(t *testing.T) {
	for name, hardship := range hardships {
		for _, kind := range []string{"syn-flood", "port-scan", "host-sweep", "source-rate"} {
			t.Run(name+", "+kind, func(t *testing.T) {
				t.Parallel()
				a := attacks[slices.IndexFunc(attacks, func(a attack) bool { return a.name == kind })]
				const begins = 9 * time.Minute
				end := begins + a.lasts + 20*time.Second
				w := newWorld(t, guard.DefaultRules, 5)
				w.honest(busy{clients: 30, traffic: []traffic{{0, end, 40, 20}}}, end)
				w.acts(6*time.Minute, func() time.Duration {
					hardship(w, t)
					return -1
				})
				w.acts(begins, func() time.Duration {
					a.begin(w, begins+a.lasts)
					return -1
				})
				w.run(end)
				want := expectations(t, a.want)
				want[0].within += 12 * time.Second // who looks at a quarter sees less
				w.compare(t, w.start.Add(begins), want)
			})
		}
	}
}

// TestThePlaysCoverAllKinds: a kind without a play is one of which nobody knows whether it finds anything.
func TestThePlaysCoverAllKinds(t *testing.T) {
	for k := guard.Kind(0); k.String() != "unknown"; k++ {
		if !slices.ContainsFunc(attacks, func(a attack) bool { return expectations(t, a.want)[0].kind == k.String() }) {
			t.Errorf("no play of %s", k)
		}
	}
}
