package mirror

import "encoding/binary"

// place is where packed bytes lie: their class in the upper five bits, and a slot of that class.
type place uint32

// nowhere is class 0, which has no slots.
const nowhere place = 0

// classes are the sizes of slots. A packed flow begins with its length, two bytes.
var classes = [...]int{0, 32, 48, 64, 80, 96, 128, 160, 192, 256, 320, 384, 512, 768, 1024, maxPacked}

const (
	slotBits = 27
	slotMask = 1<<slotBits - 1
	slabSize = 64 << 10
)

// slabs holds byte strings of up to maxPacked bytes in slots of a few sizes.
type slabs struct {
	class [len(classes)]slabClass
	buf   [maxPacked]byte
}

type slabClass struct {
	slabs [][]byte
	used  int    // slots that were ever in use
	free  uint32 // slot + 1 of the first free one, which holds the next; 0: none
}

// space is memory for making up what is then put.
func (s *slabs) space() []byte { return s.buf[:0] }

func (s *slabs) bytes() (n int) {
	for i := range s.class {
		n += len(s.class[i].slabs) * slabSize
	}
	return n
}

func (s *slabs) slot(p place) []byte {
	c, n := p>>slotBits, int(p&slotMask)
	size := classes[c]
	per := slabSize / size
	return s.class[c].slabs[n/per][n%per*size:][:size]
}

// get returns what was put there; valid until the next put or release.
func (s *slabs) get(p place) []byte {
	b := s.slot(p)
	return b[2 : 2+binary.LittleEndian.Uint16(b)]
}

// put stores b in the place of what is at old, or nowhere, and returns where.
func (s *slabs) put(old place, b []byte) place {
	need := len(b) + 2
	p := old
	if c := old >> slotBits; old == nowhere || need > classes[c] || need <= classes[c-1] {
		if old != nowhere {
			s.release(old)
		}
		p = s.take(need)
	}
	slot := s.slot(p)
	binary.LittleEndian.PutUint16(slot, uint16(len(b)))
	copy(slot[2:], b)
	return p
}

func (s *slabs) take(need int) place {
	c := 1
	for classes[c] < need {
		c++
	}
	class := &s.class[c]
	if n := class.free; n != 0 {
		p := place(c)<<slotBits | place(n-1)
		class.free = binary.LittleEndian.Uint32(s.slot(p))
		return p
	}
	per := slabSize / classes[c]
	if class.used == len(class.slabs)*per {
		class.slabs = append(class.slabs, make([]byte, slabSize))
	}
	class.used++
	return place(c)<<slotBits | place(class.used-1)
}

func (s *slabs) release(p place) {
	class := &s.class[p>>slotBits]
	binary.LittleEndian.PutUint32(s.slot(p), class.free)
	class.free = uint32(p&slotMask) + 1
}
