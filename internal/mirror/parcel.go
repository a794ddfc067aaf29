package mirror

import "github.com/spoor-project/spoor/flow"

// Parcel is flows on their way from one table to another, packed as they are there: they take little memory, and who only hands them on need not
// read them. The zero Parcel is empty. A Parcel is for one goroutine at a time.
type Parcel struct {
	bytes  []byte
	ends   []int // of the flows, in bytes
	hashes []uint32
	names  names
}

// Len is how many flows there are.
func (p *Parcel) Len() int { return len(p.ends) }

// Reset takes all flows out and keeps the memory.
func (p *Parcel) Reset() { p.bytes, p.ends, p.hashes = p.bytes[:0], p.ends[:0], p.hashes[:0] }

// Load reads flow i into f, as [Table.Load] does.
func (p *Parcel) Load(i int, f *flow.Flow) { unpack(p.at(i), f, &p.names) }

func (p *Parcel) at(i int) []byte {
	begin := 0
	if i > 0 {
		begin = p.ends[i-1]
	}
	return p.bytes[begin:p.ends[i]]
}

// Pack adds the flow to a parcel.
func (t *Table[M]) Pack(r Ref, p *Parcel) {
	e := t.entry(r)
	p.bytes = append(p.bytes, t.store.get(e.at)...)
	p.ends = append(p.ends, len(p.bytes))
	p.hashes = append(p.hashes, e.hash)
}

// together is how many flows are looked for side by side: a processor can wait for a dozen places in memory at once.
const together = 32

// AddMissing is Find for flows of a parcel, those with the given numbers, in turn, and Add for those that are not there: in a large table
// it takes a fraction of the time, as each is a wait for memory. The functions get the number of the flow, and its Ref or what Add
// has returned; they may change the table.
func (t *Table[M]) AddMissing(p *Parcel, numbers []int, found, added func(int, Ref)) {
	for len(numbers) > 0 {
		part := numbers[:min(together, len(numbers))]
		numbers = numbers[len(part):]
		var heads [together]Ref
		for i, n := range part {
			heads[i] = *t.head(t.bucket(p.hashes[n]))
		}
		for _, r := range heads[:len(part)] {
			if r != 0 {
				t.fetched += t.entry(r).hash
			}
		}
		for _, n := range part {
			b := p.at(n)
			if r := t.find(identityOf(b), p.hashes[n]); r != 0 {
				found(n, r)
			} else {
				added(n, t.add(p.hashes[n], b))
			}
		}
	}
}
