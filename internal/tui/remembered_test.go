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
	for sweep := uint32(1); sweep < 30; sweep++ {
		baseline := sweep == 1 || sweep == 10
		part := hashes[:len(hashes)>>(sweep%5)]
		for _, h := range part {
			if random.IntN(10) == 0 {
				continue
			}
			old := model[h]
			n := uint64(random.IntN(5000))
			s := &state{bytes: n, packets: n / 10, seen: sweep}
			var want change
			switch {
			case old != nil && old.seen == sweep-1:
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
			got := m.note(h, s.bytes, s.packets, sweep, baseline)
			// A flow of long ago may have been dropped, and need not.
			if baseline && !got.known {
				s.first, want.first = got.first, got.first
			}
			if got != want {
				t.Fatalf("sweep %d: %+v, want %+v", sweep, got, want)
			}
			model[h] = s
			if again := m.note(h, s.bytes, s.packets, sweep, baseline); !again.again {
				t.Fatal("not known again in the same sweep")
			}
		}
		for _, h := range part[:100] {
			s := model[h]
			if s == nil || s.seen != sweep {
				continue
			}
			if got := m.peek(h, sweep, false); !got.known || got.first != s.first {
				t.Fatalf("sweep %d: %+v", sweep, got)
			}
		}
		m.tidy(sweep)
		places := 0
		for i := range m.shards {
			places += len(m.shards[i].places)
		}
		if most := 4*len(part) + 256*65 + 256*16; places > most {
			t.Errorf("sweep %d: %d places for %d flows", sweep, places, len(part))
		}
	}
	if got := m.note(0, 1, 1, 40, false); got.bytes != 1 || got.first != 40 {
		t.Errorf("hash 0: %+v", got)
	}
	if got := m.note(0, 1<<40, 7, 41, false); got.bytes != 1<<40-1 || got.packets != 6 {
		t.Errorf("hash 0 again: %+v", got)
	}
	if got := m.note(0, 5, 2, 42, false); got.bytes != 5 || got.packets != 2 || !got.known {
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

// TestSums counts groups, up to as many as are told apart.
func TestSums(t *testing.T) {
	var s sums
	for range 2 {
		s.reset()
		for round := range 2 {
			for i := range uint32(maxGroups + 100) {
				key := groupKey{number: i}
				s.add(keyHash(&key), &sum{key: key, flows: 1, fresh: 1, bytes: uint64(round), packets: 2, dBytes: 3, dPackets: 4})
			}
		}
		if s.used != maxGroups || s.others != 200 {
			t.Fatalf("%d groups, %d others", s.used, s.others)
		}
		key := groupKey{number: 12345}
		if p := s.find(keyHash(&key), &key); *p != (sum{key: key, flows: 2, fresh: 2, bytes: 1, packets: 4, dBytes: 6, dPackets: 8}) {
			t.Errorf("%+v", *p)
		}
		if len(s.places) != 1<<19 {
			t.Errorf("%d places", len(s.places))
		}
	}
}
