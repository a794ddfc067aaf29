//go:build linux

package main

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spoor-project/spoor/interop/measure"
)

func TestFlowsAreDistinctAndInTheirNetworks(t *testing.T) {
	type client struct {
		addr uint32
		port uint16
	}
	seen := map[client]bool{}
	in := func(addr, network uint32, bits int) bool { return (addr^network)>>(32-bits) == 0 }
	check := func(i int) {
		addr, port := clientOf(i)
		if !in(addr, base(clientNet), clientNet.Bits()) || port < firstPort {
			t.Errorf("flow %d: client %#x port %d is out of its network", i, addr, port)
		}
		if server := serverOf(i); !in(server, base(serverNet), serverNet.Bits()) {
			t.Errorf("flow %d: server %#x is out of its network", i, server)
		}
		if seen[client{addr, port}] {
			t.Errorf("flow %d: client %#x port %d is taken", i, addr, port)
		}
		seen[client{addr, port}] = true
	}
	for i := range 100_000 {
		check(i)
	}
	check(highestRate * int(climbTime/time.Second) * 2)
	check(maxFlows - 1)
}

func TestChecksumsOfPacketsAreRight(t *testing.T) {
	for k, all := range steps {
		for n, s := range all {
			b := newFrames(k, s, mac{1}, mac{2}).write(make([]byte, frameRoom), 12345)
			ip := b[ethernetLen:]
			if got := checksum(0, ip[:ipLen]); got != 0 {
				t.Errorf("%s packet %d: IP checksum is off by %#x", k, n, got)
			}
			if got := int(binary.BigEndian.Uint16(ip[2:])); got != len(ip) {
				t.Errorf("%s packet %d: length is %d, want %d", k, n, got, len(ip))
			}
			segment := ip[ipLen:]
			if k == tcpFlow {
				if got := checksum(add(uint32(protoTCP)+uint32(len(segment)), ip[12:20]), segment); got != 0 {
					t.Errorf("%s packet %d: TCP checksum is off by %#x", k, n, got)
				}
			} else if got := int(binary.BigEndian.Uint16(segment[4:])); got != len(segment) {
				t.Errorf("%s packet %d: UDP length is %d, want %d", k, n, got, len(segment))
			}
		}
	}
}

// TestTCPStepsFollowEachOther: each side begins with what it has not sent yet, and acknowledges all it has got.
func TestTCPStepsFollowEachOther(t *testing.T) {
	next := map[bool]uint32{false: clientSeq, true: serverSeq}
	for n, s := range steps[tcpFlow] {
		if s.seq != next[s.answer] {
			t.Errorf("packet %d: begins with %d, want %d", n, s.seq, next[s.answer])
		}
		if s.flags&ack != 0 && s.ack != next[!s.answer] {
			t.Errorf("packet %d: acknowledges %d, want %d", n, s.ack, next[!s.answer])
		}
		next[s.answer] += uint32(s.payload)
		if s.flags&(syn|fin) != 0 {
			next[s.answer]++
		}
	}
}

func TestAnswersGoTheOtherWay(t *testing.T) {
	room := make([]byte, 2*frameRoom)
	there := newFrames(tcpFlow, steps[tcpFlow][0], mac{}, mac{}).write(room[:frameRoom], 7)[ethernetLen:]
	back := newFrames(tcpFlow, steps[tcpFlow][1], mac{}, mac{}).write(room[frameRoom:], 7)[ethernetLen:]
	if !slices.Equal(there[12:16], back[16:20]) || !slices.Equal(there[16:20], back[12:16]) ||
		!slices.Equal(there[20:22], back[22:24]) || !slices.Equal(there[22:24], back[20:22]) {
		t.Errorf("got addresses and ports % x and back % x", there[12:24], back[12:24])
	}
}

func TestPacketsAreDueAtTheirRateAndNoMoreThanOrdered(t *testing.T) {
	o := &order{Kind: tcpFlow, Flows: 1000, Rate: 10_000}
	for _, c := range []struct {
		at   time.Duration
		step int
		want int
	}{
		{0, 0, 1},
		{10 * time.Millisecond, 0, 101},
		{time.Hour, 0, 1000},
		{stepGap - 1, 1, 0},
		{stepGap + 10*time.Millisecond, 1, 101},
		{10 * time.Millisecond, 2, 0},
	} {
		if got := o.due(c.at, c.step); got != c.want {
			t.Errorf("after %v, step %d: got %d, want %d", c.at, c.step, got, c.want)
		}
	}
	if got, want := o.duration(), 100*time.Millisecond+7*stepGap; got != want {
		t.Errorf("duration: got %v, want %v", got, want)
	}
}

func TestClimbFindsTheHighestRungThatHolds(t *testing.T) {
	const rungs = 30
	for top := -1; top < rungs; top++ {
		for _, start := range []int{0, 14, 29, 99, -1} {
			for _, stride := range []int{1, 4} {
				tried := 0
				got, err := climb(rungs, start, stride, func(rung int) (bool, error) {
					if rung < 0 || rung >= rungs {
						t.Fatalf("rung %d was tried", rung)
					}
					tried++
					return rung <= top, nil
				})
				if err != nil || got != top {
					t.Errorf("top %d, start %d, stride %d: got %d, %v", top, start, stride, got, err)
				}
				if tried > 10 {
					t.Errorf("top %d, start %d, stride %d: %d rungs were tried", top, start, stride, tried)
				}
			}
		}
	}
}

func TestRatesRiseInSteps(t *testing.T) {
	all := rates()
	if all[0] != lowestRate || all[len(all)-1] > highestRate || !slices.IsSorted(all) {
		t.Errorf("got %v", all)
	}
	if maxFlows < 2*highestRate*int(climbTime/time.Second) {
		t.Error("the networks have no room for the highest rate")
	}
}

func TestDelaysPairTheNthWithTheNth(t *testing.T) {
	begun := []mark{{10, 2}, {20, 5}, {30, 6}}
	known := []mark{{15, 1}, {25, 4}, {50, 6}}
	want := []delay{{5, 1}, {15, 1}, {5, 2}, {30, 1}, {20, 1}}
	if got := delays(begun, known); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	// More known than begun: what is not ours does not count.
	if got := delays(begun[:1], known); !slices.Equal(got, want[:2]) {
		t.Errorf("got %v, want %v", got, want[:2])
	}
}

func TestQuantilesCountFlows(t *testing.T) {
	all := []delay{{30, 1}, {1, 89}, {20, 10}}
	if got, want := quantiles(all, 0.5, 0.89, 0.9, 0.99, 1), []time.Duration{1, 1, 20, 20, 30}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := quantiles(nil, 0.5); got[0] != 0 {
		t.Errorf("of nothing: got %v", got)
	}
}

// recorded reads what a daemon has printed, from the tests of ours, which compare it with the original's.
func recorded(t *testing.T, name string) string {
	text, err := os.ReadFile(filepath.Join("../../internal/agent/testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestStatisticsAreUnderstood(t *testing.T) {
	const caches = "cache:internal\tactive objects:\t\t           3\n\tactive/total entries:\t\t           3/           4\n" +
		"\tcreation OK/failed:\t\t           5/           0\n\t\tno memory available:\t           0\n\t\tno space left in cache:\t           0\n" +
		"\tupdate OK/failed:\t\t           6/           0\n\t\tentry not found:\t           0\n" +
		"\tdeletion created/failed:\t           7/           0\n\t\tentry not found:\t           0\n\n"
	got, err := parseCaches(caches + strings.NewReplacer("internal", "external", "6/", "16/").Replace(caches))
	want := cacheStats{cacheCounts{3, 5, 6, 7}, cacheCounts{3, 5, 16, 7}}
	if err != nil || *got != want {
		t.Errorf("caches: got %+v, %v, want %+v", got, err, want)
	}
	if got, want := got.external.messages(), 28; got != want {
		t.Errorf("messages: got %d, want %d", got, want)
	}
	if _, err := parseCaches(caches); err == nil {
		t.Error("one cache: got no error")
	}
	const network = "sequence tracking statistics:\n\trecv:\n\t\tPackets lost:\t\t                  11\n" +
		"\t\tPackets before:\t\t                   0\n\nUDP traffic (active device=sync):\n" +
		"                 480 Bytes sent                  128 Bytes recv\n                  15 Pckts sent                    8 Pckts recv\n" +
		"                   2 Error send                    0 Error recv\n"
	n, err := parseNetwork(network)
	if want := (networkStats{sent: 15, received: 8, sentBytes: 480, sendErrors: 2, lost: 11}); err != nil || *n != want {
		t.Errorf("network: got %+v, %v, want %+v", n, err, want)
	}
	if n, err := parseOverruns("netlink stats:\n\tnetlink overrun:\t\t          12\n"); n != 12 || err != nil {
		t.Errorf("overruns: got %d, %v", n, err)
	}
}

func TestWhatOurDaemonPrintsIsUnderstood(t *testing.T) {
	if _, err := parseCaches(recorded(t, "cache.txt")); err != nil {
		t.Error(err)
	}
	if _, err := parseNetwork(recorded(t, "network.txt")); err != nil {
		t.Error(err)
	}
	if _, err := parseOverruns(recorded(t, "runtime.txt")); err != nil {
		t.Error(err)
	}
}

func TestProcessFilesAreUnderstood(t *testing.T) {
	w, err := parseWork("42 (a) b (c) S 1 42 42 0 -1 4194560 1 0 0 0 150 25 0 0 20 0 1 0 100 1 1\n")
	if want := (work{1500 * time.Millisecond, 250 * time.Millisecond}); w != want || err != nil {
		t.Errorf("work: got %v, %v, want %v", w, err, want)
	}
	rss, err := parseRSS("Name:\tx\nVmHWM:\t   99 kB\nVmRSS:\t   10 kB\n")
	if rss != 10<<10 || err != nil {
		t.Errorf("RSS: got %d, %v", rss, err)
	}
	for _, text := range []string{"", "1 (x) S 1"} {
		if _, err := parseWork(text); err == nil {
			t.Errorf("%q: got no error", text)
		}
	}
}

// sampleRow has two targets of each kind, the first reached.
func sampleRow() row {
	r := row{Title: "a contest", Columns: []column{{"time", micros}, {"rate", flowRate}}}
	r.Figures = []figure{
		summarise(pair{ours, ours}, [][]float64{{2e-6, 900}, {4e-6, 1100}, {3e-6, 1000}}),
		summarise(pair{theirs, theirs}, [][]float64{{10e-6, 500}}),
		summarise(pair{ours, theirs}, nil),
	}
	r.Demands = []demand{
		{What: "time", Column: 0, Bound: atMostTimes, Limit: 0.4},
		{What: "rate", Column: 1, Bound: atLeastTimes, Limit: 3},
		{What: "time", Column: 0, Bound: atMost, Limit: 5e-6},
		{What: "rate", Column: 1, Bound: atLeast, Limit: 2000},
		{What: "shown", Column: 1},
	}
	return r
}

func TestDemandsAreJudged(t *testing.T) {
	r := sampleRow()
	want := []measure.Target{
		{Promise: "≤ 0.4 × theirs", Value: "0.30", Reached: true},
		{Promise: "≥ 3 × theirs", Value: "2.00"},
		{Promise: "≤ 5.00 µs", Value: "3.00 µs", Reached: true},
		{Promise: "≥ 2,000/s", Value: "1,000/s"},
	}
	for i, w := range want {
		if got, ok := r.Demands[i].target(&r); !ok || got != w {
			t.Errorf("demand %d: got %+v, %v, want %+v", i, got, ok, w)
		}
	}
	if _, ok := r.Demands[4].target(&r); ok {
		t.Error("a demand without a bound: got a target")
	}
	res := results{Rows: []row{r}}
	if got := res.missed(); len(got) != 2 {
		t.Errorf("missed: got %q, want two", got)
	}
}

func TestMissingFiguresMissTheTarget(t *testing.T) {
	r := sampleRow()
	r.Figures = r.Figures[:1]
	r.Problems = []measure.Problem{{Who: pair{theirs, theirs}.String(), Text: "fails"}, {Who: pair{ours, ours}.String(), Text: "lost"}}
	res := results{Rows: []row{r}}
	missed := res.missed()
	if len(missed) != 4 || !strings.Contains(missed[0], "nothing") || !strings.Contains(missed[3], "lost") {
		t.Errorf("got %q, want both comparisons, the rate, and our own problem", missed)
	}
}

func TestRowsOfTablesAreComplete(t *testing.T) {
	res := &results{Rows: []row{sampleRow()}}
	width := 0
	for line := range strings.Lines(render(res)) {
		if !strings.HasPrefix(line, "|") {
			width = 0
			continue
		}
		n := strings.Count(line, "|")
		if width == 0 {
			width = n
		}
		if n != width {
			t.Errorf("%d bars instead of %d in %q", n, width, line)
		}
	}
}

func TestFewerFlowsMakeAllShorter(t *testing.T) {
	for flows, want := range map[int]int{usualFlows: 1000, usualFlows / 10: 100, 2 * usualFlows: 1000} {
		s := &settings{Flows: flows}
		if got := s.scaled(1000); got != want {
			t.Errorf("-flows %d: got %d, want %d", flows, got, want)
		}
	}
}

func TestEachContestCanBeNamed(t *testing.T) {
	a := &arena{plan: &plan{settings: settings{Runs: 1, Flows: usualFlows}}}
	var names []string
	for _, c := range a.contests() {
		names = append(names, c.name)
		for _, d := range c.demands {
			if d.Column >= len(c.columns) {
				t.Errorf("%s: no column %d", c.name, d.Column)
			}
		}
	}
	if !slices.Equal(names, contestNames) {
		t.Errorf("got %q, want %q", names, contestNames)
	}
	if _, err := parseSettings([]string{"-only", "fill,nothing"}); err == nil {
		t.Error("-only with an unknown name: got no error")
	}
	s, err := parseSettings([]string{"-runs", "2", "-only", "fill,cpu", "-flows", "10000"})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := s.command(), "go run ./interop/syncbench -runs 2 -flows 10000 -only fill,cpu"; got != want {
		t.Errorf("command: got %q, want %q", got, want)
	}
}
