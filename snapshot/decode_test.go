package snapshot

import (
	"testing"

	"github.com/spoor-project/spoor/flow"
)

// someLayout is that of a Linux 6.18 on a 64-bit machine.
var someLayout = layout{
	ConnSize: 240, TupleSize: 40, HashSize: 56, Orig: 32, Reply: 88, Status: 128, Net: 136, Timeout: 8, Use: 0, Mark: 168,
	SecMark: 172, Zone: 12, ZoneDir: 15, Master: 160, Ext: 176, TCPState: 224, TCPSeen: 184, TCPSeenSize: 20, TCPScale: 16,
	TCPFlags: 17, SCTPState: 184, SCTPVTag: 188, DCCPRole: 184, DCCPState: 186, DCCPSeq: 192, ExtOffset: 0, ExtLen: 9, SeqAdj: 2, Acct: 3, Tstamp: 5, Labels: 7, Synproxy: 8,
}

func record() []byte {
	rec := make([]byte, recordHeader+240+48)
	le.PutUint16(rec[recordConn:], 240)
	le.PutUint16(rec[recordExt:], 48)
	c := rec[recordHeader:]
	for _, at := range []int{32, 88} {
		c[at+18], c[at+38] = byte(flow.IPv4), byte(flow.TCP)
	}
	c[128] = byte(flow.Confirmed)
	c[240+3] = 16 // counters
	c[240+9] = 48
	c[240+16] = 5
	copy(rec[recordHelper:], "ftp")
	return rec
}

func TestLayoutIsChecked(t *testing.T) {
	if err := someLayout.check(); err != nil {
		t.Fatal(err)
	}
	for _, spoil := range []func(*layout){
		func(l *layout) { l.TupleSize = 48 },
		func(l *layout) { l.Mark = 238 },
		func(l *layout) { l.ConnSize = 1000 },
		func(l *layout) { l.TCPFlags = 20 },
	} {
		l := someLayout
		spoil(&l)
		if l.check() == nil {
			t.Errorf("accepted: %+v", l)
		}
	}
}

func TestTicksPerSecond(t *testing.T) {
	for _, hz := range frequencies {
		for _, seconds := range []uint64{5, 290, 310, 3600, 86400 * 400} {
			jiffies := uint64(-uint32(300*hz)) + seconds*hz
			if got := ticksPerSecond(jiffies, seconds*1e9); got != hz {
				t.Errorf("HZ %d after %d s: %d", hz, seconds, got)
			}
		}
	}
}

func TestTicksPerSecondDoesNotGuess(t *testing.T) {
	if hz := ticksPerSecond(1<<32, 300e9); hz != 0 {
		t.Errorf("after five minutes: %d", hz)
	}
}

func TestDecodeAllocatesNothing(t *testing.T) {
	rec := record()
	d := decoder{layout: &someLayout, hz: 250, id: &idKey{1, 2}}
	var f flow.Flow
	if n := testing.AllocsPerRun(100, func() {
		if err := d.flow(rec, &f); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if f.Helper != "ftp" || f.OrigCounters.Packets != 5 {
		t.Errorf("%+v", f)
	}
}

// Whatever the memory holds, decoding ends, stays inside, and gives the same twice; the records
// found add up to what was read.
func FuzzDecode(f *testing.F) {
	f.Add(record())
	f.Add(append(record(), record()...))
	f.Fuzz(func(t *testing.T, b []byte) {
		d := decoder{layout: &someLayout, hz: 250, id: &idKey{1, 2}}
		total := 0
		for rest := b; len(rest) > 0; {
			rec, after, err := d.next(rest)
			if err != nil {
				break
			}
			total += len(rec)
			if total+len(after) != len(b) {
				t.Fatalf("%d and %d bytes of %d", total, len(after), len(b))
			}
			rest = after
			var one, two flow.Flow
			err1, err2 := d.flow(rec, &one), d.flow(rec, &two)
			if (err1 == nil) != (err2 == nil) || one != two {
				t.Fatalf("decoded twice: %+v, %v; %+v, %v", one, err1, two, err2)
			}
		}
	})
}

// BenchmarkDecode decodes TCP entries, no two in a row alike.
func BenchmarkDecode(b *testing.B) {
	records := make([][]byte, 1024)
	for i := range records {
		rec := record()
		c := rec[recordHeader:]
		le.PutUint32(c[32:], uint32(i*2654435761))
		le.PutUint32(c[8:], uint32(i*2654435761)>>8)
		le.PutUint16(c[48:], uint16(i))
		c[240+3], rec[recordHelper] = 0, 0
		records[i] = rec
	}
	d := decoder{layout: &someLayout, hz: 250}
	var f flow.Flow
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if err := d.flow(records[i%len(records)], &f); err != nil {
			b.Fatal(err)
		}
	}
}
