package wire_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"

	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/statesync/wire"
)

// seed gives f what was recorded, in whole and cut off, and what is malformed in some way.
func seed(f *testing.F) {
	for _, v := range vectors(f) {
		b := v.payload(f)
		f.Add(b)
		f.Add(b[:len(b)*2/3])
	}
	all := everything()
	f.Add(send(&all, wire.Options{TCPWindowTracking: true}))
	f.Add(unhex(f, dccp))
	f.Add(expecting(attribute(20, 'f', 0, 'g')))
	f.Add(message(wire.CTNew, join(identity(flow.ICMP), attribute(14, 7, 7), attribute(28, 1), attribute(27))...))
}

// FuzzDatagram states the laws: any bytes will do; what was decoded, sent again and decoded again is the
// same; an update with what is known changes nothing; and a dissection finds the same faults.
func FuzzDatagram(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		var x receiver
		dissected := wire.Dissect(b).Messages
		at := 0
		for r := wire.Datagram(b); r.Next(); at++ {
			fault, m := x.fault(&r), &r.Message
			if at >= len(dissected) {
				t.Fatal("a message that was not dissected")
			}
			counter := ""
			if e := dissected[at].Error; e != nil {
				if counter = e.Counter; e.Offset < 0 || e.Offset > len(b) {
					t.Errorf("something wrong at byte %d of %d", e.Offset, len(b))
				}
			}
			if counter != fault.String() {
				t.Errorf("message %d: %v, but dissected as %q", at, fault, counter)
			}
			if fault == 0 {
				again(t, &x, m)
			}
		}
		if at != len(dissected) {
			t.Errorf("%d messages, dissected %d", at, len(dissected))
		}
		text, err := json.Marshal(wire.Dissect(b))
		if err != nil || !json.Valid(text) {
			t.Error(err)
		}
		if s := wire.Dissect(b).String(); bytes.Count([]byte(s), []byte("\n")) < at {
			t.Errorf("%d messages, shown as %q", at, s)
		}
	})
}

// again sends and decodes what x has just decoded from m.
func again(t *testing.T, x *receiver, m *wire.Message) {
	var b, twice []byte
	var y receiver
	switch {
	case m.Type.IsFlow():
		b = x.f.Append(nil, m.Header)
		if fault := y.d.Flow(first(b), &y.f); fault != 0 || y.f != x.f {
			t.Errorf("%v\nfirst %+v\nthen  %+v", fault, x.f, y.f)
		}
		if fault := y.d.Merge(m, &y.f); fault != 0 || y.f != x.f {
			t.Errorf("merged with itself: %v\nfirst %+v\nthen  %+v", fault, x.f, y.f)
		}
		twice = y.f.Append(nil, m.Header)
		for _, o := range []wire.Options{{}, {TCPWindowTracking: true}} {
			ours := wire.AppendFlow(nil, m.Header, &x.f.Flow, o)
			if fault := y.d.Flow(first(ours), &y.f); fault != 0 || y.f.Orig != x.f.Orig && sendsAll(x.f.Orig.Proto) || len(ours) > wire.MaxSize {
				t.Errorf("%v, %d bytes\nfirst %+v\nthen  %+v", fault, len(ours), x.f, y.f)
			}
		}
	case m.Type.IsExpect():
		b = x.e.Append(nil, m.Header)
		if fault := y.d.Expect(first(b), &y.e); fault != 0 || y.e != x.e {
			t.Errorf("%v\nfirst %+v\nthen  %+v", fault, x.e, y.e)
		}
		twice = y.e.Append(nil, m.Header)
		ours := wire.AppendExpect(nil, m.Header, &x.e.Expect, wire.Options{})
		if fault := y.d.Expect(first(ours), &y.e); fault != 0 || len(ours) > wire.MaxSize {
			t.Errorf("%v, %d bytes\nfirst %+v\nthen  %+v", fault, len(ours), x.e, y.e)
		}
	default:
		b = wire.AppendControl(nil, m.Header, m.Range)
		back := first(b)
		if back.Range != m.Range || back.Flags != m.Flags || back.Seq != m.Seq {
			t.Errorf("%+v became %+v", m, back)
		}
		twice = wire.AppendControl(nil, back.Header, back.Range)
	}
	if !bytes.Equal(b, twice) || len(b) > wire.MaxSize {
		t.Errorf("sent\n%x\nthen\n%x", b, twice)
	}
}

// sendsAll reports whether an original tuple of p goes over the wire as it is.
func sendsAll(p flow.Proto) bool { return p != flow.GRE && p != flow.UDPLite }

// FuzzStream states the law of streams: where they are cut does not matter, until something in them
// makes no sense.
func FuzzStream(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add(v.payload(f), uint8(5))
	}
	f.Fuzz(func(t *testing.T, b []byte, piece uint8) {
		r := wire.Stream(b)
		for r.Next() {
			if r.Fault == wire.BadSize {
				return
			}
		}
		if r.Consumed() > len(b) {
			t.Fatalf("%d bytes consumed of %d", r.Consumed(), len(b))
		}
		want := split(b, max(len(b), 1))
		if got := split(b, max(int(piece), 1)); !slices.Equal(got, want) {
			t.Errorf("got  %v\nwant %v", got, want)
		}
	})
}
