package guard

import (
	"net/netip"
	"testing"
	"time"

	"github.com/spoor-project/spoor/flow"
)

// FuzzEngine lets anything happen to a few flows, in any order, also what no kernel would tell. Whatever that is, the gauges are those of the
// flows that are remembered, and a reading of an empty table leaves nothing.
func FuzzEngine(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17})
	f.Add([]byte("\x00\x00\x00\x10\x20\x30\x40\x50\x60\x70\x80\x90\xa0\xb0\xc0\xd0\xe0\xf0"))
	f.Add([]byte("a few words which are as good as others, with readings and ticks in between"))
	rules, err := ParseRules(DefaultRules)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		e, now := New(rules), time.Unix(1e9, 0)
		for i := 0; i+2 < len(input); i += 3 {
			what, which, how := input[i], input[i+1], input[i+2]
			ev := flow.Event{Type: flow.EventType(what % 5), Flow: made(which, how)}
			switch what >> 4 {
			case 0:
				e.BeginReading(now)
			case 1:
				e.Read(&ev.Flow)
			case 2:
				e.EndReading(now)
			case 3:
				now = now.Add(time.Duration(how) * time.Second)
				e.Tick(now)
			case 4:
				e.Level(now, uint32(which)*1000, uint32(how)*1000)
			case 5:
				ev.PortID = 7
				e.Event(now, &ev)
			case 6:
				e.Event(now.Add(-time.Hour), &ev)
			default:
				e.Event(now, &ev)
			}
			if e.ended == nil {
				checkGauges(t, e)
			}
		}
		e.BeginReading(now)
		e.EndReading(now)
		checkGauges(t, e)
		if e.flows.used != 0 {
			t.Errorf("%d flows of an empty table", e.flows.used)
		}
		for range 3 {
			now = now.Add(8 * 24 * time.Hour)
			for range 64 {
				e.Tick(now)
			}
		}
		if f := e.Figures(); f.Sources != 0 || f.Services != 0 || f.Ongoing != 0 || e.tried.used != 0 {
			t.Errorf("weeks later: %+v, %d targets", f, e.tried.used)
		}
	})
}

// made is one of 256 flows, in one of 256 states.
func made(which, how byte) flow.Flow {
	f := flow.Flow{Has: flow.HasReply | flow.HasStatus | flow.HasState | flow.HasTimeout | flow.HasOrigCounters, Timeout: time.Duration(how) * time.Second}
	f.Orig = flow.Tuple{Proto: []flow.Proto{flow.TCP, flow.UDP, flow.ICMP, flow.TCP}[which>>6], Src: netip.AddrFrom4([4]byte{10, 0, 0, which & 3}), SrcPort: uint16(which >> 2 & 3),
		Dst: netip.AddrFrom4([4]byte{192, 0, 2, which >> 4 & 1}), DstPort: uint16(which >> 5 & 1)}
	f.Reply, _ = f.Orig.Inverse()
	if which&1 != 0 {
		f.Reply.Dst = netip.AddrFrom4([4]byte{203, 0, 113, 1})
	}
	f.State = how & 15
	f.Status = flow.Status(how>>4) & (flow.Expected | flow.SeenReply | flow.Assured)
	f.OrigCounters.Bytes = uint64(how) << 20
	if how == 255 {
		f.Orig.Src = netip.Addr{} // as of a message that is cut
	}
	return f
}

func checkGauges(t *testing.T, e *Engine) {
	t.Helper()
	flows, half := 0, 0
	for i := range e.flows.slots {
		if r := &e.flows.slots[i]; r.hash != 0 {
			flows++
			if r.half != whole {
				half++
			}
		}
	}
	live, open, targets := 0, 0, 0
	e.sources.each(func(_ *host, s *source) {
		live += int(s.live)
		list := e.tried.list(s.tried, nil)
		if len(list) != int(s.count) {
			t.Fatalf("%d targets, counted %d", len(list), s.count)
		}
		targets += len(list)
	})
	e.services.each(func(_ *service, h *halfOpen) { open += int(h.unanswered) + int(h.uncompleted) })
	if flows != e.flows.used || live != flows || open != half || targets != e.tried.used {
		t.Fatalf("%d flows remembered, counted %d; live %d; half-open %d, of services %d; %d targets, counted %d", flows, e.flows.used, live, half, open, targets, e.tried.used)
	}
}
