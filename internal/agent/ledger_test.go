package agent

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/mirror"
	"github.com/spoor-project/spoor/internal/statesync"
)

func TestLedgerWritesTheEndOfWhatItKnew(t *testing.T) {
	var file bytes.Buffer
	l := newLedger(0, 0, &file, nil)
	f, unknown := tcpFlow("10.0.0.1", "198.51.100.1", flow.TCPEstablished), tcpFlow("10.0.0.2", "198.51.100.1", 3)
	l.event(0, &flow.Event{Type: flow.New, Flow: f})
	l.event(0, &flow.Event{Type: flow.New, Flow: f}) // again: nothing new
	f.State = flow.TCPTimeWait
	l.event(0, &flow.Event{Type: flow.Update, Flow: f})
	var shown []flow.Flow
	l.show(0, mirror.Ref(0), 10, func(c *statesync.Cached) { shown = append(shown, *c.Flow) })
	if len(shown) != 1 || shown[0].State != flow.TCPTimeWait {
		t.Errorf("%+v", shown)
	}
	f.Has |= flow.HasOrigCounters | flow.HasReplyCounters
	f.OrigCounters, f.ReplyCounters = flow.Counters{Packets: 5, Bytes: 1268}, flow.Counters{Packets: 3, Bytes: 164}
	l.event(0, &flow.Event{Type: flow.Destroy, Flow: f})
	l.event(0, &flow.Event{Type: flow.Destroy, Flow: unknown})
	if err := l.flush(); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(file.String(), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], "\ttcp      6 TIME_WAIT src=10.0.0.1 ") || !strings.Contains(lines[0], " packets=3 bytes=164") {
		t.Errorf("%q", lines)
	}
	if s := l.status(); s.Active != 0 || s.Created != 1 || s.Updated != 1 || s.Destroyed != 1 || l.traffic.Bytes != 1432 {
		t.Errorf("%+v, %+v", s, l.traffic)
	}
}

// fullDisk cannot be written to for a while.
type fullDisk struct {
	full bool
	bytes.Buffer
}

func (d *fullDisk) Write(b []byte) (int, error) {
	if d.full {
		return 0, errors.New("no space left on device")
	}
	return d.Buffer.Write(b)
}

func TestFullDiskIsToldOnce(t *testing.T) {
	disk := &fullDisk{full: true}
	l := newLedger(0, 0, disk, nil)
	told := 0
	for i := range 6 {
		disk.full = i != 3
		f := tcpFlow("10.0.0.1", "198.51.100.1", 3)
		l.event(0, &flow.Event{Type: flow.New, Flow: f})
		l.event(0, &flow.Event{Type: flow.Destroy, Flow: f})
		if l.flush() != nil {
			told++
		}
	}
	if told != 2 || strings.Count(disk.String(), "\n") != 1 {
		t.Errorf("told %d times, written %q", told, disk.String())
	}
}

// A reading of the table tells what has ended without a word.
func TestLedgerWritesWhatHasVanished(t *testing.T) {
	var file bytes.Buffer
	l := newLedger(0, 0, &file, nil)
	flows := map[string]flow.Flow{}
	for _, src := range []string{"10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5"} {
		flows[src] = tcpFlow(src, "198.51.100.1", flow.TCPEstablished)
	}
	read := func(src string) { f := flows[src]; l.read(0, &f) }
	event := func(typ flow.EventType, src string) { l.event(0, &flow.Event{Type: typ, Flow: flows[src]}) }
	read("10.0.0.1") // at the start
	read("10.0.0.2")
	read("10.0.0.3")
	l.beginReading(true)
	read("10.0.0.1")
	event(flow.Update, "10.0.0.2")
	event(flow.New, "10.0.0.4") // where the reading has been before
	read("10.0.0.5")
	l.endReading(true)
	if err := l.flush(); err != nil {
		t.Fatal(err)
	}
	if got := file.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "ESTABLISHED src=10.0.0.3 ") || strings.Contains(got, "packets=") {
		t.Errorf("%q", got)
	}
	if s := l.status(); s.Active != 4 || s.Created != 5 || s.Destroyed != 1 {
		t.Errorf("%+v", s)
	}
	l.beginReading(true)
	l.endReading(true)
	l.flush()
	if s := l.status(); s.Active != 0 || s.Destroyed != 5 || strings.Count(file.String(), "\n") != 5 {
		t.Errorf("%+v, %q", s, file.String())
	}
}

// An event may be faster than the reading in which its flow still is.
func TestLedgerDoesNotReadWhatHasEnded(t *testing.T) {
	var file bytes.Buffer
	l := newLedger(0, 0, &file, nil)
	f, again := tcpFlow("10.0.0.1", "198.51.100.1", flow.TCPEstablished), tcpFlow("10.0.0.2", "198.51.100.1", flow.TCPEstablished)
	for _, x := range []flow.Flow{f, again} {
		l.event(0, &flow.Event{Type: flow.New, Flow: x})
	}
	l.beginReading(true)
	l.beginReading(false)
	for _, x := range []flow.Flow{f, again} {
		l.event(0, &flow.Event{Type: flow.Destroy, Flow: x})
	}
	l.event(0, &flow.Event{Type: flow.New, Flow: again})
	l.read(0, &f)
	l.endReading(true)
	l.read(0, &f)
	l.read(0, &again)
	l.endReading(false)
	l.flush()
	if l.flows.Len() != 1 || l.flows.Find(&again) == 0 || strings.Count(file.String(), "\n") != 2 || l.ended != nil {
		t.Errorf("%d flows, %q", l.flows.Len(), file.String())
	}
	l.read(0, &f) // is there again, unheard of
	if l.flows.Len() != 2 {
		t.Errorf("%d flows", l.flows.Len())
	}
}
