//go:build linux

package main

import (
	"strings"
	"testing"
	"time"

	"github.com/spoor-project/spoor/interop/measure"
)

func TestEntriesAreDistinctAndOneNetworkHoldsThreeTenths(t *testing.T) {
	const n = 10_000
	p := population{n}
	type client struct {
		addr string
		port uint16
	}
	seen := map[client]bool{}
	in := 0
	for i := range n {
		e, _ := p.entry(i)
		c := client{e.Orig.Src.String(), e.Orig.SrcPort}
		if seen[c] {
			t.Fatalf("entry %d: %v is taken", i, c)
		}
		seen[c] = true
		switch {
		case victimNet.Contains(e.Orig.Src):
			in++
		case i > 0 && !otherNet.Contains(e.Orig.Src):
			t.Errorf("entry %d: source %v is in no network", i, e.Orig.Src)
		}
		if !serverNet.Contains(e.Orig.Dst) {
			t.Errorf("entry %d: destination %v is not in %v", i, e.Orig.Dst, serverNet)
		}
	}
	if in != victims(n) {
		t.Errorf("entries in %v: got %d, want %d", victimNet, in, victims(n))
	}
}

func TestNetworksHaveRoomForTheLargestTable(t *testing.T) {
	p := population{maxEntries}
	for i, network := range map[int]string{victims(maxEntries): victimNet.String(), maxEntries - 1: otherNet.String()} {
		if src, _ := p.client(i); !victimNet.Contains(src) && !otherNet.Contains(src) {
			t.Errorf("entry %d: got source %v, want one in %s", i, src, network)
		}
	}
}

func TestSharesOfConditionsAreAHundred(t *testing.T) {
	sum := 0
	for _, c := range conditions {
		sum += c.share
	}
	if sum != 100 {
		t.Errorf("sum of shares: got %d, want 100", sum)
	}
	if got, want := conditionOf(69).name, "ESTABLISHED"; got != want {
		t.Errorf("condition 69: got %s, want %s", got, want)
	}
	if got, want := conditionOf(99).name, "CLOSE"; got != want {
		t.Errorf("condition 99: got %s, want %s", got, want)
	}
}

func TestLossesAreAddedUp(t *testing.T) {
	n, told := toldLost("WARNING: 12 events have been lost.\nx\nWARNING: at least 30 events have been lost.\n")
	if n != 42 || !told {
		t.Errorf("got %d, %v, want 42, true", n, told)
	}
	if _, told := toldLost("WARNING: We have hit ENOBUFS! We are losing events.\n"); told {
		t.Error("a warning without a number: got one")
	}
}

func TestGoBenchmarksAreJudgedByTheirWorstAllocationAndMedianTime(t *testing.T) {
	const out = `goos: linux
BenchmarkDecode-2   	 5000000	       220.5 ns/op	       0 B/op	       0 allocs/op
BenchmarkDecode-2   	 5000000	       250.5 ns/op	  12.00 MB/s	       0 B/op	       1 allocs/op
BenchmarkDecode-2   	 5000000	       700 ns/op	       0 B/op	       0 allocs/op
PASS
`
	rows := goBenchmarks[0].rows(out)
	if len(rows) != 1 || len(rows[0].Targets) != 2 {
		t.Fatalf("got %+v, want one row with two targets", rows)
	}
	if got, want := rows[0].Figures[0].Text, "250 ns, 1 allocations"; got != want {
		t.Errorf("figure: got %q, want %q", got, want)
	}
	if !rows[0].Targets[0].Reached || rows[0].Targets[1].Reached {
		t.Errorf("targets: got %+v, want the time reached and the allocations not", rows[0].Targets)
	}
}

func TestMissingFiguresMissTheTarget(t *testing.T) {
	r := row{What: "-L", Figures: []figure{{Who: ours, Wall: time.Second}, {Who: theirs, Text: "fails"}}}
	r.promiseRatio(0.5, theirs)
	r.Problems = []measure.Problem{{Who: theirs, Text: "all runs: exit status 1"}}
	res := results{Rows: []row{r}}
	if missed := res.missed(); len(missed) != 1 || !strings.Contains(missed[0], "nothing") {
		t.Errorf("got %q, want the ratio alone, with nothing measured", missed)
	}
}
