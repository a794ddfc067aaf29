package tui

// maxGroups is how many groups are told apart. Flows come in the order of a hash, so what makes a group large is met before there
// are so many; the flows of those met later are counted as others.
const maxGroups = 3 << 17

// sums are groups, without pointers.
type sums struct {
	places []sum
	used   int
}

// sum is what the flows of a group come to.
type sum struct {
	key            groupKey
	flows, fresh   uint32 // flows 0 is an empty place
	bytes, packets uint64
	bps, pps       float64 // bytes and packets per second
}

// reset forgets all and keeps the memory.
func (s *sums) reset() {
	clear(s.places)
	s.used = 0
}

// add adds what some flows of a group come to, and reports whether there was room for the group.
func (s *sums) add(one *sum) bool {
	if s.used*4 >= len(s.places)*3 && s.used < maxGroups {
		old := s.places
		s.places = make([]sum, max(256, len(old)*2))
		for i := range old {
			if old[i].flows > 0 {
				s.places[s.find(&old[i].key)] = old[i]
			}
		}
	}
	p := &s.places[s.find(&one.key)]
	if p.flows == 0 {
		if s.used >= maxGroups {
			return false
		}
		s.used++
		*p = *one
		return true
	}
	p.flows += one.flows
	p.fresh += one.fresh
	p.bytes += one.bytes
	p.packets += one.packets
	p.bps += one.bps
	p.pps += one.pps
	return true
}

// take takes away what was added before.
func (s *sums) take(one *sum) {
	i := s.find(&one.key)
	p := &s.places[i]
	if p.flows == one.flows {
		s.remove(i)
		return
	}
	p.flows -= one.flows
	p.fresh -= one.fresh
	p.bytes -= one.bytes
	p.packets -= one.packets
	p.bps = max(0, p.bps-one.bps)
	p.pps = max(0, p.pps-one.pps)
}

// remove empties a place, and moves those behind it that would not be found any more.
func (s *sums) remove(hole uint64) {
	mask := uint64(len(s.places) - 1)
	for i := (hole + 1) & mask; s.places[i].flows > 0; i = (i + 1) & mask {
		if home := keyHash(&s.places[i].key); (i-home)&mask >= (i-hole)&mask {
			s.places[hole] = s.places[i]
			hole = i
		}
	}
	s.places[hole] = sum{}
	s.used--
}

// find returns the place of a key, or the empty one where it belongs. The number of places is a power of two.
func (s *sums) find(key *groupKey) uint64 {
	mask := uint64(len(s.places) - 1)
	for i := keyHash(key) & mask; ; i = (i + 1) & mask {
		if p := &s.places[i]; p.flows == 0 || p.key == *key {
			return i
		}
	}
}
