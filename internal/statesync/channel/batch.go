package channel

// batchSize is how many datagrams one system call takes or brings. More gain nothing
// that could be measured.
const batchSize = 32

// Batch is what one call of Receive brings, and the memory for it. The zero value is
// ready for use; it grows to 2 MiB of address space, of which the part that datagrams
// never reached stays untouched. Use it again and again.
type Batch struct {
	// Datagrams are whole and in the order they came. They lie in the batch's memory
	// and are the caller's until he gives the batch to Receive again.
	Datagrams [][]byte

	buffers [batchSize][]byte
}

// buffer is room for the i-th datagram: one byte more than the largest has.
func (b *Batch) buffer(i int) []byte {
	if b.buffers[i] == nil {
		b.buffers[i] = make([]byte, 1<<16)
	}
	return b.buffers[i]
}
