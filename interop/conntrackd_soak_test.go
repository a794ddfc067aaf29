//go:build linux

package interop_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"strconv"
	"testing"
	"time"
)

// shortSoak is how long the soak takes if SPOOR_SOAK does not say it.
const shortSoak = 24 * time.Second

// TestConntrackdSoak kills nodes at random while flows come and go on both, for as long as SPOOR_SOAK says. A killed node is
// started again as a service manager does. Then its peer forgets what it was told and asks for everything, as after every end
// of a daemon: nobody has told of what ended meanwhile. Whenever the flows have a rest all tables have to be equal; our daemons
// must not grow.
func TestConntrackdSoak(t *testing.T) {
	t.Parallel()
	lasts := soak(t)
	if end, ok := t.Deadline(); ok && lasts > 0 && time.Until(end) < lasts+2*time.Minute {
		t.Fatalf("a soak of %v takes a longer -timeout", lasts)
	}
	lasts = cmp.Or(lasts, shortSoak)
	their, our := theirDaemon(t), ourDaemon(t)
	for name, tools := range map[string][2]tool{"ours both": {our, our}, "ours and theirs": {our, their}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := setup{timers: "StartupResync on", general: "NetlinkOverrunResync 2"}
			k := &soaking{pair: idlePair(t, s, tools[0], tools[1]), t: t, peak: make(map[*node]int),
				rand: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))}
			k.start()
			k.greeted()
			for i, n := range []*node{k.a, k.b} {
				b := newBustle(n)
				b.net, b.most, b.brief = byte(20+i), 1000, true
				b.flows(1000)
				k.loads = append(k.loads, b)
			}
			begun := time.Now()
			k.round(0) // everybody is warm
			first := k.sizes()
			for time.Since(begun) < lasts*2/3 {
				if k.round(1 + k.rand.IntN(3)); t.Failed() {
					return
				}
			}
			// The same daemons for the rest of the time: what they lose of memory they would lose now.
			k.round(0)
			before := k.sizes()
			for more := true; more; more = time.Since(begun) < lasts {
				if k.round(0); t.Failed() {
					return
				}
			}
			after := k.sizes()
			for _, n := range []*node{k.a, k.b} {
				t.Logf("%s: %s; resident first %d KiB, after the kills %d KiB, in the end %d KiB, at most %d KiB", n.name, owned(n.tool),
					first[n], before[n], after[n], k.peak[n])
				if limit := before[n] + before[n]/4 + 8<<10; !n.tool.foreign && after[n] > limit {
					t.Errorf("%s has grown from %d to %d KiB", n.name, before[n], after[n])
				}
				if limit := first[n]*3/2 + 16<<10; !n.tool.foreign && k.peak[n] > limit {
					t.Errorf("%s: %d KiB at most, %d KiB at first", n.name, k.peak[n], first[n])
				}
			}
			t.Logf("%v: %d rounds, %d kills, %d flows made on a and %d on b, %d steps in all; equal within %v, then with %d overruns",
				time.Since(begun).Round(time.Second), k.rounds, k.kills, k.loads[0].made, k.loads[1].made, k.steps,
				k.slowest.Round(time.Millisecond), k.overrun)
			if k.kills == 0 {
				t.Error("nobody was killed")
			}
		})
	}
}

func owned(tl tool) string { return map[bool]string{true: "theirs", false: "ours"}[tl.foreign] }

// soaking is a pair under load.
type soaking struct {
	*pair
	t                    *testing.T
	rand                 *rand.Rand
	loads                []*bustle
	rounds, kills, steps int
	peak                 map[*node]int // KiB resident
	slowest              time.Duration // until all was equal
	overrun              int           // overruns by then
}

// round has flows come and go for some seconds, and nodes die meanwhile. Then it compares all tables.
func (k *soaking) round(kills int) {
	k.t.Helper()
	k.rounds++
	k.kills += kills
	rest := k.bustle()
	k.pause(2000)
	for range kills {
		victim, peer := k.a, k.b
		if k.rand.IntN(2) == 0 {
			victim, peer = peer, victim
		}
		victim.crash()
		k.pause(1500)
		victim.start()
		peer.client("-f", "external")
		peer.client("-n")
		k.pause(2000)
	}
	k.pause(2000)
	rest()
	// The original is not told of what ends while it starts, and loses what is on its way when a peer greets.
	if kills > 0 && (k.a.tool.foreign || k.b.tool.foreign) {
		k.greeted()
		for _, n := range []*node{k.a, k.b} {
			n.client("-f")
			n.client("-R")
		}
		for _, n := range []*node{k.a, k.b} {
			n.client("-n")
		}
	}
	for _, n := range []*node{k.a, k.b} {
		// A listing is what makes the kernel end what has run out.
		n.must("env", "SPOOR_SNAPSHOT=off", "conntrack", "-L")
	}
	what, begun := fmt.Sprintf("round %d", k.rounds), time.Now()
	inStep(k.t, what+", a", k.a, k.b)
	inStep(k.t, what+", b", k.b, k.a)
	if took := time.Since(begun); took > k.slowest {
		k.slowest = took
		k.overrun = k.a.overruns() + k.b.overruns()
	}
	for n, size := range k.sizes() {
		k.peak[n] = max(k.peak[n], size)
	}
}

// pause is a random time of up to most milliseconds.
func (k *soaking) pause(most int) { time.Sleep(time.Duration(k.rand.IntN(most)) * time.Millisecond) }

// bustle begins to load both nodes, some thousand steps a second, until the function that it returns is called.
func (k *soaking) bustle() (rest func()) {
	stop := make(chan struct{})
	steps, failed := make(chan int), make(chan error, len(k.loads))
	for _, b := range k.loads {
		go func() {
			n := 0
			defer func() { steps <- n }()
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-stop:
					return
				case <-tick.C:
				}
				for range 20 {
					if err := b.step(); err != nil {
						failed <- fmt.Errorf("%s: %w", b.n.name, err)
						return
					}
					n++
				}
			}
		}()
	}
	return func() {
		k.t.Helper()
		close(stop)
		for range k.loads {
			k.steps += <-steps
		}
		select {
		case err := <-failed:
			k.t.Fatal(err)
		default:
		}
	}
}

var residentLine = regexp.MustCompile(`(?m)^VmRSS:\s*(\d+) kB$`)

// sizes is how much memory the daemons have, in KiB.
func (k *soaking) sizes() map[*node]int {
	k.t.Helper()
	all := make(map[*node]int)
	for _, n := range []*node{k.a, k.b} {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.running.cmd.Process.Pid))
		m := residentLine.FindSubmatch(status)
		if m == nil {
			k.t.Fatalf("%s: no size in %q: %v", n.name, status, err)
		}
		all[n], _ = strconv.Atoi(string(m[1]))
	}
	return all
}
