package tui

import (
	"math/rand/v2"
	"testing"
)

// TestRemembered compares with a map, flows coming and going.
func TestRemembered(t *testing.T) {
	type state struct {
		bytes, packets uint64
		first, seen    uint32
	}
	random := rand.New(rand.NewPCG(3, 4))
	var m remembered
	model := map[uint64]*state{}
	hashes := make([]uint64, 20_000)
	for i := range hashes {
		hashes[i] = random.Uint64()
	}
	last := uint32(0)
	for sweep := uint32(3); sweep < 90; sweep += 3 { // other parts of the table are read in between
		m.begin(sweep, 100)
		baseline := sweep == 3 || sweep == 30
		part := hashes[:len(hashes)>>(sweep/3%5)]
		for _, h := range part {
			if random.IntN(10) == 0 {
				continue
			}
			old := model[h]
			n := uint64(random.IntN(5000))
			s := &state{bytes: n, packets: n / 10, seen: sweep}
			var want change
			switch {
			case old != nil && old.seen == last:
				s.first, s.bytes, s.packets = old.first, old.bytes+n, old.packets+n/10
				want = change{bytes: n, packets: n / 10, known: true}
			case old != nil && baseline:
				s.first = old.first
			case baseline:
			default:
				s.first = sweep
				want = change{bytes: n, packets: n / 10}
			}
			want.first = s.first
			got := m.note(h, s.bytes, s.packets, baseline)
			// A flow of long ago may have been dropped, and need not.
			if baseline && !got.known {
				s.first, want.first = got.first, got.first
			}
			if got != want {
				t.Fatalf("sweep %d: %+v, want %+v", sweep, got, want)
			}
			model[h] = s
			if again := m.note(h, s.bytes, s.packets, baseline); !again.again {
				t.Fatal("not known again in the same sweep")
			}
		}
		for _, h := range part[:100] {
			s := model[h]
			if s == nil || s.seen != sweep {
				continue
			}
			if got := m.peek(h, sweep+1, false); !got.known || got.first != s.first {
				t.Fatalf("sweep %d: %+v", sweep, got)
			}
		}
		m.tidy()
		if most := 4*len(part) + 64; len(m.places) > most {
			t.Errorf("sweep %d: %d places for %d flows", sweep, len(m.places), len(part))
		}
		last = sweep
	}
	m.begin(140, 0)
	if got := m.peek(0, 140, false); got != (change{first: 140}) {
		t.Errorf("hash 0, not met: %+v", got)
	}
	if got := m.note(0, 1, 1, false); got.bytes != 1 || got.first != 140 {
		t.Errorf("hash 0: %+v", got)
	}
	m.begin(142, 0)
	if got := m.note(0, 1<<40, 7, false); got.bytes != 1<<40-1 || got.packets != 6 {
		t.Errorf("hash 0 again: %+v", got)
	}
	m.begin(143, 0)
	if got := m.note(0, 5, 2, false); got.bytes != 5 || got.packets != 2 || !got.known {
		t.Errorf("counters that begin again: %+v", got)
	}
}

func TestShortened(t *testing.T) {
	for _, n := range []uint64{0, 1, 7, 255, 256, 1000, 123_456_789, 1 << 62} {
		got := shorten(n).number()
		if diff := int64(got) - int64(n); diff > int64(n/200) || -diff > int64(n/200) {
			t.Errorf("%d becomes %d", n, got)
		}
	}
}

// TestSums counts groups, up to as many as are told apart, and takes them away again.
func TestSums(t *testing.T) {
	var s sums
	for range 2 {
		s.reset()
		refused := 0
		for round := range 2 {
			for i := range uint32(maxGroups + 100) {
				if !s.add(&sum{key: groupKey{number: i}, flows: 1, fresh: 1, bytes: uint64(round), packets: 2, bps: 3, pps: 4}) {
					refused++
				}
			}
		}
		if s.used != maxGroups || refused != 200 {
			t.Fatalf("%d groups, %d refused", s.used, refused)
		}
		key := groupKey{number: 12345}
		if got := s.places[s.find(&key)]; got != (sum{key: key, flows: 2, fresh: 2, bytes: 1, packets: 4, bps: 6, pps: 8}) {
			t.Errorf("%+v", got)
		}
		if len(s.places) != 1<<19 {
			t.Errorf("%d places", len(s.places))
		}
	}
}

// TestSumsAreAMap: whatever is added and taken away, in whatever order.
func TestSumsAreAMap(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	var s sums
	model := map[groupKey]sum{}
	var added []sum
	for step := range 200_000 {
		if n := len(added); n > 0 && (random.IntN(5) < 2 || step > 150_000) {
			i := random.IntN(n)
			one := added[i]
			added[i] = added[n-1]
			added = added[:n-1]
			s.take(&one)
			m := model[one.key]
			m.flows, m.fresh, m.bytes, m.packets, m.bps, m.pps = m.flows-one.flows, m.fresh-one.fresh, m.bytes-one.bytes, m.packets-one.packets, m.bps-one.bps, m.pps-one.pps
			if model[one.key] = m; m.flows == 0 {
				delete(model, one.key)
			}
			continue
		}
		n := random.Uint32N(1000)
		one := sum{key: groupKey{number: random.Uint32N(20_000)}, flows: 1 + n, fresh: n, bytes: uint64(n), packets: uint64(n), bps: float64(n), pps: float64(n)}
		if step > 150_000 {
			break // nothing is left
		}
		s.add(&one)
		added = append(added, one)
		m := model[one.key]
		model[one.key] = sum{one.key, m.flows + one.flows, m.fresh + n, m.bytes + uint64(n), m.packets + uint64(n), m.bps + float64(n), m.pps + float64(n)}
		if step%10_000 == 0 {
			compareSums(t, &s, model)
		}
	}
	if compareSums(t, &s, model); s.used != 0 {
		t.Errorf("%d groups are left", s.used)
	}
}

func compareSums(t *testing.T, s *sums, model map[groupKey]sum) {
	t.Helper()
	if s.used != len(model) {
		t.Fatalf("%d groups, want %d", s.used, len(model))
	}
	for key, want := range model {
		if got := s.places[s.find(&key)]; got != want {
			t.Fatalf("%+v, want %+v", got, want)
		}
	}
}
