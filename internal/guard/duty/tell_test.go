package duty

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/guard"
)

// told is a finding with all there is, and what became of a response to it.
func told() (*guard.Finding, *Outcome) {
	at := time.Date(2026, 11, 21, 12, 0, 3, 0, time.UTC)
	f := &guard.Finding{ID: 7, Kind: guard.HostSweep, Rule: "host-sweep hosts=30 within=1m", Offender: netip.MustParseAddr("192.0.2.7"),
		Subject: guard.Subject{Source: netip.MustParseAddr("192.0.2.7"), Proto: flow.TCP, Port: 22, Zone: 3},
		Since:   at.Add(-3 * time.Second), Time: at, Measured: 31, Limit: 30, Unit: "hosts", Confidence: 0.875,
		Evidence: []guard.Evidence{{What: "refused", Count: 30}, {What: "not answered", Count: 1}, {What: "a", Count: 1}, {What: "b", Count: 1}}}
	a := guard.Action{Respond: guard.Respond{Do: guard.Block, For: time.Hour}, Finding: *f, Until: at.Add(time.Hour)}
	return f, &Outcome{Action: a, Time: at.Add(time.Second)}
}

func TestTextIsForPeople(t *testing.T) {
	var b bytes.Buffer
	out := bufio.NewWriter(&b)
	s := &Text{To: out}
	f, o := told()
	s.Finding(f)
	f.Phase = guard.Ends
	s.Finding(f)
	s.Outcome(o)
	o.Err = errFake
	s.Outcome(o)
	o.Err, o.Action.Held = nil, "allowed: gateway"
	s.Outcome(o)
	o.Action.Held, o.Action.Do, o.Flows = "", guard.Delete, 12
	s.Outcome(o)
	if b.Len() > 0 {
		t.Error("it does not wait for Flush")
	}
	s.Flush()
	at, then := f.Time.Local(), o.Time.Local().Format(time.DateTime)
	want := at.Format(time.DateTime) + " host-sweep begins: 192.0.2.7 tried tcp 22 on 31 hosts in vain since " + f.Since.Local().Format(time.TimeOnly) +
		" (limit 30 within 1m, confidence 88%)\n                         30  refused\n                          1  not answered\n                          1  a\n"
	if got := b.String(); !strings.HasPrefix(got, want) {
		t.Errorf("%s\nwant\n%s", got, want)
	} else if rest := strings.Split(got[len(want):], "\n"); !strings.Contains(rest[0], "host-sweep ends: ") ||
		strings.Join(rest[1:], "\n") != then+" block 192.0.2.7 for 1h (host-sweep): done\n"+then+" block 192.0.2.7 for 1h (host-sweep): failed, the kernel is busy\n"+
			then+" block 192.0.2.7 for 1h (host-sweep): not done, allowed: gateway\n"+then+" delete flows of 192.0.2.7 (host-sweep): done, 12 deleted\n" {
		t.Errorf("%s", got)
	}
}

func TestJSONIsForPrograms(t *testing.T) {
	var b bytes.Buffer
	s := &JSON{To: &b}
	f, o := told()
	s.Finding(f)
	o.Err = errFake
	s.Outcome(o)
	want := `{"type":"finding","finding":{"id":7,"phase":"begins","kind":"host-sweep","subject":{"source":"192.0.2.7","proto":"tcp","port":22,"zone":3},"offender":"192.0.2.7",` +
		`"since":"2026-11-21T12:00:00.000Z","time":"2026-11-21T12:00:03.000Z","measured":31,"limit":30,"unit":"hosts","confidence":0.875,"rule":"host-sweep hosts=30 within=1m",` +
		`"evidence":[{"what":"refused","count":30},{"what":"not answered","count":1},{"what":"a","count":1},{"what":"b","count":1}]}}` + "\n" +
		`{"type":"response","time":"2026-11-21T12:00:04.000Z","result":"failed","error":"the kernel is busy","action":{"response":"block","offender":"192.0.2.7","for":3600,"until":"2026-11-21T13:00:03.000Z","finding":`
	if got := b.String(); !strings.HasPrefix(got, want) || strings.Count(got, "\n") != 2 {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	for line := range strings.Lines(b.String()) {
		if !json.Valid([]byte(line)) {
			t.Errorf("%s", line)
		}
	}
}

// fields reads a record of the journal's native protocol.
func fields(t *testing.T, record []byte) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for len(record) > 0 {
		end := bytes.IndexByte(record, '\n')
		if end < 0 {
			t.Fatalf("%q has no end", record)
		}
		line := string(record[:end])
		record = record[end+1:]
		name, value, short := strings.Cut(line, "=")
		if !short {
			n := binary.LittleEndian.Uint64(record)
			value, record = string(record[8:8+n]), record[9+n:]
		}
		all[name] = value
	}
	return all
}

func TestJournalGetsFields(t *testing.T) {
	name := filepath.Join(t.TempDir(), "socket")
	listen := func() *net.UnixConn {
		os.Remove(name)
		c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
		if err != nil {
			t.Fatal(err)
		}
		c.SetReadDeadline(time.Now().Add(10 * time.Second))
		return c
	}
	read := func(c *net.UnixConn) map[string]string {
		t.Helper()
		b := make([]byte, 64<<10)
		n, err := c.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return fields(t, b[:n])
	}
	s := &Journal{Socket: name}
	f, o := told()
	if s.Finding(f) == nil {
		t.Error("nobody was told, and that is no error")
	}
	c := listen()
	if err := s.Finding(f); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"MESSAGE": f.Line(), "PRIORITY": "4", "SYSLOG_IDENTIFIER": "spoor-guard", "SPOOR_KIND": "host-sweep", "SPOOR_PHASE": "begins", "SPOOR_FINDING": "7",
		"SPOOR_OFFENDER": "192.0.2.7", "SPOOR_SOURCE": "192.0.2.7", "SPOOR_PROTOCOL": "tcp", "SPOOR_PORT": "22", "SPOOR_ZONE": "3", "SPOOR_RULE": f.Rule,
		"SPOOR_MEASURED": "31", "SPOOR_LIMIT": "30", "SPOOR_UNIT": "hosts", "SPOOR_CONFIDENCE": "0.875"}
	if got := read(c); !maps.Equal(got, want) {
		t.Errorf("%v\nwant\n%v", got, want)
	}
	// The journal is started anew.
	c.Close()
	c = listen()
	defer c.Close()
	o.Err = errFake
	if err := s.Outcome(o); err != nil {
		t.Fatal(err)
	}
	if got := read(c); got["SPOOR_RESPONSE"] != "block" || got["SPOOR_RESULT"] != "failed" || got["PRIORITY"] != "3" || got["MESSAGE"] != o.Line() {
		t.Errorf("%v", got)
	}
	s.record = nil
	s.field("A", "one\ntwo")
	s.field("B", "")
	s.field("C", "3")
	if got := fields(t, s.record); !maps.Equal(got, map[string]string{"A": "one\ntwo", "C": "3"}) {
		t.Errorf("%v", got)
	}
}

// TestSinkThatFailsIsToldOfOnce, and holds up no other.
func TestSinkThatFailsIsToldOfOnce(t *testing.T) {
	var log bytes.Buffer
	bad, good := &heard{fail: errFake}, &heard{}
	tell := NewTeller(slog.New(slog.NewTextHandler(&log, nil)), bad, good)
	f, o := told()
	for range 3 {
		tell.Finding(f)
		tell.Outcome(o)
	}
	for _, w := range tell.workers {
		for end := time.Now().Add(10 * time.Second); len(w.queue) > 0 && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
	}
	bad.mu.Lock()
	bad.fail = nil
	bad.mu.Unlock()
	tell.Finding(f)
	tell.Close(t.Context())
	if len(good.lines) != 7 || strings.Count(log.String(), "findings are not told") != 1 || strings.Count(log.String(), "told again") != 1 {
		t.Errorf("%d lines, %s", len(good.lines), log.String())
	}
}

// TestSlowSinkHoldsUpNobody: what is too much is left out and counted.
func TestSlowSinkHoldsUpNobody(t *testing.T) {
	slow, quick := &heard{hold: make(chan struct{})}, &heard{}
	var log bytes.Buffer
	tell := NewTeller(slog.New(slog.NewTextHandler(&log, nil)), slow, quick)
	f, _ := told()
	for range mostUntold + 100 {
		tell.Finding(f)
		for end := time.Now().Add(10 * time.Second); len(tell.workers[1].queue) > mostUntold/2 && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
	}
	if n := tell.Untold(); n < 99 || n > 100 {
		t.Errorf("%d left out", n)
	}
	within, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	tell.Close(within) // does not wait any longer
	close(slow.hold)
	tell.Close(t.Context())
	if n := len(quick.lines); n != mostUntold+100 {
		t.Errorf("the other was told of %d", n)
	}
	if n := len(slow.lines); n < mostUntold || strings.Count(log.String(), "too slow") != 1 {
		t.Errorf("%d told, %s", n, log.String())
	}
}

// TestWebhookIsToldOfFindings with enforcement or without; of responses it is not.
func TestWebhookIsToldOfFindings(t *testing.T) {
	bodies := make(chan string, 4)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		bodies <- string(b)
	}))
	defer server.Close()
	tell := NewTeller(nil, &Webhook{URL: server.URL, Post: NewPoster().Post})
	f, o := told()
	tell.Outcome(o)
	tell.Finding(f)
	tell.Close(t.Context())
	want, err := json.Marshal(f)
	if got := <-bodies; err != nil || got != string(want) || len(bodies) > 0 {
		t.Errorf("%s, %v, want %s", got, err, want)
	}
}
