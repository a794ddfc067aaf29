package cthelper

import (
	"syscall"
	"testing"

	"github.com/spoor-project/spoor/flow"
)

func TestAWorkerCountsWhatItDoes(t *testing.T) {
	for _, tt := range []struct {
		rule  string
		taken map[uint16]error
		say   string
		want  Counts // but for Read
	}{
		{"it reads", nil, "NOOP\r\n", Counts{}},
		{"it has a connection expected, at the third port, and tells", map[uint16]error{2000: syscall.EBUSY, 2001: syscall.EBUSY}, "PORT 10,1,0,2,7,208\r\n",
			Counts{Expected: 1, Rewritten: 1}},
		{"the kernel refuses", map[uint16]error{2000: syscall.EMFILE}, "PORT 10,1,0,2,7,208\r\n", Counts{Refused: 1, Dropped: 1}},
	} {
		b := newBench(t, "ftp", flow.TCP)
		b.take(tt.taken)
		private := b.ask(b.packet(hiddenClient("ftp", flow.TCP), Established, 1000, "USER a\r\n")).Private
		d := b.packet(hiddenClient("ftp", flow.TCP), Established, 1008, tt.say)
		d.Private = private
		b.ask(d)
		tt.want.Read = 2
		if got := b.worker.figures(); got.Counts != tt.want || got.Name != "ftp" || got.Queue != testQueue {
			t.Errorf("%s: got %+v, want %+v", tt.rule, got, tt.want)
		}
	}
}

// Without translation the last expectation goes with the verdict; it counts as the others do.
func TestExpectationsThatGoWithAVerdictCount(t *testing.T) {
	b := newBench(t, "amanda", flow.UDP)
	b.take(map[uint16]error{9999: syscall.EMFILE})
	f := fuzzFlow(flow.UDP, false, false, false)
	b.ask(b.packet(&f, EstablishedReply, 0, "CONNECT DATA 9999 MESG 50002 INDEX 50003 STATE 50004\n"))
	if got, want := b.worker.figures().Counts, (Counts{Read: 1, Expected: 3, Refused: 1}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// The kernel's number of packets without room wraps around; ours goes on.
func TestUnreadPacketsAreCounted(t *testing.T) {
	q, _ := fakeQueue(t)
	w := newWorker(&Instance{Name: "ftp"}, protocolOf("ftp", flow.TCP), q, refuse{}, &limitedLog{log: silent{}})
	w.dropped = q.Dropped() - 7
	w.lookForLosses()
	if got, want := w.figures().Counts, (Counts{Unread: 7}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
