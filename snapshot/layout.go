package snapshot

import (
	"errors"
	"fmt"
	"math"
)

// absent is the offset of a field that this kernel does not have.
const absent = 0xffff

// layout says where things are in the kernel's objects, in bytes from their beginning. The
// program layout in bpf/snapshot.c fills it in.
type layout struct {
	ConnSize, TupleSize, HashSize, Orig, Reply, Status, Net, Timeout, Use, Mark, SecMark, Zone, ZoneDir uint16
	Master, Ext, TCPState, TCPSeen, TCPSeenSize, TCPScale, TCPFlags, SCTPState, SCTPVTag                uint16
	DCCPRole, DCCPState, DCCPSeq                                                                        uint16
	ExtOffset, ExtLen                                                                                   uint16
	// numbers of extensions
	SeqAdj, Acct, Tstamp, Labels, Synproxy uint16
}

const (
	tupleSize   = 40 // sizeof(struct nf_conntrack_tuple)
	nodeSize    = 16 // sizeof(struct hlist_nulls_node)
	maxConnSize = 320
)

// check makes sure that the decoder stays inside the struct, and that what the program
// takes for granted is so.
func (l *layout) check() error {
	if l.TupleSize != tupleSize || l.HashSize != nodeSize+tupleSize || l.Reply != l.Orig+l.HashSize ||
		l.Status != l.Reply+tupleSize || l.Net != l.Status+8 {
		return errors.New("struct nf_conn has another form than expected")
	}
	if l.ConnSize > maxConnSize {
		return fmt.Errorf("struct nf_conn has %d bytes", l.ConnSize)
	}
	ends := [...]struct{ at, size uint16 }{
		{l.Orig, tupleSize}, {l.Reply, tupleSize}, {l.Status, 8}, {l.Net, 8}, {l.Timeout, 4}, {l.Use, 4}, {l.Mark, 4},
		{l.SecMark, 4}, {l.Zone, 2}, {l.ZoneDir, 1}, {l.Master, 8}, {l.Ext, 8}, {l.TCPState, 1},
		{l.TCPSeen, 2 * l.TCPSeenSize}, {l.SCTPState, 4}, {l.SCTPVTag, 8},
		{l.DCCPRole, 1}, {l.DCCPState, 1}, {l.DCCPSeq, 8},
	}
	for _, e := range ends {
		if e.at != absent && int(e.at)+int(e.size) > int(l.ConnSize) {
			return fmt.Errorf("a field of struct nf_conn at %d lies outside its %d bytes", e.at, l.ConnSize)
		}
	}
	if l.TCPScale >= l.TCPSeenSize || l.TCPFlags >= l.TCPSeenSize {
		return errors.New("struct ip_ct_tcp_state has another form than expected")
	}
	return nil
}

// frequencies are the values that CONFIG_HZ can have.
var frequencies = [...]uint64{24, 32, 48, 64, 100, 128, 250, 256, 300, 500, 512, 1000, 1024, 1200}

// ticksPerSecond finds out HZ. The kernel counts ticks from five minutes before the counter's 32-bit
// overflow (INITIAL_JIFFIES), while the monotonic clock counts from 0. It is 0 if more than
// one value would do, which is so when the machine has been up for five minutes.
func ticksPerSecond(jiffies, monotonic uint64) uint64 {
	const near = 10 // ticks: less is no difference
	hz, least, second := uint64(0), uint64(math.MaxUint64), uint64(math.MaxUint64)
	for _, f := range frequencies {
		want := uint64(-uint32(300*f)) + uint64(float64(monotonic)/1e9*float64(f))
		off := max(want, jiffies) - min(want, jiffies)
		if off < least {
			hz, least, second = f, off, least
		} else {
			second = min(second, off)
		}
	}
	if second-least < near {
		return 0
	}
	return hz
}
